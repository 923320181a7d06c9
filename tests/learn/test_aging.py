"""Aging: what each way does to a gray picture, within the bounds that it states; repeatable, and never too much."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorcapsnet.learn import aging

seeds = st.integers(0, 2**32 - 1)

WAYS = [aging.soften, aging.expose, aging.fade, aging.grain, aging.damage]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_of_aging_changes_a_picture_and_keeps_its_size(way):
    light = np.random.default_rng(0).random((40, 56)).astype(np.float32)
    aged = way(light, np.random.default_rng(1))
    assert aged.shape == light.shape
    assert aged.dtype == np.float32
    assert np.isfinite(aged).all()
    assert 0.001 < np.abs(aged - light).mean() < 0.4


@given(seeds)
def test_aging_is_repeatable_and_leaves_something_to_see(seed):
    gray = np.tile(np.linspace(0, 255, 48).astype(np.uint8), (32, 1))
    one, other = (aging.age(gray, np.random.default_rng(seed)) for _ in range(2))
    assert np.array_equal(one, other)
    assert one.shape == gray.shape
    assert one[:, 36:].mean() > one[:, :12].mean() + 20


def test_the_picture_that_is_aged_stays_as_it_was():
    gray = np.random.default_rng(0).integers(0, 256, (40, 56)).astype(np.uint8)
    before = gray.copy()
    for seed in range(20):
        aging.age(gray, np.random.default_rng(seed))
    assert np.array_equal(gray, before)


def test_some_pictures_are_hardly_aged_and_most_are():
    gray = np.tile(np.linspace(0, 255, 48).astype(np.uint8), (32, 1))
    off = [np.abs(aging.age(gray, np.random.default_rng(seed)) - gray.astype(float)).mean() for seed in range(200)]
    assert min(off) < 1
    assert 5 < np.median(off) < 50


@given(seeds)
def test_exposure_is_a_rising_curve_of_gamma_and_contrast(seed):
    light = np.linspace(0, 1, 101, dtype=np.float32)[None]
    exposed = aging.expose(light, np.random.default_rng(seed))[0]
    contrast = exposed[-1] - exposed[0]
    gamma = np.log((exposed[50] - exposed[0]) / contrast) / np.log(0.5)
    assert 0.7 <= contrast <= 1.43
    assert 0.6 <= gamma <= 1.7
    assert np.allclose(exposed, (light[0] ** gamma - 0.5) * contrast + 0.5, atol=1e-4)


@given(seeds)
def test_fading_raises_blacks_and_sinks_whites(seed):
    black, white = (aging.fade(np.full((8, 9), value, np.float32), np.random.default_rng(seed)) for value in (0, 1))
    assert 0 <= black.min() <= black.max() <= 0.3
    assert 0.7 * 0.85 - 1e-6 <= white.min() <= white.max() <= 1
    assert (white > black).all()


@given(seeds)
def test_grain_is_noise_around_the_picture_and_strongest_in_the_middle_tones(seed):
    middle, dark = (
        aging.grain(np.full((64, 64), value, np.float32), np.random.default_rng(seed)) - np.float32(value)
        for value in (0.5, 0)
    )
    assert abs(middle.mean()) < 0.01
    assert 0.006 < middle.std() < 0.07
    assert middle.std() == pytest.approx(2.5 * dark.std(), rel=0.01)


@given(seeds)
def test_softening_is_a_gaussian_that_keeps_the_mean(seed):
    point = np.zeros((31, 31), np.float32)
    point[15, 15] = 1
    soft = aging.soften(point, np.random.default_rng(seed))
    sigma = np.sqrt((soft.sum(axis=0) * (np.arange(31) - 15) ** 2).sum())
    assert soft.sum() == pytest.approx(1, abs=1e-4)
    assert 0.28 < sigma < 1.65  # a narrow Gaussian that is cut into pixels is a little narrower


@given(seeds)
def test_damage_is_thin(seed):
    hurt = aging.damage(np.full((96, 96), 0.5, np.float32), np.random.default_rng(seed))
    assert 0 < (np.abs(hurt - 0.5) > 0.02).mean() < 0.25


@given(seeds)
def test_jpeg_is_that_of_its_quality(seed):
    gray = np.random.default_rng(0).integers(0, 256, (17, 23)).astype(np.uint8)
    quality = int(np.random.default_rng(seed).integers(30, 91))
    expected = cv2.imdecode(cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(aging.compress(gray, np.random.default_rng(seed)), expected)
