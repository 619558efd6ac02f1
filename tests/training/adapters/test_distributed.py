# SPDX-License-Identifier: BSD-3-Clause
"""Two processes that train one network, by other libraries' distributed data parallel on gloo."""

import os
import socket

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from skorch import NeuralNetClassifier
from torch import multiprocessing as mp
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sklearn_difficulty import TrainingDynamicsScorer, TrainingRecord
from sklearn_difficulty.training import MLP, merge_trajectories
from sklearn_difficulty.training.adapters import LightningRecorder, TransformersRecorder

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
]
N = 11  # odd: one row is seen by both processes
X = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
Y = np.arange(N) % 3
LABELS = np.array(["a", "b", "c"])[Y]


def network():
    """Return the same network every time, which is trained without a step: lr=0."""
    torch.manual_seed(0)
    return MLP(4, 3, hidden_units=(8,))


def by_lightning(folder):
    """Return the record of this process's part."""
    import lightning.pytorch as lightning

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = network()

        def forward(self, x):
            return self.model(x)

        def training_step(self, batch, index):
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.0)

    recorder = LightningRecorder(LABELS, checkpoints=None, keep_logits=True)
    trainer = lightning.Trainer(
        callbacks=[recorder],
        max_epochs=2,
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    trainer.fit(Module(), DataLoader(dataset, batch_size=3, shuffle=True))
    return recorder.record_


class Classifier(nn.Module):
    """A network as the Trainer takes it."""

    def __init__(self):
        super().__init__()
        self.model = network()

    def forward(self, x, labels):
        logits = self.model(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def by_transformers(folder):
    """Return the record of this process's part."""
    import transformers

    transformers.trainer.is_datasets_available = lambda: False  # a folder of tests has that name
    recorder = TransformersRecorder(LABELS, keep_logits=True)
    arguments = transformers.TrainingArguments(
        output_dir=folder,
        num_train_epochs=2,
        per_device_train_batch_size=3,
        learning_rate=0.0,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        ddp_backend="gloo",
    )
    rows = [{"x": x, "labels": int(y)} for x, y in zip(X, Y, strict=True)]
    transformers.Trainer(Classifier(), arguments, train_dataset=rows, callbacks=[recorder]).train()
    return recorder.record_


def by_accelerate(folder):
    """Return the record of this process's part."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from skorch.hf import AccelerateMixin

    AcceleratorState._reset_state(reset_partial_state=True)  # that of the process it comes from

    class WeightsOnly(Accelerator):
        """On the CPU, the loss would be distributed too, which fails as it has no weights."""

        def prepare_model(self, model, *args, **kwargs):
            if not any(weight.requires_grad for weight in model.parameters()):
                return model
            return super().prepare_model(model, *args, **kwargs)

    class AcceleratedNet(AccelerateMixin, NeuralNetClassifier):
        pass

    net = AcceleratedNet(
        network(),
        criterion=nn.CrossEntropyLoss,
        max_epochs=2,
        batch_size=3,
        lr=0.0,
        iterator_train__shuffle=True,
        accelerator=WeightsOnly(cpu=True),
    )
    return TrainingRecord.from_fit(net, X, LABELS, keep_logits=True, random_state=0)


def train_a_part(rank, by_library, folder, port):
    """Be one of two processes, as torchrun starts them."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"}
    os.environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "test"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    record = by_library(folder)
    # Without the network, whose code a file does not hold.
    part = TrainingRecord.from_trajectory(record.trajectory, classes=record.classes_)
    part.save(f"{folder}/part-{rank}")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("library", "by_library"),
    [
        ("lightning", by_lightning),
        ("transformers", by_transformers),
        ("accelerate", by_accelerate),
    ],
)
def test_parts_of_two_processes(library, by_library, tmp_path):
    pytest.importorskip(library)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Forked, as importing torch anew would take seconds.
    arguments = (by_library, str(tmp_path), port)
    mp.start_processes(train_a_part, args=arguments, nprocs=2, start_method="fork")
    parts = [TrainingRecord.load(tmp_path / f"part-{rank}") for rank in (0, 1)]
    for part in parts:
        assert part.trajectory.count.sum(axis=1).tolist() == [6, 6]
    merged = merge_trajectories(parts)
    assert sorted(merged.count.ravel().tolist()) == [1] * 20 + [2] * 2
    said = network()(torch.from_numpy(X)).detach().numpy()
    assert_allclose(merged.logits, np.stack([said, said]), rtol=1e-5, atol=1e-6)
    record = TrainingRecord.from_trajectory(merged, classes=parts[0].classes_)
    scorer = TrainingDynamicsScorer(record, measure="loss").fit(X, LABELS)
    expected = nn.functional.cross_entropy(
        torch.from_numpy(said), torch.from_numpy(Y), reduction="none"
    )
    assert_allclose(scorer.difficulty_, expected, rtol=1e-5)
