# SPDX-License-Identifier: BSD-3-Clause
"""Which epochs are kept, wherever training stops; files that are complete or absent."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklearn_difficulty.training.checkpoint_store import CheckpointStore
from sklearn_difficulty.training.checkpoints import CheckpointPlan, copy_state
from sklearn_difficulty.training.files.folders import write_atomically

MODULE = nn.Linear(1, 1)


def run(plan, n_planned, n_ran, directory=None):
    """Return the epochs that a run leaves, and the most that were kept at any moment."""
    store, most = CheckpointStore(plan, n_planned, directory), 0
    for epoch in range(n_ran + 1):
        store.offer(epoch, MODULE)
        most = max(most, len(store._kept))
    return [checkpoint.epoch for checkpoint in store.finish(n_ran)], most


@pytest.mark.parametrize(
    ("spec", "n_epochs", "expected"),
    [
        (1, 7, [7]),
        (2, 7, [4, 7]),
        (3, 9, [3, 6, 9]),
        (7, 7, [1, 2, 3, 4, 5, 6, 7]),
        (10, 4, [1, 2, 3, 4]),
        (np.int64(2), 4, [2, 4]),
        ("early", 9, [1, 2, 3]),
        ("early", 2, [1, 2]),
        ("late", 9, [7, 8, 9]),
        ("late", 2, [1, 2]),
        ("all", 4, [1, 2, 3, 4]),
        ([5, 0, 2, 2], 9, [0, 2, 5]),
        (np.array([1, 3]), 3, [1, 3]),
        ((e for e in (0, 1)), 3, [0, 1]),
    ],
)
def test_complete_run_keeps_what_was_asked_for(spec, n_epochs, expected):
    plan = CheckpointPlan.of(spec)
    assert sorted(plan.planned(n_epochs)) == expected
    assert run(plan, n_epochs, n_epochs)[0] == expected
    assert plan.select(range(n_epochs + 1), n_epochs) == expected


@pytest.mark.parametrize(
    "spec", [0, -1, 2.5, True, "10", "last", [], [-1], [1.5], [True], ["1"], None, {"a": 1}]
)
def test_bad_spec_is_named(spec):
    with pytest.raises(ValueError, match="checkpoints must be a positive int") as error:
        CheckpointPlan.of(spec)
    assert repr(spec) in str(error.value)


def test_epoch_beyond_the_run_is_refused():
    with pytest.raises(ValueError, match="epoch 9, but the network trains for 5 epochs"):
        CheckpointPlan.of([1, 9]).check_within(5)


@settings(max_examples=300, deadline=None)
@given(k=st.integers(1, 12), planned=st.integers(1, 60), data=st.data())
def test_early_stop_leaves_an_even_selection(k, planned, data):
    stop = data.draw(st.integers(1, planned))
    epochs, most = run(CheckpointPlan.of(k), planned, stop)
    n = min(k, stop)
    assert len(epochs) == n
    assert epochs[-1] == stop
    # No hole is more than twice that of perfectly even spacing.
    assert max(np.diff([0, *epochs])) <= 2 * math.ceil(stop / n)
    assert most <= 2 * k


@settings(max_examples=100, deadline=None)
@given(
    specs=st.lists(
        st.one_of(
            st.integers(1, 6),
            st.sampled_from(["early", "late"]),
            st.lists(st.integers(0, 12), min_size=1, max_size=4),
        ),
        min_size=1,
        max_size=4,
    ),
    data=st.data(),
)
def test_union_serves_every_reader_at_any_stop(specs, data):
    planned = data.draw(st.integers(12, 40))
    stop = data.draw(st.integers(1, planned))
    plan = CheckpointPlan()
    for spec in specs:
        plan |= CheckpointPlan.of(spec)
    epochs, most = run(plan, planned, stop)
    for spec in specs:
        chosen = CheckpointPlan.of(spec).select(epochs, stop, strict=False)
        if isinstance(spec, int):
            assert len(chosen) == min(spec, stop)
            assert chosen[-1] == stop
        elif spec == "late":
            assert chosen == list(range(max(1, stop - 2), stop + 1))
        elif spec == "early":
            assert chosen == list(range(1, min(3, stop) + 1))
        else:
            assert chosen == sorted({e for e in spec if e <= stop})
    named = {e for s in specs if isinstance(s, list) for e in s}
    numbers = [s for s in specs if isinstance(s, int)]
    windows = 3 * len({s for s in specs if isinstance(s, str)})
    assert most <= 2 * max(numbers, default=0) + sum(numbers) + len(named) + windows


def test_named_epochs_do_not_take_the_room_of_even_ones():
    even, named = CheckpointPlan.of(3), CheckpointPlan.of(list(range(1, 11)))
    alone, _ = run(even, 100, 60)
    together, _ = run(even | named, 100, 60)
    assert max(np.diff([0, *even.select(together, 60)])) <= max(np.diff([0, *alone]))


@pytest.mark.parametrize(
    ("spec", "missing", "setting"),
    [
        ("late", r"\[8\]", "checkpoints='late'"),
        ("early", r"\[1, 2, 3\]", "checkpoints='early'"),
        ([0, 9], r"\[0\]", r"checkpoints=\[0, 9\]"),
        ("all", None, None),
        (5, None, None),
    ],
)
def test_select_names_what_is_missing_and_the_setting(spec, missing, setting):
    plan, available = CheckpointPlan.of(spec), [5, 7, 9]
    if missing is None:  # an int takes what there is, "all" all there is
        assert plan.select(available, 9) == available
        return
    with pytest.raises(ValueError, match=rf"needs epochs {missing}.*RecordTraining\({setting}\)"):
        plan.select(available, 9)


def test_the_last_target_is_served_first():
    # 7, 5 and 3 are wanted: 5 goes to its own target before the target 3 could take it.
    assert CheckpointPlan.of(3).select((1, 5, 6, 7), 7) == [1, 5, 7]


def test_union_forgets_duplicates():
    plan = CheckpointPlan.of(3) | CheckpointPlan.of("late") | CheckpointPlan.of(3)
    assert plan.specs == (3, "late")
    assert CheckpointPlan.of(plan) is plan


# ------------------------------------------------------------------------------------- on disk


def test_files_are_those_that_are_kept(tmp_path):
    epochs, _ = run(CheckpointPlan.of(2), 10, 7, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"epoch-{epoch:05d}.safetensors" for epoch in epochs
    ]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_crash_in_the_middle_of_a_write_leaves_nothing(tmp_path, monkeypatch, error):
    def half(path, content):
        with path.open("wb") as file:
            file.write(content[:20])
        raise error

    store = CheckpointStore(CheckpointPlan.of("all"), 3, tmp_path)
    store.offer(1, MODULE)
    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(type(error)):
        store.offer(2, MODULE)
    assert [p.name for p in tmp_path.iterdir()] == ["epoch-00001.safetensors"]
    assert [c.epoch for c in store.finish(2)] == [1]


def test_written_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "file", lambda part: part.touch())
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_discard_removes_files(tmp_path):
    store = CheckpointStore(CheckpointPlan.of(2), 3, tmp_path)
    store.offer(1, MODULE)
    store.discard()
    assert not list(tmp_path.iterdir())


def test_state_in_memory_is_a_copy():
    module = nn.Linear(2, 2)
    state = copy_state(module)
    before = module.weight.detach().clone()
    with torch.no_grad():
        module.weight.add_(1)
    assert torch.equal(state["weight"], before)


def test_compiled_module_keeps_plain_names():
    wrapper = nn.Module()  # as torch.compile makes it
    wrapper._orig_mod = nn.Linear(2, 2)
    assert set(copy_state(wrapper)) == {"weight", "bias"}
