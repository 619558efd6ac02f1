# SPDX-License-Identifier: BSD-3-Clause
"""TrainingDynamicsScorer: signs, values read by hand, rows taken as unseen, and what it refuses."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.dataset import ValidSplit
from small_nets import NeverTrain, codes_of, make_net
from torch import nn
from torch.func import functional_call

from sklearn_difficulty import TrainingDynamicsScorer, TrainingRecord, measures
from sklearn_difficulty.training import RecordTraining

pytestmark = pytest.mark.usefixtures("one_thread")
UNSEEN = ["confidence", "aum", "loss", "el2n", "entropy"]
EVENTS = ["variability", "aleatoric", "correctness", "forgetting", "iteration_learned"]
EVENTS += ["iteration_settled", "final_loss"]
MEASURES = UNSEEN + EVENTS


@pytest.fixture(scope="module")
def record(flowers):
    return TrainingRecord.from_fit(
        make_net(max_epochs=20, batch_size=8), *flowers, keep_logits=True, random_state=0
    )


def read(record, measure, flowers, **settings):
    return TrainingDynamicsScorer(record, measure=measure, **settings).fit(*flowers)


# ---------------------------------------------------------------------------------------- values


def test_every_measure_is_that_of_the_trajectory(record, flowers):
    t, y = record.trajectory, codes_of(flowers[1])
    recomputed = measures.epoch_statistics(t.logits, y)
    p = recomputed.probability
    expected = {
        "confidence": -p.mean(axis=0),
        "aum": -recomputed.margin.mean(axis=0),
        "loss": recomputed.loss.mean(axis=0),
        "el2n": recomputed.el2n.mean(axis=0),
        "entropy": recomputed.entropy.mean(axis=0),
        "variability": p.std(axis=0),
        "aleatoric": (p * (1 - p)).mean(axis=0),
        "correctness": -(recomputed.predicted == y).mean(axis=0),
        "forgetting": measures.forgetting_events(recomputed.predicted, y),
        "iteration_learned": measures.iteration_learned(recomputed.predicted, y),
        "iteration_settled": measures.iteration_learned(recomputed.predicted),
        "final_loss": recomputed.loss[-1],
    }
    assert set(expected) == set(MEASURES)
    for name, values in expected.items():
        scorer = read(record, name, flowers)
        assert_allclose(scorer.difficulty_, values, rtol=1e-4, atol=1e-5, err_msg=name)
        sign = -1 if name in ("confidence", "aum", "correctness") else 1
        assert_array_equal(scorer.raw_, sign * scorer.difficulty_)
        assert scorer.raw_.dtype == scorer.difficulty_.dtype == np.float32
        assert scorer.n_undefined_ == 0
        assert scorer.get_feature_names_out().tolist() == [name]


def test_ranges(record, flowers):
    for name, (low, high) in {
        "confidence": (0, 1),
        "el2n": (0, np.sqrt(2)),
        "entropy": (0, np.log(3)),
        "variability": (0, 0.5),
        "aleatoric": (0, 0.25),
        "correctness": (0, 1),
        "forgetting": (0, 20),
        "iteration_learned": (1, 21),
        "iteration_settled": (1, 20),
    }.items():
        raw = read(record, name, flowers).raw_
        assert low <= raw.min() < raw.max() <= high, name


@pytest.mark.parametrize(
    "measure",
    [
        "confidence",
        "aum",
        "loss",
        "el2n",
        "correctness",
        "forgetting",
        "iteration_learned",
        "final_loss",
    ],
)
def test_flipped_labels_are_harder(record, flowers, measure):
    flipped = np.zeros(150, bool)
    flipped[::10] = True
    scores = read(record, measure, flowers).difficulty_
    below = (scores[flipped][:, None] > scores[~flipped]).mean()
    ties = (scores[flipped][:, None] == scores[~flipped]).mean()
    assert below + ties / 2 > 0.85


@pytest.mark.parametrize("measure", ["aleatoric", "entropy"])
def test_doubt_is_largest_where_labels_are_a_coin(measure):
    rng = np.random.default_rng(0)
    x = np.repeat([-3.0, 0.0, 3.0], 60)
    X = np.stack([x, np.ones(180), np.zeros(180), np.zeros(180)], axis=1).astype(np.float32)
    y = np.where(x == 0, rng.permutation(180) % 2, x > 0).astype(int)
    net = make_net(module__n_outputs=2, max_epochs=20)
    scores = TrainingDynamicsScorer(net, measure=measure, random_state=0).fit(X, y).difficulty_
    assert scores[x == 0].min() > scores[x != 0].max()


def test_variability_is_largest_where_the_prediction_changes():
    p = np.array([[0.9, 0.1, 0.5, 0.1], [0.9, 0.5, 0.5, 0.1], [0.9, 0.9, 0.5, 0.1]])
    logits = np.stack([np.log(p), np.log(1 - p)], axis=2)
    record = TrainingRecord.from_logits(logits, np.zeros(4, int))
    X, y = np.zeros((4, 1)), np.zeros(4, int)
    assert read(record, "variability", (X, y)).difficulty_.argmax() == 1
    assert read(record, "aleatoric", (X, y)).difficulty_.argmax() == 2


def test_settled_needs_no_label(record, flowers):
    settled = read(record, "iteration_settled", flowers).difficulty_
    learned = read(record, "iteration_learned", flowers).difficulty_
    right = record.trajectory.predicted[-1] == record.trajectory.targets
    assert_array_equal(settled[right], learned[right])
    assert (learned[~right] == 21).all()
    assert (settled[~right] <= 20).all()


@pytest.mark.parametrize("measure", MEASURES)
def test_record_and_own_training_agree(flowers, measure):
    net = make_net(max_epochs=3)
    scorer = read(net, measure, flowers, random_state=0)
    record = TrainingRecord.from_fit(net, *flowers, keep_logits=True, random_state=0)
    assert_array_equal(scorer.difficulty_, read(record, measure, flowers).difficulty_)
    assert (scorer.record_.trajectory.logits is not None) == (measure == "entropy")


def test_modes(flowers):
    training, evaluation = (
        read(make_net(max_epochs=3), "loss", flowers, mode=mode, random_state=0)
        for mode in ("training", "evaluation")
    )
    assert evaluation.record_.trajectory.mode == "evaluation"
    assert not np.array_equal(training.difficulty_, evaluation.difficulty_)
    assert training.record_.trajectory.mode == "training"


def test_dynamics_find_flipped_labels_without_a_network(flowers):
    X, y = flowers
    scorer = TrainingDynamicsScorer(measure="aum", random_state=0).fit(X, y)
    assert scorer.difficulty_[::10].mean() > scorer.difficulty_.mean()


# ---------------------------------------------------------------------------------- unseen rows


def statistics_at(record, checkpoints, X, labels):
    z = []
    for checkpoint in checkpoints:
        with torch.no_grad():
            z.append(functional_call(record.module, checkpoint.state_dict(), (torch.tensor(X),)))
    return measures.epoch_statistics(torch.stack(z).numpy(), labels)


@pytest.mark.parametrize("measure", UNSEEN)
@pytest.mark.parametrize("checkpoints", [10, "late", [2, 11]])
def test_unseen_rows_have_the_mean_over_checkpoints(flowers, measure, checkpoints):
    X, y = flowers
    record = TrainingRecord.from_fit(
        make_net(max_epochs=12), X, y, checkpoints="all", keep_logits=True, random_state=0
    )
    scorer = read(record, measure, flowers, checkpoints=checkpoints, batch_size=64)
    chosen = record.select(checkpoints)
    rows = (X[::-2] + 0.1).copy()
    sign = -1 if measure in ("confidence", "aum") else 1
    name = {"confidence": "probability", "aum": "margin"}.get(measure, measure)
    given = getattr(statistics_at(record, chosen, rows, codes_of(y)[::-2]), name).mean(axis=0)
    assert_allclose(scorer.score_samples(rows, y[::-2]), sign * given, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        guesses = record.module(torch.tensor(rows)).argmax(1).numpy()
    free = getattr(statistics_at(record, chosen, rows, guesses), name).mean(axis=0)
    assert_allclose(scorer.score_samples(rows), sign * free, rtol=1e-4, atol=1e-5)
    assert_array_equal(scorer.transform(rows)[:, 0], scorer.score_samples(rows))
    assert scorer.transform(rows).dtype == np.float32


@pytest.mark.parametrize("measure", UNSEEN)
def test_block_size_changes_nothing(record, flowers, measure):
    X, y = flowers
    large, small = (read(record, measure, flowers, batch_size=n) for n in (512, 7))
    assert_allclose(large.score_samples(X, y), small.score_samples(X, y), rtol=1e-5, atol=1e-6)


def test_entropy_of_unseen_rows_ignores_labels(record, flowers):
    X, y = flowers
    scorer = read(record, "entropy", flowers)
    assert_array_equal(scorer.score_samples(X, y), scorer.score_samples(X))
    with pytest.raises(ValueError, match="rose"):
        scorer.score_samples(X, np.full(150, "rose"))


@pytest.mark.parametrize("measure", EVENTS)
def test_events_have_no_meaning_for_unseen_rows(record, flowers, measure):
    unfitted = TrainingDynamicsScorer(record, measure=measure)
    for scorer in (unfitted, clone(unfitted), read(record, measure, flowers)):
        for name in ("transform", "fit_transform", "score_samples"):
            assert not hasattr(scorer, name)
    scorer.set_params(measure="loss")
    assert hasattr(clone(scorer), "transform")
    assert_allclose(scorer.fit(*flowers).score_samples(flowers[0]).shape, (150,))
    scorer.set_params(measure=measure)
    assert not hasattr(scorer, "transform")


def test_events_do_not_keep_checkpoints_they_cannot_use(flowers):
    scorer = read(make_net(max_epochs=3), "forgetting", flowers, checkpoints=[99])
    assert scorer.difficulty_.shape == (150,)
    with pytest.raises(ValueError, match="asks for epoch 99"):
        read(make_net(max_epochs=3), "loss", flowers, checkpoints=[99])


# --------------------------------------------------------------------------- a scikit-learn citizen


def test_events_end_a_pipeline_only(flowers):
    scorer = TrainingDynamicsScorer(make_net(max_epochs=2), measure="forgetting")
    assert make_pipeline(StandardScaler(), scorer).fit(*flowers)[-1].difficulty_.shape == (150,)
    with pytest.raises(TypeError, match="transform"):
        make_pipeline(scorer, LogisticRegression()).fit(*flowers)


@pytest.mark.parametrize("undefined", ["nan", "max"])
@pytest.mark.parametrize("measure", ["aum", "forgetting", "final_loss", "entropy"])
def test_rows_that_were_put_aside_are_undefined(flowers, measure, undefined):
    X, y = flowers[0], codes_of(flowers[1])
    split = ValidSplit(5)
    net = make_net(callbacks=[RecordTraining(keep_logits=True)], train_split=split).fit(X, y)
    aside = np.bincount(split(X, y)[1].indices, minlength=150) > 0
    scorer = TrainingDynamicsScorer(FrozenEstimator(net), measure=measure, undefined=undefined)
    with pytest.warns(UserWarning, match=rf"{aside.sum()} row\(s\) have no defined difficulty"):
        scorer.fit(X, y)
    assert scorer.n_undefined_ == aside.sum() == 30
    assert np.isnan(scorer.raw_[aside]).all()
    assert np.isfinite(scorer.difficulty_[~aside]).all()
    expected = np.nan if undefined == "nan" else scorer.difficulty_[~aside].max()
    assert_array_equal(scorer.difficulty_[aside], np.full(30, expected, np.float32))


# ---------------------------------------------------------------------- refused, before training


OF_REGRESSORS = ["residual", "residual_deviation"]


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_residuals_are_those_of_the_predictions(flowers, mode, n_outputs):
    X, _ = flowers
    y = X[:, :n_outputs] * 2
    settings = {"cls": NeuralNetRegressor, "criterion": nn.MSELoss, "lr": 0.03, "max_epochs": 4}
    net = make_net(**settings, module__n_outputs=n_outputs)
    record = TrainingRecord.from_fit(net, X, y, keep_logits=True, mode=mode, random_state=0)
    found = measures.residual_statistics(record.trajectory.logits, y)
    for measure, expected in zip(OF_REGRESSORS, found[1:], strict=True):
        scorer = read(record, measure, (X, y), mode=mode)
        assert_allclose(scorer.difficulty_, expected, rtol=1e-4, atol=1e-6)
        trained = read(net, measure, (X, y), mode=mode, random_state=0)
        assert_array_equal(trained.difficulty_, scorer.difficulty_)
        assert (trained.record_.trajectory.logits is None) == (measure == "residual")
    with torch.no_grad():
        outputs = record.module(torch.tensor(X)).numpy()
    last = read(record, "residual", (X, y), mode=mode, checkpoints=[4])
    expected = np.linalg.norm(outputs - y, axis=1)
    assert_allclose(last.score_samples(X, y), expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="needs y"):
        last.score_samples(X)
    assert not hasattr(scorer, "score_samples")


def test_the_default_network_of_a_residual_is_a_regressor(flowers):
    X, _ = flowers
    years = np.arange(1900, 2050)  # whole numbers, and no classes
    scorer = TrainingDynamicsScorer(measure="residual", random_state=0).fit(X[:, :2], years)
    assert scorer.classes_ is None
    assert scorer.difficulty_.mean() < np.abs(years - years.mean()).mean()


@pytest.mark.parametrize("measure", OF_REGRESSORS)
def test_classifiers_have_no_residual(flowers, measure):
    net = make_net(callbacks=[NeverTrain()])
    with pytest.raises(ValueError, match=f"measure {measure!r} is one of regressors"):
        read(net, measure, flowers)


def test_rows_that_a_regression_never_showed(flowers):
    X, _ = flowers
    y = X[:, 0] * 2
    split = ValidSplit(5)
    settings = {"cls": NeuralNetRegressor, "criterion": nn.MSELoss, "module__n_outputs": 1}
    recorder = RecordTraining(keep_logits=True)
    net = make_net(**settings, callbacks=[recorder], train_split=split).fit(X, y[:, None])
    for measure in OF_REGRESSORS:
        with pytest.warns(UserWarning, match=r"30 row\(s\) have no defined difficulty"):
            scorer = TrainingDynamicsScorer(FrozenEstimator(net), measure=measure).fit(X, y)
        assert scorer.n_undefined_ == 30
        assert np.isfinite(scorer.difficulty_).sum() == 120


@pytest.mark.parametrize("measure", MEASURES)
def test_regressor(flowers, measure):
    X, _ = flowers
    y = X[:, 0] * 2
    settings = {"cls": NeuralNetRegressor, "criterion": nn.MSELoss, "module__n_outputs": 1}
    if measure not in ("loss", "final_loss"):
        net = make_net(**settings, callbacks=[NeverTrain()])
        with pytest.raises(ValueError, match=f"no measure {measure!r}.*'loss'.*'final_loss'"):
            read(net, measure, (X, y))
        return
    scorer = read(make_net(**settings, lr=0.0), measure, (X, y), random_state=0)
    with torch.no_grad():
        outputs = scorer.record_.module(torch.tensor(X))[:, 0].numpy()
    assert_allclose(scorer.difficulty_, (outputs - y) ** 2, rtol=1e-4, atol=1e-6)
    assert scorer.classes_ is None
    if measure == "loss":
        assert_allclose(scorer.score_samples(X, y), scorer.difficulty_, rtol=1e-4, atol=1e-6)
        with pytest.raises(ValueError, match="needs y"):
            scorer.score_samples(X)


@pytest.mark.parametrize(
    ("recorder", "settings", "message"),
    [
        (
            RecordTraining(mode="evaluation"),
            {},
            r"mode='training'.*recorded with mode='evaluation'",
        ),
        (RecordTraining(), {"mode": "evaluation"}, r"mode='evaluation'.*with mode='training'"),
        (RecordTraining(), {"measure": "entropy"}, "keep_logits=True"),
        (RecordTraining("late"), {"checkpoints": [1]}, r"needs epochs \[1\]"),
    ],
)
def test_recorder_of_the_net_that_keeps_too_little(flowers, recorder, settings, message):
    net = make_net(callbacks=[recorder, NeverTrain()])
    with pytest.raises(ValueError, match=message):
        TrainingDynamicsScorer(net, **settings).fit(*flowers)


def test_recorder_of_the_net_is_used(flowers):
    net = make_net(callbacks=[RecordTraining("all", mode="evaluation")])
    scorer = read(net, "loss", flowers, mode="evaluation")
    assert scorer.record_.trajectory.mode == "evaluation"
    assert len(scorer.record_.checkpoints) == 5


def test_record_without_checkpoints_scores_training_rows_only(flowers):
    record = TrainingRecord.from_fit(make_net(max_epochs=2), *flowers)
    bare = TrainingRecord(record.module, [], classes=record.classes_, trajectory=record.trajectory)
    scorer = read(bare, "loss", flowers)
    with pytest.raises(ValueError, match="Unseen rows are read at checkpoints"):
        scorer.transform(flowers[0])


def test_net_whose_iterator_hides_its_rows(flowers):
    class Batches:
        def __init__(self, dataset, batch_size):
            self.loader = torch.utils.data.DataLoader(dataset, batch_size)

        def __iter__(self):
            return iter(self.loader)

    net = NeuralNetClassifier(
        nn.Linear(4, 3),
        criterion=nn.CrossEntropyLoss,
        iterator_train=Batches,
        max_epochs=2,
        verbose=0,
    )
    with pytest.raises(ValueError, match="row by row: the iterator is a Batches, not a DataLoader"):
        TrainingDynamicsScorer(net).fit(*flowers)
