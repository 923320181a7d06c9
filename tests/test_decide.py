"""Decisions on the command line, as a person makes them: files in and out, nothing lost, one clear line."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from colorcapsnet import Colorizer, Picture, color, decide, hints, maps, pictures
from colorcapsnet.batch import Job
from colorcapsnet.cli import main
from colorcapsnet.errors import HintError, ModelError, OutputError, PictureError
from colorcapsnet.hints import NOTHING, Capsule, Hints, Point
from tests.tiny import write_model, write_photograph_model

SAMPLES = Path(__file__).parents[1] / "samples"
SIZE = (90, 120)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    return Colorizer(str(write_photograph_model(tmp_path_factory.mktemp("photo"))))


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A folder with a photograph, another, and tiny networks of both kinds."""
    monkeypatch.chdir(tmp_path)
    for name, sample in (("a.png", "chelsea.png"), ("b.png", "coffee.png"), ("in/c.png", "astronaut.png")):
        Path(name).parent.mkdir(exist_ok=True)
        cv2.imwrite(name, cv2.resize(cv2.imread(str(SAMPLES / sample)), SIZE[::-1]))
    write_photograph_model(tmp_path)
    write_model(tmp_path)


def run(*arguments, code=0):
    """A verb with the tiny network of photographs; what it printed, and what it said beside that."""
    model = () if "--model" in arguments else ("--model", "tiny-photo.onnx")
    done = CliRunner().invoke(main, [str(each) for each in (*arguments, *model)])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def files():
    return {path.as_posix() for path in Path().rglob("*") if path.is_file()}


def canvas(photo, name="a.png"):
    return photo.open(name)


def same(path, picture):
    return np.array_equal(pictures.read(path).array, picture.array)


# What the options mean


@pytest.mark.parametrize("strength", [(), ("--strength", 0.5), ("--vivid",)])
def test_every_decision_reaches_the_picture(photo, strength):
    Path("h.json").write_text('{"version": 1, "points": [{"pixel": [60, 40], "color": [30, -20]}], "strength": 1.5}')
    options = ["--hints", "h.json", "--reference", "b.png", "--do-no-harm", 0.7, "--recolor", "1=#a03020"]
    run("colorize", "a.png", "-o", "out.png", *options, "--recolor", "10,20=#2040a0", *strength)
    given_ = {(): 1.5, ("--strength", 0.5): 0.5, ("--vivid",): 2.0}[strength]
    decided = Hints(
        points=[Point(60, 40, (30, -20))],
        recolor=[Capsule(1, "#a03020"), Point(10, 20, "#2040a0")],
        reference="b.png",
        strength=given_,
        do_no_harm=0.7,
    )
    assert same("out.png", canvas(photo).color(hints=decided))
    assert np.array_equal(color.gray_of(pictures.read("out.png").array), canvas(photo).gray)


def test_options_come_over_the_file(photo):
    Path("h.json").write_text('{"version": 1, "reference": "in/c.png", "do_no_harm": 0.9, "strength": 0}')
    run("colorize", "a.png", "-o", "1.png", "--hints", "h.json")
    assert same("1.png", canvas(photo).color(0))
    options = ["--reference", "b.png", "--do-no-harm", 0, "--strength", 1]
    run("colorize", "a.png", "-o", "2.png", "--hints", "h.json", *options)
    assert same("2.png", canvas(photo).reference("b.png").color())


def test_a_reference_is_found_from_the_folder_of_its_file(photo):
    Path("in/h.json").write_text('{"version": 1, "reference": "c.png"}')
    run("colorize", "a.png", "-o", "1.png", "--hints", "in/h.json")
    assert same("1.png", canvas(photo).reference("in/c.png").color())


def test_spots_on_a_transparent_picture_are_hints(photo):
    rgba = np.zeros((*SIZE, 4), np.uint8)
    rgba[38:43, 58:63] = (160, 48, 32, 255)
    Picture.from_array(rgba).save("spots.png")
    run("colorize", "a.png", "-o", "1.png", "--hints", "spots.png")
    assert same("1.png", canvas(photo).color(hints=Hints(points=[Point(60, 40, "#a03020")])))


