"""Shrinking: sizes are rounded, brightness stays, and it is area averaging."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorcapsnet import scale


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
