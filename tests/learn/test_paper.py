"""The published network: its parameter counts, and the short ways against the network written out in full."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from colorcapsnet.learn.paper import ColorCapsNet, PaperConfig
from tests.oracles.routing import plain_colorcapsnet


def parameters(**config) -> int:
    return sum(values.numel() for values in PaperConfig(**config).build().parameters())


@pytest.mark.parametrize(
    ("patch", "front", "batch_norm", "capsules", "count"),
    [
        (32, "original", False, 10, 11_749_120),
        (32, "vgg", False, 10, 11_020_864),
        (32, "vgg", True, 10, 11_021_632),
        (32, "vgg", True, 6, 8_629_568),
        (16, "vgg", True, 6, 3_122_240),
        (9, "vgg", True, 6, 2_215_475),
    ],
)
def test_has_the_published_number_of_parameters(patch, front, batch_norm, capsules, count):
    assert parameters(patch=patch, front=front, batch_norm=batch_norm, capsules=capsules) == count


def test_the_vgg_front_saves_approximately_720000_parameters():
    of = {"patch": 32, "batch_norm": False, "capsules": 10}
    assert parameters(front="vgg", **of) - parameters(front="original", **of) == -728_256


def test_six_capsules_instead_of_ten_save_approximately_2390000_parameters():
    assert parameters(patch=32, capsules=6) - parameters(patch=32, capsules=10) == -2_392_064


VARIANTS = [
    PaperConfig(),
    PaperConfig(routings=3),
    PaperConfig(batch_norm=False, capsules=10),
    PaperConfig(patch=11),
    PaperConfig(patch=12, routings=2),
    PaperConfig(patch=17, front="original"),
    PaperConfig(patch=19, front="original", batch_norm=False, routings=2),
]


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_equals_the_network_written_out_forward_and_back(config):
    torch.manual_seed(0)
    network = config.build().double()
    lively(network)
    gray = torch.rand(5, config.patch, config.patch, dtype=torch.float64)
    towards = torch.randn(5, config.patch, config.patch, 3, dtype=torch.float64)
    state = dict(network.named_parameters())
    result = network(gray)
    written_out = plain_colorcapsnet(state, gray, config.capsules, config.routings)
    torch.testing.assert_close(result, written_out)
    gradients = torch.autograd.grad(result, list(state.values()), towards)
    expected = torch.autograd.grad(written_out, list(state.values()), towards)
    for name, gradient, other in zip(state, gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")


def lively(network: nn.Module) -> None:
    """Move biases and batch norms off their starting values, where mistakes could hide."""
    with torch.no_grad():
        for values in network.parameters():
            if values.ndim == 1:
                values.add_(0.1 * torch.randn_like(values))


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_takes_gray_patches_and_gives_lab_codes(config):
    network = config.build().eval()
    code = network(torch.rand(3, config.patch, config.patch))
    assert code.shape == (3, config.patch, config.patch, 3)
    assert code.dtype == torch.float32
    assert ((code > 0) & (code < 1)).all()


def test_in_prediction_a_patch_does_not_depend_on_its_neighbors():
    torch.manual_seed(0)
    network = PaperConfig().build()
    network(torch.rand(64, 9, 9))  # batch norm has seen something
    network.eval()
    gray = torch.rand(8, 9, 9)
    torch.testing.assert_close(network(gray)[3:4], network(gray[3:4]))


def test_every_parameter_learns():
    torch.manual_seed(0)
    network = PaperConfig(batch_norm=False).build()
    network(torch.rand(16, 9, 9)).square().mean().backward()
    assert all(values.grad.abs().max() > 0 for values in network.parameters())


def test_a_batch_of_patches_is_learnt_by_heart():
    torch.manual_seed(0)
    network = PaperConfig().build()
    gray, lab = torch.rand(16, 9, 9), torch.rand(16, 1, 1, 3).expand(16, 9, 9, 3)
    optimizer = torch.optim.Adam(network.parameters())
    losses = []
    for _ in range(25):
        losses.append(nn.functional.mse_loss(network(gray), lab))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]


def test_bfloat16_stays_close_and_returns_float32():
    torch.manual_seed(0)
    network, gray = PaperConfig().build(), torch.rand(128, 9, 9)
    exact = network(gray)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(gray)
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().max() < 0.02
    assert (rounded - exact).square().mean().sqrt() < 0.003


def test_the_seed_decides_the_weights():
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([values.flatten() for values in PaperConfig().build().parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_the_configuration_survives_a_dictionary():
    config = PaperConfig(patch=16, front="vgg", routings=2)
    assert PaperConfig(**dataclasses.asdict(config)) == config


def test_the_original_front_cannot_take_a_patch_of_9():
    sentence = "the original front takes patches of 17x17 or more, not 9x9: the primary capsules'"
    with pytest.raises(ValueError, match=sentence):
        PaperConfig(patch=9, front="original")
    PaperConfig(patch=17, front="original").build()


def test_a_patch_of_9_is_the_smallest():
    with pytest.raises(ValueError, match="the vgg front takes patches of 9x9 or more, not 8x8"):
        PaperConfig(patch=8)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"front": "resnet"}, "the front is 'vgg' or 'original', not 'resnet'"),
        ({"capsules": 0}, "capsules and routings are 1 or more, not 0 and 1"),
        ({"routings": 0}, "capsules and routings are 1 or more, not 6 and 0"),
    ],
)
def test_other_impossible_configurations_are_refused(config, sentence):
    with pytest.raises(ValueError, match=sentence):
        PaperConfig(**config)


def vgg() -> dict[str, torch.Tensor]:
    return {
        "conv1_1.weight": torch.randn(64, 3, 3, 3),
        "conv1_1.bias": torch.randn(64),
        "conv1_2.weight": torch.randn(64, 64, 3, 3),
        "conv1_2.bias": torch.randn(64),
    }


def test_vgg_weights_start_the_front_and_go_on_learning():
    network, weights = PaperConfig().build(), vgg()
    network.load_vgg(weights)
    front = network.front.state_dict()
    for name, values in weights.items():
        assert torch.equal(front[name], values)
    assert all(values.requires_grad for values in network.parameters())


def test_vgg_weights_do_not_fit_the_original_front():
    network = ColorCapsNet(PaperConfig(patch=17, front="original"))
    with pytest.raises(ValueError, match="VGG-19's weights fit the VGG front, and this network has the original"):
        network.load_vgg(vgg())
