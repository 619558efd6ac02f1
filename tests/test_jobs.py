# SPDX-License-Identifier: BSD-3-Clause
"""Jobs that are lost with a worker: handed out again, but not forever."""

import threading
import time
from concurrent.futures import Future

import joblib
import pytest
from joblib._parallel_backends import ThreadingBackend
from joblib.externals.loky.process_executor import TerminatedWorkerError

from sklearn_difficulty._jobs import as_they_come


def losing(n_times, number):
    """Return work whose job of a number loses its worker some times, as loky says it."""
    done, lock = [], threading.Lock()

    def work(k):
        with lock:
            done.append(k)
        if k == number and done.count(k) <= n_times:
            time.sleep(0.1)  # until what others have finished was fetched
            raise TerminatedWorkerError("killed")
        return 10 * k

    return work, done


def test_a_lost_job_is_done_again():
    work, done = losing(2, number=5)
    with joblib.parallel_config(backend="threading"), pytest.warns(UserWarning, match="lost"):
        found = dict(as_they_come(work, lambda k: (k,), 6, 2))
    assert found == {k: 10 * k for k in range(6)}
    assert sorted(done) == [0, 1, 2, 3, 4, 5, 5, 5]


def test_a_job_that_is_lost_again_and_again_ends_with_advice():
    work, done = losing(100, number=5)
    with (
        joblib.parallel_config(backend="threading"),
        pytest.warns(UserWarning, match="1 of 6 jobs are handed out again"),
        pytest.raises(TerminatedWorkerError, match="killed") as raised,
    ):
        list(as_they_come(work, lambda k: (k,), 6, 2))
    assert "take fewer jobs at a time" in raised.value.__notes__[0]
    assert sorted(done) == [0, 1, 2, 3, 4, 5, 5, 5, 5]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_of_a_job_is_not_tried_again(n_jobs):
    done = []

    def work(k):
        done.append(k)
        raise ArithmeticError("of the user")

    with joblib.parallel_config(backend="threading"), pytest.raises(ArithmeticError):
        list(as_they_come(work, lambda k: (k,), 6, n_jobs))
    assert len(done) == len(set(done))


def test_backends_that_cannot_yield_get_one_pool(monkeypatch):
    backend, n_pools = joblib.parallel.BACKENDS["threading"], []
    configure = backend.configure
    monkeypatch.setattr(backend, "supports_return_generator", False)
    monkeypatch.setattr(
        backend, "configure", lambda *args, **kw: n_pools.append(1) or configure(*args, **kw)
    )
    with joblib.parallel_config(backend="threading"):
        found = list(as_they_come(lambda k: 10 * k, lambda k: (k,), 5, 2))
    assert found == [(k, 10 * k) for k in range(5)]
    assert len(n_pools) == 1


class DaskDistributedBackend(ThreadingBackend):
    """One that, as joblib's for dask, calls nobody back about a job that was given up."""

    def submit(self, batch, callback=None):
        future = Future()
        future.get = future.result
        future.set_exception(ArithmeticError("given up"))
        return future

    apply_async = submit  # before joblib 1.5


def test_a_job_that_dask_gives_up_raises():
    with (
        joblib.parallel_config(backend=DaskDistributedBackend()),
        pytest.raises(ArithmeticError, match="given up"),
    ):
        list(as_they_come(lambda k: k, lambda k: (k,), 3, 2))
