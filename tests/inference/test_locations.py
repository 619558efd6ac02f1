# SPDX-License-Identifier: BSD-3-Clause
"""Which layers are read without being named, and which axis holds their channels."""

import numpy as np
import pytest
from torch import nn

from sklearn_difficulty.inference.locations import find_sites
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.training import MLP, VGG16, ConvNet, ResNet18

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(4, 3, 32, 32)).astype(np.float32)
SIGNALS = RNG.normal(size=(4, 6, 16)).astype(np.float32)
TOKENS = RNG.integers(20, size=(4, 9))
TABLE = RNG.normal(size=(4, 6)).astype(np.float32)


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        block = nn.TransformerEncoderLayer(6, 2, 16, batch_first=True)
        self.embedding, self.out = nn.Embedding(20, 6), nn.Linear(6, 3)
        self.encoder = nn.TransformerEncoder(block, 2)

    def forward(self, tokens):
        return self.out(self.encoder(self.embedding(tokens)).mean(dim=1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.out = nn.LSTM(16, 7, batch_first=True), nn.Linear(7, 3)

    def forward(self, x):
        return self.out(self.lstm(x)[0].mean(dim=1))


class ChannelsTurned(nn.Module):
    """A block as of ConvNeXt, which has its channels last in between."""

    def __init__(self):
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 6, 4, stride=4), nn.Conv2d(6, 6, 3, padding=1)
        self.norm, self.wide = nn.LayerNorm(6), nn.Linear(6, 12)
        self.narrow, self.block = nn.Linear(12, 6), nn.Identity()
        self.pool, self.out = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 3)

    def forward(self, x):
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.narrow(self.wide(y).relu()).permute(0, 3, 1, 2)
        return self.out(self.pool(self.block(x + y)).flatten(1))


class InputTurned(nn.Module):
    """Channels last in what it is given, first in the layers, or the other way round."""

    def __init__(self, layer, axes):
        super().__init__()
        self.layer, self.axes = layer, axes

    def forward(self, x):
        x = self.layer(x.permute(self.axes))
        return (x[0] if isinstance(x, tuple) else x).flatten(1)[:, :3]


