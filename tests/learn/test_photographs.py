"""Photographs in batches: read in place, cropped, mirrored; a batch depends on its number and the seed alone."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorcapsnet import color, pictures
from colorcapsnet.errors import DataError
from colorcapsnet.learn import data, photographs, shards
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
    sets = {name: Photographs(prepared(tmp_path / name, count=count)) for name, count in (("a", 4), ("b", 5))}
    return Mixture(PORTIONS, sets, seed=1)


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


def test_photographs_of_several_shards_come_in_the_order_of_the_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "PICTURES_PER_SHARD", 2)
    several, one = Photographs(prepared(tmp_path / "several", count=5)), tmp_path / "one"
    monkeypatch.undo()
    whole = Photographs(prepared(one, count=5))
    assert len(several) == len(whole) == 5
    assert all(np.array_equal(several[n], whole[n]) for n in range(5))


def test_a_set_of_nothing_is_refused(tmp_path):
    write_pictures(tmp_path / "in", ["a.png"], gray=True, size=(80, 100))
    with pytest.raises(DataError, match=r"out holds no photographs: all were left out \(\{'gray': 1\}\)"):
        Photographs(prepare(Preparation(((str(tmp_path / "in"), 0),), Whole(64)), tmp_path / "out", jobs=1))


@pytest.mark.parametrize("length", [0, 700, 1536, 30_000])
def test_a_set_that_was_cut_short_is_refused_by_name(tmp_path, length):
    held = prepared(tmp_path)
    os.truncate(tmp_path / "out/shard-000000.tar", length)
    with pytest.raises(DataError, match=r"shard-000000\.tar is damaged \(.*\); prepare the set again"):
        len(Photographs(held))


def test_a_set_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"nothing has no manifest\.json"):
        photographs.open_sets(tmp_path, ["nothing"])


def test_a_batch_depends_on_its_number_and_the_seed_alone(mixture):
    again = Mixture(PORTIONS, mixture.sets, seed=1)
    again.batch(3)
    for number in (0, 7):
        for one, other in zip(mixture.batch(number), again.batch(number), strict=True):
            assert np.array_equal(one, other)
    assert not np.array_equal(mixture.batch(0)[1], Mixture(PORTIONS, mixture.sets, seed=2).batch(0)[1])
    assert len({mixture.batch(number)[0].tobytes() for number in range(8)}) == 8


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


def test_crops_come_from_sets_as_often_as_a_portion_says():
    sets = {name: [np.full((70, 70, 3), gray, np.uint8)] for name, gray in (("a", 10), ("b", 200))}
    mixture = Mixture(PORTIONS, sets, aged=0.0)
    large = [gray for gray, _ in (mixture.batch(number) for number in range(200)) if gray.shape[1] == 64]
    assert 0.65 < np.mean(np.concatenate(large) == 200) < 0.85


def test_gray_and_true_colors_of_a_batch_belong_together(mixture):
    """Also where a crop is mirrored: the true lightness of a cell is that of the gray above it."""
    fresh = Mixture(PORTIONS, mixture.sets, seed=1, aged=0.0)
    for number in range(6):
        gray, lab = fresh.batch(number)
        assert (gray.dtype, lab.dtype) == (np.uint8, np.float32)
        for one, truth in zip(gray, lab, strict=True):
            mean = one.reshape(one.shape[0] // 4, 4, -1, 4).mean(axis=(1, 3))
            assert np.abs(color.lightness(np.rint(mean).astype(np.uint8)) - truth[0]).max() < 0.5


def test_crops_are_mirrored_half_of_the_time(tmp_path):
    """Crops of one photograph that is dark on the left."""
    ramp = np.broadcast_to(np.linspace(0, 200, 64).astype(np.uint8)[:, None], (64, 64, 3)).copy()
    ramp[..., 0] //= 2  # in color
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/ramp.png"), ramp)
    held = Photographs(prepare(Preparation(((str(tmp_path / "in"), 0),), Whole(64)), tmp_path / "out", jobs=1))
    gray, _ = Mixture((Portion(1, (("a", 1.0),), crop=32, batch=200),), {"a": held}).batch(0)
    mirrored = gray[:, :, 0].mean(axis=1) > gray[:, :, -1].mean(axis=1)
    assert 70 <= mirrored.sum() <= 130


def test_the_hash_tells_portions_and_sets_apart(mixture):
    other = Mixture(PORTIONS[:1], mixture.sets)
    assert mixture.sha256 != other.sha256
    assert mixture.sha256 == Mixture(PORTIONS, mixture.sets, seed=9).sha256
    assert mixture.sha256 != Mixture(PORTIONS, mixture.sets, aged=0.1).sha256
    assert mixture.sha256 != Mixture(PORTIONS, dict.fromkeys("ab", mixture.sets["a"])).sha256


def test_cells_hold_the_lightness_of_mean_gray_and_mean_ab():
    picture = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    found = photographs.cells(picture)
    assert found.shape == (3, 2, 3)
    block = picture[4:8, 8:12].reshape(-1, 3).astype(float)
    assert found[1:, 1, 2] == pytest.approx(block[:, 1:].mean(axis=0) - 128, abs=1e-3)
    near = color.lightness(np.array([[block[:, 0].mean() - 0.5, block[:, 0].mean() + 0.5]]).round().astype(np.uint8))[0]
    assert near.min() - 0.5 <= found[0, 1, 2] <= near.max() + 0.5


def test_a_cut_is_shrunk_by_area_averaging_and_enlarged_bilinearly():
    part = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    mean = part.reshape(32, 2, 32, 3, 3).mean(axis=(1, 3))
    assert np.abs(photographs.resized(part, 32) - mean).max() <= 0.51
    ramp = np.broadcast_to(np.arange(0, 160, 10, dtype=np.uint8)[:, None], (16, 16, 3))
    between = np.clip((np.arange(32) + 0.5) / 2 - 0.5, 0, 15) * 10
    assert np.abs(photographs.resized(ramp, 32) - between[:, None]).max() <= 0.51


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
