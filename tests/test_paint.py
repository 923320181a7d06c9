"""Painting: the definition in loops, closed forms, dense solves, and what must never change."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from colorcapsnet import paint
from colorcapsnet.errors import ModelError
from colorcapsnet.paint import Kernel, Known

NAMES = ["coupling", "weight", "mean", "scale", "basis", "mix"]


def make(seed=0, entities=5, modes=3, features=2, height=6, width=8, sharpness=3.0, local=0.05):
    """What a network might say of a picture; high sharpness: nearly each cell belongs to one entity."""
    rng = np.random.default_rng(seed)
    field = rng.standard_normal((entities, height, width))
    logits = sharpness * scipy.ndimage.gaussian_filter(field, (0, 1.5, 1.5)) * 3
    coupling = np.exp(logits - logits.max(axis=0))
    return Known(
        coupling=coupling / coupling.sum(axis=0),
        weight=rng.dirichlet(np.full(modes, 1.5), entities),
        mean=0.5 * rng.standard_normal((entities, modes, 2)),
        scale=rng.uniform(0.05, 0.4, (entities, modes)),
        basis=rng.standard_normal((features, height, width)),
        mix=local * rng.standard_normal((entities, 2, features)),
    )


def lightness_of(known, seed=0):
    return np.random.default_rng(seed).uniform(0, 100, known.coupling.shape[1:]).astype(np.float32)


def one_entity_a_cell(labels, colors, **changes):
    """Couplings 0 or 1; entity k has the one color ``colors[k]`` (ab) and nothing local."""
    entities, modes = len(colors), 2
    return replace(
        Known(
            coupling=np.stack([labels == entity for entity in range(entities)]),
            weight=np.full((entities, modes), 0.5),
            mean=np.repeat(np.asarray(colors, float)[:, None] / 50, modes, axis=1),
            scale=np.full((entities, modes), 0.1),
            basis=np.zeros((1, *labels.shape)),
            mix=np.zeros((entities, 2, 1)),
        ),
        **changes,
    )


def mean_chroma(ab):
    return float(np.hypot(ab[..., 0], ab[..., 1]).mean())


def entity_mean(known, entity):
    """Mean color of an entity over its cells, by coupling, in ab."""
    cells, total = 0.0, np.zeros(2)
    for row, column in np.ndindex(known.coupling.shape[1:]):
        share = float(known.coupling[entity, row, column])
        here = known.weight[entity] @ known.mean[entity] + known.mix[entity] @ known.basis[:, row, column]
        cells, total = cells + share, total + share * 50 * here
    return total / cells


knowns = st.builds(
    make,
    seed=st.integers(0, 10_000),
    entities=st.integers(1, 6),
    modes=st.integers(1, 4),
    features=st.integers(1, 3),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    sharpness=st.sampled_from([0.0, 1.0, 10.0]),
    local=st.sampled_from([0.0, 0.1]),
)
strengths = st.floats(0, 2)


class TestKnown:
    def test_a_real_size_is_taken(self):
        known = make(entities=16, features=8, height=64, width=48)
        assert paint.color(known).shape == (64, 48, 2)
        assert paint.color(known).dtype == np.float32

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("weight", np.ones((4, 3)) / 3, r"weight is \(4, 3\), not \(5, 3\)"),
            ("mean", np.zeros((5, 3, 3)), r"mean is \(5, 3, 3\), not \(5, 3, 2\)"),
            ("scale", np.ones((5, 2)), r"scale is \(5, 2\), not \(5, 3\)"),
            ("basis", np.ones((2, 8, 6)), r"basis is \(2, 8, 6\), not \(2, 6, 8\)"),
            ("mix", np.ones((5, 2, 3)), r"mix is \(5, 2, 3\), not \(5, 2, 2\)"),
            ("coupling", np.ones((1, 5, 6, 8)) / 5, r"coupling is \(1, 5, 6, 8\) and weight \(5, 3\), not \(K, h, w\)"),
            ("coupling", np.ones((5, 0, 8)), r"coupling is \(5, 0, 8\)"),
            ("coupling", np.ones((5, 6, 8)), "coupling is 1 at least and sums to 5 to 5, not 1"),
            ("weight", np.tile([1.5, -0.5, 0], (5, 1)), "weight is -0.5 at least"),
            ("coupling", np.full((5, 6, 8), np.nan), "coupling is nan at least"),
            ("scale", np.zeros((5, 3)), "scale is 0 at least, not above 0"),
            ("basis", np.full((2, 6, 8), np.inf), "not finite"),
        ],
    )
    def test_what_no_network_of_entities_says_is_refused(self, name, value, message):
        arrays = {field.name: getattr(make(), field.name) for field in fields(Known)}
        with pytest.raises(ModelError, match=message):
            Known(**{**arrays, name: value})


class TestColor:
    @given(knowns)
    @settings(max_examples=25)
    def test_the_mean_is_its_definition_in_loops(self, known):
        expected = np.zeros((*known.coupling.shape[1:], 2))
        for (row, column), k in product(np.ndindex(known.coupling.shape[1:]), range(len(known.mix))):
            tint = sum(known.weight[k, m] * known.mean[k, m] for m in range(known.weight.shape[1]))
            here = tint + known.mix[k] @ known.basis[:, row, column]
            expected[row, column] += 50 * known.coupling[k, row, column] * here
        assert np.allclose(paint.color(known), expected, atol=1e-3)

    @given(knowns, st.floats(0, 1))
    def test_up_to_one_strength_is_a_factor_and_zero_is_gray(self, known, strength):
        assert not paint.color(known, 0).any()
        assert np.allclose(paint.color(known, strength), strength * paint.color(known), atol=1e-4)

    @given(knowns, strengths, strengths, st.sampled_from([1.0, 2.6, 30.0]), st.sampled_from([0.5, 1.0, 1.5]))
    @settings(max_examples=200)
    def test_more_strength_never_lowers_the_mean_chroma(self, known, one, other, anneal, gain):
        weak, strong = (paint.color(known, strength, anneal=anneal, gain=gain) for strength in sorted([one, other]))
        assert mean_chroma(strong) >= mean_chroma(weak) - 1e-3

    def test_the_mean_chroma_does_not_fall_where_the_likeliest_modes_are_gray(self):
        known = one_entity_a_cell(
            np.zeros((3, 3), int),
            [(0, 0)],
            weight=np.array([[0.8, 0.2]]),
            mean=np.array([[[0.0, 0.0], [1.0, 0.4]]]),
        )
        assert np.allclose(paint.color(known, 2), paint.color(known), atol=1e-4)

    def test_strength_does_not_jump(self):
        known = make()
        for strength in np.linspace(0, 2, 21)[1:]:
            step = paint.color(known, strength) - paint.color(known, strength - 0.01)
            assert np.abs(step).max() < 2

    def test_vivid_is_the_likeliest_mode_of_each_entity_in_the_limit(self):
        known = one_entity_a_cell(
            np.arange(4).reshape(2, 2),
            [(0, 0)] * 4,
            weight=np.tile([0.7, 0.3], (4, 1)),
            mean=np.array([[[1, 0], [-0.5, 0]], [[0, 1], [0, 0]], [[-1, 0], [0.2, 0.2]], [[0, 1], [1, 0]]]),
        )
        vivid = paint.color(known, 2, anneal=200)
        assert np.allclose(vivid.reshape(4, 2), [[50, 0], [0, 50], [-50, 0], [0, 50]], atol=1e-3)
        assert np.allclose(paint.color(known, 2, anneal=1), paint.color(known), atol=1e-4)
        assert np.isfinite(paint.color(make(), 2, anneal=1000)).all()
        assert np.allclose(paint.color(known, 2, anneal=200, gain=1.5), 1.5 * vivid, atol=1e-3)

    def test_vivid_raises_weights_to_the_exponent(self):
        known = one_entity_a_cell(
            np.zeros((1, 1), int), [(0, 0)], weight=np.array([[0.6, 0.4]]), mean=np.array([[[1, 0], [0, 1]]])
        )
        power = np.array([0.6, 0.4]) ** paint.ANNEAL
        assert np.allclose(paint.color(known, 2)[0, 0], 50 * power / power.sum(), atol=1e-3)

    @given(knowns, st.randoms(use_true_random=False))
    @settings(max_examples=25)
    def test_the_order_of_entities_changes_no_answer(self, known, random):
        order = list(range(len(known.mix)))
        random.shuffle(order)
        shuffled = Known(*(getattr(known, name) if name == "basis" else getattr(known, name)[order] for name in NAMES))
        lightness, ab = lightness_of(known), paint.color(known)
        for answer in (
            lambda k: paint.color(k, 1.7),
            lambda k: paint.deviation(k),
            lambda k: paint.confidence(k, ab),
            lambda k: paint.region(k, (0, 0)),
            lambda k: paint.color(paint.recolor_region(k, paint.region(k, (0, 0)), (9, 9))),
            lambda k: paint.color(paint.observe(k, ab)),
            lambda k: paint.hint(k, ab, lightness, [(0, 0)], [(20, -30)]),
        ):
            assert np.allclose(answer(known), answer(shuffled), atol=2e-2)
        first = paint.recolor(known, order[0], (30, 10))
        assert np.allclose(paint.color(first), paint.color(paint.recolor(shuffled, 0, (30, 10))), atol=2e-2)

    @pytest.mark.parametrize("strength", [-0.1, 2.1, float("nan")])
    def test_other_strengths_are_refused(self, strength):
        with pytest.raises(ValueError, match=f"strength is 0 .* not {strength}"):
            paint.color(make(), strength)


class TestCandidates:
    @given(knowns, st.integers(1, 6), st.integers(0, 1000))
    @settings(max_examples=25)
    def test_one_seed_gives_the_same_candidates(self, known, n, seed):
        once, again = (paint.candidates(known, n, seed) for _ in range(2))
        assert len(once) == n
        assert all(np.array_equal(one.weight, other.weight) for one, other in zip(once, again, strict=True))

    def test_another_seed_gives_other_candidates(self):
        once, again = (paint.candidates(make(), 3, seed) for seed in (0, 1))
        assert any(not np.array_equal(one.weight, other.weight) for one, other in zip(once, again, strict=True))

    def test_the_kinds_of_a_picture_come_by_their_probability(self):
        known = one_entity_a_cell(
            np.zeros((4, 4), int),
            [(0, 0)],
            weight=np.array([[0.15, 0.6, 0.25]]),
            mean=np.array([[[0.0, 0.8], [0.8, 0.0], [-0.6, -0.6]]]),
            scale=np.full((1, 3), 0.1),
        )
        colors = [paint.color(candidate)[0, 0] for candidate in paint.candidates(known, 3)]
        assert np.allclose(colors, [[40, 0], [-30, -30], [0, 40]], atol=1e-3)

    def test_modes_that_differ_in_strength_alone_make_no_kinds(self):
        """The sky is red or green, weakly or strongly; two candidates are the two hues, each of middle strength."""
        known = one_entity_a_cell(
            np.zeros((4, 4), int),
            [(0, 0)],
            weight=np.array([[0.3, 0.3, 0.2, 0.2]]),
            mean=np.array([[[0.2, 0.0], [0.9, 0.0], [-0.2, 0.0], [-0.9, 0.0]]]),
            scale=np.full((1, 4), 0.1),
        )
        red, green = (paint.color(candidate)[0, 0, 0] for candidate in paint.candidates(known, 2))
        assert 10 < red < 45
        assert -45 < green < -10

    def test_hues_of_weak_pictures_count_as_those_of_strong_ones(self):
        """Of red, a weak yellow and a less likely strong blue, two candidates make the yellow one of its own."""
        known = one_entity_a_cell(
            np.zeros((4, 4), int),
            [(0, 0)],
            weight=np.array([[0.45, 0.35, 0.2]]),
            mean=np.array([[[0.5, 0.0], [0.0, 0.05], [0.0, -1.0]]]),
            scale=np.full((1, 3), 0.1),
        )
        first, second = (candidate.weight[0] for candidate in paint.candidates(known, 2))
        assert first[0] > 0.5
        assert np.array_equal(second, [0, 1, 0])

    def test_the_local_term_counts_in_hue(self):
        """Modes of opposite, tiny colors make one kind of picture where the local term paints it all red."""
        known = one_entity_a_cell(
            np.zeros((4, 4), int),
            [(0, 0)],
            weight=np.array([[0.5, 0.3, 0.2]]),
            mean=np.array([[[0.01, 0.0], [-0.01, 0.0], [-1.0, 1.0]]]),
            scale=np.full((1, 3), 0.1),
            basis=np.ones((1, 4, 4)),
            mix=np.array([[[0.5], [0.0]]]),
        )
        red, other = (paint.color(candidate)[0, 0] for candidate in paint.candidates(known, 2))
        assert np.allclose(red, (25, 0), atol=0.5)
        assert np.allclose(other, (-25, 50), atol=1e-3)

    def test_what_is_large_in_the_picture_decides(self):
        labels = np.zeros((8, 8), int)
        labels[0, 0] = 1
        known = one_entity_a_cell(
            labels,
            [(0, 0)] * 2,
            weight=np.array([[0.5, 0.5], [0.5, 0.5]]),
            mean=np.array([[[0.8, 0.0], [-0.8, 0.0]], [[0.0, 0.8], [0.0, -0.8]]]),
        )
        large = [paint.color(candidate)[4, 4, 0] for candidate in paint.candidates(known, 2)]
        assert np.allclose(sorted(large), [-40, 40], atol=1e-3)

    def test_they_are_further_apart_in_hue_than_drawn_pictures_and_than_strengths(self):
        def apart(pictures):
            pairs = [
                1 - (one * other).sum() / (np.hypot(*one.T) * np.hypot(*other.T)).sum()
                for index, one in enumerate(pictures)
                for other in pictures[:index]
            ]
            return np.min(pairs)

        known = make(entities=8, height=12, width=12)
        modes = [np.random.default_rng(seed).random((8, 1)) > known.weight.cumsum(axis=1)[:, :-1] for seed in range(4)]
        drawn = [paint.color(replace(known, weight=np.eye(3)[mode.sum(axis=1)])) for mode in modes]
        chosen = [paint.color(candidate) for candidate in paint.candidates(known, 4)]
        assert apart(chosen) > apart(drawn)
        assert apart([paint.color(known, strength) for strength in (0.5, 0.8, 1.0)]) < 1e-4 < 0.05 < apart(chosen)

    def test_as_many_as_are_drawn_are_the_drawn_pictures_one_mode_an_entity_by_its_weight(self):
        known = make(entities=3)
        every = paint.candidates(known, paint.DRAWS)
        assert all(set(np.unique(candidate.weight)) <= {0, 1} for candidate in every)
        assert np.allclose(np.mean([candidate.weight for candidate in every], axis=0), known.weight, atol=0.15)

    def test_one_candidate_is_about_the_mean(self):
        known = make()
        (only,) = paint.candidates(known, 1)
        assert np.allclose(only.weight, known.weight, atol=0.15)

    def test_a_network_without_doubt_has_one_kind_of_picture(self):
        known = one_entity_a_cell(np.eye(3, dtype=int), [(20, 0), (0, 20)])
        for candidate in paint.candidates(known, 4):
            assert np.allclose(paint.color(candidate), paint.color(known), atol=1e-4)

    @pytest.mark.parametrize("n", [0, 129])
    def test_other_counts_are_refused(self, n):
        with pytest.raises(ValueError, match=f"1 to 128 candidates, not {n}"):
            paint.candidates(make(), n)


class TestDeviation:
    @given(knowns)
    @settings(max_examples=25)
    def test_it_is_the_mixture_s_in_loops(self, known):
        mean = paint.color(known) / 50
        for cell in np.ndindex(known.coupling.shape[1:]):
            square = 0.0
            for k, m in np.ndindex(known.weight.shape):
                center = known.mean[k, m] + known.mix[k] @ known.basis[:, *cell]
                spread = 2 * known.scale[k, m] ** 2 + ((center - mean[cell]) ** 2).sum()
                square += known.coupling[k, *cell] * known.weight[k, m] * spread
            assert paint.deviation(known)[cell] == pytest.approx(50 * np.sqrt(square / 2), rel=1e-2)


class TestConfidence:
    @pytest.mark.parametrize("scale", [0.02, 0.05, 0.1, 0.3, 1.0, 3.0])
    @pytest.mark.parametrize("distance", [0.0, 3.0, 14.0, 15.0, 16.0, 40.0])
    def test_of_one_gaussian_it_is_a_noncentral_chi_square(self, scale, distance):
        known = one_entity_a_cell(np.zeros((1, 1), int), [(10, -5)], scale=np.full((1, 2), scale))
        ab = np.array([[[10, -5]]]) + distance * np.array([0.6, 0.8])
        sigma = 50 * scale
        expected = scipy.stats.ncx2.cdf((15 / sigma) ** 2, 2, (distance / sigma) ** 2 + 1e-12)
        assert paint.confidence(known, ab)[0, 0] == pytest.approx(expected, abs=4e-3)

    def test_of_a_mixture_it_is_the_share_of_draws_that_come_close(self):
        known, rng, draws = make(height=3, width=3, local=0.2), np.random.default_rng(1), 20_000
        ab = paint.color(known, 1.3)
        for cell in [(0, 0), (1, 2), (2, 1)]:
            share = known.coupling[:, *cell].astype(np.float64)
            entity = rng.choice(len(share), draws, p=share / share.sum())
            below = known.weight.cumsum(axis=1)[entity, :-1]
            mode = (rng.random((draws, 1)) > below).sum(axis=1)
            center = known.mean[entity, mode] + known.mix[entity] @ known.basis[:, *cell]
            drawn = 50 * (center + known.scale[entity, mode, None] * rng.standard_normal((draws, 2)))
            close = (np.hypot(*(drawn - ab[cell]).T) < 15).mean()
            assert paint.confidence(known, ab)[cell] == pytest.approx(close, abs=0.015)

    @given(knowns, strengths)
    def test_it_is_a_probability(self, known, strength):
        sure = paint.confidence(known, paint.color(known, strength))
        assert sure.shape == known.coupling.shape[1:]
        assert sure.min() >= 0
        assert sure.max() <= 1

    @given(st.floats(0, 14.5), st.floats(0.02, 2), st.floats(1.05, 3))
    def test_near_the_modes_wider_scales_make_it_fall(self, distance, scale, wider):
        known = one_entity_a_cell(np.zeros((1, 1), int), [(0, 0)], scale=np.full((1, 2), scale))
        ab = np.array([[[distance, 0.0]]])
        narrow, wide = (paint.confidence(replace(known, scale=known.scale * factor), ab) for factor in (1, wider))
        assert wide[0, 0] <= narrow[0, 0] + 1e-3

    @given(knowns, st.floats(1, 40), st.floats(1, 40))
    @settings(max_examples=40)
    def test_it_grows_with_the_radius(self, known, one, other):
        ab = paint.color(known)
        less, more = (paint.confidence(known, ab, radius) for radius in sorted([one, other]))
        assert (more >= less - 4e-3).all()

    def test_a_curve_calibrates_it(self):
        known = make()
        raw = paint.confidence(known, paint.color(known))
        curve = ([0, 0.3, 1], [0.1, 0.2, 0.9])
        assert np.allclose(paint.confidence(known, paint.color(known), curve=curve), np.interp(raw, *curve), atol=1e-6)

    @pytest.mark.parametrize(
        ("x", "y", "message"),
        [
            ([0, 1, 0.5], [0, 0.5, 1], "rising"),
            ([0, 1], [1, 0], "rising"),
            ([0, 1], [0], "one length"),
            ([], [], "rising"),
            ([0, 1], [0, 1.5], r"lies in 0\.\.1, not 0\.0\.\.1\.5"),
            ([-0.5, 1], [0, 1], r"lies in 0\.\.1"),
        ],
    )
    def test_a_curve_that_is_none_is_refused(self, x, y, message):
        known = make()
        with pytest.raises(ValueError, match=message):
            paint.confidence(known, paint.color(known), curve=(x, y))


class TestRecolor:
    @given(knowns, st.data())
    @settings(max_examples=40)
    def test_the_mean_of_a_type_becomes_the_color(self, known, data):
        entity = data.draw(st.integers(0, len(known.mix) - 1))
        assume(known.coupling[entity].sum() > 1e-3)
        changed = paint.recolor(known, entity, (30, -20))
        assert np.allclose(entity_mean(changed, entity), (30, -20), atol=0.05)

    @given(knowns, st.data())
    @settings(max_examples=40)
    def test_its_own_color_changes_nothing(self, known, data):
        entity = data.draw(st.integers(0, len(known.mix) - 1))
        assume(known.coupling[entity].sum() > 1e-3)
        same = paint.recolor(known, entity, entity_mean(known, entity))
        assert np.allclose(paint.color(same), paint.color(known), atol=0.1)

    @given(knowns, st.data(), strengths)
    def test_other_entities_stay_and_each_cell_changes_by_its_coupling(self, known, data, strength):
        entity = data.draw(st.integers(0, len(known.mix) - 1))
        known = replace(known, mix=np.zeros_like(known.mix))
        change = paint.color(paint.recolor(known, entity, (30, -20))) - paint.color(known)
        expected = known.coupling[entity, ..., None] * (
            np.array([30, -20]) - 50 * known.weight[entity] @ known.mean[entity]
        )
        assert np.allclose(change, expected, atol=1e-2)

    @given(knowns, strengths)
    def test_an_entity_that_holds_nothing_changes_nothing(self, known, strength):
        absent = Known(
            coupling=np.concatenate([known.coupling, np.zeros_like(known.coupling[:1])]),
            basis=known.basis,
            **{name: np.concatenate([getattr(known, name), getattr(known, name)[:1]]) for name in [*NAMES[1:4], "mix"]},
        )
        changed = paint.recolor(absent, len(known.mix), (50, 50))
        assert np.allclose(paint.color(changed, strength), paint.color(absent, strength), atol=1e-4)

    @given(knowns, strengths)
    def test_a_given_color_arrives_whatever_the_strength(self, known, strength):
        whole = replace(known, coupling=np.eye(len(known.mix))[:, :1, None] * np.ones_like(known.coupling))
        whole = replace(whole, mix=np.zeros_like(known.mix))
        assert np.allclose(paint.color(paint.recolor(whole, 0, (12, 34)), strength), (12, 34), atol=1e-3)

    def test_gray_is_gray_at_every_cell(self):
        known = one_entity_a_cell(np.zeros((3, 4), int), [(30, 0)], basis=np.random.default_rng(0).random((1, 3, 4)))
        changed = paint.recolor(replace(known, mix=np.ones((1, 2, 1))), 0, (0, 0))
        assert np.abs(paint.color(changed)).max() < 1e-4

    def test_what_varies_turns_with_the_hue(self):
        """A type that fades from strong to weak red becomes one that fades from strong to weak blue, no stronger."""
        fade = np.linspace(-0.1, 0.1, 5)[None, None]
        known = one_entity_a_cell(np.zeros((1, 5), int), [(40, 0)], basis=fade, mix=np.array([[[1.0], [0.0]]]))
        weak, strong = (paint.color(paint.recolor(known, 0, (0, -chroma)))[0] for chroma in (20, 80))
        assert np.allclose(weak, np.stack([np.zeros(5), -20 - 50 * fade[0, 0] / 2], axis=1), atol=1e-3)
        assert np.allclose(strong, np.stack([np.zeros(5), -80 - 50 * fade[0, 0]], axis=1), atol=1e-3)

    def test_a_given_color_is_sure(self):
        known = one_entity_a_cell(np.zeros((2, 2), int), [(10, 10)], scale=np.full((1, 2), 0.5))
        changed = paint.recolor(known, 0, (40, 0))
        assert paint.confidence(known, paint.color(known)).max() < 0.5
        assert paint.confidence(changed, paint.color(changed)).min() > 0.99

    @pytest.mark.parametrize("entity", [-1, 5])
    def test_an_entity_that_is_not_there_is_refused(self, entity):
        with pytest.raises(ValueError, match=f"no entity {entity}: they are 0 to 4"):
            paint.recolor(make(), entity, (0, 0))


class TestRegion:
    def test_it_is_the_connected_part_of_one_entity(self):
        labels = np.zeros((6, 7), int)
        labels[1:3, 1:3] = 1
        labels[3, 3] = 1  # touches the first at a corner only
        labels[4:, 5:] = 1
        known = one_entity_a_cell(labels, [(0, 0), (10, 0)])
        expected = np.zeros((6, 7))
        expected[1:3, 1:3] = 1
        assert np.array_equal(paint.region(known, (2, 2)), expected)
        assert np.array_equal(paint.region(known, (0, 0)), labels == 0)

    @given(knowns, st.data(), st.floats(0, 0.99))
    @settings(max_examples=60)
    def test_it_is_the_flood_of_agreement_from_the_cell(self, known, data, agreement):
        height, width = known.coupling.shape[1:]
        row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
        root = np.sqrt(known.coupling.astype(np.float64))
        s = np.einsum("k,khw->hw", root[:, row, column], root)
        seed = np.zeros((height, width), bool)
        seed[row, column] = True
        flood = scipy.ndimage.binary_propagation(seed, mask=s > agreement)
        expected = flood * np.minimum((s - agreement) / ((1 - agreement) / 2), 1)
        assert np.allclose(paint.region(known, (row, column), agreement), expected, atol=1e-4)
        assert paint.region(known, (row, column), agreement)[row, column] == pytest.approx(1)

    @given(knowns, st.data())
    @settings(max_examples=60)
    def test_recoloring_it_leaves_all_else_and_its_mean_is_the_color(self, known, data):
        height, width = known.coupling.shape[1:]
        cell = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
        mask = paint.region(known, cell)
        changed = paint.recolor_region(known, mask, (30, 40))
        outside = mask == 0
        assert np.allclose(paint.color(changed)[outside], paint.color(known)[outside], atol=1e-4)
        assert np.allclose(entity_mean(changed, len(known.mix)), (30, 40), atol=0.1)
        assert changed.given == {len(known.mix)}

    def test_it_arrives_as_given_in_the_middle_of_the_region_at_any_strength(self):
        labels = np.arange(4).repeat(3).reshape(4, 3)
        known = one_entity_a_cell(labels, [(10, 0), (0, 10), (-10, 0), (0, -10)])
        changed = paint.recolor_region(known, paint.region(known, (1, 1)), (30, 40))
        for strength in (0, 0.5, 1, 2):
            ab = paint.color(changed, strength)
            assert np.allclose(ab[1], (30, 40), atol=1e-3)
            assert np.allclose(ab[[0, 2, 3]], paint.color(known, strength)[[0, 2, 3]], atol=1e-3)

    def test_the_picture_elsewhere_grows_with_strength_as_before(self):
        known = make(height=8, width=8, sharpness=10)
        mask = paint.region(known, (0, 0), 0.7)
        changed = paint.recolor_region(known, mask, (30, 40))
        outside = mask == 0
        assert outside.any()
        assert np.allclose(paint.color(changed, 0.5)[outside], 0.5 * paint.color(known)[outside], atol=1e-4)

    @pytest.mark.parametrize("mask", [np.zeros((6, 8)), np.full((6, 8), 1.5), -np.eye(6, 8)])
    def test_a_mask_that_is_none_is_refused(self, mask):
        with pytest.raises(ValueError, match=r"mask lies in 0\.\.1 and is not empty"):
            paint.recolor_region(make(), mask, (0, 0))

    def test_cells_and_agreements_out_of_range_are_refused(self):
        with pytest.raises(ValueError, match="row 6, column 0 is outside the picture of 6×8 cells"):
            paint.region(make(), (6, 0))
        with pytest.raises(ValueError, match="below 1, not 1"):
            paint.region(make(), (0, 0), 1)


class TestReference:
    def test_an_entity_of_both_pictures_takes_its_color_and_no_other_does(self):
        here = one_entity_a_cell(np.array([[0, 0, 1], [0, 2, 2]]), [(1, 1), (2, 2), (3, 3), (4, 4)])
        there = one_entity_a_cell(np.array([[0, 0], [1, 3], [1, 3]]), [(10, 0), (0, 20), (0, 0), (30, 0)])
        ab = paint.color(paint.reference(here, there))
        assert np.allclose(ab, [[(10, 0), (10, 0), (0, 20)], [(10, 0), (3, 3), (3, 3)]], atol=1e-3)

    @given(st.integers(0, 1000), st.integers(0, 1000))
    @settings(max_examples=40)
    def test_the_mean_color_of_an_entity_becomes_that_of_the_other_picture(self, one, other):
        here, there = make(one, sharpness=0.3, local=0.2), make(other, sharpness=0.3, local=0.2, width=5)
        painted = paint.reference(here, there, present=0)
        for entity in range(len(here.mix)):
            assert np.allclose(entity_mean(painted, entity), entity_mean(there, entity), atol=0.1)

    @given(knowns, strengths)
    def test_a_picture_is_its_own_reference(self, known, strength):
        assert np.allclose(
            paint.color(paint.reference(known, known), strength), paint.color(known, strength), atol=1e-3
        )

    def test_a_given_color_stays(self):
        here = paint.recolor(one_entity_a_cell(np.zeros((2, 2), int), [(1, 1)]), 0, (5, 6))
        there = one_entity_a_cell(np.zeros((3, 3), int), [(10, 0)])
        assert np.allclose(paint.color(paint.reference(here, there)), (5, 6), atol=1e-3)

    def test_a_recolored_region_is_no_type(self):
        """The entity that a recolored region adds is neither changed nor taken for one of the network's."""
        here, there = make(1), make(2)
        mask = np.zeros((6, 8), np.float32)
        mask[2:4, 2:5] = 1
        changed = paint.recolor_region(here, mask, (30, 40))
        for other in (there, paint.recolor_region(there, mask, (-30, -40))):
            ab = paint.color(paint.reference(changed, other))
            assert np.allclose(ab[2:4, 2:5].mean(axis=(0, 1)), (30, 40), atol=1e-2)

    def test_other_numbers_of_modes_are_refused(self):
        with pytest.raises(ValueError, match="entities of 3 and 2 modes"):
            paint.reference(make(modes=3), make(modes=2))

    def test_the_colors_of_a_picture_are_measured(self):
        labels = np.random.default_rng(0).integers(0, 3, (12, 12))
        colors = np.array([(10.0, 20), (-30, 0), (0, -40)])
        noise = 2 * np.random.default_rng(1).standard_normal((12, 12, 2))
        seen = paint.observe(one_entity_a_cell(labels, np.zeros((3, 2))), colors[labels] + noise)
        for entity in range(3):
            cells = (colors[labels] + noise)[labels == entity]
            assert np.allclose(50 * seen.mean[entity], cells.mean(axis=0), atol=0.1)
            assert np.allclose(50 * seen.scale[entity], cells.std(axis=0).mean(), atol=0.3)

    def test_the_colors_of_soft_couplings_are_unmixed(self):
        """Means over cells would mix the colors of entities that share them; least squares find them."""
        known = make(entities=3, height=16, width=16, sharpness=1.0, local=0.0)
        true = np.stack([known.weight[k] @ known.mean[k] for k in range(3)])
        seen = paint.observe(known, paint.color(known))
        averaged = (
            np.einsum("khw,hwc->kc", known.coupling, paint.color(known) / 50) / known.coupling.sum((1, 2))[:, None]
        )
        assert np.abs(seen.mean[:, 0] - true).max() < 0.3 * np.abs(averaged - true).max()
        mixed = replace(seen, mean=np.repeat(averaged[:, None], 3, axis=1))
        unmixed_error, mixed_error = (mean_chroma(paint.color(k) - paint.color(known)) for k in (seen, mixed))
        assert unmixed_error < 0.4 * mixed_error


