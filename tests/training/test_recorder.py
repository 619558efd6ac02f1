# SPDX-License-Identifier: BSD-3-Clause
"""RecordTraining on nets that users fit themselves, and what it leaves on disk."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.base import clone
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit
from torch import nn

from sklearn_difficulty.training import RecordTraining, TrainingRecord, TrajectoryRecorder
from sklearn_difficulty.training.checkpoint_store import CheckpointStore


def recorded(net):
    return dict(net.callbacks_)["RecordTraining"]


@pytest.mark.parametrize("recorder", [RecordTraining, RecordTraining("all")])
def test_in_the_users_own_fit(make_net, data, recorder):
    net = make_net(callbacks=[recorder], train_split=None).fit(*data)
    found = recorded(net)
    assert found.n_epochs_ == 4
    assert [c.epoch for c in found.checkpoints_] == [1, 2, 3, 4]
    assert found.classes_.tolist() == [0, 1, 2]
    last = found.checkpoints_[-1].state_dict()
    assert all(torch.equal(last[k], v) for k, v in net.module_.state_dict().items())


@pytest.mark.parametrize("split", [None, ValidSplit(4)])
def test_labels_may_be_a_tensor(make_net, data, split):
    X, y = data
    settings = {"callbacks": [RecordTraining], "train_split": split}
    plain = make_net(**settings).fit(X, y)
    found = make_net(**settings).fit(torch.tensor(X), torch.tensor(y))
    assert recorded(found).classes_.tolist() == [0, 1, 2]
    assert recorded(found).rows_ == recorded(plain).rows_
    assert recorded(found).rows_.n == (48 if split is None else 36)


def test_recorder_lets_go_of_the_rows(make_net, data):
    net = make_net(callbacks=[RecordTraining]).fit(*data)
    assert recorded(net).given_ == (None, None)


def test_checkpoints_are_those_of_their_epoch(make_net, data):
    settings = {"train_split": None, "lr": 0.05}
    long = make_net(make_net().module(), callbacks=[RecordTraining([0, 2, 4])], **settings)
    start = clone(long)
    long.fit(*data)
    short = clone(start).set_params(max_epochs=2, callbacks=None).fit(*data)
    states = {c.epoch: c.state_dict() for c in recorded(long).checkpoints_}
    assert list(states) == [0, 2, 4]
    for name, value in short.module_.state_dict().items():
        assert torch.equal(states[2][name], value)
        assert torch.equal(states[0][name], start.module.state_dict()[name])


def test_warm_start_and_partial_fit_record_the_latest_fit(make_net, data):
    net = make_net(callbacks=[RecordTraining()], train_split=None).fit(*data)
    first = recorded(net).checkpoints_[-1].state_dict()
    net.partial_fit(*data)
    again = recorded(net)
    assert again.n_epochs_ == 4
    assert [c.epoch for c in again.checkpoints_] == [1, 2, 3, 4]
    assert not torch.equal(
        first["layers.0.weight"], again.checkpoints_[-1].tensors["layers.0.weight"]
    )
    net.set_params(callbacks__RecordTraining__checkpoints=[0]).partial_fit(*data)
    assert TrainingRecord.from_net(net).checkpoints[0].epoch == 0


def test_swallowed_interrupt_leaves_the_whole_epochs(make_net, data):
    class Interrupted(nn.Linear):
        calls = 0

        def forward(self, x):
            Interrupted.calls += 1
            if Interrupted.calls == 8:  # in the third epoch of three batches
                os.kill(os.getpid(), signal.SIGINT)
            return super().forward(x)

    net = make_net(Interrupted, module__in_features=4, module__out_features=3)
    net.set_params(callbacks=[RecordTraining("late")], train_split=None).fit(*data)
    assert recorded(net).n_epochs_ == 2
    assert [c.epoch for c in recorded(net).checkpoints_] == [1, 2]


def test_early_stop_by_a_callback_listed_before_it(make_net, data):
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=10)
    net = make_net(callbacks=[stop, RecordTraining("late")], train_split=None, max_epochs=20)
    net.fit(*data)
    n = len(net.history)
    assert [c.epoch for c in recorded(net).checkpoints_] == list(range(max(1, n - 2), n + 1))


@pytest.mark.parametrize(
    ("checkpoints", "message"),
    [(0, "positive int"), ("some", "'some'"), ([9], "epoch 9, but the network trains for 4")],
)
def test_bad_settings_are_refused_before_training(make_net, data, checkpoints, message):
    net = make_net(callbacks=[RecordTraining(checkpoints)])
    with pytest.raises(ValueError, match=message):
        net.fit(*data)
    assert len(net.history) == 0


def test_divergence_in_the_users_own_fit(make_net, data):
    net = make_net(
        nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3)), lr=1e12, callbacks=[RecordTraining()]
    )
    with pytest.raises(ValueError, match="training diverged"):
        net.fit(*data)


def test_clones_without_its_findings(make_net, data):
    recorder = RecordTraining([0, 2], checkpoint_dir="somewhere")
    copy = clone(recorder)
    assert copy.get_params() == recorder.get_params()
    assert not hasattr(copy, "checkpoints_")


# ----------------------------------------------------------------------------------------- disk


def test_fits_do_not_mix_on_disk(make_net, data, tmp_path):
    net = make_net(callbacks=[RecordTraining(2, checkpoint_dir=tmp_path / "deep" / "er")])
    records = [TrainingRecord.from_fit(net, *data, random_state=s) for s in (0, 1)]
    folders = {c.path.parent for r in records for c in r.checkpoints}
    assert len(folders) == 2
    for record in records:
        assert {p.name for p in record.checkpoints[0].path.parent.iterdir()} == {
            "epoch-00002.safetensors",
            "epoch-00004.safetensors",
        }
        last = record.checkpoints[-1].state_dict()
        assert all(torch.equal(last[k], v) for k, v in record.module.state_dict().items())


def test_disk_and_memory_hold_the_same(make_net, data, tmp_path):
    memory, disk = (
        TrainingRecord.from_fit(make_net(), *data, checkpoint_dir=d, random_state=0)
        for d in (None, tmp_path)
    )
    for one, other in zip(memory.checkpoints, disk.checkpoints, strict=True):
        first, second = one.state_dict(), other.state_dict()
        assert other.tensors is None
        assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_crash_while_writing_removes_the_folder_of_the_fit(
    make_net, data, tmp_path, monkeypatch, error
):
    calls = []

    def half(path, content):
        calls.append(path)
        with path.open("wb") as file:
            file.write(content[: 30 if len(calls) == 2 else None])
        if len(calls) == 2:
            if error is KeyboardInterrupt:
                os.kill(os.getpid(), signal.SIGINT)
            raise OSError("disk full")

    (tmp_path / "fit-of-another").mkdir()
    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(error):
        TrainingRecord.from_fit(make_net(), *data, checkpoint_dir=tmp_path)
    # skorch ends an interrupted fit as if it had been stopped: the epoch is closed once more.
    assert len(calls) == (3 if error is KeyboardInterrupt else 2)
    assert [p.name for p in tmp_path.iterdir()] == ["fit-of-another"]


KILLED = """
    import sys
    import numpy as np
    from skorch import NeuralNetClassifier
    from torch import nn
    from sklearn_difficulty.training import TrainingRecord

    X, y = np.ones((8, 4), "float32"), np.arange(8) % 2
    module = nn.Sequential(nn.Linear(4, 2000), nn.Linear(2000, 2))
    net = NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, lr=1e-9, max_epochs=10**6)
    TrainingRecord.from_fit(net, X, y, checkpoints="late", checkpoint_dir=sys.argv[1])
