# SPDX-License-Identifier: BSD-3-Clause
"""Class probabilities that others have computed: read, and looked at for what they cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._progress import Task
from ..._warnings import warn_caller
from ...rows.labels import classes_of_columns, codes_of, encode_labels
from ...rows.rows import ArrayRows, Rows
from .._trained_source import Trained

Probabilities = NDArray[np.floating[Any]]

_READ_NUMBERS = 4_000_000  # of the probabilities, so that a look takes neither time nor memory
_ENOUGH_TO_CONTRADICT = 500  # rows: none of so many is no chance if 1 % of the predictions err
_CONTRADICTED = 1 / 5000  # the share of contradicted labels that is too small for unseen rows
_ENOUGH_TO_AGREE = 50  # rows, from which on agreement shows
_BEYOND_CHANCE = 3.0  # standard errors
_WITHOUT_DOUBT = 0.95  # share of rows with nothing but 0 and 1, above which doubt is not told
_CLAIMED = 0.1  # by which probabilities must promise more than what comes true


class GivenProbabilities:
    """Probabilities that others have computed, of classes that the scorer keeps of its fit."""

    scores_unseen_rows = True
    reads_rows = False
    collate_fn = None
    columns = None

    def __init__(self, classes: NDArray[Any] | None, names: NDArray[Any] | None) -> None:
        self.classes = classes
        self.names = names  # of the columns, if they have names

    def obtain(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> Trained:
        """Return what the columns of the probabilities stand for, and the codes of the labels."""
        classes = self._classes_of_columns(X, y)
        targets = codes_of(y, classes)
        warn_of_odd_probabilities(X.data, targets)
        return Trained({"classes_": classes}, targets)

    def targets(self, X: Rows, y: Any) -> NDArray[np.int64]:
        """Return label codes of rows."""
        assert self.classes is not None
        return codes_of(X.given_labels(y), self.classes)

    def _classes_of_columns(self, X: Rows, y: Any) -> NDArray[Any]:
        """Return the classes, after checking that the columns are theirs."""
        if not isinstance(X, ArrayRows) or len(X.row_shape) != 1:
            raise ValueError(
                "With estimator='precomputed' X must hold class probabilities of shape "
                "(n_samples, n_classes)."
            )
        [n_columns] = X.row_shape
        given, _ = encode_labels(X.given_labels(y))
        classes = classes_of_columns(y, n_columns)
        if len(classes) != n_columns:
            raise ValueError(
                f"X has {n_columns} columns and y has {len(classes)} classes, "
                f"{classes[:5].tolist()} ...; there must be one column per class, in sorted order. "
                "Where a class does not occur, code the labels as positions of columns."
            )
        expected = [str(label) for label in classes]
        names = expected if self.names is None else list(self.names)
        if names != expected and sorted(names) == sorted(expected):
            raise ValueError(
                f"The columns of X are named {names[:5]} ..., but must stand in the order of the "
                f"sorted classes, {expected[:5]} .... Reorder them."
            )
        if len(given) < len(classes) and given[0] != classes[0]:
            warn_caller(
                f"The labels {given[:5].tolist()} ... are taken as positions of columns, so that "
                "column 0 does not occur. If they are numbered from 1, subtract 1."
            )
        return classes


class Precomputed:
    """Probabilities that are given in place of rows."""

    def of_training_rows(
        self, X: Rows, targets: NDArray[np.int64], progress: Task
    ) -> tuple[Probabilities, Probabilities]:
        """Return X itself."""
        probabilities = self.of_unseen_rows(X)
        return probabilities, probabilities

    def of_unseen_rows(self, X: Rows) -> Probabilities:
        """Return X itself."""
        data = np.asarray(X.data)  # may be a memory map, which is not copied
        return data if data.dtype.kind == "f" else data.astype(np.float64)


def warn_of_odd_probabilities(probabilities: Any, codes: NDArray[np.int64]) -> None:
    """Warn of probabilities that know nearly all given labels, or none better than by chance.

    The first rule counts the labels that are contradicted. Networks, and forests, that have learned
    their rows by heart, wrong labels included, contradict next to none; held out, they contradict
    some even where hardly a label is wrong. Their own doubt does not help: a network that was
    trained too briefly, or a forest, doubts far more than comes true. The rule cannot see models
    that are too small, or were trained too briefly, to learn their rows by heart; and it speaks up
    where held-out networks are never wrong, and there is nothing to find.
    """
    n, n_classes = probabilities.shape
    step = -(-n // max(1000, _READ_NUMBERS // n_classes))
    some, codes = np.asarray(probabilities[::step]), codes[::step]
    agrees = some.argmax(axis=1) == codes
    if contradict_too_few(agrees):
        warn_caller(
            f"The probabilities contradict {(~agrees).sum()} of {len(some)} given labels. Networks "
            "that did not see a row contradict more, even of easy data: were these trained on the "
            "rows? They have learned wrong labels, too, then. Pass probabilities of held-out rows, "
            "as of cross_val_predict(..., method='predict_proba'). If they are, there is next to "
            "nothing to find."
        )
    warn_of_missing_doubt(some, codes)
    claimed = float(some.max(axis=1).mean(dtype=np.float64))
    if claimed <= agrees.mean() + _CLAIMED:
        warn_of_ignorance(some, codes)
    elif _is_chance(some, codes):
        warn_caller(
            f"The most likely class is the given label of {agrees.mean():.0%} of the rows, where "
            f"the probabilities promise {claimed:.0%}, and given labels are no likelier than those "
            "of other rows. Are the rows of X in the order of y, and its columns in that of the "
            "classes?"
        )


def contradict_too_few(agrees: NDArray[np.bool_]) -> bool:
    """Whether fewer labels are contradicted than where they were not known, for rows that agree."""
    is_enough = len(agrees) >= _ENOUGH_TO_CONTRADICT
    return bool(is_enough and np.count_nonzero(~agrees) <= _CONTRADICTED * len(agrees))


def warn_of_ignorance(probabilities: NDArray[Any], codes: NDArray[np.int64]) -> None:
    """Warn of held-out probabilities that say no more than how frequent classes are."""
    if _is_chance(probabilities, codes):
        agrees = np.mean(probabilities.argmax(axis=1) == codes)
        warn_caller(
            f"The most likely class is the given label of {agrees:.0%} of the rows, and given "
            "labels are no likelier than those of other rows: the model knows no more of these "
            "rows than how frequent classes are. Its suspects are chance, however many they are. "
            "Take a model, or columns, that predict the labels better, if rows and labels are in "
            "the same order."
        )


def warn_of_missing_doubt(probabilities: NDArray[Any], codes: NDArray[np.int64]) -> None:
    """Warn of held-out probabilities of 0 and 1, in which a mistake looks as sure as a finding."""
    is_sure = np.mean(probabilities.max(axis=1) == 1) > _WITHOUT_DOUBT
    contradicts = probabilities.argmax(axis=1) != codes
    if len(codes) >= _ENOUGH_TO_AGREE and is_sure and contradicts.mean() > _CONTRADICTED:
        warn_caller(
            f"The probabilities are 0 or 1, and contradict {contradicts.sum()} of "
            f"{len(codes)} given labels: the model's own mistakes look as sure as wrong labels, so "
            "that suspects are too many and in no order, and the interval of the share of wrong "
            "labels can miss it. Let the model doubt, as in "
            "sklearn.calibration.CalibratedClassifierCV(model), or take another; and pass what its "
            "predict_proba says, not what its predict does."
        )


def _is_chance(probabilities: NDArray[Any], codes: NDArray[np.int64]) -> bool:
    """Whether the given labels are no likelier than those of the same rows in any order."""
    if len(codes) < _ENOUGH_TO_AGREE:
        return False
    usual = probabilities.mean(axis=0, dtype=np.float64)
    gain = probabilities[np.arange(len(codes)), codes] - usual[codes]
    return bool(gain.mean() < _BEYOND_CHANCE * gain.std() / np.sqrt(len(codes)))
