# SPDX-License-Identifier: BSD-3-Clause
"""By what the report of a fitted scorer is recognised, in a file of decisions say."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..rows.labels import codes_of


def report_fingerprint(scorer: Any) -> str:
    """Return hex digits that are the same for the same scores of rows with the same labels."""
    check_is_fitted(scorer)
    difficulty = np.asarray(scorer.difficulty_, dtype="<f4")
    difficulty = np.where(np.isnan(difficulty), np.float32("nan"), difficulty)  # of one kind
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{len(difficulty)} rows".encode())
    digest.update(difficulty.astype("<f4").tobytes())
    classes = getattr(scorer, "classes_", None)
    if classes is not None:
        digest.update(repr(classes.tolist()).encode("utf-8", "surrogatepass"))
        if hasattr(scorer, "suggested_label_"):
            codes = codes_of(scorer.suggested_label_, classes)
            digest.update(codes.astype("<i8").tobytes())
    given = getattr(scorer, "_given", None)
    if given is not None:
        digest.update(given.astype("<i8" if given.dtype.kind in "iu" else "<f8").tobytes())
    trained = getattr(scorer, "record_", getattr(scorer, "ensemble_", None))
    rows = getattr(trained, "rows", None) or getattr(trained, "rows_", None)
    digest.update(str(getattr(rows, "y", None)).encode())
    return digest.hexdigest()
