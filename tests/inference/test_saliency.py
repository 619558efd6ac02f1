# SPDX-License-Identifier: BSD-3-Clause
"""Activations, gradients and maps at layers, against networks that are written out by hand."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr
from sklearn import config_context
from torch import nn
from torch.nn import functional as F

from sklearn_difficulty.inference.contributions import VARIANTS
from sklearn_difficulty.inference.locations import find_sites
from sklearn_difficulty.inference.saliency import (
    SaliencyReader,
    location_maps,
    training_signals,
)
from sklearn_difficulty.measures import saliency_map
from sklearn_difficulty.rows.rows import as_rows

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(6, 2, 7, 6))
SIGNALS = RNG.normal(size=(6, 2, 16))
TOKENS = RNG.integers(20, size=(6, 9))
Y = np.arange(6) % 3


def conv():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    )


def signals():
    return nn.Sequential(
        nn.Conv1d(2, 4, 5, padding=2, groups=2),
        nn.Tanh(),
        nn.AvgPool1d(2),
        nn.Conv1d(4, 5, 3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(30, 3),
    )


class Text(nn.Module):
    """An embedding and two transformer blocks, which torch computes in one go if it may."""

    def __init__(self):
        super().__init__()
        block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=True)
        self.embedding, self.out = nn.Embedding(20, 8), nn.Linear(8, 3)
        self.encoder = nn.TransformerEncoder(block, 2)

    def forward(self, tokens):
        return self.out(self.encoder(self.embedding(tokens)).mean(dim=1))


class Shared(nn.Module):
    """One in-place activation for all layers, an identity beside a skip, and writes to values."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.relu, self.same = nn.ReLU(inplace=True), nn.Dropout(0.5)
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        h = self.relu(self.first(x))
        s = self.second(self.same(h))
        s.add_(h)
        t = self.same(s)
        t.mul_(2)
        return self.out((self.relu(t - 0.1) + h).mean(dim=(2, 3)))

    def written_out(self, x):
        """Return the outputs and what is at the sites."""
        a = self.first(x)
        r1 = F.relu(a)
        u = r1 + 0
        s = self.second(u)
        t = s + r1
        r2 = F.relu(2 * t - 0.1)
        out = self.out((r2 + r1).mean(dim=(2, 3)))
        return out, {"first": a, "relu": r1, "same": u, "second": s, "same#2": t, "relu#2": r2}


CASES = {"conv": (conv, IMAGES), "signals": (signals, SIGNALS), "text": (Text, TOKENS)}


def record_for(record_of, module, **settings):
    # Averages of batch norm that say something.
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.5, 2)
    return record_of(module.double(), criterion=nn.CrossEntropyLoss(), **settings)


def reader_of(record, X, layers="auto", **settings):
    sites = find_sites(record, as_rows(X), layers, variant=settings.get("variant", "conv1x1"))
    return SaliencyReader(record, record.checkpoints, sites, **settings)


def maps_of(reader, X, y=Y, batch_size=512):
    maps = location_maps(reader, as_rows(X), y, lambda maps, _: maps, batch_size=batch_size)
    return dict(zip(reader.sites.names, maps, strict=True))


def evidence(outputs, labels, target):
    if target == "loss":
        return -F.cross_entropy(outputs, labels, reduction="sum")
    return outputs.gather(1, labels[:, None]).sum()


def by_retained_gradients(module, X, names, target="loss", y=Y):
    """Oracle: activations and gradients of one row after the other, by hooks that only look."""
    found = {name: [] for name in names}
    module = deepcopy(module).eval()
    for x, label in zip(torch.from_numpy(X), torch.from_numpy(y), strict=True):
        kept, hooks = {}, []
        for name in names:

            def keep(part, args, out, name=name, kept=kept):
                kept[name] = out + 0 if out.requires_grad else out.detach().requires_grad_()
                kept[name].retain_grad()
                return kept[name].clone()

            hooks.append(module.get_submodule(name).register_forward_hook(keep))
        # Gradients of weights are made, so torch takes no short cut through a transformer.
        evidence(module(x[None]), label[None], target).backward()
        for hook in hooks:
            hook.remove()
        for name in names:
            found[name].append((kept[name].detach()[0], kept[name].grad[0]))
    return {n: [torch.stack(p).numpy() for p in zip(*v, strict=True)] for n, v in found.items()}


