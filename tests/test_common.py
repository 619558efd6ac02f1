# SPDX-License-Identifier: BSD-3-Clause
"""Every public estimator passes scikit-learn's checks and ours, without an expected failure."""

import importlib
import inspect
import pkgutil
import random
import threading
import time
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from instances import ALL, INSTANCES, SCORERS, SMALLEST_SCORERS
from sklearn.base import BaseEstimator, clone
from sklearn.utils.estimator_checks import check_param_validation, parametrize_with_checks

import sklearn_difficulty
from sklearn_difficulty import ConsistencyScorer, TrainingRecord, VoGScorer, estimator_checks
from sklearn_difficulty.estimator_checks._material import seeded
from sklearn_difficulty.scorers._base_ensemble import EnsembleTraining
from sklearn_difficulty.scorers._trained_source import SingleTraining
from sklearn_difficulty.training import default_network


def public_estimators():
    modules = [sklearn_difficulty] + [
        importlib.import_module(f"sklearn_difficulty.{room.name}")
        for room in pkgutil.iter_modules(sklearn_difficulty.__path__)
    ]
    found = {
        value
        for module in modules
        for name in getattr(module, "__all__", ())
        if inspect.isclass(value := getattr(module, name))
        and issubclass(value, BaseEstimator)
        and not inspect.isabstract(value)
    }
    return sorted(found, key=lambda cls: cls.__name__)


def test_every_public_estimator_is_checked():
    assert set(public_estimators()) == set(INSTANCES)


@pytest.mark.filterwarnings("ignore::UserWarning")
@parametrize_with_checks(ALL, xfail_strict=True)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_parameter_constraints(estimator):
    check_param_validation(type(estimator).__name__, estimator)


CHECKS = {check.__name__: check for check in estimator_checks._CHECKS}
# The checks that fit often see one instance of each class.
EXPENSIVE = {
    "check_rows_in_any_container",
    "check_fit_forgets_the_one_before",
    "check_labels_are_routed",
    "check_works_in_a_search",
    "check_estimator_is_left_reusable",
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("scorer", "check"),
    [
        pytest.param(scorer, check, id=f"{scorer}-{name}")
        for name, check in CHECKS.items()
        for scorer in (SMALLEST_SCORERS if name in EXPENSIVE else SCORERS)
    ],
)
def test_difficulty_checks(scorer, check):
    check(seeded(scorer))


# ------------------------------------------------- the checks themselves must be able to fail


def broken(base=VoGScorer, /, **overrides):
    """A scorer with some of its methods replaced."""
    body = {"__doc__": base.__doc__, "__module__": __name__, **overrides}
    settings = {"checkpoints": 2} if base is VoGScorer else {"n_members": 2, "train_size": 0.5}
    return type("Broken", (base,), body)(**settings)


def fit_after(prepare):
    """A fit that first does something to the scorer, X and y, and goes on with what it returns."""

    def fit(self, X, y=None, **metadata):
        return VoGScorer.fit(self, *prepare(self, X, y), **metadata)

    return fit


def fit_before(finish):
    """A fit that does something to the scorer and X in the end."""

    def fit(self, X, y=None, **metadata):
        VoGScorer.fit(self, X, y, **metadata)
        finish(self, X)
        return self

    return fit


def scored(change):
    """Training scores that are changed before they are kept."""

    def _score_training_rows(self, X, targets, progress):
        return change(VoGScorer._score_training_rows(self, X, targets, progress))

    return {"_score_training_rows": _score_training_rows}


def unseen(change):
    """Unseen rows of which the scores are changed."""

    def score_samples(self, X, y=None):
        return change(VoGScorer.score_samples(self, X, y))

    return {"score_samples": score_samples}


def positional_init(self, estimator=None, checkpoints=10, *, random_state=None):
    VoGScorer.__init__(self, estimator, checkpoints=checkpoints, random_state=random_state)


def seeded_init(
    self, estimator=None, *, checkpoints=10, undefined="nan", random_state=0, verbose=0
):
    VoGScorer.__init__(self, estimator, checkpoints=checkpoints, random_state=random_state)


def print_epoch(self, X, y):
    print("epoch 1")
    return X, y


def draw_from_the_order_in_memory(self, X, y):
    return (X[::-1] if np.isfortran(np.asarray(X)) else X), y


