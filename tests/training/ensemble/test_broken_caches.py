# SPDX-License-Identifier: BSD-3-Clause
"""A cache that is damaged, shared, full, or whose process is killed: the numbers stay."""

import errno
import os
import shutil
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from fits_elsewhere import FRESH, N_MEMBERS, ended, ensemble_of, fit_here, send, started
from numpy.testing import assert_array_equal
from safetensors import safe_open
from safetensors.numpy import save_file

from sklearn_difficulty import ConsistencyScorer
from sklearn_difficulty.training.ensemble.cache import MemberStore

N_KILLS = int(os.environ.get("SKLEARN_DIFFICULTY_KILLS", "6"))  # set it for more than a sample
KINDS = [
    {"backend": backend, "n_jobs": n_jobs} for n_jobs in (1, 2) for backend in ("stacked", "joblib")
]
SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(61, 16)).astype(np.float32), rng.integers(3, size=61)


def assert_same(found, expected):
    assert_array_equal(found.predictions_, expected.predictions_)
    assert_array_equal(found.given_probability_, expected.given_probability_)
    for name in ("held_out_probability_", "mean_held_out_probability_"):
        for one, other in zip(getattr(found, name), getattr(expected, name), strict=True):
            assert_array_equal(one, other)
    for k in range(found.n_members):
        states = [e.record(k).module.state_dict() for e in (found, expected)]
        assert all((states[0][name] == states[1][name]).all() for name in states[1])


def entries(folder):
    return sorted(Path(folder).glob("*.safetensors"))


# ---------------------------------------------------------------------------------- corruption


def rewritten(path, change):
    """Write other arrays with the header of an entry, as its own library would."""
    with safe_open(path, framework="numpy") as file:
        header = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}
    save_file(change(arrays), path, metadata=header)


def with_one(change):
    """Return a change of one array, drawn at random."""

    def of_arrays(path, others, rng):
        def changed(arrays):
            name = rng.choice(sorted(arrays))
            return {**arrays, name: change(arrays[name])}

        rewritten(path, changed)

    return of_arrays


def flip(path, others, rng):
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)


def cut(path, others, rng):
    content = path.read_bytes()
    path.write_bytes(content[: rng.integers(len(content))])


def fill(path, others, rng):
    path.write_bytes(rng.bytes(rng.integers(1, 4000)))


def swap(path, others, rng):
    other = others[rng.integers(len(others))]
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def rename(path, others, rng):
    path.replace(others[rng.integers(len(others))])


def folder(path, others, rng):
    path.unlink()
    path.mkdir()


CORRUPTIONS = {
    "a bit": flip,
    "cut": cut,
    "empty": lambda path, others, rng: path.write_bytes(b""),
    "zeros": lambda path, others, rng: path.write_bytes(bytes(path.stat().st_size)),
    "noise": fill,
    "longer": lambda path, others, rng: path.write_bytes(path.read_bytes() + rng.bytes(9)),
    "swapped": swap,
    "renamed": rename,
    "a folder": folder,
    "other numbers": with_one(lambda array: array + array.dtype.type(1)),
    "other type": with_one(lambda array: array.astype(np.float64)),
    "other shape": with_one(lambda array: array.reshape(-1)[:-1]),
    "an array less": lambda path, others, rng: rewritten(
        path, lambda arrays: {n: arrays[n] for n in sorted(arrays)[: rng.integers(len(arrays))]}
    ),
    "other names": lambda path, others, rng: rewritten(
        path, lambda arrays: {n.replace("p", "q"): array for n, array in arrays.items()}
    ),
}


@pytest.mark.filterwarnings("ignore:.*cannot be written .Is a directory")
def test_no_corruption_changes_a_number(rows, tmp_path):
    rng = np.random.default_rng(0)
    expected = ensemble_of(None, n_members=3).fit(*rows)
    whole, cache = tmp_path / "whole", tmp_path / "cache"
    ensemble_of(whole, n_members=3).fit(*rows)
    corruptions = [*CORRUPTIONS] * 5 + ["a bit", "cut"] * 20
    assert len(corruptions) >= 100
    for name in corruptions:
        shutil.copytree(whole, cache)
        paths = entries(cache)
        path = paths.pop(rng.integers(len(paths)))
        CORRUPTIONS[name](path, paths, rng)
        with pytest.warns(UserWarning, match=r"left aside and will be made anew"):
            found = ensemble_of(cache, n_members=3).fit(*rows)
        assert_same(found, expected)
        shutil.rmtree(cache)


def test_an_entry_of_another_layout(rows, tmp_path):
    # Its digest is right, as of an entry of another release of this package.
    first = ensemble_of(tmp_path).fit(*rows)
    for path in entries(tmp_path):
        with safe_open(path, framework="numpy") as file:
            key = file.metadata()["key"]
            arrays = {name: file.get_tensor(name) for name in file.keys()}
        arrays["predictions"] = arrays["predictions"].astype(np.int64)
        MemberStore(tmp_path).write(key, arrays)
    with pytest.warns(UserWarning, match=r"its array 'predictions' is not int32 of shape \(61,\)"):
        assert_same(ensemble_of(tmp_path).fit(*rows), first)


