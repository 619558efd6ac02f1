# SPDX-License-Identifier: BSD-3-Clause
"""What is random in the rows, and the view without it, over the table of instances."""

import warnings

import numpy as np
import pytest
import torch
from instances import OF_NETWORKS
from numpy.testing import assert_array_equal, assert_equal
from sklearn.base import clone
from skorch import NeuralNetClassifier
from small_nets import Tiny, make_net
from torch.utils.data import Dataset, TensorDataset

from sklearn_difficulty import (
    DifficultyFilter,
    FilteredClassifier,
    LabelErrorScorer,
    TrainingDynamicsScorer,
    VoGScorer,
)
from sklearn_difficulty.model_selection import benchmark_scorers, cross_val_difficulty
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.rows.views import differ_between_reads
from sklearn_difficulty.training import ResampledEnsemble

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*have no defined difficulty:UserWarning"),
]
EVALUATED = [TrainingDynamicsScorer(mode="evaluation"), TrainingDynamicsScorer(measure="el2n")]
ENSEMBLE = ResampledEnsemble(n_members=2, train_size=0.5)
DIFFER = "differ between two reads"


class Net(NeuralNetClassifier):
    """Says whether it is in the middle of an epoch."""

    is_training = False

    def run_single_epoch(self, *args, **kwargs):
        Net.is_training = True
        try:
            super().run_single_epoch(*args, **kwargs)
        finally:
            Net.is_training = False


class Jittered(Dataset):
    """The same rows at every training, and random ones whenever they are read otherwise."""

    def __init__(self, X, y):
        self.X, self.y = torch.from_numpy(X), torch.from_numpy(y)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        noise = 0.0 if Net.is_training else torch.randn(4)
        return self.X[index] + noise, self.y[index]


@pytest.fixture
def plain(data):
    return TensorDataset(*(torch.from_numpy(a.copy()) for a in data))


@pytest.fixture
def jittered(data):
    return Jittered(*(a.copy() for a in data))


def seeded(scorer):
    net = make_net(Net, module=Tiny, max_epochs=20)
    return clone(scorer).set_params(estimator=net, random_state=0)


def numbers(fitted):
    """Return all that a scorer says of its training rows."""
    names = ("difficulty_", "difficulties_", "probabilities_", "difficulty_quadrant_")
    names += ("error_probability_",)  # after a single training, of neighbours in the rows
    return {name: getattr(fitted, name) for name in names if hasattr(fitted, name)}