def half_of_a_score(self, X, y=None):
    return VoGScorer.score_samples(self, X, y) / (2 if isinstance(X, list) else 1)


def count_fits(self, X):
    if hasattr(self, "_first"):
        self._second = True
    self._first = True


def keep_scores(self, X, y=None, **metadata):
    before = dict(vars(self))
    try:
        return VoGScorer.fit(self, X, y, **metadata)
    except ValueError:
        vars(self).update(before)
        raise


def read_again_and_again(self, X):
    if isinstance(self.estimator, TrainingRecord):
        self.record_.module.train()(torch.from_numpy(X))
        self.record_.module.eval()


def train_on(self, X, y, view, groups, progress):
    targets = ConsistencyScorer._train(self, X, y, view, groups, progress)
    if self.estimator is not None:
        clone(self.estimator_).fit(X.data, targets)
    return targets


def leave_another_network(self, X):
    self.estimator_ = default_network(X, np.arange(60) % 3).set_params(lr=0.5)


def leave_a_module(self, X):
    self.estimator_ = self.record_.module


def draw(self, X, y):
    np.random.rand()
    return X, y


def set_benchmark(self, X, y):
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    return X, y


def write(self, X, y):
    X[0] += 1
    return X, y


def fit_that_restores_in_the_end(self, X, y=None, **metadata):
    state = torch.get_rng_state()
    torch.manual_seed(0)
    VoGScorer.fit(self, X, y, **metadata)
    torch.set_rng_state(state)
    return self


def reading_that_restores_in_the_end(self, X, targets, progress):
    state = np.random.get_state()
    np.random.seed(0)
    scores = VoGScorer._score_training_rows(self, X, targets, progress)
    np.random.set_state(state)
    return scores


def forget_seed(self, X, y):
    return self.set_params(random_state=None) and X, y


def seed_from_numpy(self, X, y):
    state = np.random.get_state()
    self.set_params(random_state=np.random.randint(1000))
    np.random.set_state(state)
    return X, y


def invent_a_class(self, X, y):
    y = np.array(y)
    y[0] += (y == y[0]).all()
    return X, y


def train_further(self, X):
    if isinstance(self.estimator, TrainingRecord):
        with torch.no_grad():
            next(self.record_.module.parameters()).mul_(1.01)


def copy_record(self, X):
    self.record_ = copy(self.record_)


def keep_rows(dtype):
    return {"fit": fit_before(lambda self, X: setattr(self, "rows_", X.astype(dtype)))}


def forgetting_state(self):
    return {**VoGScorer.__getstate__(self), "difficulty_": np.zeros(60, np.float32)}


def forgetting_scale(self):
    return {**VoGScorer.__getstate__(self), "raw_mean_": np.ones(3)}


def keep_what_a_call_brings(self, X, y=None):
    self.turn_ = threading.get_ident()
    time.sleep(0.01)
    return VoGScorer.score_samples(self, X, y) * (1 + (self.turn_ != threading.get_ident()))


def leave_a_trace(self, X, y=None):
    self.n_calls_ = getattr(self, "n_calls_", 0) + 1
    return VoGScorer.score_samples(self, X, y) * (1 + (self.n_calls_ > 32))


def ignore_labels(self, X, y=None):
    if y is not None:
        self.record_.targets(X, y)
    return VoGScorer.score_samples(self, X)


def replace_unknown_labels(self, X, y=None):
    known = None if y is None else np.where(np.isin(y, self.classes_), y, self.classes_[0])
    return VoGScorer.score_samples(self, X, known)


def train_another_ensemble(self, X, y, view, groups, progress):
    given, self.estimator = self.estimator, None
    targets = ConsistencyScorer._train(self, X, y, view, groups, progress)
    self.estimator = given
    return targets


class RecordOfAnyRows(SingleTraining):
    """A source that takes a given record for other rows than its own."""

    def _compare_rows(self, record, X, targets, needs):
        pass


def read_records_of_any_rows(self):
    source = VoGScorer._trained_source(self)
    return RecordOfAnyRows(**vars(source))


class OfAnyRows(EnsembleTraining):
    """A source that takes a given ensemble for other rows than its own."""

    def _targets_of_its_rows(self, ensemble, X, y):
        return ensemble.targets(X, y)


def read_any_rows(self):
    return OfAnyRows.of(self, train_size=lambda: self.train_size, readout=lambda: None)


