# SPDX-License-Identifier: BSD-3-Clause
"""The networks: as the papers describe them, trainable, made again from their config."""

import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits
from torch import nn

from sklearn_difficulty.networks.published import WeightStandardizedConv2d
from sklearn_difficulty.training import MLP, VGG16, ConvNet, ResNet18, TableMLP, TrainingRecord
from sklearn_difficulty.training.checkpoints import Checkpoint
from sklearn_difficulty.training.record_files import ARCHITECTURES

IMAGE_NETWORKS = [
    (ConvNet, (4, 8)),
    (VGG16, (16, 16, 16, 16, 16)),
    (ResNet18, (8, 8, 16, 16)),
]


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def name_of(module):
    return type(module).__name__


def modules_of(module, types):
    return [m for m in module.modules() if isinstance(m, types)]


@pytest.mark.parametrize(
    "module",
    [
        MLP(3, 2, hidden_units=(5, 4), mean=[1, 2, 3], scale=[4, 5, 6]),
        MLP(3, 2, hidden_units=()),
        ConvNet(2, 3, channels=(4, 5), mean=[1, 2], scale=[3, 4]),
        VGG16(2, 3, channels=(5, 6, 7, 8, 9), mean=[1, 2], scale=[3, 4]),
        ResNet18(2, 3, channels=(4, 8, 12, 16), n_groups=2, mean=[1, 2], scale=[3, 4]),
        ResNet18(2, 3, channels=(32, 32, 32, 32)),
    ],
    ids=name_of,
)
def test_saved_record_makes_the_same_module(module, tmp_path):
    checkpoints = [Checkpoint(1, module.state_dict())]
    TrainingRecord(module, checkpoints, classes=[0, 1, 2][: module.config["n_outputs"]]).save(
        tmp_path / "record"
    )
    again = TrainingRecord.load(tmp_path / "record").module
    assert type(again) is type(module)
    assert again.config == module.config
    x = torch.rand(2, 3) if isinstance(module, MLP) else torch.rand(2, 2, 9, 9)
    assert torch.equal(again(x), module(x))
    assert torch.equal(module.double()(x.double()), module(x))  # any input, the module's dtype


def test_every_architecture_can_be_loaded():
    assert set(ARCHITECTURES.values()) == {MLP, TableMLP, ConvNet, VGG16, ResNet18}
    assert all(name == cls.__name__ for name, cls in ARCHITECTURES.items())


def test_integer_input_is_standardised_in_floating_point():
    module = MLP(1, 1, hidden_units=(), mean=[0.5], scale=[0.25])
    assert module.standardize(torch.tensor([[1]])).item() == 2.0


@pytest.mark.parametrize(
    ("cls", "n_inputs", "expected"),
    [
        # 13 convolutions with biases, and 512 weights and a bias per class.
        (VGG16, 3, 14_714_688 + 513 * 10),
        # As with batch normalisation.
        (ResNet18, 3, 11_173_962),
        (MLP, 3072, 3073 * 2048 + 6 * 2049 * 2048 + 2049 * 10),
    ],
)
def test_default_size_is_the_one_that_the_docstring_names(cls, n_inputs, expected):
    module = cls(n_inputs, 10)
    assert sum(parameter.numel() for parameter in module.parameters()) == expected
    assert f"{expected:,} parameters" in " ".join(cls.__doc__.split())


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (8, 8), (9, 5), (1, 1)], ids=str)
@pytest.mark.parametrize(("cls", "channels"), IMAGE_NETWORKS)
def test_images_of_any_size_pass(cls, channels, size):
    module = cls(1, 10, channels=channels)
    assert module(torch.rand(3, 1, *size)).shape == (3, 10)


@pytest.mark.parametrize(("cls", "channels"), IMAGE_NETWORKS)
def test_rows_do_not_influence_each_other(cls, channels):
    module, x = cls(1, 10, channels=channels).eval(), torch.rand(6, 1, 8, 8)
    with torch.no_grad():
        together = module(x)
        alone = torch.cat([module(row[None]) for row in x])
        assert_allclose(module(x.flip(0)).flip(0), together, rtol=1e-5, atol=1e-6)
    assert_allclose(alone, together, rtol=1e-5, atol=1e-6)
    assert together.std(dim=0).min() > 1e-4


@pytest.mark.parametrize(
    ("cls", "channels", "lr"),
    [(VGG16, (16, 32, 64, 64, 64), 0.003), (ResNet18, (8, 16, 32, 64), 0.02)],
)
def test_small_version_learns_64_digits_by_heart(cls, channels, lr):
    X, y = load_digits(return_X_y=True)
    x, y = torch.tensor(X[:64], dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(y[:64])
    module = cls(1, 10, channels=channels, mean=[X.mean()], scale=[X.std()])
    optimizer = torch.optim.SGD(module.parameters(), lr=lr, momentum=0.9)
    accuracy, n_epochs = 0.0, 0
    while accuracy <= 0.95 and n_epochs < 100:
        n_epochs += 1
        for rows in torch.randperm(64).split(16):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x[rows]), y[rows]).backward()
            optimizer.step()
        accuracy = (module(x).argmax(1) == y).float().mean().item()
    assert accuracy > 0.95


