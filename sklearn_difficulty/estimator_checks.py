# SPDX-License-Identifier: BSD-3-Clause
"""Checks that any difficulty scorer must pass, ours or a third party's.

They complement ``sklearn.utils.estimator_checks.check_estimator``, which knows nothing of
difficulty. Each check is a function of an unfitted scorer; its message says what to mend.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import pickle
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import make_classification

from ._randomness import isolated_rng
from .training import TrainingRecord

__all__ = ["check_difficulty_scorer"]

Check = Callable[[Any], None]


def check_difficulty_scorer(scorer: Any) -> list[str]:
    """Check that a scorer keeps the contract of difficulty scorers.

    The contract: larger = harder; `difficulty_` holds the training rows in their order; every
    number depends on its row and the fit alone; a seed determines the scores; the global random
    generators, torch's flags, the data and the user's network are left as they were; labels may be
    of any type; undefined scores are NaN and counted; bad input is answered by an error that says
    what to do.

    Parameters
    ----------
    scorer : estimator
        Unfitted. It is cloned for every check and fitted about thirty times, mostly on 60 rows of 5
        features in 3 classes, so give it a small network.

    Returns
    -------
    passed : list of str
        Names of the checks that were made.

    Raises
    ------
    AssertionError
        From the first check that fails; the message says what to mend.

    See Also
    --------
    sklearn.utils.estimator_checks.check_estimator : The checks that every estimator must pass.

    Examples
    --------
    >>> from sklearn_difficulty import VoGScorer
    >>> from sklearn_difficulty.estimator_checks import check_difficulty_scorer
    >>> "check_labels_of_any_type" in check_difficulty_scorer(VoGScorer(checkpoints=2))
    True
    """
    for check in _CHECKS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            check(_seeded(scorer))
    return [check.__name__ for check in _CHECKS]


# ------------------------------------------------------------------------------------- material


def _seeded(scorer: Any) -> Any:
    return clone(scorer).set_params(random_state=0)


def _data() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    X, y = make_classification(
        n_samples=60, n_features=5, n_informative=4, n_redundant=0, n_classes=3, random_state=0
    )
    return X.astype(np.float32), y


def _reads_unseen_rows(scorer: Any) -> bool:
    return hasattr(scorer, "score_samples")


def _record_of(fitted: Any) -> TrainingRecord | None:
    record = getattr(fitted, "record_", None)
    return record if isinstance(record, TrainingRecord) else None


def _surroundings() -> dict[str, Any]:
    """Return what a fit must leave as it was: the global random generators and torch's flags."""
    return {
        "the generator of torch": torch.random.get_rng_state().tolist(),
        "the generator of numpy": str(np.random.get_state()),  # noqa: NPY002 (only looked at)
        "the generator of random": random.getstate(),
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "cudnn.deterministic": torch.backends.cudnn.deterministic,
        "torch.use_deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "torch.set_default_dtype": torch.get_default_dtype(),
        "torch.set_num_threads": torch.get_num_threads(),
        "torch.set_grad_enabled": torch.is_grad_enabled(),
        "the float32 precision of matmul": [
            backend.matmul.fp32_precision
            for backend in (torch.backends.cuda, torch.backends.mkldnn)
        ],
    }


@contextlib.contextmanager
def _forward_passes(fail_at: int | None = None) -> Iterator[list[str]]:
    """List the forward passes of every torch module, and fail at one of them."""
    passes: list[str] = []

    def note(module: torch.nn.Module, inputs: Any, outputs: Any) -> None:
        passes.append(type(module).__name__)
        if len(passes) == fail_at:
            raise RuntimeError("This forward pass was made to fail.")

    hook = torch.nn.modules.module.register_module_forward_hook(note)
    try:
        yield passes
    finally:
        hook.remove()


def _error_of(action: Callable[[], Any]) -> str:
    try:
        action()
    except (ValueError, TypeError) as error:
        return str(error)
    return ""


# ----------------------------------------------------------------------- what the class looks like


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
        found = parameters[name].default
        assert found == default, f"The default of {name!r} must be {default!r}; it is {found!r}."


