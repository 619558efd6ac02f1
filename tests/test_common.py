# SPDX-License-Identifier: BSD-3-Clause
"""Every public estimator passes scikit-learn's checks and ours, without an expected failure."""

import importlib
import inspect
import pkgutil
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import HuberRegressor
from sklearn.utils.estimator_checks import check_param_validation, parametrize_with_checks
from skorch import NeuralNetRegressor

import sklearn_difficulty
from sklearn_difficulty import (
    ConsistencyScorer,
    DifficultyFilter,
    DifficultyQuadrantClassifier,
    DifficultyScorer,
    FilteredClassifier,
    FilteredRegressor,
    LabelErrorScorer,
    MarginScorer,
    MemorizationScorer,
    NeighborConfidenceScorer,
    PredictionDepthScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
    estimator_checks,
)
from sklearn_difficulty._randomness import isolated_rng
from sklearn_difficulty.scorers._base import BaseDifficultyScorer
from sklearn_difficulty.scorers._ensemble_source import EnsembleTraining
from sklearn_difficulty.training import MLP, ResampledEnsemble

FEW_MEMBERS = LabelErrorScorer(n_members=2, train_size=0.5, n_neighbors=2, random_state=0)


class AdaptingNet(NeuralNetRegressor):
    """Has as many inputs and outputs as its training rows."""

    def fit(self, X, y, **fit_params):
        self.set_params(module__n_inputs=X.shape[1], module__n_outputs=y[0].size)
        return super().fit(X, y, **fit_params)

    def __repr__(self):  # skorch's own differs from process to process, and names the tests
        return "AdaptingNet()"


LOSS = TrainingDynamicsScorer(
    AdaptingNet(MLP, module__hidden_units=(4,), max_epochs=2, verbose=0),
    measure="loss",
    random_state=0,
)

