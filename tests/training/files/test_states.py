# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoint files as other loops write them: the network's part is found, and nothing runs."""

import argparse
import collections
import datetime
import os
import pathlib
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sklearn_difficulty import TrainingRecord, VoGScorer
from sklearn_difficulty.training import RecordTraining
from sklearn_difficulty.training.checkpoints import copy_state


class AttributeDict(dict):
    """A dict that Lightning writes hyper-parameters as."""


MODULE = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
STATE = copy_state(MODULE)
OTHER = {name: value + 1 for name, value in STATE.items()}
OPTIMIZER = torch.optim.Adam(MODULE.parameters())
MODULE(torch.ones(2, 4)).sum().backward()
OPTIMIZER.step()
MODULE.load_state_dict(STATE)


def prefixed(prefix, state=STATE):
    return {prefix + name: value for name, value in state.items()}


LAYOUTS = {
    "tutorial": {
        "epoch": 1,
        "model_state_dict": STATE,
        "optimizer_state_dict": OPTIMIZER.state_dict(),
        "loss": np.float64(0.3),
    },
    "model": {"model": STATE, "optimizer": OPTIMIZER.state_dict(), "args": {"lr": 0.1}},
    "lightning": {
        "state_dict": {**prefixed("net."), "loss.weight": torch.ones(3)},
        "hyper_parameters": AttributeDict(lr=0.1, path=pathlib.Path("a")),
        "callbacks": {"Checkpoint": {"best": torch.tensor(0.5), "when": datetime.date(2020, 1, 1)}},
        "loops": collections.defaultdict(int, a=1),
    },
    "namespace": {"state_dict": STATE, "hyper_parameters": argparse.Namespace(lr=0.1)},
    "timm": {
        "arch": "mlp",
        "args": argparse.Namespace(lr=0.1),
        "metric": np.float32(0.5),
        "state_dict": STATE,
        "state_dict_ema": OTHER,
    },
    "only ema": {"epoch": 3, "model_ema": STATE},
    "ema beside": {**prefixed("model."), **prefixed("ema_model.", OTHER)},
    "ddp": prefixed("module."),
    "ddp nested": {"model": prefixed("module.")},
    "compiled": prefixed("_orig_mod."),
    "compiled inside": {"state_dict": prefixed("model._orig_mod.")},
    "averaged": {"n_averaged": torch.tensor(3), **prefixed("module.")},
    "criterion beside": {**STATE, "criterion.weight": torch.ones(3)},
    "teacher": {**prefixed("model."), "teacher.0.weight": torch.ones(5, 4)},
    "half": {name: value.half() for name, value in STATE.items()},
    "bfloat16": {"state_dict": {name: value.bfloat16() for name, value in STATE.items()}},
    "double": {name: value.double() for name, value in STATE.items()},
    "no tensors beside": {**STATE, "note": 1},
}
IN_PART = {"lightning", "ema beside", "averaged", "criterion beside", "teacher"}


@pytest.mark.filterwarnings("ignore:The states hold more than Sequential")
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("kind", ["dict", "path", "legacy"])
def test_layouts_of_other_loops(name, kind, tmp_path):
    source = LAYOUTS[name]
    if kind != "dict":
        source = tmp_path / "a.ckpt"
        old = {"_use_new_zipfile_serialization": False} if kind == "legacy" else {}
        torch.save(LAYOUTS[name], source, **old)
    if kind == "legacy" and name in ("lightning", "namespace", "timm", "tutorial"):
        with pytest.raises(ValueError, match=r"torch.save\(module.state_dict\(\), path\)"):
            TrainingRecord.from_checkpoints(MODULE, [source], classes=[0, 1, 2])
        return
    record = TrainingRecord.from_checkpoints(MODULE, [source], classes=[0, 1, 2])
    state = record.checkpoints[0].state_dict()
    rtol = 1e-2 if "half" in name or "float" in name else 0
    assert state.keys() == STATE.keys()
    for key, value in state.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, STATE[key], rtol=rtol, atol=rtol)
        assert torch.equal(record.module.state_dict()[key], value)
    save_file(state, tmp_path / "again.safetensors")  # contiguous, and shared with nothing
    assert load_file(tmp_path / "again.safetensors").keys() == state.keys()


@pytest.mark.parametrize("name", sorted(IN_PART))
def test_what_is_left_out_is_said_once(name):
    with pytest.warns(UserWarning, match="identical|hold more") as warned:
        TrainingRecord.from_checkpoints(MODULE, [LAYOUTS[name]] * 2, classes=[0, 1, 2])
    assert sum("hold more" in str(w.message) for w in warned) == 1


