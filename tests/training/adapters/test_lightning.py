# SPDX-License-Identifier: BSD-3-Clause
"""LightningRecorder, inside a real Trainer."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, TensorDataset

from sklearn_difficulty import PredictionDepthScorer, TrainingDynamicsScorer, VoGScorer
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.training import MLP
from sklearn_difficulty.training.adapters import LightningRecorder

lightning = pytest.importorskip("lightning.pytorch")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:lightning"),
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
]

X, Y = load_digits(return_X_y=True)
X, Y = X[:200].astype(np.float32), Y[:200]
NOISY, IS_FLIPPED = make_label_noise(Y, rate=0.1, random_state=0)


class Module(lightning.LightningModule):
    """A LightningModule that calls itself, or a part of it, in its training step."""

    def __init__(self, calls_itself=True):
        super().__init__()
        self.model = MLP(64, 10, hidden_units=(32,))
        self.calls_itself = calls_itself
        self.said = []

    def forward(self, x):
        return self.model(x)

    def training_step(self, batch, index):
        x, y = batch
        called = self if self.calls_itself else self.model
        logits = called(x)
        self.said.append(logits.detach().clone())
        return nn.functional.cross_entropy(logits, y)

    def validation_step(self, batch, index):
        self(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.02, momentum=0.9)


def loader_of(y=NOISY, **settings):
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(np.asarray(y)))
    return DataLoader(dataset, **{"batch_size": 32, "shuffle": True, **settings})


def trainer_with(*callbacks, tmp_path, **settings):
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
        "max_epochs": 4,
        "default_root_dir": tmp_path,
    }
    return lightning.Trainer(callbacks=list(callbacks), **{**quiet, **settings})


@pytest.fixture(params=[0, 1], ids=["", "workers"])
def n_workers(request):
    return request.param


def test_every_score_can_be_read(tmp_path):
    torch.manual_seed(0)
    recorder, module = LightningRecorder(NOISY, keep_logits=True), Module()
    trainer = trainer_with(recorder, tmp_path=tmp_path, max_epochs=15)
    trainer.fit(module, loader_of(), DataLoader(loader_of().dataset, batch_size=50))
    record = recorder.record_
    trajectory = record.trajectory
    assert trajectory.n_epochs == record.n_epochs == 15
    assert (trajectory.count == 1).all()
    assert_array_equal(trajectory.targets, NOISY)
    # What the module said, batch by batch, is what stands in the record, sorted by row.
    logits = torch.cat(module.said)
    in_record = np.sort(trajectory.logits[0], axis=0)
    assert_allclose(in_record, np.sort(logits[:200], axis=0), rtol=1e-5)
    loss = TrainingDynamicsScorer(record, measure="loss").fit(X, NOISY)
    first = set(np.argsort(-loss.difficulty_)[: IS_FLIPPED.sum()])
    assert len(first & set(np.flatnonzero(IS_FLIPPED))) >= 0.8 * IS_FLIPPED.sum()
    assert len(record.checkpoints) == 10
    assert VoGScorer(record).fit(X, NOISY).difficulty_.shape == (200,)
    depth = PredictionDepthScorer(record, n_neighbors=5).fit(X, NOISY).difficulty_
    assert np.nanmax(depth) > 0
    expected = module.eval()(torch.from_numpy(X)).detach()
    assert_allclose(record.module(torch.from_numpy(X)).detach(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"accumulate_grad_batches": 3},
        {"limit_train_batches": 4},
        {"reload_dataloaders_every_n_epochs": 1},
        {"max_epochs": -1, "max_steps": 14},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_batches_go_to_their_rows(settings, n_workers, tmp_path):
    recorder = LightningRecorder(NOISY, checkpoints=None)
    trainer = trainer_with(recorder, tmp_path=tmp_path, **{"max_epochs": 2, **settings})
    loader = loader_of(num_workers=n_workers)
    trainer.fit(Module(), loader)  # other labels than those of the rows would be an error
    count = recorder.record_.trajectory.count
    n_shown = 4 * 32 if "limit_train_batches" in settings else 200
    assert count.sum(axis=1).tolist() == [n_shown] * 2
    assert count.max() == 1
    assert not recorder.record_.has_module


def test_a_part_of_the_module(tmp_path):
    labels = np.array([f"digit {label}" for label in NOISY])
    recorder = LightningRecorder(labels, network="model")
    trainer = trainer_with(recorder, tmp_path=tmp_path, max_epochs=2)
    trainer.fit(Module(calls_itself=False), loader_of())
    assert isinstance(recorder.record_.module, MLP)
    assert VoGScorer(recorder.record_, checkpoints="all").fit(X, labels).classes_[0] == "digit 0"


def test_nothing_stays_behind(tmp_path):
    recorder, module, loader = LightningRecorder(NOISY), Module(), loader_of()
    sampler = loader.batch_sampler
    trainer = trainer_with(recorder, tmp_path=tmp_path, max_epochs=1)
    trainer.fit(module, loader)
    assert loader.batch_sampler is sampler
    assert not module._forward_hooks
    assert "process_dataloader" not in vars(trainer.strategy)
    first = recorder.record_
    trainer_with(recorder, tmp_path=tmp_path, max_epochs=2).fit(module, loader_of())
    assert (first.n_epochs, recorder.record_.n_epochs) == (1, 2)


def test_what_cannot_be_recorded_is_an_error_in_the_first_batch(tmp_path):
    def fit(recorder, module, loader):
        trainer = trainer_with(recorder, tmp_path=tmp_path)
        try:
            trainer.fit(module, loader)
        finally:
            assert type(loader.batch_sampler) is BatchSampler
            assert not module._forward_hooks
            assert "process_dataloader" not in vars(trainer.strategy)

    with pytest.raises(ValueError, match="network='model'"):
        fit(LightningRecorder(NOISY), Module(calls_itself=False), loader_of())
    with pytest.raises(ValueError, match="holds 199 labels, and the training set 200"):
        fit(LightningRecorder(NOISY[1:]), Module(), loader_of())
    with pytest.raises(ValueError, match="holds other labels"):
        fit(LightningRecorder(np.roll(NOISY, 1)), Module(), loader_of())
    with pytest.raises(ValueError, match="outputs must be one of"):
        LightningRecorder(NOISY, outputs="scores")
