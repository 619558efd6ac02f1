# SPDX-License-Identifier: BSD-3-Clause
"""Which layers are early and which are later."""

import pytest
from small_nets import Named, Tiny, Tokens
from torch import nn

from sklearn_difficulty.training import MLP, VGG16, ConvNet, ResNet18
from sklearn_difficulty.training.schedules.layer_groups import early_and_later


def owners(names):
    return list(dict.fromkeys(name.rpartition(".")[0] for name in names))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4)
        self.head = nn.Linear(8, 2)


class Residual(nn.Module):
    """Stem and four stages, as the published ones for large images."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        for i in range(1, 5):
            block = nn.Module()
            block.conv = nn.Conv2d(4, 4, 3)
            block.downsample = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
            self.add_module(f"layer{i}", nn.Sequential(block))
        self.fc = nn.Linear(4, 10)


@pytest.mark.parametrize(
    ("module", "first_later"),
    [
        (Residual(), "layer3.0.conv"),
        (Named(), "output"),
        (Tiny(), "layers.3"),
        (Tokens(), "output"),
        (MLP(4, 3, hidden_units=(8, 8, 8)), "layers.4"),
        (MLP(4, 3, hidden_units=(8, 8)), "layers.2"),
        (Encoder(), "encoder.layers.2.self_attn"),
        (nn.Sequential(nn.Flatten(), Named()), "1.output"),
        (nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)), "3"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_auto_halves_the_blocks(module, first_later):
    early, later = early_and_later(module, "auto")
    assert owners(later)[0] == first_later
    assert [*early, *later] == [name for name, _ in module.named_parameters()]


@pytest.mark.parametrize(
    "module",
    [
        ConvNet(1, 3),
        VGG16(n_channels=1, n_outputs=3, channels=(2, 2, 2, 2, 2)),
        ResNet18(n_channels=1, n_outputs=3, channels=(2, 2, 2, 2)),
    ],
    ids=lambda module: type(module).__name__,
)
def test_auto_leaves_the_head_of_our_networks_alone(module):
    weights = [name for name, p in module.named_parameters() if p.ndim > 1]
    early, later = early_and_later(module, "auto")
    assert weights[-1] in later
    n_early = len(set(weights) & set(early))
    assert 0.3 * len(weights) < n_early < 0.7 * len(weights)


def test_a_name_begins_the_later_layers_and_a_list_names_them():
    module = MLP(4, 3, hidden_units=(8, 8))
    assert owners(early_and_later(module, "layers.4")[1]) == ["layers.4"]
    early, later = early_and_later(module, ["layers.0", "layers.4.bias"])
    assert later == ["layers.0.weight", "layers.0.bias", "layers.4.bias"]
    assert early == ["layers.2.weight", "layers.2.bias", "layers.4.weight"]


def test_no_name_is_taken_for_the_beginning_of_another():
    module = nn.Sequential(*[nn.Linear(2, 2) for _ in range(11)])
    assert owners(early_and_later(module, ["1"])[1]) == ["1"]


def tied():
    module = Named(8, 8)
    module.output.weight = module.hidden.weight
    return module


def frozen():
    module = Named()
    module.hidden.requires_grad_(False)
    return module


@pytest.mark.parametrize(
    ("module", "split", "message"),
    [
        (Named(), "fc", r"split names 'fc'.*\['hidden', 'output'\]"),
        (Named(), "hidden", "no early layer of Named that learns.*further back"),
        (Named(), ["hidden", "output"], "no early layer"),
        (Named(), [], "no later layer.*further ahead"),
        (Named(), ["hidden", "hidden.bias"], r"names parameters twice: \['hidden.bias'\]"),
        (tied(), "output", "'hidden.weight' and 'output.weight' are one parameter"),
        (frozen(), "output", "no early layer of Named that learns.*unfreeze"),
        (nn.Linear(4, 3), "auto", "a single layer in Linear, which is its head"),
    ],
)
def test_what_is_no_split_is_refused(module, split, message):
    with pytest.raises(ValueError, match=message):
        early_and_later(module, split)
