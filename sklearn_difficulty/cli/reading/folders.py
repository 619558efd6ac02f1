# SPDX-License-Identifier: BSD-3-Clause
"""Folders with one subfolder of images per class."""

from __future__ import annotations

import csv
from argparse import Namespace
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..messages import UserError, listed, note
from ..output import as_text_cell
from .data import Data, labels_of

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_SPLITS = {"train", "test", "val", "valid", "validation"}
_SMALL = 64  # images of one size up to this are taken as they are
_SIZE = 32
_GREY = {"1", "L", "LA", "I", "I;16", "F"}


def read_folder(path: Path, args: Namespace) -> Data:
    """Read a folder of images; a class is called like its subfolder."""
    for option in ("label", "id", "text", "groups"):
        if getattr(args, option) is not None:
            raise UserError(
                f"--{option} is for tables: in a folder of images, labels are the names of "
                "subfolders, and images are called by their paths."
            )
    files = images_in(path)
    names = [file.relative_to(path).as_posix() for file in files]
    y = labels_of([name.partition("/")[0] for name in names], path.name)
    pixels = None if args.labels_only else _pixels(files, args.image_size)
    return Data(
        path,
        "folder",
        y,
        digest_of_folder(path, files),
        lambda target, y_new, keep: write_moves(target, names, y, y_new, keep),
        array=pixels,
        pictures=files,
        ids=names,
    )


def images_in(path: Path) -> list[Path]:
    """Return the images in the subfolders, sorted by their paths."""
    folders = sorted(f for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))
    if not folders:
        raise UserError(f"{path} has no subfolders; there must be one per class.")
    if {folder.name.lower() for folder in folders} <= _SPLITS:
        raise UserError(
            f"the subfolders of {path} are {listed([f.name for f in folders])}, which look like "
            f"parts of a data set and not like classes. Pass {folders[0]}, for example."
        )
    found = [
        file
        for folder in folders
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not any(part.startswith(".") for part in file.parts[len(path.parts):])
    ]  # fmt: skip
    others = [file for file in found if file.suffix.lower() not in _SUFFIXES]
    if others:
        kinds = Counter(file.suffix or file.name for file in others)
        note(f"{len(others)} file(s) are no images and are passed over: {listed(list(kinds))}.")
    images = [file for file in found if file.suffix.lower() in _SUFFIXES]
    if not images:
        raise UserError(f"there are no images in the subfolders of {path}.")
    return images


def digest_of_folder(path: Path, files: list[Path]) -> str:
    """Return a digest of the names and sizes of images."""
    lines = (f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}" for file in files)
    return sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def write_moves(
    target: Path,
    names: list[str],
    y: NDArray[Any],
    y_new: NDArray[Any],
    keep: NDArray[np.bool_],
) -> None:
    """Write which images belong elsewhere, as a table: file, label, new_label, new_file."""
    with target.open("x", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "label", "action", "new_label", "new_file"])
        for i in np.flatnonzero((y_new != y) | ~keep):
            label, moved = str(y_new[i]), f"{y_new[i]}/{names[i].partition('/')[2]}"
            row = ["move", label, moved] if keep[i] else ["drop", "", ""]
            writer.writerow(map(as_text_cell, [names[i], str(y[i]), *row]))


def _pixels(files: list[Path], size: int | None) -> NDArray[np.uint8]:
    """Return images as one array (n, channels, height, width) of a common size."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise UserError("images need Pillow: pip install pillow") from error
    shapes, modes, broken = set(), set(), []
    for file in files:
        try:
            with Image.open(file) as image:
                shapes.add(image.size)
                modes.add(image.mode)
        except Exception:  # of many types, as files are damaged in many ways
            broken.append(file)
    if broken:
        raise UserError(
            f"{len(broken)} file(s) cannot be read as images: {listed(broken)}. Mend them, or move "
            "them away."
        )
    width, height = (_SIZE, _SIZE) if size is None else (size, size)
    if size is None and len(shapes) == 1 and max(next(iter(shapes))) <= _SMALL:
        width, height = next(iter(shapes))
    mode, n_channels = ("L", 1) if modes <= _GREY else ("RGB", 3)
    pixels = np.empty((len(files), n_channels, height, width), dtype=np.uint8)
    for i, file in enumerate(files):
        try:
            with Image.open(file) as image:
                image.draft(mode, (2 * width, 2 * height))  # a JPEG is decoded at a lower size
                upright = ImageOps.exif_transpose(_in_range(image)).convert(mode)
                small = upright.resize((width, height), Image.Resampling.BILINEAR)
        except Exception as error:
            raise UserError(f"{file} cannot be read: {error}.") from error
        pixels[i] = np.asarray(small).reshape(height, width, n_channels).transpose(2, 0, 1)
    return pixels


def _in_range(image: Any) -> Any:
    """Return an image whose 16-bit greys are scaled to 8 bits, which conversion would cut off."""
    if image.mode not in ("I", "I;16"):
        return image
    from PIL import Image

    return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
