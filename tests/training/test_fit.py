# SPDX-License-Identifier: BSD-3-Clause
"""Training a clone: seeds, interrupts, labels, dtypes, Datasets; nothing else is touched."""

import os
import pickle
import random
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, EpochTimer
from skorch.dataset import Dataset as SkorchDataset
from skorch.helper import predefined_split
from torch import nn
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from sklearn_difficulty import VoGScorer
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.training import RecordTraining, TrainingRecord
from sklearn_difficulty.training.fit import fit_network


def weights(record):
    return torch.cat([p.detach().flatten() for p in record.module.parameters()])


def global_state():
    return (
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),
        np.random.get_state()[2:],
        random.getstate(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        torch.is_grad_enabled(),
        signal.getsignal(signal.SIGINT),
    )


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


# -------------------------------------------------------------------------------- random state


@pytest.mark.parametrize("shuffle", [True, False])
def test_same_seed_same_weights(make_net, data, shuffle):
    net = make_net(module__dropout=0.5, iterator_train__shuffle=shuffle)
    first, again, other = (TrainingRecord.from_fit(net, *data, random_state=s) for s in (1, 1, 2))
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


class Watching(nn.Module):
    """Remembers the first feature of the rows that it is trained on, in their order."""

    orders = []

    def __init__(self, dropout=0.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(dropout), nn.Linear(4, 3))

    def forward(self, x):
        if self.training:
            self.orders[-1].extend(x[:, 0].tolist())
        return self.layers(x)


def test_initialisation_order_and_dropout_have_streams_of_their_own(make_net, data):
    Watching.orders.clear()
    records = {}
    for name, dropout, seed in [("plain", 0.0, 0), ("dropout", 0.5, 0), ("other", 0.0, 1)]:
        Watching.orders.append([])
        net = make_net(Watching, module__dropout=dropout, iterator_train__shuffle=True)
        records[name] = TrainingRecord.from_fit(net, *data, checkpoints=[0, 4], random_state=seed)
    start = {name: r.checkpoints[0].state_dict()["layers.1.weight"] for name, r in records.items()}
    plain, dropout, other = Watching.orders
    assert torch.equal(start["plain"], start["dropout"])
    assert not torch.equal(weights(records["plain"]), weights(records["dropout"]))
    assert not torch.equal(start["plain"], start["other"])
    assert plain == dropout != other
    assert sorted(plain[:48]) == sorted(other[:48]) == sorted(data[0][:, 0].tolist())
    assert plain[:48] != plain[48:96]


def test_unshuffled_order_is_left_alone(make_net, data):
    Watching.orders.append([])
    TrainingRecord.from_fit(make_net(Watching, max_epochs=1), *data)
    assert_array_equal(Watching.orders[-1], data[0][:, 0])


class Fails(nn.Module):
    """Fails in training in the way that it is told to."""

    def __init__(self, how=None):
        super().__init__()
        self.how = how
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        random.random(), np.random.rand(), torch.rand(1)
        if self.training and self.how is not None:
            self.how()
        return self.layer(x)


def divide():
    return 1 / 0


@pytest.mark.parametrize(
    ("how", "error"), [(None, None), (divide, ZeroDivisionError), (press_ctrl_c, KeyboardInterrupt)]
)
@pytest.mark.parametrize("random_state", [0, None])
@pytest.mark.parametrize("as_dataset", [False, True])
def test_global_state_is_left_as_it_was(make_net, data, how, error, random_state, as_dataset):
    net = make_net(Fails, module__how=how, iterator_train__shuffle=True)
    X, y = data
    rows = (TensorDataset(torch.tensor(X), torch.tensor(y)), None) if as_dataset else (X, y)
    before, attributes = global_state(), dict(vars(net))
    if error is None:
        TrainingRecord.from_fit(net, *rows, random_state=random_state)
    else:
        with pytest.raises(error):
            TrainingRecord.from_fit(net, *rows, random_state=random_state)
    assert global_state() == before
    assert vars(net) == attributes


def test_trained_net_has_nothing_of_ours_left(make_net, data):
    net = TrainingRecord.from_fit(make_net(iterator_train__shuffle=True), *data).net
    assert not {"fit_loop", "infer", "iterator_train__generator"} & set(vars(net))
    assert "iterator_train__generator" not in net.get_params()
    assert "report_epochs" not in dict(net.callbacks_)


