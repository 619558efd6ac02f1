# SPDX-License-Identifier: BSD-3-Clause
"""What modules return: tensors, and structures in which predictions lie."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from readings import READERS, fitted_with, table_of
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from small_nets import Named, NeverTrain, make_net
from torch import nn

from sklearn_difficulty import MarginScorer, NeighborConfidenceScorer, TrainingRecord, VoGScorer
from sklearn_difficulty.networks.forward import first_tensor
from sklearn_difficulty.networks.heads import first_output
from sklearn_difficulty.training import RecordTraining, ResampledEnsemble, TrajectoryRecorder

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

Pair = namedtuple("Pair", "prediction hidden")
WithLoss = namedtuple("WithLoss", "loss logits hidden")


@dataclass
class Output:
    hidden: Any
    logits: Any


class ModelOutput(OrderedDict):
    """A dict whose entries are attributes, too, as in many libraries."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


STRUCTURES = {
    "tuple": lambda logits, hidden: (logits, hidden),
    "list": lambda logits, hidden: [logits, hidden],
    "named tuple": Pair,
    "tuple after None": lambda logits, hidden: (None, logits, hidden),
    "tuple after a loss": lambda logits, hidden: (hidden.sum(), logits),
    "named tuple with logits": lambda logits, hidden: WithLoss(hidden.sum(), logits, hidden),
    "nested tuple": lambda logits, hidden: ((logits, hidden), hidden),
    "dict": lambda logits, hidden: {"hidden": hidden, "logits": logits},
    "dataclass": lambda logits, hidden: Output(hidden, logits),
    "model output": lambda logits, hidden: ModelOutput(hidden=hidden, logits=logits),
}
UNREADABLE = {
    "None": (lambda z, h: None, "returns NoneType, in which predictions cannot be found"),
    "dict": (lambda z, h: {"out": z}, r"returns dict with \['out'\], in which"),
    "empty tuple": (lambda z, h: (), "returns tuple, in which"),
    "text": (lambda z, h: "logits", "returns str, in which"),
    "three axes": (lambda z, h: z[:, :, None], r"outputs of shape \(2, 3, 1\) for 2 rows"),
    "a number": (lambda z, h: z.sum(), r"a tensor of shape \(\) for 2 rows"),
    "a row": (lambda z, h: z[:1], r"a tensor of shape \(1, 3\) for 2 rows"),
    "classes": (lambda z, h: z.argmax(dim=1), "a tensor of torch.int64 for 2 rows"),
    "an array": (lambda z, h: z.detach().numpy(), "returns ndarray for 2 rows"),
}


class Returning(Named):
    """Returns its logits, and what is hidden, in a structure."""

    structure = None

    def forward(self, x):
        hidden = torch.tanh(self.hidden(x))
        return self.structure(self.output(hidden), hidden)


def returning(structure):
    """Return a module class that returns a structure."""
    return type("Returning", (Returning,), {"structure": staticmethod(structure)})


@pytest.fixture(scope="module")
def plain(data):
    return table_of(make_net(module=Named, max_epochs=2), *data)


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_are_trained_and_read_as_their_logits(name, data, plain):
    net = make_net(module=returning(STRUCTURES[name]), max_epochs=2)
    n_readers = len(READERS) if name in ("tuple", "dataclass") else 2
    found = table_of(net, *data, READERS[-n_readers:])
    for expected, numbers in zip(plain[-n_readers:], found, strict=True):
        np.testing.assert_array_equal(numbers, expected)


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_holds_no_predictions_is_refused_before_training(case, data):
    structure, message = UNREADABLE[case]
    net = make_net(module=returning(structure), callbacks=[NeverTrain()])
    for scorer in READERS:
        with pytest.raises(ValueError, match=message):
            fitted_with(scorer, net, *data)


@pytest.mark.parametrize("case", sorted(set(UNREADABLE) - {"three axes"}))  # any shape will do
def test_regressors_without_predictions_are_refused_before_training(case, data):
    structure, message = UNREADABLE[case]
    X, y = data
    net = make_net(
        NeuralNetRegressor,
        module=returning(structure),
        criterion=nn.MSELoss,
        callbacks=[NeverTrain()],
    )
    with pytest.raises(ValueError, match=message):
        fitted_with(VoGScorer(), net, X, np.eye(3, dtype=np.float32)[y])


@pytest.mark.parametrize("case", UNREADABLE)
def test_records_of_what_holds_no_predictions_are_refused(case, data, record_of):
    structure, message = UNREADABLE[case]
    with pytest.raises(ValueError, match=message):
        MarginScorer(record_of(returning(structure)())).fit(*data)


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
def test_structures_are_stacked(structure, data):
    def probability(module):
        net = make_net(module=module, max_epochs=2)
        ensemble = ResampledEnsemble(
            net, n_members=3, train_size=0.5, backend="stacked", random_state=0
        ).fit(*data)
        assert ensemble.backend_ == "stacked", ensemble.why_not_stacked_
        return ensemble.out_of_sample_probability()

    np.testing.assert_array_equal(probability(returning(structure)), probability(Named))


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
def test_recorders_of_other_loops_take_structures(structure, data):
    X, y = (torch.tensor(a) for a in data)
    trajectories = []
    for module in (Named(), returning(structure)()):
        nn.init.ones_(module.hidden.weight)
        module.load_state_dict({k: torch.ones_like(v) for k, v in module.state_dict().items()})
        recorder = TrajectoryRecorder(len(X))
        recorder.update(np.arange(len(X)), module(X), y)
        recorder.end_epoch()
        trajectories.append(recorder.trajectory())
    np.testing.assert_array_equal(trajectories[0].margin, trajectories[1].margin)


