"""Tables and sheets: what is drawn is what was given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

from colorcapsnet import report, zoo
from colorcapsnet.errors import OutputError, PictureError

RED, GREEN, BLUE = (220, 30, 40), (20, 160, 60), (30, 60, 200)


def interval(value, spread=0.5):
    return {"value": value, "low": value - spread, "high": value + spread}


def row(psnr, skill, slope, bins):
    return {
        "psnr": interval(psnr),
        "ssim": interval(0.95217),
        "skill": interval(skill),
        "skill_p10": -1.5,
        "delta_e": interval(11.951),
        "delta_e_p90": interval(17.456),
        "auc": interval(0.8874),
        "colorfulness_ratio": interval(0.4567),
        "better_than_gray": interval(0.625),
        "over_tint": interval(skill - 1),
        "muted": {"pictures": 16, "skill": interval(-3.0)} if bins else {"pictures": 0, "skill": None},
        "slope": interval(slope) if slope else None,
        "bins": bins,
    }


def evaluation(**changes):
    bins = [{"pictures": 20, "chroma": [5.4, 9.6], "skill": interval(-0.333)}] * 5
    return {
        "protocol": {"gray": "rec601", "resize": None, "ssim": "uniform", "colorfulness": "signed"} | changes,
        "set": {"pictures": 100, "left_out": {"fog.jpg": 1.2, "ash.jpg": 0.4}, "manifest": "0123456789abcdef"},
        "summary": {"gray": row(23.069, 0.0, None, []), "my | model": row(24.025, 0.956, 0.914, bins)},
    }


def cells(line):
    return [cell.strip() for cell in line.replace("\\|", "/").strip("|").split("|")]


# Tables


def test_the_table_has_a_line_for_each_row_and_a_cell_for_each_heading():
    heading, rule, gray, model = map(cells, report.markdown_table(evaluation()).splitlines())
    assert heading == list(report.HEADINGS)
    assert rule == ["---"] + ["---:"] * 9
    assert gray[:4] == ["gray", "23.07 [22.57, 23.57]", "0.952", "+0.00"]
    assert gray[4:] == ["-1.50", "11.95 / 17.46", "88.7", "0.46", "62", "–"]
    assert model[:1] + model[-1:] == ["my / model", "0.91"]


def test_the_whole_report_gives_differences_fifths_and_what_is_left_out():
    text = report.markdown(evaluation())
    lines = [cells(line) for line in text.splitlines()]
    assert ["gray", "+0.00 [-0.50, +0.50]", "-1.00 [-1.50, -0.50]", "–"] in lines
    assert ["my / model", "+0.96 [+0.46, +1.46]", "-0.04 [-0.54, +0.46]", "-3.00 [-3.50, -2.50] (16)"] in lines
    assert ["my / model"] + ["-0.33 (5–10)"] * 5 in lines
    assert text.endswith("Left out as gray-in-color (2): ash.jpg, fog.jpg.\n")


def test_networks_are_listed_with_what_they_score():
    card = zoo.Card("paper", "patch", 9, "", 2215475, ["a", "b"], "", "", 0.0, "", "")
    names = ("gray", "tint", "picture mean", "round trip other", "other", "other, as published")
    rows = {name: row(23.069 + number, 0.0, None, []) for number, name in enumerate(names)}
    measured = replace(card, name="other", scores={"bsds500/val": {"manifest": "", "rows": rows}})
    shown = "gray 23.07, tint 24.07, other 27.07, other, as published 28.07"
    _, _, *lines = map(cells, report.cards([(card, 8_900_000), (measured, 450_000)]).splitlines())
    assert lines == [
        ["paper", "2,215,475", "8.9 MB", "a; then b", "–"],
        ["other", "2,215,475", "0.5 MB", "a; then b", "bsds500/val: " + shown],
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "100 photographs at full size; input: Rec.601 gray; set 0123456789ab."),
        ({"gray": "l"}, "100 photographs at full size; input: the truth's own L (an easier task); set 0123456789ab."),
        ({"resize": 256}, "100 photographs stretched to 256×256; input: Rec.601 gray; set 0123456789ab."),
        (
            {"ssim": "gaussian", "colorfulness": "absolute"},
            "100 photographs at full size; input: Rec.601 gray; SSIM with the 11×11 Gaussian window; "
            "colorfulness of absolute opponent colors; set 0123456789ab.",
        ),
    ],
)
def test_rows_are_labeled_with_the_conditions_they_were_made_under(changes, sentence):
    assert report.conditions(evaluation(**changes)) == sentence
    assert report.markdown(evaluation(**changes)).startswith(sentence)


# Sheets


def flat(color, height=30, width=40, dtype=np.uint8):
    scale = 257 if dtype == np.uint16 else 1
    return np.full((height, width, 3), color, dtype) * dtype(scale)


def draw(tmp_path, columns, rows, width=80):
    path = tmp_path / "sheet.png"
    report.sheet(columns, rows, path, width=width)
    return np.asarray(PIL.Image.open(path).convert("RGB")).astype(int)


def find(page, color):
    """Rows and columns that ``color`` fills: top, bottom, left, right."""
    down, across = np.nonzero(np.abs(page - color).max(axis=-1) < 3)
    return down.min(), down.max() + 1, across.min(), across.max() + 1


def test_pictures_stand_side_by_side_at_one_width_in_their_proportions(tmp_path):
    page = draw(tmp_path, ["a", "b"], [[report.Cell(flat(RED)), report.Cell(flat(BLUE, 60, 120))]])
    top, bottom, left, right = find(page, RED)
    assert (right - left, bottom - top) == (80, 60)
    other_top, other_bottom, other_left, other_right = find(page, BLUE)
    assert (other_right - other_left, other_bottom - other_top) == (80, 40)
    assert other_top == top and 0 < other_left - right < 10


def test_rows_stand_below_each_other_and_may_come_from_a_generator(tmp_path):
    page = draw(tmp_path, ["a"], ([report.Cell(flat(color))] for color in (RED, GREEN, BLUE)))
    tops = [find(page, color)[0] for color in (RED, GREEN, BLUE)]
    assert tops == sorted(tops) and tops[1] - tops[0] == tops[2] - tops[1] > 60


def test_a_tall_picture_is_bounded_and_centered(tmp_path):
    page = draw(tmp_path, ["a"], [[report.Cell(flat(RED, 400, 40))]])
    top, bottom, left, right = find(page, RED)
    assert bottom - top == 120 and right - left == 12
    assert abs((left + right) - page.shape[1]) <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("gray", [False, True])
def test_gray_and_16_bit_pictures_look_like_8_bit_color_ones(tmp_path, dtype, gray):
    picture = flat((90, 90, 90), dtype=dtype)
    page = draw(tmp_path, [""], [[report.Cell(picture[..., 0] if gray else picture)]])
    top, bottom, left, right = find(page, (90, 90, 90))
    assert (page[top:bottom, left:right] == 90).all() and (bottom - top, right - left) == (60, 80)


def test_headings_stand_above_and_captions_below_on_white(tmp_path):
    def ink(page):
        top, bottom, _, _ = find(page, RED)
        return (page[:top].min() < 100, page[bottom:].min() < 180)

    cell, captioned = report.Cell(flat(RED)), report.Cell(flat(RED), "23.07 dB")
    assert ink(draw(tmp_path, [""], [[cell]])) == (False, False)
    assert ink(draw(tmp_path, ["gray"], [[cell]])) == (True, False)
    assert ink(draw(tmp_path, ["gray"], [[captioned]])) == (True, True)
    assert (draw(tmp_path, ["gray"], [[captioned]])[0] == 255).all()


@pytest.mark.parametrize(
    "text", ["a name that is rather long", "a name that is far too long for any cell " * 20, "W" * 99]
)
def test_a_long_caption_stays_within_its_cell(tmp_path, text):
    page = draw(tmp_path, ["", ""], [[report.Cell(flat(RED), text), report.Cell(flat(BLUE))]])
    _, bottom, left, _ = find(page, RED)
    written = np.nonzero(page[bottom:].min(axis=(0, 2)) < 250)[0]
    assert left <= written.min() and written.max() < find(page, BLUE)[2]
    assert written.max() - written.min() > 60


def test_letters_that_the_font_lacks_are_spelled_in_those_it_has(tmp_path):
    def caption(text):
        return draw(tmp_path, [""], [[report.Cell(flat(RED), text)]])

    assert np.array_equal(caption("Café 481×321 – ΔE"), caption("Cafe 481x321 - dE"))
    assert np.array_equal(caption("祖母.jpg"), caption("??.jpg"))


def test_a_short_row_leaves_white(tmp_path):
    page = draw(tmp_path, ["a", "b"], [[report.Cell(flat(RED))]])
    top, bottom, _, right = find(page, RED)
    assert (page[top:bottom, right:] == 255).all() and page.shape[1] > 160


def test_a_sheet_replaces_an_older_one_and_goes_by_its_suffix(tmp_path):
    path = tmp_path / "sheet.jpg"
    for color in (RED, GREEN):
        report.sheet(["a"], [[report.Cell(flat(color))]], path)
    with PIL.Image.open(path) as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image)[100, 100].astype(int) - GREEN).max() < 6
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.jpg"]


def test_a_sheet_that_cannot_be_written_or_drawn_says_why(tmp_path):
    with pytest.raises(OutputError, match=r"cannot be written: the folder .*nowhere does not exist"):
        report.sheet(["a"], [[report.Cell(flat(RED))]], tmp_path / "nowhere" / "sheet.png")
    with pytest.raises(PictureError, match="has no pixels"):
        report.sheet(["a"], [[report.Cell(np.zeros((0, 4, 3), np.uint8))]], tmp_path / "sheet.png")