@pytest.mark.parametrize("how", [divide, press_ctrl_c])
def test_net_of_a_failed_fit_has_nothing_of_ours_left(make_net, data, how):
    net = make_net(Fails, module__how=how, iterator_train__shuffle=True)
    trained = []
    with pytest.raises((ZeroDivisionError, KeyboardInterrupt)):
        fit_network(
            net,
            as_rows(data[0]),
            data[1],
            np.arange(3),
            recorder=RecordTraining(),
            random_state=0,
            verbose=0,
            rehearse=lambda parts, *_: trained.append(parts.net),
        )
    [net] = trained
    assert not {"fit_loop", "infer", "iterator_train__generator"} & set(vars(net))
    assert "report_epochs" not in dict(net.callbacks_)


@pytest.mark.parametrize("callbacks", [None, "disable", [EpochTimer()]])
def test_trained_net_can_be_used_again(make_net, data, callbacks):
    given = make_net(callbacks=callbacks, iterator_train__shuffle=True)
    record = TrainingRecord.from_fit(given, *data, checkpoints=[4], random_state=0)
    net = pickle.loads(pickle.dumps(record.net))
    assert type(clone(net).callbacks) is type(callbacks)
    assert len(net.fit(*data).history) == 4
    search = GridSearchCV(clone(net), {"lr": [0.1]}, cv=2).fit(*data)
    assert search.best_score_ > 0.3
    # The recorder was ours: another reader gets the checkpoints that it asks for.
    again = TrainingRecord.from_fit(record.net, *data, checkpoints=[1, 2], random_state=0)
    assert [c.epoch for c in again.checkpoints] == [1, 2]
    assert torch.equal(weights(again), weights(record))


def test_own_generator_is_used_and_not_advanced(make_net, data):
    generator = torch.Generator().manual_seed(5)
    before = generator.get_state()
    net = make_net(iterator_train__shuffle=True, iterator_train__generator=generator)
    first, again = (TrainingRecord.from_fit(net, *data, random_state=0) for _ in range(2))
    assert torch.equal(weights(first), weights(again))
    assert torch.equal(generator.get_state(), before)
    assert net.iterator_train__generator is generator


# ----------------------------------------------------------------------- interrupts and stopping


class CallsBack(Callback):
    """Does something at the end of the second epoch, on its own line or in a helper."""

    def __init__(self, what, by_helper=False):
        self.what = what
        self.by_helper = by_helper

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) < 2:
            return
        if self.by_helper:
            HELPERS[self.what]()
        elif self.what == "ctrl-c":
            os.kill(os.getpid(), signal.SIGINT)
            sum(range(1000))  # gives the signal time to arrive on this frame's own lines
        else:
            raise KeyboardInterrupt


def stop_training():
    raise KeyboardInterrupt


HELPERS = {"ctrl-c": press_ctrl_c, "stop": stop_training}


@pytest.mark.parametrize("by_helper", [False, True])
@pytest.mark.parametrize("fit", ["record", "scorer"])
def test_ctrl_c_in_a_callback_raises(make_net, data, by_helper, fit, tmp_path):
    recorder = RecordTraining("all", checkpoint_dir=tmp_path)
    net = make_net(callbacks=[recorder, CallsBack("ctrl-c", by_helper)])
    before = global_state()
    with pytest.raises(KeyboardInterrupt):
        TrainingRecord.from_fit(net, *data) if fit == "record" else VoGScorer(net).fit(*data)
    assert not list(tmp_path.iterdir())
    assert global_state() == before


@pytest.mark.parametrize("by_helper", [False, True])
def test_callback_that_stops_ends_the_fit_well(make_net, data, by_helper):
    record = TrainingRecord.from_fit(make_net(callbacks=[CallsBack("stop", by_helper)]), *data)
    assert record.n_epochs == 2
    assert [c.epoch for c in record.checkpoints] == [1, 2]