def dense_kernel(known, lightness, kernel=paint.KERNEL):
    """The kernel between all cells, pair by pair, as it is written down; float64."""
    height, width = known.coupling.shape[1:]
    cells = list(np.ndindex(height, width))
    soft = known.coupling.astype(np.float64) ** kernel.softness
    soft /= soft.sum(axis=0)
    k = np.empty((len(cells), len(cells)))
    for (i, p), (j, q) in product(enumerate(cells), enumerate(cells)):
        s = np.sqrt(soft[:, *p] * soft[:, *q]).sum()
        d2 = ((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2) / height**2
        near = kernel.near * np.exp(-d2 / (2 * kernel.near_reach**2))
        near *= np.exp(-(((float(lightness[p]) - float(lightness[q])) / 100) ** 2) / kernel.lightness)
        near *= (1 - kernel.near_agreement) + kernel.near_agreement * s
        k[i, j] = s**2 * (kernel.everywhere + kernel.wide * np.exp(-d2 / (2 * kernel.wide_reach**2))) + near
    return k


OTHER = Kernel(0.1, 0.3, 0.2, 0.4, 0.3, 0.1, 0.2, softness=0.5, near_agreement=0.7)


class TestHint:
    def test_the_constants_are_those_of_the_trials(self):
        known, lightness = make(), lightness_of(make())
        p, q = np.array([[1, 2]]), np.array([[4, 7]])
        s = np.sqrt(known.coupling[:, 1, 2] * known.coupling[:, 4, 7]).sum()
        d2, dl = (9 + 25) / 36, float(lightness[1, 2] - lightness[4, 7])
        expected = s**2 * (0.2 + 0.5 * np.exp(-d2 / (2 * 0.4**2)))
        expected += 0.3 * np.exp(-d2 / (2 * 0.12**2)) * np.exp(-((dl / 100) ** 2) / 0.03)
        assert paint.covariance(known, lightness, p, q)[0, 0] == pytest.approx(expected, rel=1e-4)
        assert Kernel().noise == 0.05

    @pytest.mark.parametrize("kernel", [Kernel(), OTHER])
    def test_the_kernel_is_its_formula_for_every_pair(self, kernel):
        known = make(height=4, width=5)
        cells = np.array(list(np.ndindex(4, 5)))
        found = paint.covariance(known, lightness_of(known), cells, cells[3:], kernel)
        assert np.allclose(found, dense_kernel(known, lightness_of(known), kernel)[:, 3:], atol=1e-5)

    @given(knowns, st.floats(0.2, 1), st.floats(0, 1))
    @settings(max_examples=40)
    def test_the_kernel_is_positive_whatever_the_couplings(self, known, softness, near_agreement):
        kernel = Kernel(softness=softness, near_agreement=near_agreement)
        cells = np.array(list(np.ndindex(known.coupling.shape[1:])))
        k = paint.covariance(known, lightness_of(known), cells, cells, kernel)
        assert np.allclose(k, k.T, atol=1e-6)
        assert np.allclose(np.diag(k), 1, atol=1e-5)
        assert np.linalg.eigvalsh(k).min() > -1e-4

    @pytest.mark.parametrize("kernel", [Kernel(), OTHER])
    def test_it_is_a_dense_solve(self, kernel):
        known, rng = make(height=5, width=6), np.random.default_rng(0)
        ab, lightness = paint.color(known), lightness_of(known)
        points, colors = rng.integers(0, 5, (7, 2)), 30 * rng.standard_normal((7, 2))
        k = dense_kernel(known, lightness, kernel)
        at = points[:, 0] * 6 + points[:, 1]
        alpha = np.linalg.inv(k[np.ix_(at, at)] + kernel.noise * np.eye(7)) @ (colors - ab.reshape(-1, 2)[at])
        expected = ab + (k[:, at] @ alpha).reshape(ab.shape)
        assert np.allclose(paint.hint(known, ab, lightness, points, colors, kernel), expected, atol=1e-2)

    def test_without_couplings_and_lightness_it_is_scikit_learn_s(self):
        """One entity and one L everywhere leave a constant and two Gaussians of distance."""
        known = one_entity_a_cell(np.zeros((9, 12), int), [(5, 5)])
        ab, lightness = paint.color(known), np.full((9, 12), 40.0)
        points, colors = np.array([(0, 1), (4, 4), (8, 11)]), np.array([(40.0, 0), (0, 40), (-20, 10)])
        shape = ConstantKernel(0.2) + ConstantKernel(0.5) * RBF(0.4 * 9) + ConstantKernel(0.3) * RBF(0.12 * 9)
        process = GaussianProcessRegressor(shape, alpha=0.05, optimizer=None).fit(points, colors - 5)
        expected = 5 + process.predict(np.array(list(np.ndindex(9, 12))))
        assert np.allclose(paint.hint(known, ab, lightness, points, colors).reshape(-1, 2), expected, atol=1e-2)

    @given(knowns, st.data())
    @settings(max_examples=60)
    def test_without_noise_every_color_arrives(self, known, data):
        height, width = known.coupling.shape[1:]
        every = list(np.ndindex(height, width))
        points = data.draw(st.lists(st.sampled_from(every), min_size=1, max_size=4, unique=True))
        colors = 60 * np.random.default_rng(0).standard_normal((len(points), 2))
        kernel = Kernel(noise=1e-5, near=0.5, near_reach=0.02, wide_reach=0.05)
        ab = paint.hint(known, paint.color(known), lightness_of(known), points, colors, kernel)
        assert np.allclose(ab[tuple(np.transpose(points))], colors, atol=0.2)

    @given(knowns, st.floats(-80, 80), st.floats(-80, 80))
    def test_one_point_goes_the_way_that_the_noise_leaves(self, known, a, b):
        ab = paint.color(known)
        found = paint.hint(known, ab, lightness_of(known), [(0, 0)], [(a, b)])
        assert np.allclose(found[0, 0], ab[0, 0] + (np.array([a, b]) - ab[0, 0]) / 1.05, atol=1e-2)

    def test_far_away_and_of_another_entity_nothing_changes(self):
        labels = np.zeros((20, 60), int)
        labels[:, 30:] = 1
        known = one_entity_a_cell(labels, [(5, 5), (-5, 5)])
        ab = paint.color(known)
        found = paint.hint(known, ab, np.full((20, 60), 50.0), [(10, 2)], [(70, -70)])
        assert np.allclose(found[:, 45:], ab[:, 45:], atol=1e-4)
        assert (np.abs(found[:, :30] - ab[:, :30]) > 5).all()

    def test_it_spreads_within_its_entity(self):
        """At one distance, the cell of the same entity moves more than four times as much."""
        labels = np.zeros((21, 21), int)
        labels[:, 11:] = 1
        known = one_entity_a_cell(labels, [(0, 0), (0, 0)])
        found = paint.hint(known, paint.color(known), np.full((21, 21), 50.0), [(10, 9)], [(70, 0)])
        assert found[10, 5, 0] > 4 * found[10, 13, 0] > 0

    @given(knowns)
    def test_no_points_and_points_that_are_right_change_nothing(self, known):
        ab, lightness = paint.color(known, 1.4), lightness_of(known)
        assert np.array_equal(paint.hint(known, ab, lightness, [], []), ab)
        assert np.allclose(paint.hint(known, ab, lightness, [(0, 0)], [ab[0, 0]]), ab, atol=1e-4)

    def test_the_order_of_points_does_not_matter_and_two_on_one_cell_are_averaged(self):
        known, points, colors = make(), [(0, 0), (3, 4), (3, 4)], np.array([(10, 0), (0, 50), (0, 10.0)])
        ab, lightness = paint.color(known), lightness_of(known)
        found = paint.hint(known, ab, lightness, points, colors)
        assert np.allclose(found, paint.hint(known, ab, lightness, points[::-1], colors[::-1]), atol=1e-3)
        half = paint.hint(known, ab, lightness, points, [(10, 0), (0, 30), (0, 30)])
        assert np.allclose(found, half, atol=1e-3)

    @pytest.mark.parametrize("cell", [(-1, 0), (0, 8), (6, 0)])
    def test_a_point_outside_the_picture_is_refused(self, cell):
        known = make()
        with pytest.raises(ValueError, match=f"row {cell[0]}, column {cell[1]} is outside the picture of 6×8 cells"):
            paint.hint(known, paint.color(known), lightness_of(known), [(0, 0), cell], [(0, 0)] * 2)


class TestSuggest:
    @staticmethod
    def left_after(covariance, points, noise=0.05):
        """Summed variance once the colors of some cells are known: the dense formula."""
        column = covariance[:, points]
        inner = covariance[np.ix_(points, points)] + noise * np.eye(len(points))
        return np.trace(covariance - column @ np.linalg.inv(inner) @ column.T)

    def scaled(self, known, lightness):
        sigma = paint.deviation(known).astype(np.float64).ravel()
        sigma /= np.sqrt((sigma**2).mean())
        return dense_kernel(known, lightness) * sigma * sigma[:, None]

    @pytest.mark.parametrize("pointed", [[], [(0, 0), (2, 3)]])
    @pytest.mark.parametrize("seed", range(3))
    def test_every_point_is_the_best_next_one_by_the_dense_formula(self, pointed, seed):
        known = make(seed, height=5, width=6)
        covariance = self.scaled(known, lightness_of(known))
        chosen = [row * 6 + column for row, column in pointed]
        for row, column in paint.suggest(known, lightness_of(known), 4, pointed):
            left = [self.left_after(covariance, [*chosen, cell]) for cell in range(30)]
            assert left[row * 6 + column] == pytest.approx(min(left), rel=1e-5)
            chosen.append(row * 6 + column)

    def test_without_couplings_the_variance_left_is_scikit_learn_s(self):
        known = one_entity_a_cell(np.zeros((5, 6), int), [(5, 5)])
        points = [(0, 1), (4, 4)]
        shape = ConstantKernel(0.2) + ConstantKernel(0.5) * RBF(0.4 * 5) + ConstantKernel(0.3) * RBF(0.12 * 5)
        process = GaussianProcessRegressor(shape, alpha=0.05, optimizer=None).fit(np.array(points), np.zeros(2))
        _, deviation = process.predict(np.array(list(np.ndindex(5, 6))), return_std=True)
        left = self.left_after(self.scaled(known, np.full((5, 6), 50.0)), [1, 28])
        assert left == pytest.approx((deviation**2).sum(), rel=1e-4)

    def test_it_points_into_the_large_doubtful_part(self):
        labels = np.zeros((12, 12), int)
        labels[:, 8:] = 1
        sure, doubtful = (one_entity_a_cell(labels, [(0, 0)] * 2, scale=np.array(scale)) for scale in (
            [[0.05] * 2, [0.5] * 2], [[0.5] * 2, [0.5] * 2],
        ))  # fmt: skip
        lightness = np.full((12, 12), 50.0)
        assert paint.suggest(sure, lightness, 1)[0, 1] >= 8
        assert paint.suggest(doubtful, lightness, 1)[0, 1] < 8

    @pytest.mark.parametrize("noise", [0.05, 1000.0])
    def test_no_cell_is_named_twice_even_when_a_click_says_little(self, noise):
        known = one_entity_a_cell(np.zeros((2, 3), int), [(0, 0)])
        found = paint.suggest(known, np.zeros((2, 3)), 6, kernel=Kernel(noise=noise))
        assert len({tuple(cell) for cell in found}) == 6

    @given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 3))
    @settings(max_examples=25)
    def test_cells_lie_inside_pictures_of_any_shape(self, height, width, seed):
        known = make(seed, entities=2, height=height, width=width)
        found = paint.suggest(known, lightness_of(known), 1)
        assert found.shape == (1, 2)
        assert (found >= 0).all()
        assert (found < [height, width]).all()

    @pytest.mark.parametrize(("height", "width"), [(64, 64), (1, 5000), (5000, 1), (30, 200), (32, 32)])
    def test_large_pictures_are_thinned_evenly(self, height, width):
        known = make(entities=1, features=1, height=height, width=width)
        cells = paint._thinned(known)
        assert len(cells) <= 1024
        assert len(cells) >= min(height * width, 900)
        assert np.allclose(cells.mean(axis=0), [(height - 1) / 2, (width - 1) / 2], atol=1.01)

    def test_counts_and_points_out_of_range_are_refused(self):
        known = make()
        for n in (0, 49):
            with pytest.raises(ValueError, match=f"1 to 48 points can be suggested, not {n}"):
                paint.suggest(known, lightness_of(known), n)
        with pytest.raises(ValueError, match="row 9, column 9 is outside"):
            paint.suggest(known, lightness_of(known), 1, [(9, 9)])


