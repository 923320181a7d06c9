"""The page's arithmetic in JavaScript gives what the package gives: asked in Node, without a browser."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from colorcapsnet import Colorizer, color, hints, maps, scale
from colorcapsnet.errors import HintError
from colorcapsnet.hints import from_json

ROOT = Path(__file__).parents[1]
KINDS = {"u1": "Uint8Array", "f4": "Float32Array", "f8": "Float64Array"}
DTYPES = {"Uint8Array": np.uint8, "Uint8ClampedArray": np.uint8, "Float32Array": np.float32, "Float64Array": np.float64}
SAMPLES = ["chelsea.png", *(pytest.param(name, marks=pytest.mark.medium) for name in ("astronaut.png", "coffee.png"))]

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: it runs the page's code")


def packed(value):
    if isinstance(value, np.ndarray):
        content = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"kind": KINDS[value.dtype.str[1:]], "base64": content}
    if isinstance(value, dict):
        return {name: packed(each) for name, each in value.items()}
    return [packed(each) for each in value] if isinstance(value, list | tuple) else value


def unpacked(told):
    return np.frombuffer(base64.b64decode(told["base64"]), DTYPES[told["kind"]]) if "base64" in told else told


def asked(*calls):
    """Answers to calls of (module, function, arguments…), or of a canvas: (canvas or "", method, arguments…)."""
    told = []
    for where, name, *args in calls:
        place = {"module": where} if isinstance(where, str) and where else {"canvas": where or None}
        told.append(place | {"name": name, "args": args})
    done = subprocess.run(
        ["node", ROOT / "tests/page_asked.mjs"], input=json.dumps(packed(told)), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout, object_hook=unpacked)


def given_to_the_page(canvas):
    """What a canvas of the page is made of, of one of the package's."""
    known, (height, width) = canvas.known, canvas.gray.shape
    arrays = {name: getattr(known, name) for name in ("coupling", "weight", "mean", "scale", "basis", "mix")}
    small = scale.fit(canvas.gray, *scale.working_shape(height, width, canvas.card.size))
    return {
        "known": arrays | {"shape": list(known.coupling.shape[1:])},
        "shown": {"codes": small, "width": small.shape[1], "height": small.shape[0]},
        "picture": {"gray": canvas.gray, "width": width, "height": height},
        "measured": canvas.card.paint,
    }


@pytest.fixture(scope="module", params=SAMPLES)
def canvas(request):
    return Colorizer(threads=1).open(ROOT / "samples" / request.param)


def decided(canvas, **more):
    return {"version": 1, "size": [canvas.picture.width, canvas.picture.height], **more}


# Leaves


@pytest.mark.parametrize("seed", [0, 1, 7, 2**32 - 1, 2**32, 2**53 - 1])
def test_a_seed_gives_numpys_random_numbers(seed):
    (numbers,) = asked(("random", "generator", seed, 1000))
    assert numbers == np.random.default_rng(seed).random(1000).tolist()


def test_every_color_of_sRGB_has_the_packages_a_and_b():
    codes = np.random.default_rng(0).integers(0, 256, (300, 3)).tolist()
    found = asked(*(("color", "abOfCodes", *each) for each in codes))
    expected = color.srgb_to_lab(np.array(codes, np.uint8)[None])[0, :, 1:]
    assert np.abs(np.array(found) - expected).max() < 1e-3


@pytest.mark.parametrize(
    ("height", "width"), [(451, 300), (64, 64), (1400, 2040), (20, 900), (1, 1), (224, 224), (448, 448), (300, 9000)]
)
def test_the_network_is_shown_what_the_package_shows_it(height, width):
    gray = cv2.resize(np.random.default_rng(1).integers(0, 256, (9, 7), np.uint8), (width, height))
    expected = scale.fit(gray, *scale.working_shape(height, width, 224))
    (shown,) = asked(("canvas", "shownTo", gray, width, height, 224))
    assert (shown["height"], shown["width"]) == expected.shape
    difference = np.abs(shown["codes"].astype(int) - expected.ravel())
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_every_gray_comes_back_from_a_color():
    """Of 200,000 random colors, most of them outside sRGB: within a step of the package's, and of the same gray."""
    random = np.random.default_rng(2)
    gray = random.integers(0, 256, (400, 500), np.uint8)
    ab = random.normal(0, 45, (400, 500, 2)).astype(np.float32)
    (rgba,) = asked(("color", "merged", gray, ab))
    rgb = rgba.reshape(400, 500, 4)[..., :3]
    assert (color.gray_of(rgb) == gray).all()
    unlike = np.abs(rgb.astype(int) - color.merge(gray, ab)).max(axis=2)
    assert (unlike > 1).mean() < 1e-3


