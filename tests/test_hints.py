"""What a person decided: the same after a round trip, and one clear line for whatever is no decision."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
import skimage.color
from hypothesis import given, settings
from hypothesis import strategies as st

from colorcapsnet import hints, pictures
from colorcapsnet.errors import ColorCapsNetError, HintError, OutputError
from colorcapsnet.hints import NOTHING, Candidate, Capsule, Hints, Point
from colorcapsnet.pictures import Picture

ab = st.floats(-128, 127)
colors = st.integers(0, 0xFFFFFF).map("#{:06x}".format) | st.tuples(ab, ab)
pixels = st.integers(0, 10**9) | st.floats(0, 1e9)
points = st.builds(Point, pixels, pixels, colors) | st.builds(
    Point, st.floats(0, 1), st.floats(0, 1), colors, st.just(True)
)
waiting = st.builds(Point, pixels, pixels, st.none())
recolors = st.builds(Capsule, st.integers(0, 10**9), colors) | points
chosen = st.integers(1, 128).flatmap(
    lambda of: st.builds(Candidate, st.integers(0, 2**53), st.just(of), st.integers(0, of - 1))
)
decisions = st.builds(
    Hints,
    points=st.lists(points | waiting, max_size=5),
    recolor=st.lists(recolors, max_size=5),
    reference=st.none() | st.text(min_size=1),
    candidate=st.none() | chosen,
    strength=st.floats(0, 2),
    do_no_harm=st.floats(0, 1),
    size=st.none() | st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)),
)


@given(decisions)
def test_what_was_decided_comes_back_from_its_json(decided):
    assert hints.from_json(decided.to_json()) == decided
    assert set(json.loads(decided.to_json())) >= {"version"}


@settings(max_examples=30)
@given(decisions)
def test_what_was_decided_comes_back_from_its_file(tmp_path_factory, decided):
    path = tmp_path_factory.mktemp("hints") / "h.json"
    hints.write(decided, path)
    if decided.points and not decided.given and replace(decided, points=(), size=None) == NOTHING:
        with pytest.raises(HintError, match="gives no color yet"):
            hints.read(path)
        return
    back = hints.read(path)
    assert replace(back, reference=None) == replace(decided, reference=None)
    assert back.reference == (decided.reference and str(path.parent / decided.reference))


def test_the_documented_file_is_read():
    text = hints.__doc__[hints.__doc__.index("    {") : hints.__doc__.index("Only ``version``")]
    decided = hints.from_json(text)
    assert decided.points == (Point(120, 34, "#a03020"), Point(0.5, 0.25, (40, 30), relative=True))
    assert decided.recolor == (Capsule(3, "#a03020"), Point(120, 34, "#a03020"))
    told = (decided.reference, decided.strength, decided.do_no_harm, decided.size)
    assert told == ("other.jpg", 1.2, 0.8, (451, 300))
    assert decided.candidate == Candidate(seed=1, of=4, number=2)


def test_nothing_is_the_version_alone():
    assert NOTHING.to_json() == '{\n "version": 1\n}\n'
    assert hints.from_json('{"version": 1}') == NOTHING == Hints()


def test_a_byte_order_mark_and_capital_letters_do_no_harm(tmp_path):
    (tmp_path / "h.JSON").write_bytes(b'\xef\xbb\xbf{"version": 1, "recolor": [{"capsule": 0, "color": "#A0B0FF"}]}')
    assert hints.read(tmp_path / "h.JSON").recolor == (Capsule(0, "#a0b0ff"),)


def test_numbers_of_numpy_are_numbers():
    point = Point(np.int64(3), np.float32(0.5), np.array([4, 5.5]).tolist())
    assert hints.from_json(Hints(points=[point]).to_json()).points == (point,)


@given(st.integers(0, 0xFFFFFF))
def test_a_color_is_its_lab_and_its_hex(number):
    color = f"#{number:06x}"
    rgb = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
    expected = skimage.color.rgb2lab(np.array(rgb) / 255)[1:]
    assert np.abs(hints.ab_of(color) - expected).max() < 0.02
    assert hints.hex_of(rgb) == color


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 5000), st.integers(1, 5000))
def test_a_relative_point_lies_in_the_picture(x, y, width, height):
    column, row = Point(x, y, "#000000", relative=True).pixel(width, height)
    assert 0 <= column < width and 0 <= row < height
    assert abs(column - x * width) <= 1 and abs(row - y * height) <= 1


def test_a_point_outside_has_no_pixel():
    assert Point(450, 299, None).pixel(451, 300) == (450, 299)
    for x, y in ((451, 0), (0, 300)):
        with pytest.raises(HintError, match=f"the point {x}, {y} is outside the picture of 451×300"):
            Point(x, y, None).pixel(451, 300)


@given(st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1), st.integers(0, 0xFFFFFF).map("#{:06x}".format))
def test_recolors_of_the_command_line(x, y, color):
    assert hints.recolor_of(f"{x}={color}") == Capsule(x, color)
    assert hints.recolor_of(f"{x},{y}={color}") == Point(x, y, color)


@given(st.text())
def test_any_other_recolor_is_refused_in_one_line(text):
    try:
        hints.recolor_of(text)
    except HintError as problem:
        assert "\n" not in str(problem) and len(str(problem)) < 250


@pytest.mark.parametrize("text", ["", "3", "3=", "=#a03020", "-1=#a03020", "1,2,3=#a03020", "a=#a03020", "3=red"])
def test_recolors_of_another_form_are_refused(text):
    with pytest.raises(HintError):
        hints.recolor_of(text)


red = '"color": "#a03020"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"h is no JSON \(Expecting value: line 1 column 1 \(char 0\)\): mend it, or begin anew"),
        ('{"version": 1,}', "h is no JSON"),
        ("[" * 100_000, "h is no JSON"),
        ("[1]", r"h: {…} is needed, not \[1\]"),
        ("{}", 'h: they need "version": 1'),
        ('{"version": 2}', 'h: they need "version": 1'),
        ('{"version": 1, "point": []}', "h: there is no 'point': choose from candidate, do_no_harm, points, recolor"),
        ('{"version": 1, "strength": 1, "strength": 2}', "h: 'strength' stands there twice"),
        ('{"version": 1, "strength": 2.5}', "h: strength is a number from 0 to 2, not 2.5"),
        ('{"version": 1, "strength": true}', "h: strength is a number from 0 to 2, not True"),
        ('{"version": 1, "strength": NaN}', "h: NaN is no number"),
        ('{"version": 1, "strength": 1e999}', "h: strength is a number from 0 to 2, not inf"),
        ('{"version": 1, "do_no_harm": -0.1}', "h: do_no_harm is a number from 0 to 1, not -0.1"),
        ('{"version": 1, "reference": ""}', "h: the reference is the path of a picture, not ''"),
        ('{"version": 1, "reference": 5}', "h: the reference is the path of a picture, not 5"),
        ('{"version": 1, "size": [0, 4]}', "h: the width is a whole number from 1 on, not 0"),
        ('{"version": 1, "size": [4]}', r"h: size is two numbers, not \[4\]"),
        ('{"version": 1, "points": {}}', "h: points is a list, not {}"),
        ('{"version": 1, "points": [7]}', "h: number 1 of points: {…} is needed, not 7"),
        ('{"version": 1, "points": [{"pixel": [1, 2]}]}', "h: number 1 of points: a point has a color, and either"),
        (f'{{"version": 1, "points": [{{{red}}}]}}', "a point has a color, and either"),
        (f'{{"version": 1, "points": [{{"pixel": [1, 2], "relative": [0, 0], {red}}}]}}', "and either"),
        (f'{{"version": 1, "points": [{{"pixel": [1, 2, 3], {red}}}]}}', "a place is two numbers"),
        (f'{{"version": 1, "points": [{{"pixel": [-1, 2], {red}}}]}}', "x is a number from 0 to 1e\\+09, not -1"),
        (f'{{"version": 1, "points": [{{"relative": [0, 1.5], {red}}}]}}', "y is a number from 0 to 1, not 1.5"),
        (f'{{"version": 1, "points": [{{"pixel": [1, 2], {red}, "l": 3}}]}}', "there is no 'l'"),
        ('{"version": 1, "points": [{"pixel": [1, 2], "color": "red"}]}', "'red' is no color: write \"#rrggbb\""),
        ('{"version": 1, "points": [{"pixel": [1, 2], "color": [1, 500]}]}', "b is a number from -128 to 127"),
        ('{"version": 1, "recolor": [{"capsule": 1.5, "color": "#a03020"}]}', "a whole number from 0 on, not 1.5"),
        ('{"version": 1, "candidate": 3}', "{…} is needed, not 3"),
        ('{"version": 1, "candidate": {"of": 4}}', r"a candidate is {.seed.: 1, .of.: 4, .number.: 2}, not {'of': 4}"),
        ('{"version": 1, "candidate": {"seed": 0, "of": 4, "number": 4}}', "number from 0 to 3, not 4"),
        ('{"version": 1, "candidate": {"seed": 0, "of": 129, "number": 0}}', "from 1 to 128, not 129"),
        ('{"version": 1, "candidate": {"seed": true, "of": 4, "number": 0}}', "from 0 to 9007199254740992, not True"),
        ('{"version": 1, "candidate": {"seed": 0, "of": 4, "number": 0, "n": 1}}', "there is no 'n'"),
        ('{"version": 1, "recolor": [{"capsule": 1}]}', "number 1 of recolor: None is no color"),
        ('{"version": 1, "recolor": [{"pixel": [1, 2], "color": null}]}', "a part to recolor has no color"),
    ],
)
def test_what_is_no_hint_ends_in_one_line_that_says_where(text, message):
    with pytest.raises(HintError, match=message) as problem:
        hints.from_json(text, "h")
    assert "\n" not in str(problem.value)


keys = st.sampled_from(["version", "points", "recolor", "pixel", "relative", "color", "capsule", "size", "strength"])
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9) | st.just("#a03020"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=3), inner, max_size=4),
)


@settings(max_examples=300)
@given(st.dictionaries(keys, anything, max_size=5), st.booleans())
def test_any_json_is_read_or_refused_in_one_line(told, versioned):
    try:
        decided = hints.from_json(json.dumps(told | {"version": 1} if versioned else told))
    except HintError as problem:
        assert "\n" not in str(problem) and len(str(problem)) < 300
    else:
        assert hints.from_json(decided.to_json()) == decided


@given(st.binary(max_size=60))
def test_any_file_is_read_or_refused_in_one_line(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("files")
    for path in (folder / "h.json", folder / "h.png"):
        path.write_bytes(content)
        with pytest.raises(ColorCapsNetError) as problem:
            hints.read(path)
        assert "\n" not in str(problem.value)


def test_a_file_that_is_missing_too_large_or_a_folder_is_refused(tmp_path):
    with pytest.raises(HintError, match=r"none\.json does not exist: check the name"):
        hints.read(tmp_path / "none.json")
    (tmp_path / "large.json").write_text(" " * 2**20 + '{"version": 1}')
    with pytest.raises(HintError, match="larger than a megabyte"):
        hints.read(tmp_path / "large.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(HintError, match="cannot be read"):
        hints.read(tmp_path / "folder.json")


def test_too_many_points_are_refused():
    assert len(Hints(points=[Point(1, 1, "#000000")] * 1000).points) == 1000
    with pytest.raises(HintError, match="points are 1,001: give 1,000 at most"):
        Hints(points=[Point(1, 1, "#000000")] * 1001)


def test_a_file_is_not_replaced_unless_asked(tmp_path):
    path = tmp_path / "h.json"
    path.write_text("precious")
    with pytest.raises(OutputError, match="is there already"):
        hints.write(NOTHING, path)
    assert path.read_text() == "precious"
    hints.write(NOTHING, path, overwrite=True)
    assert hints.read(path) == NOTHING
    assert [each.name for each in tmp_path.iterdir()] == ["h.json"]


@pytest.mark.parametrize(
    ("decided", "one"),
    [
        (NOTHING, False),
        (Hints(recolor=[Capsule(3, "#a03020")], reference="a.jpg", strength=2, do_no_harm=1), False),
        (Hints(points=[Point(1, 2, None)]), True),
        (Hints(recolor=[Point(0.5, 0.5, "#a03020", relative=True)]), True),
        (Hints(size=(4, 5)), True),
    ],
)
def test_places_are_of_one_picture(decided, one):
    assert decided.of_one_picture == one


# Spots


def painted(size, *spots, dtype=np.uint8):
    """A transparent picture with rectangles ``(x, y, width, height, rgb)``."""
    top = np.iinfo(dtype).max
    rgb, alpha = np.zeros((*size, 3), dtype), np.zeros(size, dtype)
    for x, y, width, height, color in spots:
        rgb[y : y + height, x : x + width] = np.array(color) * (top // 255)
        alpha[y : y + height, x : x + width] = top
    return Picture(rgb, alpha, name="spots.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_each_spot_becomes_a_point_in_its_middle(dtype, tmp_path):
    spots = painted((40, 60), (3, 5, 5, 3, (160, 48, 32)), (50, 30, 1, 1, (0, 0, 255)), dtype=dtype)
    pictures.write(spots, tmp_path / "spots.png")
    for decided in (hints.from_spots(spots), hints.read(tmp_path / "spots.png")):
        assert decided == Hints(points=[Point(5, 6, "#a03020"), Point(50, 30, "#0000ff")], size=(60, 40))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=15))
def test_a_point_lies_on_its_spot_whatever_its_form(cells):
    alpha = np.zeros((7, 7), np.uint8)
    for x, y in cells:
        alpha[y, x] = 255
    labels, count = scipy.ndimage.label(alpha, np.ones((3, 3)))
    decided = hints.from_spots(Picture(np.full((7, 7, 3), (160, 48, 32), np.uint8), alpha))
    assert sorted(labels[int(p.y), int(p.x)] for p in decided.points) == [*range(1, count + 1)]
    assert {point.color for point in decided.points} == {"#a03020"}


def test_a_faint_edge_belongs_to_no_spot_and_gray_is_gray():
    alpha = np.array([[0, 100, 128, 255, 128, 100, 0]], np.uint8)
    assert hints.from_spots(Picture(np.full((1, 7), 90, np.uint8), alpha)).points == (Point(3, 0, (0.0, 0.0)),)


def test_what_holds_no_spots_is_refused():
    with pytest.raises(HintError, match=r"spots.png has no transparency"):
        hints.from_spots(Picture(np.zeros((4, 4, 3), np.uint8), name="spots.png"))
    with pytest.raises(HintError, match=r"spots.png is transparent everywhere"):
        hints.from_spots(painted((4, 4)))
    two = painted((4, 4), (0, 0, 2, 4, (255, 0, 0)), (2, 0, 2, 4, (0, 0, 255)))
    with pytest.raises(HintError, match=r"has a spot of several colors around .*: leave a gap between colors"):
        hints.from_spots(two)
    alpha = np.zeros((80, 80), np.uint8)
    alpha[::2, ::2] = 255
    with pytest.raises(HintError, match="has 1,600 spots: paint 1,000 at most"):
        hints.from_spots(Picture(np.zeros((80, 80, 3), np.uint8), alpha))
