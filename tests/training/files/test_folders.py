# SPDX-License-Identifier: BSD-3-Clause
"""A folder is there as a whole or not at all, and what dead writers left is removed."""

import errno
import fcntl
import multiprocessing
import os
import resource
from pathlib import Path

import pytest
from torch import nn

from sklearn_difficulty import TrainingRecord
from sklearn_difficulty.training.checkpoint_store import CheckpointStore
from sklearn_difficulty.training.checkpoints import CheckpointPlan
from sklearn_difficulty.training.files.folders import new_folder, write_atomically


def abandoned(target, token="0123abcd"):
    """Make the hidden folder that a killed writer leaves."""
    part = target.with_name(f".{target.name}-{token}.part")
    part.mkdir()
    (part / "half").write_text("ha")
    return part


def test_what_killed_writers_left_is_removed(tmp_path):
    target = tmp_path / "record"
    abandoned(target)
    abandoned(target, "76543210")
    others = {
        abandoned(tmp_path / "record-1"),
        abandoned(tmp_path / "other"),
        abandoned(target, "notours"),
        tmp_path / ".record-00000000.part",
    }
    (tmp_path / ".record-00000000.part").write_text("a file")
    (tmp_path / ".record-11111111.part").symlink_to(tmp_path)
    others.add(tmp_path / ".record-11111111.part")
    with new_folder(target) as part:
        (part / "whole").touch()
    assert set(tmp_path.iterdir()) == others | {target}
    assert [path.name for path in target.iterdir()] == ["whole"]


def test_living_writers_are_left_alone(tmp_path):
    target = tmp_path / "record"
    slow = new_folder(target)
    first = slow.__enter__()
    with new_folder(target) as second:
        (second / "whole").touch()
        assert first.exists()
    with pytest.raises(FileExistsError, match="is not empty"):
        slow.__exit__(None, None, None)
    assert [path.name for path in target.iterdir()] == ["whole"]
    assert list(tmp_path.iterdir()) == [target]


def test_file_systems_without_locks(tmp_path, monkeypatch):
    def no_locks(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    left = abandoned(tmp_path / "record")
    with new_folder(tmp_path / "record") as part:
        (part / "whole").touch()
    assert left.exists()  # whether its writer lives cannot be told
    assert (tmp_path / "record" / "whole").exists()


def test_no_file_stays_open(tmp_path):
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None
    for name in ("a", "b"):
        abandoned(tmp_path / name)
        with new_folder(tmp_path / name) as part:
            (part / "whole").touch()
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_full_disk_names_the_target_and_leaves_nothing(tmp_path, monkeypatch, number, kind):
    def full(path, content):
        path.touch()
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="target") as error:  # noqa: PT012  # what is left is tested
        if kind == "file":
            write_atomically(tmp_path / "target", lambda part: part.write_bytes(b""))
        else:
            with new_folder(tmp_path / "target") as part:
                (part / "file").write_bytes(b"")
    assert error.value.errno == number
    assert not list(tmp_path.iterdir())


def write_limited(folder, found):
    """Save a record and a checkpoint where files may have 1,000 bytes, and say what happens."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    module = nn.Linear(100, 10)
    record = TrainingRecord(module, [], classes=range(10))
    store = CheckpointStore(CheckpointPlan.of("all"), 3, folder / "checkpoints")
    for write in (lambda: record.save(folder / "record"), lambda: store.offer(1, module)):
        try:
            write()
        except OSError as error:
            found.send((error.errno, error.filename))


def test_files_that_may_not_grow(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    fork = multiprocessing.get_context("fork")  # the limit is one of the process
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=write_limited, args=(tmp_path, sender))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert receiver.recv() == (errno.EFBIG, str(tmp_path / "record"))
    path = tmp_path / "checkpoints" / "epoch-00001.safetensors"
    assert receiver.recv() == (errno.EFBIG, str(path))
    assert list(tmp_path.rglob("*")) == [tmp_path / "checkpoints"]