# A picture's answers, against Canvas on the same numbers


def test_likely_and_vivid_colors_are_the_packages(canvas):
    strengths = [0, 0.5, 1, 1.4, 2]
    found = asked(*((given_to_the_page(canvas), "ab", decided(canvas, strength=each)) for each in strengths))
    for strength, ab in zip(strengths, found, strict=True):
        assert np.abs(ab - canvas.ab(strength).ravel()).max() < 2e-3


def test_candidates_of_a_seed_are_the_packages(canvas):
    page = given_to_the_page(canvas)
    of = [(0, 4), (1, 4), (12345, 7), (2**40, 1)]
    calls = [(seed, n, number) for seed, n in of for number in range(n)]
    found = asked(
        (page, "capsuleAt", 0, 0),
        *(("", "ab", decided(canvas, candidate={"seed": s, "of": n, "number": at})) for s, n, at in calls),
    )
    for (seed, n, number), ab in zip(calls, found[1:], strict=True):
        expected = canvas.ab(hints=hints.Hints(candidate=hints.Candidate(seed, n, number)))
        assert np.abs(ab - expected.ravel()).max() < 2e-3


def test_confidence_and_the_colors_that_fade_by_it_are_the_packages(canvas):
    page = given_to_the_page(canvas)
    sure, *faded = asked(
        (page, "confidence"), *(("", "ab", decided(canvas, do_no_harm=each)) for each in (0.3, 0.8, 1))
    )
    assert np.abs(sure - canvas.confidence().ravel()).max() < 1e-3
    for threshold, ab in zip((0.3, 0.8, 1), faded, strict=True):
        assert np.abs(ab - canvas.ab(hints=hints.Hints(do_no_harm=threshold)).ravel()).max() < 0.1


DECISIONS = {
    "a point": {"points": [{"relative": [0.5, 0.25], "color": "#a03020"}]},
    "points": {
        "points": [
            {"pixel": [120, 34], "color": [40, 30]},
            {"relative": [1, 1], "color": "#808080"},
            {"pixel": [0, 0], "color": None},
            {"pixel": [10.7, 200.2], "color": "#2040ff"},
        ],
        "strength": 1.5,
    },
    "a kind": {"recolor": [{"capsule": 3, "color": "#a03020"}, {"capsule": 0, "color": [0, 0]}], "strength": 2},
    "a part": {"recolor": [{"pixel": [120, 134], "color": "#1c2f66"}, {"relative": [0.5, 0.5], "color": "#20ff20"}]},
    "all": {
        "candidate": {"seed": 3, "of": 4, "number": 2},
        "recolor": [{"relative": [0.4, 0.4], "color": "#1c2f66"}],
        "points": [{"relative": [0.1, 0.9], "color": "#a03020"}],
        "strength": 1.3,
        "do_no_harm": 0.7,
    },
}


@pytest.mark.parametrize("told", DECISIONS.values(), ids=list(DECISIONS))
def test_decisions_give_the_packages_colors_within_one_step(canvas, told):
    page = given_to_the_page(canvas)
    ab, rgba = asked((page, "ab", decided(canvas, **told)), ("", "colored", decided(canvas, **told)))
    given = from_json(json.dumps(decided(canvas, **told)))
    assert np.abs(ab - canvas.ab(hints=given).ravel()).max() < 0.02
    rgb = rgba.reshape(*canvas.gray.shape, 4)[..., :3]
    unlike = np.abs(rgb.astype(int) - canvas.color(hints=given).array).max(axis=2)
    assert (unlike > 1).mean() < 1e-5  # nudged: float32 and float64 may begin from neighboring codes
    assert unlike.max() <= 2
    assert (unlike > 0).mean() < 0.01
    assert (color.gray_of(rgb) == canvas.gray).all()


def test_it_suggests_the_packages_points(canvas):
    told = {"points": [{"relative": [0.3, 0.6], "color": "#a03020"}]}
    page = given_to_the_page(canvas)
    first, more = asked((page, "suggest", 6, decided(canvas)), ("", "suggest", 6, decided(canvas, **told)))
    assert first == [list(place) for place in canvas.suggest(6)]
    assert more == [list(place) for place in canvas.suggest(6, from_json(json.dumps(decided(canvas, **told))))]


def test_the_map_of_capsules_is_the_packages(canvas):
    (drawn,) = asked((given_to_the_page(canvas), "capsuleMap"))
    expected = maps.capsule_map(canvas.regions, color.lightness(canvas.gray))
    assert np.abs(drawn.reshape(*canvas.gray.shape, 4)[..., :3].astype(int) - expected).max() <= 1


