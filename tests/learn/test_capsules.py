"""Capsules against the equations of Sabour et al. 2017, number by number; the loops are in oracles/routing.py."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from colorcapsnet.learn.capsules import (
    CapsNet,
    ClassCapsules,
    PrimaryCapsules,
    SlotAttention,
    margin_loss,
    normalized,
    route_by_agreement,
    route_by_attention,
    squash,
    votes,
)
from tests.oracles import routing as oracle

seeds = st.integers(0, 2**32 - 1)


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


class TestSquash:
    @settings(max_examples=40)
    @given(seeds, st.integers(1, 20), st.floats(-6, 6))
    def test_is_equation_1(self, seed, dims, magnitude):
        s = random(3, dims, seed=seed, scale=10**magnitude)
        expected = torch.tensor([oracle.squash(row) for row in s.tolist()], dtype=torch.float64)
        torch.testing.assert_close(squash(s), expected, rtol=1e-9, atol=1e-12)

    @settings(max_examples=40)
    @given(seeds, st.integers(1, 20), st.floats(-6, 3))
    def test_length_is_below_1_and_direction_is_kept(self, seed, dims, magnitude):
        s = random(5, dims, seed=seed, scale=10**magnitude)
        v = squash(s)
        assert (v.norm(dim=1) < 1).all()
        torch.testing.assert_close(v / v.norm(dim=1, keepdim=True), s / s.norm(dim=1, keepdim=True))

    def test_longer_stays_longer(self):
        lengths = squash(torch.logspace(-6, 2, 200, dtype=torch.float64)[:, None])
        assert (lengths.diff(dim=0) > 0).all()

    def test_zero_stays_zero_with_gradient_zero(self):
        s = torch.zeros(2, 4, requires_grad=True)
        v = squash(s)
        v.sum().backward()
        assert (v == 0).all()
        assert (s.grad == 0).all()

    def test_gradient_is_that_of_the_equation(self):
        assert torch.autograd.gradcheck(squash, random(4, 5).requires_grad_())

    def test_bfloat16_is_computed_in_float32(self):
        s = random(100, 16).bfloat16()
        assert squash(s).dtype == torch.float32
        torch.testing.assert_close(squash(s), squash(s.float()), rtol=0, atol=0)


class TestVotes:
    def test_are_a_matrix_for_each_pair(self):
        poses, weight = random(2, 5, 3), random(5, 3, 4, 6, seed=1)
        result = votes(poses, weight)
        assert result.shape == (2, 5, 4, 6)
        for i in range(5):
            for o in range(4):
                torch.testing.assert_close(result[:, i, o], poses[:, i] @ weight[i, :, o])


class TestRouteByAgreement:
    @settings(max_examples=40)
    @given(seeds, st.integers(1, 2), st.integers(1, 6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 5))
    def test_is_procedure_1(self, seed, pictures, inputs, outputs, dims, iterations):
        u = random(pictures, inputs, outputs, dims, seed=seed)
        capsules, couplings = route_by_agreement(u, iterations)
        expected_capsules, expected_couplings = oracle.route(u.tolist(), iterations)
        torch.testing.assert_close(capsules, torch.tensor(expected_capsules, dtype=torch.float64))
        torch.testing.assert_close(couplings, torch.tensor(expected_couplings, dtype=torch.float64))

    @settings(max_examples=40)
    @given(seeds, st.integers(1, 5))
    def test_couplings_sum_to_1_over_outputs(self, seed, iterations):
        couplings = route_by_agreement(random(2, 7, 4, 3, seed=seed, scale=3), iterations)[1]
        assert (couplings >= 0).all()
        torch.testing.assert_close(couplings.sum(dim=2), torch.ones(2, 7, dtype=torch.float64))

    def test_one_iteration_couples_everything_equally(self):
        couplings = route_by_agreement(random(2, 7, 4, 3), 1)[1]
        assert (couplings == 0.25).all()

    @settings(max_examples=40)
    @given(seeds, st.permutations(range(5)), st.integers(1, 4))
    def test_the_order_of_inputs_does_not_matter(self, seed, order, iterations):
        u = random(2, 5, 3, 4, seed=seed)
        capsules, couplings = route_by_agreement(u, iterations)
        permuted_capsules, permuted_couplings = route_by_agreement(u[:, order], iterations)
        torch.testing.assert_close(permuted_capsules, capsules)
        torch.testing.assert_close(permuted_couplings, couplings[:, order])

    @settings(max_examples=40)
    @given(seeds, st.permutations(range(4)), st.integers(1, 4))
    def test_outputs_keep_their_order(self, seed, order, iterations):
        u = random(2, 5, 4, 3, seed=seed)
        capsules, couplings = route_by_agreement(u, iterations)
        permuted_capsules, permuted_couplings = route_by_agreement(u[:, :, order], iterations)
        torch.testing.assert_close(permuted_capsules, capsules[:, order])
        torch.testing.assert_close(permuted_couplings, couplings[:, :, order])

    def test_an_input_goes_where_its_vote_is_shared(self):
        u = torch.zeros(1, 6, 2, 3)
        u[0, :, 0] = torch.tensor([1.0, 0.0, 0.0])  # all agree about output 0
        u[0, :, 1, 1] = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])  # and cancel out at output 1
        capsules, couplings = route_by_agreement(u, 3)
        assert (couplings[0, :, 0] > 0.75).all()
        assert capsules[0, 0].norm() > 0.9
        assert capsules[0, 1].norm() < 1e-6

    def test_the_gradient_flows_through_every_iteration(self):
        u = random(1, 4, 3, 2).requires_grad_()
        assert torch.autograd.gradcheck(lambda u: route_by_agreement(u, 3), u)

    def test_zero_iterations_are_refused(self):
        with pytest.raises(ValueError, match="routing takes 1 iteration or more, not 0"):
            route_by_agreement(random(1, 2, 2, 2), 0)

    def test_autocast_changes_nothing_inside(self):
        u = random(2, 30, 4, 8).bfloat16()
        with torch.autocast("cpu", torch.bfloat16):
            inside = route_by_agreement(u, 3)
        torch.testing.assert_close(inside, route_by_agreement(u.float(), 3), rtol=0, atol=0)


class TestPrimaryCapsules:
    def test_capsules_are_neighboring_channels_point_by_point(self):
        layer = PrimaryCapsules(2, capsules=3, dims=4, kernel=3, stride=2)
        features = torch.rand(5, 2, 7, 9)
        capsules, channels = layer(features), layer.conv(features)
        assert capsules.shape == (5, 3 * 4 * 3, 4)
        for y in range(3):
            for x in range(4):
                for c in range(3):
                    expected = squash(channels[:, 4 * c : 4 * c + 4, y, x])
                    torch.testing.assert_close(capsules[:, (y * 4 + x) * 3 + c], expected)

    @pytest.mark.parametrize("batch_norm", [False, True])
    def test_on_a_single_point_equals_the_convolution_forward_and_back(self, batch_norm):
        layer = PrimaryCapsules(4, capsules=2, dims=3, kernel=5, batch_norm=batch_norm).double()
        features, towards = random(6, 4, 5, 5).requires_grad_(), random(6, 2, 3, seed=1)
        inputs = [features, layer.conv.weight]
        as_convolution = squash(layer.norm(layer.conv(features)).view(6, 2, 3))
        result = layer(features)
        torch.testing.assert_close(result, as_convolution)
        gradients = torch.autograd.grad(result, inputs, towards)
        torch.testing.assert_close(gradients, torch.autograd.grad(as_convolution, inputs, towards))


class TestClassCapsules:
    def test_one_iteration_equals_votes_and_routing_forward_and_back(self):
        layer = ClassCapsules(7, 3, 4, 5, iterations=1).double()
        poses, towards = random(2, 7, 3).requires_grad_(), random(2, 4, 5, seed=1)
        inputs = [poses, layer.weight]
        routed = route_by_agreement(votes(poses, layer.weight), 1)[0]
        torch.testing.assert_close(layer(poses), routed)
        gradients = torch.autograd.grad(layer(poses), inputs, towards)
        torch.testing.assert_close(gradients, torch.autograd.grad(routed, inputs, towards))

    def test_more_iterations_route(self):
        layer, poses = ClassCapsules(7, 3, 4, 5, iterations=3).double(), random(2, 7, 3)
        torch.testing.assert_close(layer(poses), route_by_agreement(votes(poses, layer.weight), 3)[0])


class TestMarginLoss:
    def lengths(self, *lengths: float) -> torch.Tensor:
        return torch.tensor(lengths)[None, :, None] * torch.tensor([0.6, 0.8])

    def test_a_sure_right_answer_costs_nothing(self):
        assert margin_loss(self.lengths(0.05, 0.95, 0.1), torch.tensor([1])) == 0

    def test_is_equation_4(self):
        loss = margin_loss(self.lengths(0.3, 0.7, 0.0), torch.tensor([1]))
        assert loss.item() == pytest.approx((0.9 - 0.7) ** 2 + 0.5 * (0.3 - 0.1) ** 2)

    def test_is_the_mean_over_pictures(self):
        capsules = random(4, 3, 2, scale=0.5)
        labels = torch.tensor([0, 2, 1, 1])
        each = [margin_loss(capsules[n : n + 1], labels[n : n + 1]) for n in range(4)]
        torch.testing.assert_close(margin_loss(capsules, labels), torch.stack(each).mean())


class TestCapsNet:
    def test_has_the_published_parameters(self):
        parameters = {name: p.numel() for name, p in CapsNet().named_parameters()}
        decoder = sum(count for name, count in parameters.items() if name.startswith("decoder"))
        assert sum(parameters.values()) - decoder == 6_804_224  # 6.8 million, as section 6 says
        assert sum(parameters.values()) == 8_215_568  # 8.2 million with the decoder

    def test_redraws_from_the_capsule_of_the_label_alone(self):
        network = CapsNet()
        capsules, labels = random(2, 10, 16).float(), torch.tensor([3, 8])
        drawn = network.redraw(capsules, labels)
        assert drawn.shape == (2, 28, 28)
        others = capsules + F.one_hot(torch.tensor([4, 9]), 10)[:, :, None]
        torch.testing.assert_close(network.redraw(others, labels), drawn, rtol=0, atol=0)
        own = capsules + F.one_hot(labels, 10)[:, :, None]
        assert not torch.equal(network.redraw(own, labels), drawn)

    def test_loss_is_margin_plus_a_little_of_the_redrawing(self):
        torch.manual_seed(0)
        network, pictures, labels = CapsNet(), torch.rand(2, 28, 28), torch.tensor([3, 8])
        capsules = network(pictures)
        assert capsules.shape == (2, 10, 16)
        drawn = network.redraw(capsules, labels)
        by_hand = sum(((drawn[n] - pictures[n]) ** 2).sum() for n in range(2)) / 2
        torch.testing.assert_close(network.loss(pictures, labels), margin_loss(capsules, labels) + 0.0005 * by_hand)


class TestRouteByAttention:
    @settings(max_examples=15)
    @given(seeds, st.integers(1, 4))
    def test_is_the_loops(self, seed, steps):
        votes, start, bias = random(2, 5, 3, 4, seed=seed), random(3, 4, seed=seed + 1), random(4, seed=seed + 2)
        poses, couplings = route_by_attention(votes, start, bias, steps)
        expected = oracle.route_by_attention(votes.tolist(), start.tolist(), bias.tolist(), steps)
        torch.testing.assert_close(poses, torch.tensor(expected[0], dtype=torch.float64))
        torch.testing.assert_close(couplings, torch.tensor(expected[1], dtype=torch.float64))

    @settings(max_examples=15)
    @given(seeds, st.integers(1, 4))
    def test_couplings_and_what_went_to_none_sum_to_1(self, seed, steps):
        """None's share, to an output's, is as the exponentials of their logits: equal where votes say nothing."""
        bias = random(4, seed=seed)
        couplings = route_by_attention(random(2, 5, 3, 4, seed=seed), random(3, 4), bias, steps)[1]
        assert (couplings > 0).all()
        assert (couplings.sum(dim=2) < 1).all()
        silent = route_by_attention(torch.zeros(2, 5, 3, 4, dtype=torch.float64), random(3, 4), bias, steps)[1]
        none = 1 - silent.sum(dim=2, keepdim=True)
        torch.testing.assert_close(torch.cat([silent, none], dim=2), bias.softmax(dim=0).expand(2, 5, 4))

    def test_one_step_from_an_equal_start_couples_everything_equally(self):
        votes, bias = random(2, 5, 3, 4), torch.zeros(4, dtype=torch.float64)
        poses, couplings = route_by_attention(votes, torch.zeros(3, 4, dtype=torch.float64), bias, 1)
        assert (couplings == 0.25).all()
        torch.testing.assert_close(poses, F.layer_norm(votes.mean(dim=1), (4,)), rtol=1e-3, atol=1e-3)

    def test_an_input_that_agrees_with_nothing_goes_to_none(self):
        bias = torch.tensor([0.0, 0.0, 30.0], dtype=torch.float64)
        _, couplings = route_by_attention(random(1, 6, 2, 4), random(2, 4), bias, 2)
        assert couplings.max() < 1e-6

    def test_the_order_of_inputs_means_nothing(self):
        votes, order = random(1, 6, 3, 4), torch.tensor([4, 2, 0, 5, 1, 3])
        start, bias = random(3, 4, seed=1), torch.zeros(4, dtype=torch.float64)
        poses, couplings = route_by_attention(votes, start, bias, 3)
        again, mixed = route_by_attention(votes[:, order], start, bias, 3)
        torch.testing.assert_close(again, poses)
        torch.testing.assert_close(mixed, couplings[:, order])

    def test_takes_at_least_one_step(self):
        with pytest.raises(ValueError, match="1 step or more"):
            route_by_attention(random(1, 2, 2, 2), random(2, 2), torch.zeros(3), 0)


class TestSlotAttention:
    @settings(max_examples=10, deadline=None)
    @given(seeds, st.integers(1, 3))
    def test_is_the_loops(self, seed, steps):
        torch.manual_seed(seed)
        model, inputs = SlotAttention(3, 4, steps).double(), random(2, 5, 4, seed=seed)
        slots, couplings = model(inputs)
        for n in range(2):
            expected = oracle.slot_attention(model.state_dict(), inputs[n], steps)
            torch.testing.assert_close(slots[n], torch.stack(expected[0]), rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(couplings[n], torch.tensor(expected[1]).double(), rtol=1e-3, atol=1e-3)

    def test_inputs_compete_for_slots_and_their_order_means_nothing(self):
        torch.manual_seed(0)
        model, inputs, order = SlotAttention(3, 4, 2).double(), random(1, 6, 4), torch.tensor([4, 2, 0, 5, 1, 3])
        slots, couplings = model(inputs)
        torch.testing.assert_close(couplings.sum(dim=2), torch.ones(1, 6).double())
        again, mixed = model(inputs[:, order])
        torch.testing.assert_close(again, slots)
        torch.testing.assert_close(mixed, couplings[:, order])


@settings(max_examples=20)
@given(seeds, st.integers(2, 20))
def test_normalized_is_layer_norm(seed, dims):
    poses = random(3, 4, dims, seed=seed)
    torch.testing.assert_close(normalized(poses), F.layer_norm(poses, (dims,)))
