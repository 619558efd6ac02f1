# SPDX-License-Identifier: BSD-3-Clause
"""A record on disk: everything comes back, nothing is pickled, nothing is guessed."""

import datetime
import json
import pickle
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn

from sklearn_difficulty import TrainingDynamicsScorer, VoGScorer
from sklearn_difficulty.training import (
    MLP,
    ConvNet,
    TrainingRecord,
    TrajectoryRecorder,
    default_network,
)
from sklearn_difficulty.training.checkpoints import Checkpoint


@pytest.fixture
def record(make_net, data):
    return TrainingRecord.from_fit(make_net(), *data, checkpoints=[0, 2, 4], random_state=0)


def bare(module, **settings):
    settings = {"classes": [0, 1, 2], **settings}
    return TrainingRecord(module, [Checkpoint(1, module.state_dict())], **settings)


def test_round_trip_without_pickle(record, data, tiny_module, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("pickle was used")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(torch, "save", refuse)
    record.save(tmp_path / "deep" / "record")
    assert {p.suffix for p in (tmp_path / "deep" / "record").iterdir()} == {".json", ".safetensors"}
    module = tiny_module().train()
    before = module.layers[0].weight.clone()
    again = TrainingRecord.load(tmp_path / "deep" / "record", module)
    assert torch.equal(module.layers[0].weight, before)
    assert module.training
    assert not again.module.training
    assert (again.n_epochs, again.rows, again.outputs) == (4, record.rows, "logits")
    assert [c.epoch for c in again.checkpoints] == [0, 2, 4]
    for target in ("logit", "loss"):
        ours, theirs = (VoGScorer(r, target=target).fit(*data) for r in (record, again))
        assert_array_equal(ours.difficulty_, theirs.difficulty_)
    again.save(tmp_path / "again")  # from the files of the first
    TrainingRecord.load(tmp_path / "again", module)


def test_custom_module_must_be_passed(record, tmp_path):
    record.save(tmp_path / "record")
    with pytest.raises(ValueError, match=r"weights of a Tiny, not its code: pass module=Tiny"):
        TrainingRecord.load(tmp_path / "record")
    with pytest.raises(ValueError, match=r"weights of a Tiny, which do not fit.*Linear.*lacks"):
        TrainingRecord.load(tmp_path / "record", nn.Linear(4, 3))


def test_default_network_needs_no_module(data, tmp_path):
    net = default_network(*data).set_params(max_epochs=2, module__hidden_units=(6,))
    record = TrainingRecord.from_fit(net, *data, random_state=0)
    record.save(tmp_path)  # an empty directory may exist
    again = TrainingRecord.load(tmp_path)
    assert type(again.module) is MLP
    assert_array_equal(
        VoGScorer(again).fit(*data).difficulty_, VoGScorer(record).fit(*data).difficulty_
    )


def test_default_network_of_a_regressor_needs_no_module(data, tmp_path):
    X, y = data[0], np.stack([1e4 * data[0][:, 0], data[0][:, 1]], axis=1)
    net = default_network(X, y, task="regression")
    net.set_params(max_epochs=2, module__hidden_units=(6,))
    record = TrainingRecord.from_fit(net, X, y, random_state=0)
    record.save(tmp_path)
    again = TrainingRecord.load(tmp_path)
    assert again.head.is_regression
    x = torch.tensor(X[:5])
    assert torch.equal(again.module(x), record.module(x))


def test_subclass_of_ours_is_a_custom_module(tmp_path):
    class MLP_(MLP):
        pass

    MLP_.__name__ = "MLP"
    bare(MLP_(2, 3, hidden_units=(4,))).save(tmp_path / "record")
    with pytest.raises(ValueError, match="pass module=MLP"):
        TrainingRecord.load(tmp_path / "record")


@pytest.mark.parametrize(
    "classes",
    [
        np.array([3, 7, 9], dtype=np.int16),
        np.array(["a", "bb", "ccc"]),
        np.array(["a", "b", "c"], dtype=object),
        np.array([False, True]),
        np.array([0.5, 1.0, 2.0], dtype=np.float32),
        np.array([0.1, 1 / 3, -1e300]),
        np.array([2**63, 1, 2], dtype=np.uint64),
        np.array(["2020-01-01", "2020-01-02", "1969-12-31"], dtype="M8[D]"),
        np.array(["2020-01-01T01:02:03.123456789", 0, 1], dtype="M8[ns]"),
        None,
    ],
    ids=lambda c: "none" if c is None else c.dtype.str,
)
def test_classes_keep_their_type(classes, tmp_path):
    outputs = "values" if classes is None else "logits"
    bare(ConvNet(1, 2), classes=classes, outputs=outputs).save(tmp_path / "record")
    again = TrainingRecord.load(tmp_path / "record").classes_
    if classes is None:
        assert again is None
    else:
        assert again.dtype == classes.dtype
        assert again.tolist() == classes.tolist()


@pytest.mark.parametrize(
    "classes",
    [
        np.array([1 + 1j, 2, 3]),
        np.array([datetime.date(2020, 1, d) for d in (1, 2, 3)], dtype=object),
        np.array([("a",), ("b",), ("c",), None], dtype=object)[:3],
        np.array([b"a", b"b", b"c"]),
        np.array([np.inf, 2, 3]),
        np.array([(1,), (2,), (3,)], dtype="i4,"),
    ],
    ids=lambda c: c.dtype.str,
)
def test_no_record_has_classes_that_cannot_be_kept(classes):
    with pytest.raises(ValueError, match=r"classes (holds|contains)"):
        bare(nn.Linear(2, 3), classes=classes)


def test_days_are_trained_on_and_saved(make_net, data, tiny_module, tmp_path):
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], dtype="M8[D]")[data[1]]
    record = TrainingRecord.from_fit(make_net(), data[0], days, random_state=0)
    record.save(tmp_path / "record")
    again = TrainingRecord.load(tmp_path / "record", tiny_module())
    ours, theirs = (VoGScorer(r).fit(data[0], days) for r in (record, again))
    assert_array_equal(ours.difficulty_, theirs.difficulty_)