# ------------------------------------------------------------------------------ what a fit leaves


def check_difficulty_of_training_rows(scorer: Any) -> None:
    """Check that `difficulty_` has one float32 per training row, and that NaN is counted."""
    X, y = _data()
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
    """Check that the network, the classes, the width and the record are kept."""
    X, y = _data()
    scorer.fit(X, y)
    missing = [a for a in ("estimator_", "classes_", "n_features_in_") if not hasattr(scorer, a)]
    assert not missing, f"fit must set {missing}."
    assert hasattr(scorer, "record_") or hasattr(scorer, "ensemble_"), (
        "fit must keep what it trained as record_ (or ensemble_), so that other scores can be "
        "read from it."
    )


def check_same_seed_same_scores(scorer: Any) -> None:
    """Check that two fits with one integer seed agree bit for bit, and so do unseen rows."""
    X, y = _data()
    fits, unseen = [], []
    for seed in (1, 2):
        with isolated_rng(seed):  # nothing may come from the global generators
            fitted = clone(scorer).fit(X, y)
            fits.append(fitted.difficulty_)
            unseen.append(fitted.score_samples(X) if _reads_unseen_rows(fitted) else np.empty(0))
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
    X, y = _data()
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


# ----------------------------------------------------------------------------- what it leaves alone


