# SPDX-License-Identifier: BSD-3-Clause
"""A training record on disk: safetensors for weights, JSON for the rest, no pickle."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from ..networks.copying import copied_module
from ..networks.forward import plain_module
from ..networks.heads import head_named
from ..networks.published import VGG16, ResNet18
from ..networks.small import MLP, ConvNet
from ..rows.identity import RowsFingerprint
from .checkpoints import Checkpoint, copy_state, load_state
from .record_parts import RecordParts
from .trajectory import Trajectory

_FORMAT = 1
ARCHITECTURES: dict[str, type[nn.Module]] = {
    network.__name__: network for network in (MLP, ConvNet, VGG16, ResNet18)
}


def write_parts(parts: RecordParts, target: Path) -> None:
    """Write the parts of a record in one atomic step; see `TrainingRecord.save`."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target} exists and is not empty; give a new directory.")
    header = json.dumps(_header(parts), indent=1)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}-{secrets.token_hex(4)}.part")
    try:
        part.mkdir()
        if parts.module is not None:
            save_file(copy_state(parts.module), part / "module.safetensors")
        if parts.trajectory is not None:
            save_file(_tensors_of(parts.trajectory), part / "trajectory.safetensors")
        for checkpoint in parts.checkpoints:
            save_file(checkpoint.state_dict(), _state_path(part, checkpoint.epoch))
        (part / "record.json").write_text(header)
        if target.exists():
            target.rmdir()
        os.replace(part, target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _state_path(folder: Path, epoch: int) -> Path:
    """Return where a checkpoint lies."""
    return folder / f"epoch-{epoch:05d}.safetensors"


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
        "format": _FORMAT,
        "module": None if parts.module is None else _description(parts.module),
        "epochs": [checkpoint.epoch for checkpoint in parts.checkpoints],
        "n_epochs": parts.n_epochs,
        "classes": None if classes is None else classes.tolist(),
        "classes_dtype": None if classes is None else classes.dtype.str,
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


def read_parts(folder: Path, module: nn.Module | None, criterion: nn.Module | None) -> RecordParts:
    """Return the parts of a saved record; see `TrainingRecord.load`."""
    folder = folder.resolve()  # the checkpoints are read later, from whatever directory
    header = json.loads((folder / "record.json").read_text())
    if header["format"] != _FORMAT:
        raise ValueError(
            f"{folder} was written in format {header['format']}; this version reads {_FORMAT}."
        )
    if header["module"] is None:
        module = None
    else:
        module = _read_module(folder, module, **header["module"])
    if criterion is None:
        # A loss with other arguments is not guessed: scores of the loss then ask for it.
        usual_loss = head_named(header["outputs"]).usual_loss
        criterion = usual_loss() if header["criterion_is_usual"] else None
    classes = header["classes"]
    if classes is not None:
        classes = np.array(classes, dtype=np.dtype(header["classes_dtype"]))
    return RecordParts(
        module,
        [Checkpoint(epoch, path=_state_path(folder, epoch)) for epoch in header["epochs"]],
        classes=classes,
        outputs=header["outputs"],
        criterion=criterion,
        n_epochs=header["n_epochs"],
        rows=_rows_of(header),
        trajectory=_read_trajectory(folder, header.get("trajectory")),
        trajectory_problem=header.get("trajectory_problem"),
    )


def _rows_of(header: dict[str, Any]) -> RowsFingerprint | None:
    """Return the fingerprint of rows in a header."""
    return None if header["rows"] is None else RowsFingerprint(**header["rows"])


def _read_module(
    folder: Path, module: nn.Module | None, name: str, config: dict[str, Any] | None
) -> nn.Module:
    """Return a network with the saved weights."""
    if module is not None:
        if not isinstance(module, nn.Module):
            raise TypeError(f"module must be a torch module, not {module!r}; pass {name}(...).")
        module = copied_module(plain_module(module))
    elif config is not None:
        module = ARCHITECTURES[name](**config)
    else:
        raise ValueError(
            f"{folder} holds the weights of a {name}, not its code: pass module={name}(...)."
        )
    module.load_state_dict(load_state(folder / "module.safetensors"))
    return module


def _read_trajectory(folder: Path, header: dict[str, Any] | None) -> Trajectory | None:
    """Return the saved trajectory."""
    if header is None:
        return None
    arrays: dict[str, Any] = {
        name: tensor.numpy().copy()  # not a map of the file, which may go or change
        for name, tensor in load_state(folder / "trajectory.safetensors").items()
    }
    return Trajectory(**arrays, mode=header["mode"], rows=_rows_of(header))
