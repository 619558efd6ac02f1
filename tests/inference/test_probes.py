# SPDX-License-Identifier: BSD-3-Clause
"""Which sites of a forward pass are probed: networks of every kind, and what users name."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from small_nets import BagOfTokens
from torch import nn
from torch.nn import functional as F

from sklearn_difficulty import TrainingRecord
from sklearn_difficulty.inference.probes import find_probes
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.training import MLP, VGG16, ConvNet, ResNet18

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")

C = 3
FLAT = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
IMAGES = np.random.default_rng(0).normal(size=(5, 2, 32, 32)).astype(np.float32)
SEQUENCES = np.random.default_rng(0).normal(size=(20, 5, 8)).astype(np.float32)
TOKENS = np.random.default_rng(0).integers(11, size=(20, 5))


@pytest.fixture
def names_of(record_of):
    """Return a function that names the probes of a network."""

    def find(module, X, choice="auto", **options):
        return [
            probe.name for probe in find_probes(record_of(module), as_rows(X), choice, **options)
        ]

    return find


# ------------------------------------------------------------------------- networks without sums


def vgg():
    layers, fan_in = [], 2
    for width in (4, 4, "M", 4, 4, "M", 4, 4, 4, "M", 4, 4, 4, "M", 4, 4, 4, "M"):
        if width == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(fan_in, width, 3, padding=1), nn.ReLU(inplace=True)]
            fan_in = width
    head = nn.Sequential(nn.Linear(4, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, C))
    return nn.Sequential(
        OrderedDict(features=nn.Sequential(*layers), flat=nn.Flatten(), classifier=head)
    )


class DenseLayer(nn.Module):
    def __init__(self, fan_in):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(fan_in), nn.Conv2d(fan_in, 4, 3, padding=1)

    def forward(self, x):
        return torch.cat([x, self.conv(self.norm(x).relu_())], dim=1)


def densenet():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        DenseLayer(4),
        DenseLayer(8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, C),
    )


# -------------------------------------------------------------------------------- residual networks


class BasicBlock(nn.Module):
    """As torchvision's: the ReLU works in place, on the sum too."""

    expansion = 1

    def __init__(self, fan_in, width, stride):
        super().__init__()
        fan_out = width * self.expansion
        self.body = nn.Sequential(*self.layers(fan_in, width, stride))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or fan_in != fan_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(fan_in, fan_out, 1, stride, bias=False), nn.BatchNorm2d(fan_out)
            )

    def layers(self, fan_in, width, stride):
        yield nn.Conv2d(fan_in, width, 3, stride, 1, bias=False)
        yield nn.BatchNorm2d(width)
        yield nn.ReLU(inplace=True)
        yield nn.Conv2d(width, width, 3, 1, 1, bias=False)
        yield nn.BatchNorm2d(width)

    def forward(self, x):
        identity = x
        out = self.body(x)
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Bottleneck(BasicBlock):
    expansion = 4

    def layers(self, fan_in, width, stride):
        yield nn.Conv2d(fan_in, width, 1, bias=False)
        yield nn.BatchNorm2d(width)
        yield nn.ReLU(inplace=True)
        yield nn.Conv2d(width, width, 3, stride, 1, bias=False)
        yield nn.BatchNorm2d(width)
        yield nn.ReLU(inplace=True)
        yield nn.Conv2d(width, 4 * width, 1, bias=False)
        yield nn.BatchNorm2d(4 * width)


class PreActivationBlock(BasicBlock):
    def layers(self, fan_in, width, stride):
        yield nn.BatchNorm2d(fan_in)
        yield nn.ReLU()
        yield nn.Conv2d(fan_in, width, 3, stride, 1, bias=False)
        yield nn.BatchNorm2d(width)
        yield nn.ReLU()
        yield nn.Conv2d(width, width, 3, 1, 1, bias=False)

    def forward(self, x):
        return self.body(x) + (x if self.downsample is None else self.downsample(x))


class ResNet(nn.Module):
    def __init__(self, block, depths, has_norm=True):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4) if has_norm else nn.Identity()
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        fan_in = 4
        for i, depth in enumerate(depths):
            blocks = []
            for j in range(depth):
                blocks.append(block(fan_in, 4, 2 if i and not j else 1))
                fan_in = 4 * block.expansion
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(fan_in, C)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