def test_vgg16_has_the_layers_of_the_paper():
    module = VGG16(3, 10)
    convolutions = modules_of(module, nn.Conv2d)
    widths = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    assert [c.out_channels for c in convolutions] == widths
    assert all(c.kernel_size == (3, 3) and c.padding == (1, 1) for c in convolutions)
    assert len(modules_of(module, nn.Linear)) == 1
    assert len(modules_of(module, nn.MaxPool2d)) == 5
    assert not any(relu.inplace for relu in modules_of(module, nn.ReLU))
    seen = {type(m) for m in module.layers}
    others = {nn.ReLU, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Flatten}
    assert seen == {nn.Conv2d, nn.Linear} | others  # no norm, no dropout


@pytest.mark.parametrize("size", [8, 32])
def test_vgg16_starts_with_rows_apart(size):
    module, x = VGG16(3, 10), torch.randn(8, 3, size, size)
    with torch.no_grad():
        assert 1e-3 < module(x).std(dim=0).mean() < 1
    for convolution in modules_of(module, nn.Conv2d):
        variance = convolution.weight.detach().square().mean(dim=(0, 1)) * convolution.in_channels
        assert variance.sum().item() == pytest.approx(2, rel=0.2)
        assert variance[1, 1].item() == pytest.approx(1, rel=0.3)
        assert not convolution.bias.any()


def test_resnet18_has_the_layers_of_the_paper():
    module = ResNet18(3, 10)
    convolutions = modules_of(module, nn.Conv2d)
    assert len(convolutions) == 1 + 2 * 8 + 3
    assert all(isinstance(c, WeightStandardizedConv2d) and c.bias is None for c in convolutions)
    assert [c.kernel_size for c in convolutions].count((1, 1)) == 3
    assert [c.stride for c in convolutions].count((2, 2)) == 6
    norms = modules_of(module, nn.GroupNorm)
    assert [norm.num_groups for norm in norms] == [32] * len(convolutions)
    assert len(modules_of(module, nn.Linear)) == 1
    assert not modules_of(module, (nn.modules.batchnorm._NormBase, nn.Dropout, nn.MaxPool2d))
    assert module.blocks(module.stem(torch.rand(1, 3, 32, 32))).shape == (
        1,
        512,
        4,
        4,
    )


def test_kernels_of_resnet18_are_standardised():
    for convolution in modules_of(ResNet18(3, 10), WeightStandardizedConv2d):
        kernels = convolution.standardized_weight()
        assert kernels.shape == convolution.weight.shape
        assert_allclose(kernels.mean(dim=(1, 2, 3)).detach(), 0, atol=1e-5)
        assert_allclose(kernels.var(dim=(1, 2, 3), correction=0).detach(), 1, rtol=1e-4)
        x = torch.rand(1, convolution.in_channels, 4, 4)
        expected = nn.functional.conv2d(x, kernels, None, convolution.stride, convolution.padding)
        assert torch.equal(convolution(x), expected)


def test_size_and_offset_of_a_kernel_do_not_matter():
    convolution, x = WeightStandardizedConv2d(3, 4, 3), torch.rand(2, 3, 5, 5)
    before = convolution(x)
    with torch.no_grad():
        convolution.weight.mul_(7).add_(0.5)
    assert_allclose(convolution(x).detach(), before.detach(), rtol=1e-4, atol=1e-4)


def test_residual_block_by_hand():
    block = ResNet18(1, 2, channels=(4, 8, 8, 8), n_groups=2).blocks[2]  # changes the shape
    x = torch.rand(2, 4, 6, 6)
    conv_1, norm_1, relu, conv_2, norm_2 = block.residual
    conv_3, norm_3 = block.shortcut
    total = norm_2(conv_2(relu(norm_1(conv_1(x))))) + norm_3(conv_3(x))
    assert total.shape == (2, 8, 3, 3)
    assert total.min() < 0
    assert torch.equal(block(x), total.clamp(min=0))


def test_block_that_keeps_the_shape_adds_its_input():
    block = ResNet18(1, 2, channels=(4, 4, 4, 4)).blocks[0]
    nn.init.zeros_(block.residual[-1].weight)
    x = torch.rand(2, 4, 6, 6)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("channels", "n_groups"),
    [
        ((64, 128, 256, 512), 32),
        ((8, 16, 32, 64), 4),
        ((24, 48, 96, 192), 4),
        ((8, 8, 8, 8), 1),
        ((3, 5, 7, 9), 1),
    ],
)
def test_default_groups_suit_the_channels(channels, n_groups):
    module = ResNet18(1, 2, channels=channels)
    assert module.config["n_groups"] == n_groups
    assert {norm.num_groups for norm in modules_of(module, nn.GroupNorm)} == {n_groups}
    assert channels[-1] // n_groups >= min(16, channels[-1])


@pytest.mark.parametrize(("cls", "channels"), IMAGE_NETWORKS)
def test_every_stage_needs_its_channels(cls, channels):
    for wrong in (channels[1:], (*channels, 8)):
        with pytest.raises(ValueError, match=f"channels must have {len(channels)} widths"):
            cls(1, 2, channels=wrong)