LAYERS = {
    "conv": ["0", "1", "2", "3", "4", "5"],
    "signals": ["0", "1", "2", "3"],
    "text": ["embedding", "encoder.layers.0", "encoder.layers.0.linear1", "encoder.layers.1"],
}


@pytest.mark.parametrize("target", ["loss", "logit"])
@pytest.mark.parametrize("case", CASES)
def test_equals_one_row_after_the_other(record_of, case, target):
    make, X = CASES[case]
    record = record_for(record_of, make())
    names = LAYERS[case]
    axis = -1 if case == "text" else 1
    pairs = by_retained_gradients(record.module, X, names, target)
    for variant, aggregation in (("conv1x1", "norm"), ("scaling", "sum"), ("conv3x3", "max")):
        settings = {"target": target, "variant": variant, "aggregation": aggregation}
        reader = reader_of(record, X, names, **settings)
        found = maps_of(reader, X, batch_size=4)
        lengths = training_signals(reader, as_rows(X), Y, batch_size=512)
        for name in names:
            expected = saliency_map(
                *pairs[name], variant=variant, aggregation=aggregation, channel_axis=axis
            )
            assert_allclose(found[name], expected, rtol=1e-5, atol=1e-7, err_msg=name)
            of_rows = np.linalg.norm(expected.reshape(6, -1), axis=1)
            assert_allclose(lengths[:, reader.sites.names.index(name)], of_rows, rtol=1e-9)


def test_each_layer_is_read_by_itself(record_of):
    record = record_for(record_of, conv())
    together = maps_of(reader_of(record, IMAGES, ["0", "2", "5"]), IMAGES)
    for name, expected in together.items():
        [found] = maps_of(reader_of(record, IMAGES, [name]), IMAGES).values()
        assert_allclose(found, expected, rtol=1e-6)
    assert not np.allclose(together["0"], together["2"])


@pytest.mark.parametrize("target", ["loss", "logit"])
def test_shared_and_in_place_activations(record_of, target):
    module = Shared()
    record = record_for(record_of, module)
    x, labels = torch.from_numpy(IMAGES), torch.from_numpy(Y)
    outputs, sites = module.written_out(x)
    assert_allclose(outputs.detach(), module.eval()(x).detach())
    gradients = torch.autograd.grad(evidence(outputs, labels, target), list(sites.values()))
    every = list({n.split("#")[0] for n in sites})
    for layers in (every, ["same"], ["relu"], ["second"], ["same", "second"]):
        found = maps_of(reader_of(record, IMAGES, layers, target=target), IMAGES)
        for (name, value), g in zip(sites.items(), gradients, strict=True):
            if name in found:
                expected = saliency_map(value.detach(), g)
                assert_allclose(found[name], expected, rtol=1e-5, err_msg=f"{name} of {layers}")
    assert set(maps_of(reader_of(record, IMAGES, ["relu"]), IMAGES)) == {"relu", "relu#2"}


