# SPDX-License-Identifier: BSD-3-Clause
"""Settings of torch and NumPy that the caller has made change no number, and are left alone."""

import warnings
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from readings import READERS, fitted_with, numbers_of
from skorch.callbacks import Callback
from small_nets import TwoLayers, make_net

from sklearn_difficulty import TrainingRecord, VoGScorer
from sklearn_difficulty.training import ResampledEnsemble, TrajectoryRecorder

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*module is an instance", "ignore:.*no defined difficulty"),
]


@contextmanager
def set_to(value, setter, getter):
    before = getter()
    setter(value)
    try:
        yield
    finally:
        setter(before)


def default_dtype(dtype):
    return set_to(dtype, torch.set_default_dtype, torch.get_default_dtype)


def deterministic():
    return set_to(
        True, torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled
    )


@contextmanager
def strict_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What the library itself says belongs to the tables of other tests.
        warnings.filterwarnings("ignore", "(?s).*(module is an instance|no defined difficulty)")
        yield


SETTINGS = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "device cpu": lambda: torch.device("cpu"),
    "device meta": lambda: torch.device("meta"),
    "set_default_device": lambda: set_to(
        "meta", torch.set_default_device, lambda: torch.get_default_device().type
    ),
    "deterministic": deterministic,
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True),
    "errstate": lambda: np.errstate(all="raise"),
    "warnings": strict_warnings,
}
# Gradients, statistics of passes, a stack of members, members one by one, probes and votes.
FEW = [*READERS[-4:], VoGScorer(checkpoints=2), *READERS[:3]]


def settings_now():
    """Return every setting that a fit could leave changed."""
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "grad": torch.is_grad_enabled(),
        "autocast": [torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")],
        "autocast dtype": torch.get_autocast_dtype("cpu"),
        "anomaly": torch.is_anomaly_enabled(),
        "precision": [
            backend.matmul.fp32_precision
            for backend in (torch.backends.cuda, torch.backends.mkldnn)
        ],
        "threads": torch.get_num_threads(),
        "errstate": np.geterr(),
        "warnings": list(warnings.filters),
        "torch": torch.get_rng_state().tolist(),
        "numpy": str(np.random.get_state()),
    }


@pytest.fixture(scope="module")
def net():
    # An instance, since the weights of a class are drawn in the default dtype.
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)
    module = TwoLayers()
    torch.set_rng_state(torch_state)
    return make_net(module=module, max_epochs=2)


@pytest.fixture(scope="module")
def plain(net, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [numbers_of(fitted_with(scorer, net, *data), *data) for scorer in FEW]


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_change_no_number_and_are_left_alone(name, net, data, plain):
    for scorer, expected in zip(FEW, plain, strict=True):
        with SETTINGS[name]():
            before = settings_now()
            found = numbers_of(fitted_with(scorer, net, *data), *data)
            assert settings_now() == before
        np.testing.assert_array_equal(found, expected)


class Failing(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise KeyError("a fault of the user's")


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_left_alone_by_fits_that_fail(name, net, data):
    failing = make_net(module=net.module, callbacks=[Failing()])

    def reads_wrong(*args):
        raise KeyError("a fault of the user's")

    faults = [(scorer, failing) for scorer in (FEW[0], FEW[-1])]
    faults.append((ResampledEnsemble(n_members=2, train_size=0.5, readout=reads_wrong), net))
    for estimator, source in faults:
        with SETTINGS[name]():
            before = settings_now()
            with pytest.raises(KeyError, match="a fault of the user's"):
                fitted_with(estimator, source, *data)
            assert settings_now() == before


@pytest.mark.parametrize("outer", [torch.inference_mode, torch.no_grad, nullcontext])
@pytest.mark.parametrize("inner", [torch.inference_mode, torch.no_grad, nullcontext])
def test_records_made_in_one_mode_are_read_in_another(outer, inner, data, net):
    with outer():
        module = TwoLayers()
        module.load_state_dict(net.module.state_dict())
        states = [module.state_dict(), {k: v / 2 for k, v in module.state_dict().items()}]
        records = [
            TrainingRecord.from_fit(make_net(module=module), *data, random_state=0),
            TrainingRecord.from_checkpoints(module, states, classes=[0, 1, 2]),
        ]
    for record in records:
        with inner():
            found = VoGScorer(record, normalize=None).fit(*data)
        assert np.isfinite(found.difficulty_).all()
        assert np.isfinite(found.score_samples(*data)).all()


@pytest.mark.parametrize("name", ["float64", "bfloat16", "inference_mode"])
def test_recorders_of_other_loops_count_in_any_setting(name):
    outputs, y = torch.randn(600, 3), torch.arange(600) % 3
    trajectories = []
    for setting in (nullcontext, SETTINGS[name]):
        recorder = TrajectoryRecorder(1, keep_logits=True)
        for part in range(2):  # half of the batches, and their flush, in the setting
            with setting() if part else nullcontext():
                for row in range(300 * part, 300 * (part + 1)):
                    recorder.update(np.zeros(1, dtype=int), outputs[row, None], y[:1])
                recorder._flush()
        recorder.end_epoch()
        trajectories.append(recorder.trajectory())
    assert trajectories[1].count[0, 0] == 600
    for field in ("probability", "margin", "count", "logits"):
        np.testing.assert_array_equal(*(getattr(t, field) for t in trajectories))


def test_modules_without_values_are_named(data):
    with torch.device("meta"):
        module = TwoLayers()
    message = r"'0\.weight' of TwoLayers lies on the meta device"
    with pytest.raises(ValueError, match=message):
        VoGScorer(make_net(module=module)).fit(*data)
    with pytest.raises(ValueError, match=message):
        TrainingRecord.from_checkpoints(module, [TwoLayers().state_dict()], classes=[0, 1, 2])
