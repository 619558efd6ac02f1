# SPDX-License-Identifier: BSD-3-Clause
"""A training record on disk: safetensors for weights, JSON for the rest, no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..networks.copying import copied_module
from ..networks.forward import plain_module
from ..networks.heads import head_named
from ..networks.published import VGG16, ResNet18
from ..networks.small import MLP, ConvNet
from ..networks.tables import TableMLP
from ..rows.identity import RowsFingerprint
from .checkpoints import Checkpoint, copy_state
from .files.folders import new_folder
from .files.schema import (
    FORMAT,
    check_fields,
    check_trajectory,
    classes_from_json,
    classes_to_json,
    dump_header,
    epoch_file,
    load_header,
)
from .files.states import StateLayout
from .files.tensors import content_digest, packed, read_content, unpacked
from .record_parts import RecordParts
from .trajectory import Trajectory

_MODULE, _TRAJECTORY, _HEADER = "module.safetensors", "trajectory.safetensors", "record.json"
ARCHITECTURES: dict[str, type[nn.Module]] = {
    network.__name__: network for network in (MLP, TableMLP, ConvNet, VGG16, ResNet18)
}


def write_parts(parts: RecordParts, target: Path) -> None:
    """Write the parts of a record in one atomic step; see `TrainingRecord.save`."""
    header = _header(parts)
    check_fields(header)  # what is written can be read
    if parts.module is not None:
        StateLayout.of(parts.module)  # raises for a state that is no tensor
    if parts.trajectory is not None:
        n_classes = None if parts.classes is None else len(parts.classes)
        check_trajectory(parts.trajectory, header["n_epochs"], n_classes)
    files: dict[str, str] = {}

    def write(name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        content = packed(tensors)
        (folder / name).write_bytes(content)
        files[name] = content_digest(content)

    with new_folder(target.expanduser().resolve()) as folder:
        if parts.module is not None:
            write(_MODULE, copy_state(parts.module))
        if parts.trajectory is not None:
            write(_TRAJECTORY, _tensors_of(parts.trajectory))
        for checkpoint in parts.checkpoints:
            write(epoch_file(checkpoint.epoch), checkpoint.state_dict())
        (folder / _HEADER).write_bytes(dump_header({**header, "files": files}))


def _tensors_of(trajectory: Trajectory) -> dict[str, torch.Tensor]:
    """Return the arrays of a trajectory."""
    arrays = {field.name: getattr(trajectory, field.name) for field in fields(trajectory)}
    return {
        name: torch.from_numpy(np.ascontiguousarray(array))
        for name, array in arrays.items()
        if isinstance(array, np.ndarray)
    }


def _header(parts: RecordParts) -> dict[str, Any]:
    """Return what is written as JSON."""
    classes, trajectory = parts.classes, parts.trajectory
    return {
        "format": FORMAT,
        "module": None if parts.module is None else _description(parts.module),
        "epochs": [checkpoint.epoch for checkpoint in parts.checkpoints],
        "n_epochs": parts.n_epochs,
        "classes": None if classes is None else classes_to_json(classes),
        "outputs": parts.outputs,
        "criterion_is_usual": _is_usual(parts.criterion, parts.outputs),
        "rows": None if parts.rows is None else parts.rows.to_json(),
        "trajectory": None
        if trajectory is None
        else {
            "mode": trajectory.mode,
            "rows": None if trajectory.rows is None else trajectory.rows.to_json(),
        },
        "trajectory_problem": parts.trajectory_problem,
    }


def _description(module: nn.Module) -> dict[str, Any]:
    """Return a module's name and, for networks of this library, its config."""
    name = type(module).__name__
    is_ours = ARCHITECTURES.get(name) is type(module)
    return {"name": name, "config": getattr(module, "config", None) if is_ours else None}


def _is_usual(criterion: nn.Module | None, outputs: str) -> bool:
    """Tell whether a loss is the default one; its repr does not show weights or smoothing."""
    usual = head_named(outputs).usual_loss()
    return type(criterion) is type(usual) and _arguments(criterion) == _arguments(usual)


def _arguments(criterion: nn.Module) -> dict[str, Any]:
    """Return what tells losses of one class apart."""
    own = {name: value for name, value in vars(criterion).items() if not name.startswith("_")}
    own.pop("training")
    return {**own, "tensors": list(criterion.state_dict())}


