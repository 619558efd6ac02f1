# SPDX-License-Identifier: BSD-3-Clause
"""TrainingRecord: four ways to make one, one way to read it."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetRegressor
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import TensorDataset

from sklearn_difficulty import VoGScorer
from sklearn_difficulty.training import RecordTraining, TrainingRecord


@pytest.fixture
def record(make_net, data):
    return TrainingRecord.from_fit(make_net(), *data, checkpoints=3, random_state=0)


def states_equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_names_that_others_rely_on(record, data):
    assert not record.module.training
    assert [c.epoch for c in record.checkpoints] == [2, 3, 4]
    assert states_equal(record.checkpoints[-1].state_dict(), record.module.state_dict())
    assert record.classes_.tolist() == [0, 1, 2]
    assert (record.outputs, record.n_epochs) == ("logits", 4)
    assert isinstance(record.criterion, nn.CrossEntropyLoss)
    assert repr(record) == "TrainingRecord(Tiny, checkpoints at epochs [2, 3, 4])"


def test_clones_to_itself(record):
    assert clone(record) is record
    assert clone(VoGScorer(record)).estimator is record


def test_pickle_holds_no_rows(make_net, data):
    X = np.tile(data[0], (500, 1))  # 384 kB
    net = make_net(max_epochs=2, batch_size=len(X))
    record = TrainingRecord.from_fit(net, X, np.tile(data[1], 500))
    pickled = pickle.dumps(record)
    of_trajectory = len(pickle.dumps(record.trajectory))
    assert len(pickled) - of_trajectory < X.nbytes / 5
    again = pickle.loads(pickled)
    small = data[0]
    with pytest.warns(UserWarning, match="other rows"):
        ours, theirs = (VoGScorer(r).fit(small, data[1]).difficulty_ for r in (record, again))
    assert_array_equal(ours, theirs)


# ------------------------------------------------------------------------------------- from_net


def test_from_net(make_net, data):
    X, y = data
    net = make_net(callbacks=[RecordTraining(3)], train_split=None)
    record = TrainingRecord.from_net(net.fit(X, y))
    assert record.net is net
    assert record.module is not net.module_
    assert states_equal(record.module.state_dict(), net.module_.state_dict())
    assert [c.epoch for c in record.checkpoints] == [2, 3, 4]
    assert record.difference(X, y) is None
    frozen = VoGScorer(FrozenEstimator(net)).fit(X, y)
    assert_array_equal(frozen.difficulty_, VoGScorer(record).fit(X, y).difficulty_)


def test_from_net_leaves_the_mode_of_the_users_module(make_net, data):
    net = make_net(callbacks=[RecordTraining()], train_split=None).fit(*data)
    net.module_.train()
    TrainingRecord.from_net(net)
    assert net.module_.training


def test_from_net_takes_labels_as_columns(make_net, data):
    # To skorch, the labels 1 and 3 are columns 1 and 3 of four.
    X, y = data[0], np.array([1, 3])[data[1] % 2]
    net = make_net(module__n_outputs=4, callbacks=[RecordTraining()], train_split=None).fit(X, y)
    record = TrainingRecord.from_net(net)
    assert record.classes_.tolist() == [0, 1, 2, 3]
    assert record.difference(X, y) is None
    scorer = VoGScorer(record, target="loss", normalize=None).fit(X, y)
    given = scorer.score_samples(X, y)
    named = TrainingRecord.from_net(net, classes=["a", "b", "c", "d"])
    other = VoGScorer(named, target="loss", normalize=None).fit(X, np.array(list("abcd"))[y])
    assert_array_equal(given, other.difficulty_)


@pytest.mark.parametrize(
    ("cls", "criterion", "last", "n_outputs", "outputs"),
    [
        (NeuralNet, nn.NLLLoss, nn.LogSoftmax(1), 3, "log_probabilities"),
        (None, nn.NLLLoss, nn.Softmax(1), 3, "probabilities"),
        (None, nn.CrossEntropyLoss, None, 3, "logits"),
        (NeuralNetBinaryClassifier, nn.BCEWithLogitsLoss, None, 1, "binary_logit"),
        (NeuralNetRegressor, nn.MSELoss, None, 1, "values"),
    ],
)
def test_from_net_and_from_fit_agree_on_outputs(
    make_net, data, cls, criterion, last, n_outputs, outputs
):
    X, y = data
    target = {"values": X[:, :1], "binary_logit": (y > 0).astype("f4")}.get(outputs, y)
    net = make_net(
        criterion=criterion,
        module__last=last,
        module__n_outputs=n_outputs,
        callbacks=[RecordTraining()],
        train_split=None,
        **({} if cls is None else {"cls": cls}),
    )
    assert TrainingRecord.from_net(net.fit(X, target)).outputs == outputs
    target = target[:, 0] if outputs == "values" else target
    assert TrainingRecord.from_fit(clone(net), X, target).outputs == outputs


@pytest.mark.parametrize(
    ("callbacks", "fit", "error", "message"),
    [
        ([RecordTraining()], False, NotFittedError, "not fitted.*RecordTraining"),
        (None, True, ValueError, "without a recorder"),
    ],
)
def test_from_net_says_what_is_missing(make_net, data, callbacks, fit, error, message):
    net = make_net(callbacks=callbacks)
    if fit:
        net.fit(*data)
    with pytest.raises(error, match=message):
        TrainingRecord.from_net(net)


class Dies(Callback):
    """Raises where it is told to, as long as it is armed."""

    def __init__(self, where, error=OSError):
        self.where, self.error, self.armed = where, error, True

    def on_train_begin(self, net, **kwargs):
        self._at("train_begin")

    def on_epoch_end(self, net, **kwargs):
        self._at(len(net.history))

    def on_batch_end(self, net, training=False, **kwargs):
        self._at("batch")

    def _at(self, where):
        if self.armed and where == self.where:
            raise self.error("disk full")


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("where", "n_epochs"), [("train_begin", 0), ("batch", 0), (1, 0), (3, 2), (4, 3)]
)
@pytest.mark.parametrize("refit", [None, "fit", "partial_fit"])
def test_a_fit_that_died_is_not_taken_for_a_finished_one(
    make_net, data, order, where, n_epochs, refit
):
    dies = Dies(where if refit != "partial_fit" or where in ("train_begin", "batch") else where + 4)
    dies.armed = refit is None
    recorder = RecordTraining()
    net = make_net(callbacks=[("r", recorder), ("d", dies)][::order], train_split=None)
    if refit is not None:
        net.fit(*data)
        assert TrainingRecord.from_net(net).n_epochs == 4
        dies.armed = True
    with pytest.raises(OSError, match="disk full"):
        getattr(net, refit or "fit")(*data)
    if refit == "partial_fit" and where == "train_begin" and order == -1:
        return  # before training began: the net is as its first fit has left it
    ran = n_epochs + (order == 1 and isinstance(where, int))
    for read in (TrainingRecord.from_net, lambda n: VoGScorer(FrozenEstimator(n)).fit(*data)):
        for died in (net, pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
            with pytest.raises(ValueError, match=rf"did not come to its end, {ran} epoch.*again"):
                read(died)
    dies.armed = False
    assert TrainingRecord.from_net(net.fit(*data)).n_epochs == 4


def test_an_early_stop_and_more_training_are_finished_fits(make_net, data):
    stops = Dies(2, KeyboardInterrupt)
    net = make_net(callbacks=[RecordTraining(), stops], train_split=None).fit(*data)
    assert TrainingRecord.from_net(net).n_epochs == 2
    assert VoGScorer(FrozenEstimator(net)).fit(*data).record_.n_epochs == 2
    stops.armed = False
    record = TrainingRecord.from_net(net.partial_fit(*data))
    assert [checkpoint.epoch for checkpoint in record.checkpoints] == [1, 2, 3, 4]
    assert record.n_epochs == 4


def test_a_net_that_was_only_initialized_or_made_anew(make_net, data):
    net = make_net(callbacks=[RecordTraining()], train_split=None).initialize()
    with pytest.raises(ValueError, match="did not come to its end, 0 epoch"):
        TrainingRecord.from_net(net)
    net.fit(*data).set_params(module__dropout=0.5)
    with pytest.raises(ValueError, match="its module has been made anew since it was fitted"):
        TrainingRecord.from_net(net)
    with pytest.raises(ValueError, match="did not come to its end, 0 epoch"):
        TrainingRecord.from_net(net.fit(*data).initialize())
    for make in (copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))):
        assert TrainingRecord.from_net(make(net.fit(*data))).n_epochs == 4


def test_from_net_of_a_dataset(make_net, data):
    dataset = TensorDataset(*map(torch.tensor, data))
    net = make_net(callbacks=[RecordTraining()], train_split=None).fit(dataset, None)
    record = TrainingRecord.from_net(net)
    assert record.classes_.tolist() == [0, 1, 2]
    assert record.rows is None
    assert np.isfinite(VoGScorer(record).fit(*data).difficulty_).all()


def default_split_fit(make_net, data):
    """Fit a net as its user would: skorch puts a fifth of the rows aside."""
    X, y = np.tile(data[0], (4, 1))[:150], np.tile(data[1], 4)[:150]
    X = X + np.arange(150, dtype="f4")[:, None] / 1000  # no two rows are alike
    net = make_net(callbacks=[RecordTraining()]).fit(X, y)
    return net, X, y, net.get_split_datasets(X, y)[0].indices


@pytest.mark.parametrize("kind", ["array", "tensor", "dict"])
def test_rows_that_skorch_put_aside_are_no_training_rows(make_net, data, kind):
    net, X, y, trained = default_split_fit(make_net, data)
    assert len(trained) == 120
    if kind == "tensor":
        net.fit(torch.tensor(X), torch.tensor(y))
    elif kind == "dict":
        net.fit({"x": X}, y)
    of_kind = {"x": X} if kind == "dict" else X
    with pytest.warns(UserWarning, match="150 rows instead of 120"):
        VoGScorer(FrozenEstimator(net)).fit(of_kind, y)
    of_kind = {"x": X[trained]} if kind == "dict" else X[trained]
    with warnings.catch_warnings(action="error"):
        VoGScorer(FrozenEstimator(net)).fit(of_kind, y[trained])
    others = np.setdiff1d(np.arange(150), trained)
    with pytest.warns(UserWarning, match="another X"):
        VoGScorer(FrozenEstimator(net)).fit(X[np.r_[others, trained[:90]]], y[trained])


@pytest.mark.parametrize("kind", ["net", "frozen"])
def test_the_record_does_not_follow_the_net(make_net, data, kind):
    X, y = data
    net = make_net(callbacks=[RecordTraining()], train_split=None, max_epochs=8)
    given = net if kind == "net" else FrozenEstimator(net.fit(X, y))
    scorer = VoGScorer(given, random_state=0).fit(X, y)
    assert not scorer.record_.module.training
    before = scorer.score_samples(X), scorer.gradient_maps(X)
    epochs = [c.epoch for c in scorer.record_.checkpoints]
    scorer.estimator_.set_params(lr=5.0).partial_fit(X, (y + 1) % 3)
    assert scorer.estimator_.module_ is not scorer.record_.module
    assert not scorer.record_.module.training
    assert [c.epoch for c in scorer.record_.checkpoints] == epochs
    assert_array_equal(scorer.score_samples(X), before[0])
    assert_array_equal(scorer.gradient_maps(X), before[1])


@pytest.mark.filterwarnings("ignore:This record was trained on other rows")
@pytest.mark.parametrize("n_classes", [2, 4])
def test_from_net_with_another_number_of_classes(make_net, data, n_classes):
    net = make_net(callbacks=[RecordTraining()], train_split=None).fit(*data)
    record = TrainingRecord.from_net(net, classes=range(n_classes))
    X, y = data[0], data[1] % 2
    with pytest.raises(ValueError, match=rf"Tiny.*there are {n_classes} classes: it must return"):
        VoGScorer(record).fit(X, y)


def test_from_net_of_a_module_that_belies_its_loss(make_net, data):
    net = make_net(
        criterion=nn.NLLLoss,
        module__last=nn.Softplus(),
        callbacks=[RecordTraining()],
        train_split=None,
    ).fit(*data)
    with pytest.raises(ValueError, match=r"NLLLoss.*Tiny must return probabilities"):
        VoGScorer(TrainingRecord.from_net(net), target="loss").fit(*data)


# ------------------------------------------------------------------------------ from_checkpoints


@pytest.mark.parametrize("kind", ["dict", "safetensors", "torch"])
def test_from_checkpoints(record, data, tiny_module, tmp_path, kind):
    states = []
    for checkpoint in record.checkpoints:
        state = checkpoint.state_dict()
        path = tmp_path / f"{checkpoint.epoch}.{'pt' if kind == 'torch' else 'safetensors'}"
        if kind == "torch":
            torch.save(state, path)
        elif kind == "safetensors":
            save_file(state, path)
        states.append(state if kind == "dict" else path)
    module = tiny_module().train()
    before = copy.deepcopy(module.state_dict())
    made = TrainingRecord.from_checkpoints(
        module, iter(states), classes=["a", "b", "c"], epochs=[2, 3, 4]
    )
    assert states_equal(module.state_dict(), before)
    assert module.training
    assert states_equal(made.module.state_dict(), record.module.state_dict())
    assert made.n_epochs == 4
    names = np.array(["a", "b", "c"])[data[1]]
    expected = VoGScorer(record, target="loss").fit(*data).difficulty_
    assert_array_equal(VoGScorer(made, target="loss").fit(data[0], names).difficulty_, expected)


def test_from_checkpoints_copies_the_states(record, tiny_module):
    states = [c.state_dict() for c in record.checkpoints]
    made = TrainingRecord.from_checkpoints(tiny_module(), states, classes=[0, 1, 2])
    for state in states:
        for value in state.values():
            value.zero_()
    assert made.checkpoints[0].state_dict()["layers.0.weight"].any()


def test_from_checkpoints_regressor(data):
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    states = [{k: v * s for k, v in module.state_dict().items()} for s in (1, 2, 3)]
    made = TrainingRecord.from_checkpoints(module, states, outputs="values")
    assert made.classes_ is None
    assert isinstance(made.criterion, nn.MSELoss)
    assert np.isfinite(VoGScorer(made).fit(data[0], data[0][:, 0]).difficulty_).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": None}, "classes is None, which means regression"),
        ({"outputs": "odds"}, "outputs must be one of .*'odds'"),
        ({"states": []}, "states is empty"),
        ({"epochs": [1]}, r"strictly increasing, one per state; got \[1\] for 2 states"),
        ({"epochs": [2, 1]}, "strictly increasing"),
        ({"epochs": [-1, 1]}, "integers from 0 on"),
        ({"epochs": [1, 2.5]}, r"got \[1, 2\.5\]"),
        ({"epochs": [False, True]}, "integers from 0 on"),
        ({"epochs": [1, 1]}, "strictly increasing"),
    ],
)
def test_from_checkpoints_bad_arguments(settings, message):
    module = nn.Linear(4, 3)
    arguments = {"states": [module.state_dict()] * 2, "classes": [0, 1, 2], **settings}
    with pytest.raises(ValueError, match=message):
        TrainingRecord.from_checkpoints(module, arguments.pop("states"), **arguments)


@pytest.mark.parametrize("classes", [[0, 1, 1], ["bag", "coat", "bag"]])
def test_duplicate_classes_are_refused(make_net, data, classes):
    module = nn.Linear(4, 3)
    with pytest.raises(ValueError, match="classes must be distinct"):
        TrainingRecord.from_checkpoints(module, [module.state_dict()], classes=classes)
    net = make_net(callbacks=[RecordTraining()], train_split=None).fit(*data)
    with pytest.raises(ValueError, match="classes must be distinct"):
        TrainingRecord.from_net(net, classes=classes)


def test_classes_of_several_kinds_are_named():
    module = nn.Linear(4, 3)
    classes = np.array(["a", 1, 2.5], dtype=object)
    with pytest.raises((TypeError, ValueError), match="classes"):
        TrainingRecord.from_checkpoints(module, [module.state_dict()], classes=classes)


@pytest.mark.parametrize("normalize", ["class", None])
@pytest.mark.parametrize("names", [["shirt", "bag", "coat"], [5, 9, 2]])
def test_classes_may_come_in_the_order_of_the_columns(record, data, tiny_module, names, normalize):
    X, y = data
    order = np.argsort(names)
    states = [dict(c.state_dict()) for c in record.checkpoints]
    by_column = TrainingRecord.from_checkpoints(tiny_module(), states, classes=names)
    for state in states:
        for name in ("layers.3.weight", "layers.3.bias"):
            state[name] = state[name][order.tolist()]
    is_sorted = TrainingRecord.from_checkpoints(tiny_module(), states, classes=sorted(names))
    labels = np.array(names)[y]
    assert_array_equal(by_column.targets(X, labels), y)
    scores = []
    for made in (by_column, is_sorted):
        scorer = VoGScorer(made, normalize=normalize).fit(X, labels)
        scores.append(
            [scorer.difficulty_, scorer.score_samples(X), scorer.score_samples(X, labels)]
        )
    np.testing.assert_allclose(*scores, rtol=1e-4, atol=1e-5)
    plain = VoGScorer(record, normalize=normalize).fit(X, y)
    assert_array_equal(scores[0][0], plain.difficulty_)


def test_from_checkpoints_of_another_architecture():
    with pytest.raises(ValueError, match=r"'weight' has shape \(3, 5\) and not \(3, 4\)"):
        TrainingRecord.from_checkpoints(
            nn.Linear(4, 3), [nn.Linear(5, 3).state_dict()], classes=[0, 1, 2]
        )


# --------------------------------------------------------------------------------------- reading


def test_a_record_is_read_and_never_trained(record, data, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("an optimizer was made")

    monkeypatch.setattr(torch.optim.Optimizer, "__init__", refuse)
    before = copy.deepcopy(record.module.state_dict())
    states = [c.state_dict() for c in record.checkpoints]
    states = copy.deepcopy(states)
    scorer = VoGScorer(record).fit(*data)
    scorer.score_samples(data[0])
    assert scorer.record_ is record
    assert states_equal(record.module.state_dict(), before)
    assert all(map(states_equal, states, (c.state_dict() for c in record.checkpoints)))
    assert not record.module.training


@pytest.mark.parametrize(
    "kind", [np.float64, np.float32, pd.DataFrame, torch.tensor, list], ids=lambda k: k.__name__
)
def test_the_same_rows_are_recognised(record, data, kind, recwarn):
    X = data[0].astype(kind) if kind in (np.float64, np.float32) else kind(data[0].copy())
    VoGScorer(record).fit(X, data[1])
    assert not [w for w in recwarn if "other rows" in str(w.message)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X + 1, y), "another X"),
        (lambda X, y: (X[::-1], y[::-1]), "another X"),
        (lambda X, y: (X, (y + 1) % 3), "other labels"),
        (lambda X, y: (X[:40], y[:40]), "40 rows instead of 48"),
    ],
)
def test_other_rows_are_warned_of(record, data, change, message):
    with pytest.warns(UserWarning, match=rf"trained on other rows \({message}\)"):
        VoGScorer(record).fit(*change(*data))


def test_select_names_the_setting(record):
    assert [c.epoch for c in record.select(2)] == [2, 4]
    with pytest.raises(ValueError, match=r"needs epochs \[0\].*RecordTraining\(checkpoints=\[0\]"):
        record.select([0])


def test_compiled_net(make_net, data):
    net = make_net(compile=True, compile__backend="eager")
    compiled = TrainingRecord.from_fit(net, *data, random_state=0)
    plain = TrainingRecord.from_fit(make_net(), *data, random_state=0)
    assert states_equal(compiled.checkpoints[0].state_dict(), plain.checkpoints[0].state_dict())
    expected = VoGScorer(plain).fit(*data).difficulty_
    np.testing.assert_allclose(VoGScorer(compiled).fit(*data).difficulty_, expected, rtol=1e-4)


def states_of(module, n):
    return [{k: v + i for k, v in module.state_dict().items()} for i in range(n)]


def test_identical_checkpoints_are_warned_of():
    module = torch.nn.Linear(3, 2)
    with pytest.warns(UserWarning, match="without cloning"):
        TrainingRecord.from_checkpoints(module, [module.state_dict()] * 3, classes=[0, 1])


def test_lightning_files_are_read():
    module = torch.nn.Linear(3, 2)
    files = [{"state_dict": s, "epoch": i} for i, s in enumerate(states_of(module, 2))]
    record = TrainingRecord.from_checkpoints(module, files, classes=[0, 1])
    assert [c.epoch for c in record.checkpoints] == [1, 2]


def test_one_state_is_no_list_of_states():
    module = torch.nn.Linear(3, 2)
    with pytest.raises(TypeError, match="states must be a list"):
        TrainingRecord.from_checkpoints(module, module.state_dict(), classes=[0, 1])


def test_records_on_disk_do_not_depend_on_the_working_directory(tmp_path, monkeypatch):
    module = torch.nn.Linear(3, 2)
    monkeypatch.chdir(tmp_path)
    TrainingRecord.from_checkpoints(module, states_of(module, 2), classes=[0, 1]).save("kept")
    record = TrainingRecord.load("kept", module)
    with pytest.raises(TypeError, match=r"pass Linear\(\.\.\.\)"):
        TrainingRecord.load("kept", torch.nn.Linear)
    monkeypatch.chdir("/")
    assert set(record.checkpoints[0].state_dict()) == {"weight", "bias"}


# --------------------------------------------------------------------------------- trajectories


@pytest.mark.parametrize("mode", ["training", "evaluation"])
def test_from_fit_passes_on_how_to_record(make_net, data, mode):
    record = TrainingRecord.from_fit(make_net(), *data, mode=mode, keep_logits=True)
    assert record.trajectory.mode == mode
    assert record.trajectory.logits.shape == (4, 48, 3)
    assert record.trajectory_problem is None
    assert TrainingRecord.from_fit(make_net(), *data).trajectory.logits is None


def test_from_net_has_the_trajectory_of_the_net(make_net, data):
    net = make_net(callbacks=[RecordTraining()], train_split=None).fit(*data)
    trajectory = TrainingRecord.from_net(net).trajectory
    assert trajectory is dict(net.callbacks_)["RecordTraining"].trajectory_
    assert trajectory.difference(*data) is None


def test_own_recorder_decides_how_to_record(make_net, data):
    net = make_net(callbacks=[RecordTraining(mode="evaluation")])
    record = TrainingRecord.from_fit(net, *data, mode="training", keep_logits=True)
    assert record.trajectory.mode == "evaluation"
    assert record.trajectory.logits is None


@pytest.mark.parametrize("names", [["a", "b", "c"], [True, False], [10, 20, 30]])
def test_trajectory_has_positions_whatever_the_labels(make_net, data, names):
    X, y = data[0], data[1] % len(names)
    net = make_net(module__n_outputs=len(names))
    record = TrainingRecord.from_fit(net, X, np.array(names)[y])
    expected = np.unique(np.array(names)[y], return_inverse=True)[1]
    assert_array_equal(record.trajectory.targets, expected)
