# SPDX-License-Identifier: BSD-3-Clause
"""Jobs on a cluster: work that a worker takes with it is done again, errors come back, no hang."""

import tempfile
import threading

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from small_nets import make_net

from sklearn_difficulty import ConsistencyScorer, VoGScorer
from sklearn_difficulty._jobs import as_they_come
from sklearn_difficulty.model_selection import benchmark_scorers, cross_val_difficulty
from sklearn_difficulty.training import MLP
from sklearn_difficulty.training.ensemble.resampled import ResampledEnsemble

N_JOBS = 5
X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=tmp_path_factory.mktemp("dask"),
    )
    with cluster, distributed.Client(cluster) as client, joblib.parallel_config(backend="dask"):
        yield client


@pytest.fixture
def ray(monkeypatch):
    ray = pytest.importorskip("ray")
    from joblib.pool import PicklingPool
    from ray.util.joblib import register_ray

    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv("RAY_TQDM_PATCH_PRINT", "0")  # fitted networks, which hold it, are pickled
    bases = PicklingPool.__bases__
    with tempfile.TemporaryDirectory() as folder:  # a short path, as sockets need
        settings = {"include_dashboard": False, "log_to_driver": False, "_temp_dir": folder}
        try:
            ray.init(num_cpus=2, **settings)
        except Exception as error:  # its servers need ports and shared memory
            pytest.skip(f"ray cannot be started here: {error}")
        register_ray()
        try:
            with joblib.parallel_config(backend="ray", n_jobs=2):
                yield
        finally:
            ray.shutdown()
            PicklingPool.__bases__ = bases  # which ray's backend puts its own pool into


# What follows is made in functions, since workers cannot import this module.


def killing(folder):
    """Return a function that notes a job's name, and kills its process once, at the third name."""

    def strike(name):
        import os
        import signal
        import time

        with (folder / name).open("a") as file:
            file.write("done\n")
        if len(list(folder.iterdir())) >= 3 and not (folder.parent / "killed").exists():
            (folder.parent / "killed").touch()
            time.sleep(1)  # until what this process has finished was fetched
            os.kill(os.getpid(), signal.SIGKILL)

    return strike


def members(strike):
    def read(record, X, codes, trained_on):
        import joblib

        strike(joblib.hash(trained_on))
        return {}

    sizes = {"module__n_inputs": 4, "module__n_outputs": 2, "module__hidden_units": (8,)}
    net = make_net(module=MLP, max_epochs=2, **sizes)
    settings = {"n_members": N_JOBS, "train_size": 0.8, "random_state": 0, "readout": read}
    ensemble = ResampledEnsemble(net, backend="joblib", **settings).fit(X, Y)
    return ensemble.predictions_, ensemble.given_probability_


def scorer_that(strike):
    class Distance(BaseEstimator):
        def fit(self, X, y):
            import joblib
            import numpy as np

            strike(joblib.hash(y))
            self.center_ = np.mean(X, axis=0)
            self.difficulty_ = self.score_samples(X, y)
            return self

        def score_samples(self, X, y=None):
            return ((X - self.center_) ** 2).sum(axis=1) + y

    return Distance()


def folds(strike):
    return cross_val_difficulty(scorer_that(strike), X, Y, cv=N_JOBS, random_state=0)


def repeats(strike):
    settings = {"rate": 0.1, "n_repeats": N_JOBS, "random_state": 0}
    table = benchmark_scorers(X, Y, {"distance": scorer_that(strike)}, **settings)
    return tuple(table[name] for name in table.dtype.names[1:-1])  # without name and seconds


@pytest.mark.slow
@pytest.mark.parametrize("work", [members, folds, repeats])
def test_work_of_a_killed_worker_is_done_again_and_no_other(work, dask, tmp_path):
    folder = tmp_path / "jobs"
    folder.mkdir()
    on_cluster = work(killing(folder))
    assert (tmp_path / "killed").exists()
    n_done = sorted(len(path.read_text().splitlines()) for path in folder.iterdir())
    assert n_done == [1] * (N_JOBS - 1) + [2]
    with joblib.parallel_config(backend="sequential"):
        assert_array_equal(on_cluster, work(lambda name: None))


@pytest.mark.slow
def test_work_of_a_killed_worker_of_ray_is_done_again(ray, tmp_path):
    folder = tmp_path / "jobs"
    folder.mkdir()
    on_cluster = members(killing(folder))
    assert (tmp_path / "killed").exists()
    n_done = [len(path.read_text().splitlines()) for path in folder.iterdir()]
    assert len(n_done) == N_JOBS
    assert sum(n_done) <= N_JOBS + 2  # ray gives out two at a time
    with joblib.parallel_config(backend="sequential"):
        assert_array_equal(on_cluster, members(lambda name: None))


def reading(scorer, folder, client):
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


def test_rows_are_read_where_they_lie(dask, tmp_path):
    pytest.importorskip("dask.array")
    pytest.importorskip("pyarrow")
    with joblib.parallel_config(backend="sequential"):
        scorer = VoGScorer(checkpoints=2, random_state=0).fit(X, Y)
    for read in reading(scorer, tmp_path, dask):
        assert_allclose(read, scorer.score_samples(X), atol=1e-4)


def test_jobs_inside_of_jobs(dask):
    def scores():
        scorer = ConsistencyScorer(
            make_net(max_epochs=1), n_members=10, backend="joblib", n_jobs=2, random_state=0
        )
        return cross_val_difficulty(scorer, X, Y, cv=2, n_jobs=4, random_state=0)

    with joblib.parallel_config(backend="sequential"):
        alone = scores()
    assert_array_equal(scores(), alone)


class Unpicklable:
    def __init__(self):
        self.lock = threading.Lock()


class Unloadable:
    def __reduce__(self):
        return __import__, ("no_such_module",)


def test_a_result_that_cannot_be_sent_raises(dask):
    def lock():
        import threading

        return threading.Lock()

    with pytest.raises(TypeError, match="cannot pickle"):
        list(as_they_come(lock, lambda k: (), 3, None))


def test_a_job_that_cannot_be_sent_raises(dask):
    with pytest.raises(TypeError, match="cannot pickle") as raised:
        list(as_they_come(Unpicklable().__eq__, lambda k: (k,), 3, None))
    assert "pickled for a cluster" in raised.value.__notes__[0]


def test_a_job_that_cannot_be_read_there_raises(dask):
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        list(as_they_come(Unloadable().__eq__, lambda k: (k,), 3, None))


def test_an_error_in_a_job_comes_back_with_its_place(dask, tmp_path):
    def fail(name):
        (tmp_path / name).touch()
        raise ArithmeticError("of the user")

    with pytest.raises(ArithmeticError, match="of the user") as raised:
        members(fail)
    assert any("in member" in note for note in raised.value.__notes__)
