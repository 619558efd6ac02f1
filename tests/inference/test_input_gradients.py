# SPDX-License-Identifier: BSD-3-Clause
"""The streaming reader against closed forms and against storing every gradient."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from sklearn import config_context
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from sklearn_difficulty import TrainingRecord
from sklearn_difficulty.inference.input_gradients import (
    GradientReader,
    RunningVariance,
    gradient_maps,
    gradient_variance,
)
from sklearn_difficulty.measures import variance_of_gradients
from sklearn_difficulty.rows.rows import as_rows

FORMULAS = ("rms", "mean_std", "cvpr")
N, C = 37, 3


class InPlaceNet(nn.Sequential):
    """Works in place on its input, its hidden layer, and calls one layer twice."""

    def __init__(self):
        shared = nn.Linear(6, 6)
        super().__init__(
            nn.ReLU(inplace=True), shared, nn.ReLU(inplace=True), shared, nn.Linear(6, C)
        )


def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, C))


def conv():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(4 * 25, C),
    )


NETS = {
    "mlp": (mlp, (6,)),
    "in place": (InPlaceNet, (6,)),
    "conv": (conv, (2, 5, 5)),
}


def random_states(module, n_states, seed=0):
    """Return states of one architecture with other weights, buffers included."""
    generator = torch.Generator().manual_seed(seed)
    states = []
    for _ in range(n_states):
        state = {}
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                noise = torch.rand(value.shape, generator=generator, dtype=value.dtype)
                state[name] = noise + 0.5 if "running_var" in name else noise - 0.5
            else:
                state[name] = value.clone()
        copy = deepcopy(module)
        copy.load_state_dict(state)  # gives the names of one tensor one value
        states.append({name: value.clone() for name, value in copy.state_dict().items()})
    return states


def make_record(module, states, outputs="logits", criterion=None, classes=range(C)):
    classes = None if outputs == "values" else list(classes)
    return TrainingRecord.from_checkpoints(
        module, states, classes=classes, outputs=outputs, criterion=criterion
    )


def reader_of(record, target="logit", channel_mean=True, wrt=None):
    return GradientReader(
        record, record.checkpoints, target=target, channel_mean=channel_mean, wrt=wrt
    )


def gradients_one_by_one(record, X, labels, value):
    """Oracle: one row, one checkpoint, one backward pass at a time."""
    module = record.module
    gradients = []
    for checkpoint in record.checkpoints:
        module.load_state_dict(checkpoint.state_dict())
        of_state = []
        for row, label in zip(X, labels, strict=True):
            x = torch.tensor(row[None], requires_grad=True)
            value(module.eval()(x.clone()), torch.tensor([label])).backward()
            of_state.append(x.grad[0].numpy())
        gradients.append(of_state)
    module.load_state_dict(record.checkpoints[-1].state_dict())
    return np.array(gradients)


VALUES = {
    "logit": lambda z, y: z[0, y[0]],
    "probability": lambda z, y: z.softmax(1)[0, y[0]],
    "loss": F.cross_entropy,
}


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("target", VALUES)
@pytest.mark.parametrize("net", NETS)
def test_streaming_equals_two_passes_over_stored_gradients(net, target, formula):
    make, shape = NETS[net]
    module = make().double()
    record = make_record(module, random_states(module, 4))
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(N, *shape)), rng.integers(C, size=N)
    gradients = gradients_one_by_one(record, X, labels, VALUES[target])
    channel_axis = 2 if len(shape) == 3 else None

    found = gradient_variance(
        reader_of(record, target), as_rows(X), labels, formula=formula, batch_size=10
    )

    expected = variance_of_gradients(gradients, formula=formula, channel_axis=channel_axis)
    np.testing.assert_allclose(found.variance, expected, rtol=1e-6)
    if channel_axis:
        gradients = gradients.mean(axis=channel_axis)
    magnitude = np.abs(gradients).reshape(4, N, -1).mean(axis=(0, 2))
    np.testing.assert_allclose(found.magnitude, magnitude, rtol=1e-6)


def test_maps_are_standard_deviations_over_checkpoints():
    module = conv().double()
    record = make_record(module, random_states(module, 4))
    rng = np.random.default_rng(1)
    X, labels = rng.normal(size=(N, 2, 5, 5)), rng.integers(C, size=N)
    gradients = gradients_one_by_one(record, X, labels, VALUES["logit"]).mean(axis=2)

    maps = gradient_maps(reader_of(record), as_rows(X), labels, batch_size=16)

    assert maps.shape == (N, 5, 5)
    np.testing.assert_allclose(maps, gradients.std(axis=0), rtol=1e-5)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("n_checkpoints", [1, 3])
def test_identical_checkpoints_give_exactly_zero(formula, n_checkpoints):
    module = mlp()
    record = make_record(module, [module.state_dict()] * n_checkpoints)
    X = np.random.default_rng(0).normal(size=(N, 6)).astype(np.float32)
    found = gradient_variance(reader_of(record), as_rows(X), None, formula=formula, batch_size=8)
    assert (found.variance == 0).all()
    assert (found.magnitude > 0).all()


@pytest.mark.parametrize(
    ("formula", "three", "two"),
    [("cvpr", 5.388603, 0.707107), ("rms", 1.763834, 0.707107), ("mean_std", 1.759305, 0.5)],
)
def test_hand_cases(formula, three, two):
    # A linear "network" of one row per class has its weights for gradients.
    for series, expected in (
        ([(1.0, 0.0), (3.0, 0.0), (5.0, 4.0)], three),
        ([(0.0, 0.0), (2.0, 0.0)], two),
    ):
        module = nn.Linear(2, 1, bias=False)
        states = [{"weight": torch.tensor([pixels])} for pixels in series]
        record = make_record(module, states, outputs="values")
        X = np.zeros((1, 2), dtype=np.float32)
        found = gradient_variance(
            reader_of(record), as_rows(X), None, formula=formula, batch_size=1
        )
        assert found.variance[0] == pytest.approx(expected, abs=1e-6)


def test_linear_network_depends_on_the_class_alone():
    module = nn.Linear(6, C)
    states = random_states(module, 5)
    record = make_record(module, states)
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(N, 6)).astype(np.float32), rng.integers(C, size=N)
    weights = np.stack([state["weight"].numpy() for state in states])
    for formula in FORMULAS:
        found = gradient_variance(
            reader_of(record), as_rows(X), labels, formula=formula, batch_size=7
        )
        closed_form = variance_of_gradients(weights, formula=formula)
        np.testing.assert_allclose(found.variance, closed_form[labels], rtol=1e-5)


def test_undefined_rows_follow_the_order():
    running = RunningVariance(per_element=False)
    for _ in range(2):
        running.update(torch.randn(3, 4), torch.tensor([True, False, False]))
    scores = running.in_order(torch.tensor([2, 0])).variance_of_gradients("rms")
    assert scores.isnan().tolist() == [False, True]


def test_channels_are_averaged_before_anything_else():
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4, 1, bias=False))
    g = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    rgb = np.stack([g, -g, np.zeros_like(g)], axis=1).reshape(2, 1, 12)
    states = [{"1.weight": torch.tensor(weight)} for weight in rgb]
    record = make_record(module, states, outputs="values")
    X = np.zeros((5, 3, 2, 2), dtype=np.float32)
    for formula in FORMULAS:
        averaged, separate = (
            gradient_variance(
                reader_of(record, channel_mean=mean),
                as_rows(X),
                None,
                formula=formula,
                batch_size=2,
            ).variance
            for mean in (True, False)
        )
        np.testing.assert_allclose(averaged, 0, atol=1e-7)
        assert (separate > 0.01).all()


def test_binary_softmax_probability_has_no_side():
    module = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    record = make_record(module, random_states(module, 4), classes=range(2))
    X = np.random.default_rng(0).normal(size=(N, 6))

    def scores(target, label):
        labels = np.full(N, label)
        return gradient_variance(
            reader_of(record, target), as_rows(X), labels, formula="rms", batch_size=N
        ).variance

    np.testing.assert_allclose(scores("probability", 0), scores("probability", 1), rtol=1e-9)
    assert not np.allclose(scores("logit", 0), scores("logit", 1), rtol=0.01)


class WithCommonShift(nn.Module):
    """Adds one function of the input to all logits."""

    def __init__(self, inner, amount):
        super().__init__()
        self.inner, self.shift = inner, nn.Linear(6, 1)
        self.register_buffer("amount", torch.tensor(amount, dtype=torch.float64))

    def forward(self, x):
        return self.inner(x) + self.amount * self.shift(x).square()


def test_common_shift_of_logits_moves_only_the_logit_target():
    inner = mlp().double()
    states = random_states(WithCommonShift(inner, 1.0).double(), 4)
    X = np.random.default_rng(0).normal(size=(N, 6))
    labels = np.arange(N) % C
    with_shift, without = (
        make_record(
            WithCommonShift(inner, 1.0).double(),
            [{**s, "amount": torch.tensor(amount, dtype=torch.float64)} for s in states],
        )
        for amount in (1.0, 0.0)
    )
    for target, moves in (("logit", True), ("probability", False), ("loss", False)):
        a, b = (
            gradient_variance(
                reader_of(r, target), as_rows(X), labels, formula="rms", batch_size=N
            ).variance
            for r in (with_shift, without)
        )
        assert np.allclose(a, b, rtol=1e-9) is not moves


@pytest.mark.parametrize("factor", [-2.0, 0.5])
@pytest.mark.parametrize(("formula", "power"), [("rms", 1), ("mean_std", 1), ("cvpr", 2)])
def test_scale_of_the_output(formula, power, factor):
    class Scaled(nn.Module):
        def __init__(self, inner, factor):
            super().__init__()
            self.inner, self.factor = inner, factor

        def forward(self, x):
            return self.factor * self.inner(x)

    module = mlp().double()
    states = [
        {f"inner.{name}": value for name, value in state.items()}
        for state in random_states(module, 3)
    ]
    X, labels = np.random.default_rng(0).normal(size=(N, 6)), np.arange(N) % C
    plain, scaled = (
        gradient_variance(
            reader_of(make_record(Scaled(module, f), states)),
            as_rows(X),
            labels,
            formula=formula,
            batch_size=N,
        ).variance
        for f in (1.0, factor)
    )
    np.testing.assert_allclose(scaled, abs(factor) ** power * plain, rtol=1e-9)


def test_order_of_checkpoints_and_a_constant_gradient_do_not_matter():
    gradients = torch.randn(5, N, 4, dtype=torch.float64)

    def scores(sequence, formula):
        running = RunningVariance(per_element=True)
        for gradient in sequence:
            running.update(gradient.clone())
        return running.variance_of_gradients(formula)

    field = torch.randn(N, 4, dtype=torch.float64)
    for formula in FORMULAS:
        expected = scores(gradients, formula)
        torch.testing.assert_close(scores(gradients.flip(0), formula), expected)
        torch.testing.assert_close(scores(gradients + field, formula), expected)
        doubled = 2**0.5 if formula == "cvpr" else 1.0
        twice = torch.cat([gradients, gradients])
        torch.testing.assert_close(scores(twice, formula), doubled * expected)


def test_one_second_moment_a_row_is_the_sum_of_all():
    # A mean that dwarfs the variance is where a naive sum of squares breaks down.
    gradients = 1e4 + torch.randn(6, N, 50, dtype=torch.float64)
    per_row, per_element = RunningVariance(per_element=False), RunningVariance(per_element=True)
    for gradient in gradients:
        per_row.update(gradient.clone())
        per_element.update(gradient.clone())
    torch.testing.assert_close(
        per_row.variance_of_gradients("rms"),
        per_element.variance_of_gradients("rms"),
        rtol=1e-9,
        atol=0,
    )


def test_block_size_and_repetition_change_nothing():
    module = conv()
    record = make_record(module, random_states(module, 3))
    X = np.random.default_rng(0).normal(size=(N, 2, 5, 5)).astype(np.float32)
    expected = gradient_variance(reader_of(record), as_rows(X), None, formula="rms", batch_size=512)
    for batch_size in (1, 16, 17, 512):
        found = gradient_variance(
            reader_of(record), as_rows(X), None, formula="rms", batch_size=batch_size
        )
        np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-5)


class Padded(Dataset):
    """Rows of one to five numbers."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return torch.arange(1.0, 2 + index % 5) * (-1) ** index


