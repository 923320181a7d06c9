"""The network of the whole photograph: what it gives, what its loss means, and that entities alone write color."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from colorcapsnet import color, paint
from colorcapsnet.learn import deep
from colorcapsnet.learn.deep import DeepConfig, Painted

SMALL = DeepConfig(entities=5, modes=3, local=4, pose=16)


def network(config=SMALL, seed=0):
    torch.manual_seed(seed)
    model = config.build()
    model.prepare()
    return model.eval()


def gray(n=2, height=64, width=96, seed=0):
    return torch.rand(n, height, width, generator=torch.Generator().manual_seed(seed))


def known(painted, picture):
    arrays = (painted.coupling, painted.weight, painted.mean, painted.scale, painted.basis, painted.mix)
    return paint.Known(*(array[picture].detach().numpy() for array in arrays))


@pytest.mark.parametrize("routing", ["agreement", "self", "attention", "uniform"])
def test_it_gives_what_paint_takes_and_both_find_the_same_colors(routing):
    painted = network(DeepConfig(entities=5, local=4, pose=16, routing=routing))(gray())
    assert painted.coupling.shape == (2, 5, 16, 24)
    for picture in range(2):
        ab = np.moveaxis(painted.ab()[picture].detach().numpy() * deep.UNIT, 0, -1)
        assert np.allclose(paint.color(known(painted, picture)), ab, atol=1e-3)


def test_the_mean_of_an_entitys_modes_is_its_center():
    painted = network()(gray())
    mean = (painted.weight[..., None] * painted.mean).sum(dim=2)
    assert torch.allclose(mean, painted.center, atol=1e-5)
    assert painted.weight.min() >= deep.LEAST - 1e-6
    assert (painted.mean - painted.center[:, :, None]).abs().max() <= 2 * deep.REACH


def test_no_path_but_entities_writes_color():
    model = network()
    with torch.no_grad():
        model.entities.colors.outer.zero_()
        model.entities.colors.bias.zero_()
    assert torch.equal(model.ab(gray()), torch.zeros(2, 2, 16, 24))


def test_the_position_of_a_cell_does_not_depend_on_the_pictures_size():
    model = network()
    large, small = (model.entities.where(torch.zeros(1, 128, *shape))[0] for shape in ((8, 6), (4, 3)))
    assert torch.allclose(large[:, -1, -1], small[:, -1, -1], atol=1e-6)
    assert not torch.allclose(large[:, 0, 0], large[:, -1, -1])


def test_a_picture_is_seen_alike_alone_and_in_company():
    model, pictures = network(), gray(3)
    assert torch.allclose(model.ab(pictures)[1:2], model.ab(pictures[1:2]), atol=1e-5)


def test_the_convolution_head_has_no_capsules():
    model = network(DeepConfig(head="convolution"))
    assert model.entities is None
    assert model.ab(gray()).shape == (2, 2, 16, 24)


@pytest.mark.parametrize("field", ["entities", "modes", "local", "pose", "steps"])
def test_a_network_of_nothing_is_refused(field):
    with pytest.raises(ValueError, match="1 or more"):
        DeepConfig(**{field: 0})


def test_srgb_is_that_of_the_color_room():
    rgb = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    lab = torch.from_numpy(color.srgb_to_lab(rgb)).permute(2, 0, 1)[None]
    found = deep.to_srgb(lab[:, :1], lab[:, 1:])[0].permute(1, 2, 0).numpy()
    assert np.abs(found - rgb / 255).max() < 1e-4


def test_colors_outside_srgb_have_a_gradient_that_leads_back():
    ab = torch.tensor([[[[-100.0, 90.0]], [[90.0, -110.0]]]], requires_grad=True)
    deep.to_srgb(torch.full((1, 1, 1, 2), 60.0), ab).square().sum().backward()
    assert ab.grad.isfinite().all()
    assert ab.grad.abs().min() > 0


def test_the_log_error_is_what_skill_averages():
    lab = torch.rand(3, 3, 8, 8) * 40 + torch.tensor([30.0, -20, -20])[:, None, None]
    ab = torch.rand(3, 2, 8, 8) * 0.4 - 0.2
    psnr = [
        10 * math.log10(1 / (deep.to_srgb(one[None, :1], a) - deep.to_srgb(one[None, :1], b)).square().mean())
        for one, mean in zip(lab, ab, strict=True)
        for a, b in [(one[None, 1:], deep.UNIT * mean[None])]
    ]
    expected = -np.mean(psnr) * math.log(10) / 10
    assert deep.log_error(ab, lab).item() == pytest.approx(expected, abs=0.02)


def a_mixture(scale=0.1):
    """One picture of 2×2 cells, two entities of two modes."""
    torch.manual_seed(3)
    weight = torch.tensor([[[0.3, 0.7], [0.5, 0.5]]])
    mean = torch.randn(1, 2, 2, 2) * 0.3
    return Painted(
        coupling=torch.rand(1, 2, 2, 2).softmax(dim=1),
        weight=weight,
        mean=mean,
        scale=torch.tensor([[[scale, 2 * scale], [3 * scale, scale]]]),
        basis=torch.randn(1, 1, 2, 2) * 0.1,
        mix=torch.randn(1, 2, 2, 1),
        center=(weight[..., None] * mean).sum(dim=2),
    )


def density(painted, x, row, column):
    """Of one cell, term by term: Student's bivariate kernels."""
    total = 0.0
    for k in range(2):
        for m in range(2):
            at = painted.mean[0, k, m] + painted.mix[0, k] @ painted.basis[0, :, row, column]
            scale = painted.scale[0, k, m].item()
            square = float(((torch.tensor(x) - at) ** 2).sum()) / scale**2
            nu = deep.FREEDOM
            norm = math.gamma((nu + 2) / 2) / (math.gamma(nu / 2) * nu * math.pi * scale**2)
            share = painted.coupling[0, k, row, column].item() * painted.weight[0, k, m].item()
            total += share * norm * (1 + square / nu) ** (-(nu + 2) / 2)
    return total