def test_half_precision_states_can_be_scored(data):
    states = [{k: (v * s).half() for k, v in STATE.items()} for s in (1, 2, 3)]
    record = TrainingRecord.from_checkpoints(MODULE, states, classes=[0, 1, 2])
    assert np.isfinite(VoGScorer(record).fit(*data).difficulty_).all()


@pytest.mark.parametrize("suffix", ["dict", "safetensors", "pt"])
def test_states_are_read_as_ordinary_tensors_in_inference_mode(suffix, data, tmp_path):
    sources = [{k: v * s for k, v in STATE.items()} for s in (1, 2)]
    if suffix != "dict":
        paths = [tmp_path / f"{number}.{suffix}" for number in (1, 2)]
        for path, state in zip(paths, sources, strict=True):
            (torch.save if suffix == "pt" else save_file)(state, path)
        sources = paths
    with torch.inference_mode():
        record = TrainingRecord.from_checkpoints(MODULE, sources, classes=[0, 1, 2])
        states = [checkpoint.state_dict() for checkpoint in record.checkpoints]
        record.save(tmp_path / "record")
        again = TrainingRecord.load(tmp_path / "record", MODULE)
        states += [checkpoint.state_dict() for checkpoint in again.checkpoints]
        states += [dict(r.module.named_parameters()) for r in (record, again)]
    assert not any(value.is_inference() for state in states for value in state.values())
    for read in (record, again):
        assert np.isfinite(VoGScorer(read).fit(*data).difficulty_).all()


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_folders_of_hugging_face(name, tmp_path, monkeypatch):
    (save_file if "safetensors" in name else torch.save)(STATE, tmp_path / name)
    torch.save(OPTIMIZER.state_dict(), tmp_path / "optimizer.pt")
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    for source in (tmp_path, f"~/{tmp_path.name}", tmp_path / name):
        record = TrainingRecord.from_checkpoints(MODULE, [source], classes=[0, 1, 2])
        assert torch.equal(record.module[0].weight, STATE["0.weight"])


def test_a_folder_without_weights(tmp_path):
    (tmp_path / "model-00001-of-00002.safetensors").touch()
    with pytest.raises(FileNotFoundError, match=r"without model\.safetensors or pytorch"):
        TrainingRecord.from_checkpoints(MODULE, [tmp_path], classes=[0, 1, 2])


def test_tied_weights_may_be_written_once():
    module = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    module[1].weight = module[0].weight
    for name in ("0.weight", "1.weight"):
        source = {name: torch.full((3, 3), 2.0)}
        record = TrainingRecord.from_checkpoints(module, [source], classes=[0, 1, 2])
        assert torch.equal(record.module[1].weight, source[name])
    differ = {"0.weight": torch.ones(3, 3), "1.weight": torch.zeros(3, 3)}
    with pytest.raises(ValueError, match="which the network ties, differ"):
        TrainingRecord.from_checkpoints(module, [differ], classes=[0, 1, 2])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"epoch": 1, "lr": 0.1}, r"no tensors, under the keys 'epoch', 'lr'"),
        ({**STATE, "4.weight": torch.ones(2, 3)}, r"it has '4.weight' besides\. Pass"),
        ({"0.weight": torch.ones(5, 4)}, r"lacks '0.bias', '2.weight', '2.bias'"),
        ({"model": {**STATE, "2.bias": torch.ones(9)}}, r"\['model'\].*'2.bias' has shape \(9,\)"),
        ({**STATE, "0.bias": torch.ones(5, dtype=torch.int8)}, "holds torch.int8, not torch.float"),
        ({"student": STATE, "teacher": OTHER}, r"several places.*student.*teacher.*pass one"),
        ({**prefixed("a."), **prefixed("b.", OTHER)}, r"several places.*a\.\.\..*b\.\.\."),
        (prefixed("net.", {**STATE, "9.weight": torch.ones(1)}), "9.weight"),
        (nn.Linear(3, 2), "paths of files with state dicts; got Linear"),
        (3, "got int"),
    ],
)
def test_what_does_not_fit_is_named(source, message):
    with pytest.raises((ValueError, TypeError), match=message):
        TrainingRecord.from_checkpoints(MODULE, [source], classes=[0, 1, 2])


def test_a_layer_of_a_longer_network_is_not_the_network():
    longer = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))
    with pytest.raises(ValueError, match="one layer among others"):
        TrainingRecord.from_checkpoints(nn.Linear(4, 3), [longer.state_dict()], classes=[0, 1, 2])


def test_state_that_is_no_tensor_is_refused():
    class Counts(nn.Linear):
        def get_extra_state(self):
            return {"n": 1}

        def set_extra_state(self, state):
            pass

    module = Counts(4, 3)
    with pytest.raises(ValueError, match="state that is no tensor, '_extra_state'"):
        TrainingRecord.from_checkpoints(module, [module.state_dict()], classes=[0, 1, 2])


