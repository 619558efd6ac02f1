# SPDX-License-Identifier: BSD-3-Clause
"""Networks that no score can be read from, or only with care: every scorer works or says why."""

import pytest
import torch
from instances import SMALLEST_SCORERS
from robustness.entries import X, Y, fit_results, tiny_net
from robustness.outcomes import outcome_of
from sklearn.base import clone
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, EarlyStopping
from small_nets import NoGradient, Tiny, Tokens, TwoLayers
from torch import nn

from sklearn_difficulty.training import TrainingRecord


class Odd(TwoLayers):
    """Returns what a function makes of its logits."""

    def __init__(self, change=None, n_outputs=3):
        super().__init__(n_outputs=n_outputs)
        self.change = change

    def forward(self, x):
        return self.change(super().forward(x))


class OddInEval(Odd):
    """Does so only where it is not trained."""

    def forward(self, x):
        logits = TwoLayers.forward(self, x)
        return logits if self.training else self.change(logits)


class Batch(nn.Module):
    """Normalises by the batch."""

    def __init__(self):
        super().__init__()
        self.norm, self.layers = nn.BatchNorm1d(4), TwoLayers()

    def forward(self, x):
        return self.layers(self.norm(x))


class Fails(TwoLayers):
    def forward(self, x):
        raise LookupError("no such layer")


class FailsInEval(TwoLayers):
    def forward(self, x):
        if not self.training:
            raise LookupError("no such layer")
        return super().forward(x)


class Stops(Callback):
    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            raise KeyboardInterrupt


def _odd(change, cls=Odd):
    return {"module": cls, "module__change": change}


def _nan_rows(z):
    return torch.where(z[:, :1] > z[:, :1].median(), torch.nan, z)


def no_loss(z, y):
    return None


