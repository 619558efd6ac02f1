# SPDX-License-Identifier: BSD-3-Clause
"""A saved record that was changed, or that somebody else wrote: the same numbers or an error."""

import json
import shutil

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from safetensors.torch import load_file, save_file
from torch import nn

from sklearn_difficulty import DifficultyScorer, TrainingRecord
from sklearn_difficulty.training import MLP, ConvNet, ResNet18, default_network
from sklearn_difficulty.training.checkpoints import Checkpoint
from sklearn_difficulty.training.files.schema import dump_header
from sklearn_difficulty.training.files.tensors import content_digest

N_CORRUPTIONS = 150


def scores(folder, data):
    """Return what is read from a saved record: from its network, checkpoints and trajectories."""
    record = TrainingRecord.load(folder)
    return (
        DifficultyScorer(record, scores=("vog", "confidence", "output_margin"))
        .fit(*data)
        .difficulties_
    )


@pytest.fixture(scope="module")
def saved(data, tmp_path_factory):
    """Return the folder of a record."""
    folder = tmp_path_factory.mktemp("records") / "record"
    net = default_network(*data).set_params(max_epochs=3, module__hidden_units=(6,))
    record = TrainingRecord.from_fit(net, *data, keep_logits=True, random_state=0)
    record.save(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """Return a copy of the record that may be changed."""
    return shutil.copytree(saved, tmp_path / "record")


def reseal(folder, **changes):
    """Change fields of the header, and write it with the digests that belong to it now."""
    header = json.loads((folder / "record.json").read_text())
    del header["digest"]
    files = {p.name: content_digest(p.read_bytes()) for p in folder.glob("*.safetensors")}
    (folder / "record.json").write_bytes(dump_header({**header, "files": files, **changes}))


# ---------------------------------------------------------------------------------- changed files


def flip(folder, path, rng):
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)


def cut(folder, path, rng):
    path.write_bytes(path.read_bytes()[: rng.integers(path.stat().st_size)])


def lengthen(folder, path, rng):
    path.write_bytes(path.read_bytes() + rng.bytes(rng.integers(1, 9)))


def remove(folder, path, rng):
    path.unlink()


def add(folder, path, rng):
    shutil.copy(path, folder / f"epoch-{rng.integers(10, 99999):05d}.safetensors")


def swap(folder, path, rng):
    one = path.read_bytes()
    other = rng.choice(sorted(p for p in folder.iterdir() if p.read_bytes() != one))
    two = other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def edit(folder, path, rng):
    """Change one number or word of the header, and leave it valid JSON."""
    header = json.loads((folder / "record.json").read_text())
    name = rng.choice(sorted(header))
    header[name] = [header[name], 7, "x", [1]][rng.integers(1, 4)]
    (folder / "record.json").write_text(json.dumps(header))


def rewrite(folder, path, rng):
    """Write other tensors: rows in another order, an epoch less, or other weights."""
    tensors = load_file(folder / "trajectory.safetensors")
    which = rng.integers(3)
    if which == 0:
        order = torch.from_numpy(rng.permutation(tensors["count"].shape[1]))
        tensors = {k: v[:, order] if v.ndim > 1 else v[order] for k, v in tensors.items()}
    elif which == 1:
        tensors = {k: v[:-1] if v.ndim > 1 else v for k, v in tensors.items()}
    else:
        path = rng.choice(sorted(folder.glob("epoch-*")))
        save_file({k: v * 2 for k, v in load_file(path).items()}, path)
        return
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "trajectory.safetensors")


CORRUPTIONS = [flip, flip, flip, cut, lengthen, remove, add, swap, edit, rewrite]


