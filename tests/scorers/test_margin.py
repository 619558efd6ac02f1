# SPDX-License-Identifier: BSD-3-Clause
"""MarginScorer as its users meet it: closed forms, real data, unusual networks, bad input."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback
from torch import nn

from sklearn_difficulty import MarginScorer, TrainingRecord, VoGScorer
from sklearn_difficulty.datasets import make_gaussian_toy, make_label_noise
from sklearn_difficulty.training import RecordTraining, default_network

KINDS = ("output", "input")


class TinyMLP(nn.Module):
    def __init__(self, n_inputs=4, n_outputs=3, n_hidden=8):
        super().__init__()
        self.hidden = nn.Linear(n_inputs, n_hidden)
        self.output = nn.Linear(n_hidden, n_outputs)

    def forward(self, x):
        return self.output(torch.tanh(self.hidden(x)))


class TokenNet(nn.Module):
    def __init__(self, n_tokens=20, n_classes=2):
        super().__init__()
        self.embedding = nn.Embedding(n_tokens, 6)
        self.output = nn.Linear(6, n_classes)

    def forward(self, tokens):
        return self.output(self.embedding(tokens).mean(dim=1).tanh())


def tiny_net(cls=NeuralNetClassifier, **params):
    settings = {
        "criterion": nn.CrossEntropyLoss,
        "lr": 0.1,
        "max_epochs": 4,
        "batch_size": 32,
        "iterator_train__shuffle": True,
        "module": TinyMLP,
    }
    return cls(**{**settings, **params})


@pytest.fixture(scope="module")
def flowers():
    """Iris, mixed, with string labels."""
    X, y = load_iris(return_X_y=True)
    mixed = np.random.default_rng(0).permutation(len(X))
    X, y = X[mixed].astype(np.float32), y[mixed]
    return X, np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture(scope="module")
def record(flowers):
    return TrainingRecord.from_fit(tiny_net(), *flowers, random_state=0)


def logits_of(record, X):
    with torch.no_grad():
        return record.module(torch.as_tensor(X)).numpy().astype(np.float64)


# ----------------------------------------------------------------------------- what it computes


def test_output_margin_is_the_lead_of_the_logit(record, flowers):
    X, y = flowers
    scorer = MarginScorer(record).fit(X, y)
    z = logits_of(record, X)
    own = np.searchsorted(scorer.classes_, y)
    others = np.where(np.arange(3) == own[:, None], -np.inf, z).max(axis=1)
    np.testing.assert_allclose(scorer.margin_, z[np.arange(150), own] - others, rtol=1e-5)
    np.testing.assert_array_equal(scorer.difficulty_, -scorer.margin_)
    assert scorer.margin_.dtype == scorer.difficulty_.dtype == np.float32
    assert np.array_equal(scorer.margin_ > 0, z.argmax(axis=1) == own)
    first, second = np.sort(z, axis=1)[:, :-3:-1].T
    np.testing.assert_allclose(scorer.score_samples(X), second - first, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_without_labels_the_predicted_class_is_read(record, flowers, kind):
    X, y = flowers
    scorer = MarginScorer(record, kind=kind).fit(X, y)
    predicted = scorer.classes_[logits_of(record, X).argmax(axis=1)]
    assert (predicted != y).any()
    np.testing.assert_array_equal(scorer.score_samples(X), scorer.score_samples(X, predicted))
    assert (scorer.score_samples(X) <= 0).all()
    np.testing.assert_array_equal(scorer.score_samples(X, y), scorer.difficulty_)


def test_distance_to_the_line_of_a_linear_network():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    names = np.array(["malignant", "benign"])[y]
    side = np.where(names == "malignant", 1, -1)
    two = tiny_net(module=nn.Linear, module__in_features=30, module__out_features=2)
    one = tiny_net(
        NeuralNetBinaryClassifier,
        criterion=nn.BCEWithLogitsLoss,
        module=nn.Linear,
        module__in_features=30,
        module__out_features=1,
    )
    for net in (two, one):
        scorer = MarginScorer(net, kind="input", random_state=0).fit(X, names)
        weight, bias = (p.detach().double().numpy() for p in scorer.record_.module.parameters())
        if len(weight) == 2:
            weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
        signed = (X @ weight[0] + bias[0]) / np.linalg.norm(weight)
        # float32 logits: near the line their difference has few digits.
        np.testing.assert_allclose(scorer.margin_, side * signed, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(scorer.score_samples(X), -abs(signed), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("factor", [4.0, 2.0**-80])
def test_scale_of_the_logits(flowers, factor):
    class Scaled(nn.Module):
        def __init__(self, inner, factor):
            super().__init__()
            self.inner, self.factor = inner, factor

        def forward(self, x):
            return self.factor * self.inner(x)

    torch.manual_seed(0)
    inner = TinyMLP()
    plain, scaled = (
        {
            kind: MarginScorer(
                TrainingRecord(Scaled(inner, factor), [], classes=np.unique(flowers[1])), kind=kind
            )
            .fit(*flowers)
            .margin_
            for kind in KINDS
        }
        for factor in (1.0, factor)
    )
    np.testing.assert_allclose(scaled["output"], factor * plain["output"], rtol=1e-6)
    np.testing.assert_allclose(scaled["input"], plain["input"], rtol=1e-5)


@pytest.mark.parametrize("undefined", ["nan", "max"])
@pytest.mark.parametrize("kind", KINDS)
def test_logarithm(record, flowers, kind, undefined):
    X, y = flowers
    scorer = MarginScorer(record, kind=kind, log=True, undefined=undefined)
    with pytest.warns(UserWarning, match=r"row\(s\) have no defined difficulty"):
        scorer.fit(X, y)
    plain = MarginScorer(record, kind=kind).fit(X, y)
    np.testing.assert_array_equal(scorer.margin_, plain.margin_)
    is_wrong = scorer.margin_ <= 0
    assert scorer.n_undefined_ == is_wrong.sum() > 0
    assert plain.n_undefined_ == 0
    np.testing.assert_allclose(
        scorer.difficulty_[~is_wrong], -np.log(scorer.margin_[~is_wrong]), rtol=1e-6
    )
    if undefined == "nan":
        assert np.isnan(scorer.difficulty_[is_wrong]).all()
    else:
        assert (scorer.difficulty_[is_wrong] == scorer.difficulty_[~is_wrong].max()).all()
    # Every row has a predicted class, whose margin is positive.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(scorer.score_samples(X)).all()


def test_a_tie_has_no_logarithm(flowers):
    X, y = flowers
    module = TinyMLP()
    nn.init.zeros_(module.output.weight)
    nn.init.zeros_(module.output.bias)
    tied = TrainingRecord(module, [], classes=np.unique(y))
    assert (MarginScorer(tied).fit(X, y).difficulty_ == 0).all()
    with pytest.warns(UserWarning, match=r"150 row\(s\) have no defined difficulty"):
        assert MarginScorer(tied, log=True).fit(X, y).n_undefined_ == 150


def test_the_final_network_is_read_and_no_checkpoint(flowers):
    X, y = flowers
    scorer = MarginScorer(tiny_net(), random_state=0).fit(X, y)
    assert scorer.record_.checkpoints == []
    assert scorer.record_.n_epochs == 4
    whole = TrainingRecord.from_fit(tiny_net(), X, y, checkpoints="all", random_state=0)
    np.testing.assert_array_equal(MarginScorer(whole).fit(X, y).difficulty_, scorer.difficulty_)
    with torch.no_grad():  # as a callback does that puts the best weights back
        whole.module.output.bias[0] += 100
    assert (MarginScorer(whole).fit(X, y).difficulty_[y == "setosa"] < -50).all()


def test_record_without_checkpoints(flowers, tmp_path):
    X, y = flowers
    net = default_network(X, y).set_params(max_epochs=3)
    scorer = MarginScorer(net, random_state=0).fit(X, y)
    scorer.record_.save(tmp_path / "record")
    loaded = MarginScorer(TrainingRecord.load(tmp_path / "record")).fit(X, y)
    np.testing.assert_array_equal(loaded.difficulty_, scorer.difficulty_)
    with pytest.raises(ValueError, match=r"at least 2 checkpoints.*offers \[\] of the 3 epochs"):
        VoGScorer(scorer.record_).fit(X, y)


def test_a_recorder_of_the_net_is_kept(flowers):
    X, y = flowers
    net = tiny_net(callbacks=[RecordTraining("all")])
    scorer = MarginScorer(net, random_state=0).fit(X, y)
    assert [c.epoch for c in scorer.record_.checkpoints] == [1, 2, 3, 4]
    codes = np.unique(y, return_inverse=True)[1]
    trained = tiny_net(callbacks=[RecordTraining(1)], train_split=None, verbose=0).fit(X, codes)
    frozen = MarginScorer(FrozenEstimator(trained)).fit(X, codes)
    assert np.isfinite(frozen.difficulty_).all()


@pytest.mark.parametrize("kind", KINDS)
def test_order_duplicates_and_single_rows(flowers, kind):
    X, y = flowers
    scorer = MarginScorer(tiny_net(), kind=kind, batch_size=16, random_state=0)
    scorer.fit(np.repeat(X, 2, axis=0), np.repeat(y, 2))
    np.testing.assert_allclose(scorer.difficulty_[::2], scorer.difficulty_[1::2], rtol=1e-5)
    alone = np.concatenate([scorer.score_samples(X[[i]], y[[i]]) for i in range(150)])
    np.testing.assert_allclose(alone, scorer.difficulty_[::2], rtol=1e-5, atol=1e-6)
    shuffled = np.random.default_rng(0).permutation(150)
    np.testing.assert_allclose(
        scorer.score_samples(X[shuffled], y[shuffled]), alone[shuffled], rtol=1e-5, atol=1e-6
    )
    one_by_one = clone(scorer).set_params(estimator=scorer.record_, batch_size=1)
    with pytest.warns(UserWarning, match="other rows"):
        one_by_one.fit(X, y)
    np.testing.assert_allclose(one_by_one.difficulty_, alone, rtol=1e-5, atol=1e-6)


def test_units_of_the_features_do_not_matter_to_the_default_network():
    X, y = load_wine(return_X_y=True)
    scale = np.logspace(-3, 3, X.shape[1])
    a, b = (
        MarginScorer(kind="input", random_state=0).fit(data, y).difficulty_
        for data in (X, X * scale)
    )
    assert spearmanr(a, b).statistic > 0.999


# -------------------------------------------------------------------------------- what it finds


def test_toy_is_harder_near_the_boundary():
    correlations = []
    for seed in range(4):
        X, y, distance = make_gaussian_toy(500, random_state=seed)
        net = tiny_net(module__n_inputs=2, module__n_outputs=2, lr=0.05, max_epochs=15)
        record = TrainingRecord.from_fit(net, X, y, random_state=seed)
        for kind in KINDS:
            scores = MarginScorer(record, kind=kind).fit(X, y).score_samples(X)
            correlations.append(spearmanr(scores, distance).statistic)
    assert max(correlations) < -0.9


def test_wrong_labels_have_negative_margins_until_they_are_memorised():
    X, y = load_digits(return_X_y=True)
    X, y = X[:1000], y[:1000]
    noisy, wrong = make_label_noise(y, 0.2, random_state=0)
    net = default_network(X, noisy).set_params(max_epochs=2)
    for kind in KINDS:
        scorer = MarginScorer(net, kind=kind, random_state=0).fit(X, noisy)
        assert roc_auc_score(wrong, scorer.difficulty_) > 0.95
        assert (scorer.margin_[wrong] < 0).mean() > 0.9
        assert (scorer.margin_[~wrong] > 0).mean() > 0.9
    net.set_params(max_epochs=60, lr=0.05)
    scorer = MarginScorer(net, random_state=0).fit(X, noisy)
    assert (scorer.margin_ > 0).all()


# ------------------------------------------------------------------------- networks of every kind


def test_networks_that_end_in_softmax(flowers):
    class EndsInSoftmax(TinyMLP):
        def forward(self, x):
            return super().forward(x).softmax(dim=1)

    X, y = flowers
    for kind in KINDS:
        ours = MarginScorer(tiny_net(), kind=kind, random_state=0).fit(X, y)
        net = tiny_net(module=EndsInSoftmax, criterion=nn.NLLLoss)
        twin = MarginScorer(net, kind=kind, random_state=0).fit(X, y)
        np.testing.assert_allclose(twin.difficulty_, ours.difficulty_, rtol=1e-3, atol=1e-4)


def test_single_logit_counts_for_both_classes_alike():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    y = np.array(["malignant", "benign"])[y]
    net = tiny_net(
        NeuralNetBinaryClassifier,
        criterion=nn.BCEWithLogitsLoss,
        module__n_inputs=30,
        module__n_outputs=1,
    )
    other = np.where(y == "benign", "malignant", "benign")
    for kind in KINDS:
        scorer = MarginScorer(net, kind=kind, random_state=0).fit(X, y)
        assert scorer.classes_.tolist() == ["benign", "malignant"]
        np.testing.assert_allclose(scorer.score_samples(X, other), scorer.margin_, rtol=1e-6)


def test_token_ids_through_an_embedding():
    rng = np.random.default_rng(0)
    X = rng.integers(20, size=(120, 7))
    y = np.where((X < 10).sum(axis=1) > 3, "low", "high")
    net = tiny_net(module=TokenNet)
    assert np.isfinite(MarginScorer(net, random_state=0).fit(X, y).difficulty_).all()
    with pytest.raises(ValueError, match="wrt='embedding'"):
        MarginScorer(net, kind="input", random_state=0).fit(X, y)
    scorer = MarginScorer(net, kind="input", wrt="embedding", random_state=0).fit(X, y)
    assert np.isfinite(scorer.difficulty_).all()
    assert scorer.transform(X[:4]).shape == (4, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_dict_dataset_and_images(flowers, kind):
    class TwoTables(TinyMLP):
        def forward(self, left, right):
            return super().forward(torch.cat([left, right], dim=1))

    X, y = flowers
    expected = MarginScorer(tiny_net(), kind=kind, random_state=0).fit(X, y).difficulty_
    tables = MarginScorer(tiny_net(module=TwoTables), kind=kind, random_state=0)
    tables.fit({"left": X[:, :1], "right": X[:, 1:]}, y)
    np.testing.assert_allclose(tables.difficulty_, expected, rtol=1e-5, atol=1e-6)
    codes = np.unique(y, return_inverse=True)[1]
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(codes))
    own = MarginScorer(tiny_net(), kind=kind, random_state=0).fit(dataset)
    np.testing.assert_array_equal(own.difficulty_, expected)
    images, digits = load_digits(return_X_y=True)
    scorer = MarginScorer(kind=kind, random_state=0)
    scorer.fit(images[:200].reshape(-1, 1, 8, 8), digits[:200])
    assert np.isfinite(scorer.difficulty_).all()


# ---------------------------------------------------------------------- a scikit-learn citizen


@pytest.mark.parametrize("kind", KINDS)
def test_pipeline_names_pickle_and_clone(flowers, kind):
    X, y = flowers
    scorer = MarginScorer(tiny_net(), kind=kind, random_state=0)
    pipeline = make_pipeline(StandardScaler(), scorer).fit(X, y)
    assert pipeline.transform(X).shape == (150, 1)
    assert pipeline.get_feature_names_out().tolist() == [f"{kind}_margin"]
    loaded = pickle.loads(pickle.dumps(scorer))
    np.testing.assert_array_equal(loaded.score_samples(X, y), scorer.score_samples(X, y))
    again = clone(scorer).fit(pipeline[0].transform(X), y)
    np.testing.assert_array_equal(again.difficulty_, scorer.difficulty_)


def test_grid_search(flowers):
    pipeline = Pipeline(
        [("margin", MarginScorer(tiny_net(), random_state=0)), ("classify", LogisticRegression())]
    )
    search = GridSearchCV(
        pipeline,
        {"margin__kind": KINDS, "margin__estimator__lr": [0.01, 0.1]},
        cv=StratifiedKFold(2),
        error_score="raise",
    )
    assert len(search.fit(*flowers).cv_results_["params"]) == 4


# ---------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("undefined", ["nan", "max"])
def test_weights_that_are_nan(flowers, kind, undefined):
    X, y = flowers
    module = TinyMLP()
    with torch.no_grad():
        module.output.weight[0, 0] = np.nan
    broken = TrainingRecord(module, [], classes=np.unique(y))
    scorer = MarginScorer(broken, kind=kind, undefined=undefined)
    with pytest.warns(UserWarning, match=r"150 row\(s\) have no defined.*: NaN is returned"):
        scorer.fit(X, y)
    assert scorer.n_undefined_ == np.isnan(scorer.difficulty_).sum() == 150
    assert np.isnan(scorer.margin_).all()


@pytest.mark.parametrize("undefined", ["nan", "max"])
def test_rows_without_a_gradient(flowers, undefined):
    class Dead(TinyMLP):
        def forward(self, x):
            return super().forward(x.clamp(min=0.0))

    X, y = flowers
    X = X.copy()
    X[[3, 60]] = -1.0
    scorer = MarginScorer(tiny_net(module=Dead), kind="input", undefined=undefined, random_state=0)
    with pytest.warns(UserWarning, match=r"2 row\(s\) have no defined difficulty.*\[3, 60\]"):
        scorer.fit(X, y)
    assert scorer.n_undefined_ == 2
    others = np.delete(scorer.difficulty_, [3, 60])
    assert np.isfinite(others).all()
    expected = np.nan if undefined == "nan" else others.max()
    np.testing.assert_array_equal(scorer.difficulty_[[3, 60]], [expected] * 2)
    assert np.isnan(scorer.margin_[[3, 60]]).all()


class NoGradient(TinyMLP):
    def forward(self, x):
        return super().forward(x.detach())


@pytest.mark.parametrize(
    ("params", "net", "message"),
    [
        ({"kind": "input", "wrt": "nope"}, {}, "names no submodule"),
        ({"kind": "input"}, {"module": NoGradient}, "no_grad or a detach in forward"),
        ({}, {"cls": NeuralNetRegressor, "criterion": nn.MSELoss}, "this network is a regressor"),
        (
            {"kind": "input"},
            {"cls": NeuralNetRegressor, "criterion": nn.MSELoss},
            "this network is a regressor",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_before_training(flowers, params, net, message):
    epochs = []

    class CountEpochs(Callback):
        def on_epoch_end(self, net, **kwargs):
            epochs.append(1)

    X, y = flowers
    y = X[:, :3] if "cls" in net else y
    with pytest.raises(ValueError, match=message):
        MarginScorer(tiny_net(**net, callbacks=[CountEpochs()]), **params).fit(X, y)
    assert not epochs


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"kind": "logit"}, "'kind' parameter"),
        ({"log": "e"}, "'log' parameter"),
        ({"wrt": 3}, "'wrt' parameter"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"undefined": "min"}, "'undefined' parameter"),
    ],
)
def test_bad_parameters(flowers, params, message):
    with pytest.raises(ValueError, match=message):
        MarginScorer(**params).fit(*flowers)


def test_fit_forgets_the_one_before(record, flowers):
    scorer = MarginScorer(record).fit(*flowers)
    scorer.set_params(kind="input", wrt="nope")
    with pytest.raises(ValueError, match="names no submodule"):
        scorer.fit(*flowers)
    assert not hasattr(scorer, "margin_")
    assert not hasattr(scorer, "difficulty_")