class AttentionPooledResNet(ResNet):
    def forward(self, x):
        x = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        weights = x.flatten(2).mean(dim=1, keepdim=True).softmax(dim=-1)
        return self.fc((x.flatten(2) * weights).sum(dim=2))


def sums_of_blocks(depths):
    return [f"layer{i + 1}.{j}.sum" for i, depth in enumerate(depths) for j in range(depth)]


class ConvLoop(nn.Module):
    """All sums are made by the network itself."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4)
        self.branches = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.head = nn.Linear(4, C)

    def forward(self, x):
        x = self.norm(self.stem(x))
        x = x + x.mean(dim=(2, 3), keepdim=True)  # of different shapes: no shortcut
        for branch in self.branches:
            x = x + branch(x.relu())
        return self.head(x.mean(dim=(2, 3)))


class KeywordConvLoop(ConvLoop):
    def forward(self, x):
        x = self.norm(self.stem(x))
        first, second, third = self.branches
        x = torch.add(input=x, other=first(x))
        x = torch.add(x, other=second(x), alpha=0.5)
        x = x.add(other=third(x))
        return self.head(x.mean(dim=(2, 3)))


class TwoSums(nn.Module):
    """A block with a sum inside its branch: only the last one ends the block."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        inner = self.a(x) + self.b(x)
        return x + inner.relu()


class Stages(nn.Module):
    """Shortcuts around blocks and around the stage that holds them."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(True), nn.Conv2d(4, 4, 3))
        self.blocks, self.head = nn.Sequential(TwoSums(), TwoSums()), nn.Linear(4, C)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.blocks(x)
        return self.head(x.mean(dim=(2, 3)))


class TwoNorms(ConvLoop):
    """A stem of two convolutions, each with a norm."""

    def __init__(self):
        super().__init__()
        self.second, self.norm2 = nn.Conv2d(4, 4, 3, padding=1), nn.GroupNorm(2, 4)

    def forward(self, x):
        x = self.norm2(self.second(self.norm(self.stem(x))))
        for branch in self.branches:
            x = x + branch(x.relu())
        return self.head(x.mean(dim=(2, 3)))


class SumOfHeads(nn.Module):
    """The only sum is made behind the maps."""

    def __init__(self):
        super().__init__()
        self.conv, self.left, self.right = nn.Conv2d(2, 4, 3), nn.Linear(4, C), nn.Linear(4, C)

    def forward(self, x):
        x = self.conv(x).mean(dim=(2, 3))
        return self.left(x) + self.right(x)


class ResidualMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, C)

    def forward(self, x):
        x = self.first(x).relu()
        return self.head(x + self.second(x).relu())


# ------------------------------------------------------------------------------------- transformers


class Attention(nn.Module):
    """By hand: the only sign of it is a softmax over scores."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(8, 24)

    def forward(self, x):
        query, key, value = self.project(x).chunk(3, dim=-1)
        return self.weights(query @ key.transpose(1, 2)) @ value

    def weights(self, scores):
        return scores.softmax(dim=-1)


class KeywordAttention(Attention):
    def weights(self, scores):
        return torch.softmax(input=scores, dim=-1)


class FusedAttention(Attention):
    def forward(self, x):
        return F.scaled_dot_product_attention(*self.project(x).chunk(3, dim=-1))


class PreNormBlock(nn.Module):
    def __init__(self, attention=Attention):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attention, self.feed_forward = attention(), nn.Linear(8, 8)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x)).relu()


class TransformerNet(nn.Module):
    """An embedding with positions, any encoder, the mean over positions, a linear layer."""

    def __init__(self, encoder, embeds=True):
        super().__init__()
        self.embedding = nn.Embedding(11, 8) if embeds else nn.Linear(8, 8)
        self.positions = nn.Parameter(torch.randn(1, 5, 8))
        self.encoder, self.head = encoder, nn.Linear(8, C)

    def encode(self, x):
        return self.encoder(x)

    def forward(self, x):
        return self.head(self.encode(self.embedding(x) + self.positions).mean(dim=1))


class ModuleListNet(TransformerNet):
    def encode(self, x):
        for block in self.encoder:
            x = block(x)
        return x


class LoopNet(TransformerNet):
    def encode(self, x):
        for attention in self.encoder:
            x = x + attention(x)
        return x


def encoder(**options):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **options)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)


def named_blocks():
    return nn.Sequential(OrderedDict(first=PreNormBlock(), second=PreNormBlock()))