@pytest.mark.parametrize("moment", ["before the first step", "in the third epoch"])
def test_ctrl_c_in_the_module_raises(make_net, data, moment, tmp_path):
    class Interrupted(nn.Linear):
        calls = 0

        def forward(self, x):
            Interrupted.calls += 1
            # Our look at two rows in eval mode, then three batches an epoch.
            if Interrupted.calls == (1 if moment == "before the first step" else 9):
                press_ctrl_c()
            return super().forward(x)

    net = make_net(Interrupted, module__in_features=4, module__out_features=3)
    with pytest.raises(KeyboardInterrupt):
        TrainingRecord.from_fit(net, *data, checkpoint_dir=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("position", ["default", "recorder first", "recorder last"])
@pytest.mark.parametrize("spec", [3, "late", "all"])
def test_early_stopping_keeps_the_epoch_on_which_it_stopped(make_net, data, position, spec):
    stop, recorder = EarlyStopping(monitor="train_loss", patience=2, threshold=10), []
    if position != "default":
        recorder = [RecordTraining(spec)]
    callbacks = [*recorder, stop] if position == "recorder first" else [stop, *recorder]
    net = make_net(callbacks=callbacks, max_epochs=30)
    record = TrainingRecord.from_fit(net, *data, checkpoints=spec)
    n = len(record.net.history)
    assert record.n_epochs == n < 30
    assert [c.epoch for c in record.checkpoints] == {
        3: sorted({-(-n // 3), -(-2 * n // 3), n}),
        "late": list(range(max(1, n - 2), n + 1)),
        "all": list(range(1, n + 1)),
    }[spec]
    last = record.checkpoints[-1].state_dict()
    assert all(torch.equal(last[k], v) for k, v in record.module.state_dict().items())


# ------------------------------------------------------------------------ what is wrong is said


@pytest.mark.parametrize("own_recorder", [False, True])
def test_divergence_names_the_epoch(make_net, data, own_recorder, tmp_path):
    callbacks = [RecordTraining(checkpoint_dir=tmp_path)] if own_recorder else None
    net = make_net(
        nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3)), lr=1e12, max_epochs=9, callbacks=callbacks
    )
    with pytest.raises(ValueError, match=r"loss became (nan|inf) in epoch \d: .*lr=1000000000000"):
        TrainingRecord.from_fit(net, *data)
    assert not list(tmp_path.iterdir())


class Nan(nn.Linear):
    """Returns NaN from its eighth training batch on, in the third epoch of three batches."""

    def __init__(self):
        super().__init__(4, 3)
        self.calls = 0

    def forward(self, x):
        self.calls += self.training
        return super().forward(x) * (float("nan") if self.calls >= 8 else 1.0)


class StopAfter(Callback):
    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.n_epochs:
            raise KeyboardInterrupt


def test_divergence_in_the_epoch_on_which_training_stops(make_net, data):
    net = make_net(Nan, callbacks=[StopAfter(3), RecordTraining()])
    with pytest.raises(ValueError, match="loss became nan in epoch 3"):
        TrainingRecord.from_fit(net, *data)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nonfinite_rows_are_refused(make_net, data, value):
    X = data[0].copy()
    X[[3, 5]] = value
    with pytest.raises(ValueError, match=r"NaN or inf in 2 row\(s\), first \[3, 5\]"):
        TrainingRecord.from_fit(make_net(), X, data[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"module__n_outputs": 2}, "3 classes: it must return one column per class"),
        ({"criterion": nn.NLLLoss}, "pass criterion=nn.CrossEntropyLoss"),
        ({"criterion": nn.BCEWithLogitsLoss}, "needs two classes and one logit"),
        ({"cls": NeuralNetRegressor, "criterion": nn.MSELoss}, r"3 number\(s\) a row, but y holds"),
    ],
)
def test_unsuitable_module_is_refused_before_the_first_step(make_net, data, settings, message):
    net = make_net(callbacks=[FailAtFirstBatch()], **settings)
    with pytest.raises(ValueError, match=message):
        TrainingRecord.from_fit(net, *data)


class FailAtFirstBatch(Callback):
    def on_batch_begin(self, net, **kwargs):
        raise AssertionError("training has begun")


def test_integers_for_a_float_module_get_a_hint(make_net, data):
    with pytest.raises(ValueError, match=r"does not take X.*X\.astype\('float32'\)"):
        TrainingRecord.from_fit(make_net(), data[0].astype(int), data[1])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        (np.zeros(48, int), "at least two classes"),
        (np.arange(47) % 3, "48 rows and 47 labels"),
    ],
)
def test_bad_y(make_net, data, y, message):
    with pytest.raises(ValueError, match=message):
        TrainingRecord.from_fit(make_net(), data[0], y)


# ------------------------------------------------------------------------------ labels and dtypes


