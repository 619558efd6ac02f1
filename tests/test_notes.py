# SPDX-License-Identifier: BSD-3-Clause
"""An error in what the user wrote keeps its type and gets one note that says where it happened."""

import re

import pytest
from skorch.callbacks import Callback
from small_nets import TwoLayers, make_net
from torch import nn
from torch.utils.data import Dataset, Subset, default_collate

from sklearn_difficulty import ConsistencyScorer, TrainingDynamicsScorer, TrainingRecord, VoGScorer
from sklearn_difficulty._warnings import locate, located

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


class Own(Exception):
    """An error of the user's own, with an argument that is not a message."""


class Rows(Dataset):
    """Rows of which one cannot be had, from some number of readings on."""

    def __init__(self, X, y, bad=17, after=0):
        self.X, self.y, self.bad, self.after = X, y, bad, after

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        if index == self.bad:
            self.after -= 1
            if self.after < 0:
                raise Own(index)
        return self.X[index], self.y[index]


class FailsInTraining(TwoLayers):
    """Fails at the third batch of the second epoch, or in eval mode."""

    def __init__(self, in_training=True):
        super().__init__()
        self.in_training, self.n_calls = in_training, 0

    def forward(self, x):
        self.n_calls += self.training
        if self.in_training and self.n_calls == 5:
            raise Own("module")
        return super().forward(x)


class FailsInLoss(nn.CrossEntropyLoss):
    n_calls = 0

    def forward(self, outputs, targets):
        self.n_calls += 1
        if self.n_calls == 5:
            raise Own("loss")
        return super().forward(outputs, targets)


class FailsInCallback(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise Own("callback")


class FailingCollate:
    def __init__(self):
        self.n_calls = 0

    def __call__(self, items):
        self.n_calls += len(items) > 2
        if self.n_calls > 9:
            raise Own("collate_fn")
        return default_collate(items)


SETTINGS = {
    "module": {"module": FailsInTraining},
    "loss": {"criterion": FailsInLoss},
    "callback": {"callbacks": [FailsInCallback()]},
}


@pytest.mark.parametrize("what", SETTINGS)
def test_of_a_single_fit(data, what):
    with pytest.raises(Own) as caught:
        TrainingDynamicsScorer(make_net(**SETTINGS[what], batch_size=16)).fit(*data)
    assert caught.value.args == (what,)
    assert caught.value.__notes__ == ["This happened in epoch 2."]


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
@pytest.mark.parametrize("what", SETTINGS)
@pytest.mark.filterwarnings("ignore:The members are trained one by one")
def test_of_members(data, what, backend):
    net = make_net(**SETTINGS[what], batch_size=8)
    scorer = ConsistencyScorer(net, n_members=2, train_size=0.5, backend=backend)
    with pytest.raises(Own) as caught:
        scorer.fit(*data)
    assert caught.value.args == (what,)
    [note] = caught.value.__notes__
    expected = r"This happened in epoch \d, in members? 0(, 1)? of the ensemble\."
    assert re.fullmatch(expected, note)


def test_of_items(data):
    X, y = data
    net = make_net(iterator_train__shuffle=False)
    for rows in (Rows(X, y, after=4), Subset(Rows(X, y, after=4), range(5, 48))):
        with pytest.raises(Own) as caught:
            TrainingDynamicsScorer(net).fit(rows, y[: len(rows)])
        assert caught.value.args == (17,)
        [note] = caught.value.__notes__
        assert re.fullmatch(r"This happened in item 17 of the Rows, in epoch \d\.", note)
    scorer = ConsistencyScorer(net, n_members=2, train_size=0.5, random_state=0)
    with pytest.raises(Own) as caught:
        scorer.fit(Rows(X, y, after=2), y)
    [note] = caught.value.__notes__
    assert note.startswith("This happened in item 17 of the Rows")
    assert note.endswith(", in member 0 of the ensemble.")
    # Labels are read before training, scores after it.
    for rows, scorer in (
        (Rows(X, y), TrainingDynamicsScorer(net)),
        (Rows(X, y, after=6), VoGScorer(net)),
    ):
        with pytest.raises(Own) as caught:
            scorer.fit(rows)
        assert [note.split(",")[0].rstrip(".") for note in caught.value.__notes__] == [
            "This happened in item 17 of the Rows"
        ]


def test_of_a_collate_fn(data):
    net = make_net(iterator_train__collate_fn=FailingCollate(), batch_size=16)
    with pytest.raises(Own) as caught:
        TrainingDynamicsScorer(net).fit(Rows(*data, bad=None))
    assert caught.value.args == ("collate_fn",)
    [note] = caught.value.__notes__
    assert note.startswith("This happened in collate_fn, in epoch ")


def test_of_reading(data):
    X, y = data

    class OnlyShort(TwoLayers):
        def forward(self, x):
            if not self.training and (x[:, 0] == X[40, 0]).any():
                raise Own("reading")
            return super().forward(x)

    record = TrainingRecord.from_fit(make_net(module=OnlyShort), X, y)
    with pytest.raises(Own) as caught:
        VoGScorer(record, batch_size=16).fit(X, y)
    assert caught.value.__notes__ == ["This happened in rows 32 to 47."]


def test_notes_of_others_are_left_alone():
    error = Own()
    error.add_note("Mind the gap.")
    with pytest.raises(Own), located("outside"), located("inside"):
        raise error
    locate(error, "far away")
    assert error.__notes__ == ["Mind the gap.", "This happened inside, outside, far away."]
    with pytest.raises(KeyboardInterrupt) as caught, located("here"):
        raise KeyboardInterrupt
    assert not hasattr(caught.value, "__notes__")
