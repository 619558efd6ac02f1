# SPDX-License-Identifier: BSD-3-Clause
"""TransformersRecorder, inside a real Trainer with a small model that is made on the spot."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch.utils.data import Dataset

from sklearn_difficulty import TrainingDynamicsScorer, VoGScorer
from sklearn_difficulty.training.adapters import TransformersRecorder

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(autouse=True)
def no_datasets(monkeypatch):
    # The folder of these tests with that name looks like the package.
    monkeypatch.setattr("transformers.trainer.is_datasets_available", lambda: False)


N = 60
Y = np.arange(N) % 3
FLIPPED = np.array([5, 22, 40])
NOISY = Y.copy()
NOISY[FLIPPED] = (Y[FLIPPED] + 1) % 3


class Texts(Dataset):
    """Sequences of tokens of which the label's comes up most often."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.tokens = torch.from_numpy(rng.integers(3, 20, size=(N, 6)))
        self.tokens[:, ::2] = torch.from_numpy(Y)[:, None]

    def __len__(self):
        return N

    def __getitem__(self, i):
        return {"input_ids": self.tokens[i], "labels": int(NOISY[i])}


def model():
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=8,
        num_labels=3,
    )
    return transformers.BertForSequenceClassification(config)


def train(recorder, tmp_path, network=None, **settings):
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        num_train_epochs=settings.pop("num_train_epochs", 3),
        per_device_train_batch_size=8,
        learning_rate=5e-3,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        seed=0,
        **settings,
    )
    trainer = transformers.Trainer(
        network or model(), arguments, train_dataset=Texts(), callbacks=[recorder]
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gradient_accumulation_steps": 3},
        {"dataloader_num_workers": 1},
        {"label_smoothing_factor": 0.1},
        {"dataloader_drop_last": True},
    ],
    ids=lambda settings: next(iter(settings), "default"),
)
def test_batches_go_to_their_rows(settings, tmp_path):
    recorder = TransformersRecorder(NOISY, keep_logits=True)
    trainer = train(recorder, tmp_path, num_train_epochs=2, **settings)
    trajectory = recorder.record_.trajectory
    n_shown = 56 if "dataloader_drop_last" in settings else N
    assert trajectory.count.sum(axis=1).tolist() == [n_shown] * 2
    assert trajectory.count.max() == 1
    assert_array_equal(
        trajectory.targets[trajectory.targets >= 0] % 3, NOISY[trajectory.targets >= 0]
    )
    assert not trainer.model._forward_hooks


def test_rows_have_the_outputs_of_their_own_batch(tmp_path):
    network = model()
    for parameter in network.parameters():
        parameter.requires_grad_(False)  # so that every epoch says the same, up to dropout
    network.classifier.bias.requires_grad_(True)
    network.config.hidden_dropout_prob = network.config.attention_probs_dropout_prob = 0.0
    for part in network.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    recorder = TransformersRecorder(NOISY, keep_logits=True)
    train(recorder, tmp_path, network, num_train_epochs=1, max_grad_norm=1e-9)
    with torch.no_grad():
        expected = network.eval()(input_ids=Texts().tokens).logits
    spread = expected - expected.mean(dim=1, keepdim=True)
    logits = recorder.record_.trajectory.logits[0]
    assert_allclose(logits - logits.mean(axis=1, keepdims=True), spread, atol=2e-2)


def test_scores_of_a_language_model(tmp_path):
    recorder = TransformersRecorder(NOISY, checkpoints="all")
    train(recorder, tmp_path, num_train_epochs=8)
    record = recorder.record_
    X = {"input_ids": Texts().tokens.numpy()}
    loss = TrainingDynamicsScorer(record, measure="loss").fit(X, NOISY).difficulty_
    assert set(np.argsort(-loss)[:3]) == set(FLIPPED)
    assert len(record.checkpoints) == 8
    with pytest.raises(ValueError, match="have no gradient"):
        VoGScorer(record).fit(X, NOISY)


def test_labels_of_another_order_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds 59 labels, and the training set 60"):
        train(TransformersRecorder(NOISY[1:]), tmp_path)
    with pytest.raises(ValueError, match="holds other labels than y has for its rows"):
        train(TransformersRecorder(NOISY[::-1]), tmp_path)
