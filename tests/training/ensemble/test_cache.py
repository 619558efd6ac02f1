# SPDX-License-Identifier: BSD-3-Clause
"""Entries are whole or absent, whatever happens to the process or the file."""

import multiprocessing
import os
import signal
import time
import warnings
from itertools import count

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import load_file, save_file

from sklearn_difficulty.training.ensemble.cache import MemberStore

ARRAYS = {
    "flag": np.array([True, False]),
    "count": np.arange(3, dtype=np.int64),
    "byte": np.arange(3, dtype=np.uint8),
    "half": np.array([0.5, np.nan, -np.inf], dtype=np.float16),
    "single": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
    "double": np.array(1 / 3),
    "none": np.empty((0, 4)),
    "no columns": np.empty((2, 0), dtype=np.int32),
}


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].shape == array.shape
        assert_array_equal(found[name], array)


@pytest.fixture
def store(tmp_path):
    return MemberStore(tmp_path / "new" / "folder")


@pytest.mark.parametrize("arrays", [ARRAYS, {}], ids=["arrays", "none"])
def test_arrays_come_back_as_they_were(store, arrays):
    store.write("key", arrays)
    found = store.read("key")
    assert_same(found, arrays)
    assert all(array.flags.writeable for array in found.values())


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(10)[::-2],
        np.arange(4, dtype=">f4"),
        np.broadcast_to(np.float32(2), (2, 3)),
    ],
    ids=["fortran", "backwards", "big-endian", "broadcast"],
)
def test_memory_in_another_order(store, array):
    store.write("key", {"a": array})
    assert_same(store.read("key"), {"a": array})


@pytest.mark.parametrize("values", [["a"], [None], [1j], [np.longdouble(1)], ["2020-01-01"]])
def test_other_arrays_are_refused(store, values):
    array = np.array(values, dtype="datetime64[D]" if values == ["2020-01-01"] else None)
    with pytest.raises(TypeError, match=r"The array 'x' holds .*only bools, integers and floats"):
        store.write("key", {"x": array})
    assert store.read("key") is None


def test_keys_are_kept_apart(store):
    keys = ["a", "b", "", "../a", "a/b", "ä" * 300, "member 1\n"]
    for i, key in enumerate(keys):
        assert store.read(key) is None
        store.write(key, {"i": np.array(i)})
    assert [int(store.read(key)["i"]) for key in keys] == list(range(len(keys)))
    assert len(list(store.directory.iterdir())) == len(keys)
    again = MemberStore(store.directory)
    again.write("a", {"j": np.array(9)})
    assert_same(store.read("a"), {"j": np.array(9)})


def test_others_may_read(store):
    mask = os.umask(0o022)
    try:
        store.write("key", ARRAYS)
    finally:
        os.umask(mask)
    (file,) = store.directory.iterdir()
    assert file.stat().st_mode & 0o777 == 0o644


def damages(file, folder):
    """Yield what was done to the file."""
    raw = file.read_bytes()
    for length in range(0, len(raw), 23):
        file.write_bytes(raw[:length])
        yield f"cut to {length}"
    for i in range(0, len(raw), 7):
        file.write_bytes(raw[:i] + bytes([raw[i] ^ 0x15]) + raw[i + 1 :])
        yield f"byte {i} changed"
    file.write_bytes(raw[:-8] + bytes(8))
    yield "zeros at the end"
    file.write_bytes(bytes(len(raw)))
    yield "all zeros"
    file.write_bytes(raw + b"x")
    yield "longer"


def test_damaged_files_are_absent(store, tmp_path):
    arrays = {"a": np.arange(1.0, 50.0), "b": np.array([True])}
    store.write("key", arrays)
    (file,) = store.directory.iterdir()
    for damage in damages(file, tmp_path):
        with pytest.warns(UserWarning, match="will be made anew"):
            assert store.read("key") is None, damage
    store.write("key", arrays)
    assert_same(store.read("key"), arrays)


def test_foreign_files_are_absent(store):
    store.write("one", ARRAYS)
    (file,) = store.directory.iterdir()
    store.write("two", ARRAYS)
    (other,) = set(store.directory.iterdir()) - {file}
    other.replace(file)
    with pytest.warns(UserWarning, match="it belongs to another key"):
        assert store.read("one") is None
    arrays = load_file(file)
    for header in (None, {"format": "2", "key": "one"}):
        save_file(arrays, file, metadata=header)
        with pytest.warns(UserWarning, match="its format is (None|2), not 1"):
            assert store.read("one") is None


def test_a_failed_write_leaves_the_entry(store, monkeypatch):
    store.write("key", ARRAYS)

    def full(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        store.write("key", {"a": np.zeros(3)})
    assert_same(store.read("key"), ARRAYS)
    assert len(list(store.directory.iterdir())) == 1


def write_for_ever(store):
    for i in count():
        store.write("key", {"a": np.full(2**21, i), "b": np.full(3, i)})


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_killed_process_leaves_a_whole_entry_or_none(store):
    size = 8 * 2**21
    n_whole = n_cut = 0
    rng = np.random.default_rng(0)
    for attempt in range(60):
        process = multiprocessing.get_context("fork").Process(target=write_for_ever, args=(store,))
        process.start()
        deadline = time.monotonic() + 5
        while not list(store.directory.glob(".*.part")) and time.monotonic() < deadline:
            pass
        time.sleep(attempt % 2 * rng.uniform(0, 0.2))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        for part in store.directory.glob(".*.part"):
            n_cut += part.stat().st_size < size
        with warnings.catch_warnings(action="error"):
            found = store.read("key")
        if found is not None:
            n_whole += 1
            assert found["a"].nbytes == size
            assert set(found["a"]) == set(found["b"])
        if attempt >= 5 and n_whole and n_cut:
            break
        for part in store.directory.glob(".*.part"):
            part.unlink()
    assert n_whole
    assert n_cut  # or nothing was killed in the middle of writing
    store.write("key", ARRAYS)  # what was left behind is no hindrance
    assert_same(store.read("key"), ARRAYS)
