# SPDX-License-Identifier: BSD-3-Clause
"""What is true of every public scorer, with networks, rows and trainings of every kind.

What any scorer can be held to, a third party's too, is in `estimator_checks`.
"""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from instances import INSTANCES, OF_TARGETS, SMALLEST, SMALLEST_SCORERS
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback
from small_nets import FlatLogit, NeverTrain, Tokens, TwoLayers, TwoTables, Watch, make_net
from torch import nn
from torch.utils.data import Dataset, TensorDataset, default_collate

from sklearn_difficulty import (
    ConFragSelector,
    DifficultyFilter,
    DifficultyQuadrantClassifier,
    DifficultyScorer,
    FilteredClassifier,
    LabelErrorScorer,
    MarginScorer,
    MemorizationScorer,
    NeighborConfidenceScorer,
    NormGradScorer,
    PredictionDepthScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.estimator_checks._fits import check_surroundings_untouched
from sklearn_difficulty.estimator_checks._material import forward_passes
from sklearn_difficulty.model_selection import cross_val_difficulty
from sklearn_difficulty.scorers._base_ensemble import BaseEnsembleScorer
from sklearn_difficulty.training import RecordTraining, ResampledEnsemble, default_network

pytestmark = [
    pytest.mark.usefixtures("one_thread", "seeded"),
    pytest.mark.filterwarnings("ignore:.*have no defined difficulty:UserWarning"),
]

NEIGHBORS = LabelErrorScorer(method="neighbors", n_neighbors=2)
ONE_FIT = LabelErrorScorer(method="one_fit")
ALL = [*SMALLEST_SCORERS, MarginScorer(kind="input"), NEIGHBORS, ONE_FIT]
OF_ENSEMBLES = [s for s in SMALLEST_SCORERS if isinstance(s, BaseEnsembleScorer)]
OF_ENSEMBLES += [s for s in SMALLEST_SCORERS if isinstance(s, LabelErrorScorer)]
OF_TRAININGS = [s for s in ALL if s not in OF_ENSEMBLES]
WITH_BANK = [s for s in ALL if hasattr(s, "pickle_bank") and s is not ONE_FIT]
WITH_BANK = [s for s in WITH_BANK if not isinstance(s, DifficultyScorer)]
WITH_BANK += [DifficultyScorer(scores=[PredictionDepthScorer(n_neighbors=2)])]
OF_TRAJECTORIES = [s for s in ALL if isinstance(s, (TrainingDynamicsScorer, DifficultyScorer))]
OF_TRAJECTORIES += [ONE_FIT]
READINGS = ["score_samples", "transform", "predict", "depths", "influence", "high_influence_pairs"]
READINGS += ["inference_curve", "gradient_maps"]
NEED_LABELS = ["influence", "high_influence_pairs", "inference_curve"]
READ_THE_PREDICTED = (
    *(MarginScorer, NeighborConfidenceScorer, NormGradScorer),
    *(TrainingDynamicsScorer, VoGScorer),
)
# Of labels these ignore or take no side.
WITHOUT_A_SIDE = (VoGScorer, PredictionDepthScorer, DifficultyQuadrantClassifier)
NAMES = {
    "ConsistencyScorer": ["inconsistency"],
    "DifficultyQuadrantClassifier": ["distance_from_easy", "validation_depth", "train_depth"],
    "DifficultyScorer": ["confidence", "vog"],
    "LabelErrorScorer": ["label_error"],
    "MarginScorer": ["output_margin"],
    "MemorizationScorer": ["memorization"],
    "NeighborConfidenceScorer": ["neighbor_confidence"],
    "NormGradScorer": ["normgrad", "normgrad_0"],
    "PredictionDepthScorer": ["prediction_depth"],
    "TrainingDynamicsScorer": ["confidence"],
    "VoGScorer": ["vog"],
}

OF_NUMBERS = [
    e for e in SMALLEST if is_regressor(e) or isinstance(e, (*OF_TARGETS, ConFragSelector))
]

scorers = pytest.mark.parametrize("scorer", ALL, ids=str)
of_trainings = pytest.mark.parametrize("scorer", OF_TRAININGS, ids=str)
of_ensembles = pytest.mark.parametrize("scorer", OF_ENSEMBLES, ids=str)


def on(estimator, scorer, **params):
    """Return a seeded scorer of a net, a record or an ensemble."""
    scorer = clone(scorer).set_params(**{"estimator": estimator, "random_state": 0, **params})
    if hasattr(scorer, "backend"):
        scorer.set_params(backend="joblib")  # stacks agree with it up to rounding
    return scorer


def trained(fitted):
    """Return what a scorer has read, which other scorers can read."""
    return fitted.record_ if hasattr(fitted, "record_") else fitted.ensemble_


def weights(fitted):
    of = trained(fitted)
    module = of.module if isinstance(of, TrainingRecord) else of.record(0).module
    return [p.detach().clone() for p in module.parameters()]


def assert_same_scores(found, expected, rows=None, X=None, y=None, labels=None):
    """Compare training rows and, if there are some, rows taken as unseen, without and with y."""
    close = {"rtol": 1e-4, "atol": 1e-5}
    assert_allclose(found.difficulty_, expected.difficulty_, **close)
    if X is not None and hasattr(found, "score_samples"):
        labels = y if labels is None else labels
        assert_allclose(found.score_samples(rows), expected.score_samples(X), **close)
        assert_allclose(found.score_samples(rows, labels), expected.score_samples(X, y), **close)


@pytest.fixture
def rows(data):
    X, y = data
    return X.copy(), y.copy()


# ---------------------------------------------------------------------------- networks and rows


@scorers
def test_dicts_and_datasets(scorer, rows):
    X, y = rows
    expected = on(make_net(), scorer).fit(X, y)
    tables = {"left": X[:, :1], "right": X[:, 1:]}
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    names = np.array(["ant", "bee", "cat"])
    found = on(make_net(module=TwoTables), scorer).fit(tables, y)
    assert_same_scores(found, expected, tables, X, y)
    if hasattr(found, "score_samples"):
        with pytest.raises(ValueError, match="shape"):
            found.score_samples({"left": X[:, :2], "right": X[:, 1:]})
    found = on(make_net(), scorer).fit(X[:, [0, 1, 2, 3]], y).fit(dataset)
    assert not hasattr(found, "n_features_in_")  # of the array before
    assert_same_scores(found, expected, dataset, X, y)
    assert_same_scores(on(trained(found), scorer).fit(dataset), expected)
    for name in NEED_LABELS:  # which lie in the dataset
        if hasattr(found, name):
            ours, theirs = getattr(found, name)(dataset, None), getattr(expected, name)(X, y)
            assert_array_equal(np.asarray(ours), np.asarray(theirs))
    found = on(make_net(), scorer).fit(dataset, names[y])
    assert_same_scores(found, expected, dataset, X, y, names[y])
    assert found.classes_.tolist() == names.tolist()
    for given, kind in (((tables, y), "dict"), ((dataset,), "TensorDataset")):
        with pytest.raises(ValueError, match=rf"no default network for a {kind}"):
            clone(scorer).fit(*given)


class Ranked(TwoTables):
    """Takes no batch but in descending order, as packed sequences do."""

    def forward(self, left, right, rank):
        assert (rank.diff() <= 0).all(), "not sorted"
        return super().forward(left, right)


class RankedRows(Dataset):
    """Rows that come with their rank."""

    def __init__(self, X, y):
        self.X, self.y = X, y
        self.rank = np.argsort(np.random.default_rng(0).random(len(X)))

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        x = self.X[index]
        return {"left": x[:1], "right": x[1:], "rank": self.rank[index]}, self.y[index]


def highest_rank_first(items):
    return default_collate(sorted(items, key=lambda item: -item[0]["rank"]))


@scorers
def test_batches_that_are_sorted_by_their_collate_fn(scorer, rows):
    X, y = rows
    expected = on(make_net(), scorer).fit(X, y)
    net = make_net(module=Ranked, iterator_train__collate_fn=highest_rank_first)
    dataset = RankedRows(X, y)
    found = on(net, scorer).fit(dataset)
    assert_same_scores(found, expected, dataset, X, y)
    assert_same_scores(on(trained(found), scorer).fit(dataset, y), found)
    evaluated = TrainingRecord.from_fit(net, dataset, mode="evaluation", random_state=0)
    assert evaluated.trajectory is not None


WITH_EMBEDDING = {
    VoGScorer: {"wrt": "embedding"},
    MarginScorer: {"wrt": "embedding"},
    DifficultyScorer: {"scores": ["confidence", VoGScorer(checkpoints=2, wrt="embedding")]},
}


@scorers
def test_tokens(scorer):
    X = np.random.default_rng(0).integers(20, size=(48, 7))
    y = np.where((X < 10).sum(axis=1) > 3, "low", "high")
    scorer = on(make_net(module=Tokens), scorer, **WITH_EMBEDDING.get(type(scorer), {}))
    scorer.fit(X, y)
    assert np.isnan(scorer.difficulty_).sum() == scorer.n_undefined_ < 40
    if hasattr(scorer, "score_samples"):
        assert_allclose(scorer.score_samples(X[:4]), scorer.score_samples(X)[:4], atol=1e-5)


@scorers
def test_one_logit(scorer, rows):
    X, y = rows
    y = np.where(y == 0, "malignant", "benign")
    settings = {"cls": NeuralNetBinaryClassifier, "criterion": nn.BCEWithLogitsLoss}
    settings["max_epochs"] = 20
    column = on(make_net(**settings, module__n_outputs=1), scorer).fit(X, y)
    flat = on(make_net(**settings, module=FlatLogit), scorer).fit(X, y == "malignant")
    assert column.classes_.tolist() == ["benign", "malignant"]
    assert np.isnan(column.difficulty_).sum() == column.n_undefined_ < 40
    assert flat.classes_.dtype == bool
    if hasattr(flat, "score_samples") and type(scorer) not in WITHOUT_A_SIDE:
        right, wrong = flat.score_samples(X, y == "malignant"), flat.score_samples(X, y == "benign")
        assert right.mean() < wrong.mean()
    assert_same_scores(flat, column, X, X, y, y == "malignant")


@pytest.mark.parametrize(
    ("cls", "last"),
    [(NeuralNetClassifier, nn.Softmax(dim=1)), (NeuralNet, nn.LogSoftmax(dim=1))],
    ids=["probabilities", "log-probabilities"],
)
@scorers
def test_networks_that_end_in_softmax(scorer, rows, cls, last):
    net = make_net(cls, criterion=nn.NLLLoss, module__last=last)
    logits, found = on(make_net(), scorer), on(net, scorer)
    if isinstance(scorer, VoGScorer):  # of which the class means the logit
        with pytest.raises(ValueError, match="before the softmax"):
            found.fit(*rows)
        return
    if isinstance(scorer, DifficultyScorer):
        found.set_params(scores=["confidence"])
    scores = [scorer.fit(*rows).difficulty_ for scorer in (found, logits)]
    smooth = (MarginScorer, NormGradScorer, TrainingDynamicsScorer)
    is_smooth = isinstance(scorer, smooth) or scorer is ONE_FIT
    close = np.isclose(*scores, rtol=1e-3, atol=1e-4, equal_nan=True)
    assert close.mean() >= (1 if is_smooth else 0.95)  # a tie may be broken elsewise


@scorers
def test_regressors_are_refused_before_training(scorer, rows):
    if isinstance(scorer, (NormGradScorer, VoGScorer)):
        return  # which have a score for them
    X, y = rows[0], rows[0][:, :1]
    settings = {"criterion": nn.MSELoss, "module__n_outputs": 1}
    for cls in (NeuralNet, NeuralNetRegressor):
        net = make_net(cls, **settings, callbacks=[NeverTrain()])
        with pytest.raises(ValueError, match=r"regressor|no measure 'confidence'"):
            on(net, scorer).fit(X, y)
    if scorer in OF_TRAININGS:
        record = TrainingRecord.from_fit(net.set_params(callbacks=None), X, y, keep_logits=True)
        with pytest.raises(ValueError, match=r"regressor|no measure 'confidence'"):
            on(record, scorer).fit(X, y)


@scorers
def test_images(scorer):
    y = np.arange(48) % 3
    X = np.random.default_rng(0).normal(size=(48, 2, 5, 5)) + y[:, None, None, None]
    fitted = on(None, scorer).fit(X, y)
    assert np.isnan(fitted.difficulty_).sum() == fitted.n_undefined_ < 40
    if hasattr(fitted, "score_samples"):
        assert fitted.transform(X[:5]).shape == (5, len(fitted.get_feature_names_out()))
        with pytest.raises(ValueError, match=r"shape \(5, 5, 2\).*\(2, 5, 5\)"):
            fitted.score_samples(np.moveaxis(X, 1, 3))


@pytest.mark.parametrize("scorer", [s for s in ALL if isinstance(s, READ_THE_PREDICTED)], ids=str)
def test_without_labels_the_predicted_class_is_read(scorer, rows):
    X, y = rows
    fitted = on(make_net(max_epochs=2), scorer).fit(X, y)
    with torch.no_grad():
        predicted = fitted.record_.module(torch.from_numpy(X)).argmax(dim=1).numpy()
    assert (predicted != y).any()
    without = fitted.score_samples(X)
    assert_allclose(without, fitted.score_samples(X, predicted), rtol=1e-5, atol=1e-6)
    assert not np.allclose(without, fitted.score_samples(X, y))


@scorers
def test_default_network_and_seed(scorer, rows):
    found = on(None, scorer).fit(*rows)
    expected = on(default_network(*rows), scorer).fit(*rows)
    assert_array_equal(found.difficulty_, expected.difficulty_)
    assert found.estimator is None
    other = on(default_network(*rows), scorer, random_state=1)
    assert not np.array_equal(other.fit(*rows).difficulty_, found.difficulty_, equal_nan=True)


@scorers
def test_names_and_frames(scorer, rows):
    X, y = rows
    frame = pd.DataFrame(X, columns=list("abcd"), index=np.arange(500, 548))
    labels = pd.Series(y, index=frame.index)
    found = on(make_net(), scorer)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*feature names")
        found.fit(frame, labels)
        assert found.feature_names_in_.tolist() == list("abcd")
        again = on(trained(found), scorer).fit(frame, labels)
        assert_same_scores(again, on(make_net(), scorer).fit(X, y))
        if hasattr(found, "score_samples"):
            assert_array_equal(found.score_samples(frame), again.score_samples(frame))
    if not hasattr(found, "transform"):
        return
    with pytest.raises(ValueError, match="feature names should match"):
        found.score_samples(frame[list("dcba")])
    columns = found.transform(frame)
    names = found.get_feature_names_out().tolist()
    for library in ("pandas", "polars"):
        table = found.set_output(transform=library).transform(frame)
        assert list(table.columns) == names
        assert_array_equal(table.to_numpy(), columns)
        assert library == "polars" or table.index.equals(frame.index)
    table = found.set_output(transform="pandas").fit_transform(frame, labels)
    assert table.columns.tolist() == names


# -------------------------------------------------------------------- a second fit, a second copy

PAIRS = [
    (type(before), before, after)
    for instances in INSTANCES.values()
    for before, after in zip(instances, [*instances[1:], instances[0]], strict=True)
    if before in ALL or after in ALL or "Scorer" in type(before).__name__
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("cls", "before", "after"), PAIRS, ids=str)
def test_fit_forgets_other_settings_and_names(cls, before, after, rows):
    X, y = rows
    expected = clone(after).set_params(random_state=0).fit(X, y)
    scorer = clone(before).fit(pd.DataFrame(X, columns=list("abcd")), y)
    scorer.set_params(**clone(after).get_params(deep=False)).set_params(random_state=0).fit(X, y)
    assert vars(scorer).keys() == vars(expected).keys()
    assert_array_equal(scorer.difficulty_, expected.difficulty_)


@pytest.mark.parametrize("scorer", WITH_BANK, ids=str)
def test_a_pickle_without_the_bank(scorer, rows):
    X, y = rows
    fitted = on(make_net(), scorer).fit(X, y)
    expected = {n: getattr(fitted, n)(X) for n in ("score_samples", "transform")}
    with_bank = pickle.dumps(fitted)
    if isinstance(scorer, DifficultyScorer):  # which tells its scores in fit
        fitted = on(make_net(), scorer, pickle_bank=False).fit(X, y)
    content = pickle.dumps(fitted.set_params(pickle_bank=False))
    assert X.tobytes()[:400] in with_bank
    assert X.tobytes()[:400] not in content
    assert_array_equal(pickle.loads(with_bank).score_samples(X), expected["score_samples"])
    assert_array_equal(fitted.score_samples(X), expected["score_samples"])  # keeps its rows
    loaded = pickle.loads(content)
    assert_array_equal(loaded.difficulty_, fitted.difficulty_)
    for name in READINGS:
        if hasattr(loaded, name):
            with pytest.raises(ValueError, match=r"[Ss]et estimator to its (record|ensemble)_"):
                getattr(loaded, name)(X, y)
    loaded.set_params(estimator=trained(loaded))
    with forward_passes() as trains:
        loaded.fit(X, y)
    assert not any(trains)
    for name, values in expected.items():
        assert_array_equal(getattr(loaded, name)(X), values)


@scorers
def test_what_is_fitted_survives_pickle_and_names_its_columns(scorer, rows):
    X, y = rows
    fitted = on(make_net(), scorer).fit(X, y)
    loaded = pickle.loads(pickle.dumps(fitted))
    for name, value in vars(fitted).items():
        if isinstance(value, np.ndarray):
            assert_array_equal(getattr(loaded, name), value, err_msg=name)
    for name in READINGS:
        if hasattr(fitted, name):
            ours, theirs = (getattr(s, name)(X, y) for s in (fitted, loaded))
            assert_array_equal(np.asarray(ours), np.asarray(theirs), err_msg=name)
    if scorer in SMALLEST_SCORERS:
        assert fitted.get_feature_names_out().tolist() == NAMES[type(scorer).__name__]


@scorers
def test_rows_do_not_see_each_other_in_any_reading(scorer, rows):
    X, y = rows
    fitted = on(make_net(), scorer).fit(X, y)
    order = np.random.default_rng(0).permutation(48)
    for name in set(READINGS) - {"high_influence_pairs", "inference_curve"}:
        if not hasattr(fitted, name):
            continue
        reading = getattr(fitted, name)
        for labels in (y,) if name in NEED_LABELS else (y, None):
            whole = reading(X, labels)
            for part in (order, order[:7], order[:1]):
                found = reading(X[part], None if labels is None else labels[part])
                assert_allclose(found, whole[part], rtol=1e-4, atol=1e-5, err_msg=name)


# ------------------------------------------------------------------ one training, many readings


def said_of_seen_rows(fit):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    return len({str(w.message) for w in caught if "weights that have seen rows" in str(w.message)})


class SetsTheWidth(Callback):
    """Sets parameters of a net when training begins, as one does that learns its width from X."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        net.set_params(module__n_inputs=X.shape[1], optimizer__momentum=0.0)


@scorers
def test_callbacks_that_set_parameters_when_training_begins(scorer, rows):
    X, y = rows
    net = make_net(module__n_inputs=1, callbacks=[SetsTheWidth()])
    found = on(net, scorer).fit(X, y)
    assert all(w.shape[1] == 4 for w in weights(found)[:1])
    if hasattr(found, "score_samples"):
        assert np.isfinite(found.score_samples(X[:9], y[:9])).any()


@scorers
def test_weights_that_have_seen_the_rows(scorer, rows):
    X, y = rows
    module = TwoLayers()
    never_fitted = on(make_net(module=module, max_epochs=2), scorer)
    again = on(make_net(max_epochs=2, train_split=None).fit(X, y), scorer)
    assert said_of_seen_rows(lambda: (never_fitted.fit(X, y), again.fit(X, y))) == 0
    net = make_net(module=module, max_epochs=2, train_split=None).fit(X, y)
    fitted = on(make_net(), scorer).set_params(estimator=net)
    for seen in (fitted, clone(clone(fitted)), pickle.loads(pickle.dumps(clone(fitted)))):
        assert said_of_seen_rows(lambda scorer=seen: scorer.fit(X, y)) == 1
    # Arguments make another module out of the type of the instance.
    net.set_params(module__n_inputs=4)
    assert said_of_seen_rows(lambda: fitted.fit(X, y)) == 0


def test_weights_that_have_seen_the_rows_inside_of_others(rows):
    X, y = rows
    net = make_net(module=TwoLayers(), max_epochs=2, train_split=None).fit(X, y)
    scorer = TrainingDynamicsScorer(net)
    filtered = FilteredClassifier(LogisticRegression(), scorer=scorer, drop=0.1)
    unseen = PredictionDepthScorer(net, n_neighbors=2)
    for fit in (
        lambda: DifficultyFilter(scorer, drop=0.1).fit_resample(X, y),
        lambda: filtered.fit(X, y),
        lambda: cross_val_score(filtered, X, y, cv=2),
        lambda: GridSearchCV(filtered, {"drop": [0.1]}, cv=2).fit(X, y),
        lambda: cross_val_difficulty(unseen, X, y, cv=2),
        lambda: ResampledEnsemble(net, n_members=2).fit(X, y),
        lambda: clone(ResampledEnsemble(net, n_members=2)).fit(X, y),
        lambda: TrainingRecord.from_fit(pickle.loads(pickle.dumps(net)), X, y),
    ):
        assert said_of_seen_rows(fit) >= 1


@of_trainings
def test_frozen_net(scorer, rows):
    X, y = rows
    net = make_net(callbacks=[RecordTraining("all", keep_logits=True)], train_split=None)
    net.fit(X, y)
    before = [p.detach().clone() for p in net.module_.parameters()]
    frozen = on(FrozenEstimator(net), scorer)
    with forward_passes() as trains:
        frozen.fit(X, y)
    assert not any(trains)
    assert net.module_.training
    assert all(torch.equal(a, b) for a, b in zip(before, net.module_.parameters(), strict=True))
    assert frozen.estimator_ is net
    assert_same_scores(frozen, on(TrainingRecord.from_net(net), scorer).fit(X, y), X, X, y)
    with pytest.raises(ValueError, match="already trained"):
        frozen.set_params(estimator__lr=1)
    with pytest.raises(ValueError, match="without a recorder"):
        on(FrozenEstimator(make_net(train_split=None).fit(X, y)), scorer).fit(X, y)
    with pytest.raises(TypeError, match="LogisticRegression"):
        on(FrozenEstimator(LogisticRegression()), scorer).fit(X, y)


@of_trainings
def test_record_of_other_rows(scorer, rows):
    X, y = rows
    record = TrainingRecord.from_fit(make_net(), X, y, checkpoints="all", keep_logits=True)
    reader = on(record, scorer)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*other rows")
        reader.fit(X.astype(np.float64), y.tolist())
    for *given, difference in (
        (X[:40], y[:40], "40 rows instead of 48"),
        (X[::-1], y, "another X"),
        (X, np.roll(y, 1), "other labels"),
    ):
        if scorer in OF_TRAJECTORIES:
            with pytest.raises(ValueError, match=rf"other rows \({difference}\); pass the net"):
                reader.fit(*given)
            continue
        message = rf"other rows \({difference}\)\. {type(scorer).__name__} reads them"
        with pytest.warns(UserWarning, match=message) as caught:
            reader.fit(*given)
        assert {w.filename for w in caught if "other rows" in str(w.message)} == {__file__}
        assert reader.difficulty_.shape == (len(given[1]),)
    with pytest.raises(ValueError, match=r"not trained on: \[99\]"):
        reader.fit(X, np.where(y == 0, 99, y))


@of_ensembles
def test_ensemble_of_other_rows(scorer, rows):
    X, y = rows
    ensemble = on(make_net(), scorer).fit(X, y).ensemble_
    reader = on(ensemble, scorer)
    for *given, difference in (
        (X[:40], y[:40], "40 rows instead of 48"),
        (X[::-1], y, "another X"),
        (X, np.roll(y, 1), "other labels"),
    ):
        with pytest.raises(ValueError, match=rf"trained on other rows \({difference}\); pass the"):
            reader.fit(*given)
    with pytest.raises(ValueError, match="99"):
        reader.fit(X, np.where(y == 0, 99, y))
    with pytest.raises(ValueError, match="requires y"):
        reader.fit(X)
    with pytest.raises(ValueError, match="splits"):
        reader.fit(X, y, groups=y)
    reader.fit(X.astype(np.float64), y.tolist())
    assert reader.estimator_ is ensemble.estimator_
    assert_array_equal(reader.classes_, ensemble.classes_)
    unfitted = on(ResampledEnsemble(make_net()), scorer)
    for reader in (unfitted, clone(unfitted)):
        with pytest.raises(NotFittedError, match="Fit it first, on the same rows"):
            reader.fit(X, y)


@of_ensembles
def test_what_no_ensemble_can_be_made_of(scorer, rows):
    record = TrainingRecord.from_fit(make_net(), *rows)
    if isinstance(scorer, LabelErrorScorer):  # which reads trainings too
        scorer = clone(scorer).set_params(method="out_of_sample")
        message = r"a single training\. Pass the net"
    else:
        message = r"'estimator' parameter .*ResampledEnsemble"
        with pytest.raises(ValueError, match=r"cannot be set: .* already trained"):
            on(ResampledEnsemble(), scorer).set_params(estimator__n_members=3)
    for given in (record, FrozenEstimator(record.net)):
        with pytest.raises(ValueError, match=message):
            on(given, scorer).fit(*rows)
    several = DifficultyScorer(make_net(), scores=[VoGScorer(checkpoints=2), clone(scorer)])
    with pytest.raises(TypeError, match=f"{type(scorer).__name__} reads many trainings"):
        several.fit(*rows)


@of_ensembles
def test_groups_are_held_out_together(scorer, rows):
    X, y = rows
    teams = np.arange(48) // 3
    masks = on(make_net(), scorer).fit(X, y, groups=teams).ensemble_.masks_
    assert (masks[:, ::3] == masks[:, 1::3]).all()
    assert (masks[:, ::3] == masks[:, 2::3]).all()
    plain, fair = (
        on(make_net(), scorer, stratify=stratify).fit(X, y).ensemble_.masks_
        for stratify in (False, True)
    )
    assert not np.array_equal(plain, fair)
    assert {abs(fair[:, y == c].sum(axis=1) - 8).max() for c in range(3)} == {0}


@of_ensembles
def test_unseen_rows_need_the_members(scorer, rows):
    hidden = ("transform", "score_samples", "fit_transform")
    n_shown = 0 if isinstance(scorer, MemorizationScorer) else 3
    kept, lost = (on(make_net(), scorer, keep_members=keep) for keep in (True, False))
    for reader, n_offered in ((kept, n_shown), (lost, 0)):
        assert [hasattr(reader, name) for name in hidden].count(True) == n_offered
        reader.fit(*rows)
        assert [hasattr(reader, name) for name in hidden].count(True) == n_offered
    assert kept.ensemble_.has_members
    assert not lost.ensemble_.has_members
    assert_array_equal(kept.difficulty_, lost.difficulty_)
    for name in hidden:
        with pytest.raises(AttributeError) as caught:
            getattr(lost, name)
        reason = "keep_members=True" if n_shown else "Memorization has no meaning"
        assert reason in str(caught.value.__cause__)
    # The ensemble decides, not the scorer's own setting.
    assert not hasattr(on(lost.ensemble_, scorer, keep_members=True), "transform")


@pytest.mark.parametrize("undefined", ["nan", "max"])
@of_ensembles
def test_undefined_scores(scorer, rows, undefined):
    size = {"train_size": 0.8} if hasattr(scorer, "train_size") else {"validation_size": 0.2}
    reader = on(make_net(), scorer, n_members=2, undefined=undefined, **size)
    with pytest.warns(UserWarning, match="have no defined") as caught:
        reader.fit(*rows)
    assert [w.filename for w in caught] == [__file__] * 2  # before training, and after it
    expected = on(reader.ensemble_, scorer, undefined="nan").fit(*rows).difficulty_
    bad = np.isnan(expected)
    text = "NaN" if undefined == "nan" else "the largest score"
    said = (
        f"{bad.sum()} row(s) have no defined difficulty, first {np.flatnonzero(bad)[:5].tolist()}"
    )
    assert f"{said}: {text} is returned" in str(caught[1].message)
    assert reader.n_undefined_ == bad.sum() > 0
    assert_array_equal(reader.difficulty_[~bad], expected[~bad])
    largest = np.sqrt(2) if "validation_size" in size else np.nanmax(expected)
    stand_in = np.nan if undefined == "nan" else largest
    assert_allclose(reader.difficulty_[bad], stand_in)
    if hasattr(reader, "score_samples") and "validation_size" not in size:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # all members can be asked about unseen rows
            assert np.isfinite(reader.score_samples(*rows)).all()


@scorers
def test_scoring_view(scorer, rows):
    X, y = rows
    view = X * np.float32(0.5) + 1
    plain = on(make_net(), scorer).fit(X, y)
    viewed = on(make_net(), scorer).fit(X, y, scoring_view=view)
    for a, b in zip(weights(plain), weights(viewed), strict=True):
        assert torch.equal(a, b)  # trained on X all the same
    same = np.array_equal(plain.difficulty_, viewed.difficulty_, equal_nan=True)
    assert same is (scorer in OF_TRAJECTORIES)
    # What was trained knows its rows by X, also if it is asked about the view.
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*other rows")
        again = on(trained(viewed), scorer).fit(X, y, scoring_view=view)
    assert_same_scores(again, viewed, view, view, y)
    if not same and scorer in OF_TRAININGS:
        with pytest.warns(UserWarning, match="another X"):
            assert_same_scores(on(trained(plain), scorer).fit(view, y), viewed)
    for other, message in (
        (view[:9], r"same rows|has 9 rows and X has 48"),
        (view[:, :3], r"scoring_view have the shape \(3,\), those of X \(4,\)"),
        (np.full_like(X, np.nan), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            on(make_net(callbacks=[NeverTrain()]), scorer).fit(X, y, scoring_view=other)


# --------------------------------------------------------------------------- what is said and seen


@scorers
def test_callbacks_see_the_tasks(scorer, rows):
    pytest.importorskip("sklearn.callback")
    watch = Watch()
    fitted = on(make_net(), scorer).set_callbacks(watch).fit(*rows)
    inner = ["epoch"] * 5 * (1 if hasattr(fitted, "record_") else scorer.n_members)
    assert watch.begun[: 2 + len(inner)] == ["fit", "train", *inner]
    assert sorted(watch.ended) == sorted(watch.begun)


@scorers
def test_verbose(scorer, rows, capsys):
    fitted = on(make_net(), scorer).fit(*rows)
    assert capsys.readouterr().out == ""
    on(None, scorer, verbose=1).fit(*rows)
    expected = "train_loss" if hasattr(fitted, "record_") else "members are trained after"
    assert expected in capsys.readouterr().out


@scorers
def test_networks_to_tune(scorer, rows):
    with pytest.raises(ValueError, match=r"estimator is None; pass a net"):
        clone(scorer).set_params(estimator__lr=0.1)
    net = make_net()
    tuned = clone(scorer).set_params(estimator=net, estimator__lr=0.3).fit(*rows)
    assert net.lr == tuned.estimator_.lr == 0.3
    assert not net.initialized_
    check_surroundings_untouched(on(make_net(module__n_inputs=5), scorer))
    assert type(scorer).__name__ in tuned._repr_html_()
    of = trained(tuned)
    with pytest.raises(ValueError, match=r"diverge|became"):
        tuned.set_params(estimator__lr=np.inf).fit(*rows)
    for name in READINGS:
        if hasattr(tuned, name):
            with pytest.raises(NotFittedError):
                getattr(tuned, name)(*rows)
    assert not hasattr(tuned, "difficulty_")
    with pytest.raises(ValueError, match=r"estimator__lr cannot be set: .* already trained"):
        tuned.set_params(estimator=of, estimator__lr=1)


# ----------------------------------------------------------------------------------- bad input


@scorers
def test_unseen_rows_that_do_not_fit(scorer, rows):
    X, y = rows
    fitted = on(make_net(), scorer).fit(X, y)
    for name in READINGS:
        if not hasattr(fitted, name):
            continue
        with pytest.raises(NotFittedError):
            getattr(clone(fitted), name)(X, y)
        reading = getattr(fitted, name)
        if name in NEED_LABELS:
            with pytest.raises(ValueError, match="requires y"):
                reading(X, None)
        for *given, message in (
            (np.ones((2, 5)), y[:2], "4 features"),
            (np.full((2, 4), np.nan), y[:2], "NaN"),
            (X[:3], y[:2], "inconsistent numbers of samples"),
            (X[:3], [0, 1, 99], r"not trained on: \[99\]"),
        ):
            with pytest.raises(ValueError, match=message):
                reading(*given)
    with pytest.raises(NotFittedError):
        clone(fitted).get_feature_names_out()


@pytest.mark.parametrize("estimator", [e for e in SMALLEST if e not in OF_NUMBERS], ids=str)
def test_rows_that_cannot_be_trained_on(estimator, rows):
    X, y = rows
    for *given, message in (
        (X, 0 * y, "class"),
        (X, y[:7], "inconsistent numbers|48 rows"),
        (X, None, "requires y"),
        (X, X[:, 0], "label type"),
        (X[:, 0], y, "2D array"),
        (X.reshape(48, 2, 2), y, "3 dimension"),
        (np.full((48, 2), "petal"), y, "Convert your data to numeric|could not convert"),
    ):
        with pytest.raises(ValueError, match=message):
            clone(estimator).fit(*given)


# Of every parameter that is no object of its own: values that are refused by its name.
BAD_VALUES = {
    "action": ["keep"],
    "aggregation": ["mean"],
    "backend": ["threads"],
    "batch_size": [0],
    "cache_dir": [3],
    "cache_key": [3],
    "channel_mean": ["mean"],
    "checkpoints": [0, "middle"],
    "co_teaching": [1.0, -0.1],
    "combine": ["mean"],
    "coverage": [1.0],
    "direction": ["both"],
    "drop": [1.0, -0.1, "most"],
    "estimator": [nn.Linear(4, 3), "net"],
    "expert": [nn.Linear(4, 3), "net"],
    "formula": ["std"],
    "fragmentation": ["width"],
    "include_input": ["no"],
    "jitter": [0.5, -0.1],
    "keep_members": [None],
    "kind": ["logit"],
    "layer_weights": ["activation_in", 3],
    "layers": [3],
    "log": ["e"],
    "max_bank": [1],
    "measure": ["accuracy"],
    "memory": [3],
    "method": ["two_fits"],
    "metric": ["manhattan"],
    "mode": ["test"],
    "n_fragments": [2, 4.5, 10**12],
    "n_jobs": [0.5],
    "n_members": [1, 2.5],
    "n_neighbors": [0, 2.5],
    "n_rounds": [0],
    "noise": ["none"],
    "normalize": ["row", 3],
    "order": [2, 0.5],
    "pickle_bank": [2],
    "pool": [0],
    "probes": [3],
    "quadrants": ["ambiguous"],
    "random_state": [-1],
    "readout": [3],
    "scale": ["none"],
    "scorer": [3, "vog"],
    "scores": ["vog"],
    "selective": ["yes"],
    "stack_size": [0],
    "standardize": ["y"],
    "step": [-1e-4],
    "stratify": ["y"],
    "target": ["accuracy"],
    "threshold": ["high"],
    "ties": ["first"],
    "train_size": [0.0, 1, 1.0],
    "undefined": ["mean"],
    "validation_size": [0, 1.0],
    "variant": ["conv5x5"],
    "verbose": [-1],
    "view": ["none"],
    "wrt": [3],
}
GOOD_HERE = {("ResampledEnsemble", "n_members", 1)}


@pytest.mark.parametrize("estimator", SMALLEST, ids=str)
def test_bad_values_of_parameters(estimator, rows):
    kind = type(estimator).__name__
    names = set(estimator.get_params(deep=False))
    assert names <= set(BAD_VALUES)
    for name in sorted(names):
        for value in BAD_VALUES[name]:
            if (kind, name, value) in GOOD_HERE:
                continue
            with pytest.raises(ValueError, match=rf"'{name}' parameter"):
                clone(estimator).set_params(**{name: value}).fit(*rows)
