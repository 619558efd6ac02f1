# SPDX-License-Identifier: BSD-3-Clause
"""Displays of fitted scorers: what they read, what they leave alone, and what they refuse."""

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from small_nets import make_net
from torch.utils.data import TensorDataset

from sklearn_difficulty import (
    DifficultyQuadrantClassifier,
    DifficultyScorer,
    LabelErrorScorer,
    NormGradScorer,
    PredictionDepthScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.inspection import (
    DataMapDisplay,
    DetectionCurveDisplay,
    DifficultyDisplay,
    DifficultyQuadrantDisplay,
    ErrorRateDisplay,
    GradientMapDisplay,
    HardestRowsDisplay,
    InferenceCurveDisplay,
    LabelErrorMatrixDisplay,
    MemorizationTrajectoryDisplay,
    NoiseCutsDisplay,
    NormGradDisplay,
    ProbePathDisplay,
    TrajectoryDisplay,
)
from sklearn_difficulty.measures import combine_saliency_maps
from sklearn_difficulty.model_selection import MemorizationTrajectory

pytestmark = pytest.mark.filterwarnings("ignore:.*no defined difficulty:UserWarning")


@pytest.fixture(scope="module")
def wrong(flowers):
    return np.arange(len(flowers[1])) % 10 == 0


@pytest.fixture(scope="module")
def true(flowers, wrong):
    classes, codes = np.unique(flowers[1], return_inverse=True)
    return classes[(codes - wrong) % 3]


@pytest.fixture(scope="module")
def record(flowers):
    return TrainingRecord.from_fit(make_net(max_epochs=12), *flowers, random_state=0)


@pytest.fixture(scope="module")
def fitted(flowers, record):
    """Return a fitted scorer by the name of its kind."""
    scorers = {
        "vog": VoGScorer(record),
        "dynamics": TrainingDynamicsScorer(record),
        "several": DifficultyScorer(record, scores=["confidence", "aum"]),
        "depth": PredictionDepthScorer(record, n_neighbors=5),
        "errors": LabelErrorScorer(
            make_net(), n_members=2, train_size=0.5, n_neighbors=2, random_state=0
        ),
        "quadrants": DifficultyQuadrantClassifier(
            make_net(), n_members=4, validation_size=0.25, n_neighbors=5, random_state=0
        ),
    }
    return {kind: scorer.fit(*flowers) for kind, scorer in scorers.items()}


# What reads the rows of the fit alone, and the scorers that have it.
OF_THE_FIT = {
    "difficulty": (DifficultyDisplay, "vog", {"by_class": True}),
    "data map": (DataMapDisplay, "dynamics", {}),
    "trajectory": (TrajectoryDisplay, "several", {"quantity": "loss", "rows": 3}),
    "quadrants": (DifficultyQuadrantDisplay, "quadrants", {}),
    "noise cuts": (NoiseCutsDisplay, "errors", {}),
    "label errors": (LabelErrorMatrixDisplay, "errors", {"cut": 0.2}),
    "hardest rows": (HardestRowsDisplay, "errors", {"image_shape": (2, 2)}),
    "detection": (DetectionCurveDisplay, "several", {"is_wrong": np.arange(150) % 10 == 0}),
}
# What takes any rows.
OF_ANY_ROWS = {
    "inference curve": (InferenceCurveDisplay, "depth", {}),
    "probe path": (ProbePathDisplay, "depth", {"row": 7}),
    "error rate": (ErrorRateDisplay, "vog", {"bins": 5}),
    "gradient map": (GradientMapDisplay, "vog", {"image_shape": (2, 2)}),
}


def table(cases):
    return pytest.mark.parametrize(("display", "kind", "settings"), cases.values(), ids=cases)


@table(OF_THE_FIT | OF_ANY_ROWS)
def test_draws_and_leaves_the_scorer_alone(display, kind, settings, fitted, flowers):
    scorer = fitted[kind]
    params, attributes = joblib.hash(scorer.get_params(deep=False)), set(vars(scorer))
    difficulty = scorer.difficulty_.copy()
    _, ax = plt.subplots()
    drawn = display.from_estimator(scorer, *flowers, ax=ax, **settings)
    assert isinstance(drawn, display)
    assert drawn.ax_ is ax
    assert joblib.hash(scorer.get_params(deep=False)) == params
    assert set(vars(scorer)) == attributes
    assert_array_equal(scorer.difficulty_, difficulty)


@table(OF_THE_FIT | OF_ANY_ROWS)
@pytest.mark.filterwarnings("error", "ignore:X has feature names")
def test_takes_frames(display, kind, settings, fitted, flowers):
    X, y = flowers
    index = np.arange(150) + 1000
    display.from_estimator(
        fitted[kind], pd.DataFrame(X, index=index), pd.Series(y, index=index), **settings
    )


@table(OF_THE_FIT | OF_ANY_ROWS)
def test_refuses_unfitted_scorers(display, kind, settings, fitted, flowers):
    scorer = type(fitted[kind])()
    with pytest.raises(NotFittedError):
        display.from_estimator(scorer, *flowers, **settings)
    assert not plt.get_fignums()


class Stranger(BaseEstimator):
    """A scorer of someone else, with a difficulty and nothing more."""

    def fit(self, X, y):
        self.difficulty_ = np.arange(len(X))
        return self


@table({k: v for k, v in OF_THE_FIT.items() if k in ("difficulty", "hardest rows", "detection")})
def test_draws_scorers_of_others(display, kind, settings, flowers):
    display.from_estimator(Stranger().fit(*flowers), *flowers, **settings)
    with pytest.raises(ValueError, match=r"these are not \(2 rows instead of 150\)"):
        display.from_estimator(Stranger().fit(*flowers), flowers[0][:2], flowers[1][:2], **settings)


@table(
    OF_ANY_ROWS
    | {k: v for k, v in OF_THE_FIT.items() if k not in ("difficulty", "hardest rows", "detection")}
)
def test_says_which_scorer_has_what_it_draws(display, kind, settings, flowers, fitted):
    such_as = "TrainingDynamics" if kind == "several" else type(fitted[kind]).__name__
    message = f"{display.__name__}.from_estimator needs a fitted scorer with .*such as {such_as}"
    with pytest.raises(ValueError, match=message):
        display.from_estimator(Stranger().fit(*flowers), *flowers, **settings)
    assert not plt.get_fignums()


@table(OF_THE_FIT)
def test_refuses_rows_that_are_not_those_of_the_fit(display, kind, settings, fitted, flowers):
    X, y = flowers
    for rows, labels, why in (
        (X[::-1], y, "another X"),
        (X, y[::-1], "other labels"),
        (X[:100], y[:100], "100 rows instead of 150"),
    ):
        with pytest.raises(ValueError, match=f"draws the rows that .*these are not.*{why}"):
            display.from_estimator(fitted[kind], rows, labels, **settings)
    assert not plt.get_fignums()


def test_draws_what_the_scorer_knows(fitted, flowers, wrong):
    X, y = flowers
    by_class = DifficultyDisplay.from_estimator(fitted["vog"], X, y, by_class=True)
    assert by_class.ax_.get_xlabel() == "difficulty by VoGScorer (larger = harder)"
    assert_array_equal(by_class.difficulty, fitted["vog"].difficulty_)
    data_map = DataMapDisplay.from_estimator(fitted["dynamics"], X, y, marked=wrong)
    assert_allclose(data_map.confidence, fitted["dynamics"].raw_, rtol=1e-6)
    assert data_map.colorbar_ is not None
    trajectory = TrajectoryDisplay.from_estimator(fitted["dynamics"], X, y, rows=3)
    assert_array_equal(
        trajectory.row_lines_[0].get_ydata(),
        fitted["dynamics"].record_.trajectory.probability[:, 3],
    )
    quadrants = DifficultyQuadrantDisplay.from_estimator(fitted["quadrants"], X, y)
    codes = fitted["quadrants"].difficulty_quadrant_
    assert_array_equal(quadrants.counts_, np.bincount(codes[codes >= 0], minlength=4))
    detection = DetectionCurveDisplay.from_estimator(fitted["several"], X, y, is_wrong=wrong)
    assert [name.split()[0] for name in detection.names] == ["confidence", "aum"]


def test_draws_suspects(fitted, flowers, wrong, true):
    scorer, (X, y) = fitted["errors"], flowers
    matrix = LabelErrorMatrixDisplay.from_estimator(scorer, X, y).matrix
    assert matrix.sum() == (scorer.error_probability_ > 0.5).sum()
    plan = scorer.review_plan(20, random_state=0)
    review = scorer.calibrate(plan.rows, wrong[plan.rows])
    cuts = NoiseCutsDisplay.from_estimator(scorer, X, y, review=review, is_wrong=wrong)
    assert_array_equal(cuts.lines_[2].get_ydata(), review.cuts["precision"])
    dropped = scorer.error_probability_ > 0.5
    assert cuts.true_recall[scorer.cuts_["cut"] == 0.5] == (dropped & wrong).sum() / wrong.sum()
    with pytest.raises(ValueError, match=r"review must be what scorer\.calibrate returns"):
        NoiseCutsDisplay.from_estimator(scorer, X, y, review=plan)
    rows = HardestRowsDisplay.from_estimator(scorer, X, y, n=4, y_true=true, image_shape=(2, 2))
    hardest = np.argsort(-scorer.difficulty_, kind="stable")[:4]
    assert_array_equal(rows.rows, hardest)
    assert_array_equal(rows.is_right, (scorer.suggested_label_ == true)[hardest])


def test_draws_texts_in_place_of_precomputed_probabilities(flowers):
    _, y = flowers
    codes = np.unique(y, return_inverse=True)[1]
    P = 0.8 * np.eye(3)[codes] + 0.2 / 3
    P[:2] = P[[1, 0]]
    scorer = LabelErrorScorer("precomputed").fit(P, y)
    texts = [f"text {i}" for i in range(len(y))]
    display = HardestRowsDisplay.from_estimator(scorer, P, y, show=texts, n=2)
    assert {text.get_text() for text in display.texts_} <= set(texts)
    assert LabelErrorMatrixDisplay.from_estimator(scorer, P, y).matrix.shape == (3, 3)


def test_labels_must_be_passed_with_arrays(fitted, flowers):
    X, _ = flowers
    for scorer in (fitted["vog"], fitted["errors"], Stranger().fit(*flowers)):
        with pytest.raises(ValueError, match="the target y is None"):
            DifficultyDisplay.from_estimator(scorer, X)


def test_probes_of_training_rows_do_not_count_themselves(fitted, flowers, true):
    scorer, (X, y) = fitted["depth"], flowers
    display = InferenceCurveDisplay.from_estimator(scorer, X, y)
    assert_allclose(display.accuracy[0], (scorer.probe_predictions_ == y[:, None]).mean(axis=0))
    split = InferenceCurveDisplay.from_estimator(scorer, X, y, y_true=true)
    assert split.names == ["label right (135)", "label wrong (15)", "original label (15)"]
    others = InferenceCurveDisplay.from_estimator(scorer, X[::-1], y[::-1])
    assert_allclose(others.accuracy[0], scorer.inference_curve(X, y))
    for display in (InferenceCurveDisplay, ProbePathDisplay):
        with pytest.raises(ValueError, match=r"other labels\. Pass the labels of the fit as y"):
            display.from_estimator(scorer, X, true)


def test_a_record_that_does_not_know_its_rows_is_named(flowers, record, record_of):
    bare = record_of(record.module, record.classes_)
    scorer = PredictionDepthScorer(bare, n_neighbors=5).fit(*flowers)
    for display in (InferenceCurveDisplay, ProbePathDisplay):
        with pytest.raises(ValueError, match="made of checkpoints and does not know its rows"):
            display.from_estimator(scorer, *flowers)


def test_path_of_training_rows_and_others(fitted, flowers):
    scorer, (X, y) = fitted["depth"], flowers
    display = ProbePathDisplay.from_estimator(scorer, X, y, row=-1)
    assert display.title == f"row 149, label {y[149]}"
    assert_array_equal(display.predicted, scorer.probe_predictions_[149])
    assert_array_equal(display.share, scorer.probe_confidence_[149])
    defined = np.flatnonzero(~np.isnan(scorer.difficulty_))
    for row in defined[np.argsort(scorer.difficulty_[defined])[[0, -1]]]:
        drawn = ProbePathDisplay.from_estimator(scorer, X, y, row=row)
        assert drawn.depth_line_.get_xdata()[0] == scorer.difficulty_[row] - 0.5
    for row in np.flatnonzero(np.isnan(scorer.difficulty_))[:1]:
        assert ProbePathDisplay.from_estimator(scorer, X, y, row=row).depth_line_ is None
    unseen = ProbePathDisplay.from_estimator(scorer, X[:3], y[:3], row=1)
    votes = [scorer.probe_predict_proba(X[1:2], p)[0] for p in scorer.probe_names_]
    assert_allclose(unseen.share, np.max(votes, axis=1))
    with pytest.raises(ValueError, match=r"row holds \[150\], and there are 150 rows"):
        ProbePathDisplay.from_estimator(scorer, X, y, row=150)


def test_errors_of_the_network_by_difficulty(fitted, flowers):
    scorer, (X, y) = fitted["vog"], flowers
    display = ErrorRateDisplay.from_estimator(scorer, X, y, bins=3)
    error = scorer.classes_[scorer.record_.net.predict(X)] != y
    assert_allclose(np.mean(display.error_rate), error.mean())
    assert display.name == "VoGScorer"


def test_gradient_map_of_a_row(fitted, flowers):
    scorer, (X, y) = fitted["vog"], flowers
    display = GradientMapDisplay.from_estimator(scorer, X, y, row=-1, image_shape=(2, 2))
    assert_allclose(display.gradient_map.ravel(), scorer.gradient_maps(X[-1:], y[-1:])[0])
    assert_allclose(display.image.ravel(), X[-1])
    assert display.title == f"row 149, label {y[149]}"
    by_prediction = GradientMapDisplay.from_estimator(scorer, X, image_shape=(4, 1))
    assert by_prediction.title == "row 0"
    with pytest.raises(ValueError, match="image_shape="):
        GradientMapDisplay.from_estimator(scorer, X, y)


def test_normgrad_map_of_a_row(flowers):
    X = flowers[0].reshape(-1, 1, 2, 2)
    images, y = np.kron(X, np.ones((3, 3), np.float32)), flowers[1]
    scorer = NormGradScorer(checkpoints=1, random_state=0).fit(images, y)
    display = NormGradDisplay.from_estimator(scorer, images, y, row=-1)
    assert_allclose(display.saliency_map, scorer.maps(images[-1:], y[-1:])[0])
    assert_allclose(display.image, images[-1, 0])
    assert display.title == f"row 149, label {y[149]}"
    alone = NormGradDisplay.from_estimator(scorer, images, row=3, layer="layers.5")
    assert alone.title == "row 3, layers.5"
    layer_map = scorer.layer_maps(images[3:4])["layers.5"]
    assert_allclose(alone.saliency_map, combine_saliency_maps([layer_map], shape=(6, 6))[0])
    with pytest.raises(ValueError, match=r"layer must be one of \['layers.1', 'layers.4',"):
        NormGradDisplay.from_estimator(scorer, images, layer="layers.2")
    with pytest.raises(ValueError, match="such as NormGradScorer"):
        NormGradDisplay.from_estimator(Stranger().fit(*flowers), images)


def test_labels_come_from_a_dataset(flowers):
    X, y = flowers
    codes = np.unique(y, return_inverse=True)[1]
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(codes))
    scorer = TrainingDynamicsScorer(make_net(), random_state=0).fit(data)
    display = DifficultyDisplay.from_estimator(scorer, data, by_class=True)
    assert_array_equal(display.y, codes)
    assert DataMapDisplay.from_estimator(scorer, data).rows_ is not None
    titles = HardestRowsDisplay.from_estimator(scorer, data, n=1, image_shape=(2, 2)).titles
    assert titles == [f"label {codes[np.argmax(scorer.difficulty_)]}"]