@pytest.mark.parametrize(
    "names", [[3, 7, 9], ["x", "a", "q"], [2.0, 1.0, 0.5 * 8]], ids=["ints", "strings", "floats"]
)
def test_labels_of_any_type_train_alike(make_net, data, names):
    X, codes = data
    names = np.sort(names)
    plain = TrainingRecord.from_fit(make_net(), X, codes, random_state=0)
    named = TrainingRecord.from_fit(make_net(), X, names[codes], random_state=0)
    assert named.classes_.tolist() == names.tolist()
    assert torch.equal(weights(plain), weights(named))
    assert plain.rows == named.rows


@pytest.mark.parametrize("y", ["codes", "bools", "strings"])
@pytest.mark.parametrize("cls", [NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNet])
@pytest.mark.parametrize("criterion", [nn.BCEWithLogitsLoss, nn.BCEWithLogitsLoss()])
@pytest.mark.parametrize("kind", ["array", "dataset", "double"])
def test_single_logit(make_net, data, y, cls, criterion, kind, tiny_module):
    X, codes = data[0], (data[1] == 0).astype(int)
    names = {"codes": [0, 1], "bools": [False, True], "strings": ["no", "yes"]}[y]
    module = tiny_module(n_outputs=1)
    net = make_net(module.double() if kind == "double" else module, cls=cls, criterion=criterion)
    net.set_params(train_split=predefined_split(SkorchDataset(X, np.asarray(names)[codes])))
    rows = TensorDataset(torch.tensor(X)) if kind == "dataset" else X
    record = TrainingRecord.from_fit(net, rows, np.asarray(names)[codes])
    assert (record.outputs, record.classes_.tolist()) == ("binary_logit", names)
    assert record.net.history[-1, "train_loss"] < record.net.history[0, "train_loss"]
    assert np.isfinite(record.net.history[-1, "valid_loss"])


def test_single_logit_for_three_classes(make_net, data):
    net = make_net(cls=NeuralNetBinaryClassifier, module__n_outputs=1)
    net.set_params(criterion=nn.BCEWithLogitsLoss)
    with pytest.raises(ValueError, match=r"needs two classes.*there are 3 classes"):
        TrainingRecord.from_fit(net, *data)


def test_softmax_module_with_the_default_loss(make_net, data):
    net = NeuralNetClassifier(make_net().module, module__last=nn.Softmax(1), lr=0.1, verbose=0)
    record = TrainingRecord.from_fit(net, *data, random_state=0)
    logits = TrainingRecord.from_fit(make_net(max_epochs=10, batch_size=128), *data, random_state=0)
    assert record.outputs == "probabilities"
    assert_allclose(weights(record), weights(logits), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["array", "dataset", "double"])
def test_regression_targets_never_broadcast(make_net, data, kind, tiny_module):
    X, y = data[0], data[0][:, 1] * 3
    module = tiny_module(n_outputs=1)
    net = make_net(module.double() if kind == "double" else module, cls=NeuralNetRegressor)
    net.set_params(criterion=nn.MSELoss)
    rows = TensorDataset(torch.tensor(X)) if kind == "dataset" else X
    flat, column = (TrainingRecord.from_fit(net, rows, t, random_state=0) for t in (y, y[:, None]))
    assert torch.equal(weights(flat), weights(column))
    assert flat.classes_ is None
    prediction = flat.module(torch.tensor(X, dtype=flat.module.layers[0].weight.dtype))
    # Broadcast targets would be fitted by their mean.
    assert np.corrcoef(prediction.detach().numpy().ravel(), y)[0, 1] > 0.9


