# SPDX-License-Identifier: BSD-3-Clause
"""Small networks, and what watches their training: of these the tests of the rooms are made."""

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from sklearn_difficulty.training import MLP


class Tiny(nn.Module):
    """Four inputs, eight hidden units; logits unless another last layer is given."""

    def __init__(self, n_inputs=4, n_outputs=3, dropout=0.0, last=None):
        super().__init__()
        layers = [nn.Linear(n_inputs, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, n_outputs)]
        self.layers = nn.Sequential(*layers, *([] if last is None else [last]))

    def forward(self, x):
        return self.layers(x)


class TwoLayers(nn.Sequential):
    """Layers that are called 0, 1 and 2: logits, or what another last layer makes of them."""

    def __init__(self, n_inputs=4, n_outputs=3, last=None):
        layers = [nn.Linear(n_inputs, 8), nn.Tanh(), nn.Linear(8, n_outputs)]
        super().__init__(*layers, *([] if last is None else [last]))


class TwoTables(TwoLayers):
    """Takes the columns of its rows from two tables."""

    def forward(self, left, right):
        return super().forward(torch.cat([left, right], dim=1))


class FlatLogit(TwoLayers):
    """One logit per row, without an axis of its own."""

    def __init__(self, n_inputs=4, n_outputs=1):
        super().__init__(n_inputs, n_outputs)

    def forward(self, x):
        return super().forward(x)[:, 0]


class Named(nn.Module):
    """Two layers with names."""

    def __init__(self, n_inputs=4, n_outputs=3):
        super().__init__()
        self.hidden, self.output = nn.Linear(n_inputs, 8), nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.output(torch.tanh(self.hidden(x)))


class EndsInSoftmax(Named):
    def forward(self, x):
        return super().forward(x).softmax(dim=1)


class NoGradient(Named):
    def forward(self, x):
        return super().forward(x.detach())


class Tokens(nn.Module):
    """A bag of embedded tokens, of which there are twenty."""

    def __init__(self, n_outputs=2):
        super().__init__()
        self.embedding, self.output = nn.Embedding(20, 6), nn.Linear(6, n_outputs)

    def forward(self, tokens):
        return self.output(self.embedding(tokens).mean(dim=1).tanh())


class BagOfTokens(nn.Module):
    """The same with a module of torch for it, whose errors are of another type."""

    def __init__(self, n_outputs=2):
        super().__init__()
        self.bag, self.output = nn.EmbeddingBag(20, 6), nn.Linear(6, n_outputs)

    def forward(self, tokens):
        return self.output(self.bag(tokens).tanh())


class Codebook(nn.Linear):
    """A linear layer that knows nothing: trained on one-hot rows, it knows just these.

    Rows that it was not trained on get the first class.
    """

    def __init__(self, n_inputs):
        super().__init__(n_inputs, 3, bias=False)
        nn.init.zeros_(self.weight)


def make_net(cls=NeuralNetClassifier, **settings):
    """Return a silent net around `TwoLayers`; keywords go to the net."""
    defaults = {
        "module": TwoLayers,
        "criterion": nn.CrossEntropyLoss,
        "lr": 0.1,
        "max_epochs": 5,
        "batch_size": 32,
        "iterator_train__shuffle": True,
        "verbose": 0,
    }
    return cls(**{**defaults, **settings})


def codebook(n_inputs):
    """Return a net that learns one-hot rows by heart, and only them."""
    return make_net(module=Codebook, module__n_inputs=n_inputs, lr=1, batch_size=-1)


def memorising(n_inputs, n_outputs, **settings):
    """Return a net that learns small data by heart."""
    defaults = {
        "module": MLP,
        "module__n_inputs": n_inputs,
        "module__n_outputs": n_outputs,
        "module__hidden_units": (128, 64),
        "optimizer__momentum": 0.9,
        "lr": 0.05,
        "max_epochs": 40,
    }
    return make_net(**{**defaults, **settings})


def codes_of(y):
    return np.unique(y, return_inverse=True)[1]


class NeverTrain(Callback):
    def on_batch_begin(self, net, training=False, **kwargs):
        assert not training, "training has begun"


class Watch:
    """Lists the tasks of a fit that begin and end."""

    def __init__(self):
        self.begun, self.ended = [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context):
        self.ended.append(context.task_name)
