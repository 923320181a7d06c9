"""Every option over its whole range, together with the others, on pictures of every kind, by the command line."""

from __future__ import annotations

import json
import tempfile
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from colorcapsnet import Colorizer, Picture, color, layers, pictures
from colorcapsnet.cli import main
from tests.tiny import write_model, write_photograph_model

EXACT, LOSSY = ("png", "tiff"), ("jpg", "webp")
hexes = st.integers(0, 0xFFFFFF).map("#{:06x}".format)
chromas = st.tuples(st.floats(-128, 127), st.floats(-128, 127)).map(list)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Tiny networks of patches and of photographs, by kind."""
    folder = tmp_path_factory.mktemp("models")
    return {"patch": str(write_model(folder)), "photograph": str(write_photograph_model(folder))}


@st.composite
def shapes(draw):
    """A single pixel, a row, a column, or a small picture."""
    short, long = st.integers(1, 40), st.integers(1, 300)
    return draw(st.sampled_from([st.just((1, 1)), st.tuples(st.just(1), long), st.tuples(long, st.just(1)),
                                 st.tuples(short, short)]).flatmap(lambda shape: shape))  # fmt: skip


@st.composite
def any_picture(draw, alpha=True):
    """Gray or in color, 8 or 16 bits, opaque or not; all black, all white, or anything."""
    size, kind = draw(shapes()), draw(st.sampled_from([np.uint8, np.uint16]))
    top = np.iinfo(kind).max
    shape = (*size, *draw(st.sampled_from([(), (3,)])))
    filled = st.sampled_from([0, top]).map(lambda value: np.full(shape, value, kind))
    noise = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(0, top + 1, shape, kind))
    opacity = draw(st.none() | arrays(kind, size)) if alpha else None
    return Picture(draw(filled | noise), opacity)


@st.composite
def decisions(draw, width, height):
    """Options that one picture of this size can be given, and the content of the file of hints."""
    x, y = st.integers(0, width - 1), st.integers(0, height - 1)
    place = st.one_of(
        st.tuples(x, y).map(lambda at: {"pixel": list(at)}),
        st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda at: {"relative": list(at)}),
    )
    given_color = (hexes | chromas).map(lambda it: {"color": it})
    told = {"version": 1}
    points = draw(st.lists(st.tuples(place, given_color).map(lambda two: two[0] | two[1]), max_size=4))
    whole = st.integers(0, 2).map(lambda number: {"capsule": number})
    recolors = draw(st.lists(st.tuples(place | whole, given_color).map(lambda two: two[0] | two[1]), max_size=3))
    told |= ({"points": points} if points else {}) | ({"recolor": recolors} if recolors else {})
    told |= {"size": [width, height]} if draw(st.booleans()) else {}
    where = st.integers(0, 2).map(str) | st.tuples(x, y).map(lambda at: f"{at[0]},{at[1]}")
    options = []
    options += draw(st.sampled_from([[], ["--vivid"]]) | st.floats(0, 2).map(lambda value: ["--strength", value]))
    options += draw(st.just([]) | st.floats(0, 1).map(lambda value: ["--do-no-harm", value]))
    options += draw(st.just([]) | st.tuples(where, hexes).map(lambda two: ["--recolor", "=".join(two)]))
    options += draw(st.sampled_from([[], ["--reference", "reference.png"]]))
    options += draw(st.sampled_from([[], ["--no-provenance"], ["--confidence", "sure.png", "--capsules", "map.png"]]))
    return options, told


def run(*arguments):
    done = CliRunner().invoke(main, ["colorize", *map(str, arguments)])
    assert done.exit_code == 0, (arguments, done.output)
    return done.stdout.split()


def keeps_all_but_color(before, after):
    """Size, depth, opacity, and every gray code."""
    assert after.array.shape == (before.height, before.width, 3)
    assert after.array.dtype == before.array.dtype
    assert (after.alpha is None) == (before.alpha is None)
    assert before.alpha is None or np.array_equal(after.alpha, before.alpha)
    assert np.array_equal(color.gray_of(after.array), before.gray)


@pytest.mark.medium
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_is_decided_all_but_color_is_kept(models, data):
    picture = data.draw(any_picture())
    options, told = data.draw(decisions(picture.width, picture.height))
    suffix = data.draw(st.sampled_from(["png", "tif"]))
    candidates = data.draw(st.none() | st.tuples(st.integers(1, 3), st.integers(0, 2**63)))
    if candidates:
        options += ["--candidates", candidates[0], "--seed", candidates[1]]
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        picture.save(f"x.{suffix}")
        Picture(np.full((9, 7, 3), (200, 90, 40), np.uint8)).save("reference.png")
        Path("hints.json").write_text(json.dumps(told))
        hinted = ["--hints", "hints.json"] if len(told) > 1 else []
        names = run(f"x.{suffix}", "-o", f"y.{suffix}", "--model", models["photograph"], *hinted, *options)
        before = pictures.read(f"x.{suffix}")
        for name in names:
            if name.startswith("y") and not name.endswith("sheet.jpg"):
                keeps_all_but_color(before, pictures.read(name))


@pytest.mark.medium
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(any_picture(), st.integers(1, 9), st.floats(0, 2), st.booleans())
def test_a_network_of_patches_takes_every_stride_and_strength(models, picture, stride, strength, published):
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        picture.save("x.png")
        manner = ["--as-published"] if published else ["--strength", strength]
        run("x.png", "-o", "y.png", "--model", models["patch"], "--stride", stride, *manner)
        if published:
            assert pictures.read("y.png").array.shape == (picture.height, picture.width, 3)
        else:
            keeps_all_but_color(pictures.read("x.png"), pictures.read("y.png"))


@pytest.mark.medium
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(any_picture(alpha=False), st.sampled_from([*EXACT, *LOSSY]), st.sampled_from([*EXACT, *LOSSY, None]))
def test_every_format_becomes_every_format_at_its_size(models, picture, source, target):
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        name = f"x{pictures.FORMATS[source][0]}"
        picture.save(name)
        (written,) = run(name, "--model", models["photograph"], *(["--format", target] if target else []))
        before, after = pictures.read(name), pictures.read(written)
        assert after.format == (target or source)
        assert after.array.shape[:2] == (picture.height, picture.width)
        if after.format in EXACT:
            keeps_all_but_color(before, after)


@pytest.mark.medium
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(any_picture(), min_size=1, max_size=5), st.integers(1, 9), st.sampled_from([(), ("layer",), ("ab",)]))
def test_a_folder_comes_out_the_same_however_many_pictures_are_in_memory(models, album, jobs, form):
    only = ["--chroma-only", *form] if form else []
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path("in").mkdir()
        for number, picture in enumerate(album):
            picture.save(f"in/{number}.png")
        for out, at_once in (("one", 1), ("many", jobs)):
            written = run("in", "-o", out, "--jobs", at_once, "--model", models["photograph"], *only)
            assert len(written) == len(album)
        for one in Path("one").iterdir():
            assert one.read_bytes() == (Path("many") / one.name).read_bytes()


@settings(max_examples=40)
@given(any_picture(alpha=False), st.floats(0, 1), st.floats(0, 1))
@example(Picture(np.zeros((1, 1), np.uint8)), 0.0, 1.0)
def test_up_to_the_likely_colors_strength_adds_chroma_at_every_pixel(models, picture, one, other):
    """16 bits, because 8 bits round colors by more than small steps of strength."""
    less, more = sorted((one, other))
    canvas = Colorizer(models["photograph"]).open(layers.sixteen_bits(picture))
    weak, strong = (color.srgb_to_lab(canvas.color(strength).array)[..., 1:] for strength in (less, more))
    assert (np.hypot(*np.moveaxis(weak, -1, 0)) <= np.hypot(*np.moveaxis(strong, -1, 0)) + 0.2).all()


@settings(max_examples=60)
@given(any_picture(alpha=False), chromas)
def test_colors_beyond_srgb_give_way_in_chroma_and_not_in_hue(models, picture, wanted):
    """Hue is compared where there is enough chroma that rounding to codes of 16 bits cannot turn it."""
    canvas = Colorizer(models["photograph"]).open(layers.sixteen_bits(picture))
    ab = np.full((*canvas.lightness.shape, 2), wanted, np.float32)
    shown = color.srgb_to_lab(canvas.render(ab).array)[..., 1:].astype(float)
    most, chroma = np.hypot(*wanted), np.hypot(shown[..., 0], shown[..., 1])
    assert chroma.max() <= most + 0.2
    across = np.abs(shown @ (-wanted[1], wanted[0])) / max(most, 1e-9)
    assert (across[chroma > 2] <= 0.05 * chroma[chroma > 2]).all()
