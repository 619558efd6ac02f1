# SPDX-License-Identifier: BSD-3-Clause
"""ConFragSelector and ConFragRegressor: what is selected, trained on, refused and warned of."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import EpochScoring, LRScheduler
from small_nets import FlatLogit, Tiny
from torch import nn
from torch.utils.data import RandomSampler, TensorDataset

from sklearn_difficulty import (
    ConFragRegressor,
    ConFragSelector,
    DifficultyFilter,
    FilteredRegressor,
    TrainingRecord,
)
from sklearn_difficulty.curation._experts import Fragments, Votes, _Reading, train_experts
from sklearn_difficulty.curation.confrag_regressor import co_teaching_schedule, rows_of_epochs
from sklearn_difficulty.datasets import make_target_noise
from sklearn_difficulty.inference.embeddings import EmbeddingReader
from sklearn_difficulty.inference.probes import penultimate_probe
from sklearn_difficulty.measures import error_residual_ratio
from sklearn_difficulty.measures.fragments import contrastive_pairs
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.training import MLP

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")

N = 240
X = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
TRUE = (2 * X[:, 0] + X[:, 1]).astype(np.float64)
Y, WRONG, _ = make_target_noise(TRUE, level=0.3, random_state=0)

FAST = {
    "optimizer": torch.optim.Adam,
    "lr": 0.01,
    "max_epochs": 6,
    "batch_size": 16,
    "iterator_train__shuffle": True,
    "train_split": None,
    "verbose": 0,
}


def make_regressor(module=Tiny, **settings):
    sizes = {} if isinstance(module, nn.Module) else {"module__n_outputs": 1}
    return NeuralNetRegressor(module, **(FAST | sizes | settings))


def make_expert(cls=NeuralNetClassifier, module=Tiny, **settings):
    given = {"module__n_outputs": 2, "criterion": nn.CrossEntropyLoss}
    return cls(module, **(FAST | given | settings))


def make_selector(cls=ConFragSelector, net=None, **settings):
    net = make_regressor() if net is None else net
    return cls(net, **({"fragmentation": "count", "random_state": 0} | settings))


DIVERGING = make_expert(
    module=MLP, module__n_inputs=4, module__hidden_units=(8,), optimizer=torch.optim.SGD, lr=1e30
)


@pytest.fixture(scope="module")
def selector():
    return make_selector().fit(X, Y)


@pytest.fixture(scope="module")
def regressor():
    return make_selector(ConFragRegressor, make_regressor(max_epochs=12)).fit(X, Y)


# ------------------------------------------------------------------------------ what is selected


def test_wrong_targets_are_left_out(selector):
    assert roc_auc_score(WRONG, selector.difficulty_) > 0.7
    selected = np.isin(np.arange(N), selector.sample_indices_)
    assert error_residual_ratio(Y, TRUE, selected) < 0.6
    assert selected[~WRONG].mean() > 0.7


def test_what_a_fit_leaves_goes_together(selector):
    assert selector.selected_.shape == (6, N)
    assert_array_equal(selector.sample_indices_, np.flatnonzero(selector.selected_[-1]))
    both = np.concatenate([selector.sample_indices_, selector.dropped_indices_])
    assert_array_equal(np.sort(both), np.arange(N))
    assert_allclose(selector.difficulty_, 1 - selector.selection_probability_, atol=1e-6)
    assert selector.difficulty_.dtype == np.float32
    # Six draws of every row: their share is the probability, but for chance.
    gap = selector.selected_.mean(axis=0) - selector.selection_probability_
    assert abs(gap.mean()) < 0.03
    assert np.bincount(selector.fragment_).tolist() == [60] * 4
    assert "rows selected" in repr(selector)


def test_the_regressor_trains_on_what_the_selector_selects(selector, regressor):
    same = make_selector(ConFragRegressor).fit(X, Y)
    assert_array_equal(same.selected_, selector.selected_)
    plain = make_regressor(max_epochs=12).fit(X, Y.astype(np.float32)[:, None])
    error = np.abs(regressor.predict(X) - TRUE).mean()
    assert error < 0.8 * np.abs(plain.predict(X)[:, 0] - TRUE).mean()


def test_equal_seeds_give_equal_results_and_others_do_not(regressor):
    again = clone(regressor).fit(X, Y)
    assert_array_equal(again.selected_, regressor.selected_)
    assert_array_equal(again.predict(X), regressor.predict(X))
    assert_array_equal(pickle.loads(pickle.dumps(again)).predict(X), regressor.predict(X))
    other = clone(regressor).set_params(random_state=1).fit(X, Y)
    assert (other.selected_ != regressor.selected_).any()


def test_units_of_the_target_do_not_matter(regressor):
    scaled = clone(regressor).fit(X, 1024 * Y)
    assert_array_equal(scaled.selected_, regressor.selected_)
    assert_allclose(scaled.predict(X), 1024 * regressor.predict(X), rtol=1e-6)


@pytest.mark.parametrize("view", ["prediction", "representation"])
def test_a_view_alone_selects_less(selector, view):
    alone = make_selector(view=view).fit(X, Y)
    assert (alone.selection_probability_ <= selector.selection_probability_ + 1e-12).all()
    assert alone.selection_probability_.sum() < selector.selection_probability_.sum()


def test_fit_resample_takes_rows_and_targets():
    X_selected, y_selected = make_selector().fit_resample(X, Y)
    assert len(X_selected) == len(y_selected) < N
    kept = make_selector().fit(X, Y).sample_indices_
    assert_array_equal(X_selected, X[kept])
    assert_array_equal(y_selected, Y[kept])


def test_filters_take_it_as_a_scorer(selector):
    filtered = FilteredRegressor(Ridge(), scorer=make_selector(), drop=0.2).fit(X, Y)
    assert_array_equal(filtered.difficulty_, selector.difficulty_)
    assert WRONG[filtered.dropped_indices_].mean() > 0.5
    assert len(DifficultyFilter(make_selector(), threshold=0.5).fit_resample(X, Y)[0]) < N


def test_a_dataset_brings_its_targets(selector):
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    assert_array_equal(make_selector().fit(dataset).selected_, selector.selected_)


def test_a_search_tunes_the_network():
    search = GridSearchCV(make_selector(ConFragRegressor), {"estimator__lr": [1e-4, 0.01]}, cv=2)
    assert search.fit(X, Y).best_params_ == {"estimator__lr": 0.01}
    with pytest.raises(ValueError, match="estimator is None"):
        ConFragSelector().set_params(estimator__lr=0.1)


# ------------------------------------------------------------------------ fragments and experts


class Watched(NeuralNetClassifier):
    """Keeps what it is trained on: the first column holds the numbers of the rows."""

    seen = []

    def on_epoch_begin(self, *args, **kwargs):
        super().on_epoch_begin(*args, **kwargs)
        Watched.seen.append({})

    def train_step(self, batch, **params):
        rows = batch[0][:, 0].long().tolist()
        Watched.seen[-1].update(zip(rows, batch[1].tolist(), strict=True))
        return super().train_step(batch, **params)


@pytest.mark.parametrize("pairs", [contrastive_pairs(4), np.array([[0, 1], [2, 3]])])
def test_every_row_is_trained_on_with_the_fragment_of_its_own_target(pairs):
    Watched.seen = []
    n_epochs = 5
    fragments = Fragments.of(Y, 4, "length", 0.1, n_epochs, seed=0)
    numbered = as_rows(np.column_stack([np.arange(N), X[:, 1:]]).astype(np.float32))
    train_experts(
        make_expert(Watched, max_epochs=n_epochs, lr=1e-4),
        numbered,
        numbered,
        fragments,
        pairs,
        views=["prediction"],
        n_neighbors=3,
        seed=0,
        verbose=0,
    )
    assert len({tuple(window) for window in fragments.windows.tolist()}) > 1
    for i, pair in enumerate(pairs):
        for epoch in range(n_epochs):
            window = fragments.windows[epoch]
            inside = np.flatnonzero(np.isin(window, pair))
            found = Watched.seen[i * n_epochs + epoch]
            # A last batch of one row is left out.
            assert set(found) <= set(inside.tolist())
            assert len(found) >= len(inside) - 1
            assert all(window[row] == pair[code] for row, code in found.items())


def test_few_different_targets_are_not_jittered():
    ratings = np.arange(N) % 5
    windows = Fragments.of(ratings.astype(float), 4, "length", 0.1, 6, seed=0).windows
    assert (windows == windows[0]).all()
    assert windows.min() == 0


@pytest.mark.parametrize("n_neighbors", [3, 5])
def test_neighbors_are_nearest_by_cosine_and_never_the_row_itself(n_neighbors):
    twice = np.concatenate([X[:40], X[:40]])  # every row has a copy, which is a neighbour
    codes = np.random.default_rng(0).integers(2, size=60)
    bank = np.arange(60)
    net = make_expert().initialize()
    record = TrainingRecord(net.module_, [], classes=[0, 1])
    rows = as_rows(twice)
    found = _Reading(rows, bank, codes, 80).of(record, "representation", n_neighbors)
    [features] = EmbeddingReader(record).embed(
        rows, [penultimate_probe(record, rows)], batch_size=16
    )
    hidden = net.module_.layers[:2](torch.from_numpy(twice)).detach()
    assert_allclose(features.numpy(), hidden.numpy(), rtol=1e-5)
    unit = features.numpy() / np.linalg.norm(features, axis=1, keepdims=True)
    similarity = unit @ unit[bank].T
    similarity[bank, bank] = -np.inf
    nearest = np.argsort(-similarity, axis=1)[:, :n_neighbors]
    assert (nearest[:20, 0] == np.arange(40, 60)).mean() > 0.9
    n_second = codes[nearest].sum(axis=1)
    expected = np.stack([n_second <= 1, n_second >= n_neighbors - 1], axis=1)
    assert (found == expected).mean() > 0.97  # but for rounding


def test_a_gap_is_no_fragment():
    """An expert with rows in one fragment takes all for it, and what is beside a gap is next."""
    y = np.where(X[:, 0] > 0, 10.0, 0.0) + 0.1 * Y / np.abs(Y).max()
    with pytest.warns(UserWarning, match=r"have \[\d+, 0, 0, \d+\] rows"):
        found = make_selector(fragmentation="length").fit(X, y)
    assert found.selection_probability_.min() == 1
    prior = np.array([[0.9, 0.0, 0.1, 0.0]])
    agrees = np.array([[[[True, False, True, False]]]])
    assert Votes(agrees).probabilities(prior).item() == 1


def test_experts_have_the_regressors_body_and_its_schedule():
    schedule = LRScheduler(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=6)
    r2 = EpochScoring("r2", on_train=True)  # no classifier could be scored by it
    net = make_regressor(callbacks=[("schedule", schedule), ("r2", r2)])
    made = []

    class Noted(Tiny):
        def __init__(self, **settings):
            super().__init__(**settings)
            made.append(self)

    make_selector(net=net.set_params(module=Noted)).fit(X, Y)
    heads = [module.layers[-1].out_features for module in made]
    assert heads.count(2) >= 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mlp = make_regressor(MLP, module__n_inputs=4, module__hidden_units=(8,))
        make_selector(net=mlp).fit(X, Y)


def test_a_given_expert_is_trained_for_its_own_epochs():
    found = make_selector(ConFragRegressor, expert=make_expert(max_epochs=3)).fit(X, Y)
    assert found.selected_.shape == (3, N)
    assert len(found.estimator_.history) == 6


def test_epochs_of_the_regressor_get_those_of_the_experts():
    selected = np.eye(4, dtype=bool)
    assert rows_of_epochs(selected, 8).argmax(axis=1).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert rows_of_epochs(selected, 2).argmax(axis=1).tolist() == [0, 2]
    selected[[0, 2]] = False
    assert rows_of_epochs(selected, 4).argmax(axis=1).tolist() == [1, 1, 1, 3]


# --------------------------------------------------------------------------------- co-teaching


def test_two_networks_teach_each_other():
    found = make_selector(ConFragRegressor, co_teaching=0.3).fit(X, Y)
    first, second = found.estimator_.module_.networks
    assert not torch.equal(first.layers[0].weight, second.layers[0].weight)
    assert found.estimator_.criterion_.forget_rate == pytest.approx(0.075)
    with torch.no_grad():
        mean = (first.eval()(torch.from_numpy(X)) + second.eval()(torch.from_numpy(X))) / 2
    expected = mean[:, 0].double().numpy() * found.target_scale_ + found.target_center_
    assert_allclose(found.predict(X), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="must start from other weights"):
        make_selector(ConFragRegressor, make_regressor(Tiny(4, 1)), co_teaching=0.3).fit(X, Y)


def test_rows_are_left_out_by_and_by():
    net = make_regressor().initialize()
    before, rates = co_teaching_schedule(0.4, 8), []
    for epoch in range(8):
        before(net, epoch)
        rates.append(net.criterion_.forget_rate)
    assert rates == pytest.approx([0, 0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.1])


# ----------------------------------------------------------------------- refused and warned of


@pytest.mark.parametrize(
    ("settings", "y", "message"),
    [
        ({}, np.column_stack([Y, Y]), r"one target .* shape \(240, 2\)"),
        ({}, np.ones(N), "All targets in y are the same"),
        ({}, np.where(WRONG, np.nan, Y), "NaN or inf in 72 row"),
        ({"n_fragments": 5}, Y, "n_fragments must be even"),
        ({"jitter": 0.2}, Y, r"at most 1 / \(2 \(n_fragments - 1\)\) = 0.167"),
        ({"estimator": make_expert()}, Y, "needs a network for regression"),
        ({"expert": make_regressor()}, Y, "is a regressor. Pass a classifier"),
        ({"estimator": make_regressor(FlatLogit)}, Y, "no classifier of two classes"),
        ({"expert": DIVERGING}, Y, r"training diverged"),
        ({"view": "representation", "n_neighbors": 40}, Y[::-1], "No row was selected"),
        (
            {"estimator": make_regressor(iterator_train__sampler=RandomSampler(X))},
            Y,
            "chooses the rows of every epoch",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused(settings, y, message):
    selector = make_selector().set_params(**settings)
    with pytest.raises(ValueError, match=message):
        selector.fit(X, y)
    assert not hasattr(selector, "sample_indices_")


def test_few_rows_are_refused():
    with pytest.raises(ValueError, match="n_samples = 4 is too few for n_fragments=4"):
        make_selector().fit(X[:4], Y[:4])


def test_the_expert_that_diverged_is_named():
    with pytest.raises(ValueError, match="diverged") as caught:
        make_selector(expert=DIVERGING).fit(X, Y)
    assert any("fragments (1, 3)" in note for note in caught.value.__notes__)


def test_a_body_without_a_linear_layer_makes_no_expert():
    class Scaled(nn.Module):
        def __init__(self, n_outputs):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, n_outputs))

        def forward(self, x):
            return x @ self.weight

    with pytest.raises(ValueError, match=r"no linear layer .* Pass expert"):
        make_selector(net=make_regressor(Scaled)).fit(X, Y)
    with pytest.raises(ValueError, match=r"cannot be made before .* Pass expert"):
        make_selector(net=make_regressor(MLP)).fit(X, Y)


def test_unbalanced_fragments_are_warned_of():
    with pytest.warns(UserWarning, match="Take fragmentation='count'"):
        make_selector(fragmentation="length").fit(X, np.exp(2 * Y))


def test_fragments_with_few_rows_have_no_neighbors():
    with pytest.warns(UserWarning, match="too few for n_neighbors=130"):
        found = make_selector(n_neighbors=130).fit(X, Y)
    assert_array_equal(found.selection_probability_, _of_view("prediction"))


def _of_view(view):
    return make_selector(view=view).fit(X, Y).selection_probability_


def test_tables_as_they_come():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=60), "kind": rng.choice(["a", "b"], 60)})
    frame.loc[3, "size"] = np.nan
    y = frame["size"].fillna(0) + 3 * (frame["kind"] == "a")
    found = ConFragRegressor(random_state=0).fit(frame, y)
    predicted = found.predict(frame)
    assert np.corrcoef(predicted, y)[0, 1] > 0.9
    assert_allclose(found.predict(frame[["kind", "size"]][frame.columns]), predicted, rtol=1e-6)
