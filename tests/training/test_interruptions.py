# SPDX-License-Identifier: BSD-3-Clause
"""Signals interrupt a training wherever they strike; callbacks may stop it."""

import os
import signal
import threading

import pytest
from numpy.testing import assert_array_equal
from skorch.callbacks import Callback, EarlyStopping

from sklearn_difficulty.training import ResampledEnsemble, TrainingRecord


class Preempted(Exception):
    """What a handler of a job scheduler's signal may raise."""


def raise_interrupt(*_):
    raise KeyboardInterrupt


def raise_own(*_):
    raise Preempted


def raise_in_place_of_it(*_):
    try:
        raise Preempted
    except Preempted:
        raise KeyboardInterrupt from None


@pytest.fixture
def handled():
    """Return a function that sets a handler of SIGUSR1; the one before is put back."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda handler: signal.signal(signal.SIGUSR1, handler)
    signal.signal(signal.SIGUSR1, before)


class Signal(Callback):
    """Sends a signal at the end of its second epoch, once in a process."""

    sent = False

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2 and not Signal.sent:
            Signal.sent = True
            os.kill(os.getpid(), signal.SIGUSR1)


@pytest.fixture(autouse=True)
def unsent():
    Signal.sent = False


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (raise_interrupt, KeyboardInterrupt),
        (raise_in_place_of_it, KeyboardInterrupt),
        (raise_own, Preempted),
    ],
)
def test_a_signal_inside_a_callback_is_no_early_stop(make_net, data, handled, handler, error):
    handled(handler)
    with pytest.raises(error):
        TrainingRecord.from_fit(make_net(callbacks=[Signal()]), *data)
    assert signal.getsignal(signal.SIGUSR1) is handler


def test_an_interrupted_member_is_not_kept(make_net, data, handled, tmp_path):
    def ensemble(cache):
        net = make_net(callbacks=[Signal()])
        return ResampledEnsemble(
            net, n_members=3, train_size=0.5, cache_dir=cache, random_state=0
        ).fit(*data)

    handled(lambda *_: None)
    expected = ensemble(None).given_probability_
    Signal.sent = False
    handled(raise_interrupt)
    with pytest.raises(KeyboardInterrupt):
        ensemble(tmp_path)
    assert not list(tmp_path.iterdir())
    assert_array_equal(ensemble(tmp_path).given_probability_, expected)


def test_a_signal_that_raises_nothing_leaves_early_stopping_alone(make_net, data, handled):
    seen = []
    handled(lambda *_: seen.append(1))
    patience = EarlyStopping(monitor="train_loss", patience=1, threshold=10)
    record = TrainingRecord.from_fit(
        make_net(max_epochs=20, callbacks=[Signal(), patience]), *data, random_state=0
    )
    assert seen == [1]
    assert 1 < record.n_epochs < 20


def test_a_handler_that_was_set_meanwhile_stays(make_net, data, handled):
    handled(raise_own)

    class Sets(Callback):
        def on_train_begin(self, net, **kwargs):
            handled(raise_interrupt)

    TrainingRecord.from_fit(make_net(callbacks=[Sets()]), *data)
    assert signal.getsignal(signal.SIGUSR1) is raise_interrupt


def test_other_threads_train_without_handlers(make_net, data):
    found = []
    net = make_net(callbacks=[EarlyStopping(monitor="train_loss", patience=1, threshold=10)])
    thread = threading.Thread(
        target=lambda: found.append(TrainingRecord.from_fit(net, *data).n_epochs)
    )
    thread.start()
    thread.join()
    assert found == [2]
