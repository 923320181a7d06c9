"""The color alone: a layer that an editor lays over the photograph, and a and b of CIE Lab for programs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.color import rgb2lab

from colorcapsnet import Colorizer, Picture, color, layers, pictures
from colorcapsnet.cli import main
from colorcapsnet.errors import PictureError
from colorcapsnet.hints import Capsule, Hints, Point
from tests.memory import PEAK
from tests.tiny import write_model, write_photograph_model

SAMPLES = Path(__file__).parents[1] / "samples"
SIZE = (90, 120)
TOP = 65535
DEPTHS = [np.uint8, np.uint16]


def linear_light(below, layer):
    """The mode as it is published: burn below the middle, dodge above it; codes of 16 bits, unrounded."""
    base, blend = below / TOP, layer / TOP
    burnt, dodged = base + 2 * blend - 1, base + 2 * (blend - 0.5)
    return np.clip(np.where(blend <= 0.5, burnt, dodged), 0, 1) * TOP


def laid_over(picture, layer):
    """What an editor shows of a layer over a picture that was set to 16 bits."""
    below = picture.array.astype(float) * (257 if picture.array.dtype == np.uint8 else 1)
    return linear_light(below if below.ndim == 3 else below[..., None], layer.array.astype(float))


@st.composite
def photographs_in_color(draw):
    """A photograph of any depth, gray or not, and any colors of any depth."""
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    bands = draw(st.sampled_from([(), (3,)]))
    below = draw(arrays(draw(st.sampled_from(DEPTHS)), (*size, *bands)))
    return Picture(below), Picture(draw(arrays(draw(st.sampled_from(DEPTHS)), (*size, 3))))


@settings(max_examples=200)
@given(photographs_in_color())
def test_a_layer_over_the_photograph_is_the_colored_picture_to_one_code_of_16_bits(pair):
    photograph, colored = pair
    layer = layers.linear_light(photograph, colored)
    assert layer.array.dtype == np.uint16
    expected = colored.array.astype(float) * (257 if colored.array.dtype == np.uint8 else 1)
    assert np.abs(laid_over(photograph, layer) - expected).max() <= 1 + 1e-6


@given(arrays(np.uint16, (5, 7)))
def test_where_nothing_changes_the_layer_is_the_middle_gray_that_editors_skip(gray):
    layer = layers.linear_light(Picture(gray), Picture(np.dstack([gray] * 3)))
    assert (layer.array == 0x8000).all()


@pytest.mark.parametrize("sample", ["chelsea.png", "astronaut.png", "coffee.png"])
@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_an_editor_that_has_8_bits_is_one_of_its_codes_off(sample, strength):
    gray = Picture(pictures.read(SAMPLES / sample).gray)
    deep = layers.sixteen_bits(gray)
    colored = Colorizer().colorize(deep, strength=strength)
    layer = color.eight_bits(layers.linear_light(deep, colored).array).astype(float)
    shown = np.clip(gray.array[..., None] + 2 * layer - 255, 0, 255)
    assert np.abs(shown - colored.array / 257).max() <= 1 + 1e-6


def test_a_layer_is_transparent_where_the_photograph_is_wholly_so_and_else_opaque():
    alpha = np.array([[0, 1, 200, 255]], np.uint8)
    photograph = Picture(np.full((1, 4), 90, np.uint8), alpha)
    layer = layers.linear_light(photograph, Picture(np.full((1, 4, 3), 90, np.uint8)))
    assert layer.alpha.tolist() == [[0, TOP, TOP, TOP]]
    assert layers.linear_light(Picture(photograph.array), Picture(np.full((1, 4, 3), 90, np.uint8))).alpha is None


def test_sixteen_bits_are_the_same_shades_and_stay():
    shallow = Picture(np.arange(256, dtype=np.uint8)[None], np.full((1, 256), 7, np.uint8))
    deep = layers.sixteen_bits(shallow)
    assert np.array_equal(color.eight_bits(deep.array), shallow.array)
    assert (deep.array.max(), deep.alpha.max()) == (TOP, 7 * 257)
    assert layers.sixteen_bits(deep) is deep


@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 4)])
def test_colors_of_another_picture_are_refused(shape):
    with pytest.raises(PictureError, match=r"give the photograph in color"):
        layers.linear_light(Picture(np.zeros((4, 4), np.uint8)), Picture(np.zeros(shape, np.uint8)))


@given(arrays(np.uint16, (300, 3, 3)))
def test_a_and_b_are_scikit_images(rgb):
    found = layers.ab(Picture(rgb), Picture(rgb)).array
    assert found.dtype == np.float32
    assert np.abs(found - rgb2lab(rgb / TOP)[..., 1:]).max() < 0.02


# On the command line


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A folder with photographs and tiny networks of both kinds."""
    monkeypatch.chdir(tmp_path)
    for name, sample in (("a.png", "chelsea.png"), ("b.jpg", "coffee.png"), ("in/deep/c.webp", "astronaut.png")):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(name, cv2.resize(cv2.imread(str(SAMPLES / sample)), SIZE[::-1]))
    write_photograph_model(tmp_path)
    write_model(tmp_path)