def test_candidates_are_written_with_their_sheet(photo):
    out, err = run("colorize", "a.png", "--candidates", 3, "--seed", 4, "--strength", 2)
    names = ["a-color-1.png", "a-color-2.png", "a-color-3.png", "a-color-sheet.jpg"]
    assert out.split() == names
    assert "1 colored" in err
    for name, candidate in zip(names, canvas(photo).candidates(3, 4, 2), strict=False):
        assert same(name, candidate)
    assert pictures.read("a-color-sheet.jpg").width > 3 * 320
    assert not Path("a-color.png").exists()
    run("colorize", "a.png", "-o", "new/x.jpg", "--candidates", 1)
    assert {name for name in files() if name.startswith("new")} == {"new/x-1.jpg", "new/x-sheet.jpg"}


def test_the_same_seed_gives_the_same_candidates():
    for name, seed in (("x", 7), ("y", 7), ("z", 8)):
        run("colorize", "a.png", "-o", f"{name}.png", "--candidates", 4, "--seed", seed)
    x, y, z = ([Path(f"{name}-{n}.png").read_bytes() for n in range(1, 5)] for name in "xyz")
    assert x == y != z


def test_maps_are_written_beside_the_picture(photo):
    out, _ = run("colorize", "a.png", "--confidence", "maps/sure.png", "--capsules", "capsules.webp")
    assert out.split() == ["a-color.png", "maps/sure.png", "capsules.webp"]
    assert np.array_equal(pictures.read("maps/sure.png").gray, canvas(photo).confidence_map())
    assert pictures.read("capsules.webp").array.shape == (*SIZE, 3)
    assert same("a-color.png", canvas(photo).color())
    run("colorize", "a.png", "-o", "x.png", "--capsules", "capsules.png", "--recolor", "60,40=#a03020")
    assert np.array_equal(pictures.read("capsules.png").array, canvas(photo).region_map())


def test_what_makes_sense_for_all_applies_to_all(photo):
    run("colorize", "a.png", "in", "-o", "out", "--reference", "b.png", "--do-no-harm", 0.6, "--recolor", "0=#2040a0")
    decided = Hints(reference="b.png", do_no_harm=0.6, recolor=[Capsule(0, "#2040a0")])
    assert same("out/a.png", canvas(photo, "a.png").color(hints=decided))
    assert same("out/c.png", canvas(photo, "in/c.png").color(hints=decided))


@settings(max_examples=20)
@given(
    strength=st.none() | st.floats(0, 2),
    threshold=st.none() | st.floats(0, 1),
    capsule=st.integers(0, 2),
    x=st.integers(0, SIZE[1] - 1),
    y=st.integers(0, SIZE[0] - 1),
    rgb=st.integers(0, 0xFFFFFF),
)
def test_every_value_in_range_is_taken_and_the_gray_kept(strength, threshold, capsule, x, y, rgb):
    Path("h.json").unlink(missing_ok=True)
    hints.write(Hints(points=[Point(x, y, f"#{rgb:06x}")]), "h.json")
    options = ["--recolor", f"{capsule}=#{rgb:06x}", "--recolor", f"{x},{y}=#{rgb:06x}", "--hints", "h.json"]
    options += [] if strength is None else ["--strength", strength]
    options += [] if threshold is None else ["--do-no-harm", threshold]
    run("colorize", "a.png", "-o", "out.png", "--force", *options)
    gray = color.gray(pictures.read("a.png").array)
    assert np.array_equal(color.gray_of(pictures.read("out.png").array), gray)


@pytest.mark.medium
@settings(max_examples=10)
@given(st.integers(1, 128), st.integers(0, 2**63))
def test_any_number_of_candidates_with_any_seed(n, seed):
    run("colorize", "a.png", "-o", "out.png", "--force", "--candidates", n, "--seed", seed)
    assert {f"out-{number}.png" for number in range(1, n + 1)} | {"out-sheet.jpg"} <= files()