# Every check with scorers that it must catch, and a part of what it says about them.
MUTANTS = [
    ("docstring_states_sign", {"__doc__": "Variance of gradients."}, "larger = harder"),
    ("only_estimator_is_positional", {"__init__": positional_init}, r"\['checkpoints'\]"),
    ("common_parameters", {"__init__": positional_init}, "has the parameter 'undefined'"),
    ("common_parameters", {"__init__": seeded_init}, "default of 'random_state' must be None"),
    ("difficulty_of_training_rows", scored(lambda s: s.repeat(2)), "one number per training row"),
    ("difficulty_of_training_rows", scored(np.zeros_like), "say nothing"),
    ("difficulty_of_training_rows", scored(lambda s: s / (s > 0)), "holds inf"),
    (
        "fitted_attributes",
        {"fit": fit_before(lambda self, X: delattr(self, "n_features_in_"))},
        r"must set \['n_features_in_'\]",
    ),
    (
        "fitted_attributes",
        {"fit": fit_before(lambda self, X: delattr(self, "record_"))},
        "keep what it trained",
    ),
    ("same_seed_same_scores", {"fit": fit_after(forget_seed)}, "from a stream of its own"),
    ("same_seed_same_scores", {"fit": fit_after(seed_from_numpy)}, "from a stream of its own"),
    (
        "same_seed_same_scores",
        scored(lambda s: s + np.random.normal(size=len(s))),
        "and the scoring after it",
    ),
    (
        "same_seed_same_scores",
        unseen(lambda s: s + np.random.normal(size=len(s))),
        "score_samples differs between two calls",
    ),
    (
        "labels_of_any_type",
        {"fit": fit_after(lambda self, X, y: (X, np.unique(y, return_inverse=True)[1]))},
        "hold the labels as given",
    ),
    (
        "labels_of_any_type",
        {"fit": fit_after(lambda self, X, y: (X if y.dtype == int else X**3, y))},
        "Encode the labels",
    ),
    (
        "rows_in_any_container",
        {"fit": fit_after(draw_from_the_order_in_memory)},
        "in Fortran's order gets other",
    ),
    ("rows_in_any_container", {"score_samples": half_of_a_score}, "a list gets other scores"),
    ("fit_forgets_the_one_before", {"fit": fit_before(count_fits)}, "differs in {'_second'}"),
    ("fit_forgets_the_one_before", {"fit": keep_scores}, "A fit that fails must not leave"),
    (
        "fit_forgets_the_one_before",
        {"__sklearn_clone__": copy},
        "A clone must not be fitted",
    ),
    ("surroundings_untouched", {"fit": fit_after(draw)}, "the generator of numpy"),
    ("surroundings_untouched", {"fit": fit_after(set_benchmark)}, "cudnn.benchmark"),
    ("surroundings_untouched", {"fit": fit_after(write)}, "wrote to X"),
    (
        "failed_fit_restores_surroundings",
        {"fit": fit_that_restores_in_the_end},
        "the generator of torch",
    ),
    (
        "failed_fit_restores_surroundings",
        {"_score_training_rows": reading_that_restores_in_the_end},
        "the generator of numpy",
    ),
    ("silent", {"fit": fit_after(print_epoch)}, "must be silent"),
    (
        "both_or_neither_for_unseen_rows",
        {"score_samples": property(lambda self: self.hidden)},
        "or they cannot",
    ),
    (
        "transform_and_names",
        {"_column_names": property(lambda self: ["vog", "size"])},
        "one column per name",
    ),
    (
        "transform_and_names",
        {"transform": lambda self, X, y=None: -VoGScorer.transform(self, X, y)},
        "must be score_samples",
    ),
    (
        "labels_are_routed",
        {"_Broken__metadata_request__transform": {"y": None}},
        "Request y for transform",
    ),
    (
        "labels_are_routed",
        {"transform": lambda self, X, y=None: VoGScorer.transform(self, X)},
        "in a pipeline too",
    ),
    (
        "rows_do_not_see_each_other",
        unseen(lambda s: (s - s.mean()) / (s.std() + 1e-3)),
        "on the other rows",
    ),
    ("threads_get_the_same", {"score_samples": keep_what_a_call_brings}, "at once get other"),
    ("threads_get_the_same", {"score_samples": leave_a_trace}, "left the scorer"),
    ("given_labels_matter", {"score_samples": ignore_labels}, "the same for every y"),
    ("unknown_labels_are_refused", {"score_samples": replace_unknown_labels}, "label 99"),
    ("survives_pickle", {"__getstate__": forgetting_state}, "does not survive"),
    ("survives_pickle", {"__getstate__": forgetting_scale}, "score_samples does not survive"),
    ("survives_pickle", keep_rows(np.float64), "seems to hold X"),
    ("survives_pickle", keep_rows(np.float16), "seems to hold X"),
    ("survives_pickle", keep_rows(np.int8), "seems to hold X"),
    (
        "nonfinite_rows_are_named",
        {"fit": fit_after(lambda self, X, y: (np.nan_to_num(X, posinf=0), y))},
        "naming the row",
    ),
    ("one_class_is_refused", {"fit": fit_after(invent_a_class)}, "must be refused"),
    ("scores_stand_in_the_order_of_rows", scored(lambda s: s[::-1].copy()), "score of row i"),
    ("scores_stand_in_the_order_of_rows", scored(np.sort), "score of row i"),
    ("reads_a_record", {"fit": fit_before(train_further)}, "changed its weights"),
    ("reads_a_record", {"fit": fit_before(copy_record)}, "must keep that record"),
    ("reads_a_record", {"fit": fit_before(read_again_and_again)}, "a record trained again"),
    ("reads_a_record", {"_trained_source": read_records_of_any_rows}, "other rows must be refused"),
    (
        "reads_an_ensemble",
        {"__sklearn_clone__": BaseEstimator.__sklearn_clone__},
        "clone copied the ensemble",
    ),
    ("reads_an_ensemble", {"_train": train_another_ensemble}, "must keep that one"),
    ("reads_an_ensemble", {"_trained_source": read_any_rows}, "must be refused"),
    ("reads_an_ensemble", {"_train": train_on}, "an ensemble trained again"),
    (
        "works_in_a_search",
        {"fit": fit_after(lambda self, X, y: (setattr(self, "estimator", None) or X, y))},
        "does not reach the network",
    ),
    ("works_in_a_search", scored(lambda s: np.where(s > 0, s, np.inf)), "not finite"),
    ("estimator_is_left_reusable", {"fit": fit_before(leave_a_module)}, "fit cannot use what"),
    ("estimator_is_left_reusable", {"fit": fit_before(leave_another_network)}, "the same scores"),
]