@pytest.mark.parametrize("seed", range(N_CORRUPTIONS))
def test_changed_records_are_refused(folder, seed):
    rng = np.random.default_rng(seed)
    path = rng.choice(sorted(folder.iterdir()))
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    CORRUPTIONS[seed % len(CORRUPTIONS)](folder, path, rng)
    assert before != {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises((ValueError, FileNotFoundError), match=str(folder)):
        TrainingRecord.load(folder)


def test_a_checkpoint_that_changes_after_loading_is_refused(folder):
    record = TrainingRecord.load(folder)
    (folder / "epoch-00002.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"epoch-00002\.safetensors has changed"):
        record.checkpoints[1].state_dict()


def test_hidden_files_of_others_do_not_matter(folder, saved, data):
    (folder / ".DS_Store").touch()
    assert_array_equal(scores(folder, data), scores(saved, data))
    reseal(folder)
    assert_array_equal(scores(folder, data), scores(saved, data))


def test_a_link_to_the_same_content_is_followed_and_others_are_not(folder, saved, data, tmp_path):
    shutil.move(folder / "module.safetensors", tmp_path / "store")
    (folder / "module.safetensors").symlink_to(tmp_path / "store")
    assert_array_equal(scores(folder, data), scores(saved, data))
    for target in ("/dev/zero", folder, folder / "epoch-00001.safetensors"):
        (folder / "module.safetensors").unlink()
        (folder / "module.safetensors").symlink_to(target)
        with pytest.raises((ValueError, FileNotFoundError), match=r"module\.safetensors"):
            TrainingRecord.load(folder)


# ------------------------------------------------------------------------ somebody else's writing


def change(folder, edit_arrays, file="trajectory.safetensors"):
    tensors = {k: v.clone() for k, v in load_file(folder / file).items()}
    tensors = edit_arrays(tensors) or tensors
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / file)
    reseal(folder)


def put(name, value, at=(0, 1)):
    return lambda tensors: tensors[name].__setitem__(at, value)


@pytest.mark.parametrize(
    ("edit_arrays", "message"),
    [
        (put("probability", 7), r"trajectory\.probability must be from 0 to 1\.001; it is \[7"),
        (put("probability", -0.1), r"trajectory\.probability"),
        (put("el2n", 2), r"trajectory\.el2n"),
        (put("loss", -1), r"trajectory\.loss"),
        (put("predicted", 3), r"trajectory\.predicted must be from -1 to 2; it is \[3\]"),
        (put("predicted", -2), r"trajectory\.predicted"),
        (put("count", -1), r"trajectory\.count"),
        (put("count", 0), r"trajectory\.probability must be NaN where an epoch did not show a row"),
        (put("targets", 3, 0), r"trajectory\.targets"),
        (put("targets", -1, 0), r"trajectory\.targets of rows that were shown"),
        (lambda t: {**t, "loss": t["loss"][:, :-1]}, r"loss.* of shape .*\(3, 48\)"),
        (lambda t: {**t, "targets": t["targets"][:-1]}, r"targets.* of shape"),
        (lambda t: {**t, "logits": t["logits"][:-1]}, r"logits.* of shape"),
        (lambda t: {**t, "targets": t["targets"].float()}, r"targets must be of integers"),
        (
            lambda t: {**t, "predicted": t["predicted"].float()},
            "predicted of a Trajectory must be .* integers",
        ),
        (lambda t: {**t, "loss": t["loss"].bfloat16()}, "holds no arrays of NumPy"),
        (lambda t: {**t, "logits": t["logits"][..., None]}, r"logits.* of shape"),
        (
            lambda t: {**t, "targets": t["targets"][:, None]},
            r"trajectory\.targets must be of shape",
        ),
        (lambda t: {**t, "loss": t["loss"].int()}, r"trajectory\.loss must be of floats"),
        (lambda t: {**t, "more": torch.zeros(3)}, "trajectory.safetensors must hold"),
        (lambda t: {k: v for k, v in t.items() if k != "el2n"}, "must hold"),
        (lambda t: {k: v[:, :9] if v.ndim > 1 else v[:9] for k, v in t.items()}, r"rows\.n must"),
        (
            lambda t: {
                k: v.repeat(2, *[1] * (v.ndim - 1)) if v.ndim > 1 else v for k, v in t.items()
            },
            "trajectory must be of at most 3 epochs",
        ),
    ],
)
def test_arrays_that_contradict_each_other(folder, edit_arrays, message):
    change(folder, edit_arrays)
    with pytest.raises(ValueError, match=message):
        TrainingRecord.load(folder)


def test_missing_values_of_a_network_are_no_contradiction(folder):
    change(folder, put("probability", np.nan))
    assert np.isnan(TrainingRecord.load(folder).trajectory.probability[0, 1])


@pytest.mark.parametrize("file", ["module.safetensors", "epoch-00002.safetensors"])
@pytest.mark.parametrize(
    ("edit_arrays", "message"),
    [
        (lambda t: {**t, "layers.0.bias": torch.zeros(7)}, r"'layers.0.bias' has shape \(7,\)"),
        (lambda t: {**t, "more": torch.zeros(7)}, "it has 'more' besides"),
        (
            lambda t: {k: v for k, v in t.items() if k != "layers.2.bias"},
            "it lacks 'layers.2.bias'",
        ),
        (lambda t: {k: v.int() for k, v in t.items()}, "holds torch.int32, not torch.float32"),
    ],
)
def test_weights_of_another_network(folder, file, edit_arrays, message):
    change(folder, edit_arrays, file)
    with pytest.raises(ValueError, match=message):
        TrainingRecord.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_epochs": 2}, "n_epochs must be an integer from 3 on; it is 2"),
        ({"n_epochs": 10**400}, "n_epochs must be"),
        ({"n_epochs": True}, "n_epochs must be"),
        ({"epochs": [1, 3, 2]}, "epochs must be distinct integers in increasing order"),
        ({"epochs": [1, 1, 2]}, "epochs must be"),
        ({"epochs": [-1, 2, 3]}, "epochs must be"),
        ({"epochs": ["../../../etc/passwd"]}, "epochs must be"),
        ({"epochs": [10**400]}, "epochs must be"),
        ({"epochs": [1, 2]}, "files must be the digests of 4 files"),
        ({"epochs": [1, 2, 4], "n_epochs": 4}, "files must be the digests"),
        ({"files": {"../module.safetensors": "0"}}, "files must be the digests"),
        ({"outputs": "odds"}, "outputs must be one of"),
        ({"rows": {"n": -1, "X": "", "y": ""}}, "rows must be"),
        ({"rows": {"n": 48, "X": "", "y": "", "z": ""}}, "rows must be"),
        ({"trajectory": {"mode": "best", "rows": None}}, r"trajectory\.mode must be"),
        ({"trajectory": None}, "files must be the digests"),
        ({"module": {"name": "VGG16"}}, "module must be"),
        ({"classes": {"dtype": "|O", "values": [{"a": 1}] * 3}}, r"classes\.values must be"),
        ({"classes": {"dtype": "|V8", "values": [1, 2, 3]}}, r"classes\.dtype must be a type of"),
        ({"classes": {"dtype": "i4,i4", "values": [1, 2, 3]}}, r"classes\.dtype must be a type of"),
        ({"classes": {"dtype": "<U99999999", "values": ["a"] * 3}}, r"classes\.dtype must be as"),
        ({"classes": {"dtype": "<U1", "values": ["a", "bb", "c"]}}, r"classes\.values must be of"),
        ({"classes": {"dtype": "|i1", "values": [1, 2, 300]}}, r"classes\.values must be of type"),
        ({"classes": {"dtype": "<i8", "values": [1, 2, True]}}, r"classes\.values must be of type"),
        ({"classes": {"dtype": "<i8", "values": [1, 2]}}, r"trajectory\.predicted|targets must be"),
        ({"classes": {"dtype": "<i8", "values": [1, 2, 2]}}, "classes must be distinct"),
        ({"classes": {"dtype": "<M8[5000000000000D]", "values": [1, 2, 3]}}, r"classes\.dtype"),
        ({"more": 1}, "other fields"),
        ({"format": 1}, "format 1; this version reads 2"),
        ({"format": "2"}, "format '2'; this version reads 2"),
    ],
)
def test_headers_that_contradict_the_files(folder, changes, message):
    reseal(folder, **changes)
    with pytest.raises(ValueError, match=message):
        TrainingRecord.load(folder)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("MLP", {"n_inputs": 10**9, "n_outputs": 3}),
        ("MLP", {"n_inputs": 4, "n_outputs": 3, "hidden_units": [10**9]}),
        ("MLP", {"n_inputs": 4, "n_outputs": 3, "hidden_units": [2] * 10**5}),
        ("MLP", {"n_inputs": 4, "n_outputs": 3, "hidden_units": "abc"}),
        ("MLP", {"n_inputs": 4, "n_outputs": 3, "hidden_units": [2.5]}),
        ("MLP", {"n_inputs": -4, "n_outputs": 3}),
        ("MLP", {"n_inputs": True, "n_outputs": 3}),
        ("MLP", {"n_outputs": 3}),
        ("MLP", {"n_inputs": 4, "n_outputs": 3, "mean": 10}),
        ("MLP", {"n_inputs": 4, "n_outputs": 3, "other": 3}),
        ("MLP", {"n_inputs": {"a": [[4]]}, "n_outputs": 3}),
        ("ConvNet", {"n_channels": 3, "n_outputs": 3, "channels": [10**9, 2]}),
        ("ResNet18", {"n_channels": 3, "n_outputs": 3, "channels": [2, 3, 4, 5], "n_groups": 3}),
        ("VGG16", {"n_channels": 3, "n_outputs": 3, "channels": [2]}),
        ("Popen", {"args": "ls"}),
    ],
)
def test_a_few_digits_take_no_memory(folder, name, config):
    reseal(folder, module={"name": name, "config": config})
    with pytest.raises(ValueError, match=rf"makes no {name}|which do not fit the given {name}"):
        TrainingRecord.load(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"3",
        b"{}",
        b"[" * 10**5,
        b'{"format": ' + b"[" * 10**5,
        b'{"format": NaN}',
        b'{"format": Infinity}',
        b'{"format": ' + b"1" * 10**5 + b"}",
        b'{"format": 1, "module": null}',
        b'{"format": 2}',
        b'{"format": 2, "format": 2}',
        b"\xff\xfe{}",
        b'{"format": "\xff"}',
        b'{"format": 2',
        b"\0" * 99,
        b" " * (2**25 + 1),
    ],
    ids=range(17),
)
def test_hostile_headers(folder, content):
    (folder / "record.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"record is refused: (record\.json|it was written in)"):
        TrainingRecord.load(folder)


@pytest.mark.parametrize("again", ['"n_epochs": 3', '"n_epochs": 4'])
def test_keys_that_occur_twice(folder, again):
    text = (folder / "record.json").read_text()
    (folder / "record.json").write_text(text.replace("{", "{" + again + ",", 1))
    with pytest.raises(ValueError, match=r"record\.json is damaged: a key occurs twice"):
        TrainingRecord.load(folder)


WRONG = [None, True, -1, 1.5, 10**40, "x", "", [], [None], [[1]], {}, {"a": 1}, {"name": 1}]


def test_any_wrong_type_is_named_or_harmless(folder, data):
    header = json.loads((folder / "record.json").read_text())
    right = scores(folder, data)
    for name in sorted(set(header) - {"digest", "format"}):
        for value in WRONG:
            reseal(folder, **{name: value})
            try:
                found = scores(folder, data)
            except ValueError:
                continue
            assert_array_equal(found, right, err_msg=f"{name} = {value}")
        reseal(folder, **{name: header[name]})


def test_nothing_there(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(FileNotFoundError, match="no saved record"):
            TrainingRecord.load(path)


# --------------------------------------------------------------------------------- what is written


@pytest.mark.parametrize(
    "module",
    [MLP(4, 3, (5,)), ConvNet(2, 3), ResNet18(1, 3, (8, 8, 16, 16)), MLP(4, 3, ()).double()],
    ids=["mlp", "conv", "resnet", "double"],
)
def test_own_networks_come_back_without_drawing_numbers(module, tmp_path, record_of):
    record_of(module).save(tmp_path / "record")
    before = torch.get_rng_state()
    again = TrainingRecord.load(tmp_path / "record").module
    assert torch.equal(before, torch.get_rng_state())
    for name, value in module.state_dict().items():
        assert again.state_dict()[name].dtype == value.dtype
        assert torch.equal(again.state_dict()[name], value)
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_a_given_module_takes_the_recorded_precision(tmp_path, record_of):
    module = nn.Linear(4, 3).double()
    record_of(module).save(tmp_path / "record")
    again = TrainingRecord.load(tmp_path / "record", nn.Linear(4, 3)).module
    assert torch.equal(again.weight, module.weight)


@pytest.mark.parametrize(("epochs", "n_epochs"), [([1, 1], 2), ([2, 5], 3), ([-1, 2], 3)])
def test_epochs_that_contradict_each_other_are_not_written(epochs, n_epochs, tmp_path):
    module = nn.Linear(2, 3)
    checkpoints = [Checkpoint(epoch, module.state_dict()) for epoch in epochs]
    record = TrainingRecord(module, checkpoints, classes=[0, 1, 2], n_epochs=n_epochs)
    with pytest.raises(ValueError, match="epochs must be"):
        record.save(tmp_path / "record")
    assert not list(tmp_path.iterdir())


def test_a_state_that_is_no_tensor_is_not_written(tmp_path):
    class Counts(nn.Linear):
        def get_extra_state(self):
            return {"n": 1}

    with pytest.raises(ValueError, match="state that is no tensor"):
        TrainingRecord(Counts(2, 3), [], classes=[0, 1, 2]).save(tmp_path / "record")
    assert not list(tmp_path.iterdir())


def test_contradictions_are_refused_before_anything_is_written(tmp_path, saved):
    trajectory = TrainingRecord.load(saved).trajectory
    trajectory.probability[0, 0] = 7
    record = TrainingRecord.from_trajectory(trajectory)
    with pytest.raises(ValueError, match=r"trajectory\.probability must be from 0 to 1\.001"):
        record.save(tmp_path / "record")
    assert not list(tmp_path.iterdir())