# What is refused


def refused(*arguments, code=1):
    """One line on standard error, and no file more or less."""
    before = {name: Path(name).read_bytes() for name in files()}
    out, err = run(*arguments, code=code)
    assert {name: Path(name).read_bytes() for name in files()} == before
    assert out == ""
    assert code == 2 or len(err.strip().splitlines()) <= 2, err
    return err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hints", "h.json"], "places in hints and --recolor are for one picture: give one file"),
        (["--recolor", "3,4=#a03020"], "places in hints and --recolor are for one picture: give one file"),
        (["--candidates", "3"], "--candidates are for one picture: give one file"),
        (["--confidence", "sure.png"], "--confidence maps are for one picture: give one file"),
        (["--capsules", "map.png"], "--capsules maps are for one picture: give one file"),
    ],
)
@pytest.mark.parametrize("inputs", [["in"], ["a.png", "b.png"]])
def test_what_is_of_one_picture_is_refused_for_more(inputs, options, message):
    hints.write(Hints(points=[Point(3, 4, "#a03020")]), "h.json")
    assert message in refused("colorize", *inputs, "-o", "out", *options)


@pytest.mark.parametrize(
    ("options", "asking"),
    [
        (["--recolor", "5,5=#a03020"], "places in hints and --recolor"),
        (["--candidates", 2], "--candidates"),
        (["--confidence", "sure.png"], "--confidence maps"),
        (["--capsules", "map.png"], "--capsules maps"),
    ],
)
def test_what_is_for_one_picture_is_refused_for_several_pages_and_goes_to_the_first_alone(options, asking):
    first = pictures.read("a.png").gray
    pictures.write_pages([Picture(first), Picture(first[:50])], "scan.tif")
    before = files()
    _, said = run("colorize", "scan.tif", *options, code=1)
    assert said == f"Error: {asking} are for one picture, and scan.tif has 2 pages: add --format png for the first\n"
    assert files() == before
    run("colorize", "scan.tif", "--format", "png", *options)
    (made,) = Path().glob("scan-color*.png") if asking != "--candidates" else [Path("scan-color-1.png")]
    assert np.array_equal(color.gray_of(pictures.read(made).array), first)