# --------------------------------------------------------------------------------------- hostile


class Harm:
    """Pickled, a call of a function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("function", [shutil.copyfile, exec, os.mkdir, pathlib.Path.rename])
def test_no_code_of_a_file_runs(function, old, tmp_path):
    (tmp_path / "before").touch()
    args = [str(tmp_path / "before"), str(tmp_path / "ran")]
    if function is exec:
        args = [f"open({args[1]!r}, 'w').close()"]
    elif function is os.mkdir:
        args = args[1:]
    held = {**STATE, "inner": {"harm": Harm(function, *args)}}
    torch.save(held, tmp_path / "s.pt", _use_new_zipfile_serialization=not old)
    globals_before = set(torch.serialization.get_safe_globals())
    try:
        TrainingRecord.from_checkpoints(MODULE, [tmp_path / "s.pt"], classes=[0, 1, 2])
    except ValueError as error:
        message = str(error)
    else:
        message = ""
    assert {path.name for path in tmp_path.iterdir()} == {"before", "s.pt"}
    assert set(torch.serialization.get_safe_globals()) == globals_before
    # Of what is known by its name nothing is made; the rest needs code to be read.
    is_read = function in (shutil.copyfile, exec) and not old
    assert ("torch.save(module.state_dict(), path)" in message) == (not is_read)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 40, b"PK\3\4" + b"\0" * 60, b"\xff" * 8 + b"{" + b"\0" * 9]
)
def test_damaged_files_are_named(content, tmp_path):
    (tmp_path / "s.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"s\.pt"):
        TrainingRecord.from_checkpoints(MODULE, [tmp_path / "s.pt"], classes=[0, 1, 2])


def test_dicts_that_hold_one_another(tmp_path):
    held = {"state_dict": STATE}
    for _ in range(4):
        held = {str(number): held for number in range(200)}
    torch.save({**held, "model": STATE, "again": STATE}, tmp_path / "s.pt")
    record = TrainingRecord.from_checkpoints(MODULE, [tmp_path / "s.pt"], classes=[0, 1, 2])
    assert torch.equal(record.module[0].weight, STATE["0.weight"])


def test_a_whole_module_in_a_file(tmp_path):
    torch.save(MODULE, tmp_path / "s.pt")
    with pytest.raises(ValueError, match=r"torch.save\(module.state_dict\(\), path\)"):
        TrainingRecord.from_checkpoints(MODULE, [tmp_path / "s.pt"], classes=[0, 1, 2])
    torch.save(list(STATE.values()), tmp_path / "s.pt")
    with pytest.raises(ValueError, match="holds list and not a state dict"):
        TrainingRecord.from_checkpoints(MODULE, [tmp_path / "s.pt"], classes=[0, 1, 2])


# ------------------------------------------------------------------------- files that change later


@pytest.mark.parametrize("change", ["other weights", "cut", "one bit", "gone"])
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_files_that_change_are_refused(change, suffix, tmp_path):
    path = tmp_path / f"last.{suffix}"
    save = save_file if suffix == "safetensors" else torch.save
    save(STATE, path)
    record = TrainingRecord.from_checkpoints(MODULE, [path], classes=[0, 1, 2])
    held = record.checkpoints[0].state_dict()
    content = bytearray(path.read_bytes())
    if change == "other weights":
        save(OTHER, path)
    elif change == "gone":
        path.unlink()
    else:
        content[-1 if suffix == "safetensors" else len(content) // 2] ^= 1
        path.write_bytes(content[: 90 if change == "cut" else None])
    with pytest.raises((ValueError, FileNotFoundError), match=rf"last.{suffix} (has changed|does)"):
        record.checkpoints[0].state_dict()
    # What was read before is no map of the file.
    assert all(torch.equal(held[name], STATE[name]) for name in STATE)
    assert torch.equal(record.module[0].weight, STATE["0.weight"])


def test_files_of_checkpoint_dir_are_compared(make_net, data, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    net = make_net(callbacks=[RecordTraining(2, "~/kept")], train_split=None).fit(*data)
    record = TrainingRecord.from_net(net)
    first, second = (checkpoint.path for checkpoint in record.checkpoints)
    assert first.is_relative_to(tmp_path / "kept")
    VoGScorer(record).fit(*data)
    second.write_bytes(first.read_bytes())
    with pytest.raises(ValueError, match=r"epoch-00004\.safetensors has changed"):
        VoGScorer(record).fit(*data)
    with pytest.raises(ValueError, match=r"epoch-00004\.safetensors has changed"):
        record.save(tmp_path / "record")
    assert not (tmp_path / "record").exists()
