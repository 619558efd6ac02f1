# SPDX-License-Identifier: BSD-3-Clause
"""VoGScorer as its users meet it: real data, pipelines, unusual networks, bad input."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris, load_wine
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier, NeuralNetRegressor
from small_nets import EndsInSoftmax, Named, NeverTrain, NoGradient, Tokens, make_net
from torch import nn

from sklearn_difficulty import TrainingRecord, VoGScorer
from sklearn_difficulty.datasets import make_gaussian_toy, make_label_noise
from sklearn_difficulty.training import RecordTraining, default_network


class Toy(nn.Sequential):
    def __init__(self, activation):
        super().__init__(nn.Linear(2, 10), activation(), nn.Linear(10, 2))


def tiny_net(cls=NeuralNetClassifier, **params):
    return make_net(cls, **{"module": Named, "max_epochs": 4, **params})


@pytest.fixture(scope="module")
def flowers():
    """Iris with string labels."""
    X, y = load_iris(return_X_y=True)
    return X.astype(np.float32), np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture(scope="module")
def record(flowers):
    return TrainingRecord.from_fit(tiny_net(), *flowers, random_state=0)


# ----------------------------------------------------------------------------- what it computes


@pytest.mark.parametrize("target", ["logit", "probability", "loss"])
def test_normalised_by_class(record, flowers, target):
    X, y = flowers
    scorer = VoGScorer(record, target=target).fit(X, y)
    for label, mean, std in zip(scorer.classes_, scorer.raw_mean_, scorer.raw_std_, strict=True):
        z, raw = scorer.difficulty_[y == label], scorer.raw_difficulty_[y == label]
        assert z.mean() == pytest.approx(0, abs=1e-5)
        assert (z.astype(float) ** 2).mean() == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(z, (raw - mean) / std, atol=1e-4)
    # Rows taken as unseen are normalised by the same numbers.
    np.testing.assert_allclose(scorer.score_samples(X, y), scorer.difficulty_, atol=1e-5)


def test_normalised_by_data_set_or_not_at_all(record, flowers):
    X, y = flowers
    raw = VoGScorer(record, normalize=None).fit(X, y)
    dataset = VoGScorer(record, normalize="dataset").fit(X, y)
    assert np.array_equal(raw.difficulty_, raw.raw_difficulty_)
    assert not hasattr(raw, "raw_mean_")
    assert dataset.raw_mean_.shape == (1,)
    expected = (raw.difficulty_ - raw.difficulty_.mean()) / raw.difficulty_.std()
    np.testing.assert_allclose(dataset.difficulty_, expected, atol=1e-4)


def test_windows_are_fresh_computations_on_their_checkpoints(flowers):
    X, y = flowers
    record = TrainingRecord.from_fit(tiny_net(max_epochs=7), X, y, checkpoints="all")
    for window, epochs in (("early", [1, 2, 3]), ("late", [5, 6, 7]), (2, [4, 7])):
        alone = TrainingRecord.from_checkpoints(
            record.module,
            [c.state_dict() for c in record.checkpoints if c.epoch in epochs],
            classes=record.classes_,
        )
        a = VoGScorer(record, checkpoints=window, normalize=None).fit(X, y).difficulty_
        b = VoGScorer(alone, checkpoints="all", normalize=None).fit(X, y).difficulty_
        assert np.array_equal(a, b), window


@pytest.mark.parametrize("hidden", [nn.Tanh, nn.ReLU])
def test_toy_is_harder_near_the_boundary(hidden):
    correlations = []
    for seed in range(8):
        X, y, distance = make_gaussian_toy(500, random_state=seed)
        net = tiny_net(module=Toy, module__activation=hidden, lr=0.05, max_epochs=15, verbose=0)
        record = TrainingRecord.from_fit(net, X, y, checkpoints="all", random_state=seed)
        for target in ("logit", "probability"):
            scores = VoGScorer(record, checkpoints="all", target=target, normalize=None)
            correlations.append(spearmanr(scores.fit(X, y).difficulty_, distance).statistic)
    assert max(correlations) < 0


def test_wrong_labels_show_in_the_gradients_of_the_loss():
    X, y = load_digits(return_X_y=True)
    noisy, wrong = make_label_noise(y, 0.2, random_state=0)
    record = TrainingRecord.from_fit(
        default_network(X, noisy), X, noisy, checkpoints="all", random_state=0
    )
    for checkpoints in ("early", "all"):
        scorer = VoGScorer(record, target="loss", checkpoints=checkpoints).fit(X, noisy)
        assert roc_auc_score(wrong, scorer.difficulty_) > 0.85
    # No direction is promised for the logit: only that its scores exist and are reproducible.
    logit = VoGScorer(record).fit(X, noisy)
    assert np.isfinite(logit.difficulty_).all()
    assert np.array_equal(logit.difficulty_, VoGScorer(record).fit(X, noisy).difficulty_)


def test_units_of_the_features_do_not_matter_to_the_default_network():
    X, y = load_wine(return_X_y=True)
    scale = np.logspace(-3, 3, X.shape[1])
    a, b = (VoGScorer(random_state=0).fit(data, y).difficulty_ for data in (X, X * scale))
    assert spearmanr(a, b).statistic > 0.999


@pytest.mark.parametrize("shuffle", [True, False])
def test_scores_are_in_the_rows_order(flowers, shuffle):
    """A training row's score is what the row gets alone, however training shuffled the rows."""
    X, y = flowers
    mixed = np.random.default_rng(0).permutation(len(X))  # iris is sorted by class
    X, y = X[mixed], y[mixed]
    net = tiny_net(iterator_train__shuffle=shuffle)
    scorer = VoGScorer(net, batch_size=16, random_state=0).fit(X, y)
    alone = np.concatenate([scorer.score_samples(X[i : i + 1], y[i : i + 1]) for i in range(150)])
    assert len(np.unique(alone)) > 100
    np.testing.assert_allclose(scorer.difficulty_, alone, atol=1e-4)
    # A frozen training at lr 0 leaves identical checkpoints: every raw score is exactly 0.
    with pytest.warns(UserWarning, match="no spread in 3 of 3"):
        still = VoGScorer(clone(net).set_params(lr=0.0), random_state=0).fit(X, y)
    assert (still.raw_difficulty_ == 0).all()
    assert (still.difficulty_ == 0).all()
    assert (still.gradient_magnitude_ > 0).all()