def test_a_capsule_is_repainted_on_every_page(photo):
    pages = [Picture(pictures.read(name).gray) for name in ("a.png", "b.png")]
    pictures.write_pages(pages, "scan.tif")
    run("colorize", "scan.tif", "--recolor", "1=#a03020")
    hinted = Hints(recolor=[Capsule(1, "#a03020")])
    for page, made in zip(pages, pictures.read_pages("scan-color.tif"), strict=True):
        assert np.array_equal(made.array, photo.colorize(page, hints=hinted).array)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recolor", "red"], "'red' recolors nothing: write CAPSULE=#a03020, or X,Y=#a03020"),
        (["--recolor", "3=red"], "'red' is no color"),
        (["--recolor", "3=#a03020"], "there is no capsule 3: they are 0 to 2"),
        (["--recolor", "120,0=#a03020"], "the point 120, 0 is outside the picture of 120×90"),
        (["--hints", "none.json"], "none.json does not exist"),
        (["--hints", "none.png"], "none.png does not exist"),
        (["--hints", "tiny.onnx"], "tiny.onnx is not a JPEG, PNG, TIFF, WebP, AVIF, HEIC or GIF picture"),
        (["--hints", "a.png"], "a.png has no transparency"),
        (["--hints", "tiny.json"], "tiny.json: there is no 'name'"),
        (["--hints", "null.json"], "null.json gives no color yet"),
        (["--hints", "size.json"], "the hints are for a picture of 5×6 pixels, and this one is 120×90"),
        (["--reference", "none.jpg"], "none.jpg does not exist"),
        (["--reference", "gray.png"], "gray.png is gray: a reference needs colors"),
        (["--confidence", "sure.txt"], "sure.txt does not say a format that can be written"),
        (["--confidence", "b.png"], "b.png is there already: choose another name, or replace it with --force"),
        (["--capsules", "in/c.png"], "in/c.png is there already"),
        (["--capsules", "a.png"], "a.png is the picture itself"),
        (["--capsules", "x.png", "--confidence", "x.png"], "x.png is the picture itself, or would be written twice"),
        (["--capsules", "out.png"], "out.png is the picture itself, or would be written twice"),
        (["--capsules", "out.png", "--force"], "out.png is the picture itself, or would be written twice"),
        (["--capsules", "tiny.json/x.png"], "tiny.json/x.png cannot be written"),
        (["--candidates", "2"], "out-2.png is there already"),
        (["--do-no-harm", "0.5", "--model", "tiny.onnx"], "tiny sees patches and can only colorize"),
        (["--capsules", "x.png", "--model", "paper", "--as-published"], "paper sees patches and can only colorize"),
    ],
)
def test_bad_decisions_end_in_one_line_and_lose_nothing(options, message):
    Path("null.json").write_text('{"version": 1, "points": [{"pixel": [1, 2], "color": null}]}')
    Path("size.json").write_text('{"version": 1, "size": [5, 6], "strength": 2}')
    Path("out-2.png").write_text("precious")
    Picture(pictures.read("a.png").gray).save("gray.png")
    assert message in refused("colorize", "a.png", "-o", "out.png", *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--do-no-harm", "1.5"], "1.5 is not in the range 0<=x<=1"),
        (["--candidates", "0"], "0 is not in the range 1<=x<=128"),
        (["--candidates", "129"], "129 is not in the range 1<=x<=128"),
        (["--seed", "3"], "--seed is for --candidates N"),
        (["--candidates", "2", "--seed", "-1"], "-1 is not in the range x>=0"),
    ],
)
def test_values_out_of_range_are_a_wrong_call(options, message):
    assert message in refused("colorize", "a.png", *options, code=2)


def test_nothing_is_overwritten_without_force():
    asked = ["colorize", "a.png", "-o", "x.png", "--candidates", 2, "--confidence", "sure.png"]
    names = run(*asked)[0].split()
    assert names == ["x-1.png", "x-2.png", "x-sheet.jpg", "sure.png"]
    for name in names:
        for other in set(names) - {name}:
            Path(other).unlink(missing_ok=True)
        Path(name).write_text("precious")
        assert f"{name} is there already" in refused(*asked)
    assert run(*asked, "--force")[0].split() == names
    assert pictures.read("sure.png").array.shape == SIZE


def test_decisions_are_refused_before_the_first_picture(photo):
    with pytest.raises(ModelError, match="tiny sees patches"):
        decide.Decided(Colorizer("tiny.onnx"))
    with pytest.raises(HintError, match="there is no capsule 9"):
        decide.with_decisions(photo, Hints(recolor=[Capsule(9, "#a03020")]))
    with pytest.raises(PictureError, match=r"none\.png does not exist"):
        decide.with_decisions(photo, Hints(reference="none.png"))
    assert decide.with_decisions(photo, Hints(strength=2)) is photo
    jobs = [Job(Path("a.png"), Path("x.png")), Job(Path("b.png"), Path("y.png"))]
    assert decide.plan(jobs, NOTHING, alone=False) == (jobs, decide.Asked())


# Where to point


def test_suggestions_are_printed_and_written_to_be_filled_in(photo):
    out, err = run("suggest-hints", "a.png", "-n", 3, "-o", "h.json", "--map", "points.png")
    expected = canvas(photo).suggest(3)
    lines = [line.split() for line in out.splitlines()]
    assert [tuple(map(int, place.split(","))) for place, _ in lines] == expected
    rgb = canvas(photo).color().array
    assert [now for _, now in lines] == [hints.hex_of(rgb[y, x]) for x, y in expected]
    assert err == ""
    asked = hints.from_json(Path("h.json").read_text())
    assert asked == Hints(points=[Point(x, y, None) for x, y in expected], size=SIZE[::-1])
    labels = [(str(n), x, y) for n, (x, y) in enumerate(expected, 1)]
    assert np.array_equal(pictures.read("points.png").array, maps.labeled(rgb, labels))