class TwoKinds(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.line, self.out = nn.Conv2d(3, 4, 3), nn.Conv1d(4, 5, 3), nn.Linear(5, 3)

    def forward(self, x):
        return self.out(self.line(self.conv(x).mean(dim=3)).mean(dim=2))


class Patches(nn.Module):
    def __init__(self):
        super().__init__()
        block = nn.TransformerEncoderLayer(6, 2, 16, batch_first=True)
        self.patches, self.out = nn.Conv2d(3, 6, 8, stride=8), nn.Linear(6, 3)
        self.encoder = nn.TransformerEncoder(block, 1)

    def forward(self, x):
        return self.out(self.encoder(self.patches(x).flatten(2).transpose(1, 2)).mean(dim=1))


def signals():
    return nn.Sequential(
        *(nn.Conv1d(6, 4, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(4, 5, 3)),
        *(nn.BatchNorm1d(5), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(5, 3)),
    )


# Network, rows, the layers of "auto", those of variant="layer", their channels, the map's size.
CASES = {
    "images": (
        lambda: ConvNet(3, 3),
        IMAGES,
        ["layers.1", "layers.4", "layers.5"],
        ["layers.0", "layers.3"],
        1,
        (32, 32),
    ),
    "VGG": (
        lambda: VGG16(3, 3),
        IMAGES,
        [f"layers.{i}" for i in (3, 8, 15, 22, 29)],
        [f"layers.{i}" for i in (2, 7, 14, 21, 28)],
        1,
        (32, 32),
    ),
    "residual": (
        lambda: ResNet18(3, 3),
        IMAGES,
        [f"blocks.{i}" for i in (1, 3, 5, 7)],
        [f"blocks.{i}.residual.3" for i in (1, 3, 5, 7)],
        1,
        (32, 32),
    ),
    "signals": (signals, SIGNALS, ["1", "2", "5"], ["0", "3"], 1, (16,)),
    "tokens": (
        Text,
        TOKENS,
        ["encoder.layers.0", "encoder.layers.1"],
        ["encoder.layers.1.linear2"],
        -1,
        (9,),
    ),
    "recurrent": (Recurrent, SIGNALS, ["lstm"], ["out"], -1, (6,)),
    "turned": (ChannelsTurned, IMAGES, ["block"], ["narrow"], 1, (32, 32)),
    "patches": (Patches, IMAGES, ["patches"], ["patches"], 1, (32, 32)),
    "table": (
        lambda: MLP(6, 3, (5, 4)),
        TABLE,
        ["layers.0", "layers.2"],
        ["layers.0", "layers.2"],
        1,
        None,
    ),
    "linear": (lambda: nn.Linear(6, 3), TABLE, ["Linear"], ["Linear"], 1, None),
}


@pytest.mark.parametrize("case", CASES)
def test_layers_that_nobody_named(record_of, case):
    make, X, names, own, axis, size = CASES[case]
    record = record_of(make())
    found = find_sites(record, as_rows(X), "auto", variant="conv1x1")
    assert found.names == names
    assert {site.channel_axis for site in found.sites} == {axis}
    assert found.n_axes == (0 if size is None else len(size))
    if size is not None:
        assert found.grid_of(X.shape) == size
    assert find_sites(record, as_rows(X), "auto", variant="layer").names == own


@pytest.mark.parametrize(
    ("layer", "shape", "size"),
    [
        (lambda: nn.Conv1d(6, 5, 3, stride=2), (4, 16, 6), (16,)),
        (lambda: nn.Conv2d(3, 5, 3), (4, 9, 8, 3), (9, 8)),
        (lambda: nn.Linear(6, 5), (4, 6, 16), (16,)),
        (lambda: nn.GRU(6, 5, batch_first=True), (4, 6, 16), (16,)),
    ],
)
def test_inputs_that_the_network_turns(record_of, layer, shape, size):
    axes = (0, len(shape) - 1, *range(1, len(shape) - 1)) if shape[-1] < 7 else (0, 2, 1)
    record = record_of(InputTurned(layer(), axes))
    X = RNG.normal(size=shape).astype(np.float32)
    assert find_sites(record, as_rows(X), ["layer"], variant="conv1x1").grid_of(shape) == size


def test_channels_of_every_layer(record_of):
    record = record_of(ChannelsTurned())

    def axis_of(layer):
        [site] = find_sites(record, as_rows(IMAGES), [layer], variant="conv1x1").sites
        return site.channel_axis

    axes = {
        name: axis_of(name) for name in ("stem", "depthwise", "norm", "wide", "narrow", "block")
    }
    assert axes == {"stem": 1, "depthwise": 1, "norm": -1, "wide": -1, "narrow": -1, "block": 1}


def test_chosen_layers(record_of):
    record = record_of(ConvNet(3, 3))
    for choice in (
        ["layers.4", "layers.1"],
        r"layers\.[14]",
        lambda _name, module: isinstance(module, nn.ReLU),
    ):
        found = find_sites(record, as_rows(IMAGES), choice, variant="conv1x1")
        assert found.names == ["layers.1", "layers.4"]


@pytest.mark.parametrize(
    ("make", "choice", "variant", "message"),
    [
        (lambda: ConvNet(3, 3), ["conv"], "conv1x1", r"layers names \['conv'\]"),
        (lambda: ConvNet(3, 3), "conv", "conv1x1", "layers='conv' chooses no module"),
        (lambda: ConvNet(3, 3), "(", "conv1x1", r"layers='\(' is no regular expression"),
        (lambda: ConvNet(3, 3), np.array("conv"), "conv1x1", "layers must be a list"),
        (lambda: ConvNet(3, 3), ["layers.1"], "layer", r"\['layers.1'\] are none"),
        (TwoKinds, ["conv", "line"], "conv1x1", "different numbers of axes"),
        (
            lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            "auto",
            "conv1x1",
            "no layer with loc",
        ),
    ],
)
def test_what_cannot_be_read_is_named(record_of, make, choice, variant, message):
    with pytest.raises(ValueError, match=message):
        find_sites(record_of(make()), as_rows(IMAGES), choice, variant=variant)