class PatchNet(nn.Module):
    """A vision transformer: its convolution only cuts the image into patches."""

    def __init__(self):
        super().__init__()
        self.patches, self.head = nn.Conv2d(2, 8, 8, 8), nn.Linear(8, C)
        self.blocks = nn.Sequential(PreNormBlock(), PreNormBlock())

    def forward(self, x):
        return self.head(self.blocks(self.patches(x).flatten(2).transpose(1, 2)).mean(dim=1))


# ------------------------------------------------------------------------------ the automatic rule


AUTOMATIC = {
    "mlp": (
        lambda: nn.Sequential(
            nn.Linear(6, 8), nn.ReLU(True), nn.Linear(8, 8), nn.ReLU(True), nn.Linear(8, C)
        ),
        FLAT,
        ["0", "2", "4"],
    ),
    "one layer": (lambda: nn.Linear(6, C), FLAT, ["Linear"]),
    "vgg": (
        vgg,
        IMAGES,
        [f"features.{i}" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)],
    ),
    "densenet": (densenet, IMAGES, ["0", "1.conv", "2.conv"]),
    "resnet18": (
        lambda: ResNet(BasicBlock, (2, 2, 2, 2)),
        IMAGES,
        ["bn1", *sums_of_blocks((2, 2, 2, 2))],
    ),
    "resnet50": (
        lambda: ResNet(Bottleneck, (3, 4, 6, 3)),
        IMAGES,
        ["bn1", *sums_of_blocks((3, 4, 6, 3))],
    ),
    "preactivation resnet": (
        lambda: ResNet(PreActivationBlock, (2, 2, 2, 2), has_norm=False),
        IMAGES,
        ["conv1", *sums_of_blocks((2, 2, 2, 2))],
    ),
    "resnet with attention pooling": (
        lambda: AttentionPooledResNet(BasicBlock, (2,)),
        IMAGES,
        ["bn1", *sums_of_blocks((2,))],
    ),
    "loop of convolutions": (ConvLoop, IMAGES, ["norm", "sum", "sum#2", "sum#3"]),
    "stem with two norms": (TwoNorms, IMAGES, ["norm", "sum", "sum#2", "sum#3"]),
    "sums around sums": (Stages, IMAGES, ["stem.2", "blocks.0.sum#2", "blocks.1.sum#2", "sum"]),
    "sum of heads": (SumOfHeads, IMAGES, ["conv"]),
    "residual mlp": (ResidualMLP, FLAT, ["first", "second", "head"]),
    "encoder": (
        lambda: TransformerNet(encoder(), embeds=False),
        SEQUENCES,
        [f"encoder.layers.{i}" for i in range(3)],
    ),
    "norm first": (
        lambda: TransformerNet(encoder(norm_first=True), embeds=False),
        SEQUENCES,
        [f"encoder.layers.{i}" for i in range(3)],
    ),
    "module list": (
        lambda: ModuleListNet(nn.ModuleList(PreNormBlock() for _ in range(2)), embeds=False),
        SEQUENCES,
        ["encoder.0", "encoder.1"],
    ),
    "named blocks": (
        lambda: TransformerNet(named_blocks(), embeds=False),
        SEQUENCES,
        ["encoder.first", "encoder.second"],
    ),
    "keyword softmax": (
        lambda: TransformerNet(nn.Sequential(PreNormBlock(KeywordAttention)), embeds=False),
        SEQUENCES,
        ["encoder.0"],
    ),
    "fused attention": (
        lambda: TransformerNet(nn.Sequential(PreNormBlock(FusedAttention)), embeds=False),
        SEQUENCES,
        ["encoder.0"],
    ),
    "loop of attention": (
        lambda: LoopNet(nn.ModuleList(Attention() for _ in range(2)), embeds=False),
        SEQUENCES,
        ["sum", "sum#2"],
    ),
    "no list of blocks": (
        lambda: TransformerNet(PreNormBlock(), embeds=False),
        SEQUENCES,
        ["encoder.sum", "encoder.sum#2"],
    ),
    "sums with keywords": (KeywordConvLoop, IMAGES, ["norm", "sum", "sum#2", "sum#3"]),
    "blocks of blocks": (
        lambda: TransformerNet(
            nn.Sequential(nn.Sequential(PreNormBlock(), PreNormBlock()), PreNormBlock()),
            embeds=False,
        ),
        SEQUENCES,
        ["encoder.0.0", "encoder.0.1", "encoder.1"],
    ),
    "attention without sums": (
        lambda: TransformerNet(nn.Sequential(Attention()), embeds=False),
        SEQUENCES,
        ["embedding", "encoder.0.project", "head"],
    ),
    "patches": (PatchNet, IMAGES, ["blocks.0", "blocks.1"]),
}