class Encoder(nn.Linear):
    """Returns what it encodes in a structure."""

    def __init__(self, structure):
        super().__init__(4, 8)
        self.structure = structure

    def forward(self, x):
        hidden = torch.tanh(super().forward(x))
        return self.structure(hidden, "other")


class Encoding(Named):
    def __init__(self, structure):
        super().__init__()
        self.hidden = Encoder(structure)

    def forward(self, x):
        return self.output(first_tensor(self.hidden(x)))


@pytest.mark.parametrize(
    "structure",
    [
        lambda hidden, other: (hidden, other),
        lambda hidden, other: [None, hidden],
        lambda hidden, other: {"other": other, "hidden": hidden},
        Output,
        lambda hidden, other: ModelOutput(last=hidden),
    ],
)
def test_layers_that_return_structures_are_probed_at_their_first_tensor(structure, data, record_of):
    plain = Encoding(lambda hidden, other: hidden)
    numbers = []
    for module in (plain, Encoding(structure)):
        module.load_state_dict(plain.state_dict())
        scorer = NeighborConfidenceScorer(record_of(module), n_neighbors=3, probes=["hidden"])
        numbers.append(scorer.fit(*data).difficulty_)
    np.testing.assert_array_equal(*numbers)


# ------------------------------------------------------------------- losses that want the structure


class HiddenLoss(nn.Module):
    """Wants all that the module returns."""

    def forward(self, returned, y):
        logits, hidden = returned
        return nn.functional.cross_entropy(logits, y) + hidden.square().mean()


class OwnLoss(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, X, *args, **kwargs):
        penalty = y_pred[1].square().mean() + 0 * X.sum()
        return super().get_loss(y_pred[0], y_true, X, *args, **kwargs) + penalty


class OwnStep(NeuralNetClassifier):
    def train_step_single(self, batch, **fit_params):
        X, y = batch
        self.module_.train()
        logits, hidden = self.infer(X, **fit_params)
        loss = self.get_loss(logits, y, X=X, training=True) + hidden.square().mean()
        loss.backward()
        return {"loss": loss, "y_pred": logits}


@pytest.mark.parametrize(
    "settings",
    [{"criterion": HiddenLoss}, {"cls": OwnLoss}, {"cls": OwnStep}],
    ids=["criterion", "get_loss", "train_step"],
)
def test_losses_that_want_the_structure_get_it(settings, data):
    module = returning(lambda logits, hidden: (logits, hidden))
    net = make_net(**settings, module=module, max_epochs=3, callbacks=[RecordTraining("all")])
    record = TrainingRecord.from_fit(net, *data, random_state=0)
    norms = [c.state_dict()["hidden.weight"].norm() for c in record.checkpoints]
    plain = make_net(module=module, max_epochs=3, callbacks=[RecordTraining("all")])
    expected = TrainingRecord.from_fit(plain, *data, random_state=0)
    # The penalty on what is hidden shrinks the weights.
    assert norms[-1] < expected.checkpoints[-1].state_dict()["hidden.weight"].norm()
    assert record.trajectory is not None


def test_structures_of_training_only_are_trained_as_their_logits(data, plain):
    class WithHelper(Named):
        """Returns the logits of a helper too while it learns, as Inception does."""

        def forward(self, x):
            logits = super().forward(x)
            return Pair(logits, 2 * logits) if self.training else logits

    found = table_of(make_net(module=WithHelper, max_epochs=2), *data)
    for expected, numbers in zip(plain, found, strict=True):
        np.testing.assert_array_equal(numbers, expected)


@pytest.mark.parametrize("wraps", [tuple, list])
def test_binary_nets_of_skorch_take_tuples_only(wraps, data):
    class OneLogit(Named):
        def forward(self, x):
            return wraps([super().forward(x), x])

    X, y = data
    net = make_net(NeuralNetBinaryClassifier, module=OneLogit, module__n_outputs=1)
    net.set_params(criterion=nn.BCEWithLogitsLoss, max_epochs=2)
    if wraps is tuple:
        assert np.isfinite(VoGScorer(net).fit(X, y % 2).difficulty_).all()
        return
    with pytest.raises(ValueError, match="NeuralNetBinaryClassifier takes a tensor, or a tuple"):
        VoGScorer(net).fit(X, y % 2)


def test_validation_sets_are_scored_from_structures(data):
    X, y = data
    module = returning(lambda logits, hidden: {"hidden": hidden, "logits": logits})
    net = make_net(module=module, train_split=predefined_split(Dataset(X[:12], y[:12])))
    record = TrainingRecord.from_fit(net, X, y, random_state=0)
    history = record.net.history
    assert 0 <= history[-1, "valid_acc"] <= 1
    assert not {"get_loss", "infer", "fit_loop"} & set(vars(record.net))


class OfDict(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return super().get_loss(y_pred["out"], y_true, *args, **kwargs)


def test_training_of_the_users_own_goes_on_without_predictions(data):
    net = make_net(
        OfDict,
        module=returning(lambda logits, hidden: {"out": logits}),
        callbacks=[RecordTraining()],
        train_split=None,
    ).fit(*data)
    [recorder] = net.callbacks
    assert recorder.trajectory_ is None
    assert "predictions cannot be found" in recorder.trajectory_problem_
    assert recorder.n_epochs_ == 5


def test_logits_go_before_what_comes_first():
    logits, other = torch.zeros(2, 3), torch.ones(2, 3)
    for returned in (WithLoss(other, logits, other), {"loss": other, "logits": logits}):
        assert first_output(returned) is logits