@torch.inference_mode(False)  # with weights made in it, nothing could be differentiated
def read_parts(folder: Path, module: nn.Module | None, criterion: nn.Module | None) -> RecordParts:
    """Return the parts of a saved record; see `TrainingRecord.load`."""
    folder = folder.expanduser().resolve()  # checkpoints are read later, from whatever directory
    try:
        header = load_header(folder / _HEADER)
        _check_files(folder, header["files"])
        classes = classes_from_json(header["classes"])
        trajectory = _read_trajectory(folder, header)
        if trajectory is not None:
            n_classes = None if classes is None else len(classes)
            check_trajectory(trajectory, header["n_epochs"], n_classes)
    except ValueError as error:
        raise ValueError(f"{folder} is refused: {str(error).rstrip('.')}.") from error
    module = _read_module(folder, header, module)
    checkpoints = [
        Checkpoint(
            epoch, path=folder / epoch_file(epoch), digest=header["files"][epoch_file(epoch)]
        )
        for epoch in header["epochs"]
    ]
    layout = None if module is None else StateLayout.of(module)
    for checkpoint in checkpoints:
        state = checkpoint.state_dict()  # raises if it has changed
        if layout is not None and (misfit := layout.misfit(state)):
            raise ValueError(f"{checkpoint.path} is not of the same network: {misfit}.")
    if criterion is None:
        # A loss with other arguments is not guessed: scores of the loss then ask for it.
        usual_loss = head_named(header["outputs"]).usual_loss
        criterion = usual_loss() if header["criterion_is_usual"] else None
    return RecordParts(
        module,
        checkpoints,
        classes=classes,
        outputs=header["outputs"],
        criterion=criterion,
        n_epochs=header["n_epochs"],
        rows=_rows_of(header),
        trajectory=trajectory,
        trajectory_problem=header["trajectory_problem"],
    )


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Raise unless a record's folder holds its files and no others."""
    expected = {_HEADER, *files}
    # File managers and network file systems put hidden files anywhere.
    found = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if missing := sorted(expected - found):
        raise ValueError(f"{len(missing)} file(s) are missing, such as {missing[0]}")
    if added := sorted(found - expected):
        raise ValueError(f"{len(added)} file(s) do not belong to the record, such as {added[0]}")


def _read(folder: Path, name: str, header: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors of a file of a record."""
    return unpacked(read_content(folder / name, header["files"][name]), folder / name)


def _rows_of(header: Mapping[str, Any]) -> RowsFingerprint | None:
    """Return the fingerprint of rows in a header."""
    return None if header["rows"] is None else RowsFingerprint(**header["rows"])


def _read_module(
    folder: Path, header: Mapping[str, Any], module: nn.Module | None
) -> nn.Module | None:
    """Return a network with the saved weights, or None if there is none."""
    if header["module"] is None:
        return None
    name, config = header["module"]["name"], header["module"]["config"]
    state = _read(folder, _MODULE, header)
    if module is not None:
        if not isinstance(module, nn.Module):
            raise TypeError(f"module must be a torch module, not {module!r}; pass {name}(...).")
        module = copied_module(plain_module(module))
    elif config is not None:
        module = _build(folder, name, config, state)
    else:
        raise ValueError(
            f"{folder} holds the weights of a {name}, not its code: pass module={name}(...)."
        )
    if misfit := StateLayout.of(module).misfit(state):
        raise ValueError(
            f"{folder} holds the weights of a {name}, which do not fit the given "
            f"{type(module).__name__}: {misfit}. Pass the module that was trained."
        )
    if any(tensor.is_meta for tensor in module.state_dict().values()):
        module.load_state_dict(state, assign=True)
        return module
    for key, tensor in module.state_dict(keep_vars=True).items():
        tensor.data = tensor.data.to(state[key].dtype)  # what was trained in double stays so
    module.load_state_dict(state)
    return module


def _build(
    folder: Path, name: str, config: dict[str, Any], state: Mapping[str, torch.Tensor]
) -> nn.Module:
    """Return a network of this library, without memory for its weights."""
    sizes = [
        n
        for name, value in config.items()
        if name != "columns"  # which check themselves
        for n in (value if isinstance(value, list) else [value])
    ]
    # Every width is that of a tensor: a few digits cannot ask for gigabytes.
    largest = max((tensor.numel() for tensor in state.values()), default=0)
    try:
        if len(sizes) > 10 * len(state) or not all(
            type(n) is int and 0 < n <= largest for n in sizes
        ):
            raise ValueError(f"its sizes are not those of the weights, {str(config)[:80]}")
        with torch.device("meta"):
            return ARCHITECTURES[name](**config)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder} is refused: module.config makes no {name}: {error}.") from error


def _read_trajectory(folder: Path, header: Mapping[str, Any]) -> Trajectory | None:
    """Return the saved trajectory."""
    described = header["trajectory"]
    if described is None:
        return None
    tensors = _read(folder, _TRAJECTORY, header)
    names = {field.name for field in fields(Trajectory)} - {"mode", "rows"}
    if tensors.keys() | {"logits"} != names:
        raise ValueError(f"{_TRAJECTORY} must hold {sorted(names)}; it holds {sorted(tensors)}")
    try:
        arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
    except TypeError as error:  # NumPy has no bfloat16
        raise ValueError(f"{_TRAJECTORY} holds no arrays of NumPy: {error}") from error
    return Trajectory(**arrays, mode=described["mode"], rows=_rows_of(described))
