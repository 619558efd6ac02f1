# SPDX-License-Identifier: BSD-3-Clause
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import distributed
from torch import multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from sklearn_difficulty import TrainingDynamicsScorer, TrainingRecord
from sklearn_difficulty.training import TrajectoryRecorder, merge_trajectories

FLOATS = ("probability", "margin", "loss", "el2n")
N = 11  # odd: one row is seen by both processes


@pytest.fixture
def epochs():
    """Return logits (2 epochs, 4 rows, 3 classes) and labels."""
    return torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor(
        [0, 2, 1, 1]
    )


def record(epochs, rows_of_epochs, **settings):
    """Return what a process that saw some rows in every epoch recorded of them."""
    logits, y = epochs
    recorder = TrajectoryRecorder(len(y), keep_logits=True, **settings)
    for z, rows in zip(logits, rows_of_epochs, strict=True):
        recorder.update(rows, z[rows], y[rows])
        recorder.end_epoch()
    return recorder.trajectory()


def test_parts_are_put_together(epochs):
    whole = record(epochs, [[0, 1, 2, 3]] * 2)
    parts = [record(epochs, [[0, 3], [1, 2]]), record(epochs, [[1], [0]])]
    parts.append(record(epochs, [[2], [3]]))
    merged = merge_trajectories(parts)
    for name in (*FLOATS, "predicted", "count", "targets", "logits"):
        assert_array_equal(getattr(merged, name), getattr(whole, name), err_msg=name)
    records = [TrainingRecord.from_trajectory(part, classes=[0, 1, 2]) for part in parts]
    assert_array_equal(merge_trajectories(records).loss, whole.loss)


def test_a_row_of_several_processes_has_the_mean_over_its_sightings(epochs):
    logits, y = epochs
    twice = record((logits, y), [[0, 0], [0]])
    other = record((logits + torch.eye(3)[0], y), [[0], [1]])
    merged = merge_trajectories([twice, other])
    assert merged.count[:, 0].tolist() == [3, 1]
    expected = (2 * twice.loss[0, 0] + other.loss[0, 0]) / 3
    assert_allclose(merged.loss[0, 0], expected, rtol=1e-6)
    assert merged.loss[1, 0] == twice.loss[1, 0]
    assert np.isnan(merged.loss[:, 2:]).all()
    assert merged.targets.tolist() == [0, 2, -1, -1]
    assert_array_equal(merged.logits[0, 0], other.logits[0, 0])


@pytest.mark.parametrize("outputs", ["logits", "values"])
def test_a_process_may_have_seen_no_row(outputs, epochs, tmp_path):
    if outputs == "values":
        epochs = epochs[0], torch.randn(4, 3)
    kinds = {"classes": None if outputs == "values" else [0, 1, 2], "outputs": outputs}
    saw = record(epochs, [[0, 3], [1, 2]], outputs=outputs)
    idle = TrajectoryRecorder(4, outputs=outputs, keep_logits=True)
    idle.end_epoch()
    idle.end_epoch()
    with pytest.warns(UserWarning, match="No batch was recorded"):
        nothing = idle.trajectory()
    TrainingRecord.from_trajectory(nothing, **kinds).save(tmp_path / "idle")
    parts = [TrainingRecord.load(tmp_path / "idle"), TrainingRecord.from_trajectory(saw, **kinds)]
    for order in (parts, parts[::-1]):
        merged = merge_trajectories(order)
        for name in (*FLOATS, "predicted", "count", "targets", "logits"):
            assert_array_equal(getattr(merged, name), getattr(saw, name), err_msg=name)
    alone = merge_trajectories(parts[:1])
    assert np.isnan(alone.loss).all()
    assert not alone.count.any()


def test_parts_of_other_trainings_are_refused(epochs):
    logits, y = epochs
    part = record(epochs, [[0, 1], [2, 3]])
    shorter = record((logits[:1], y), [[0]])
    with pytest.raises(ValueError, match="2 epochs of 4 rows, part 2 1 of 4"):
        merge_trajectories([part, shorter])
    first, second = (record((logits, y + of), [[0], [3]]) for of in (0, torch.tensor([0, 0, 0, 1])))
    with pytest.raises(ValueError, match=r"1 row.*label in part 3 than before, first row 3"):
        merge_trajectories([record(epochs, [[1], [2]]), first, second])
    with pytest.raises(ValueError, match="another mode"):
        merge_trajectories([part, record(epochs, [[0], [1]], mode="evaluation")])
    with pytest.raises(ValueError, match="another keep_logits"):
        merge_trajectories([part, replace(part, logits=None)])
    for parts in ([], part):
        with pytest.raises(ValueError, match="must be a list"):
            merge_trajectories(parts)
    with pytest.raises(TypeError, match="a record without"):
        merge_trajectories([TrainingRecord(None, [])])
    with pytest.raises(TypeError, match=re.escape("got str")):
        merge_trajectories(["part-0"])


def train_a_part(rank, folder):
    """Train on half of the batches and save what was recorded: one of two processes."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    X, y = torch.arange(N).float()[:, None] / N, torch.arange(N) % 2
    torch.manual_seed(0)
    module = DistributedDataParallel(torch.nn.Linear(1, 2))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    dataset = TensorDataset(torch.arange(N), X, y)
    sampler = DistributedSampler(dataset, num_replicas=2, rank=rank, seed=0)
    recorder = TrajectoryRecorder(N)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        for ids, rows, labels in DataLoader(dataset, batch_size=3, sampler=sampler):
            logits = module(rows)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, labels).backward()
            optimizer.step()
            recorder.update(ids, logits, labels)
        recorder.end_epoch()
    TrainingRecord.from_trajectory(recorder.trajectory()).save(f"{folder}/part-{rank}")
    distributed.destroy_process_group()


def test_distributed_data_parallel_training(tmp_path):
    # Forked, as importing torch anew would take seconds.
    mp.start_processes(train_a_part, args=(str(tmp_path),), nprocs=2, start_method="fork")
    parts = [TrainingRecord.load(tmp_path / f"part-{rank}") for rank in (0, 1)]
    merged = merge_trajectories(parts)
    assert merged.count.sum(axis=1).tolist() == [12] * 3  # a row is added so that all have six
    assert (merged.count >= 1).all()
    assert merged.targets.tolist() == [i % 2 for i in range(N)]
    assert np.isfinite(merged.loss).all()
    X, y = np.arange(N)[:, None] / N, np.arange(N) % 2
    scorer = TrainingDynamicsScorer(TrainingRecord.from_trajectory(merged), measure="loss")
    assert_allclose(scorer.fit(X, y).difficulty_, merged.loss.mean(axis=0), rtol=0.2)
