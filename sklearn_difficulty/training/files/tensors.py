# SPDX-License-Identifier: BSD-3-Clause
"""Tensors on disk: files that are read whole, never mapped, and compared with their digest.

A map of a file follows whatever is written to it later, and kills the process where it was cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save


def packed(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Return tensors as the content of a safetensors file."""
    return bytes(save(dict(tensors)))


def unpacked(content: bytes, path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors in the content of a safetensors file."""
    try:
        return dict(load(content))
    except (SafetensorError, KeyError, RuntimeError) as error:  # KeyError: a dtype of its own
        raise ValueError(f"{path} is not a whole safetensors file: {error}.") from error


def content_digest(content: bytes) -> str:
    """Return the digest by which a file is told from others."""
    return hashlib.blake2b(content, digest_size=32).hexdigest()


def read_content(path: Path, digest: str | None = None) -> bytes:
    """Return the content of a file, or raise if it is not the one with this digest."""
    if not path.is_file():  # a pipe or a device would never end
        raise FileNotFoundError(f"{path} does not exist, or is not a file.")
    content = path.read_bytes()
    if digest is not None and content_digest(content) != digest:
        raise ValueError(
            f"{path} has changed since it was written or first read. Make the record again, from "
            "files that stay as they are."
        )
    return content
