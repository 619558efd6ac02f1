# SPDX-License-Identifier: BSD-3-Clause
"""TrajectoryRecorder, recording in eval mode, and records that are made of trajectories alone."""

import random
import re

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.func import functional_call

from sklearn_difficulty import (
    PredictionDepthScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.measures import epoch_statistics
from sklearn_difficulty.training import (
    RecordTraining,
    Trajectory,
    TrajectoryRecorder,
    trajectory_recorder,
)

FLOATS = ("probability", "margin", "loss", "el2n")
ARRAYS = (*FLOATS, "predicted", "count", "targets", "logits")


def assert_same(one, other, names=ARRAYS, **tolerance):
    for name in names:
        ours, theirs = getattr(one, name), getattr(other, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours.shape == theirs.shape
            assert ours.dtype == theirs.dtype
            assert_allclose(ours, theirs, err_msg=name, **(tolerance or {"rtol": 0}))


@pytest.fixture
def logits():
    rng = np.random.default_rng(0)
    return rng.normal(scale=2, size=(3, 20, 4)).astype(np.float32), rng.integers(4, size=20)


def collect(logits, y, batches=7, **settings):
    """Return the trajectory of logits that come in shuffled batches."""
    recorder = TrajectoryRecorder(len(y), **settings)
    order = np.random.default_rng(1)
    for epoch in logits:
        for ids in np.array_split(order.permutation(len(y)), batches):
            recorder.update(ids, torch.as_tensor(epoch[ids]), y[ids])
        recorder.end_epoch()
    return recorder.trajectory()


def assert_statistics(found, z, y, **tolerance):
    expected = epoch_statistics(z, y)
    for name in (*FLOATS, "predicted"):
        assert_allclose(getattr(found, name), getattr(expected, name), err_msg=name, **tolerance)


# --------------------------------------------------------------------------------- the recorder


def test_recorded_is_what_epoch_statistics_say(logits):
    found = collect(*logits, keep_logits=True)
    assert_statistics(found, *logits, rtol=1e-4, atol=1e-6)
    assert_array_equal(found.logits, logits[0])
    assert_array_equal(found.targets, logits[1])
    assert (found.count == 1).all()
    assert (found.n_epochs, found.n_rows) == (3, 20)
    for name, dtype in [
        *((n, "float32") for n in FLOATS),
        ("predicted", "int32"),
        ("count", "int32"),
    ]:
        assert getattr(found, name).dtype == dtype


def test_logits_are_kept_on_request_only(logits):
    assert collect(*logits).logits is None


@pytest.mark.parametrize("batches", [1, 3, 20])
@pytest.mark.parametrize("limit", [0, 200, 2**26])
def test_batches_and_flushes_change_nothing(logits, monkeypatch, batches, limit):
    whole = collect(*logits, batches=1, keep_logits=True)
    monkeypatch.setattr(trajectory_recorder, "_PENDING_BYTES", limit)
    assert_same(collect(*logits, batches=batches, keep_logits=True), whole)


def test_pending_outputs_are_limited(logits, monkeypatch):
    monkeypatch.setattr(trajectory_recorder, "_PENDING_BYTES", 200)
    recorder = TrajectoryRecorder(20)
    z, y = torch.tensor(logits[0][0]), logits[1]
    for i in range(20):
        recorder.update([i], z[i : i + 1], y[i : i + 1])
        assert recorder._pending_bytes <= 200
        assert sum(outputs.nbytes for _, outputs, _ in recorder._pending) <= 200


@pytest.mark.parametrize("limit", [0, 2**26])
def test_rows_that_come_again_have_means_and_the_last_logits(monkeypatch, limit):
    monkeypatch.setattr(trajectory_recorder, "_PENDING_BYTES", limit)
    recorder = TrajectoryRecorder(3, keep_logits=True)
    z = torch.tensor([[0.0, 2.0], [3.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    for ids, of_batch in (([2, 0, 2], [0, 1, 2]), ([2], [3])):
        recorder.update(ids, z[of_batch], [0] * len(ids))
    recorder.end_epoch()
    found = recorder.trajectory()
    assert found.count.tolist() == [[1, 0, 3]]
    assert found.predicted.tolist() == [[0, -1, 0]]
    assert found.targets.tolist() == [0, -1, 0]
    assert_allclose(found.margin, [[3, np.nan, (-2 - 1 + 1) / 3]])
    p = z.softmax(1)[:, 0]
    assert_allclose(found.probability, [[p[1], np.nan, p[[0, 2, 3]].mean()]], rtol=1e-6)
    assert_allclose(found.logits, [[[3, 0], [np.nan, np.nan], [1, 0]]])


def test_last_of_many_repetitions():
    # Scattering with repeated positions would take any of them.
    ids = np.random.default_rng(0).integers(50, size=5000)
    z = torch.zeros(5000, 3)
    z[torch.arange(5000), torch.arange(5000) % 3] = 1
    recorder = TrajectoryRecorder(50, keep_logits=True)
    recorder.update(ids, z, np.zeros(5000, int))
    recorder.end_epoch()
    last = {row: at for at, row in enumerate(ids.tolist())}
    expected = [last[row] % 3 for row in range(50)]
    assert recorder.trajectory().predicted[0].tolist() == expected
    assert recorder.trajectory().logits[0].argmax(axis=1).tolist() == expected


def test_epochs_that_show_other_rows():
    recorder = TrajectoryRecorder(3, keep_logits=True)
    for ids in ([0], [], [1, 0]):
        if ids:
            recorder.update(ids, torch.eye(2)[: len(ids)], ids)
        recorder.end_epoch()
    found = recorder.trajectory()
    assert found.count.tolist() == [[1, 0, 0], [0, 0, 0], [1, 1, 0]]
    assert found.predicted.tolist() == [[0, -1, -1], [-1, -1, -1], [1, 0, -1]]
    assert found.targets.tolist() == [0, 1, -1]
    assert np.isnan(found.loss).tolist() == (found.count == 0).tolist()
    assert np.isnan(found.logits).all(axis=2).tolist() == (found.count == 0).tolist()


def test_first_epoch_without_a_batch_keeps_logits_of_the_others():
    recorder = TrajectoryRecorder(2, keep_logits=True)
    recorder.end_epoch()
    recorder.update([0, 1], torch.eye(2), [0, 1])
    recorder.end_epoch()
    assert np.isnan(recorder.trajectory().logits[0]).all()
    assert_array_equal(recorder.trajectory().logits[1], np.eye(2))


def test_open_epoch_is_left_out(logits):
    z, y = logits
    recorder = TrajectoryRecorder(20)
    recorder.update(np.arange(20), torch.tensor(z[0]), y)
    recorder.end_epoch()
    before = recorder.trajectory()
    recorder.update(np.arange(20), torch.tensor(z[1]), y)
    assert recorder.trajectory().n_epochs == 1
    assert_same(recorder.trajectory(), before)


def test_trajectory_does_not_follow_the_recorder(logits):
    z, y = logits
    recorder = TrajectoryRecorder(20)
    recorder.update(np.arange(10), torch.tensor(z[0, :10]), y[:10])
    recorder.end_epoch()
    first = recorder.trajectory()
    recorder.update(np.arange(20), torch.tensor(z[1]), y)
    recorder.end_epoch()
    assert first.targets[10:].tolist() == [-1] * 10
    assert recorder.trajectory().targets.tolist() == y.tolist()


def test_outputs_are_detached():
    module = nn.Linear(3, 2)
    recorder = TrajectoryRecorder(4)
    recorder.update(
        range(4), (module(torch.ones(4, 3)), "more"), torch.tensor([[0], [1], [0], [1]])
    )
    assert not recorder._pending[0][1].requires_grad
    recorder.end_epoch()


def test_kinds_of_outputs_agree():
    z = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    y = np.arange(12) % 2
    outputs = {
        "logits": z,
        "probabilities": z.softmax(1),
        "log_probabilities": z.log_softmax(1),
        "binary_logit": (z[:, 1] - z[:, 0])[:, None],
    }
    found = {kind: collect(o[None].numpy(), y, outputs=kind) for kind, o in outputs.items()}
    for kind in ("probabilities", "log_probabilities", "binary_logit"):
        assert_same(found[kind], found["logits"], (*FLOATS, "predicted"), rtol=1e-4, atol=1e-5)
    flat = collect(outputs["binary_logit"][None, :, 0].numpy(), y, outputs="binary_logit")
    assert_same(flat, found["binary_logit"])
    floats = collect(
        outputs["binary_logit"][None].numpy(), y[:, None] * 1.0, outputs="binary_logit"
    )
    assert_same(floats, found["binary_logit"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_outputs_of_other_precision(logits, dtype):
    z, y = logits
    recorder = TrajectoryRecorder(20, keep_logits=True)
    outputs = torch.tensor(z[0]).to(dtype)
    recorder.update(np.arange(20), outputs, y)
    recorder.end_epoch()
    found = recorder.trajectory()
    assert_statistics(found, outputs[None].double().numpy(), y, rtol=1e-4, atol=1e-5)
    assert found.logits.dtype == np.float32


def test_probability_zero_has_a_finite_loss():
    found = collect(
        np.array([[[0.0, 1.0], [1.0, 0.0]]], np.float32),
        np.array([0, 0]),
        1,
        outputs="probabilities",
    )
    assert np.isfinite([found.loss, found.margin]).all()
    assert found.loss[0, 0] > 80


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 2)])
def test_values(shape):
    outputs = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    y = outputs + 2
    found = collect(outputs[None], y, 2, outputs="values", keep_logits=True)
    assert_allclose(found.loss, np.full((1, 6), 4.0 * outputs.reshape(6, -1).shape[1]))
    assert np.isnan([found.probability, found.margin, found.el2n]).all()
    assert (found.predicted == -1).all()
    assert_allclose(found.logits[0], outputs.reshape(6, -1))
    assert_allclose(found.targets, y)


def test_value_that_was_never_shown_has_no_target():
    recorder = TrajectoryRecorder(2, outputs="values")
    recorder.update([1], torch.tensor([[1.0]]), [3.0])
    recorder.end_epoch()
    assert_allclose(recorder.trajectory().targets, [np.nan, 3])
    assert_allclose(recorder.trajectory().loss, [[np.nan, 4]])


@pytest.mark.parametrize(
    ("ids", "outputs", "labels", "kind", "message"),
    [
        ([0, 1], (3, 2), [0, 1, 0], "logits", r"2 ids, outputs of shape \(3, 2\)"),
        ([0, 1, 2], (3, 2), [0, 1], "logits", r"labels of shape \(2,\)"),
        ([0, 1, 2], (3, 2), np.zeros((3, 2)), "logits", r"labels of shape \(3, 2\)"),
        ([0, 1, 2], (3, 2), [0.0, 1.0, 2.0], "values", "one label per output"),
        ([0, 1, 2], (3,), [0, 1, 0], "logits", r"outputs of shape \(3,\)"),
        ([0, 1, 2], (3, 1), [0, 0, 0], "logits", r"outputs of shape \(3, 1\)"),
        ([0, 1, 2], (3, 2), [0, 1, 0], "binary_logit", r"outputs of shape \(3, 2\)"),
    ],
)
def test_batches_that_do_not_fit_are_refused(ids, outputs, labels, kind, message):
    recorder = TrajectoryRecorder(3, outputs=kind)
    with pytest.raises(ValueError, match=message):
        recorder.update(ids, torch.zeros(outputs), labels)


def test_nothing_recorded_yet():
    with pytest.raises(ValueError, match="end_epoch"):
        TrajectoryRecorder(3).trajectory()


def test_plain_loop_records_what_the_callback_records(make_net, data):
    X, y = data
    net = make_net(module__dropout=0.3, iterator_train__shuffle=True, train_split=None)
    net.set_params(callbacks=[RecordTraining(keep_logits=True)])
    torch.manual_seed(5)
    net.fit(X, y)
    theirs = dict(net.callbacks_)["RecordTraining"].trajectory_

    torch.manual_seed(5)
    plain = make_net(module__dropout=0.3, iterator_train__shuffle=True).initialize()
    module, optimizer = plain.module_, plain.optimizer_
    rows = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(y), torch.arange(48))
    loader = torch.utils.data.DataLoader(rows, batch_size=16, shuffle=True)
    recorder = TrajectoryRecorder(48, keep_logits=True)
    for _ in range(4):
        for inputs, labels, ids in loader:
            module.train()
            outputs = module(inputs)
            optimizer.zero_grad()
            nn.functional.cross_entropy(outputs, labels).backward()
            optimizer.step()
            recorder.update(ids, outputs, labels)
        recorder.end_epoch()
    assert_same(recorder.trajectory(), theirs)


# -------------------------------------------------------------------------------- mode="evaluation"


class Normed(nn.Module):
    def __init__(self, n_outputs=3):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, n_outputs)
        )

    def forward(self, x):
        return self.layers(x)


KINDS = {
    "logits": {},
    "binary": {
        "cls": NeuralNetBinaryClassifier,
        "criterion": nn.BCEWithLogitsLoss,
        "module__n_outputs": 1,
    },
    "values": {"cls": NeuralNetRegressor, "criterion": nn.MSELoss, "module__n_outputs": 1},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_evaluation_is_recomputed_from_the_checkpoints(make_net, data, kind, shuffle):
    X, codes = data
    y = {"logits": codes, "binary": codes % 2, "values": X[:, 0] * 3}[kind]
    net = make_net(Normed, iterator_train__shuffle=shuffle, **KINDS[kind])
    record = TrainingRecord.from_fit(
        net, X, y, checkpoints="all", mode="evaluation", keep_logits=True, random_state=0
    )
    found = record.trajectory
    assert found.mode == "evaluation"
    z = []
    for checkpoint in record.checkpoints:
        with torch.no_grad():
            z.append(functional_call(record.module, checkpoint.state_dict(), (torch.tensor(X),)))
    z = torch.stack(z).numpy()
    assert_allclose(found.logits[..., -1], z[..., -1], atol=1e-6)
    assert (found.count == 1).all()
    if kind == "values":
        assert_allclose(found.loss, (z[..., 0] - y) ** 2, atol=1e-5)
    else:
        z = np.concatenate([0 * z, z], axis=2) if kind == "binary" else z
        assert_statistics(found, z, y, atol=2e-6, rtol=1e-5)


def test_training_values_are_those_of_train_mode(make_net, data):
    records = [
        TrainingRecord.from_fit(make_net(Normed), *data, mode=mode, random_state=0)
        for mode in ("training", "evaluation")
    ]
    assert records[0].trajectory.mode == "training"
    assert not np.allclose(records[0].trajectory.loss, records[1].trajectory.loss, atol=1e-2)


def test_evaluation_leaves_the_random_generators_alone(make_net, data):
    class Draws(torch.utils.data.Dataset):
        def __len__(self):
            return 48

        def __getitem__(self, index):
            np.random.rand(), random.random(), torch.rand(1)
            return data[0][index], data[1][index]

    def after_training(callbacks):
        np.random.seed(0), random.seed(0), torch.manual_seed(0)
        make_net(callbacks=callbacks, train_split=None).fit(Draws(), None)
        return np.random.rand(), random.random(), float(torch.rand(1))

    assert after_training([RecordTraining(mode="evaluation")]) == after_training([])


def test_unknown_mode_is_refused_before_training(make_net, data):
    net = make_net(callbacks=[RecordTraining(mode="test")])
    with pytest.raises(ValueError, match="mode must be 'training' or 'evaluation'; got 'test'"):
        net.fit(*data)
    assert len(net.history) == 0


# -------------------------------------------------------------- records of trajectories alone


@pytest.mark.parametrize(
    "names",
    [
        [0, 1, 2, 3],
        ["a", "b", "c", "d"],
        [-1, 3, 5, 11],
        [0.5, 1.5, 2.5, 3.5],
        np.array([1, 2, 3, 200], np.uint8),
    ],
)
def test_from_logits_takes_labels_of_any_type(logits, names):
    z, codes = logits
    names = np.asarray(names)
    record = TrainingRecord.from_logits(z, names[codes])
    assert record.classes_.tolist() == names.tolist()
    assert_statistics(record.trajectory, z, codes, rtol=1e-4, atol=1e-5)
    assert_array_equal(record.trajectory.targets, codes)
    assert_array_equal(record.trajectory.logits, z)
    assert record.n_epochs == 3
    assert not record.has_module
    scorer = TrainingDynamicsScorer(record, measure="loss").fit(np.zeros((20, 1)), names[codes])
    assert_allclose(scorer.difficulty_, epoch_statistics(z, codes).loss.mean(0), rtol=1e-5)
    assert scorer.classes_.tolist() == names.tolist()


def test_from_logits_takes_booleans_tensors_and_lists(logits):
    z, codes = logits
    record = TrainingRecord.from_logits(torch.tensor(z[..., :2]), codes > 1)
    assert record.classes_.tolist() == [False, True]
    listed = TrainingRecord.from_logits(z[..., :2].tolist(), (codes > 1).tolist())
    assert_same(record.trajectory, listed.trajectory)


def test_from_logits_with_classes_in_the_order_of_the_columns(logits):
    z, codes = logits
    names = np.array(["d", "b", "a", "c"])
    record = TrainingRecord.from_logits(z, names[codes], classes=names)
    assert record.classes_.tolist() == names.tolist()
    assert_statistics(record.trajectory, z, codes, rtol=1e-4, atol=1e-5)


def test_from_logits_where_labels_lack_a_class(logits):
    z, codes = logits
    record = TrainingRecord.from_logits(z, np.minimum(codes, 2))
    assert record.classes_.tolist() == [0, 1, 2, 3]


def test_from_logits_with_rows_that_were_not_shown(logits):
    z, y = logits
    z = z.copy()
    z[0, 3] = z[:, 5] = z[1, 7, 2] = z[2] = np.nan
    record = TrainingRecord.from_logits(z, y)
    assert_statistics(record.trajectory, z, y, rtol=1e-4, atol=1e-5)
    assert record.trajectory.count.sum() == 3 * 20 - 20 - 2 - 1 - 1
    assert record.trajectory.targets[5] == -1
    scorer = TrainingDynamicsScorer(record, measure="entropy", undefined="max")
    with pytest.warns(UserWarning, match=r"1 row\(s\).*\[5\]"):
        scorer.fit(np.zeros((20, 1)), y)
    assert scorer.n_undefined_ == 1
    assert np.isfinite(scorer.difficulty_).all()


@pytest.mark.parametrize(
    ("shape", "y", "settings", "message"),
    [
        ((3, 20), np.zeros(20, int), {}, r"\(n_epochs, n_rows, n_classes\).*got \(3, 20\)"),
        ((3, 20, 4), np.zeros(19, int), {}, r"\(3, 20, 4\) and \(19,\)"),
        ((0, 20, 4), np.zeros(20, int), {}, r"\(0, 20, 4\)"),
        ((3, 20, 4), np.arange(20) % 3 == 1, {}, "4 columns, and there are 2 classes"),
        ((3, 20, 4), np.full(20, 4), {}, "4 columns, and there are 1 classes"),
        ((3, 20, 2), np.array(["a", "b"] * 10), {"classes": ["a", "c"]}, "not.*'b'"),
        ((3, 20, 2), np.arange(20) % 2, {"classes": [0, 1, 2]}, "there are 3 classes"),
        ((3, 20, 2), np.arange(20) % 2, {"classes": [1, 1]}, "classes|not trained on"),
        ((3, 20, 1), np.zeros(20, int), {}, "at least two classes"),
    ],
)
def test_from_logits_bad_input(shape, y, settings, message):
    with pytest.raises(ValueError, match=message):
        TrainingRecord.from_logits(np.zeros(shape), y, **settings)


def test_from_logits_that_never_showed_a_row():
    record = TrainingRecord.from_logits(np.full((2, 3, 2), np.nan), [0, 1, 0])
    with pytest.warns(UserWarning, match=r"3 row\(s\)"):
        scorer = TrainingDynamicsScorer(record).fit(np.zeros((3, 1)), [0, 1, 0])
    assert scorer.n_undefined_ == 3


def test_from_trajectory(logits):
    z, y = logits
    record = TrainingRecord.from_trajectory(collect(z, y), classes=["a", "b", "c", "d"])
    assert record.classes_.tolist() == ["a", "b", "c", "d"]
    assert TrainingRecord.from_trajectory(collect(z, y)).classes_.tolist() == [0, 1, 2, 3]
    values = collect(z[..., 0], z[0, :, 1], outputs="values")
    regression = TrainingRecord.from_trajectory(values, outputs="values")
    assert regression.classes_ is None
    scorer = TrainingDynamicsScorer(regression, measure="loss").fit(np.zeros((20, 1)), z[0, :, 1])
    assert_allclose(scorer.difficulty_, ((z[..., 0] - z[0, :, 1]) ** 2).mean(0), rtol=1e-4)


def test_other_labels_or_another_number_of_rows_are_refused(logits):
    record = TrainingRecord.from_logits(*logits)
    X, y = np.zeros((20, 2)), logits[1]
    TrainingDynamicsScorer(record).fit(X, y)
    TrainingDynamicsScorer(record).fit(X + 1, y)  # it cannot know X
    for rows, labels, difference in (
        (X[:19], y[:19], "19 rows instead of 20"),
        (X, (y + 1) % 4, "other labels"),
    ):
        with pytest.raises(ValueError, match=rf"other rows \({difference}\); pass the net"):
            TrainingDynamicsScorer(record).fit(rows, labels)


def test_labels_of_rows_that_were_never_shown_are_not_compared(logits):
    z, y = logits
    z = z.copy()
    z[:, 5] = np.nan
    found = TrainingRecord.from_logits(z, y).trajectory
    other = y.copy()
    other[5] = (y[5] + 1) % 4
    assert found.difference(np.zeros((20, 1)), other) is None
    other[6] = (y[6] + 1) % 4
    assert found.difference(np.zeros((20, 1)), other) == "other labels"


def test_a_record_without_network_says_so(logits):
    record = TrainingRecord.from_logits(*logits)
    X, y = np.zeros((20, 2), np.float32), logits[1]
    with pytest.raises(ValueError, match="holds trajectories and no network"):
        _ = record.module
    for scorer in (VoGScorer(record), PredictionDepthScorer(record, n_neighbors=2)):
        with pytest.raises(ValueError, match=r"no network|at least \d checkpoints"):
            scorer.fit(X, y)
    dynamics = TrainingDynamicsScorer(record).fit(X, y)
    for call in (dynamics.score_samples, dynamics.transform):
        with pytest.raises(ValueError, match=r"no network|holds none"):
            call(X)
    assert repr(record) == "TrainingRecord(trajectories of 3 epochs)"
    shown = repr(record.trajectory)
    assert re.fullmatch(r"Trajectory\(3 epochs of 20 rows, training, logits of \d columns\)", shown)
    assert "TrainingRecord" in repr(dynamics)
    assert dynamics.estimator_ is record


def test_trajectory_of_a_plain_loop_beside_its_checkpoints(logits, tiny_module):
    z, y = logits
    module = tiny_module(n_outputs=4)
    record = TrainingRecord.from_checkpoints(
        module, [module.state_dict()], classes=range(4), trajectory=collect(z, y)
    )
    assert isinstance(record.trajectory, Trajectory)
    X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    scorer = TrainingDynamicsScorer(record).fit(X, y)
    with torch.no_grad():
        p = module.eval()(torch.tensor(X)).softmax(1).numpy()
    assert_allclose(scorer.score_samples(X, y), -p[np.arange(20), y], rtol=1e-5)
    assert record.n_epochs == 3


@pytest.mark.parametrize("cls", [NeuralNetClassifier])
def test_float64_and_half_modules_are_recorded(make_net, data, cls):
    X, y = data
    net = make_net(nn.Linear(4, 3).double(), lr=0.0)
    record = TrainingRecord.from_fit(net, X, y)
    assert record.trajectory.loss.dtype == np.float32
    with torch.no_grad():
        z = record.module(torch.tensor(X).double())
    assert_allclose(
        record.trajectory.loss[0],
        nn.functional.cross_entropy(z, torch.tensor(y), reduction="none"),
        rtol=1e-5,
    )