def test_regression_validation_set_does_not_broadcast(make_net, data):
    X, y = data[0], data[0][:, 1] * 3
    net = make_net(cls=NeuralNetRegressor, criterion=nn.MSELoss, module__n_outputs=1)
    net.set_params(train_split=predefined_split(SkorchDataset(X, y)))
    record = TrainingRecord.from_fit(net, X, y)
    prediction = record.module(torch.tensor(X)).detach().numpy().ravel()
    expected = np.mean((prediction - y) ** 2)
    assert record.net.history[-1, "valid_loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("y_columns", [2, 3])
def test_targets_of_another_width_are_refused(make_net, data, y_columns):
    net = make_net(cls=NeuralNetRegressor, criterion=nn.MSELoss, module__n_outputs=1)
    with pytest.raises(ValueError, match=rf"returns 1 number\(s\) a row, but y holds {y_columns}"):
        TrainingRecord.from_fit(net, data[0], data[0][:, :y_columns])


@pytest.mark.parametrize("kind", ["array", "frame", "tensor", "dict", "dataset"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_go_to_the_modules_dtype(make_net, data, kind, dtype):
    X, y = data
    rows = {
        "array": lambda x: x,
        "frame": pd.DataFrame,
        "tensor": torch.tensor,
        "dict": lambda x: {"x": x},
        "dataset": lambda x: TensorDataset(torch.tensor(x)),
    }[kind](X.astype(dtype))
    single = TrainingRecord.from_fit(make_net(), rows, y, random_state=0)
    plain = TrainingRecord.from_fit(make_net(), X, y, random_state=0)
    assert torch.equal(weights(single), weights(plain))
    double = TrainingRecord.from_fit(make_net(make_net().module().double()), rows, y)
    assert double.module.layers[0].weight.dtype == torch.float64
    assert weights(double).isfinite().all()


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_tokens_stay_integer(make_net, dtype):
    tokens = np.arange(24, dtype=dtype).reshape(8, 3) % 5
    module = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 2))
    record = TrainingRecord.from_fit(make_net(module), tokens, np.arange(8) % 2)
    assert record.n_epochs == 4


# ------------------------------------------------------------------------ habits of skorch users


def test_module_instance_is_a_starting_point(make_net, data, tiny_module):
    module = tiny_module()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    net = make_net(module)
    records = [
        TrainingRecord.from_fit(net, *data, checkpoints=[0, 4], random_state=s) for s in (0, 1)
    ]
    for record in records:
        start = record.checkpoints[0].state_dict()
        assert all(torch.equal(start[name], before[name]) for name in before)
        assert record.module is not module
        assert not torch.equal(record.module.layers[0].weight, before["layers.0.weight"])
    assert all(torch.equal(module.state_dict()[name], before[name]) for name in before)
    assert not net.initialized_


class Sized(NeuralNetClassifier):
    def fit(self, X, y=None, **fit_params):
        self.set_params(module__n_inputs=X.shape[1])
        return super().fit(X, y, **fit_params)


class SizedLate(NeuralNetClassifier):
    def partial_fit(self, X, y=None, classes=None, **fit_params):
        self.set_params(module__n_inputs=X.shape[1])
        return super().partial_fit(X, y, classes, **fit_params)


class Sizer(Callback):
    def on_train_begin(self, net, X=None, y=None, **kwargs):
        net.set_params(module__n_inputs=X.shape[1])


@pytest.mark.parametrize(
    "settings",
    [{"cls": Sized}, {"cls": SizedLate}, {"callbacks": [Sizer]}, {"callbacks": [("s", Sizer())]}],
)
def test_module_that_learns_its_width_from_X(make_net, data, settings):
    X = np.hstack([data[0], data[0]])
    net = make_net(module__n_inputs=1, **settings)
    record = TrainingRecord.from_fit(net, X, data[1], checkpoints=[0, 4])
    shapes = {c.state_dict()["layers.0.weight"].shape for c in record.checkpoints}
    assert shapes == {(8, 8)}
    assert net.module__n_inputs == 1
    scorer = VoGScorer(net, checkpoints=[0, 2]).fit(X, data[1])
    assert np.isfinite(scorer.difficulty_).all()


def test_epoch_0_alone(make_net, data):
    record = TrainingRecord.from_fit(make_net(max_epochs=1), *data, checkpoints=[0])
    assert [c.epoch for c in record.checkpoints] == [0]
    assert record.n_epochs == 1


def test_silence(make_net, data, capsys):
    stop = EarlyStopping(monitor="train_loss", patience=1, threshold=10)
    for net in (make_net(verbose=1), make_net(verbose=1, callbacks=[stop])):
        TrainingRecord.from_fit(net, *data)
        VoGScorer(net, verbose=0).fit(*data)
        assert capsys.readouterr() == ("", "")
        assert net.verbose == 1
    TrainingRecord.from_fit(net, *data, verbose=1)
    assert "train_loss" in capsys.readouterr().out
    TrainingRecord.from_fit(make_net(verbose=0), *data, verbose=1)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("position", ["first", "last"])
def test_callback_that_pickles_the_net_in_training(make_net, data, tmp_path, position):
    checkpoint = Checkpoint(
        monitor=None,
        dirname=tmp_path,
        f_pickle="{last_epoch[epoch]}.pkl",
        **dict.fromkeys(("f_params", "f_optimizer", "f_criterion", "f_history")),
    )
    recorder = RecordTraining()
    callbacks = [checkpoint, recorder] if position == "first" else [recorder, checkpoint]
    scorer = VoGScorer(make_net(callbacks=callbacks), random_state=0).fit(*data)
    assert len(list(tmp_path.iterdir())) == 4
    again = pickle.loads((tmp_path / "4.pkl").read_bytes())
    assert_allclose(again.predict_proba(data[0]), scorer.estimator_.predict_proba(data[0]))
    assert not {"fit_loop", "infer"} & set(vars(scorer.estimator_))
    # It can go on where it was, without anything of the fit that wrote it.
    again = pickle.loads((tmp_path / "2.pkl").read_bytes())
    again.partial_fit(*data)
    assert len(again.history) == 2 + 4
    assert torch.isfinite(again.module_(torch.tensor(data[0]))).all()


# --------------------------------------------------------------------------------------- Datasets


class Named(Dataset):
    """Yields pairs whose labels are strings."""

    def __init__(self, X, y):
        self.X, self.y = X, np.array(["a", "b", "c"])[y]

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index], str(self.y[index])