NETS = {
    "returns None": _odd(lambda z: None),
    "returns a list": _odd(lambda z: [z]),
    "returns a tuple": _odd(lambda z: (z, z)),
    "returns a dict": _odd(lambda z: {"logits": z}),
    "returns a dict of None": _odd(lambda z: {"logits": None}),
    "returns words": _odd(lambda z: "words"),
    "returns a number": _odd(lambda z: z.mean()),
    "returns one number per row": _odd(lambda z: z[:, 0]),
    "returns one column": _odd(lambda z: z[:, :1]),
    "returns no column": _odd(lambda z: z[:, :0]),
    "returns fewer classes": _odd(lambda z: z[:, :2]),
    "returns more classes": _odd(lambda z: torch.cat([z, z], dim=1)),
    "returns more axes": _odd(lambda z: z[:, :, None]),
    "returns a row less": _odd(lambda z: z[1:]),
    "returns no row": _odd(lambda z: z[:0]),
    "returns twice the rows": _odd(lambda z: torch.cat([z, z])),
    "returns integers": _odd(lambda z: z.long()),
    "returns an array": _odd(lambda z: z.detach().numpy()),
    "returns complex numbers": _odd(lambda z: z.to(torch.complex64)),
    "returns half precision": _odd(lambda z: z.half()),
    "returns bfloat16": _odd(lambda z: z.bfloat16()),
    "returns double precision": _odd(lambda z: z.double()),
    "returns a sparse tensor": _odd(lambda z: z.to_sparse()),
    "returns a tensor on meta": _odd(lambda z: z.to("meta")),
    "returns without a gradient": _odd(lambda z: z.detach()),
    "returns zeros": _odd(lambda z: z * 0),
    "returns huge logits": _odd(lambda z: z * 1e20),
    "returns NaN": _odd(lambda z: z * torch.nan),
    "returns inf": _odd(lambda z: z + torch.inf),
    "returns -inf for a class": _odd(lambda z: z + torch.tensor([0.0, 0.0, -torch.inf])),
    "NaN in eval mode": _odd(lambda z: z * torch.nan, OddInEval),
    "NaN in eval mode for some rows": _odd(_nan_rows, OddInEval),
    "inf in eval mode": _odd(lambda z: z + torch.inf, OddInEval),
    "other columns in eval mode": _odd(lambda z: z[:, :2], OddInEval),
    "a row less in eval mode": _odd(lambda z: z[1:], OddInEval),
    "None in eval mode": _odd(lambda z: None, OddInEval),
    "a dict in eval mode": _odd(lambda z: {"logits": z}, OddInEval),
    "fails": {"module": Fails},
    "fails in eval mode": {"module": FailsInEval},
    "other inputs": {"module__n_inputs": 5},
    "no inputs": {"module__n_inputs": 0},
    "tokens": {"module": Tokens, "module__n_outputs": 3},
    "no gradient": {"module": NoGradient},
    "no weights": {"module": nn.Identity},
    "a function": {"module": torch.tanh},
    "no module": {"module": 5},
    "an instance": {"module": TwoLayers()},
    "an instance without gradients": {"module": TwoLayers().requires_grad_(False)},
    "an instance in double precision": {"module": TwoLayers().double()},
    "an instance on meta": {"module": TwoLayers().to("meta")},
    "an unknown argument": {"module__no_such": 3},
    "a lazy layer": {"module": nn.LazyLinear, "module__out_features": 3},
    "one row is left for batch norm": {"module": Batch, "batch_size": 23},
    "dropout of everything": {"module": Tiny, "module__dropout": 1.0},
    "diverges": {"lr": 1e30},
    "lr inf": {"lr": float("inf")},
    "lr NaN": {"lr": float("nan")},
    "lr 0": {"lr": 0.0},
    "lr -1": {"lr": -1.0},
    "lr a word": {"lr": "fast"},
    "no epoch": {"max_epochs": 0},
    "-1 epochs": {"max_epochs": -1},
    "1.5 epochs": {"max_epochs": 1.5},
    "epochs in words": {"max_epochs": "ten"},
    "batches of 0": {"batch_size": 0},
    "batches of -2": {"batch_size": -2},
    "batches of -1": {"batch_size": -1},
    "batches of 2.5": {"batch_size": 2.5},
    "batches of 10**12": {"batch_size": 10**12},
    "batches of None": {"batch_size": None},
    "all batches dropped": {"batch_size": 100, "iterator_train__drop_last": True},
    "a part dropped": {"batch_size": 7, "iterator_train__drop_last": True},
    "stops in the first batch": {"callbacks": [Stops()]},
    "waits for a validation set": {"callbacks": [EarlyStopping()]},
    "waits for no such thing": {"callbacks": [EarlyStopping(monitor="no_such")]},
    "a callback that is none": {"callbacks": [5]},
    "no loss": {"criterion": None},
    "a loss that is none": {"criterion": no_loss},
    "another loss": {"criterion": nn.MSELoss},
    "a loss per row": {"criterion__reduction": "none"},
    "weights of other classes": {"criterion__weight": torch.ones(7)},
    "no optimizer": {"optimizer": None},
    "an optimizer that is none": {"optimizer": no_loss},
    "an iterator that is none": {"iterator_train": no_loss},
    "no such device": {"device": "no such device"},
    "device 99": {"device": "cuda:99"},
    "meta device": {"device": "meta"},
    "a regressor": {"cls": NeuralNetRegressor},
    "a binary classifier": {"cls": NeuralNetBinaryClassifier},
    "a plain net": {"cls": NeuralNet},
    "classes of its own": {"cls": NeuralNetClassifier, "classes": ["a", "b"]},
    "a scheduler that is none": {"callbacks": [("lr", "no such callback")]},
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def problems_of(word):
    """Yield what goes wrong with this network, scorer by scorer."""
    for scorer in SMALLEST_SCORERS:
        scorer = clone(scorer).set_params(random_state=0)
        scorer.estimator = tiny_net(**NETS[word])  # set_params would look into a net

        def read(scorer=scorer):
            scorer.fit(X, Y)
            unseen = scorer.score_samples(X) if hasattr(scorer, "score_samples") else None
            return {**fit_results(scorer), "unseen": unseen}

        problem = outcome_of(read, "estimator", notes_suffice=True).problem
        if problem:
            yield f"{type(scorer).__name__} of a net that {word}: {problem}"


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("word", NETS)
def test_hostile_network(word):
    problems = list(problems_of(word))
    assert not problems, "\n".join(problems)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("word", NETS)
def test_hostile_network_in_a_record(word):
    outcome = outcome_of(
        lambda: TrainingRecord.from_fit(tiny_net(**NETS[word]), X, Y, random_state=0).n_epochs,
        "net",
        notes_suffice=True,
    )
    assert not outcome.problem
