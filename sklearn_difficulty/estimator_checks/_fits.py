# SPDX-License-Identifier: BSD-3-Clause
"""What a scorer looks like, what a fit leaves and leaves alone, and what it refuses."""

from __future__ import annotations

import contextlib
import inspect
import io
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from .._randomness import isolated_rng
from ..scorers._judges import is_judge
from ._material import (
    error_of,
    forward_passes,
    reads_unseen_rows,
    surroundings,
    training_rows,
)

# ------------------------------------------------------------------------ what the class looks like


def check_docstring_states_sign(scorer: Any) -> None:
    """Check that the first line of the class says that larger is harder."""
    first_line = (inspect.getdoc(type(scorer)) or "").partition("\n")[0]
    assert "larger = harder" in first_line, (
        f"The first line of the docstring of {type(scorer).__name__} must say 'larger = harder', "
        f"so that nobody has to guess the sign; it says {first_line!r}."
    )


def check_only_estimator_is_positional(scorer: Any) -> None:
    """Check that `estimator` comes first and all other parameters are keyword-only."""
    first, *others = inspect.signature(type(scorer)).parameters.values()
    positional = [p.name for p in others if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert first.name == "estimator", (
        f"The first parameter must be 'estimator'; got {first.name!r}."
    )
    assert not positional, f"Make these parameters keyword-only: {positional}."


def check_common_parameters(scorer: Any) -> None:
    """Check that `undefined`, `random_state` and `verbose` exist, with silent defaults."""
    parameters = inspect.signature(type(scorer)).parameters
    for name, default in (("undefined", "nan"), ("random_state", None), ("verbose", 0)):
        assert name in parameters, f"Every difficulty scorer has the parameter {name!r}."
        given = parameters[name].default
        assert given == default, f"The default of {name!r} must be {default!r}; it is {given!r}."


# -------------------------------------------------------------------------------- what a fit leaves


def check_difficulty_of_training_rows(scorer: Any) -> None:
    """Check that `difficulty_` has one float32 per training row, and that NaN is counted."""
    X, y = training_rows()
    # With "max" an undefined score could not be told from the largest one.
    scorer.set_params(undefined="nan").fit(X, y)
    scores = scorer.difficulty_
    assert isinstance(scores, np.ndarray), "difficulty_ must be a NumPy array."
    assert scores.shape == (60,), (
        f"difficulty_ must hold one number per training row, (60,); it has shape {scores.shape}."
    )
    assert scores.dtype == np.float32, f"difficulty_ must be float32; it is {scores.dtype}."
    assert scorer.n_undefined_ == np.isnan(scores).sum(), (
        "n_undefined_ must count the NaN in difficulty_."
    )
    assert not np.isinf(scores).any(), "difficulty_ holds inf; an undefined score must be NaN."
    assert len(np.unique(scores)) > 1, "All rows got the same difficulty; the scores say nothing."


def check_fitted_attributes(scorer: Any) -> None:
    """Check that the network, the classes, the width and what was trained are kept."""
    X, y = training_rows()
    scorer.fit(X, y)
    missing = [a for a in ("estimator_", "classes_", "n_features_in_") if not hasattr(scorer, a)]
    assert not missing, f"fit must set {missing}."
    assert any(hasattr(scorer, a) for a in ("record_", "ensemble_", "estimators_")), (
        "fit must keep what it trained as record_ or ensemble_, so that other scores can be read "
        "from it, or as estimators_ where these are no networks."
    )


def check_same_seed_same_scores(scorer: Any) -> None:
    """Check that two fits with one integer seed agree bit for bit, and so do unseen rows."""
    X, y = training_rows()
    fits, unseen = [], []
    for seed in (1, 2):
        with isolated_rng(seed):  # nothing may come from the global generators
            fitted = clone(scorer).fit(X, y)
            fits.append(fitted.difficulty_)
            unseen.append(fitted.score_samples(X) if reads_unseen_rows(fitted) else np.empty(0))
    assert np.array_equal(fits[0], fits[1], equal_nan=True), (
        "Two fits with random_state=0 differ. Seed initialisation, row order and dropout, each "
        "from a stream of its own, and the scoring after it."
    )
    assert np.array_equal(unseen[0], unseen[1], equal_nan=True), (
        "score_samples differs between two calls. Seed what it draws; the global generators are "
        "not seeded by random_state."
    )


def check_labels_of_any_type(scorer: Any) -> None:
    """Check that strings and other integers give the scores of the codes 0, 1, 2."""
    X, y = training_rows()
    expected = clone(scorer).fit(X, y).difficulty_
    for names in (np.array(["ant", "bee", "cat"]), np.array([-4, 3, 70])):
        fitted = clone(scorer).fit(X, names[y])
        assert np.array_equal(fitted.difficulty_, expected, equal_nan=True), (
            f"With labels {names.tolist()} the scores differ from those with 0, 1, 2. Encode the "
            "labels before they reach the network."
        )
        assert fitted.classes_.tolist() == names.tolist(), (
            f"classes_ must hold the labels as given, sorted; it is {fitted.classes_}."
        )


def check_rows_in_any_container(scorer: Any) -> None:
    """Check that tensors, lists and other dtypes and orders of X give the scores of the array."""
    X, y = training_rows()
    expected = clone(scorer).fit(X, y)
    for kind, given in {
        "a tensor": (torch.from_numpy(X), torch.from_numpy(y)),
        "a list": (X.tolist(), y.tolist()),
        "an array of float64 in Fortran's order": (np.asfortranarray(X, np.float64), y),
    }.items():
        fitted = clone(scorer).fit(*given)
        pairs = [(fitted.difficulty_, expected.difficulty_)]
        if reads_unseen_rows(fitted):
            pairs.append((expected.score_samples(*given), expected.score_samples(X, y)))
        for scores, of_array in pairs:
            np.testing.assert_allclose(
                scores, of_array, rtol=1e-4, atol=1e-5, err_msg=f"X as {kind} gets other scores."
            )


def check_fit_forgets_the_one_before(scorer: Any) -> None:
    """Check that nothing of an earlier fit is left by a second one, by a failed one or a clone."""
    X, y = training_rows()
    expected = clone(scorer).fit(X, y)
    scorer.fit(X[:40] + 1, y[:40]).fit(X, y)
    left = vars(scorer).keys() ^ vars(expected).keys()
    assert not left, f"A second fit must leave what a first one leaves; it differs in {left}."
    assert np.array_equal(scorer.difficulty_, expected.difficulty_, equal_nan=True), (
        "A second fit gives other scores than a first one."
    )
    assert not hasattr(clone(scorer), "difficulty_"), "A clone must not be fitted."
    X[3] = np.nan
    with contextlib.suppress(ValueError):
        scorer.fit(X, y)
    assert not hasattr(scorer, "difficulty_"), (
        "A fit that fails must not leave the scores of the one before."
    )
    with contextlib.suppress(NotFittedError, AttributeError):
        scorer.score_samples(X[:2])
        raise AssertionError("score_samples after a failed fit must raise NotFittedError.")


# ----------------------------------------------------------------------------- what it leaves alone


def check_surroundings_untouched(scorer: Any) -> None:
    """Check that global generators and flags, the data and the given network are as before."""
    X, y = training_rows()
    X_before, y_before = X.copy(), y.copy()
    before = surroundings()
    scorer.fit(X, y)
    if reads_unseen_rows(scorer):
        scorer.score_samples(X)
    changed = [name for name, state in surroundings().items() if state != before[name]]
    assert not changed, (
        f"fit or score_samples changed {changed} for the whole process. Draw from generators of "
        "your own, or restore what you set (torch.random.fork_rng, torch.backends.cudnn.flags)."
    )
    assert np.array_equal(X, X_before), "fit or score_samples wrote to X."
    assert np.array_equal(y, y_before), "fit or score_samples wrote to y."
    given = scorer.estimator
    assert not getattr(given, "initialized_", False), (
        "fit trained the network that it was given; it must train a clone."
    )


def check_failed_fit_restores_surroundings(scorer: Any) -> None:
    """Check that a fit that fails half-way or at its end restores generators and flags."""
    X, y = training_rows()
    with forward_passes() as passes:
        clone(scorer).fit(X, y)
    for fail_at in (len(passes) // 2, len(passes)):  # while training, and while scoring
        before = surroundings()
        with contextlib.suppress(Exception), forward_passes(fail_at):
            clone(scorer).fit(X, y)
        changed = [name for name, state in surroundings().items() if state != before[name]]
        assert not changed, (
            f"A fit that failed in forward pass {fail_at} of {len(passes)} left {changed} changed. "
            "Restore them in a finally clause."
        )


def check_silent(scorer: Any) -> None:
    """Check that nothing is printed with verbose=0."""
    X, y = training_rows()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        scorer.set_params(verbose=0).fit(X, y)
    assert not printed.getvalue(), f"verbose=0 must be silent; fit printed {printed.getvalue()!r}."


# ---------------------------------------------------------------------------------------- bad input


def check_nonfinite_rows_are_named(scorer: Any) -> None:
    """Check that NaN and inf in X are refused with the numbers of their rows."""
    if is_judge(getattr(scorer, "estimator", None)):  # it says itself what it does not take
        return
    X, y = training_rows()
    X[[17, 41], 2] = np.nan, np.inf
    message = error_of(lambda: scorer.fit(X, y))
    assert "17" in message, f"NaN in row 17 of X must be refused naming the row; got {message!r}."
    assert "41" in message, f"inf in row 41 of X must be refused naming the row; got {message!r}."


def check_one_class_is_refused(scorer: Any) -> None:
    """Check that y with a single class is refused."""
    X, _ = training_rows()
    message = error_of(lambda: scorer.fit(X, np.zeros(60, dtype=int)))
    assert "class" in message, f"y with one class must be refused; got {message!r}."