# ------------------------------------------------------------------------------ unusable folders


def never(record, X, codes, trained_on):
    raise AssertionError("a member was trained")


def test_an_unusable_folder_is_found_before_the_first_member(rows, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for cache_dir in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(OSError, match=r"cache_dir='.*file.*' cannot hold results: .*to None"):
            ensemble_of(cache_dir, readout=never).fit(*rows)
    with pytest.raises(OSError, match="cache_dir="):
        ConsistencyScorer(cache_dir=tmp_path / "file", random_state=0).fit(*rows)

    def read_only(path, *args, **kwargs):
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    # Whoever runs the tests may be allowed everything.
    monkeypatch.setattr(Path, "open", read_only)
    with pytest.raises(PermissionError, match=r"cache_dir=.*Read-only"):
        ensemble_of(tmp_path / "cache", readout=never).fit(*rows)


def test_a_complete_cache_may_be_read_only(rows, tmp_path, monkeypatch):
    first = ensemble_of(tmp_path).fit(*rows)
    monkeypatch.setattr(Path, "open", lambda *args: pytest.fail("written"))
    assert_same(ensemble_of(tmp_path).fit(*rows), first)


def test_home_is_expanded(rows, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    ensemble_of("~/members").fit(*rows)
    assert len(entries(tmp_path / "members")) == N_MEMBERS
    assert not Path("~").exists()


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_a_disk_that_fills_up_costs_no_member(rows, tmp_path, monkeypatch, backend):
    expected = ensemble_of(None, backend=backend).fit(*rows)
    write, n_written = MemberStore.write, []

    def fills_up(store, key, arrays):
        if len(n_written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        n_written.append(key)
        write(store, key, arrays)

    with monkeypatch.context() as patched:
        patched.setattr(MemberStore, "write", fills_up)
        with pytest.warns(UserWarning, match="No space left on device") as caught:
            assert_same(ensemble_of(tmp_path, backend=backend).fit(*rows), expected)
    assert len(caught) == 1
    assert len(entries(tmp_path)) == 2
    assert_same(ensemble_of(tmp_path, backend=backend).fit(*rows), expected)


# ------------------------------------------------------------------------------ other processes


def test_killed_at_any_moment_it_goes_on_to_the_same_numbers(rows, tmp_path):
    rng = np.random.default_rng(0)
    epochs = {"max_epochs": 15}
    expected = {b: ensemble_of(None, backend=b, **epochs).fit(*rows) for b in ("stacked", "joblib")}
    longest, counts = {}, []
    for attempt in range(N_KILLS):
        settings = {**KINDS[attempt % len(KINDS)], **epochs}
        number = SIGNALS[attempt // len(KINDS) % 3] if N_KILLS >= 12 else SIGNALS[attempt % 3]
        kind = str(settings)
        if kind not in longest:
            begin = time.monotonic()
            timed = tmp_path / f"timed {len(longest)}"
            assert ended(started(fit_here, rows, timed, settings)) == [0]
            longest[kind] = time.monotonic() - begin
        cache = tmp_path / str(attempt)
        process = started(fit_here, rows, cache, settings)
        time.sleep(rng.uniform(0, longest[kind]))
        send(process, number)
        process.join(10)
        # joblib's pools may wait for ever for a worker that a signal struck: schedulers kill then.
        send(process, signal.SIGKILL)
        process.join()
        counts.append((number.name, *settings.values(), process.exitcode, len(entries(cache))))
        with warnings.catch_warnings(action="error"):
            assert_same(
                ensemble_of(cache, **{**settings, "n_jobs": 1}).fit(*rows),
                expected[settings["backend"]],
            )
        assert len(entries(cache)) == N_MEMBERS
    print(*counts, sep="\n")


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_two_processes_share_a_cache(rows, tmp_path, backend):
    settings = {"backend": backend, "max_epochs": 3}
    barrier = FRESH.Barrier(2)
    both = [started(fit_here, rows, tmp_path, settings, None, barrier) for _ in range(2)]
    assert ended(*both) == [0, 0]
    assert len(entries(tmp_path)) == N_MEMBERS == len(list(tmp_path.iterdir()))
    with warnings.catch_warnings(action="error"):
        found = ensemble_of(tmp_path, readout=None, **settings).fit(*rows)
    assert_same(found, ensemble_of(None, **settings).fit(*rows))


@pytest.mark.parametrize(("n_bytes", "exitcode"), [(100, 2), (1500, 0), (10**6, 0)])
def test_files_that_may_not_become_large(rows, tmp_path, n_bytes, exitcode):
    assert ended(started(fit_here, rows, tmp_path, {}, n_bytes)) == [exitcode]
    # Found before the first member, or after each, of which nothing is left.
    assert len(entries(tmp_path)) == (N_MEMBERS if n_bytes > 10**5 else 0)
    assert len(list(tmp_path.iterdir())) == len(entries(tmp_path))
    with warnings.catch_warnings(action="error"):
        assert_same(ensemble_of(tmp_path).fit(*rows), ensemble_of(None).fit(*rows))