def to_the_longest(items):
    return nn.utils.rnn.pad_sequence(list(items), batch_first=True)


class Summed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, C))

    def forward(self, x):
        return (self.layers(x[:, :, None]) * (x != 0)[:, :, None]).sum(1)


@pytest.mark.parametrize("formula", FORMULAS)
def test_padding_is_no_input(formula):
    module = Summed()
    record = make_record(module, random_states(module, 3))
    rows = as_rows(Padded(), collate_fn=to_the_longest)
    codes = np.arange(10) % C

    def variance(rows, codes, batch_size):
        reader = reader_of(record, "loss")
        found = gradient_variance(reader, rows, codes, formula=formula, batch_size=batch_size)
        return found.variance

    alone = [variance(rows.take([i]), codes[i : i + 1], 1)[0] for i in range(10)]
    np.testing.assert_allclose(variance(rows, codes, 10), alone, rtol=1e-5)


def test_checkpoints_that_exceed_the_memory_budget_are_read_one_by_one():
    module = mlp()
    record = make_record(module, random_states(module, 3))
    X = np.random.default_rng(0).normal(size=(N, 6)).astype(np.float32)
    expected = gradient_variance(reader_of(record), as_rows(X), None, formula="rms", batch_size=8)
    with config_context(working_memory=0):
        reader = reader_of(record)
        assert reader._states._resident is None
        found = gradient_variance(reader, as_rows(X), None, formula="rms", batch_size=8)
    assert np.array_equal(found.variance, expected.variance)