def check_surroundings_untouched(scorer: Any) -> None:
    """Check that global generators and flags, the data and the given network are as before."""
    X, y = _data()
    X_before, y_before = X.copy(), y.copy()
    before = _surroundings()
    scorer.fit(X, y)
    if _reads_unseen_rows(scorer):
        scorer.score_samples(X)
    changed = [name for name, state in _surroundings().items() if state != before[name]]
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
    X, y = _data()
    with _forward_passes() as passes:
        clone(scorer).fit(X, y)
    for fail_at in (len(passes) // 2, len(passes)):  # while training, and while scoring
        before = _surroundings()
        with contextlib.suppress(Exception), _forward_passes(fail_at):
            clone(scorer).fit(X, y)
        changed = [name for name, state in _surroundings().items() if state != before[name]]
        assert not changed, (
            f"A fit that failed in forward pass {fail_at} of {len(passes)} left {changed} changed. "
            "Restore them in a finally clause."
        )


def check_silent(scorer: Any) -> None:
    """Check that nothing is printed with verbose=0."""
    X, y = _data()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        scorer.set_params(verbose=0).fit(X, y)
    assert not printed.getvalue(), f"verbose=0 must be silent; fit printed {printed.getvalue()!r}."


# ------------------------------------------------------------------------------------ unseen rows


def check_both_or_neither_for_unseen_rows(scorer: Any) -> None:
    """Check that `transform` and `score_samples` are offered, or hidden, together."""
    X, y = _data()
    scorer.fit(X, y)
    offered = [hasattr(scorer, name) for name in ("transform", "score_samples")]
    assert len(set(offered)) == 1, (
        "Either unseen rows can be scored, then offer transform and score_samples, or they cannot, "
        "then hide both (sklearn.utils.metaestimators.available_if)."
    )


def check_transform_and_names(scorer: Any) -> None:
    """Check the shape, type, first column and column names of `transform`."""
    X, y = _data()
    scorer.fit(X, y)
    if not _reads_unseen_rows(scorer):
        return
    columns = scorer.transform(X[:7])
    names = scorer.get_feature_names_out()
    assert columns.shape == (7, len(names)), (
        f"transform must return one row per row of X and one column per name; it returns "
        f"{columns.shape} for 7 rows and names {list(names)}."
    )
    assert columns.dtype == np.float32, f"transform must return float32; got {columns.dtype}."
    assert np.array_equal(columns[:, 0], scorer.score_samples(X[:7]), equal_nan=True), (
        "The first column of transform must be score_samples."
    )
    twin = _seeded(scorer).fit_transform(X, y)
    assert np.array_equal(twin, scorer.transform(X), equal_nan=True), (
        "fit_transform(X, y) must equal fit(X, y).transform(X)."
    )


def check_rows_do_not_see_each_other(scorer: Any) -> None:
    """Check that a row's score is the same alone, in a subset and in another order."""
    X, y = _data()
    scorer.fit(X, y)
    if not _reads_unseen_rows(scorer):
        return
    for labels in (None, y):
        whole = scorer.score_samples(X, labels)
        order = np.random.default_rng(0).permutation(60)
        for rows in (order, order[:11], order[:1]):
            part = scorer.score_samples(X[rows], None if labels is None else labels[rows])
            np.testing.assert_allclose(
                part,
                whole[rows],
                rtol=1e-4,
                atol=1e-5,
                err_msg=(
                    "A row's score depends on the other rows of the call. Normalise by statistics "
                    "stored at fit, and score in eval mode."
                ),
            )


def check_given_labels_matter(scorer: Any) -> None:
    """Check that unseen rows are scored with the labels given for them.

    A score that does not depend on the label, such as the entropy of the prediction, says so by
    the attribute ``_ignores_labels_of_unseen_rows = True``.
    """
    X, y = _data()
    scorer.fit(X, y)
    ignores = getattr(scorer, "_ignores_labels_of_unseen_rows", False)
    if ignores or not _reads_unseen_rows(scorer):
        return
    given, others = (scorer.score_samples(X, labels) for labels in (y, (y + 1) % 3))
    assert not np.allclose(given, others, equal_nan=True), (
        "score_samples(X, y) is the same for every y. Score rows with the labels given for them, "
        "or set the attribute _ignores_labels_of_unseen_rows = True if they do not matter."
    )


def check_unknown_labels_are_refused(scorer: Any) -> None:
    """Check that labels unknown to the fit are refused by name."""
    X, y = _data()
    scorer.fit(X, y)
    if not _reads_unseen_rows(scorer):
        return
    message = _error_of(lambda: scorer.score_samples(X[:3], [0, 1, 99]))
    assert "99" in message, (
        "score_samples must refuse labels that the fit has not seen, and name them; the label 99 "
        f"gave {message!r}."
    )


def check_survives_pickle(scorer: Any) -> None:
    """Check that a pickled scorer keeps its scores, and that its pickle holds no copy of X.

    A score that looks for neighbours among the training rows may keep them, as nearest-neighbour
    estimators do, if a parameter ``pickle_bank=False`` leaves them out.
    """
    X, y = _data()
    wide = np.random.default_rng(0).normal(size=(120, 2000)).astype(np.float32)
    scorer.fit(X, y)
    copy = pickle.loads(pickle.dumps(scorer))
    assert np.array_equal(copy.difficulty_, scorer.difficulty_, equal_nan=True), (
        "difficulty_ does not survive pickling."
    )
    if scorer.estimator is None:
        if "pickle_bank" in scorer.get_params(deep=False):
            scorer.set_params(pickle_bank=False)
        # The network does not grow with the number of rows, and half a byte holds no number of X.
        small, large = (
            len(pickle.dumps(_seeded(scorer).fit(wide[:n], np.tile(y, 2)[:n]))) for n in (60, 120)
        )
        assert large - small < wide[60:].size / 2, (
            f"The pickle of a fitted scorer grows by {(large - small) // 60} bytes a row of "
            f"{wide.shape[1]} features: it seems to hold X. Keep what describes a row, or a hash; "
            "if unseen rows cannot be scored without X, offer pickle_bank=False."
        )


# -------------------------------------------------------------------------------------- bad input


def check_nonfinite_rows_are_named(scorer: Any) -> None:
    """Check that NaN and inf in X are refused with the numbers of their rows."""
    X, y = _data()
    X[[17, 41], 2] = np.nan, np.inf
    message = _error_of(lambda: scorer.fit(X, y))
    assert "17" in message, f"NaN in row 17 of X must be refused naming the row; got {message!r}."
    assert "41" in message, f"inf in row 41 of X must be refused naming the row; got {message!r}."


def check_one_class_is_refused(scorer: Any) -> None:
    """Check that y with a single class is refused."""
    X, _ = _data()
    message = _error_of(lambda: scorer.fit(X, np.zeros(60, dtype=int)))
    assert "class" in message, f"y with one class must be refused; got {message!r}."


# ------------------------------------------------------------------------------- records in place


def check_scores_stand_in_the_order_of_rows(scorer: Any) -> None:
    """Check that rows in another order get the same scores from a record, in that order."""
    X, y = _data()
    record = _record_of(scorer.fit(X, y))
    if record is None:
        return
    reader = clone(scorer).set_params(estimator=record)
    order = np.random.default_rng(0).permutation(60)
    straight = clone(reader).fit(X, y).difficulty_
    try:
        shuffled = clone(reader).fit(X[order], y[order]).difficulty_
    except ValueError as error:
        if "other rows" in str(error):  # it needs the very rows of the training
            return
        raise
    np.testing.assert_allclose(
        shuffled,
        straight[order],
        rtol=1e-4,
        atol=1e-5,
        err_msg=(
            "The rows in another order do not get the same scores in that order. difficulty_[i] "
            "must be the score of row i of X."
        ),
    )


def check_reads_a_record(scorer: Any) -> None:
    """Check that a record in place of the network is not trained again, copied or tuned."""
    X, y = _data()
    record = _record_of(scorer.fit(X, y))
    if record is None:
        return
    reader = clone(scorer).set_params(estimator=record)
    assert clone(reader).estimator is record, "clone copied the record; it must pass it on."
    before = [p.detach().clone() for p in record.module.parameters()]
    reader.fit(X, y)
    same = all(torch.equal(a, b) for a, b in zip(before, record.module.parameters(), strict=True))
    assert same, "fit on a record changed its weights; it must only read them."
    assert reader.record_ is record, "fit on a record must keep that record as record_."
    np.testing.assert_allclose(
        reader.difficulty_,
        scorer.difficulty_,
        rtol=1e-5,
        err_msg="The scores read from a record differ from those of the fit that made it.",
    )
    message = _error_of(lambda: reader.set_params(estimator__lr=0.1))
    assert "already trained" in message, (
        "set_params(estimator__...) on a record must say that it is already trained; it said "
        f"{message!r}."
    )


def check_reads_an_ensemble(scorer: Any) -> None:
    """Check that a fitted ensemble in place of the network is read as it is."""
    X, y = _data()
    ensemble = getattr(scorer.fit(X, y), "ensemble_", None)
    if ensemble is None:
        return
    reader = clone(scorer).set_params(estimator=ensemble)
    assert clone(reader).estimator is ensemble, (
        "clone copied the ensemble, and a copy is not fitted; it must pass it on."
    )
    reader.fit(X, y)
    assert reader.ensemble_ is ensemble, "fit on an ensemble must keep that one as ensemble_."
    np.testing.assert_array_equal(
        reader.difficulty_,
        scorer.difficulty_,
        err_msg="The scores read from an ensemble differ from those of the fit that trained it.",
    )
    message = _error_of(lambda: reader.set_params(estimator__lr=0.1))
    assert "already trained" in message, (
        "set_params(estimator__...) on a fitted ensemble must say that it is already trained; it "
        f"said {message!r}."
    )
    message = _error_of(lambda: clone(reader).fit(X[::-1].copy(), y))
    assert "other rows" in message, (
        "An ensemble that was trained on other rows must be refused; fit on rows in another order "
        f"said {message!r}."
    )


_CHECKS: tuple[Check, ...] = (
    check_docstring_states_sign,
    check_only_estimator_is_positional,
    check_common_parameters,
    check_difficulty_of_training_rows,
    check_fitted_attributes,
    check_same_seed_same_scores,
    check_labels_of_any_type,
    check_surroundings_untouched,
    check_failed_fit_restores_surroundings,
    check_silent,
    check_both_or_neither_for_unseen_rows,
    check_transform_and_names,
    check_rows_do_not_see_each_other,
    check_given_labels_matter,
    check_unknown_labels_are_refused,
    check_survives_pickle,
    check_nonfinite_rows_are_named,
    check_one_class_is_refused,
    check_scores_stand_in_the_order_of_rows,
    check_reads_a_record,
    check_reads_an_ensemble,
)