def test_the_likelihood_is_that_of_a_mixture_of_students():
    painted, truth = a_mixture(), torch.randn(1, 2, 2, 2) * 0.3
    expected = [math.log(density(painted, truth[0, :, r, c].tolist(), r, c)) for r in range(2) for c in range(2)]
    assert deep.log_likelihood(painted, truth, cells=4).item() == pytest.approx(np.mean(expected), abs=1e-3)


def test_the_mixture_is_a_density():
    painted, side = a_mixture(), np.linspace(-6, 6, 241)
    total = sum(density(painted, [x, y], 0, 0) for x in side[::4] for y in side[::4]) * (side[4] - side[0]) ** 2
    assert total == pytest.approx(1, abs=0.03)


def test_the_likelihood_moves_modes_and_leaves_the_mean_alone():
    model = network()
    truth = torch.rand(2, 3, 16, 24) * 20
    (-deep.log_likelihood(model(gray()), truth[:, 1:] / deep.UNIT, 64)).backward()
    entities = model.entities
    assert entities.doubt.bias.grad.abs().max() > 0
    for still in (entities.colors.bias, entities.query.weight, entities.basis.weight, entities.type_bias):
        assert still.grad is None or not still.grad.any()


def test_pressures_are_the_entropies_they_say():
    painted = a_mixture()
    terms = deep.loss_terms(painted, torch.rand(1, 3, 2, 2) * 20)
    cell = -(painted.coupling * painted.coupling.log()).sum(dim=1).mean()
    mean = painted.coupling.mean(dim=(0, 2, 3))
    assert terms["entropy"].item() == pytest.approx(cell.item(), abs=1e-4)
    assert terms["balance"].item() == pytest.approx(math.log(2) + (mean * mean.log()).sum().item(), abs=1e-4)
    assert terms["local"].item() == pytest.approx(painted.local().square().mean().item(), rel=1e-5)


def test_a_few_steps_fit_a_picture():
    model = network().train()
    picture = gray(1, 64, 64)
    truth = torch.cat([picture[:, None, ::4, ::4] * 100, torch.full((1, 2, 16, 16), 15.0)], dim=1)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-3)
    errors = []
    for _ in range(15):
        loss = deep.log_error(model.ab(picture), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    assert errors[-1] < errors[0] - 1