def test_module_is_left_as_it_was():
    module = conv().train()
    record = make_record(module, random_states(module, 3))
    record.module.train()
    record.module[1].eval()  # a mixture must be restored as a mixture
    before = {k: v.clone() for k, v in record.module.state_dict().items()}
    X = np.random.default_rng(0).normal(size=(N, 2, 5, 5)).astype(np.float32)
    gradient_variance(reader_of(record), as_rows(X), None, formula="rms", batch_size=8)
    assert [m.training for m in record.module] == [True, False, True, True, True, True]
    assert all(p.requires_grad and p.grad is None for p in record.module.parameters())
    assert all(torch.equal(v, before[k]) for k, v in record.module.state_dict().items())


def test_hooks_and_mode_are_restored_after_an_exception():
    class Fails(nn.Module):
        def forward(self, x):
            raise RuntimeError("no forward today")

    module = nn.Sequential(nn.Linear(6, 6), Fails())
    record = make_record(module, [module.state_dict()] * 2)
    record.module.train()
    X = np.zeros((3, 6), dtype=np.float32)
    with pytest.raises(RuntimeError, match="today"):
        gradient_variance(
            reader_of(record, wrt="0"), as_rows(X), np.zeros(3, int), formula="rms", batch_size=8
        )
    assert record.module.training
    assert not record.module[0]._forward_hooks


