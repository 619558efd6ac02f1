# SPDX-License-Identifier: BSD-3-Clause
"""All that touches a device keeps to it, as far as a pretended one shows; see `pretended`."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from pretended import MixedDevices, pretended_cuda
from readings import READER_IDS, READERS, fitted_with, numbers_of
from skorch import NeuralNetRegressor
from skorch.dataset import Dataset
from small_nets import Tokens, TwoLayers, TwoTables, make_net
from torch import nn

from sklearn_difficulty import (
    LabelErrorScorer,
    MarginScorer,
    NormGradScorer,
    PredictionDepthScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.inference import blocks, nearest, predictions
from sklearn_difficulty.training import (
    ConvNet,
    LaterLayerForgetting,
    RecordTraining,
    ResampledEnsemble,
    SimulatedAnnealingEarlyLayers,
    TrajectoryRecorder,
    trajectory_recorder,
)

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
STACKED = LabelErrorScorer(n_members=2, train_size=0.5, n_neighbors=2, backend="stacked")


def with_device(device, X, y, scorer, **settings):
    """Return what a scorer fitted on a device says, and the scorer."""
    net = make_net(**{"max_epochs": 2, **settings}, device=device)
    fitted = fitted_with(scorer, net, X, y)
    return numbers_of(fitted, X, y), fitted


def assert_same_on_both(X, y, scorer, **settings):
    """Compare the pretended device with the CPU, and return what was fitted on the former."""
    expected, _ = with_device("cpu", X, y, scorer, **settings)
    with pretended_cuda():
        found, fitted = with_device("cuda", X, y, scorer, **settings)
        if hasattr(fitted, "record_"):
            assert {p.device.type for p in fitted.record_.module.parameters()} == {"cuda"}
    assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    return fitted


@pytest.mark.parametrize("scorer", READERS, ids=READER_IDS)
def test_scorers_keep_to_the_device(scorer, data):
    assert_same_on_both(*data, scorer)


def test_stacks_keep_to_the_device(data):
    fitted = assert_same_on_both(*data, STACKED)
    assert fitted.ensemble_.backend_ == "stacked"


@pytest.mark.parametrize(
    "scorer",
    [
        *(VoGScorer(formula="cvpr"), MarginScorer(kind="input")),
        *(NormGradScorer(variant="conv3x3", aggregation="max"), NormGradScorer(order=1)),
        PredictionDepthScorer(n_neighbors=2),
    ],
)
def test_images_keep_to_the_device(scorer):
    X = np.random.default_rng(0).normal(size=(24, 1, 6, 6)).astype(np.float32)
    settings = {"module": ConvNet, "module__n_channels": 1, "module__n_outputs": 2}
    assert_same_on_both(X, np.arange(24) % 2, scorer, **settings, module__channels=(4, 4))


@pytest.mark.parametrize(
    "scorer", [VoGScorer(wrt="embedding"), TrainingDynamicsScorer(measure="grand_all")]
)
def test_tokens_keep_to_the_device(scorer):
    X = np.random.default_rng(0).integers(20, size=(24, 5))
    assert_same_on_both(X, np.arange(24) % 2, scorer, module=Tokens)


@pytest.mark.parametrize("kind", ["dict", "Dataset"])
@pytest.mark.parametrize("scorer", [VoGScorer(), READERS[-1]], ids=["vog", "grand_all"])
def test_rows_of_other_kinds_keep_to_the_device(kind, scorer, data):
    X, y = data
    settings = {"module": TwoTables} if kind == "dict" else {}
    rows = {"left": X[:, :2], "right": X[:, 2:]} if kind == "dict" else Dataset(X, y)
    numbers = []
    for device in ("cpu", "cuda"):
        with pretended_cuda():
            net = make_net(max_epochs=2, device=device, **settings)
            numbers.append(fitted_with(scorer, net, rows, y).difficulty_)
    assert_allclose(*numbers, rtol=1e-4, atol=1e-5)


def test_regressors_keep_to_the_device(data):
    X, _ = data
    settings = {"cls": NeuralNetRegressor, "criterion": nn.MSELoss, "module__n_outputs": 1}
    for scorer in (VoGScorer(target="loss"), TrainingDynamicsScorer(measure="loss")):
        assert_same_on_both(X, X[:, :1].copy(), scorer, **settings)


def test_records_of_checkpoints_keep_to_the_device(data):
    torch_states = [{k: v * s for k, v in TwoLayers().state_dict().items()} for s in (1, 2)]
    numbers = []
    for device in ("cpu", "cuda"):
        with pretended_cuda():
            module = TwoLayers().to(device)
            record = TrainingRecord.from_checkpoints(module, torch_states, classes=[0, 1, 2])
            numbers.append(VoGScorer(record).fit(*data).difficulty_)
    assert_allclose(*numbers, rtol=1e-5)


def test_recorders_of_other_loops_keep_to_the_device(data):
    X, y = (torch.tensor(a) for a in data)
    logits = TwoLayers()(X).detach()
    with pretended_cuda():
        recorder = TrajectoryRecorder(len(y), keep_logits=True)
        for rows in torch.arange(len(y)).split(20):
            recorder.update(rows, logits[rows].to("cuda"), y[rows].to("cuda"))
        recorder.end_epoch()
        trajectory = recorder.trajectory()
    assert_allclose(trajectory.logits[0], logits)


def test_records_are_kept_in_files_and_read_from_there(data, tmp_path):
    with pretended_cuda():
        net = make_net(
            max_epochs=2, device="cuda", callbacks=[RecordTraining(checkpoint_dir=tmp_path / "c")]
        )
        record = TrainingRecord.from_fit(net, *data, random_state=0)
        record.save(tmp_path / "record")
        loaded = TrainingRecord.load(tmp_path / "record", TwoLayers().to("cuda"))
        numbers = [VoGScorer(r).fit(*data).difficulty_ for r in (record, loaded)]
    assert_allclose(*numbers)


@pytest.mark.parametrize(
    "schedule",
    [
        SimulatedAnnealingEarlyLayers(n_generations=2, epochs_per_generation=2),
        LaterLayerForgetting(n_generations=2, epochs_per_generation=2, keep="weights"),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_training_in_generations_keeps_to_the_device(schedule, data):
    with pretended_cuda():
        net = make_net(max_epochs=4, device="cuda", callbacks=[schedule])
        there = TrainingRecord.from_fit(net, *data, random_state=0).module.cpu()
    here = TrainingRecord.from_fit(net.set_params(device="cpu"), *data, random_state=0).module
    for a, b in zip(there.parameters(), here.parameters(), strict=True):
        assert_allclose(a.detach(), b.detach())


def test_members_are_kept_and_asked_on_the_device(data):
    X, y = data
    with pretended_cuda():
        ensemble = ResampledEnsemble(
            make_net(max_epochs=2, device="cuda"),
            n_members=2,
            train_size=0.5,
            keep_members=True,
            random_state=0,
        ).fit(X, y)
        assert ensemble.backend_ == "stacked"
        assert ensemble.record(1).module[0].weight.device.type == "cuda"
        assert ensemble.member_probability(X).shape == (2, 48, 3)


# ------------------------------------------------------- that the pretended device shows mistakes


class Careless:
    """torch, whose functions forget the device that they are asked for."""

    def __init__(self, *names):
        self.names = names

    def __getattr__(self, name):
        if name not in self.names:
            return getattr(torch, name)
        return lambda *args, device=None, **kwargs: getattr(torch, name)(*args, **kwargs)


@pytest.mark.parametrize(
    ("room", "names", "scorer"),
    [
        (predictions, ["arange"], MarginScorer()),
        (nearest, ["arange"], PredictionDepthScorer(n_neighbors=2)),
        (trajectory_recorder, ["zeros"], TrainingDynamicsScorer()),
        (trajectory_recorder, ["arange"], TrainingDynamicsScorer()),
    ],
)
def test_a_tensor_on_the_wrong_device_is_noticed(room, names, scorer, data, monkeypatch):
    X, y = data[0][::4].repeat(4, axis=0), data[1]  # ties are broken by positions
    monkeypatch.setattr(room, "torch", Careless(*names))
    with_device("cpu", X, y, scorer)
    with pretended_cuda(), pytest.raises(MixedDevices):
        with_device("cuda", X, y, scorer)


def test_states_on_the_wrong_device_are_noticed(data, monkeypatch):
    monkeypatch.setattr(
        blocks.DeviceStates, "_load", lambda states, checkpoint: checkpoint.state_dict()
    )
    with pretended_cuda(), pytest.raises(MixedDevices):
        with_device("cuda", *data, VoGScorer())


def test_the_pretended_device_is_as_strict_as_cuda():
    with pretended_cuda():
        there, here = torch.arange(3.0, device="cuda"), torch.arange(3.0)
        assert [t.device.type for t in (there, here, there * 2, there.cpu())] == [
            "cuda",
            "cpu",
            "cuda",
            "cpu",
        ]
        assert {(there + torch.tensor(2.0)).device.type, here.to(there).device.type} == {"cuda"}
        assert there[torch.tensor([0, 1])].device.type == "cuda"
        for mixed in (lambda: there + here, lambda: here[torch.arange(2, device="cuda")]):
            with pytest.raises(MixedDevices):
                mixed()
        with pytest.raises(TypeError, match="to numpy"):
            there.numpy()
