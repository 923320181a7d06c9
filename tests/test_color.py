"""Colors: sRGB <-> Lab against scikit-image, gray exactly neutral, gamut, and lightness kept to the last code."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.color import lab2rgb, rgb2lab

from colorcapsnet import color

DEPTHS = [np.uint8, np.uint16]
every_color = np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 3), axis=-1).reshape(-1, 52, 3).astype(np.uint8)
inner_colors = np.stack(np.meshgrid(*[np.arange(40, 216, 5)] * 3), axis=-1).reshape(-1, 36, 3).astype(np.uint8)


def test_lab_agrees_with_scikit_image():
    """To 0.02: scikit-image's white (0.95047, 1, 1.08883) is not the row sum of its matrix, ours is."""
    assert np.abs(color.srgb_to_lab(every_color) - rgb2lab(every_color)).max() < 0.02


def test_srgb_agrees_with_scikit_image():
    lab = rgb2lab(every_color)
    assert np.abs(color.lab_to_srgb(lab) - lab2rgb(lab)).max() < 5e-4


@pytest.mark.parametrize("dtype", DEPTHS)
def test_every_gray_is_exactly_neutral(dtype):
    codes = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(-1, 256)
    lab = color.srgb_to_lab(np.repeat(codes[..., None], 3, axis=-1))
    assert np.all(lab[..., 1:] == 0)
    assert np.abs(lab[..., 0] - color.lightness(codes)).max() < 1e-4


def test_white_is_100_and_black_is_0():
    assert color.lightness(np.array([[0, 255]], np.uint8)).tolist() == [[0.0, 100.0]]


def test_srgb_to_lab_and_back_is_exact_for_every_8_bit_color():
    red = np.arange(256, dtype=np.uint8)
    for blue in range(0, 256, 3):
        rgb = np.stack(np.meshgrid(red, red, [blue], indexing="ij"), axis=-1).reshape(256, 256, 3).astype(np.uint8)
        assert np.array_equal(color.quantize(color.lab_to_srgb(color.srgb_to_lab(rgb))), rgb)


@given(arrays(np.uint16, (5, 7, 3)))
def test_srgb_to_lab_and_back_stays_within_two_codes_of_16_bits(rgb):
    back = color.quantize(color.lab_to_srgb(color.srgb_to_lab(rgb)), np.uint16)
    assert np.abs(back.astype(int) - rgb).max() <= 2


@given(arrays(np.uint8, (4, 5, 3)))
def test_gray_is_rec601_rounded(rgb):
    exact = 0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]
    assert np.abs(color.gray(rgb) - exact).max() <= 0.5 + 1e-9
    assert np.abs(color.gray(rgb).astype(int) - cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)).max() <= 1


@given(arrays(np.uint16, (4, 5)))
def test_gray_of_gray_is_itself(codes):
    assert np.array_equal(color.gray(np.repeat(codes[..., None], 3, axis=-1)), codes)
    assert color.gray(codes) is codes


def test_the_papers_code_is_opencvs_8_bit_lab():
    """OpenCV's own conversion works in integer tables: it is off by one code, by two for one color in a thousand."""
    ours = color.encode(color.srgb_to_lab(every_color)).astype(int)
    off = np.abs(ours - cv2.cvtColor(every_color, cv2.COLOR_RGB2LAB))
    assert off.max() <= 2
    assert (off > 1).mean() < 1e-3


@given(arrays(np.uint8, (3, 4, 3)))
def test_decode_inverts_encode(code):
    assert np.array_equal(color.encode(color.decode(code)), code)


chroma = arrays(np.float32, (6, 5, 2), elements=st.floats(-140, 140, width=32))


@settings(max_examples=300)
@given(st.sampled_from(DEPTHS), st.data())
def test_merge_keeps_every_gray_code_whatever_the_color(dtype, data):
    codes = data.draw(arrays(dtype, (6, 5)))
    rgb = color.merge(codes, data.draw(chroma))
    assert rgb.dtype == dtype and rgb.shape == (6, 5, 3)
    assert np.array_equal(color.gray_of(rgb), codes)


@pytest.mark.parametrize("dtype", DEPTHS)
def test_merged_lightness_is_the_grays_by_scikit_image_too(dtype):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, np.iinfo(dtype).max + 1, (300, 200)).astype(dtype)
    rgb = color.merge(codes, rng.normal(0, 40, (300, 200, 2)).astype(np.float32))
    table = rgb2lab(np.repeat(np.arange(np.iinfo(dtype).max + 1, dtype=dtype)[None, :, None], 3, axis=-1))[0, :, 0]
    steps = (table[1:] + table[:-1]) / 2
    assert np.array_equal(np.searchsorted(steps, rgb2lab(rgb)[..., 0]), codes)


@pytest.mark.parametrize("dtype", DEPTHS)
def test_merge_with_no_color_is_the_gray_itself(dtype):
    codes = np.arange(256, dtype=dtype).reshape(16, 16) * (np.iinfo(dtype).max // 255)
    rgb = color.merge(codes, np.zeros((16, 16, 2), np.float32))
    assert np.array_equal(rgb, np.repeat(codes[..., None], 3, axis=-1))


def test_merge_gives_a_color_inside_srgb_as_it_is():
    """Rounding to codes moves it a little. (At the edge of sRGB less is promised: half a code of L can cost chroma.)"""
    lab = color.srgb_to_lab(inner_colors)
    codes = color.gray_of(inner_colors)
    got = color.srgb_to_lab(color.merge(codes, lab[..., 1:]))
    assert np.abs(got[..., 1:] - lab[..., 1:]).max() < 3
    assert np.abs(got[..., 1:] - lab[..., 1:]).mean() < 0.6


@settings(max_examples=200)
@given(arrays(np.float32, (6, 5), elements=st.floats(0, 100, width=32)), chroma)
def test_gamut_gives_chroma_away_at_constant_hue_and_lightness(light, ab):
    inside = color.in_gamut(light, ab)
    rgb = lab2rgb(np.concatenate([light[..., None], inside], axis=-1).astype(np.float64))
    back = rgb2lab(rgb)
    assert np.abs(back[..., 0] - light).max() < 0.05  # nothing was clipped
    ratio = np.hypot(*np.moveaxis(inside, -1, 0)) / np.maximum(np.hypot(*np.moveaxis(ab, -1, 0)), 1e-6)
    assert np.all(ratio <= 1 + 1e-5)
    assert np.abs(inside - ab * ratio[..., None]).max() < 1e-3


def test_gamut_leaves_what_is_inside_alone():
    lab = color.srgb_to_lab(inner_colors)
    assert np.array_equal(color.in_gamut(lab[..., 0], lab[..., 1:]), lab[..., 1:])


def test_sixteen_bits_become_the_nearest_eight_and_eight_stay():
    codes = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(color.eight_bits(codes), np.rint(codes / 257))
    assert color.eight_bits(every_color) is every_color


def test_empty_pictures_stay_empty():
    assert color.merge(np.zeros((0, 4), np.uint8), np.zeros((0, 4, 2), np.float32)).shape == (0, 4, 3)


@pytest.mark.parametrize("height", [1, 64, 65, 200])
def test_strips_are_the_whole(monkeypatch, height):
    rng = np.random.default_rng(height)
    gray = rng.integers(0, 256, (height, 7), np.uint8)
    ab = rng.uniform(-60, 60, (height, 7, 2)).astype(np.float32)
    whole = color.merge(gray, ab)
    monkeypatch.setattr(color, "_PIXELS", 0)
    assert np.array_equal(color.merge(gray, ab), whole)
    assert np.array_equal(color.gray_of(whole), gray)