def test_gradient_at_a_submodule():
    module = nn.Sequential(nn.Embedding(11, 4), nn.Flatten(), nn.Linear(4 * 5, C)).double()
    states = random_states(module, 3)
    record = make_record(module, states)
    rng = np.random.default_rng(0)
    tokens, labels = rng.integers(11, size=(N, 5)), rng.integers(C, size=N)
    weights = np.stack([state["2.weight"].numpy() for state in states])

    reader = reader_of(record, wrt="0")
    found = gradient_variance(reader, as_rows(tokens), labels, formula="rms", batch_size=9)
    maps = gradient_maps(reader, as_rows(tokens), labels, batch_size=9)

    np.testing.assert_allclose(found.variance, variance_of_gradients(weights)[labels], rtol=1e-9)
    assert maps.shape == (N, 5, 4)


def test_tied_weights_are_read_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.Linear(6, 6), nn.Linear(6, 6)
            self.decoder.weight = self.encoder.weight

        def forward(self, x):
            return self.decoder(self.encoder(x).tanh())

    module = Tied().double()
    states = random_states(module, 3)
    record = make_record(module, states, classes=range(6))
    X, labels = np.random.default_rng(0).normal(size=(N, 6)), np.arange(N) % 6
    gradients = gradients_one_by_one(record, X, labels, VALUES["logit"])
    found = gradient_variance(reader_of(record), as_rows(X), labels, formula="rms", batch_size=N)
    np.testing.assert_allclose(found.variance, variance_of_gradients(gradients), rtol=1e-6)


