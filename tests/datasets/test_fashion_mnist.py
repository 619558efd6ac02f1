# SPDX-License-Identifier: BSD-3-Clause
"""Fashion-MNIST: the idx format from files made here, the fallbacks, and the real data."""

import gzip
import struct
from urllib.error import URLError

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils import Bunch

from sklearn_difficulty.datasets import _fashion_mnist, load_fashion_mnist

PREFIX = {"train": "train", "test": "t10k"}
IMAGES = np.random.default_rng(0).integers(0, 256, size=(5, 28, 28), dtype=np.uint8)
LABELS = np.array([9, 0, 3, 3, 7], dtype=np.uint8)


def idx_bytes(values):
    header = struct.pack(">BBBB", 0, 0, 8, values.ndim)
    return header + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def write(folder, images=IMAGES, labels=LABELS, split="train", compress=False):
    """Write the two files of a split; bytes go in as they are, arrays as idx."""
    for name, values in (("images-idx3", images), ("labels-idx1", labels)):
        content = values if isinstance(values, bytes) else idx_bytes(values)
        file = folder / f"{PREFIX[split]}-{name}-ubyte{'.gz' if compress else ''}"
        file.write_bytes(gzip.compress(content) if compress else content)


@pytest.fixture
def no_package(monkeypatch, tmp_path):
    monkeypatch.setattr(_fashion_mnist, "DEBIAN_FOLDER", tmp_path / "not-installed")


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("as_type", [str, lambda path: path])
def test_reads_plain_and_compressed_files(tmp_path, split, compress, as_type):
    write(tmp_path, split=split, compress=compress)
    dataset = load_fashion_mnist(split, as_type(tmp_path))
    assert dataset.data.shape == (5, 1, 28, 28)
    assert (dataset.data.dtype, dataset.target.dtype) == (np.float32, np.int64)
    assert_allclose(dataset.data[:, 0], IMAGES / 255, rtol=1e-6)
    assert_array_equal(dataset.target, LABELS)
    assert len(dataset.target_names) == 10
    assert dataset.target_names[9] == "Ankle boot"
    assert "1708.07747" in dataset.DESCR


def test_an_unpacked_file_that_kept_its_gz_ending(tmp_path):
    write(tmp_path)
    for file in list(tmp_path.iterdir()):
        file.rename(f"{file}.gz")
    assert_array_equal(load_fashion_mnist(path=tmp_path).target, LABELS)


def test_the_result_can_be_changed_without_harm(tmp_path):
    write(tmp_path)
    dataset = load_fashion_mnist(path=tmp_path)
    dataset.data[:] = 0
    dataset.target[:] = 0
    dataset.target_names.clear()
    assert len(load_fashion_mnist(path=tmp_path).target_names) == 10


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        load_fashion_mnist("test", tmp_path)
    assert "no t10k-images-idx3-ubyte and no t10k-labels-idx1-ubyte" in str(caught.value)
    write(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="has no train-images-idx3-ubyte, plain"):
        load_fashion_mnist("train", tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"images": LABELS}, "not an idx file of unsigned bytes with 3 axes.*'00000801'"),
        ({"labels": IMAGES}, "not an idx file of unsigned bytes with 1 axes.*'00000803'"),
        ({"labels": b"<html>"}, "not an idx file"),
        ({"labels": b""}, "not an idx file"),
        ({"images": idx_bytes(IMAGES)[:7]}, "ends within its header"),
        ({"images": idx_bytes(IMAGES)[:-1]}, "promises 3920 values .* but holds 3919"),
        ({"labels": idx_bytes(LABELS) + b"\0"}, "promises 5 values .* but holds 6"),
        ({"labels": LABELS[:4]}, "holds 5 images but .* holds 4 labels"),
        ({"images": IMAGES[:, :14]}, "images of 14 x 28 pixels"),
        ({"labels": LABELS + 1}, "the label 10; labels run from 0 to 9"),
        ({"labels": gzip.compress(idx_bytes(LABELS))[:-9]}, "damaged"),
        ({"labels": b"\x1f\x8b" + bytes(20)}, "damaged"),
    ],
)
def test_files_that_are_not_what_their_name_says(tmp_path, files, message):
    write(tmp_path, **files)
    with pytest.raises(ValueError, match=message):
        load_fashion_mnist(path=tmp_path)


