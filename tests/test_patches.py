"""Cutting and joining: the paper's two edge rules, and joins that give back what was cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from colorcapsnet import patches

sides = st.integers(1, 40)
sizes = st.integers(1, 12)


def picture_of(height, width):
    return np.arange(height * width, dtype=np.float32).reshape(height, width)


@given(sides, sides, sizes)
def test_training_keeps_full_patches_and_drops_the_rest(height, width, n):
    picture = picture_of(height, width)
    got = patches.cut_full(picture, n)
    naive = [picture[y : y + n, x : x + n] for y in range(0, height - n + 1, n) for x in range(0, width - n + 1, n)]
    assert np.array_equal(got, np.array(naive).reshape(-1, n, n))
    assert len(got) == np.prod(patches.grid(height, width, n))


def test_color_patches_are_cut_like_gray_ones():
    picture = np.arange(20 * 30 * 3).reshape(20, 30, 3)
    assert np.array_equal(patches.cut_full(picture, 9)[..., 1], patches.cut_full(picture[..., 1], 9))


@given(sides, sides, sizes, st.data())
def test_prediction_covers_every_pixel_and_pads_right_and_below(height, width, n, data):
    stride = data.draw(st.integers(1, n))
    edge = data.draw(st.sampled_from(["zero", "reflect"]))
    picture = picture_of(height, width)
    down, right = (patches.starts(side, n, stride) for side in (height, width))
    got = patches.cut(picture, n, stride, 0, len(down), edge=edge)
    assert got.shape == (len(down), len(right), n, n)
    beyond = ((0, down[-1] + n - height), (0, right[-1] + n - width))
    padded = np.pad(picture, beyond) if edge == "zero" else np.pad(picture, beyond, mode="reflect")
    for i, y in enumerate(down):
        for j, x in enumerate(right):
            assert np.array_equal(got[i, j], padded[y : y + n, x : x + n])


@given(sides, sides, sizes, st.data())
def test_join_gives_back_what_was_cut_band_by_band(height, width, n, data):
    stride = data.draw(st.integers(1, n))
    band = data.draw(st.integers(1, 5))
    picture = data.draw(arrays(np.float32, (height, width), elements=st.floats(-100, 100, width=32)))
    rows = len(patches.starts(height, n, stride))
    cuts = (patches.cut(picture, n, stride, top, min(band, rows - top)) for top in range(0, rows, band))
    got = np.full((height, width, 2), np.nan)
    for finished, part in patches.join((np.stack([cut, -cut], axis=-1) for cut in cuts), height, width, n, stride):
        assert np.isnan(got[finished]).all()
        got[finished] = part
    assert np.allclose(got, np.stack([picture, -picture], axis=-1), atol=1e-3)


def test_side_by_side_patches_do_not_mix():
    tiles = np.arange(4, dtype=np.float32).reshape(2, 2, 1, 1, 1) * np.ones((2, 2, 2, 2, 1), np.float32)
    joined = np.concatenate([rows for _, rows in patches.join([tiles], 4, 4, 2, 2)])
    assert joined[..., 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


def test_overlapping_patches_give_a_weighted_mean():
    """Against the definition: sums of weighted patches over sums of weights, pixel by pixel."""
    rng = np.random.default_rng(0)
    n, stride, size = 5, 2, 13
    count = len(patches.starts(size, n, stride))
    tiles = rng.random((count, count, n, n, 1)).astype(np.float32)
    total, weights = np.zeros((size, size)), np.zeros((size, size))
    for i in range(count):
        for j in range(count):
            place = np.s_[i * stride : i * stride + n, j * stride : j * stride + n]
            total[place] += tiles[i, j, ..., 0] * patches.window(n, stride)
            weights[place] += patches.window(n, stride)
    joined = np.concatenate([rows for _, rows in patches.join([tiles[:2], tiles[2:]], size, size, n, stride)])
    assert np.allclose(joined[..., 0], total / weights, atol=1e-6)