# The one table of small instances; a public estimator without an entry fails the first test.
INSTANCES = {
    ConsistencyScorer: [
        ConsistencyScorer(n_members=4, train_size=0.5),
        ConsistencyScorer(n_members=2, train_size=0.7, keep_members=False, undefined="max"),
    ],
    DifficultyFilter: [
        DifficultyFilter(TrainingDynamicsScorer(), drop=0.1),
        DifficultyFilter(
            DifficultyQuadrantClassifier(n_members=2, validation_size=0.5, n_neighbors=2),
            quadrants=("looks_like_a_different_class",),
        ),
    ],
    DifficultyQuadrantClassifier: [
        DifficultyQuadrantClassifier(n_members=2, validation_size=0.5, n_neighbors=2),
    ],
    DifficultyScorer: [
        DifficultyScorer(scores=["confidence", "forgetting", VoGScorer(checkpoints=2)]),
        DifficultyScorer(
            scores=[("depth", PredictionDepthScorer(n_neighbors=2)), "input_margin", "aum"],
            undefined="max",
        ),
    ],
    FilteredClassifier: [
        FilteredClassifier(),
        FilteredClassifier(scorer=FEW_MEMBERS, action="weight"),
        FilteredClassifier(LinearDiscriminantAnalysis(), scorer=FEW_MEMBERS, action="relabel"),
    ],
    FilteredRegressor: [
        FilteredRegressor(scorer=LOSS),
        FilteredRegressor(HuberRegressor(), scorer=LOSS, drop=0.2),
    ],
    LabelErrorScorer: [
        LabelErrorScorer(n_members=2, train_size=0.5, n_neighbors=2),
        LabelErrorScorer(n_members=2, n_neighbors=None, keep_members=False, undefined="max"),
        LabelErrorScorer(method="one_fit"),
        LabelErrorScorer(method="neighbors", n_neighbors=2, noise="instance"),
    ],
    MarginScorer: [
        MarginScorer(),
        MarginScorer(kind="input"),
        MarginScorer(kind="input", log=True, undefined="max"),
    ],
    MemorizationScorer: [MemorizationScorer(n_members=4, train_size=0.5)],
    NeighborConfidenceScorer: [
        NeighborConfidenceScorer(n_neighbors=3),
        NeighborConfidenceScorer(n_neighbors=1, probes=r"layers\..", undefined="max"),
    ],
    PredictionDepthScorer: [
        PredictionDepthScorer(n_neighbors=3),
        PredictionDepthScorer(n_neighbors=2, metric="cosine", normalize=True, undefined="max"),
        PredictionDepthScorer(n_neighbors=2, probes=["layers.0"], include_input=False),
    ],
    ResampledEnsemble: [ResampledEnsemble(n_members=2, train_size=0.5)],
    TrainingDynamicsScorer: [
        TrainingDynamicsScorer(),
        TrainingDynamicsScorer(measure="aum", mode="evaluation", checkpoints="late"),
        TrainingDynamicsScorer(measure="entropy", undefined="max"),
        TrainingDynamicsScorer(measure="forgetting"),
        TrainingDynamicsScorer(measure="grand", checkpoints=2),
    ],
    VoGScorer: [
        VoGScorer(checkpoints=2),
        VoGScorer(checkpoints="late", target="loss", formula="mean_std", normalize="dataset"),
        VoGScorer(checkpoints=[0, 20], target="probability", formula="cvpr", normalize=None),
    ],
}
ALL = [instance for instances in INSTANCES.values() for instance in instances]
SCORERS = [instance for instance in ALL if isinstance(instance, BaseDifficultyScorer)]


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


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("check", estimator_checks._CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("scorer", SCORERS, ids=str)
def test_difficulty_checks(scorer, check):
    check(estimator_checks._seeded(scorer))


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
        "rows_do_not_see_each_other",
        unseen(lambda s: (s - s.mean()) / (s.std() + 1e-3)),
        "on the other rows",
    ),
    ("given_labels_matter", {"score_samples": ignore_labels}, "the same for every y"),
    ("unknown_labels_are_refused", {"score_samples": replace_unknown_labels}, "label 99"),
    ("survives_pickle", {"__getstate__": forgetting_state}, "does not survive"),
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
    (
        "reads_an_ensemble",
        {"__sklearn_clone__": BaseEstimator.__sklearn_clone__},
        "clone copied the ensemble",
    ),
    ("reads_an_ensemble", {"_train": train_another_ensemble}, "must keep that one"),
    ("reads_an_ensemble", {"_trained_source": read_any_rows}, "must be refused"),
]


@pytest.fixture
def restored_surroundings():
    """Put back what the broken scorers leave behind."""
    benchmark = torch.backends.cudnn.benchmark
    with isolated_rng(7):
        yield
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
        getattr(estimator_checks, f"check_{check}")(scorer)


def test_every_difficulty_check_can_fail():
    checks = {check.__name__ for check in estimator_checks._CHECKS}
    assert {f"check_{check}" for check, *_ in MUTANTS} == checks
    defined = {name for name in vars(estimator_checks) if name.startswith("check_")}
    assert defined - {"check_difficulty_scorer"} == checks


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_scores_without_labels_say_so():
    scorer = broken(score_samples=ignore_labels, _ignores_labels_of_unseen_rows=True)
    estimator_checks.check_given_labels_matter(scorer.set_params(random_state=0))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_scorers_that_need_the_very_rows_are_not_given_others():
    class Strict(VoGScorer):
        def _needs(self):
            return replace(super()._needs(), same_rows=True)

    scorer = Strict(checkpoints=2, random_state=0)
    estimator_checks.check_scores_stand_in_the_order_of_rows(scorer)
    record = scorer.record_
    with pytest.raises(ValueError, match=r"trained on other rows \(another X\); pass the net"):
        Strict(record, checkpoints=2).fit(np.ones((60, 5)), np.arange(60) % 3)
