"""Sizes: shrinking is area averaging; what a network is shown; chroma enlarged with edges where L has them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from colorcapsnet import color, pictures, scale

SAMPLES = Path(__file__).parents[1] / "samples"


def random(*shape, low=0.0, high=100.0):
    return np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)


def enlarged(ab, cells, lightness, strip=None):
    """At once, or in strips of so many rows."""
    height, width = lightness.shape
    large = scale.Enlarged(ab, cells, height, width)
    tops = range(0, height, strip or height)
    parts = [slice(top, min(top + (strip or height), height)) for top in tops]
    return np.concatenate([large.rows(rows, lightness[rows]) for rows in parts])


@pytest.mark.parametrize("factor", [1, 2, 3.6])
def test_shrinking_keeps_the_mean(factor):
    picture = np.random.default_rng(0).integers(0, 256, (90, 144, 3)).astype(np.uint8)
    small = scale.shrink(picture, factor)
    assert small.shape == (round(90 / factor), round(144 / factor), 3)
    assert abs(small.mean() - picture.mean()) < 1


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5))
def test_a_whole_factor_takes_the_mean_of_each_block(rows, columns, factor):
    picture = np.random.default_rng(0).integers(0, 256, (rows * factor, columns * factor)).astype(np.uint8)
    blocks = picture.reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    assert np.abs(scale.shrink(picture, factor) - blocks).max() <= 0.5 + 1e-6


def test_nothing_gets_smaller_than_a_pixel():
    assert scale.shrink(np.zeros((3, 100), np.uint8), 50).shape == (1, 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(30, 44), (7, 300), (64, 3), (1, 1)])
def test_a_picture_is_fitted_to_any_shape_at_its_depth(dtype, shape):
    flat = np.full((31, 45), 77, dtype)
    fitted = scale.fit(flat, *shape)
    assert (fitted.shape, fitted.dtype) == (shape, dtype)
    assert np.abs(fitted - 77.0).max() < 1e-4


def test_the_side_that_shrinks_is_averaged_even_where_the_other_grows():
    stripes = np.tile(np.array([[0], [200]], np.uint8), (50, 4))
    assert np.abs(scale.fit(stripes, 10, 64).astype(int) - 100).max() <= 1


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from([64, 224, 256, 320]))
def test_a_network_is_shown_multiples_of_32_and_no_more_than_it_can_take(height, width, size):
    tall, wide = scale.working_shape(height, width, size)
    assert tall % 32 == wide % 32 == 0
    assert 32 <= min(tall, wide) <= max(tall, wide) <= 8 * size
    assert scale.working_shape(width, height, size) == (wide, tall)


@given(st.floats(1 / 4, 4), st.integers(20, 12_000))
def test_a_photograph_is_shown_at_its_proportions_and_at_the_area_of_the_working_size(aspect, height):
    width = round(height * aspect)
    factor = min(256 / (height * width) ** 0.5, scale.LARGEST_ENLARGEMENT)
    for shown, side in zip(scale.working_shape(height, width, 256), (height, width), strict=True):
        assert abs(shown - side * factor) <= 16 or shown == 32


@pytest.mark.parametrize(
    ("height", "width", "shown"),
    [
        (1400, 2040, (224, 320)),
        (2040, 1400, (320, 224)),
        (64, 64, (64, 64)),
        (1, 1, (32, 32)),
        (50, 10_000, (32, 2048)),
    ],
)
def test_what_is_shown_of_large_small_and_long_pictures(height, width, shown):
    assert scale.working_shape(height, width, 256) == shown


def test_one_chroma_stays_that_chroma_whatever_the_lightness():
    ab = np.broadcast_to(np.float32([12, -30]), (6, 9, 2))
    assert np.abs(enlarged(ab, random(6, 9), random(40, 71)) - (12, -30)).max() < 1e-3


def test_a_ramp_of_chroma_is_a_ramp_in_the_picture_with_cells_where_their_pixels_are():
    """Under flat L nothing but interpolation is left; two cells from the border it is exact for straight lines."""
    height, width, rows, columns = 60, 140, 10, 14
    y, x = (np.arange(rows) + 0.5) * height / rows, (np.arange(columns) + 0.5) * width / columns
    ab = np.stack(np.broadcast_arrays(2 * y[:, None] + 0 * x, 50 - x + 0 * y[:, None]), axis=-1).astype(np.float32)
    flat = np.full((height, width), 50, np.float32)
    large = enlarged(ab, np.full((rows, columns), 50, np.float32), flat)
    py, px = np.arange(height) + 0.5, np.arange(width) + 0.5
    inner = np.s_[12:-12, 20:-20]
    assert np.abs(large[..., 0] - 2 * py[:, None])[inner].max() < 1e-3
    assert np.abs(large[..., 1] - (50 - px))[inner].max() < 1e-3


def test_the_interpolation_is_the_cubic_convolution_of_keys():
    """By the definition: a kernel of four cells, summed in a loop."""

    def kernel(d):
        d = abs(d)
        return 1.5 * d**3 - 2.5 * d**2 + 1 if d < 1 else -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0

    ab = random(5, 7, 2, low=-50, high=50)
    large = enlarged(ab, np.full((5, 7), 30, np.float32), np.full((13, 23), 30, np.float32))
    for y, x in [(0, 0), (6, 11), (12, 22), (3, 20)]:
        v, u = (y + 0.5) * 5 / 13 - 0.5, (x + 0.5) * 7 / 23 - 0.5
        expected = sum(
            kernel(v - i) * kernel(u - j) * ab[np.clip(i, 0, 4), np.clip(j, 0, 6)]
            for i in range(-2, 8)
            for j in range(-2, 10)
        )
        assert np.abs(large[y, x] - expected).max() < 1e-3


def test_mirrored_cells_give_the_mirrored_picture():
    ab, cells, lightness = random(8, 11, 2, low=-60, high=60), random(8, 11), random(90, 70)
    for mirror in (np.s_[::-1], np.s_[:, ::-1]):
        mirrored = enlarged(ab[mirror], cells[mirror], lightness[mirror])
        assert np.abs(mirrored - enlarged(ab, cells, lightness)[mirror]).max() < 1e-2


@given(st.integers(1, 50), st.integers(1, 40), st.integers(1, 60))
def test_strips_are_the_whole(strip, height, width):
    ab, cells, lightness = random(5, 6, 2, low=-60, high=60), random(5, 6), random(height, width)
    assert np.abs(enlarged(ab, cells, lightness, strip) - enlarged(ab, cells, lightness)).max() < 1e-3


@given(arrays(np.float32, (4, 4, 2), elements=st.floats(-100, 100, width=32)))
def test_twice_the_chroma_is_twice_the_chroma(ab):
    cells, lightness = random(4, 4), random(30, 20)
    assert np.allclose(enlarged(2 * ab, cells, lightness), 2 * enlarged(ab, cells, lightness), atol=1e-2)


def test_an_edge_of_chroma_comes_to_lie_on_the_edge_of_lightness():
    """The edge runs through the middle of a column of cells, so their chroma is half of either side."""
    lightness, ab = np.full((64, 64), 20, np.float32), np.full((64, 64, 2), -20, np.float32)
    lightness[:, 28:], ab[:, 28:] = 80, 20
    shape = (8, 8)
    guided = enlarged(scale.fit(ab, *shape), scale.fit(lightness, *shape), lightness)
    plain = enlarged(scale.fit(ab, *shape), np.full(shape, 50, np.float32), np.full((64, 64), 50, np.float32))
    assert (guided[:, 28] - guided[:, 27]).min() > 20 > (plain[:, 28] - plain[:, 27]).max() * 4
    assert np.abs(guided - ab).mean() < 0.5 * np.abs(plain - ab).mean()


@pytest.mark.parametrize("sample", ["chelsea.png", "coffee.png"])
@pytest.mark.parametrize("factor", [6, 12])
def test_true_chroma_comes_back_better_than_by_bicubic_interpolation(sample, factor):
    rgb = pictures.read(SAMPLES / sample).array
    lab, lightness = color.srgb_to_lab(rgb), color.lightness(color.gray(rgb))
    height, width = lightness.shape
    shape = (height // factor, width // factor)
    small = scale.fit(lab[..., 1:], *shape)
    guided = enlarged(small, scale.fit(lightness, *shape), lightness)
    bicubic = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    guided_error, bicubic_error = (((large - lab[..., 1:]) ** 2).mean() for large in (guided, bicubic))
    assert guided_error < bicubic_error