def run(*arguments, code=0):
    model = () if "--model" in arguments else ("--model", "tiny-photo.onnx")
    done = CliRunner().invoke(main, [str(each) for each in ("colorize", *arguments, *model)])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def files():
    return {path.as_posix() for path in Path().rglob("*") if path.is_file()}


def colors(name, hints=None, model="tiny-photo.onnx"):
    """The picture in color at 16 bits."""
    deep = layers.sixteen_bits(pictures.read(name))
    colorizer = Colorizer(model)
    return colorizer.colorize(deep) if hints is None else colorizer.colorize(deep, hints=hints)


def lies_right(layer, photograph, colored):
    assert layer.array.dtype == np.uint16
    return np.abs(laid_over(photograph, layer) - colored.array).max() <= 1 + 1e-6


@pytest.mark.parametrize("model", ["tiny.onnx", "tiny-photo.onnx"])
@pytest.mark.parametrize(("to", "written"), [((), "b-layer.png"), (("-o", "x.tif"), "x.tif")])
def test_a_layer_of_16_bits_is_written_beside_a_jpeg(model, to, written):
    assert run("b.jpg", "--chroma-only", "layer", "--model", model, *to)[0].split() == [written]
    assert lies_right(pictures.read(written), pictures.read("b.jpg"), colors("b.jpg", model=model))


def test_every_decision_reaches_the_layer():
    Path("h.json").write_text('{"version": 1, "points": [{"pixel": [60, 40], "color": [30, -20]}]}')
    options = ["--hints", "h.json", "--reference", "b.jpg", "--do-no-harm", 0.7, "--recolor", "1=#a03020", "--vivid"]
    decided = Hints(
        points=[Point(60, 40, (30, -20))],
        recolor=[Capsule(1, "#a03020")],
        reference="b.jpg",
        strength=2.0,
        do_no_harm=0.7,
    )
    run("a.png", "-o", "x.png", "--chroma-only", "layer", *options)
    assert lies_right(pictures.read("x.png"), pictures.read("a.png"), colors("a.png", decided))
    run("a.png", "-o", "x.tif", "--chroma-only", "ab", *options)
    colored = colors("a.png", decided).array
    assert np.abs(tifffile.imread("x.tif") - rgb2lab(colored / TOP)[..., 1:]).max() < 0.02


def test_candidates_are_layers_and_their_sheet_shows_pictures():
    names = run("a.png", "--candidates", 3, "--chroma-only", "layer")[0].split()
    assert names == ["a-layer-1.png", "a-layer-2.png", "a-layer-3.png", "a-layer-sheet.jpg"]
    canvas = Colorizer("tiny-photo.onnx").open(layers.sixteen_bits(pictures.read("a.png")))
    for name, candidate in zip(names, canvas.candidates(3), strict=False):
        assert lies_right(pictures.read(name), pictures.read("a.png"), candidate)
    run("a.png", "-o", "x.png", "--candidates", 3)
    sheets = [pictures.read(name).array.astype(int) for name in ("a-layer-sheet.jpg", "x-sheet.jpg")]
    of_pictures = [sheet[60:].mean() for sheet in sheets]
    assert abs(of_pictures[0] - of_pictures[1]) < 1
    assert run("a.png", "--candidates", 2, "--chroma-only", "ab")[0].split()[:2] == ["a-ab-1.tif", "a-ab-2.tif"]


@pytest.mark.parametrize(("form", "suffix"), [("layer", "png"), ("ab", "tif")])
def test_a_folder_of_colors_stands_beside_the_folder_of_pictures_and_is_resumed(form, suffix):
    run("in")
    assert "1 colored" in run("in", "--chroma-only", form)[1]
    assert {name for name in files() if name.startswith("in-")} == {
        "in-color/deep/c.webp", f"in-{form}/deep/c.{suffix}",
    }  # fmt: skip
    assert "1 skipped" in run("in", "--chroma-only", form)[1]


def test_a_and_b_are_two_bands_of_float_as_large_as_the_upright_photograph():
    upright = PIL.Image.fromarray(pictures.read("a.png").gray)
    exif = PIL.Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    upright.transpose(PIL.Image.Transpose.ROTATE_90).save("turned.jpg", exif=exif, dpi=(300, 300), quality=100)
    run("turned.jpg", "--chroma-only", "ab")
    with tifffile.TiffFile("turned-ab.tif") as file:
        tags = file.pages[0].tags
        assert (tags["SamplesPerPixel"].value, tags["BitsPerSample"].value) == (2, (32, 32))
        assert [int(each) for each in tags["ExtraSamples"].value] == [0]  # data, not opacity
        assert (tags["Make"].value, tags["Orientation"].value) == ("Maker", 1)
        assert tags["XResolution"].value[0] / tags["XResolution"].value[1] == pytest.approx(300)
        assert b"<colorcapsnet:chromaOnly>ab<" in tags["XMP"].value
        chroma = file.asarray()
    assert (chroma.shape, chroma.dtype) == ((*SIZE, 2), np.float32)
    assert np.abs(chroma - color.srgb_to_lab(colors("turned.jpg").array)[..., 1:]).max() < 1e-4
    assert np.hypot(*np.moveaxis(chroma, -1, 0)).max() > 5


