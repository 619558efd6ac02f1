# SPDX-License-Identifier: BSD-3-Clause
"""Every public estimator passes scikit-learn's checks and ours, without an expected failure."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import check_param_validation, parametrize_with_checks

import sklearn_difficulty
from sklearn_difficulty import VoGScorer, estimator_checks
from sklearn_difficulty.base import BaseDifficultyScorer

# The one table of small instances; a public estimator without an entry fails the first test.
INSTANCES = {
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


def broken(**overrides):
    """A VoGScorer with some of its methods replaced."""
    return type("Broken", (VoGScorer,), {"__doc__": VoGScorer.__doc__, **overrides})(checkpoints=2)


def unsorted_difficulty(self, X, targets, progress):
    return VoGScorer._score_training_rows(self, X, targets, progress).repeat(2)


def from_the_batch(self, X, y=None):
    scores = VoGScorer.score_samples(self, X, y)
    return (scores - scores.mean()) / (scores.std() + 1e-3)


def shouting_fit(self, X, y=None, **metadata):
    print("epoch 1")
    return VoGScorer.fit(self, X, y, **metadata)


def fit_that_imputes(self, X, y=None, **metadata):
    return VoGScorer.fit(self, np.nan_to_num(X, posinf=0), y, **metadata)


def seedless_fit(self, X, y=None, **metadata):
    return VoGScorer.fit(self.set_params(random_state=None), X, y, **metadata)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("check", "overrides", "message"),
    [
        ("docstring_states_sign", {"__doc__": "Variance of gradients."}, "larger = harder"),
        (
            "difficulty_of_training_rows",
            {"_score_training_rows": unsorted_difficulty},
            "one number per training row",
        ),
        ("same_seed_same_scores", {"fit": seedless_fit}, "from a stream of its own"),
        ("silent", {"fit": shouting_fit}, "must be silent"),
        ("rows_do_not_see_each_other", {"score_samples": from_the_batch}, "on the other rows"),
        ("nonfinite_rows_are_named", {"fit": fit_that_imputes}, "naming the row"),
    ],
)
def test_difficulty_checks_catch(check, overrides, message):
    scorer = broken(**overrides).set_params(random_state=0)
    with pytest.raises(AssertionError, match=message):
        getattr(estimator_checks, f"check_{check}")(scorer)