class Beside(nn.Module):
    """An identity on one of two ways."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.same, self.out = nn.Dropout(0.5), nn.Linear(4, 3)

    def forward(self, x):
        h = torch.tanh(self.first(x))
        return self.out((self.second(self.same(h)) + h).square().mean(dim=(2, 3)))


def test_a_module_that_returns_what_it_is_given_has_a_gradient_of_its_own(record_of):
    module = Beside()
    record = record_for(record_of, module)
    h = torch.tanh(module.first(torch.from_numpy(IMAGES)))
    u = h + 0
    outputs = module.out((module.second(u) + h).square().mean(dim=(2, 3)))
    [g] = torch.autograd.grad(evidence(outputs, torch.from_numpy(Y), "loss"), [u])
    found = maps_of(reader_of(record, IMAGES, ["first", "same"]), IMAGES)["same"]
    assert_allclose(found, saliency_map(u.detach(), g), rtol=1e-5)


def test_weight_gradient_of_an_identity_convolution(record_of):
    module = conv()
    record_for(record_of, module)
    x, labels = torch.from_numpy(IMAGES[:1]), torch.from_numpy(Y[:1])
    head, tail = module.eval()[:5], module[5:]
    identity = nn.Conv2d(5, 5, 1, bias=False).double()
    with torch.no_grad():
        identity.weight.copy_(torch.eye(5)[..., None, None])
    with_identity = tail(identity(head(x)))
    assert torch.equal(with_identity, module(x))
    loss = F.cross_entropy(with_identity, labels)
    [weight] = torch.autograd.grad(loss, [identity.weight])
    [(a, g)] = by_retained_gradients(module, IMAGES[:1], ["4"], y=Y[:1]).values()
    total = np.einsum("kij,cij->kc", -g[0], a[0])
    assert_allclose(weight[..., 0, 0], total, atol=1e-12)
    numeric = np.empty((5, 5))
    for k, c in np.ndindex(5, 5):
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                identity.weight[k, c] += sign * 1e-6
                ends.append(float(F.cross_entropy(tail(identity(head(x))), labels)))
                identity.weight[k, c] -= sign * 1e-6
        numeric[k, c] = (ends[0] - ends[1]) / 2e-6
    assert_allclose(numeric, total, atol=1e-8)


# ------------------------------------------------------------------------- after a step of training


def after_steps(module, X, step, names, target, y=Y):
    """Oracle: the maps of each row after a plain step of SGD on the row alone."""
    found = {name: [] for name in names}
    for i in range(len(X)):
        moved = deepcopy(module).eval()
        optimizer = torch.optim.SGD(moved.parameters(), lr=abs(step))
        loss = F.cross_entropy(moved(torch.from_numpy(X[i : i + 1])), torch.tensor(y[i : i + 1]))
        (loss * np.sign(step)).backward()
        optimizer.step()
        optimizer.zero_grad()
        for name, pair in by_retained_gradients(
            moved, X[i : i + 1], names, target, y=y[i : i + 1]
        ).items():
            found[name].append(pair)
    return {n: [np.concatenate(p) for p in zip(*v, strict=True)] for n, v in found.items()}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("step", [0.05, -0.05])
@pytest.mark.parametrize("case", CASES)
def test_every_row_takes_its_own_step(record_of, case, step):
    make, X = CASES[case]
    record = record_for(record_of, make())
    names = LAYERS[case]
    pairs = after_steps(record.module, X, step, names, "loss")
    reader = reader_of(record, X, names, step=step)
    found = maps_of(reader, X)
    before = maps_of(reader_of(record, X, names), X)
    for name in names:
        axis = -1 if case == "text" else 1
        expected = saliency_map(*pairs[name], channel_axis=axis)
        assert_allclose(found[name], expected, rtol=1e-5, atol=1e-7, err_msg=name)
        assert not np.allclose(found[name], before[name], rtol=1e-3)
    with config_context(working_memory=1e-6):  # one row a chunk
        alone = maps_of(reader_of(record, X, names, step=step), X)
    for name in names:
        assert_allclose(alone[name], found[name], rtol=1e-5)
    for part in ([3], [5, 0, 2]):
        few = maps_of(reader, X[part], Y[part])
        assert_allclose(few[names[0]], found[names[0]][part], rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_can_take_a_step(record_of, variant):
    record = record_for(record_of, conv())
    settings = {"variant": variant, "aggregation": "filtered_norm", "target": "logit"}
    still, plain, moved = (
        training_signals(
            reader_of(record, IMAGES, ["0", "4"], step=step, **settings),
            as_rows(IMAGES),
            Y,
            batch_size=8,
        )
        for step in (0.0, None, 0.05)
    )
    assert_allclose(still, plain, rtol=1e-6)
    assert not np.allclose(moved, plain, rtol=1e-4)


def smooth():
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(168, 3))


def test_small_steps_change_maps_to_first_order(record_of):
    record = record_for(record_of, smooth())

    def maps(step):
        return maps_of(reader_of(record, IMAGES, ["1"], step=step), IMAGES)["1"].astype(float)

    zero = maps(0.0)
    first, second = [], []
    for step in (1e-2, 5e-3):
        up, down = maps(step), maps(-step)
        first.append(abs(up - zero).max() / step)
        second.append(abs((up + down) / 2 - zero).max() / step**2)
    assert_allclose(*first, rtol=0.2)
    assert_allclose(*second, rtol=0.2)
    assert min(first) > 0.05


def test_steps_lower_and_raise_the_loss_of_their_row(record_of):
    module = record_for(record_of, smooth()).module
    x, label = torch.from_numpy(IMAGES[:1]), torch.tensor(Y[:1])
    weights = {name: p.detach() for name, p in module.named_parameters()}

    def loss(weights):
        return F.cross_entropy(torch.func.functional_call(module, weights, (x,)), label)

    gradient = torch.func.grad(loss)(weights)
    square = sum(float(g.square().sum()) for g in gradient.values())
    rests = []
    for step in (1e-2, 1e-3):
        moved = {name: weights[name] - step * gradient[name] for name in weights}
        change = float(loss(moved) - loss(weights))
        assert change < 0
        rests.append((change + step * square) / step**2)
    assert_allclose(*rests, rtol=0.1)


def test_before_a_linear_layer_only_a_step_tells_classes_apart(record_of):
    module = nn.Sequential(*conv()[:6], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3))
    record = record_for(record_of, module)
    labels = [np.full(6, k) for k in range(3)]

    def correlations(**settings):
        one, other = (
            maps_of(reader_of(record, IMAGES, ["5"], target="logit", **settings), IMAGES, k)["5"]
            for k in labels[:2]
        )
        return [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one, other, strict=True)]

    assert_allclose(correlations(), 1)
    bias = maps_of(reader_of(record, IMAGES, ["5"], target="logit", variant="bias"), IMAGES)["5"]
    assert_allclose(np.ptp(bias, axis=(1, 2)), 0, atol=1e-8)
    assert min(correlations(variant="scaling", aggregation="filtered_norm")) < 0.9
    assert min(correlations(step=0.5)) < 1 - 1e-6


# ----------------------------------------------------------------------------- what stays as it was


class Fails(nn.Module):
    def forward(self, x):
        if x.requires_grad:
            raise KeyError("on purpose")
        return x


def state_of(module):
    tensors = {name: value.clone() for name, value in module.state_dict().items()}
    flags = [(p.requires_grad, p.grad) for p in module.parameters()]
    parts = [(m.training, getattr(m, "inplace", None)) for m in module.modules()]
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in module.modules()]
    return tensors, (flags, parts, hooks)


@pytest.mark.parametrize("step", [None, 0.1])
@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was(record_of, step, fails):
    module = conv()
    module.insert(6, Fails() if fails else nn.Identity())
    module[4].weight.requires_grad_(False)
    record = record_for(record_of, module)
    module = record.module
    sites = find_sites(record, as_rows(IMAGES), ["2", "4"], variant="conv1x1")
    module.train()
    module[1].eval()
    tensors, rest = state_of(module)
    reader = SaliencyReader(record, record.checkpoints, sites, step=step)
    if fails:
        with pytest.raises(KeyError, match="on purpose"):
            training_signals(reader, as_rows(IMAGES), Y, batch_size=8)
    else:
        training_signals(reader, as_rows(IMAGES), Y, batch_size=8)
    after, rest_after = state_of(module)
    assert rest == rest_after
    assert all(torch.equal(after[name], value) for name, value in tensors.items())


def test_rows_do_not_see_each_other_and_the_scale_of_the_loss_does_not_matter(record_of):
    record = record_for(record_of, conv())
    reader = reader_of(record, IMAGES)
    found = maps_of(reader, IMAGES)
    for name, values in found.items():
        assert_allclose(maps_of(reader, IMAGES[2:3], Y[2:3])[name][0], values[2], rtol=1e-5)

    class Twice(nn.CrossEntropyLoss):
        def forward(self, outputs, labels):
            return 2 * super().forward(outputs, labels)

    record.criterion = Twice()
    for name, values in maps_of(reader_of(record, IMAGES), IMAGES).items():
        assert_allclose(values, 2 * found[name], rtol=1e-5)


def test_means_over_checkpoints(record_of):
    first, second = (record_for(record_of, conv()) for _ in range(2))
    of_both = first.checkpoints + second.checkpoints
    sites = find_sites(first, as_rows(IMAGES), "auto", variant="conv1x1")
    readers = [SaliencyReader(first, c, sites) for c in (of_both, of_both[:1], of_both[1:])]
    both, one, two = (maps_of(reader, IMAGES) for reader in readers)
    signal = [training_signals(r, as_rows(IMAGES), Y, batch_size=8) for r in readers]
    assert_allclose(signal[0], (signal[1] + signal[2]) / 2)
    for name in both:
        assert_allclose(both[name], (one[name] + two[name]) / 2, rtol=1e-6)


class PaddedText(Text):
    def forward(self, tokens):
        is_padding = tokens == 0
        h = self.encoder(self.embedding(tokens), src_key_padding_mask=is_padding)
        return self.out(h.masked_fill(is_padding[..., None], 0).sum(dim=1))


@pytest.mark.parametrize("step", [None, 0.05])
def test_padding_has_no_signal_and_changes_none(record_of, step):
    record = record_for(record_of, PaddedText())
    tokens = np.where(np.arange(9) < 4 + np.arange(6)[:, None], np.maximum(TOKENS, 1), 0)
    longer = np.pad(tokens, [(0, 0), (0, 3)])
    reader = reader_of(record, tokens, "auto", step=step)
    for maps, more in zip(
        maps_of(reader, tokens).values(), maps_of(reader, longer).values(), strict=True
    ):
        assert_array_equal(maps[tokens == 0], 0)
        assert_allclose(more[:, :9], maps, rtol=1e-5)


class Draws(nn.Module):
    """Drops values in eval mode too."""

    def forward(self, x):
        return F.dropout(x, 0.5, training=True)


class Decides(nn.Module):
    def forward(self, x):
        return x / 2 if x.abs().max() > 5 else x


def test_networks_that_draw_or_decide_and_a_step(record_of):
    draws = record_for(record_of, nn.Sequential(*conv(), Draws()))
    first, second = (
        training_signals(reader_of(draws, IMAGES, step=0.1), as_rows(IMAGES), Y, batch_size=8)
        for _ in range(2)
    )
    assert_array_equal(first, second)
    decides = reader_of(record_for(record_of, nn.Sequential(*conv(), Decides())), IMAGES, step=0.1)
    with pytest.raises(ValueError, match="cannot follow the forward pass"):
        training_signals(decides, as_rows(IMAGES), Y, batch_size=8)


def test_half_precision_loses_no_step(record_of):
    module = record_for(record_of, smooth()).module.to(torch.bfloat16)
    half, single = record_of(module), record_of(deepcopy(module).float())
    X = torch.from_numpy(IMAGES).bfloat16().float().numpy()
    found, expected = (
        training_signals(reader_of(record, X, step=1e-3), as_rows(X), Y, batch_size=8)
        for record in (half, single)
    )
    assert_allclose(found, expected, rtol=1e-5)


def compiled_inside():
    module = conv()
    module[4] = torch.compile(module[4], backend="eager")
    return module


def compiled_in_place():
    module = conv()
    module[4].compile(backend="eager")
    return module


@pytest.mark.parametrize("step", [None, 0.1])
@pytest.mark.parametrize("make", [compiled_inside, compiled_in_place])
def test_parts_that_are_compiled(record_of, make, step):
    torch.manual_seed(0)
    compiled = record_for(record_of, make())
    torch.manual_seed(0)
    plain = record_for(record_of, conv())
    found, expected = (
        maps_of(reader_of(r, IMAGES, lambda name, _: name in ("2", "5"), step=step), IMAGES)
        for r in (compiled, plain)
    )
    assert list(found) == ["2", "5"]
    for name in found:
        assert_allclose(found[name], expected[name], rtol=1e-6)


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(2, 3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.out(self.conv(x).detach().mean(dim=(2, 3)))


class Wanders(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(2, 3, 3), nn.Linear(3, 3)

    def forward(self, x):
        x = self.conv(x) if len(x) < 4 else nn.functional.conv2d(x, self.conv.weight)
        return self.out(x.mean(dim=(2, 3)))


@pytest.mark.parametrize(
    ("make", "layers", "message"),
    [
        (Detached, ["conv"], "depends on none of the chosen layers"),
        (Wanders, ["conv"], r"did not come by \['conv'\]"),
    ],
)
def test_what_cannot_be_read_is_named(record_of, make, layers, message):
    record = record_for(record_of, make())
    reader = reader_of(record, IMAGES, layers)
    with pytest.raises(ValueError, match=message):
        training_signals(reader, as_rows(IMAGES), Y, batch_size=8)
    assert not record.module.conv._forward_hooks


def test_vmap_keeps_no_tensor_of_its_own_in_the_output(record_of):
    record = record_for(record_of, conv())
    before = {name: value.clone() for name, value in record.module.state_dict().items()}
    training_signals(reader_of(record, IMAGES, step=1.0), as_rows(IMAGES), Y, batch_size=8)
    assert_array_equal(record.module[0].weight.detach(), before["0.weight"])
