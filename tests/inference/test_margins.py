# SPDX-License-Identifier: BSD-3-Clause
"""The reading in blocks against a double loop over rows and classes, and against the formulas."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_difficulty import TrainingRecord
from sklearn_difficulty.inference.margins import input_margins
from sklearn_difficulty.inference.predictions import output_margins
from sklearn_difficulty.measures import input_margin, output_margin
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.training import MLP, ConvNet

N = 37


def mlp(n_outputs=5, *last):
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, n_outputs), *last)


def conv():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(4 * 25, 5),
    )


class TwoTables(nn.Module):
    """Takes two tables of floats and one of integers, and returns more than the logits."""

    def __init__(self):
        super().__init__()
        self.layers = mlp()

    def forward(self, left, right, mask):
        joined = torch.cat([left, right.flatten(1)], dim=1) * mask
        return self.layers(joined), joined


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def tensors(rows):
    """Return the floating inputs of some rows: where margins are measured without `wrt`."""
    rows = list(rows.values()) if isinstance(rows, dict) else [rows]
    return [torch.tensor(array) for array in rows if array.dtype.kind == "f"]


@dataclass
class Case:
    """A network and its rows, and how the network splits at the site of the gradients."""

    module: nn.Module
    X: Any
    outputs: str = "logits"
    n_classes: int = 5
    wrt: str | None = None
    before: Callable[[Any], list[torch.Tensor]] = tensors
    after: Callable[..., torch.Tensor] | None = None

    def __post_init__(self):
        torch.manual_seed(0)
        for parameter in self.module.double().parameters():
            nn.init.normal_(parameter, std=0.5)
        # Without checkpoints: nothing but the module's own weights can be read.
        self.record = TrainingRecord(
            self.module, [], classes=range(self.n_classes), outputs=self.outputs
        )
        self.n_rows = len(next(iter(self.X.values())) if isinstance(self.X, dict) else self.X)

    def row(self, i):
        """Return what a single row is differentiated by, and its logits up to a constant."""
        is_dict, rows = isinstance(self.X, dict), slice(i, i + 1)
        x = {name: array[rows] for name, array in self.X.items()} if is_dict else self.X[rows]
        leaves = [tensor.detach().requires_grad_() for tensor in self.before(x)]
        # Copies, for modules that write to what they are given.
        z = (self.after or self.module)(*[leaf.clone() for leaf in leaves])[0]
        if self.outputs == "binary_logit":
            z = torch.cat([torch.zeros(1), z])
        return leaves, z.log() if self.outputs == "probabilities" else z

    def labels(self):
        return np.random.default_rng(0).integers(self.n_classes, size=self.n_rows)

    def predicted(self):
        return np.array([int(self.row(i)[1].argmax()) for i in range(self.n_rows)])


def output_and_input(case, labels, batch_size=10):
    """Return both margins as they are read in blocks."""
    return (
        output_margins(case.record, as_rows(case.X), labels, batch_size=batch_size),
        input_margins(case.record, as_rows(case.X), labels, wrt=case.wrt, batch_size=batch_size),
    )


def double_loop(case, labels):
    """Return both margins, one row and one class at a time; NaN where they are infinite."""
    output, of_input = [], []
    for i, c in enumerate(labels):
        leaves, z = case.row(i)
        leads, distances = [], []
        for j in set(range(len(z))) - {c}:
            lead = z[c] - z[j]
            gradients = torch.autograd.grad(lead, leaves, retain_graph=True)
            norm = sum(gradient.square().sum() for gradient in gradients).sqrt()
            leads.append(lead.item())
            distances.append((lead / norm).item())
        output.append(min(leads))
        of_input.append(min(distances) if np.isfinite(min(distances)) else np.nan)
    return output, of_input


def make_cases():
    rng = np.random.default_rng(1)
    tables = {
        "left": normal(N, 2),
        "right": normal(N, 4, 1, seed=1),
        "mask": np.full((N, 6), 2),
    }
    embedding = nn.Sequential(nn.Embedding(11, 4), nn.Flatten(), nn.Linear(20, 5), nn.Tanh())
    two_tables, in_place = TwoTables(), nn.Sequential(nn.ReLU(inplace=True), *mlp())
    standardized = MLP(6, 5, mean=np.arange(6), scale=np.arange(1, 7))
    images = ConvNet(2, 5, channels=(3, 4), mean=[1, 2], scale=[3, 4])
    return {
        "logits": Case(mlp(), normal(N, 6)),
        "a single logit": Case(mlp(1), normal(N, 6), "binary_logit", 2),
        "two logits": Case(mlp(2), normal(N, 6), n_classes=2),
        "probabilities": Case(mlp(5, nn.Softmax(1)), normal(N, 6), "probabilities"),
        "log-probabilities": Case(mlp(5, nn.LogSoftmax(1)), normal(N, 6), "log_probabilities"),
        "convolutions": Case(conv(), normal(N, 2, 5, 5)),
        "in place": Case(in_place, normal(N, 6)),
        "dict": Case(
            two_tables,
            tables,
            after=lambda left, right: two_tables(left, right, torch.tensor(2))[0],
        ),
        "token ids": Case(
            embedding,
            rng.integers(11, size=(N, 5)),
            wrt="0",
            before=lambda x: [embedding[0](torch.tensor(x))],
            after=embedding[1:],
        ),
        "behind an activation": Case(
            in_place,
            normal(N, 6),
            wrt="2",
            before=lambda x: [in_place[:3](torch.tensor(x))],
            after=in_place[3:],
        ),
        "default network": Case(
            standardized,
            normal(N, 6),
            before=lambda x: [standardized.standardize(torch.tensor(x))],
            after=standardized.layers,
        ),
        "default network for images": Case(
            images,
            normal(N, 2, 7, 7),
            before=lambda x: [images.standardize(torch.tensor(x))],
            after=images.layers,
        ),
        "more classes than rows": Case(mlp(40), normal(3, 6), n_classes=40),
        "a single row": Case(mlp(), normal(1, 6)),
    }


CASES = make_cases()


@pytest.mark.parametrize("name", CASES)
def test_exact_against_a_double_loop(name):
    case = CASES[name]
    for labels, codes in ((case.labels(), case.labels()), (None, case.predicted())):
        for found, expected in zip(
            output_and_input(case, labels), double_loop(case, codes), strict=True
        ):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["logits", "convolutions", "more classes than rows"])
def test_the_formulas_on_stored_gradients(name):
    case, labels = CASES[name], CASES[name].labels()
    logits, gradients = [], []
    for i in range(case.n_rows):
        leaves, z = case.row(i)
        logits.append(z.detach().numpy())
        gradients.append(
            [torch.autograd.grad(z_j, leaves, retain_graph=True)[0][0].numpy() for z_j in z]
        )
    for given in (labels, None):
        output, of_input = output_and_input(case, given)
        np.testing.assert_allclose(output, output_margin(logits, given), rtol=1e-6)
        np.testing.assert_allclose(of_input, input_margin(logits, gradients, given), rtol=1e-6)


@pytest.mark.parametrize("make", [mlp, conv])
def test_block_size_and_order_change_nothing(make):
    module = make().eval()
    X = normal(N, 6) if make is mlp else normal(N, 2, 5, 5)
    X, labels = X.astype(np.float32), np.arange(N) % 5
    record = TrainingRecord(module, [], classes=range(5))

    def margins(order, batch_size, labels=labels):
        labels = None if labels is None else labels[order]
        return (
            output_margins(record, as_rows(X[order]), labels, batch_size=batch_size),
            input_margins(record, as_rows(X[order]), labels, wrt=None, batch_size=batch_size),
        )

    straight, shuffled = np.arange(N), np.random.default_rng(0).permutation(N)
    for given in (labels, None):
        expected = margins(straight, 512, given)
        for order, batch_size in ((straight, 1), (straight, 17), (shuffled, 8), (shuffled, 512)):
            found = margins(order, batch_size, given)
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a, b[order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_modules_of_lower_precision(dtype):
    case = Case(mlp(), normal(N, 6))
    expected = output_and_input(case, case.labels())
    case.module.to(dtype)
    rtol = 1e-4 if dtype == torch.float32 else 0.1
    for a, b in zip(output_and_input(case, case.labels()), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def test_differences_are_taken_in_float32_at_least():
    record = TrainingRecord(Fixed(4096.0, 1.0).half(), [], classes=range(2))
    X = np.zeros((1, 1), dtype=np.float32)
    assert output_margins(record, as_rows(X), None, batch_size=1) == 4095  # in float16 it is 4096
    assert input_margins(record, as_rows(X), None, wrt=None, batch_size=1) == 4095 / 2


def test_one_forward_pass_and_a_backward_pass_for_every_other_class():
    passes = []

    class Count(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            passes.append(f"forward of {len(x)}")
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            passes.append("backward")
            return gradient

    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = mlp()

        def forward(self, x):
            return self.layers(Count.apply(x))

    record = TrainingRecord(Counted(), [], classes=range(5))
    X, labels = normal(32, 6), np.arange(32) % 5
    input_margins(record, as_rows(X), labels, wrt=None, batch_size=16)
    assert passes == ["forward of 2", *2 * ["forward of 16", *4 * ["backward"]]]  # first a look
    passes.clear()
    output_margins(record, as_rows(X), labels, batch_size=16)
    assert passes == ["forward of 2", "forward of 16", "forward of 16"]


def test_output_margins_need_no_gradient():
    class NoGradient(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = mlp()

        def forward(self, x):
            assert not torch.is_grad_enabled()
            return self.layers(x.long().float())  # integers are no obstacle either

    record = TrainingRecord(NoGradient(), [], classes=range(5))
    X = np.random.default_rng(0).integers(9, size=(N, 6))
    assert np.isfinite(output_margins(record, as_rows(X), None, batch_size=9)).all()


def test_margins_are_read_where_gradients_are_switched_off():
    case = CASES["logits"]
    expected = output_and_input(case, None)
    with torch.no_grad():
        found = output_and_input(case, None)
    assert np.array_equal(found, expected)


def test_module_and_rows_are_left_as_they_were():
    case = Case(nn.Sequential(nn.ReLU(inplace=True), *mlp()), normal(N, 6))
    module, X = case.record.module, case.X.copy()
    module.train()
    module[1].eval()  # a mixture must be restored as a mixture
    before = {name: value.clone() for name, value in module.state_dict().items()}
    output_and_input(case, None)
    assert [m.training for m in module] == [True, False, True, True]
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert np.array_equal(case.X, X)
    assert not module[0]._forward_hooks


@pytest.mark.parametrize("wrt", [None, "layers.0"])
def test_rows_are_read_again_as_they_were_if_the_memory_does_not_suffice(wrt):
    class Greedy(nn.Module):
        def __init__(self, limit):
            super().__init__()
            self.layers, self.limit = mlp(), limit

        def forward(self, x):
            x.mul_(2)
            if len(x) > self.limit:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return self.layers(x)

    roomy, tight = Greedy(100), Greedy(16)
    tight.load_state_dict(roomy.state_dict())
    X, labels = normal(48, 6), np.arange(48) % 5  # no rows are padded to a multiple of 16
    expected, found = (
        (
            output_margins(record, as_rows(X), labels, batch_size=64),
            input_margins(record, as_rows(X), labels, wrt=wrt, batch_size=64),
        )
        for record in (TrainingRecord(m, [], classes=range(5)) for m in (roomy, tight))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# --------------------------------------------------------------------------- what is not defined


class Fixed(nn.Module):
    """Logits of the single input x: those of the weights, and x of them at class 0 and 1."""

    def __init__(self, *biases):
        super().__init__()
        self.biases = nn.Parameter(torch.tensor(biases))

    def forward(self, x):
        slopes = torch.zeros_like(self.biases)
        slopes[:2] = torch.tensor([1.0, 3.0])
        return self.biases + x * slopes


def test_gradients_of_zero():
    record = TrainingRecord(Fixed(2.0, 0.0, 1.0, 0.0, 0.0), [], classes=range(5))
    X, labels = np.zeros((5, 1), dtype=np.float32), np.arange(5)
    # Classes 2, 3 and 4 never move: nothing brings 3 or 4 past 2, or lets 3 and 4 part.
    expected = [1.0, -1.0, -1.0, np.nan, np.nan]
    found = input_margins(record, as_rows(X), labels, wrt=None, batch_size=8)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    gradients = np.tile([[[1.0], [3.0], [0.0], [0.0], [0.0]]], (5, 1, 1))
    logits = np.tile([2.0, 0.0, 1.0, 0.0, 0.0], (5, 1))
    np.testing.assert_allclose(input_margin(logits, gradients, labels), expected)
    # A dead network has no gradient at all.
    dead = nn.Sequential(nn.ReLU(), nn.Linear(1, 3))
    record = TrainingRecord(dead, [], classes=range(3))
    assert np.isnan(input_margins(record, as_rows(X - 1), None, wrt=None, batch_size=8)).all()
    assert np.isfinite(output_margins(record, as_rows(X - 1), None, batch_size=8)).all()


def test_infinite_gradients_and_weights_that_are_nan():
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([1.0, 2.0]))

        def forward(self, x):
            return x.sqrt() * self.scale + torch.tensor([0.1, 0.0])

    record = TrainingRecord(Root(), [], classes=range(2))
    X = np.array([[1.0], [0.0], [4.0]], dtype=np.float32)
    found = input_margins(record, as_rows(X), None, wrt=None, batch_size=3)
    assert np.isnan(found).tolist() == [False, True, False]
    with torch.no_grad():
        record.module.scale[1] = np.nan
    for margins in (
        input_margins(record, as_rows(X), None, wrt=None, batch_size=3),
        output_margins(record, as_rows(X), None, batch_size=3),
    ):
        assert np.isnan(margins).all()


@pytest.mark.parametrize("outputs", ["probabilities", "log_probabilities"])
def test_confident_networks(outputs):
    last = nn.Softmax(1) if outputs == "probabilities" else nn.LogSoftmax(1)
    module = nn.Sequential(nn.Linear(1, 3, bias=False), last)
    with torch.no_grad():
        module[0].weight[:, 0] = torch.tensor([1.0, 0.0, -1.0])
    record = TrainingRecord(module, [], classes=range(3), outputs=outputs)
    X, labels = np.array([[0.5], [30.0], [1e4]], dtype=np.float32), np.zeros(3, dtype=int)
    output = output_margins(record, as_rows(X), labels, batch_size=3)
    of_input = input_margins(record, as_rows(X), labels, wrt=None, batch_size=3)
    np.testing.assert_allclose(output[:2], X[:2, 0], rtol=1e-5)
    np.testing.assert_allclose(of_input[:2], X[:2, 0], rtol=1e-5)
    # Where a float32 probability is 0, its logarithm stops at that of the smallest one.
    assert output[2] == pytest.approx(1e4 if outputs == "log_probabilities" else 87.3, rel=1e-3)


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("margins", [output_margins, input_margins])
def test_regressors_are_refused(margins):
    record = TrainingRecord(mlp(1), [], outputs="values")
    options = {"wrt": None} if margins is input_margins else {}
    with pytest.raises(ValueError, match=r"regressor.*Train a classifier"):
        margins(record, normal(N, 6), np.zeros(N), batch_size=8, **options)


@pytest.mark.parametrize(
    ("module", "wrt", "X", "message"),
    [
        (mlp(), "decoder", "floats", "names no submodule; there are"),
        (nn.Sequential(*2 * [nn.Linear(6, 6)], nn.Linear(6, 5)), "0", "floats", "called 2 times"),
        (nn.Sequential(nn.Embedding(5, 2), nn.Flatten(), nn.Linear(12, 5)), None, "tokens", "wrt="),
        (nn.Sequential(nn.LSTM(6, 5)), "0", "floats", "returns tuple, not one floating tensor"),
    ],
    ids=["no such module", "called twice", "tokens without wrt", "several tensors"],
)
def test_what_cannot_be_differentiated_is_refused(module, wrt, X, message):
    X = np.ones((4, 6), dtype=np.float32 if X == "floats" else np.int64)
    record = TrainingRecord(module, [], classes=range(5))
    with pytest.raises(ValueError, match=message):
        input_margins(record, as_rows(X), np.zeros(4, int), wrt=wrt, batch_size=4)
    assert not any(part._forward_hooks for part in module.modules())
