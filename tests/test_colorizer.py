"""The main job: same kind out as in, lightness kept to the last code, the paper's manner by a switch."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from colorcapsnet import Colorizer, Picture, color
from colorcapsnet.errors import ModelError, PictureError
from tests.tiny import COLOR, write_model

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(write_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def paper():
    return Colorizer("paper")


def random_gray(height, width, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (height, width)).astype(dtype)


def test_a_path_or_bytes_give_a_picture(tiny):
    path = SAMPLES / "chelsea.png"
    for given_ in (path, str(path), path.read_bytes()):
        result = Colorizer(tiny).colorize(given_)
        assert isinstance(result, Picture)
        assert result.array.shape == (300, 451, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_array_gives_an_array_of_its_depth(tiny, dtype):
    gray = random_gray(20, 31, dtype)
    result = Colorizer(tiny).colorize(gray)
    assert result.shape == (20, 31, 3)
    assert result.dtype == dtype


def test_alpha_comes_along(tiny):
    rgba = np.dstack([random_gray(12, 10)] * 3 + [random_gray(12, 10)])
    assert np.array_equal(Colorizer(tiny).colorize(rgba)[..., 3], rgba[..., 3])


def test_a_pil_image_gives_a_pil_image(tiny):
    image = PIL.Image.fromarray(random_gray(20, 31))
    result = Colorizer(tiny).colorize(image)
    assert isinstance(result, PIL.Image.Image)
    assert (result.size, result.mode) == (image.size, "RGB")


def test_a_color_picture_is_made_gray_first(paper):
    rgb = cv2.cvtColor(cv2.imread(str(SAMPLES / "chelsea.png")), cv2.COLOR_BGR2RGB)[:60, :80]
    assert np.array_equal(paper.colorize(rgb), paper.colorize(color.gray(rgb)))


@settings(max_examples=25)
@given(st.data())
def test_every_gray_code_comes_back_from_the_result(paper, data):
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16]))
    shape = data.draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    gray = data.draw(arrays(dtype, shape))
    assert np.array_equal(color.gray_of(paper.colorize(gray)), gray)


def test_the_model_gives_the_color(tiny):
    gray = np.full((20, 20), 128, np.uint8)
    lab = color.srgb_to_lab(Colorizer(tiny).colorize(gray))
    assert np.abs(lab[..., 1:] - (np.array(COLOR) - 128)).max() < 1


@pytest.mark.parametrize("stride", [1, 2, 4, 9])
def test_the_stride_changes_nothing_where_patches_agree(tiny, stride):
    gray = random_gray(25, 33)
    assert np.array_equal(Colorizer(tiny, stride=stride).colorize(gray), Colorizer(tiny, stride=9).colorize(gray))


def test_as_published_is_the_papers_manner_written_out(paper):
    """Zeros beyond the border, patches side by side, 8-bit Lab redrawn by the network, clipped to sRGB."""
    gray = cv2.imread(str(SAMPLES / "chelsea.png"), cv2.IMREAD_GRAYSCALE)[:40, :50]
    padded = np.zeros((45, 54), np.uint8)
    padded[:40, :50] = gray
    code = np.zeros((45, 54, 3), np.uint8)
    for y in range(0, 45, 9):
        for x in range(0, 54, 9):
            patch = padded[None, y : y + 9, x : x + 9].astype(np.float32) / 255
            code[y : y + 9, x : x + 9] = np.rint(paper.network(patch)[0] * 255)
    expected = color.quantize(color.lab_to_srgb(color.decode(code[:40, :50])))
    result = Colorizer("paper", as_published=True).colorize(gray)
    assert np.abs(result.astype(int) - expected).max() <= 1  # a code at the edge of rounding
    assert (result != expected).mean() < 1e-3


def test_a_large_picture_is_colored_like_its_parts(paper):
    """Bands, batches and joins leave no trace: far from the cut, a part is colored as in the whole."""
    gray = random_gray(40, 1000)
    whole, part = paper.colorize(gray), paper.colorize(gray[:, 90:630])
    assert np.abs(whole[:, 99:600].astype(int) - part[:, 9:510]).max() <= 1


def test_progress_adds_up_to_one_picture(paper):
    shares = []
    paper.colorize(random_gray(100, 500), shares.append)
    assert len(shares) > 3
    assert sum(shares) == pytest.approx(1)


def test_the_round_trip_keeps_lightness_and_nearly_all_color(paper):
    rgb = cv2.cvtColor(cv2.imread(str(SAMPLES / "chelsea.png")), cv2.COLOR_BGR2RGB)
    back = paper.round_trip(rgb)
    assert np.array_equal(color.gray_of(back), color.gray(rgb))
    assert np.abs(color.srgb_to_lab(back) - color.srgb_to_lab(rgb))[..., 1:].mean() < 1


def test_the_same_picture_gives_the_same_bytes(paper):
    gray = random_gray(50, 60)
    assert np.array_equal(paper.colorize(gray), Colorizer("paper").colorize(gray))


@pytest.mark.parametrize("stride", [0, -1, 10])
def test_an_impossible_stride_is_refused(tiny, stride):
    with pytest.raises(ValueError, match=f"the stride is 1 to 9 .*, not {stride}"):
        Colorizer(tiny, stride=stride)


def test_what_is_no_picture_is_refused(tiny):
    with pytest.raises(PictureError, match="shape"):
        Colorizer(tiny).colorize(np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(PictureError, match="float32"):
        Colorizer(tiny).colorize(np.zeros((3, 4), np.float32))
    with pytest.raises(ModelError, match="no model 'deepest'"):
        Colorizer("deepest")


def test_a_picture_saved_as_png_keeps_every_code(paper, tmp_path):
    gray = random_gray(30, 30, np.uint16)
    Picture(paper.colorize(gray)).save(tmp_path / "out.png")
    back = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert np.array_equal(color.gray_of(np.ascontiguousarray(back)), gray)
