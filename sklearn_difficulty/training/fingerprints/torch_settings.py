# SPDX-License-Identifier: BSD-3-Clause
"""Global settings of torch on which the result of a training depends."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from types import FunctionType
from typing import Any

import torch
from torch import nn
from torch.backends import cuda, cudnn, mkldnn

from .code_reading import is_own

_VARIABLES = (  # of libraries below torch
    "CUBLAS_WORKSPACE_CONFIG",
    "MKL_CBWR",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
_READERS: tuple[Callable[[], Any], ...] = (
    torch.get_default_dtype,
    torch.get_default_device,
    torch.are_deterministic_algorithms_enabled,
    torch.get_float32_matmul_precision,
    lambda: cuda.matmul.allow_tf32,
    lambda: cuda.matmul.allow_fp16_reduced_precision_reduction,
    lambda: cuda.matmul.allow_bf16_reduced_precision_reduction,
    lambda: cudnn.allow_tf32,
    lambda: (cudnn.enabled, cudnn.benchmark, cudnn.deterministic),
    lambda: mkldnn.enabled,
    lambda: [torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")],
    lambda: [str(torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")],
    # There is no other way to see set_flush_denormal.
    lambda: float(torch.tensor(1e-39, dtype=torch.float32, device="cpu") * 0.5),
)


def torch_settings() -> list[Any]:
    """Return the settings as they are now, and what fills them from outside."""
    values: list[Any] = [os.environ.get(name) for name in _VARIABLES]
    for read in _READERS:
        try:
            values.append(read())
        except RuntimeError:  # where old and new names of a setting of torch were mixed
            values.append("unknown")
    return values


def patched_functions() -> list[Any]:
    """Return the functions of torch that were replaced by the user's, and hooks on all modules."""
    found: list[Any] = []
    for module in (torch, nn.functional, nn.init):
        for name, member in sorted(vars(module).items()):
            if isinstance(member, FunctionType) and is_own(member.__globals__):
                found.append((name, member))
    for name, hooks in sorted(vars(nn.modules.module).items()):
        if name.startswith("_global_") and "hooks" in name and hooks:
            with suppress(AttributeError):  # one of them is a flag
                found.append((name, list(hooks.values())))
    return found
