# SPDX-License-Identifier: BSD-3-Clause
"""Members on a cluster that loses a worker in mid-run: its member is done again, others kept."""

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from small_nets import make_net

from sklearn_difficulty import VoGScorer
from sklearn_difficulty.training import MLP
from sklearn_difficulty.training.ensemble.resampled import ResampledEnsemble

N_MEMBERS = 5


def killing(folder):
    """Return a readout that kills its process once, while it reads the third member."""

    def read(record, X, codes, trained_on):  # not of this module, which workers cannot import
        import os
        import signal
        import time

        import joblib

        with (folder / joblib.hash(trained_on)).open("a") as file:
            file.write("trained\n")
        if len(list(folder.iterdir())) >= 3 and not (folder.parent / "killed").exists():
            (folder.parent / "killed").touch()
            time.sleep(1)  # until what this process has finished was fetched
            os.kill(os.getpid(), signal.SIGKILL)
        return {}

    return read


def ensemble(**settings):
    sizes = {"module__n_inputs": 4, "module__n_outputs": 2, "module__hidden_units": (8,)}
    net = make_net(module=MLP, max_epochs=2, **sizes)
    settings = {"n_members": N_MEMBERS, "train_size": 0.8, "random_state": 0, **settings}
    return ResampledEnsemble(net, backend="joblib", **settings)


def reading(scorer, X, folder, client):
    """Yield the scores of rows that workers read, each out of the part of a file that it opens."""
    import dask
    import dask.array as da
    import pyarrow as pa
    import pyarrow.parquet as pq

    stack, mapped, table = (str(folder / name) for name in ("stack", "rows.npy", "rows.parquet"))
    da.to_npy_stack(stack, da.from_array(X, chunks=(20, 4)))
    np.save(mapped, X)
    columns = pa.table({f"x{i}": X[:, i] for i in range(4)})
    pq.write_table(columns, table, row_group_size=20)
    blocks = da.from_npy_stack(stack)

    def of_block(block, scorer):
        return scorer.score_samples(block)

    lazy = dask.delayed(scorer)  # sent once, not with every block
    yield blocks.map_blocks(
        of_block, scorer=lazy, drop_axis=1, meta=np.empty(0, "float32")
    ).compute()

    def of_map(start):
        return scorer.score_samples(np.load(mapped, mmap_mode="r")[start : start + 20])

    def of_dataset(start):
        from torch.utils.data import StackDataset, Subset

        rows = StackDataset(np.load(mapped, mmap_mode="r"), np.zeros(60, int))  # (x, y) pairs
        return scorer.score_samples(Subset(rows, range(start, start + 20)))

    def of_row_group(start):
        part = pq.ParquetFile(table).read_row_group(start // 20)
        return scorer.score_samples(part.to_pandas().to_numpy())

    for read in (of_map, of_dataset, of_row_group):
        yield np.concatenate(client.gather(client.map(read, range(0, 60, 20))))


def test_a_killed_worker_of_dask_and_rows_read_there(tmp_path):
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("dask.array")
    pytest.importorskip("pyarrow")
    X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    folder = tmp_path / "members"
    folder.mkdir()
    cluster = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=tmp_path,
    )
    with cluster, distributed.Client(cluster) as client, joblib.parallel_config(backend="dask"):
        on_cluster = ensemble(readout=killing(folder)).fit(X, y)
        scorer = VoGScorer(checkpoints=2, random_state=0).fit(X, y)
        for read in reading(scorer, X, tmp_path, client):
            assert_allclose(read, scorer.score_samples(X), atol=1e-4)
    assert (tmp_path / "killed").exists()
    n_trained = sorted(len(path.read_text().splitlines()) for path in folder.iterdir())
    assert n_trained == [1] * (N_MEMBERS - 1) + [2]
    alone = ensemble().fit(X, y)
    assert_array_equal(on_cluster.predictions_, alone.predictions_)
    assert_array_equal(on_cluster.given_probability_, alone.given_probability_)
