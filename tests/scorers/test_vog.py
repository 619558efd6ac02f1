# SPDX-License-Identifier: BSD-3-Clause
"""VoGScorer as its users meet it: real data, pipelines, unusual networks, bad input."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback
from torch import nn

from sklearn_difficulty import TrainingRecord, VoGScorer
from sklearn_difficulty.datasets import make_gaussian_toy, make_label_noise
from sklearn_difficulty.training import RecordTraining, default_network


class TinyMLP(nn.Module):
    def __init__(self, n_inputs=4, n_outputs=3, n_hidden=8):
        super().__init__()
        self.hidden = nn.Linear(n_inputs, n_hidden)
        self.output = nn.Linear(n_hidden, n_outputs)

    def forward(self, x):
        return self.output(torch.tanh(self.hidden(x)))


class Toy(nn.Sequential):
    def __init__(self, activation):
        super().__init__(nn.Linear(2, 10), activation(), nn.Linear(10, 2))


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


def test_without_labels_the_predicted_class_is_read(record, flowers):
    X, y = flowers
    scorer = VoGScorer(record).fit(X, y)
    predicted = scorer.classes_[record.net.forward(X).argmax(1).numpy()]
    assert (predicted != y).any()
    np.testing.assert_allclose(scorer.score_samples(X), scorer.score_samples(X, predicted))


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
    assert scorer.difficulty_.shape == (300,)
    assert scorer.transform(X[:5]).shape == (5, 1)
    assert scorer.gradient_maps(X[:5]).shape == (5, 8, 8)


def test_root_mean_square_of_a_map_is_the_raw_score(record, flowers):
    X, y = flowers
    scorer = VoGScorer(record).fit(X, y)
    maps = scorer.gradient_maps(X, y)
    np.testing.assert_allclose(np.sqrt((maps**2).mean(axis=1)), scorer.raw_difficulty_, rtol=1e-4)


def test_token_ids_through_an_embedding():
    rng = np.random.default_rng(0)
    X = rng.integers(20, size=(120, 7))
    y = np.where((X < 10).sum(axis=1) > 3, "low", "high")
    net = tiny_net(module=TokenNet)
    with pytest.raises(ValueError, match="wrt='embedding'"):
        VoGScorer(net, random_state=0).fit(X, y)
    scorer = VoGScorer(net, wrt="embedding", random_state=0).fit(X, y)
    assert np.isfinite(scorer.difficulty_).all()
    assert scorer.score_samples(X[:4]).shape == (4,)
    assert scorer.gradient_maps(X[:4]).shape == (4, 7, 6)


def test_single_logit():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    y = np.array(["malignant", "benign"])[y]
    net = tiny_net(
        NeuralNetBinaryClassifier,
        criterion=nn.BCEWithLogitsLoss,
        module__n_inputs=30,
        module__n_outputs=1,
    )
    for target in ("logit", "probability", "loss"):
        scorer = VoGScorer(net, target=target, random_state=0).fit(X, y)
        assert np.isfinite(scorer.difficulty_).all()
        assert scorer.classes_.tolist() == ["benign", "malignant"]
        assert scorer.score_samples(X[:5], y[:5]).shape == (5,)


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


def test_dict_of_arrays():
    class TwoTables(TinyMLP):
        def forward(self, left, right):
            return super().forward(torch.cat([left, right], dim=1))

    X, y = load_iris(return_X_y=True)
    tables = {"left": X[:, :1], "right": X[:, 1:]}
    scorer = VoGScorer(tiny_net(module=TwoTables), random_state=0).fit(tables, y)
    assert scorer.difficulty_.shape == (150,)
    rows = {name: table[:5] for name, table in tables.items()}
    assert scorer.score_samples(rows).shape == (5,)
    with pytest.raises(ValueError, match="shape"):
        scorer.score_samples({"left": X[:5, :2], "right": X[:5, 1:]})
    with pytest.raises(ValueError, match="no default network for a dict"):
        VoGScorer().fit(tables, y)


def test_dataset_gives_the_scores_of_its_arrays(flowers):
    X, y = flowers
    codes = np.unique(y, return_inverse=True)[1]
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(codes))
    expected = VoGScorer(tiny_net(), random_state=0).fit(X, y)
    own = VoGScorer(tiny_net(), random_state=0).fit(data)
    given = VoGScorer(tiny_net(), random_state=0).fit(data, y)
    assert np.array_equal(own.difficulty_, expected.difficulty_)
    assert np.array_equal(given.difficulty_, expected.difficulty_)
    assert own.classes_.tolist() == [0, 1, 2]
    assert np.array_equal(own.score_samples(data), expected.score_samples(X))


def test_memory_map(tmp_path, flowers):
    X, y = flowers
    np.save(tmp_path / "X.npy", X)
    on_disk = np.load(tmp_path / "X.npy", mmap_mode="r")
    a, b = (VoGScorer(tiny_net(), random_state=0).fit(data, y) for data in (X, on_disk))
    assert np.array_equal(a.difficulty_, b.difficulty_)


def test_frame_and_tensor(flowers):
    pd = pytest.importorskip("pandas")
    X, y = flowers
    expected = VoGScorer(tiny_net(), random_state=0).fit(X, y).difficulty_
    frame = pd.DataFrame(X, columns=list("abcd"))
    for data in (frame, torch.from_numpy(X), X.tolist()):
        scorer = VoGScorer(tiny_net(), random_state=0).fit(data, y)
        np.testing.assert_allclose(scorer.difficulty_, expected, atol=1e-6)
    scorer = VoGScorer(tiny_net(), random_state=0).fit(frame, y)
    assert scorer.feature_names_in_.tolist() == list("abcd")


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

    class Own(TinyMLP):
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


def test_scoring_view_replaces_the_rows_when_scoring(flowers):
    X, y = flowers
    augmented = X + np.random.default_rng(0).normal(size=X.shape).astype(np.float32)
    scorer = VoGScorer(tiny_net(), random_state=0).fit(augmented, y, scoring_view=X)
    plain = VoGScorer(scorer.record_)
    with pytest.warns(UserWarning, match="another X"):
        plain.fit(X, y)
    assert np.array_equal(scorer.difficulty_, plain.difficulty_)
    with pytest.raises(ValueError, match="same rows"):
        VoGScorer(tiny_net()).fit(X, y, scoring_view=X[:10])
    with pytest.raises(ValueError, match="X has 3 features, but VoGScorer is expecting 4"):
        VoGScorer(tiny_net()).fit(X, y, scoring_view=X[:, :3])
    as_images = VoGScorer(tiny_net(module=nn.Sequential(nn.Flatten(), TinyMLP())))
    with pytest.raises(ValueError, match=r"shape \(4, 2, 1\).*fitted on rows of shape \(4, 1, 1\)"):
        as_images.fit(X[..., None, None], y, scoring_view=np.ones((150, 4, 2, 1)))


# -------------------------------------------------------------------- one training, many readings


def test_frozen_net_with_its_own_recorder(flowers):
    X, y = flowers
    codes = np.unique(y, return_inverse=True)[1]
    net = tiny_net(callbacks=[RecordTraining(3)], verbose=0, train_split=None).fit(X, codes)
    weights = [p.detach().clone() for p in net.module_.parameters()]
    scorer = VoGScorer(FrozenEstimator(net)).fit(X, codes)
    assert [c.epoch for c in scorer.record_.checkpoints] == [2, 3, 4]
    assert np.isfinite(scorer.difficulty_).all()
    for before, after in zip(weights, net.module_.parameters(), strict=True):
        assert torch.equal(before, after)
    assert net.module_.training  # the user's own module stays in the mode it was in
    with pytest.raises(ValueError, match="without a recorder"):
        VoGScorer(FrozenEstimator(tiny_net(verbose=0).fit(X, codes))).fit(X, codes)
    with pytest.raises(TypeError, match="LogisticRegression"):
        VoGScorer(FrozenEstimator(LogisticRegression())).fit(X, codes)


def test_record_of_other_rows_warns(record, flowers):
    X, y = flowers
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        VoGScorer(record).fit(X.astype(np.float64), y)
    for other_X, other_y, difference in (
        (X[:99], y[:99], "99 rows instead of 150"),
        (X[::-1], y, "another X"),
        (X, np.roll(y, 1), "other labels"),
    ):
        with pytest.warns(UserWarning, match=difference):
            VoGScorer(record).fit(other_X, other_y)
    with pytest.raises(ValueError, match="not trained on: \\['rose'\\]"):
        VoGScorer(record).fit(X, np.where(y == "setosa", "rose", y))


def test_record_that_lacks_what_is_asked_for(record, flowers):
    with pytest.raises(ValueError, match=r"needs epochs \[9\].*checkpoints=\[1, 9\]"):
        VoGScorer(record, checkpoints=[1, 9]).fit(*flowers)
    single = TrainingRecord.from_fit(tiny_net(), *flowers, checkpoints=1)
    with pytest.raises(ValueError, match=r"at least 2 checkpoints.*offers \[4\] of the 4 epochs"):
        VoGScorer(single).fit(*flowers)


def test_net_that_keeps_too_little_is_refused_before_training(flowers):
    class Untrainable(TinyMLP):
        def forward(self, x):
            raise AssertionError("training started")

    net = tiny_net(module=Untrainable, callbacks=[RecordTraining(checkpoints="late")])
    with pytest.raises(ValueError, match=r"needs epochs \[1\]"):
        VoGScorer(net, checkpoints="early").fit(*flowers)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [("record", "already trained; pass a net"), (None, "estimator is None")],
)
def test_nothing_to_tune(record, estimator, message):
    scorer = VoGScorer(record if estimator == "record" else None)
    with pytest.raises(ValueError, match=message):
        scorer.set_params(estimator__lr=0.1)
    scorer.set_params(estimator=tiny_net(), estimator__lr=0.3)
    assert scorer.estimator.lr == 0.3


# ----------------------------------------------------------------------- one fit, then another


def fitted_attributes(scorer):
    return {name for name in vars(scorer) if name.endswith("_")}


def test_fit_forgets_the_one_before(record, flowers):
    pd = pytest.importorskip("pandas")
    X, y = flowers
    scorer = VoGScorer(record).fit(pd.DataFrame(X, columns=list("abcd")), y)
    assert {"raw_mean_", "raw_std_", "n_without_spread_"} <= fitted_attributes(scorer)
    scorer.set_params(normalize=None).fit(X, y)
    assert fitted_attributes(scorer) == fitted_attributes(
        VoGScorer(record, normalize=None).fit(X, y)
    )
    assert not {"raw_mean_", "raw_std_", "n_without_spread_"} & fitted_attributes(scorer)
    assert not hasattr(scorer, "feature_names_in_")


def test_fit_on_a_dataset_forgets_the_width_of_an_array(flowers):
    X, y = flowers
    wide = np.hstack([X, X])
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(wide))
    scorer = VoGScorer(tiny_net(), random_state=0).fit(X, y)
    scorer.set_params(estimator__module__n_inputs=8).fit(dataset, y)
    assert not hasattr(scorer, "n_features_in_")
    np.testing.assert_allclose(scorer.score_samples(wide, y), scorer.difficulty_, atol=1e-5)
    tables = VoGScorer(tiny_net(module=TinyMLP), random_state=0).fit({"x": X}, y)
    tables.fit(X, y)
    assert tables.score_samples(X[:2]).shape == (2,)


@pytest.mark.parametrize("failure", ["rows", "labels", "training", "scoring"])
def test_failed_refit_leaves_the_scorer_unfitted(flowers, failure):
    X, y = flowers
    scorer = VoGScorer(tiny_net(), random_state=0).fit(X, y)
    if failure == "training":
        scorer.set_params(estimator__lr=1e38)
    if failure == "scoring":
        scorer.set_params(wrt="decoder")
    rows = np.where(X == X[3], np.nan, X) if failure == "rows" else X
    with pytest.raises(ValueError, match=r"NaN|diverged|two classes|names no submodule"):
        scorer.fit(rows, y[:1].repeat(150) if failure == "labels" else y)
    assert not hasattr(scorer, "difficulty_")
    for call in (scorer.score_samples, scorer.transform, scorer.gradient_maps):
        with pytest.raises(NotFittedError):
            call(X)
    with pytest.raises(NotFittedError):
        scorer.get_feature_names_out()
    scorer.set_params(wrt=None, estimator__lr=0.1).fit(X, y).score_samples(X)


# -------------------------------------------------------------------------- a scikit-learn citizen


def test_pipeline(flowers):
    X, y = flowers
    pipeline = make_pipeline(StandardScaler(), VoGScorer(tiny_net(), random_state=0))
    scores = pipeline.fit(X, y).transform(X)
    assert scores.shape == (150, 1)
    assert scores.dtype == np.float32
    assert pipeline[-1].difficulty_.shape == (150,)


def test_feature_union_and_grid_search(flowers):
    X, y = flowers
    features = FeatureUnion(
        [("raw", StandardScaler()), ("scorer", VoGScorer(tiny_net(), random_state=0))]
    )
    pipeline = Pipeline([("features", features), ("classify", LogisticRegression())])
    search = GridSearchCV(
        pipeline,
        {
            "features__scorer__checkpoints": [2, "late"],
            "features__scorer__estimator__lr": [0.01, 0.1],
        },
        cv=StratifiedKFold(2, shuffle=True, random_state=0),
        error_score="raise",
    )
    search.fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_score_ > 0.8
    names = search.best_estimator_["features"].get_feature_names_out()
    assert names[-1] == "scorer__vog"


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output(flowers, library):
    pytest.importorskip(library)
    X, y = flowers
    scorer = VoGScorer(tiny_net(), random_state=0).set_output(transform=library)
    frame = scorer.fit_transform(X, y)
    assert list(frame.columns) == ["vog"]
    assert np.array_equal(frame.to_numpy()[:, 0], scorer.score_samples(X))


def test_labels_are_routed_to_transform(flowers):
    X, y = flowers
    scorer = VoGScorer(tiny_net(), random_state=0)
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(StandardScaler(), scorer).fit(X, y)
        with_labels = pipeline.transform(X, y=y)
    scaled = pipeline[0].transform(X)
    assert np.array_equal(with_labels, scorer.transform(scaled, y))
    assert not np.array_equal(with_labels, scorer.transform(scaled))


def test_pickle_and_clone(flowers):
    X, y = flowers
    scorer = VoGScorer(tiny_net(), random_state=0).fit(X, y)
    loaded = pickle.loads(pickle.dumps(scorer))
    assert np.array_equal(loaded.score_samples(X, y), scorer.score_samples(X, y))
    again = clone(scorer)
    assert not hasattr(again, "difficulty_")
    assert np.array_equal(again.fit(X, y).difficulty_, scorer.difficulty_)


def test_html_repr(flowers):
    scorer = VoGScorer(tiny_net(), random_state=0)
    assert "VoGScorer" in scorer._repr_html_()
    assert "VoGScorer" in scorer.fit(*flowers)._repr_html_()


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
    class Root(TinyMLP):
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
    class Root(TinyMLP):
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


@pytest.mark.parametrize(
    ("params", "X", "y", "message"),
    [
        ({}, "flowers", "ones", "at least two classes"),
        ({}, "flowers", "short", "inconsistent numbers of samples"),
        ({}, "flowers", "none", "requires y to be passed"),
        ({}, "flowers", "continuous", "Unknown label type"),
        ({}, "one axis", "codes", "Expected 2D array"),
        ({}, "three axes", "codes", r"this X has 3 dimension\(s\)"),
        ({}, "words", "codes", "Convert your data to numeric"),
        ({"checkpoints": 1}, "flowers", "codes", "'checkpoints' parameter"),
        ({"checkpoints": "middle"}, "flowers", "codes", "'checkpoints' parameter"),
        ({"checkpoints": [1, 99]}, "flowers", "codes", "asks for epoch 99"),
        ({"checkpoints": [1.5]}, "flowers", "codes", "list of epochs"),
        ({"target": "accuracy"}, "flowers", "codes", "'target' parameter"),
        ({"estimator": nn.Linear(4, 3)}, "flowers", "codes", "'estimator' parameter"),
        ({"wrt": "decoder"}, "flowers", "codes", "names no submodule"),
        ({"wrt": ""}, "flowers", "codes", "wrt='' names no submodule"),
        ({"random_state": -1}, "flowers", "codes", "random_state.*-1"),
    ],
)
def test_bad_input(params, X, y, message):
    data, codes = load_iris(return_X_y=True)
    X = {
        "flowers": data,
        "one axis": data[:, 0],
        "three axes": data.reshape(150, 2, 2),
        "words": np.full((150, 2), "petal"),
    }[X]
    y = {
        "codes": codes,
        "ones": np.ones(150),
        "short": codes[:7],
        "none": None,
        "continuous": data[:, 0],
    }[y]
    with pytest.raises(ValueError, match=message):
        VoGScorer(**params).fit(X, y)


def test_unseen_rows_of_another_shape(record, flowers):
    scorer = VoGScorer(record).fit(*flowers)
    with pytest.raises(ValueError, match="4 features"):
        scorer.transform(np.ones((2, 5)))
    X, y = load_digits(return_X_y=True)
    images = VoGScorer(checkpoints=2).fit(X[:50].reshape(-1, 1, 8, 8), y[:50])
    with pytest.raises(ValueError, match=r"shape \(1, 9, 9\).*\(1, 8, 8\)"):
        images.transform(np.ones((2, 1, 9, 9)))


@pytest.mark.parametrize("verbose", [0, 1])
def test_default_network_prints_its_epochs_on_request(flowers, capsys, verbose):
    VoGScorer(checkpoints=2, verbose=verbose, random_state=0).fit(*flowers)
    assert ("train_loss" in capsys.readouterr().out) == bool(verbose)


# ---------------------------------------------------------------- refused before hours of training


class NoGradient(TinyMLP):
    def forward(self, x):
        return super().forward(x.detach())


class EndsInSoftmax(TinyMLP):
    def forward(self, x):
        return super().forward(x).softmax(dim=1)


@pytest.mark.parametrize(
    ("params", "net", "message"),
    [
        ({"wrt": "nope"}, {}, "names no submodule"),
        ({}, {"module": NoGradient}, "no_grad or a detach in forward"),
        ({}, {"module": EndsInSoftmax, "criterion": nn.NLLLoss}, "before the softmax"),
    ],
)
def test_what_cannot_be_read_is_refused_before_training(flowers, params, net, message):
    epochs = []

    class CountEpochs(Callback):
        def on_epoch_end(self, net, **kwargs):
            epochs.append(1)

    with pytest.raises(ValueError, match=message):
        VoGScorer(tiny_net(**net, callbacks=[CountEpochs()]), **params).fit(*flowers)
    assert not epochs


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


def test_images_of_another_channel_count():
    X = np.random.default_rng(0).random((20, 3, 12, 12))
    scorer = VoGScorer(checkpoints=2).fit(X, np.arange(20) % 2)
    with pytest.raises(ValueError, match=r"shape \(12, 12, 3\).*\(3, 12, 12\)"):
        scorer.transform(np.moveaxis(X, 1, 3))