def test_duplicate_rows_get_the_same_score(flowers):
    X, y = flowers
    scorer = VoGScorer(tiny_net(), random_state=0)
    scorer.fit(np.repeat(X, 2, axis=0), np.repeat(y, 2))
    np.testing.assert_allclose(scorer.difficulty_[::2], scorer.difficulty_[1::2], atol=1e-5)


# ------------------------------------------------------------------------- networks of every kind


def test_default_network_for_images():
    X, y = load_digits(return_X_y=True)
    X, y = X[:300].reshape(-1, 1, 8, 8), y[:300]
    scorer = VoGScorer(random_state=0).fit(X, y)
    assert scorer.gradient_maps(X[:5]).shape == (5, 8, 8)


def test_root_mean_square_of_a_map_is_the_raw_score(record, flowers):
    X, y = flowers
    scorer = VoGScorer(record).fit(X, y)
    maps = scorer.gradient_maps(X, y)
    np.testing.assert_allclose(np.sqrt((maps**2).mean(axis=1)), scorer.raw_difficulty_, rtol=1e-4)


def test_token_ids_through_an_embedding():
    X = np.random.default_rng(0).integers(20, size=(120, 7))
    y = (X < 10).sum(axis=1) > 3
    with pytest.raises(ValueError, match="wrt='embedding'"):
        VoGScorer(tiny_net(module=Tokens), random_state=0).fit(X, y)
    scorer = VoGScorer(tiny_net(module=Tokens), wrt="embedding", random_state=0).fit(X, y)
    assert scorer.gradient_maps(X[:4]).shape == (4, 7, 6)


