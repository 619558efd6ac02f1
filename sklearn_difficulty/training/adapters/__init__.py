# SPDX-License-Identifier: BSD-3-Clause
"""Recorders for trainings of other libraries; each library is imported when it is asked for."""

from typing import TYPE_CHECKING

from ..._lazy import lazy_names

if TYPE_CHECKING:
    from .keras import KerasRecorder
    from .lightning import LightningRecorder
    from .transformers import TransformersRecorder
else:  # type checkers see the imports above
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            ".keras": ["KerasRecorder"],
            ".lightning": ["LightningRecorder"],
            ".transformers": ["TransformersRecorder"],
        },
    )

__all__ = ["KerasRecorder", "LightningRecorder", "TransformersRecorder"]