def test_unknown_split(tmp_path):
    with pytest.raises(ValueError, match=r"'train' or 'test'\. Got 'valid'"):
        load_fashion_mnist("valid", tmp_path)


def test_the_package_comes_before_openml(monkeypatch, tmp_path):
    write(tmp_path, compress=True)
    monkeypatch.setattr(_fashion_mnist, "DEBIAN_FOLDER", tmp_path)
    monkeypatch.setattr(_fashion_mnist, "fetch_openml", None)
    assert_array_equal(load_fashion_mnist().target, LABELS)


@pytest.mark.usefixtures("no_package")
@pytest.mark.parametrize(
    ("split", "first", "last"), [("train", 0, 59_999), ("test", 60_000, 69_999)]
)
def test_openml_fallback(monkeypatch, split, first, last):
    rows = np.arange(70_000)
    calls = []

    def fetch(*args, **kwargs):
        calls.append((args, kwargs))
        # One pixel value per row, without the memory for 784 of them.
        data = np.broadcast_to((rows % 256)[:, None], (70_000, 784))
        return Bunch(data=data, target=(rows % 10).astype(str).astype(object))

    monkeypatch.setattr(_fashion_mnist, "fetch_openml", fetch)
    dataset = load_fashion_mnist(split)
    assert calls == [(("Fashion-MNIST",), {"version": 1, "as_frame": False})]
    assert dataset.data.shape == (last - first + 1, 1, 28, 28)
    assert (dataset.data.dtype, dataset.target.dtype) == (np.float32, np.int64)
    assert_array_equal(dataset.target[[0, 1, -1]], [first % 10, (first + 1) % 10, last % 10])
    assert_allclose(dataset.data[[0, -1], 0, 5, 5] * 255, [first % 256, last % 256], rtol=1e-6)


@pytest.mark.usefixtures("no_package")
@pytest.mark.parametrize(
    "error", [URLError("no route"), ImportError("needs pandas"), ValueError("no such dataset")]
)
def test_without_files_and_network_all_three_ways_are_named(monkeypatch, error):
    def fetch(*args, **kwargs):
        raise error

    monkeypatch.setattr(_fashion_mnist, "fetch_openml", fetch)
    with pytest.raises(OSError, match="Fashion-MNIST was not found") as caught:
        load_fashion_mnist()
    message = str(caught.value)
    for part in ("path=", "train-images-idx3-ubyte", "dataset-fashion-mnist", "OpenML", str(error)):
        assert part in message
    assert caught.value.__cause__ is error


@pytest.mark.usefixtures("no_package")
def test_openml_answer_of_another_shape(monkeypatch):
    monkeypatch.setattr(
        _fashion_mnist,
        "fetch_openml",
        lambda *args, **kwargs: Bunch(data=np.zeros((10, 784)), target=np.zeros(10)),
    )
    with pytest.raises(OSError, match=r"shape \(10, 784\)"):
        load_fashion_mnist()


@pytest.mark.skipif(
    not _fashion_mnist.DEBIAN_FOLDER.is_dir(), reason="dataset-fashion-mnist is not installed"
)
@pytest.mark.parametrize(("split", "n_rows", "first"), [("train", 60_000, 9), ("test", 10_000, 9)])
def test_the_real_data(split, n_rows, first):
    dataset = load_fashion_mnist(split)
    assert dataset.data.shape == (n_rows, 1, 28, 28)
    assert_array_equal(np.bincount(dataset.target), np.full(10, n_rows // 10))
    assert dataset.target[0] == first
    assert dataset.data.min() == 0
    assert dataset.data.max() == 1
    # The mean grey level that is quoted for the training rows, 0.2860.
    assert_allclose(dataset.data.mean(dtype=np.float64), 0.2865, atol=1e-3)