def test_a_training_without_trajectory_is_named(flowers, record_of):
    net = make_net(max_epochs=1).fit(*[flowers[0], np.unique(flowers[1], return_inverse=True)[1]])
    bare = record_of(net.module_, np.unique(flowers[1]))
    scorer = PredictionDepthScorer(bare, n_neighbors=5).fit(*flowers)
    with pytest.raises(ValueError, match=r"read.* what training said in every epoch, and this"):
        DataMapDisplay.from_estimator(scorer, *flowers)


def test_a_trajectory_over_sizes_is_drawn_as_it_was_found(flowers):
    sizes = [("one", make_net()), ("other", make_net(max_epochs=6))]
    trajectory = MemorizationTrajectory(sizes, n_members=4, random_state=0)
    with pytest.raises(NotFittedError):
        MemorizationTrajectoryDisplay.from_estimator(trajectory)
    with pytest.warns(UserWarning, match="have no category"):
        trajectory.fit(*flowers)
    attributes = set(vars(trajectory))
    display = MemorizationTrajectoryDisplay.from_estimator(trajectory)
    defined = trajectory.category_ != "undefined"
    assert_allclose(display.lines_[1].get_ydata(), trajectory.p_out_[:, defined].mean(axis=1))
    n = trajectory.n_undefined_
    assert display.ax_.get_legend().get_texts()[-1].get_text().startswith(f"{n} row")
    assert set(vars(trajectory)) == attributes
    kinds = MemorizationTrajectoryDisplay.from_estimator(trajectory, kind="categories")
    assert len(kinds.lines_) == len(set(trajectory.category_) - {"undefined"})
    with pytest.raises(ValueError, match="needs a fitted scorer with correct_"):
        MemorizationTrajectoryDisplay.from_estimator(VoGScorer(make_net()).fit(*flowers))