@pytest.mark.parametrize("columns", [False, True])
def test_regression(columns):
    X, y = load_diabetes(return_X_y=True)
    X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
    y = y[:, None] if columns else y
    net = tiny_net(
        NeuralNetRegressor, criterion=nn.MSELoss, module__n_inputs=10, module__n_outputs=1
    )
    scorer = VoGScorer(net, random_state=0).fit(X, y)
    assert scorer.classes_ is None
    assert scorer.difficulty_.mean() == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(scorer.score_samples(X), scorer.difficulty_, atol=1e-4)
    loss = VoGScorer(net, target="loss", random_state=0).fit(X, y)
    assert loss.score_samples(X[:3], y[:3]).shape == (3,)
    with pytest.raises(ValueError, match="needs y"):
        loss.score_samples(X[:3])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_tensors_of_any_dtype_and_labels_as_tensor(flowers, dtype):
    X, y = flowers
    codes = np.unique(y, return_inverse=True)[1]
    tensor = torch.from_numpy(X).to(dtype)
    expected = VoGScorer(tiny_net(), random_state=0).fit(tensor.float().numpy(), codes)
    scorer = VoGScorer(tiny_net(), random_state=0).fit(tensor, torch.from_numpy(codes))
    np.testing.assert_allclose(scorer.difficulty_, expected.difficulty_, atol=1e-5)
    assert scorer.classes_.tolist() == [0, 1, 2]
    unseen = scorer.score_samples(tensor[:9], torch.from_numpy(codes[:9]))
    np.testing.assert_allclose(unseen, scorer.difficulty_[:9], atol=1e-4)


def test_own_module_with_a_part_called_standardize(flowers):
    """Only the default networks are read behind their standardisation."""

    class Own(Named):
        def __init__(self, name):
            super().__init__()
            self.name = name
            self.add_module(name, nn.Linear(4, 4))

        def forward(self, x):
            return super().forward(getattr(self, self.name)(x))

    X, y = flowers
    ours, twin = (
        VoGScorer(tiny_net(module=Own, module__name=name), random_state=0).fit(X, y)
        for name in ("standardize", "another")
    )
    assert np.array_equal(ours.difficulty_, twin.difficulty_)
    inside = VoGScorer(ours.record_, wrt="standardize").fit(X, y)
    assert not np.allclose(inside.difficulty_, ours.difficulty_, atol=1e-2)


# -------------------------------------------------------------------- one training, many readings


def test_record_that_lacks_what_is_asked_for(record, flowers):
    with pytest.raises(ValueError, match=r"needs epochs \[9\].*checkpoints=\[1, 9\]"):
        VoGScorer(record, checkpoints=[1, 9]).fit(*flowers)
    single = TrainingRecord.from_fit(tiny_net(), *flowers, checkpoints=1)
    with pytest.raises(ValueError, match=r"at least 2 checkpoints.*offers \[4\] of the 4 epochs"):
        VoGScorer(single).fit(*flowers)


def test_net_that_keeps_too_little_is_refused_before_training(flowers):
    class Untrainable(Named):
        def forward(self, x):
            raise AssertionError("training started")

    net = tiny_net(module=Untrainable, callbacks=[RecordTraining(checkpoints="late")])
    with pytest.raises(ValueError, match=r"needs epochs \[1\]"):
        VoGScorer(net, checkpoints="early").fit(*flowers)


# --------------------------------------------------------------------------------------- bad input


def test_class_with_one_row_is_counted_and_warned_of(flowers):
    X, y = flowers
    y = y.copy()
    y[0] = "rose"
    net = tiny_net(module__n_outputs=4)
    with pytest.warns(UserWarning, match=r"no spread in 1 of 4 groups, \['rose'\]"):
        scorer = VoGScorer(net, random_state=0).fit(X, y)
    assert scorer.difficulty_[0] == 0
    assert np.isfinite(scorer.difficulty_).all()
    assert scorer.n_without_spread_ == 1
    assert VoGScorer(scorer.record_, normalize="dataset").fit(X, y).n_without_spread_ == 0
    assert not hasattr(VoGScorer(scorer.record_, normalize=None).fit(X, y), "n_without_spread_")


@pytest.mark.parametrize("undefined", ["nan", "max"])
def test_class_without_training_rows_has_no_scale(record, flowers, undefined):
    X, y = flowers
    seen = y != "virginica"
    scorer = VoGScorer(record, undefined=undefined)
    with pytest.warns(UserWarning, match="other rows"):
        scorer.fit(X[seen], y[seen])
    assert np.isnan(scorer.raw_mean_).tolist() == [False, False, True]
    assert scorer.n_without_spread_ == scorer.n_undefined_ == 0
    stand_in = "NaN" if undefined == "nan" else "the largest score"
    with pytest.warns(UserWarning, match=rf"2 row\(s\) have no.*\[1, 2\]: {stand_in} is returned"):
        scores = scorer.score_samples(X[[0, 100, 101]], y[[0, 100, 101]])
    assert np.isfinite(scores[0])
    expected = np.nan if undefined == "nan" else scorer.difficulty_.max()
    assert np.array_equal(scores[1:], [expected] * 2, equal_nan=True)