def test_gray_and_a_and_b_make_the_colored_picture_again():
    run("a.png", "--chroma-only", "ab")
    lightness = color.lightness(layers.sixteen_bits(pictures.read("a.png")).gray)
    again = color.lab_to_srgb(np.dstack([lightness, tifffile.imread("a-ab.tif")]))
    assert np.abs(again * TOP - colors("a.png").array).max() < 30


def test_what_travels_beside_the_pixels_comes_along():
    from dataclasses import replace

    exif = PIL.Image.Exif()
    exif[0x010F] = "Maker"
    profile = bytes(pictures.pyvips.Operation.call("profile_load", "srgb"))
    about = pictures.Metadata(icc=profile, exif=exif.tobytes(), xmp=b"", dpi=(300, 300))
    rgb = pictures.read("a.png").array
    replace(Picture(rgb, np.full(SIZE, 255, np.uint8)), metadata=about).save("s.tif")
    run("s.tif", "--chroma-only", "layer")
    layer = pictures.read("s-layer.png")
    assert (layer.metadata.icc, layer.metadata.dpi) == (profile, (300, 300))
    assert b"Maker" in layer.metadata.exif
    assert b"<colorcapsnet:chromaOnly>layer<" in layer.metadata.xmp
    assert (layer.alpha == TOP).all()


def test_a_layer_goes_through_a_pipe():
    command = [sys.executable, "-m", "colorcapsnet", "colorize", "-", "-o", "-", "--model", "tiny-photo.onnx"]
    done = subprocess.run([*command, "--chroma-only", "layer"], input=Path("b.jpg").read_bytes(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert lies_right(pictures.read(done.stdout), pictures.read("b.jpg"), colors("b.jpg"))


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        (["b.jpg", "-o", "x.jpg", "--chroma-only", "layer"], "jpg cannot hold --chroma-only layer at its full", 1),
        (["a.png", "--format", "webp", "--chroma-only", "layer"], "webp cannot hold --chroma-only layer", 1),
        (["a.png", "-o", "x.png", "--chroma-only", "ab"], "png cannot hold --chroma-only ab at its", 1),
        (["in", "--format", "png", "--chroma-only", "ab"], "png cannot hold --chroma-only ab", 1),
        (["a.png", "-o", "x.gif", "--chroma-only", "layer"], "gif cannot hold --chroma-only layer", 1),
        (["a.png", "-o", "x.tif", "--format", "png", "--chroma-only", "layer"], "make them agree", 1),
        (["a.png", "in", "-o", "x.png", "--chroma-only", "layer"], "x.png is the name of one picture", 1),
        (["a.png", "--model", "paper", "--as-published", "--chroma-only", "layer"], "redraws lightness", 2),
        (["-", "-o", "-", "--chroma-only", "ab"], "through a pipe goes one picture", 2),
        (["a.png", "--chroma-only", "lab"], "'lab' is not one of 'layer', 'ab'", 2),
    ],
)  # fmt: skip
def test_what_cannot_hold_the_color_alone_is_refused_before_anything_is_written(options, message, code):
    before = files()
    out, err = run(*options, code=code)
    assert message in err
    assert (out, files()) == ("", before)


@pytest.mark.parametrize("form", ["layer", "ab"])
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (70, 1)])
@pytest.mark.parametrize("value", [0, 255])
def test_the_smallest_and_blackest_pictures_have_colors_too(form, size, value):
    Picture(np.full(size, value, np.uint8)).save("x.png")
    (name,) = run("x.png", "--chroma-only", form)[0].split()
    if form == "layer":
        assert lies_right(pictures.read(name), pictures.read("x.png"), colors("x.png"))
    else:
        assert np.abs(tifffile.imread(name).reshape(*size, 2)).max() < 1e-3


MEASURED = f"""
import sys
from click.testing import CliRunner
from colorcapsnet.cli import main
done = CliRunner().invoke(main, ["colorize", "big.tif", "--model", "tiny-photo.onnx", "--chroma-only", sys.argv[1]])
assert done.exit_code == 0, done.output
print({PEAK} // 1024)
"""


@pytest.mark.medium
@pytest.mark.parametrize("form", ["layer", "ab"])
def test_a_large_photograph_takes_memory_in_proportion(form):
    """16 bits of gray, of color, and of the layer or of a and b: 2 + 6 + 6 or 8 bytes a pixel, and what is fixed."""
    Picture(np.tile(np.arange(4000, dtype=np.uint16) * 16, (4000, 1))).save("big.tif")
    done = subprocess.run([sys.executable, "-c", MEASURED, form], capture_output=True, text=True, check=True)
    pixels = 4000 * 4000
    assert int(done.stdout) < 300 + pixels * 18 / 2**20
