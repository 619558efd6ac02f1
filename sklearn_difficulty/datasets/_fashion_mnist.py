# SPDX-License-Identifier: BSD-3-Clause
"""Fashion-MNIST, from files where there are any."""

import gzip
import math
import os
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch

from .._parameters import check_parameters

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
TARGET_NAMES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
_FILE_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_N_TRAIN, _N_TEST = 60_000, 10_000
_SIDE = 28
_DESCRIPTION = """\
Fashion-MNIST: photographs of articles of clothing from Zalando's shop, in grey levels.

60,000 training and 10,000 test rows of 28 x 28 pixels in ten balanced classes. The labels
come from the shop's catalogue; "Shirt" overlaps with "T-shirt/top", "Pullover" and "Coat".
Data licence: MIT. H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a novel image dataset
for benchmarking machine learning algorithms", 2017, arXiv:1708.07747.
"""


def load_fashion_mnist(
    split: Literal["train", "test"] = "train", path: str | os.PathLike[str] | None = None
) -> Bunch:
    """Load Fashion-MNIST: 28 x 28 grey images of clothing in ten classes.

    Looks in `path` if it is given; otherwise in the folder of the Debian package
    ``dataset-fashion-mnist``; otherwise downloads from OpenML with
    :func:`sklearn.datasets.fetch_openml`, which keeps the files for the next time.

    Parameters
    ----------
    split : {"train", "test"}, default="train"
        The 60,000 training rows or the 10,000 test rows.
    path : str or path-like, default=None
        Folder with the original idx files, plain or compressed (``.gz``):
        ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``. Only the two files of
        the split are needed.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : ndarray of shape (n_rows, 1, 28, 28), float32
            Grey levels in [0, 1], with one channel, as convolutional networks expect.
        target : ndarray of shape (n_rows,), int64
            Classes 0 to 9.
        target_names : list of str
            Names of the ten classes.
        DESCR : str
            What the data is and where it comes from.

    Raises
    ------
    ValueError
        If `split` is unknown or a file is not the idx file that its name promises.
    FileNotFoundError
        If `path` is given and lacks a file of the split.
    OSError
        If there is no file and OpenML cannot be reached.

    See Also
    --------
    make_label_noise : Wrong labels with a known ground truth.

    References
    ----------
    .. [1] H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a novel image dataset for
       benchmarking machine learning algorithms", 2017. :arxiv:`1708.07747`

    Examples
    --------
    >>> from sklearn_difficulty.datasets import load_fashion_mnist
    >>> dataset = load_fashion_mnist("test")  # doctest: +SKIP
    >>> (
    ...     dataset.data.shape,
    ...     dataset.target_names[dataset.target[0]],
    ... )  # doctest: +SKIP
    ((10000, 1, 28, 28), 'Ankle boot')
    """
    if not isinstance(split, str) or split not in _FILE_NAMES:
        raise ValueError(
            "The 'split' parameter of load_fashion_mnist must be 'train' or 'test'. Got "
            f"{split!r} instead."
        )
    check_parameters("load_fashion_mnist", path=(path, [str, os.PathLike, None]))
    if path is not None:
        images, labels = _read_folder(Path(path), split)
    elif DEBIAN_FOLDER.is_dir():
        images, labels = _read_folder(DEBIAN_FOLDER, split)
    else:
        images, labels = _fetch(split)
    data = images.reshape(-1, 1, _SIDE, _SIDE).astype(np.float32)
    data /= 255
    return Bunch(
        data=data,
        target=labels.astype(np.int64),
        target_names=list(TARGET_NAMES),
        DESCR=_DESCRIPTION,
    )


def _read_folder(folder: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the images and labels of a split from its two idx files."""
    files = [_find(folder, name) for name in _FILE_NAMES[split]]
    missing = [name for name, file in zip(_FILE_NAMES[split], files, strict=True) if file is None]
    if missing:
        raise FileNotFoundError(
            f"{folder} has no {' and no '.join(missing)}, plain or with .gz; the "
            f"{split} split of Fashion-MNIST needs {' and '.join(_FILE_NAMES[split])}."
        )
    image_file, label_file = (file for file in files if file is not None)
    images, labels = _read_idx(image_file, n_axes=3), _read_idx(label_file, n_axes=1)
    if images.shape[1:] != (_SIDE, _SIDE):
        raise ValueError(
            f"{image_file} holds images of {images.shape[1]} x {images.shape[2]} pixels; "
            f"those of Fashion-MNIST have {_SIDE} x {_SIDE}."
        )
    if len(images) != len(labels):
        raise ValueError(
            f"{image_file} holds {len(images)} images but {label_file} holds {len(labels)} labels."
        )
    if len(labels) and labels.max() >= len(TARGET_NAMES):
        raise ValueError(f"{label_file} holds the label {labels.max()}; labels run from 0 to 9.")
    return images, labels


def _find(folder: Path, name: str) -> Path | None:
    """Return the file of this name, plain or compressed, if the folder has it."""
    candidates = (folder / name, folder / f"{name}.gz")
    return next((file for file in candidates if file.is_file()), None)


def _read_idx(file: Path, n_axes: int) -> NDArray[np.uint8]:
    """Return the bytes of an idx file as an array of so many axes.

    The format: two zero bytes, the type code (8 for unsigned bytes), the number of axes,
    the length of each axis as a big-endian 32-bit integer, then the values in C order.
    """
    content = file.read_bytes()
    # By the first bytes, not the name: some tools unpack files and leave the .gz.
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{file} is damaged and cannot be unpacked: {error}") from error
    magic, header_size = bytes([0, 0, 8, n_axes]), 4 + 4 * n_axes
    if content[:4] != magic or len(content) < header_size:
        raise ValueError(
            f"{file} is not an idx file of unsigned bytes with {n_axes} axes: it starts with "
            f"{content[:4].hex()!r}, not {magic.hex()!r}, or ends within its header."
        )
    shape = tuple(np.frombuffer(content, dtype=">u4", count=n_axes, offset=4).tolist())
    if len(content) - header_size != math.prod(shape):
        raise ValueError(
            f"{file} promises {math.prod(shape)} values in its header but holds "
            f"{len(content) - header_size}."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header_size).reshape(shape)


def _fetch(split: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the images and labels of a split from OpenML."""
    try:
        dataset = fetch_openml("Fashion-MNIST", version=1, as_frame=False)
    # No network, a server's refusal (ValueError), or no pandas to parse the answer.
    except (OSError, HTTPException, ValueError, ImportError) as error:
        raise OSError(
            "Fashion-MNIST was not found. Do one of these: (1) pass path=, a folder with "
            f"{' and '.join(_FILE_NAMES[split])} (plain or .gz); (2) on Debian or Ubuntu, "
            f"install the package dataset-fashion-mnist, which fills {DEBIAN_FOLDER}; (3) go "
            "online and have pandas installed, so that scikit-learn can fetch it from OpenML. "
            f"OpenML failed with: {error}"
        ) from error
    if dataset.data.shape != (_N_TRAIN + _N_TEST, _SIDE**2):
        raise OSError(
            f"OpenML sent an array of shape {dataset.data.shape} for Fashion-MNIST instead of "
            f"({_N_TRAIN + _N_TEST}, {_SIDE**2}); pass path= to read the original files."
        )
    rows = slice(None, _N_TRAIN) if split == "train" else slice(_N_TRAIN, None)
    return dataset.data[rows], dataset.target[rows]