@pytest.mark.parametrize("undefined", ["nan", "max"])
def test_no_defined_score_at_all(flowers, undefined):
    class Root(Named):
        def forward(self, x):
            return super().forward(x) + (x - x.detach()).abs().sqrt().sum(1, keepdim=True)

    X, y = flowers
    scorer = VoGScorer(tiny_net(module=Root), undefined=undefined, random_state=0)
    with pytest.warns(UserWarning, match=r"150 row\(s\) have no defined.*: NaN is returned"):
        scorer.fit(X, y)
    assert scorer.n_undefined_ == np.isnan(scorer.difficulty_).sum() == 150
    with pytest.warns(UserWarning, match=r"3 row\(s\).*: NaN is returned"):
        assert np.isnan(scorer.score_samples(X[:3], y[:3])).all()


def test_linear_network_has_nothing_to_say(flowers):
    X, y = flowers
    net = tiny_net(module=nn.Linear(4, 3))
    with pytest.warns(UserWarning, match="linear network"):
        scorer = VoGScorer(net, random_state=0).fit(X, y)
    assert (scorer.difficulty_ == 0).all()


@pytest.mark.parametrize("undefined", ["nan", "max"])
def test_undefined_scores(undefined):
    class Root(Named):
        def forward(self, x):
            return super().forward(x) + x.abs().sqrt().sum(1, keepdim=True)

    X, y = load_iris(return_X_y=True)
    X = X.astype(np.float32)
    X[[3, 60]] = 0  # the root has no finite gradient there
    scorer = VoGScorer(tiny_net(module=Root), undefined=undefined, random_state=0)
    with pytest.warns(UserWarning, match=r"2 row\(s\) have no defined difficulty.*\[3, 60\]"):
        scorer.fit(X, y)
    assert scorer.n_undefined_ == 2
    others = np.delete(scorer.difficulty_, [3, 60])
    assert np.isfinite(others).all()
    if undefined == "nan":
        assert np.isnan(scorer.difficulty_[[3, 60]]).all()
    else:
        assert (scorer.difficulty_[[3, 60]] == others.max()).all()
        with pytest.warns(UserWarning, match="largest score"):
            assert scorer.score_samples(X[3:4]) == others.max()


# ---------------------------------------------------------------- refused before hours of training


@pytest.mark.parametrize(
    ("params", "net", "message"),
    [
        ({"wrt": "decoder"}, {}, "names no submodule"),
        ({"wrt": ""}, {}, "wrt='' names no submodule"),
        ({"checkpoints": 1}, {}, "'checkpoints' parameter"),
        ({"checkpoints": [1, 99]}, {}, "asks for epoch 99"),
        ({"checkpoints": [1.5]}, {}, "list of epochs"),
        ({}, {"module": NoGradient}, "no_grad or a detach in forward"),
        ({}, {"module": EndsInSoftmax, "criterion": nn.NLLLoss}, "before the softmax"),
    ],
)
def test_what_cannot_be_read_is_refused_before_training(flowers, params, net, message):
    with pytest.raises(ValueError, match=message):
        VoGScorer(tiny_net(**net, callbacks=[NeverTrain()]), **params).fit(*flowers)


def test_rehearsal_leaves_the_training_as_it_is(flowers):
    X, y = flowers
    scorer = VoGScorer(tiny_net(), random_state=0).fit(X, y)
    record = TrainingRecord.from_fit(tiny_net(), X, y, random_state=0)
    weights = zip(scorer.record_.module.parameters(), record.module.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)


def test_softmax_under_cross_entropy_is_warned_of(flowers):
    with pytest.warns(UserWarning, match="as if it ended in softmax"):
        VoGScorer(tiny_net(module=EndsInSoftmax), random_state=0).fit(*flowers)


def test_images_with_channels_last_are_warned_of():
    X = np.random.default_rng(0).random((20, 12, 12, 3))
    with pytest.warns(UserWarning, match="taken as 12 channels"):
        VoGScorer(checkpoints=2).fit(X, np.arange(20) % 2)


def test_rows_of_another_shape(flowers):
    X, y = flowers
    as_images = VoGScorer(tiny_net(module=nn.Sequential(nn.Flatten(), Named())))
    with pytest.raises(ValueError, match=r"scoring_view .*shape \(4, 2, 1\).* X \(4, 1, 1\)"):
        as_images.fit(X[..., None, None], y, scoring_view=np.ones((150, 4, 2, 1)))