def test_paths_begin_at_home(record, tiny_module, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    record.save("~/records/one")
    assert (tmp_path / "records" / "one" / "record.json").exists()
    assert TrainingRecord.load("~/records/one", tiny_module()).n_epochs == 4


def test_a_link_to_an_empty_directory_is_filled(record, tiny_module, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    record.save(tmp_path / "link")
    assert (tmp_path / "real" / "record.json").exists()
    TrainingRecord.load(tmp_path / "link", tiny_module())


@pytest.mark.parametrize(
    ("criterion", "outputs", "is_usual"),
    [
        (nn.CrossEntropyLoss(), "logits", True),
        (nn.CrossEntropyLoss(label_smoothing=0.1), "logits", False),
        (nn.CrossEntropyLoss(weight=torch.ones(3)), "logits", False),
        (nn.CrossEntropyLoss(reduction="sum"), "logits", False),
        (nn.CrossEntropyLoss(ignore_index=2), "logits", False),
        (nn.MultiMarginLoss(), "logits", False),
        (nn.NLLLoss(), "probabilities", True),
        (nn.NLLLoss(), "logits", False),
        (nn.BCEWithLogitsLoss(), "binary_logit", True),
        (nn.BCEWithLogitsLoss(pos_weight=torch.ones(1)), "binary_logit", False),
        (nn.MSELoss().eval(), "values", True),
        (nn.L1Loss(), "values", False),
        (None, "logits", False),
    ],
)
def test_only_the_usual_loss_is_restored(criterion, outputs, is_usual, tmp_path):
    bare(MLP(2, 3, hidden_units=(4,)), criterion=criterion, outputs=outputs).save(
        tmp_path / "record"
    )
    again = TrainingRecord.load(tmp_path / "record")
    assert type(again.criterion) is (type(criterion) if is_usual else type(None))
    given = nn.CrossEntropyLoss(label_smoothing=0.2)
    assert TrainingRecord.load(tmp_path / "record", criterion=given).criterion is given


def test_scores_of_an_unknown_loss_ask_for_it(make_net, data, tiny_module, tmp_path):
    net = make_net(criterion__label_smoothing=0.3)
    record = TrainingRecord.from_fit(net, *data, random_state=0)
    record.save(tmp_path / "record")
    again = TrainingRecord.load(tmp_path / "record", tiny_module())
    VoGScorer(again).fit(*data)
    with pytest.raises(ValueError, match="criterion"):
        VoGScorer(again, target="loss").fit(*data)
    again = TrainingRecord.load(tmp_path / "record", tiny_module(), criterion=record.criterion)
    assert_array_equal(
        VoGScorer(again, target="loss").fit(*data).difficulty_,
        VoGScorer(record, target="loss").fit(*data).difficulty_,
    )


def test_collate_fn_is_passed_again(make_net, ragged, tiny_module, tmp_path):
    rows, pad = ragged
    net = make_net(module__n_outputs=2, iterator_train__collate_fn=pad)
    record = TrainingRecord.from_fit(net, rows, random_state=0)
    record.save(tmp_path / "record")
    module = tiny_module(n_outputs=2)
    again = TrainingRecord.load(tmp_path / "record", module, collate_fn=pad)
    ours, theirs = (VoGScorer(r).fit(rows) for r in (record, again))
    assert_array_equal(theirs.difficulty_, ours.difficulty_)
    assert_array_equal(theirs.score_samples(rows), ours.score_samples(rows))
    states = [c.state_dict() for c in record.checkpoints]
    own = TrainingRecord.from_checkpoints(module, states, classes=[0, 1], collate_fn=pad)
    assert_array_equal(VoGScorer(own).fit(rows).difficulty_, ours.difficulty_)
    with pytest.raises(RuntimeError, match="equal size"):
        VoGScorer(TrainingRecord.load(tmp_path / "record", module)).fit(rows)


@pytest.mark.parametrize("there", ["file", "full directory"])
def test_nothing_is_overwritten(record, tmp_path, there):
    target = tmp_path / "record"
    (target if there == "file" else target / "notes").parent.mkdir(exist_ok=True)
    (target if there == "file" else target / "notes").write_text("mine")
    with pytest.raises(FileExistsError, match="give a new directory"):
        record.save(target)
    assert (target if there == "file" else target / "notes").read_text() == "mine"


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_crash_while_saving_leaves_nothing(record, tmp_path, monkeypatch, error):
    def half(path, content):
        with path.open("wb") as file:
            file.write(content[:20])
        raise error

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(type(error)):
        record.save(tmp_path / "record")
    assert not list(tmp_path.iterdir())


def test_saved_directory_has_the_usual_permissions(record, tmp_path):
    (tmp_path / "plain").mkdir()
    record.save(tmp_path / "record")
    assert (tmp_path / "record").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_another_format_is_named(record, tmp_path):
    record.save(tmp_path / "record")
    header = tmp_path / "record" / "record.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "format": 99}))
    with pytest.raises(ValueError, match="format 99; this version reads 2"):
        TrainingRecord.load(tmp_path / "record")


@pytest.mark.parametrize("layout", ["channels last", "tied"])
def test_weights_of_any_memory_layout(layout, tmp_path):
    if layout == "tied":
        module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        module[1].weight = module[0].weight
    else:
        module = nn.Conv2d(3, 3, 2).to(memory_format=torch.channels_last)
    record = TrainingRecord.from_checkpoints(module, [module.state_dict()], classes=[0, 1, 2])
    record.save(tmp_path / "record")
    again = TrainingRecord.load(tmp_path / "record", module)
    for name, value in module.state_dict().items():
        assert torch.equal(again.checkpoints[0].state_dict()[name], value)


# --------------------------------------------------------------------------------- trajectories


def assert_same_trajectory(one, other):
    for field in fields(one):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype
            assert_array_equal(ours, theirs, err_msg=field.name)
        else:
            assert ours == theirs, field.name


@pytest.mark.parametrize("keep_logits", [False, True])
@pytest.mark.parametrize("mode", ["training", "evaluation"])
def test_trajectories_come_back(make_net, data, tiny_module, tmp_path, keep_logits, mode):
    net = make_net(max_epochs=2)
    record = TrainingRecord.from_fit(net, *data, mode=mode, keep_logits=keep_logits)
    record.save(tmp_path / "record")
    again = TrainingRecord.load(tmp_path / "record", tiny_module())
    assert_same_trajectory(record.trajectory, again.trajectory)
    assert again.trajectory.mode == mode
    assert (again.trajectory.logits is not None) == keep_logits
    scores = [TrainingDynamicsScorer(r, mode=mode).fit(*data).difficulty_ for r in (record, again)]
    assert_array_equal(*scores)
    with pytest.raises(ValueError, match="another X"):
        TrainingDynamicsScorer(again, mode=mode).fit(data[0] + 1, data[1])


@pytest.mark.parametrize("names", [None, ["a", "b", "c"]])
def test_record_without_module_comes_back(tmp_path, names):
    history = np.random.default_rng(0).normal(size=(3, 9, 3))
    history[:, 4] = np.nan
    y = np.arange(9) % 3 if names is None else np.array(names)[np.arange(9) % 3]
    record = TrainingRecord.from_logits(history, y)
    record.save(tmp_path / "record")
    assert {p.name for p in (tmp_path / "record").iterdir()} == {
        "record.json",
        "trajectory.safetensors",
    }
    again = TrainingRecord.load(tmp_path / "record")
    assert not again.has_module
    assert again.n_epochs == 3
    assert again.classes_.tolist() == record.classes_.tolist()
    assert_same_trajectory(record.trajectory, again.trajectory)
    assert repr(again) == repr(record)
    again.save(tmp_path / "again")


def test_regression_trajectory_comes_back(tmp_path):
    recorder = TrajectoryRecorder(3, outputs="values", keep_logits=True)
    recorder.update([0, 2], torch.ones(2, 2), torch.zeros(2, 2))
    recorder.end_epoch()
    record = TrainingRecord.from_trajectory(recorder.trajectory(), outputs="values")
    record.save(tmp_path / "record")
    again = TrainingRecord.load(tmp_path / "record")
    assert again.classes_ is None
    assert again.outputs == "values"
    assert_same_trajectory(record.trajectory, again.trajectory)


def test_reason_for_no_trajectory_comes_back(tmp_path):
    module = nn.Linear(4, 3)
    bare(module, trajectory_problem="it rained").save(tmp_path / "record")
    again = TrainingRecord.load(tmp_path / "record", module)
    assert again.trajectory is None
    assert again.trajectory_problem == "it rained"


def test_loaded_trajectory_does_not_hold_the_file(tmp_path):
    record = TrainingRecord.from_logits(np.zeros((1, 2, 2)), [0, 1])
    record.save(tmp_path / "record")
    again = TrainingRecord.load(tmp_path / "record")
    (tmp_path / "record" / "trajectory.safetensors").write_bytes(b"")
    assert_same_trajectory(record.trajectory, again.trajectory)