def test_a_file_that_was_filled_in_colors_the_picture(photo):
    run("suggest-hints", "a.png", "-n", 2, "-o", "h.json")
    text = Path("h.json").read_text()
    assert "h.json gives no color yet" in refused("colorize", "a.png", "-o", "out.png", "--hints", "h.json")
    Path("h.json").write_text(text.replace("null", '"#a03020"', 1))
    run("colorize", "a.png", "-o", "out.png", "--hints", "h.json")
    ((x, y), _) = canvas(photo).suggest(2)
    assert same("out.png", canvas(photo).color(hints=Hints(points=[Point(x, y, "#a03020")])))
    out, _ = run("suggest-hints", "a.png", "-n", 2, "--hints", "h.json", "-o", "more.json")
    assert f"{x},{y} " not in out
    assert len(hints.from_json(Path("more.json").read_text()).points) == 4


@settings(max_examples=15)
@given(st.integers(1, 2000))
def test_any_number_of_points_may_be_asked_for(n):
    out, _ = run("suggest-hints", "a.png", "-n", n)
    assert 1 <= len(out.splitlines()) <= n
    assert len(set(out.splitlines())) == len(out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.png"], "none.png does not exist"),
        (["tiny.json"], "tiny.json is not a JPEG"),
        (["a.png", "-o", "b.png"], "b.png would not be known as hints: end it in .json"),
        (["a.png", "-o", "tiny.json"], "tiny.json is there already: choose another name, or replace it with --force"),
        (["a.png", "-o", "nowhere/h.json"], "nowhere/h.json cannot be written: the folder nowhere does not exist"),
        (["a.png", "--map", "b.png"], "b.png is there already"),
        (["a.png", "--map", "a.png", "--force"], "a.png is the picture itself"),
        (["a.png", "--map", "m.txt"], "m.txt does not say a format"),
        (["a.png", "--hints", "none.json"], "none.json does not exist"),
        (["a.png", "--model", "tiny.onnx"], "tiny sees patches, not photographs"),
    ],
)
def test_bad_suggestions_end_in_one_line_and_lose_nothing(arguments, message):
    assert message in refused("suggest-hints", *arguments)


def test_a_suggestion_replaces_a_file_if_asked():
    Path("h.json").write_text("old")
    with pytest.raises(OutputError):
        hints.write(NOTHING, "h.json")
    run("suggest-hints", "a.png", "-o", "h.json", "--force")
    assert len(hints.from_json(Path("h.json").read_text()).points) == 5


@pytest.mark.skipif(os.name == "nt", reason="names differ")
def test_names_of_all_kinds_are_kept():
    name = "größ mutter ?" + "x" * 150
    Path(f"{name}.png").write_bytes(Path("a.png").read_bytes())
    run("colorize", f"{name}.png", "--candidates", 2, "--capsules", f"{name} map.png")
    run("suggest-hints", f"{name}.png", "-o", f"{name}.json")
    wanted = {
        f"{name}-color-1.png",
        f"{name}-color-2.png",
        f"{name}-color-sheet.jpg",
        f"{name} map.png",
        f"{name}.json",
    }
    assert wanted <= files()


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1)])
@pytest.mark.parametrize("value", [0, 255])
def test_the_smallest_and_blackest_pictures_are_decided_about(size, value):
    Picture(np.full(size, value, np.uint8)).save("x.png")
    options = ["--candidates", 2, "--confidence", "sure.png", "--capsules", "map.png", "--recolor", "0,0=#a03020"]
    run("colorize", "x.png", *options, "--do-no-harm", 0.5)
    out, _ = run("suggest-hints", "x.png", "-o", "x.json")
    assert out.splitlines()[0].split(",")[0].isdigit()
