"""Photographs in batches: read in place, cropped, mirrored, aged; a batch depends on its number and the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorcapsnet import color, pictures
from colorcapsnet.errors import DataError
from colorcapsnet.learn import aging, data, photographs
from colorcapsnet.learn.data import Sampling, Whole
from colorcapsnet.learn.photographs import Mixture, Photographs, Portion
from colorcapsnet.learn.shards import Preparation, prepare
from tests.learn import write_pictures

PORTIONS = (
    Portion(share=2, sets=(("a", 1.0), ("b", 3.0)), crop=64, batch=3),
    Portion(share=1, sets=(("b", 1.0),), crop=32, batch=5, least=0.9),
)


def prepared(root, sampling=None, count=4):
    write_pictures(root / "in", [f"{n}.png" for n in range(count)], size=(80, 100))
    return prepare(Preparation(((str(root / "in"), 0),), sampling or Whole(64)), root / "out", jobs=1)


@pytest.fixture
def mixture(tmp_path):
    return Mixture(PORTIONS, {name: Photographs(prepared(tmp_path / name)) for name in "ab"}, seed=1)


def test_photographs_are_those_that_were_prepared_shrunk_to_the_shorter_side(tmp_path):
    held = Photographs(prepared(tmp_path, count=3))
    assert len(held) == 3
    found = {held[n].tobytes() for n in range(3)}
    for path in (tmp_path / "in").iterdir():
        coded = data.coded(pictures.read(path).array)
        assert Whole(64).cut(coded, "0")[0].tobytes() in found
    assert held[0].shape == (64, 80, 3)


def test_patches_are_not_photographs(tmp_path):
    with pytest.raises(DataError, match="holds patches"):
        Photographs(prepared(tmp_path, Sampling(9)))


def test_a_batch_depends_on_its_number_and_the_seed_alone(mixture):
    again = Mixture(PORTIONS, mixture.sets, seed=1)
    again.batch(3)
    for number in (0, 7):
        for one, other in zip(mixture.batch(number), again.batch(number), strict=True):
            assert np.array_equal(one, other)
    assert not np.array_equal(mixture.batch(0)[1], Mixture(PORTIONS, mixture.sets, seed=2).batch(0)[1])


def test_batches_have_the_forms_of_their_portions_as_often_as_their_shares(mixture):
    forms = [tuple(array.shape for array in mixture.batch(number)) for number in range(60)]
    large = forms.count(((3, 64, 64), (3, 3, 16, 16)))
    assert large + forms.count(((5, 32, 32), (5, 3, 8, 8))) == 60
    assert 30 <= large <= 50


def test_only_the_gray_is_aged(mixture):
    aged, fresh = (Mixture(PORTIONS[:1], mixture.sets, seed=1, aged=share) for share in (1.0, 0.0))
    grays, truths = zip(aged.batch(0), fresh.batch(0), strict=True)
    assert not np.array_equal(*grays)
    assert np.array_equal(truths[0][0], truths[1][0])  # of the first crop: later ones draw from other chances


def test_the_hash_tells_portions_and_sets_apart(mixture):
    other = Mixture(PORTIONS[:1], mixture.sets)
    assert mixture.sha256 != other.sha256
    assert mixture.sha256 == Mixture(PORTIONS, mixture.sets, seed=9).sha256


def test_cells_hold_the_lightness_of_mean_gray_and_mean_ab():
    picture = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    found = photographs.cells(picture)
    assert found.shape == (3, 2, 3)
    block = picture[4:8, 8:12].reshape(-1, 3).astype(float)
    assert found[1:, 1, 2] == pytest.approx(block[:, 1:].mean(axis=0) - 128, abs=1e-3)
    near = color.lightness(np.array([[block[:, 0].mean() - 0.5, block[:, 0].mean() + 0.5]]).round().astype(np.uint8))[0]
    assert near.min() - 0.5 <= found[0, 1, 2] <= near.max() + 0.5


@given(st.integers(3, 60), st.integers(3, 60), st.floats(0.1, 1), st.integers(0, 2**32 - 1))
def test_a_cut_lies_inside_and_is_nearly_square(height, width, least, seed):
    photograph = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    part = photographs.cut_out(photograph, least, np.random.default_rng(seed))
    tall, wide = part.shape[:2]
    assert 1 <= tall <= height
    assert 1 <= wide <= width
    assert np.shares_memory(part, photograph)
    assert min(tall, wide) >= int(0.8 * least * min(height, width))


def test_validation_pictures_are_at_working_size(tmp_path):
    (gray, lab), *rest = photographs.validation_pictures(Photographs(prepared(tmp_path)), 2, 64)
    assert len(rest) == 1
    assert gray.shape == (64, 64)
    assert lab.shape == (3, 16, 16)


WAYS = [aging.soften, aging.expose, aging.fade, aging.grain, aging.damage]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_of_aging_changes_a_picture_and_keeps_its_size(way):
    light = np.random.default_rng(0).random((40, 56)).astype(np.float32)
    aged = way(light, np.random.default_rng(1))
    assert aged.shape == light.shape
    assert aged.dtype == np.float32
    assert np.isfinite(aged).all()
    assert 0.001 < np.abs(aged - light).mean() < 0.4


@given(st.integers(0, 2**32 - 1))
def test_aging_is_repeatable_and_leaves_something_to_see(seed):
    gray = np.tile(np.linspace(0, 255, 48).astype(np.uint8), (32, 1))
    one, other = (aging.age(gray, np.random.default_rng(seed)) for _ in range(2))
    assert np.array_equal(one, other)
    assert one.shape == gray.shape
    assert one[:, 36:].mean() > one[:, :12].mean() + 20


def test_jpeg_keeps_the_size():
    gray = np.random.default_rng(0).integers(0, 256, (17, 23), np.uint8)
    assert aging.compress(gray, np.random.default_rng(0)).shape == gray.shape