@pytest.mark.parametrize("kind", AUTOMATIC)
def test_automatic_probes(names_of, kind):
    make, X, sites = AUTOMATIC[kind]
    assert names_of(make(), X) == ["input", *sites, "softmax"]


@pytest.mark.parametrize(
    ("make", "X", "n_probes"),
    [
        (lambda: MLP(6, C, (8, 8)), FLAT, 5),
        (lambda: MLP(784, 10, (32,) * 7), np.zeros((4, 784), np.float32), 10),
        (lambda: ConvNet(2, C, (2, 2)), IMAGES, 4),
        (lambda: VGG16(2, C, (2, 2, 2, 2, 2)), IMAGES, 15),
        (lambda: ResNet18(2, C, (2, 2, 2, 2)), IMAGES, 11),
    ],
    ids=["MLP", "the paper's MLP", "ConvNet", "VGG16", "ResNet18"],
)
def test_networks_of_the_library_have_the_standardised_input(record_of, make, X, n_probes):
    module = make()
    probes = find_probes(record_of(module, range(module.config["n_outputs"])), as_rows(X))
    assert len(probes) == n_probes
    assert (probes[0].name, probes[0].module) == ("input", "standardize")
    assert len({probe.name for probe in probes} - {"standardize"}) == n_probes


def test_resnet18_of_the_library_is_probed_at_its_norm_and_sums(names_of):
    names = names_of(ResNet18(2, C, (2, 2, 2, 2)), IMAGES)
    assert names == ["input", "stem.1", *[f"blocks.{i}.sum" for i in range(8)], "softmax"]


def test_nothing_to_probe(names_of):
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.weight = nn.LayerNorm(6), nn.Parameter(torch.ones(6, C))

        def forward(self, x):
            return self.norm(x) @ self.weight

    with pytest.raises(ValueError, match=r"no linear layer and no convolution.*\['norm'\]"):
        names_of(Weighted(), FLAT)
    assert names_of(Weighted(), FLAT, ["norm"]) == ["input", "norm", "softmax"]


def test_as_few_rows_as_classes_are_enough(names_of):
    assert names_of(ResNet(BasicBlock, (1, 1, 1, 1)), IMAGES[:2])[1] == "bn1"


def test_regressors_have_no_probes():
    module = nn.Linear(6, 1)
    record = TrainingRecord.from_checkpoints(module, [module.state_dict()], outputs="values")
    with pytest.raises(ValueError, match="this network is a regressor"):
        find_probes(record, as_rows(FLAT))


# ----------------------------------------------------------------------------------- token ids


def test_first_embedding_stands_for_token_ids(record_of):
    record = record_of(TransformerNet(encoder()))
    first, *others = find_probes(record, as_rows(TOKENS))
    assert (first.name, first.kind, first.module) == ("input", "module", "embedding")
    assert [probe.name for probe in others[:-1]] == [f"encoder.layers.{i}" for i in range(3)]
    # Naming it does not make it a second probe.
    assert find_probes(record, as_rows(TOKENS), ["embedding"]) == [first, others[-1]]
    without = find_probes(record, as_rows(TOKENS), ["embedding"], include_input=False)
    assert [probe.name for probe in without] == ["embedding", "softmax"]


def test_a_bag_of_embeddings_stands_for_token_ids(names_of):
    tokens = np.arange(24).reshape(8, 3) % 20
    assert names_of(BagOfTokens(C), tokens) == ["input", "output", "softmax"]


def test_integers_without_embedding_are_refused(names_of):
    class Counts(nn.Linear):
        def forward(self, x):
            return super().forward(x.float())

    with pytest.raises(
        ValueError, match=r"X.astype\('float32'\).*include_input=False.*n_neighbors=None"
    ):
        names_of(Counts(6, C), FLAT.astype(int))
    assert names_of(Counts(6, C), FLAT.astype(int), include_input=False) == ["Counts", "softmax"]
    assert names_of(MLP(6, C, (4,)), FLAT.astype(int))[0] == "input"


# ------------------------------------------------------------------------------- the user's choice


