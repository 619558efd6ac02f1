# SPDX-License-Identifier: BSD-3-Clause
"""A function in place of a net's method for the length of a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skorch import NeuralNet


class StandIn:
    """Takes the place of a net's method during a fit, and is pickled as that method."""

    def __init__(self, net: NeuralNet, name: str, function: Callable[..., Any]) -> None:
        self.net, self.name, self.function = net, name, function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __reduce__(self) -> Any:
        return getattr, (self.net, self.name)
