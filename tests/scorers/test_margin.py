# SPDX-License-Identifier: BSD-3-Clause
"""MarginScorer as its users meet it: closed forms, real data, unusual networks, bad input."""

import warnings

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from small_nets import Named, NeverTrain, NoGradient, Tokens, codes_of, make_net
from torch import nn

from sklearn_difficulty import MarginScorer, TrainingRecord, VoGScorer
from sklearn_difficulty.datasets import make_gaussian_toy, make_label_noise
from sklearn_difficulty.training import RecordTraining, default_network

KINDS = ("output", "input")


def tiny_net(cls=NeuralNetClassifier, **params):
    return make_net(cls, **{"module": Named, "max_epochs": 4, **params})


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
def test_margins_of_unseen_rows(record, flowers, kind):
    X, y = flowers
    scorer = MarginScorer(record, kind=kind).fit(X, y)
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
    inner = Named()
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
    module = Named()
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
    codes = codes_of(y)
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


# ---------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("undefined", ["nan", "max"])
def test_weights_that_are_nan(flowers, kind, undefined):
    X, y = flowers
    module = Named()
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
    class Dead(Named):
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


@pytest.mark.parametrize(
    ("kind", "wrt", "module", "message"),
    [
        ("input", "nope", Named, "names no submodule"),
        ("input", None, NoGradient, "no_grad or a detach in forward"),
        ("input", None, Tokens, "wrt='embedding'"),
    ],
)
def test_what_cannot_be_read_is_refused_before_training(flowers, kind, wrt, module, message):
    X, y = flowers
    if module is Tokens:
        X, y = X.astype(int), y == "setosa"
    scorer = MarginScorer(tiny_net(module=module, callbacks=[NeverTrain()]), kind=kind, wrt=wrt)
    with pytest.raises(ValueError, match=message):
        scorer.fit(X, y)


def test_fit_forgets_the_one_before(record, flowers):
    scorer = MarginScorer(record).fit(*flowers)
    scorer.set_params(kind="input", wrt="nope")
    with pytest.raises(ValueError, match="names no submodule"):
        scorer.fit(*flowers)
    assert not hasattr(scorer, "margin_")
    assert not hasattr(scorer, "difficulty_")
