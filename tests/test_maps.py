"""Maps: a hue an entity, a number on every part, values as gray."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from colorcapsnet import color, maps


def test_a_map_shows_each_entity_in_its_own_hue_whatever_the_lightness():
    labels = np.arange(16).repeat(4).reshape(8, 8)
    coupling = (np.arange(16)[:, None, None] == labels).astype(np.float32)
    hues = []
    for lightness in (35, 65):
        lab = color.srgb_to_lab(maps.capsule_map(coupling, np.full((8, 8), lightness, np.float32)))
        entities = np.array([lab[labels == entity].mean(axis=0) for entity in range(16)])
        hues.append(np.arctan2(entities[:, 2], entities[:, 1]))
        apart = np.abs(np.angle(np.exp(1j * (hues[-1][:, None] - hues[-1])))) + np.eye(16) * 9
        assert apart.min() > np.radians(15)
    assert np.abs(np.angle(np.exp(1j * (hues[0] - hues[1])))).max() < np.radians(6)


def test_a_map_blends_by_coupling_and_keeps_the_order_of_lightness():
    half = np.full((2, 4, 4), 0.5, np.float32)
    one = np.stack([np.ones((4, 4)), np.zeros((4, 4))]).astype(np.float32)
    lightness = np.linspace(0, 100, 16).reshape(4, 4).astype(np.float32)
    first, second, both = (
        color.srgb_to_lab(maps.capsule_map(coupling, lightness)) for coupling in (one, one[::-1], half)
    )
    in_gamut = (lightness > 40) & (lightness < 60)
    assert np.abs(both - (first + second) / 2)[in_gamut].max() < 2
    for shown in (first, second, both):
        assert np.all(np.diff(shown[..., 0].ravel()) > 0)


def test_a_map_has_the_size_of_the_picture():
    coupling = np.random.default_rng(0).dirichlet(np.ones(20), (6, 9)).transpose(2, 0, 1)
    shown = maps.capsule_map(coupling, np.full((50, 70), 60, np.float32))
    assert shown.shape == (50, 70, 3) and shown.dtype == np.uint8


def test_every_part_that_an_entity_holds_is_named_inside_it_and_specks_are_not():
    labels = np.zeros((40, 60), int)
    labels[5:15, 10:30], labels[25:35, 40:55], labels[20, 5] = 1, 1, 2
    coupling = np.stack([0.1 + 0.7 * (labels == entity) for entity in range(3)])
    named = list(maps._parts(coupling))
    assert [entity for entity, _, _ in named] == [0, 1, 1]
    assert all(labels[row, column] == entity for entity, row, column in named)
    assert {(row // 20, column // 35) for entity, row, column in named if entity == 1} == {(0, 0), (1, 1)}
    assert named[1][1:] in {(9, column) for column in range(14, 26)} | {(10, column) for column in range(14, 26)}


def test_numbers_stand_in_the_regions_and_nowhere_else():
    coupling = np.zeros((2, 8, 12), np.float32)
    coupling[0, :, :6], coupling[1, :, 6:] = 1, 1
    lightness = np.full((240, 360), 50, np.float32)
    plain, numbered = maps.capsule_map(coupling, lightness), maps.numbered_capsules(coupling, lightness)
    changed = np.argwhere((plain != numbered).any(axis=2))
    left, right = changed[changed[:, 1] < 180], changed[changed[:, 1] >= 180]
    for half, middle in ((left, (120, 90)), (right, (120, 270))):
        assert len(half) > 10
        assert np.abs(half - middle).max() < 30
    assert not np.array_equal(numbered[:, :180], numbered[:, 180:])


@given(st.integers(1, 40), st.integers(1, 40), st.text(st.characters(min_codepoint=33, max_codepoint=126)))
def test_a_label_fits_pictures_of_any_size(height, width, text):
    rgb = np.full((height, width, 3), 128, np.uint8)
    drawn = maps.labeled(rgb, [(text, width - 1, 0)])
    assert drawn.shape == rgb.shape and drawn.dtype == np.uint8
    assert (rgb == 128).all()


@given(arrays(np.float32, (3, 5), elements=st.floats(0, 1, width=32)), st.integers(1, 30), st.integers(1, 30))
def test_a_gray_map_goes_from_black_to_white(values, height, width):
    shown = maps.gray_map(values, height, width)
    assert shown.shape == (height, width) and shown.dtype == np.uint8
    assert values.min() * 255 - 0.51 <= shown.min() and shown.max() <= values.max() * 255 + 0.51
    assert np.array_equal(maps.gray_map(values, 3, 5), np.rint(values * 255))