def test_several_floating_inputs_count_as_one():
    class TwoInputs(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, C, bias=False), nn.Linear(3, C, bias=False)

        def forward(self, a, b, mask):
            return self.a(a) + self.b(b)

    module = TwoInputs().double()
    states = random_states(module, 3)
    record = make_record(module, states)
    rng = np.random.default_rng(0)
    labels = rng.integers(C, size=N)
    X = {
        "a": rng.normal(size=(N, 2)),
        "b": rng.normal(size=(N, 3)),
        "mask": np.ones((N, 4), dtype=int),
    }
    weights = np.stack([np.hstack([s["a.weight"], s["b.weight"]]) for s in states])
    found = gradient_variance(reader_of(record), as_rows(X), labels, formula="rms", batch_size=9)
    np.testing.assert_allclose(found.variance, variance_of_gradients(weights)[labels], rtol=1e-9)


def test_single_logit_counts_for_both_classes_alike():
    module = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    record = make_record(
        module, random_states(module, 4), outputs="binary_logit", classes=["no", "yes"]
    )
    X = np.random.default_rng(0).normal(size=(N, 6))
    labels = np.arange(N) % 2
    values = {
        "logit": lambda z, y: z[0, 0],
        "probability": lambda z, y: z.sigmoid()[0, 0],
        "loss": lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.double()),
    }
    for target, value in values.items():
        gradients = gradients_one_by_one(record, X, labels, value)
        found = gradient_variance(
            reader_of(record, target), as_rows(X), labels, formula="rms", batch_size=N
        )
        np.testing.assert_allclose(found.variance, variance_of_gradients(gradients), rtol=1e-6)


@pytest.mark.parametrize("outputs", ["probabilities", "log_probabilities"])
def test_networks_that_end_in_softmax(outputs):
    last = nn.Softmax(dim=1) if outputs == "probabilities" else nn.LogSoftmax(dim=1)
    plain = mlp().double()
    module = nn.Sequential(*plain, last)
    states = random_states(plain, 3)
    logits, record = make_record(plain, states), make_record(module, states, outputs=outputs)
    X, labels = np.random.default_rng(0).normal(size=(N, 6)), np.arange(N) % C
    for target in ("probability", "loss"):
        a, b = (
            gradient_variance(
                reader_of(r, target), as_rows(X), labels, formula="rms", batch_size=N
            ).variance
            for r in (logits, record)
        )
        np.testing.assert_allclose(a, b, rtol=1e-6)
    with pytest.raises(ValueError, match="before the softmax"):
        reader_of(record, "logit")


def test_loss_is_the_one_of_the_training():
    module = mlp().double()
    weight = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)
    criterion = nn.CrossEntropyLoss(weight=weight, label_smoothing=0.1)
    record = make_record(module, random_states(module, 3), criterion=criterion)
    X, labels = np.random.default_rng(0).normal(size=(N, 6)), np.arange(N) % C
    summed = nn.CrossEntropyLoss(weight=weight, label_smoothing=0.1, reduction="sum")
    gradients = gradients_one_by_one(record, X, labels, summed)
    found = gradient_variance(
        reader_of(record, "loss"), as_rows(X), labels, formula="rms", batch_size=N
    )
    np.testing.assert_allclose(found.variance, variance_of_gradients(gradients), rtol=1e-6)
    assert criterion.reduction == "mean"