def test_numbers_stand_as_deep_in_their_parts_as_where_the_package_writes_them(canvas):
    """Of places that are equally deep, either may be taken."""
    height, width = canvas.lightness.shape
    (found,) = asked((given_to_the_page(canvas), "labels", width, height))
    largest = canvas.regions.argmax(axis=0)

    def depth(entity, row, column):
        inside = np.pad((largest == entity).astype(np.uint8), 1)
        return entity, float(cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[row + 1, column + 1])

    ours = sorted(depth(int(each["text"]), each["y"], each["x"]) for each in found)
    assert ours == sorted(depth(*part) for part in maps._parts(canvas.regions))


@pytest.mark.parametrize("shape", [(1400, 2040), (3, 9000), (451, 300), (100, 100)])
def test_it_shows_pictures_at_the_packages_sizes(shape):
    height, width = shape
    sides = (1, 64, 100, 1023, 5000)
    found = asked(*(("scale", "within", width, height, side) for side in sides))
    assert [tuple(reversed(each)) for each in found] == [scale.within(shape, side) for side in sides]


def test_a_pixel_belongs_to_the_capsule_that_holds_most_of_its_cell(canvas):
    width, height = canvas.picture.width, canvas.picture.height
    places = [(0, 0), (width - 1, height - 1), (width // 2, height // 3)]
    found = asked((given_to_the_page(canvas), "ab", decided(canvas)), *(("", "capsuleAt", *each) for each in places))
    for (x, y), told in zip(places, found[1:], strict=True):
        held = canvas.regions[:, *canvas.cell(x, y)]
        assert told["number"] == held.argmax()
        assert told["share"] == pytest.approx(held.max())


REFUSED = [
    {"version": 2},
    {"version": 1, "colour": 3},
    {"version": 1, "strength": 2.1},
    {"version": 1, "strength": True},
    {"version": 1, "do_no_harm": -0.1},
    {"version": 1, "size": [3, 4]},
    {"version": 1, "size": 3},
    {"version": 1, "points": {}},
    {"version": 1, "points": [{"pixel": [1, 2]}]},
    {"version": 1, "points": [{"pixel": [1, 2], "relative": [0, 0], "color": "#000000"}]},
    {"version": 1, "points": [{"pixel": [1, 2], "color": "red"}]},
    {"version": 1, "points": [{"pixel": [1, 2], "color": [200, 0]}]},
    {"version": 1, "points": [{"pixel": [10**6, 2], "color": "#000000"}]},
    {"version": 1, "points": [{"pixel": [-1, 2], "color": "#000000"}]},
    {"version": 1, "points": [{"relative": [1.1, 0], "color": "#000000"}]},
    {"version": 1, "points": [{"pixel": [1, 2], "color": "#000000"}] * 1001},
    {"version": 1, "recolor": [{"capsule": 16, "color": "#000000"}]},
    {"version": 1, "recolor": [{"capsule": 1.5, "color": "#000000"}]},
    {"version": 1, "recolor": [{"capsule": 1}]},
    {"version": 1, "recolor": [{"pixel": [1, 2], "color": None}]},
    {"version": 1, "candidate": {"seed": -1, "of": 4, "number": 0}},
    {"version": 1, "candidate": {"seed": 0, "of": 129, "number": 0}},
    {"version": 1, "candidate": {"seed": 0, "of": 4, "number": 4}},
    {"version": 1, "candidate": {"seed": 0, "of": 4}},
    {"version": 1, "candidate": 3},
    [],
]
TAKEN = [
    {"version": 1},
    {"version": 1, "size": [451, 300], "points": [], "recolor": []},
    {"version": 1, "points": [{"pixel": [1, 2], "color": None}], "strength": 0, "do_no_harm": 1},
    {"version": 1, "candidate": None},
    {"version": 1, "candidate": {"seed": 2**53, "of": 128, "number": 127}},
    {"version": 1, "points": [{"relative": [1, 1], "color": "#FFFFFF"}], "strength": 2},
]


def test_it_refuses_the_decisions_that_the_package_refuses_and_no_others():
    chelsea = Colorizer(threads=1).open(ROOT / "samples/chelsea.png")
    told = REFUSED + TAKEN
    found = asked((given_to_the_page(chelsea), "capsuleAt", 0, 0), *(("", "ab", each) for each in told))
    for decisions, answer in zip(told, found[1:], strict=True):
        refused = "error" in answer if isinstance(answer, dict) else False
        try:
            chelsea.ab(hints=from_json(json.dumps(decisions)))
        except HintError:
            assert refused, decisions
        else:
            assert not refused, (decisions, answer)