class Shared(nn.Module):
    """Calls one layer twice, and owns one that it never calls."""

    def __init__(self):
        super().__init__()
        self.first, self.shared, self.spare = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, C)

    def forward(self, x):
        return self.head(self.shared(self.shared(self.first(x)).tanh()).tanh())


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (["head", "first"], ["first", "head"]),
        (("first",), ["first"]),
        (np.array(["first", "first"]), ["first"]),
        (["shared"], ["shared", "shared#2"]),
        ("auto", ["first", "shared", "shared#2", "head"]),
        (r"f.*|head", ["first", "head"]),
        (r".*", ["first", "shared", "shared#2", "head"]),
        (lambda name, module: module.out_features == 8, ["first", "shared", "shared#2"]),
        (lambda name, module: name.startswith("h"), ["head"]),
    ],
)
def test_chosen_modules_come_in_the_order_of_the_forward_pass(names_of, choice, expected):
    assert names_of(Shared(), FLAT, choice) == ["input", *expected, "softmax"]
    assert names_of(Shared(), FLAT, choice, include_input=False) == [*expected, "softmax"]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (["first", "decoder"], r"names \['decoder'\].*Shared does not call.*'first', 'shared'"),
        (["spare"], r"\['spare'\], which the forward pass of Shared does not call"),
        ([], "chooses no module"),
        ("a(", r"probes='a\(' is no regular expression"),
        ("fir", r"probes='fir' chooses no module.*\['first', 'shared', 'head'\]"),
        (lambda name, module: False, "chooses no module"),
    ],
)
def test_choice_of_nothing(names_of, choice, message):
    with pytest.raises(ValueError, match=message):
        names_of(Shared(), FLAT, choice)


class ManyOutputs(nn.Module):
    """Has modules that return a tuple, a dict, ids, and positions before rows."""

    def __init__(self):
        super().__init__()
        self.recurrent = nn.GRU(8, 8, batch_first=True)
        self.time_first = nn.GRU(8, 8)
        self.as_ids, self.as_scalar = AsIds(), AsScalar()
        self.head = nn.Linear(8, C)

    def forward(self, x):
        x, _ = self.recurrent(x)
        y, _ = self.time_first(x.transpose(0, 1))
        scale = self.as_ids(x) * self.as_scalar(x)
        return self.head(y[-1]) + 0 * scale[:, None]


class AsIds(nn.Module):
    def forward(self, x):
        return x.sum(dim=2).argmax(dim=1)


class AsScalar(nn.Module):
    def forward(self, x):
        return x.sum()


def test_the_first_of_several_outputs_is_read(names_of):
    assert names_of(ManyOutputs(), SEQUENCES, ["recurrent"]) == ["input", "recurrent", "softmax"]


@pytest.mark.parametrize("name", ["time_first", "as_ids", "as_scalar"])
def test_outputs_without_one_entry_per_row_are_refused(names_of, name):
    with pytest.raises(ValueError, match=rf"\['{name}'\].*one entry per row"):
        names_of(ManyOutputs(), SEQUENCES, ["recurrent", name])


# ------------------------------------------------------------------------- nothing is left behind


class FailsOnDemand(nn.Module):
    fails = False

    def forward(self, x):
        if self.fails:
            raise RuntimeError("no forward today")
        return x


@pytest.mark.parametrize("fails", [False, True])
def test_hooks_and_modes_are_restored(record_of, fails):
    record = record_of(nn.Sequential(nn.Linear(6, 8), FailsOnDemand(), nn.Linear(8, C)))
    record.module.train()
    record.module[0].eval()
    record.module[1].fails = fails
    state = torch.get_rng_state()
    if fails:
        with pytest.raises(RuntimeError, match="today"):
            find_probes(record, as_rows(FLAT))
    else:
        find_probes(record, as_rows(FLAT))
    assert [m.training for m in record.module] == [False, True, True]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in record.module.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.overrides._get_current_function_mode() is None


def test_choice_that_raises_leaves_no_hooks(record_of):
    def choice(name, module):
        raise KeyError(name)

    record = record_of(Shared())
    with pytest.raises(KeyError):
        find_probes(record, as_rows(FLAT), choice)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in record.module.modules())


def test_rows_are_not_written_to(names_of):
    X = FLAT.copy()
    names_of(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, C)), X)
    assert np.array_equal(X, FLAT)


def test_error_of_a_regular_expression_says_what_is_wrong(names_of):
    with pytest.raises(ValueError, match="unterminated"):
        names_of(Shared(), FLAT, "first(")