def fitted(scorer, rows, **params):
    """Return a fitted scorer, and how often it has warned of rows that differ."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scorer = seeded(scorer).fit(rows, **params)
    said = [w for w in caught if DIFFER in str(w.message)]
    assert all(w.filename == __file__ for w in said)
    return scorer, [str(w.message) for w in said]


@pytest.mark.parametrize("scorer", [*OF_NETWORKS, *EVALUATED], ids=str)
def test_view_is_scored_in_place_of_random_rows(scorer, plain, jittered):
    expected, said = fitted(scorer, plain)
    assert not said
    viewed, said = fitted(scorer, jittered, scoring_view=plain)
    assert not said
    assert_equal(numbers(viewed), numbers(expected))
    blurred, said = fitted(scorer, jittered)
    a, b = numbers(blurred), numbers(expected)
    is_same = a.keys() == b.keys() and all(
        np.array_equal(a[name], b[name], equal_nan=True) for name in a
    )
    # Warned of once, by those whose scores it changes and by no other.
    assert len(said) == (not is_same)
    assert all("Pass the same rows without it as scoring_view" in text for text in said)
    _, said = fitted(scorer, plain, scoring_view=jittered)
    assert len(said) == (not is_same)
    assert all("that of scoring_view" in text for text in said)


@pytest.mark.parametrize("n_neighbors", [2, None])
def test_ensembles_that_were_asked_before(plain, jittered, n_neighbors):
    reader = LabelErrorScorer(n_neighbors=n_neighbors)
    ensemble = seeded(ENSEMBLE).set_params(keep_members=True, readout=reader.readout())
    expected = clone(reader).set_params(estimator=clone(ensemble).fit(plain)).fit(plain)
    with pytest.warns(UserWarning, match=DIFFER):
        clone(ensemble).fit(jittered)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=f".*{DIFFER}")
        ensemble.fit(jittered, scoring_view=plain)
        found = clone(reader).set_params(estimator=ensemble).fit(jittered)
    assert_array_equal(found.difficulty_, expected.difficulty_)
    other = clone(reader).set_params(estimator=ensemble, n_neighbors=1)
    with pytest.warns(UserWarning, match=DIFFER):  # neighbours are looked for now
        other.fit(jittered)


@pytest.mark.parametrize("scorer", [VoGScorer(checkpoints=2), LabelErrorScorer(n_neighbors=2)])
def test_filters_score_the_view_and_train_on_X(scorer, data, plain):
    X, y = data
    moved = X + np.float32(0.5)
    expected = seeded(scorer).fit(moved, y, scoring_view=plain).difficulty_
    assert not np.array_equal(expected, seeded(scorer).fit(moved, y).difficulty_)
    filtered = FilteredClassifier(scorer=seeded(scorer), drop=0.1)
    filtered.fit(moved, y, scoring_view=plain)
    sampler = DifficultyFilter(seeded(scorer), drop=0.1)
    kept, _ = sampler.fit_resample(moved, y, scoring_view=plain)
    for fit in (filtered, sampler):
        assert_array_equal(fit.difficulty_, expected)
    assert_array_equal(kept, moved[filtered.sample_indices_])
    again = clone(filtered.estimator_).fit(kept, y[filtered.sample_indices_])
    assert_array_equal(again.coef_, filtered.estimator_.coef_)


@pytest.mark.parametrize("scorer", [VoGScorer(checkpoints=2), TrainingDynamicsScorer()], ids=str)
def test_folds_and_benchmarks_score_the_view(scorer, data, plain, jittered):
    _, y = data
    settings = {"cv": 3, "random_state": 0}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=f".*{DIFFER}")
        expected = cross_val_difficulty(seeded(scorer), plain, y, **settings)
        found = cross_val_difficulty(seeded(scorer), jittered, y, scoring_view=plain, **settings)
    assert_array_equal(found, expected)
    with pytest.warns(UserWarning, match=DIFFER) as caught:
        blurred = cross_val_difficulty(seeded(scorer), jittered, y, **settings)
    assert sum(DIFFER in str(w.message) for w in caught) == 1
    assert not np.array_equal(blurred, expected)
    one = {"one": seeded(scorer)}
    settings = {"rate": 0.1, "n_repeats": 1, "random_state": 0}
    expected = benchmark_scorers(plain, y, one, **settings)
    found = benchmark_scorers(jittered, y, one, scoring_view=plain, **settings)
    for name in ("recall", "average_precision", "auroc"):
        assert_array_equal(found[name], expected[name])


class Items(Dataset):
    def __init__(self, make):
        self.make = make

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return self.make(index), 0


@pytest.mark.parametrize(
    ("make", "differs"),
    [
        (lambda i: torch.rand(3), True),
        (lambda i: {"a": np.arange(3), "b": np.random.rand()}, True),  # as users do
        (lambda i: np.zeros(torch.randint(2, 5, ()).item()), True),
        (lambda i: "text"[: 1 + int(torch.randint(4, ()))], True),
        (lambda i: torch.full((3,), torch.nan), False),
        (lambda i: ("text", [i, None]), False),
        (lambda i: object(), False),
    ],
)
def test_items_are_read_twice(make, differs):
    before = torch.get_rng_state(), np.random.get_state()[1]  # the global one
    assert differ_between_reads(as_rows(Items(make))) is differs
    assert torch.equal(torch.get_rng_state(), before[0])
    assert_array_equal(np.random.get_state()[1], before[1])  # the global one