@pytest.mark.parametrize("kind", ["pairs", "rows", "skorch", "named", "subset"])
@pytest.mark.parametrize("give_y", [True, False])
def test_datasets_train_like_arrays(make_net, data, kind, give_y):
    X, y = data
    tensors = torch.tensor(X), torch.tensor(y)
    dataset = {
        "pairs": lambda: TensorDataset(*tensors),
        "rows": lambda: TensorDataset(tensors[0]),
        "skorch": lambda: SkorchDataset(X, y),
        "named": lambda: Named(X, y),
        "subset": lambda: Subset(TensorDataset(tensors[0].flip(0), tensors[1].flip(0)), range(48)),
    }[kind]()
    if kind == "subset":
        dataset.indices = list(range(47, -1, -1))
    names = np.array(["a", "b", "c"]) if kind == "named" else np.arange(3)
    if kind == "rows" and not give_y:
        with pytest.raises(ValueError, match=r"does not yield \(X, y\) pairs"):
            TrainingRecord.from_fit(make_net(), dataset)
        return
    record = TrainingRecord.from_fit(
        make_net(), dataset, names[y] if give_y else None, random_state=0
    )
    plain = TrainingRecord.from_fit(make_net(), X, y, random_state=0)
    assert torch.equal(weights(record), weights(plain))
    assert record.classes_.tolist() == names.tolist()
    assert np.isfinite(VoGScorer(record).fit(dataset, names[y]).difficulty_).all()


def test_given_y_replaces_that_of_the_dataset(make_net, data):
    X, y = data
    dataset = TensorDataset(torch.tensor(X), torch.tensor((y + 1) % 3))
    record = TrainingRecord.from_fit(make_net(), dataset, y, random_state=0)
    plain = TrainingRecord.from_fit(make_net(), X, y, random_state=0)
    assert torch.equal(weights(record), weights(plain))


@pytest.mark.parametrize("iterators", [("train", "valid"), ("train",)])
def test_custom_collate_fn(make_net, ragged, iterators):
    rows, pad = ragged
    net = make_net(module__n_outputs=2)
    net.set_params(**{f"iterator_{name}__collate_fn": pad for name in iterators})
    record = TrainingRecord.from_fit(net, rows)
    assert record.collate_fn is pad
    assert record.classes_.tolist() == [0, 1]
    scorer = VoGScorer(net, random_state=0).fit(rows)
    assert np.isfinite(scorer.score_samples(rows)).all()


def test_iterable_dataset_is_refused(make_net):
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([(torch.zeros(4), 0)])

    with pytest.raises(TypeError, match="IterableDataset, whose rows have no index"):
        TrainingRecord.from_fit(make_net(), Stream())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_workers_change_nothing(make_net, data):
    records = [
        TrainingRecord.from_fit(
            make_net(
                max_epochs=2, iterator_train__shuffle=True, iterator_train__num_workers=workers
            ),
            Named(*data),
            random_state=0,
        )
        for workers in (0, 1)
    ]
    assert torch.equal(*map(weights, records))