"""


@pytest.mark.slow
def test_killed_process_leaves_only_whole_files(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)])
    deadline = time.monotonic() + 60
    try:
        while not list(tmp_path.glob("fit-*/epoch-*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None
        time.sleep(np.random.default_rng().uniform(0, 0.05))
    finally:
        process.kill()
        process.wait()
    left = list(tmp_path.glob("fit-*/*"))  # also matches hidden files
    whole = [path for path in left if not path.name.endswith(".part")]
    assert whole
    assert all(path.name.startswith(".") for path in set(left) - set(whole))
    for path in whole:
        assert load_file(path)["0.weight"].shape == (2000, 4)


@pytest.mark.parametrize("where", ["offer", "flush", "between"])
def test_ctrl_c_while_an_epoch_is_closed(make_net, data, monkeypatch, where):
    cls, name = {
        "offer": (CheckpointStore, "offer"),
        "flush": (TrajectoryRecorder, "_flush"),
        "between": (TrajectoryRecorder, "_start_epoch"),
    }[where]
    method, calls = getattr(cls, name), []

    def interrupted(self, *args):
        calls.append(args)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return method(self, *args)

    monkeypatch.setattr(cls, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        TrainingRecord.from_fit(make_net(), *data)
    calls.clear()
    # skorch takes it for an early stop in a fit of the user's own.
    net = make_net(callbacks=[RecordTraining()], train_split=None).fit(*data)
    record = TrainingRecord.from_net(net)
    assert 1 <= record.n_epochs < 4
    assert [checkpoint.epoch for checkpoint in record.checkpoints][-1] == record.n_epochs
    if where == "offer":
        assert record.trajectory.n_epochs == record.n_epochs
        assert (record.trajectory.count == 1).all()
    else:
        assert record.trajectory is None
        assert "was interrupted" in record.trajectory_problem


# --------------------------------------------------------------------------------- trajectories


@pytest.mark.parametrize("mode", ["training", "evaluation"])
def test_trajectory_knows_the_rows_that_fit_was_given(make_net, data, mode):
    X, y = data
    recorder = RecordTraining(mode=mode)
    net = make_net(callbacks=[recorder], train_split=ValidSplit(4)).fit(X, y)
    found = recorded(net).trajectory_
    assert (found.mode, found.n_epochs, found.n_rows) == (mode, 4, 48)
    assert found.difference(X, y) is None
    assert found.difference(X + 1, y) == "another X"
    assert found.difference(X, (y + 1) % 3) == "other labels"
    assert found.difference(X[:9], y[:9]) == "9 rows instead of 48"
    assert recorded(net).trajectory_problem_ is None
    assert recorded(net).collector_ is recorded(net).dataset_ is None


def test_failed_refit_leaves_no_trajectory(make_net, data):
    net = make_net(callbacks=[RecordTraining()], train_split=None).fit(*data)
    assert recorded(net).trajectory_ is not None
    net.set_params(lr=float("nan"))
    with pytest.raises(ValueError, match="diverged"):
        net.fit(*data)
    assert recorded(net).trajectory_ is None


def test_a_batch_without_rows_and_labels_of_two_columns_are_refused_by_name():
    recorder = TrajectoryRecorder(3)
    with pytest.raises(ValueError, match="outputs of shape"):
        recorder.update([0, 1, 2], [], [0, 1, 0])
    with pytest.raises(ValueError, match="targets must hold 3 labels"):
        recorder.expect(np.zeros((3, 2), dtype=int))