@pytest.fixture
def restored_surroundings():
    """Put back what the broken scorers leave behind."""
    # Not `isolated_rng`, whose lock the threads of a check would wait for.
    benchmark = torch.backends.cudnn.benchmark
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    yield
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])
    torch.backends.cudnn.benchmark = benchmark


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@pytest.mark.usefixtures("restored_surroundings")
@pytest.mark.parametrize(("check", "overrides", "message"), MUTANTS)
def test_difficulty_checks_catch(check, overrides, message, monkeypatch):
    # The class must be found again by its name to be pickled.
    base = ConsistencyScorer if check == "reads_an_ensemble" else VoGScorer
    scorer = broken(base, **overrides).set_params(random_state=0)
    monkeypatch.setitem(globals(), "Broken", type(scorer))
    with pytest.raises(AssertionError, match=message):
        CHECKS[f"check_{check}"](scorer)


def test_every_difficulty_check_can_fail():
    checks = set(CHECKS)
    assert {f"check_{check}" for check, *_ in MUTANTS} == checks
    assert checks >= EXPENSIVE


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_scores_without_labels_say_so():
    scorer = broken(score_samples=ignore_labels, _ignores_labels_of_unseen_rows=True)
    CHECKS["check_given_labels_matter"](scorer.set_params(random_state=0))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_scorers_that_need_the_very_rows_are_not_given_others():
    class Strict(VoGScorer):
        def _needs(self):
            return replace(super()._needs(), same_rows=True)

    scorer = Strict(checkpoints=2, random_state=0)
    CHECKS["check_scores_stand_in_the_order_of_rows"](scorer)
    record = scorer.record_
    with pytest.raises(ValueError, match=r"trained on other rows \(another X\); pass the net"):
        Strict(record, checkpoints=2).fit(np.ones((60, 5)), np.arange(60) % 3)