def test_answers_compose():
    """A reference, a candidate, a type and a region recolored, vivid, three hints, and how sure all that is."""
    known = make(entities=16, features=8, height=24, width=32)
    lightness = lightness_of(known)
    known = paint.candidates(paint.reference(known, make(7, entities=16, features=8)), 3)[1]
    known = paint.recolor(known, 3, (20, 30))
    known = paint.recolor_region(known, paint.region(known, (5, 6)), (-30, 10))
    ab = paint.hint(known, paint.color(known, 1.6), lightness, paint.suggest(known, lightness, 3), [(10, 10)] * 3)
    sure = paint.confidence(known, ab)
    assert ab.shape == (24, 32, 2)
    assert ab.dtype == sure.dtype == np.float32
    assert np.isfinite(ab).all()


# Fading


@given(st.integers(0, 99), st.floats(0, 1), st.floats(0, 1))
def test_fading_is_the_definition_cell_by_cell(seed, threshold, other):
    known = make(seed)
    ab, sure = paint.color(known), paint.confidence(known, paint.color(known))
    faded = paint.fade(known, ab, sure, threshold)
    for cell in np.ndindex(sure.shape):
        left = 1.0 if threshold == 0 else min(max((sure[cell] - threshold / 2) / max(threshold / 2, 1e-9), 0), 1)
        assert np.abs(faded[cell] - left * ab[cell]).max() < 1e-3
    low, high = sorted((threshold, other))
    more, less = (np.linalg.norm(paint.fade(known, ab, sure, t), axis=-1) for t in (low, high))
    assert (more >= less - 1e-4).all()


def test_fading_ends_at_gray_and_begins_with_nothing():
    known = make()
    ab = paint.color(known)
    assert np.array_equal(paint.fade(known, ab, np.zeros(ab.shape[:2]), 0), ab)
    assert np.array_equal(paint.fade(known, ab, np.ones(ab.shape[:2]), 1), ab)
    assert not paint.fade(known, ab, np.full(ab.shape[:2], 0.4), 0.8).any()


def test_a_given_color_does_not_fade():
    labels = np.repeat([[0, 1]], 6, axis=0).repeat(4, axis=1)
    known = paint.recolor(one_entity_a_cell(labels, [(30, 10), (-20, 15)]), 1, (40, -20))
    faded = paint.fade(known, paint.color(known), np.zeros(labels.shape), 1)
    assert not faded[labels == 0].any()
    assert np.abs(faded[labels == 1] - (40, -20)).max() < 1e-4


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_an_impossible_threshold_is_refused(threshold):
    known = make()
    with pytest.raises(ValueError, match="colors fade below a confidence of 0 to 1, not"):
        paint.fade(known, paint.color(known), np.ones((6, 8)), threshold)