def test_nonfinite_gradients_are_nan():
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return x.sqrt().sum(1, keepdim=True) * self.weight

    module = Root()
    record = make_record(module, random_states(module, 3), outputs="values")
    X = np.array([[1.0], [0.0], [4.0]], dtype=np.float32)
    found = gradient_variance(reader_of(record), as_rows(X), None, formula="rms", batch_size=3)
    assert np.isnan(found.variance).tolist() == [False, True, False]


def test_cuda_memory_errors_halve_the_block(monkeypatch):
    module = mlp()
    record = make_record(module, random_states(module, 3))
    X, labels = np.random.default_rng(0).normal(size=(N, 6)).astype(np.float32), np.arange(N) % C
    expected = gradient_variance(
        reader_of(record), as_rows(X), labels, formula="rms", batch_size=64
    )
    reader = reader_of(record)
    moments, sizes = reader.moments, []

    def small_device(inputs, block_labels, *, per_element):
        sizes.append(len(inputs))
        if len(inputs) > 16:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return moments(inputs, block_labels, per_element=per_element)

    monkeypatch.setattr(reader, "moments", small_device)
    found = gradient_variance(reader, as_rows(X), labels, formula="rms", batch_size=64)
    assert max(sizes) > 16
    np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-5)

    monkeypatch.setattr(
        reader, "moments", lambda *a, **k: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError())
    )
    with pytest.raises(torch.cuda.OutOfMemoryError):
        gradient_variance(reader, as_rows(X), labels, formula="rms", batch_size=64)


@pytest.mark.parametrize(
    ("module", "options", "X", "message"),
    [
        (mlp(), {"wrt": "decoder"}, "floats", "names no submodule"),
        (InPlaceNet(), {"wrt": "1"}, "floats", "called 2 times"),
        (nn.Sequential(nn.Embedding(5, 2), nn.Flatten(), nn.Linear(12, C)), {}, "tokens", "wrt="),
        (
            nn.Sequential(nn.BatchNorm1d(6, track_running_stats=False), nn.Linear(6, C)),
            {},
            "floats",
            "track_running_stats",
        ),
    ],
    ids=["no such module", "called twice", "tokens without wrt", "batch statistics"],
)
def test_what_cannot_be_read_is_refused(module, options, X, message):
    rows = {
        "floats": np.ones((4, 6), dtype=np.float32),
        "tokens": np.ones((4, 6), dtype=np.int64),
    }[X]
    record = make_record(module, [module.state_dict()] * 2)
    with pytest.raises(ValueError, match=message):
        gradient_variance(
            reader_of(record, **options),
            as_rows(rows),
            np.zeros(4, int),
            formula="rms",
            batch_size=4,
        )


def test_regressors():
    module = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2))
    record = make_record(module, random_states(module, 2), outputs="values")
    X, y = np.ones((4, 6), dtype=np.float32), np.ones((4, 2), dtype=np.float32)
    assert (
        gradient_variance(
            reader_of(record, "loss"), as_rows(X), y, formula="rms", batch_size=4
        ).variance
        > 0
    ).all()
    with pytest.raises(ValueError, match="2 values a row"):
        gradient_variance(reader_of(record), as_rows(X), None, formula="rms", batch_size=4)
    with pytest.raises(ValueError, match="needs y"):
        gradient_variance(reader_of(record, "loss"), as_rows(X), None, formula="rms", batch_size=4)
    with pytest.raises(ValueError, match="no probabilities"):
        reader_of(record, "probability")


def test_custom_criterion_without_reduction():
    class Odd(nn.Module):
        def forward(self, z, y):
            return z.sum()

    module = mlp()
    record = make_record(module, random_states(module, 2), criterion=Odd())
    with pytest.raises(ValueError, match="reduction"):
        reader_of(record, "loss")
