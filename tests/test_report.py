"""Tables and sheets: what is drawn is what was given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner

from colorcapsnet import color, evaluate, maps, metrics, report, uses, zoo
from colorcapsnet.cli import main
from colorcapsnet.colorizer import Colorizer
from colorcapsnet.errors import DataError, OutputError, PictureError
from tests.tiny import write_model, write_photograph_model

SAMPLES = Path(__file__).parents[1] / "samples"

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
        "over": {"paper": interval(skill - 2)},
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
    heading = ["PSNR difference, dB [95%]", "to gray", "to tint", "to paper", "to gray, muted pictures"]
    to_gray, to_tint, to_paper = "+0.96 [+0.46, +1.46]", "-0.04 [-0.54, +0.46]", "-1.04 [-1.54, -0.54]"
    assert heading in lines
    assert ["gray", "+0.00 [-0.50, +0.50]", "-1.00 [-1.50, -0.50]", "-2.00 [-2.50, -1.50]", "–"] in lines
    assert ["my / model", to_gray, to_tint, to_paper, "-3.00 [-3.50, -2.50] (16)"] in lines
    assert ["my / model"] + ["-0.33 (5–10)"] * 5 in lines
    assert text.endswith("Left out as gray-in-color (2): ash.jpg, fog.jpg.\n")


def test_several_sets_are_told_one_after_the_other_then_their_means():
    means = {
        "psnr": 24.0251,
        "ssim": 0.9517,
        "skill": 0.956,
        "skill_p10": -1.5,
        "delta_e": 11.951,
        "colorfulness_ratio": 0.4567,
        "better_than_gray": 0.625,
    }
    text = report.markdown({"sets": {"a/b": evaluation(), "c/d": evaluation()}, "means": {"my | model": means}})
    assert text.count(report.markdown(evaluation())) == 2
    assert text.index("## a/b") < text.index("## c/d") < text.index("## Means over 2 sets")
    line = ["my / model", "24.03", "0.952", "+0.96", "-1.50", "11.95", "0.46", "62"]
    assert cells(text.strip().splitlines()[-1]) == line


def test_what_capsules_are_for_is_a_column_a_model(photographs, tmp_path):
    models = {name: Colorizer(str(write_photograph_model(tmp_path, name))) for name in ("one", "other")}
    measured = {name: uses.measure(photographs, model) for name, model in models.items()}
    measured["other"]["summary"]["leak"] = {"recolor": interval(0.31, 0.125), "hint": None}
    heading, _, *lines = map(cells, report.uses_table(measured).splitlines())
    assert heading == ["what capsules are for [95%]", "one", "other"]
    table = {name: values for name, *values in lines}
    assert table["leak, recolor"] == ["–", "0.31 [0.18, 0.43]"] and "leak, hint" not in table
    summary = measured["one"]["summary"]
    skill = summary["skill"]
    assert table["skill, dB"] == [f"{skill['value']:+.2f} [{skill['low']:+.2f}, {skill['high']:+.2f}]"] * 2
    for name, value in (
        ("gain of 50 points, dB", summary["hints"]["tool"]["gain"][4]),
        ("10 points over Levin's optimization, dB", summary["hints"]["over_levin"][3]),
        ("5 chosen points over random ones, dB", summary["hints"]["suggested_over_random"][1]),
        ("without: permuted, dB", summary["without"]["permuted"]),
    ):
        assert table[name][0].startswith(f"{value['value']:+.2f} ")
    assert table["confidence, largest gap"] == [f"{summary['confidence']['largest_gap']:.3f}"] * 2


def test_networks_are_listed_with_what_they_score():
    card = zoo.Card("paper", "patch", 9, "", 2215475, ["a", "b"], "", "", 0.0, "", "")
    names = ("gray", "tint", "picture mean", "round trip other", "other", "other, as published")
    rows = {name: row(23.069 + number, 0.0, None, []) for number, name in enumerate(names)}
    measured = replace(
        card, name="other", kind="photograph", size=256, scores={"bsds500/val": {"manifest": "", "rows": rows}}
    )
    shown = "gray 23.07, tint 24.07, other 27.07, other, as published 28.07"
    _, _, *lines = map(cells, report.cards([(card, 8_900_000), (measured, 450_000)]).splitlines())
    assert lines == [
        ["paper", "9×9 pixels at a time", "2,215,475", "8.9 MB", "a; then b", "–"],
        ["other", "all, at about 256×256", "2,215,475", "0.5 MB", "a; then b", "bsds500/val: " + shown],
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


# Targets

BEST = {"candidates_over_strengths": interval(-1.0, 0.5), "vivid_candidates_over_strengths": interval(2.0)}
USES = {
    "hints": {
        "tool": {"gain": [interval(value) for value in (0.0, 1.2, 3.0, 5.5, 8.1)]},
        "over_uncoupled": [interval(value) for value in (0.0, 0.3, 0.5, 0.6, 0.4)],
        "suggested_over_random": [interval(value) for value in (0.4, 0.2, -0.1)],
    },
    "best_of_5": BEST | {"strengths": interval(8.0)},
    "leak": {"recolor": interval(0.31)},
    "regions": {"over_kmeans": interval(0.02), "over_superpixels": interval(0.12)},
}


def files():
    """All that the targets ask for, of a model ``deep``."""

    def one(skill):
        bins = [{"pictures": 20, "chroma": [5, 9], "skill": interval(skill - 1.5)}]
        model = row(25, skill, 1.0, bins) | {"ssim": interval(0.962), "delta_e": interval(9.0)}
        model |= {"skill_p10": -0.7, "better_than_gray": interval(0.81)}
        vivid = model | {"skill": interval(-0.2), "colorfulness_ratio": interval(0.9)}
        rows = {"gray": row(23, 0.0, None, []), "paper": row(24.2, 1.2, 1.0, []), "deep": model, "deep, vivid": vivid}
        return {"summary": rows}

    sets = {"bsds500/val": one(2.345), "held/ilsvrc_photos": one(1.75), "held/faces": one(2.5), "held/scenes": one(1.0)}
    return [
        {"sets": sets},
        {"uses": {"bsds500/val": {"deep": {"summary": USES}}}},
        {"frechet": {"held/scenes": {"deep": {"summary": {"gray": 40.0, "mean": 30.0, "vivid": 18.0}}}}},
        {"benchmarks": {"weights_mb": 7.5, "photograph_s": 0.61, "scan_s": 1.9, "scan_mb": 700}},
    ]


def judged(told, model="deep"):
    """Target -> reach, aim, measured, met."""
    heading, _, *lines = map(cells, report.targets(report.Found.read(told, model)).strip().splitlines())
    assert heading == [model, "reach", "aim", "measured", "met"] and len(lines) == len(report.TARGETS)
    return {line[0]: line[1:] for line in lines}


@pytest.mark.parametrize(
    ("target", "measured", "met"),
    [
        ("skill, `bsds500/val`", "+2.35 dB", "reach"),
        ("skill, held `ilsvrc_photos`", "+1.75 dB, low end +1.25, +0.75 over tint, +0.80 over paper", "reach"),
        ("skill, held part of each other archive", "lowest low end +0.50 dB, mean +1.75", "reach"),
        ("tenth percentile of skill, mean of sets", "-0.70 dB", "reach"),
        ("skill by predicted chroma, worst bin of all sets", "high end +0.00 dB, mean -0.50", "reach"),
        ("pictures better than gray, mean of sets", "81%", "reach"),
        ("SSIM over gray, worst set", "+0.010", "reach"),
        ("ΔE against gray, worst set", "-25%", "aim"),
        ("colorfulness, vivid output, mean of sets", "off by 10%, skill -0.20 dB", "reach"),
        ("FD, vivid output, of gray's", "0.45", "reach"),
        (
            "hints: random true points",
            "+1.2 dB with 1, +3.0 dB with 5, +5.5 dB with 10, +8.1 dB with 50, +0.6 over no couplings, "
            "chosen -0.1 over random",
            "reach",
        ),
        ("best of 5 candidates against 5 strengths, ΔE", "high end -0.50, -12%", "aim"),
        ("leak of a recolor by point", "31%", "reach"),
        ("regions, adjusted Rand index", "+0.020 over k-means, +0.120 over SLIC", "reach"),
        ("shipped weights", "7.5 MB", "aim"),
        ("2040×1400 picture, whole call after load", "0.61 s", "reach"),
        ("24-megapixel JPEG to JPEG, whole process", "1.9 s, 700 MB", "reach"),
    ],
)
def test_each_target_is_held_against_what_was_measured(target, measured, met):
    assert judged(files())[target][2:] == [measured, met]


def test_what_is_asked_is_written_in_the_form_of_what_is_measured():
    table = judged(files())
    assert table["skill, `bsds500/val`"][:2] == ["≥ +2.00 dB", "≥ +2.80 dB"]
    assert table["leak of a recolor by point"][:2] == ["≤ 40%", "≤ 20%"]
    assert table["best of 5 candidates against 5 strengths, ΔE"][:2] == ["high end ≤ +0.00", "≤ -10%"]


def test_one_number_below_its_reach_is_a_target_missed():
    told = files()
    told[0]["sets"]["held/faces"]["summary"]["deep"]["skill"]["low"] = -0.1
    told[0]["sets"]["held/faces"]["summary"]["deep"]["ssim"] = interval(0.951)
    table = judged(told)
    assert table["skill, held part of each other archive"][2:] == ["lowest low end -0.10 dB, mean +1.75", "no"]
    assert table["SSIM over gray, worst set"][3] == "no"


def test_what_was_not_measured_is_open_and_no_target_is_met_without_it():
    table = judged(files()[:1])
    assert table["skill, `bsds500/val`"][3] == "reach"
    for target in ("leak of a recolor by point", "FD, vivid output, of gray's", "shipped weights"):
        assert table[target][2:] == ["–", "–"]
    assert judged([files()[1]])["skill, `bsds500/val`"][2:] == ["–", "–"]
    told = files()
    del told[0]["sets"]["held/ilsvrc_photos"]["summary"]["paper"]
    assert judged(told)["skill, held `ilsvrc_photos`"][3] == "–"


def test_sets_may_come_from_several_files():
    told = files()
    names = list(told[0]["sets"])
    apart = [{"sets": {name: told[0]["sets"][name] for name in part}} for part in (names[:1], names[1:])]
    assert judged([*apart, *told[1:]]) == judged(told)


def test_files_that_say_nothing_of_the_model_are_refused():
    with pytest.raises(DataError, match="nothing was measured of a model 'deeper'"):
        report.Found.read(files(), "deeper")
    with pytest.raises(
        DataError, match=r"neither sets, uses, frechet nor benchmarks: evaluate several sets \(--also\)"
    ):
        report.Found.read([evaluation()], "deep")


def test_rows_of_one_set_may_come_from_two_files():
    first, second = files()[0], files()[0]
    for one in first["sets"].values():
        del one["summary"]["paper"]
    assert judged([first, second])["skill, held `ilsvrc_photos`"] == judged(files())["skill, held `ilsvrc_photos`"]


def test_the_command_writes_the_table(tmp_path):
    paths = [tmp_path / f"{number}.json" for number in range(4)]
    for path, told in zip(paths, files(), strict=True):
        path.write_text(json.dumps(told))
    told = command("report", "targets", *paths, "-o", tmp_path / "t.md")
    assert (tmp_path / "t.md").read_text() == report.targets(report.Found.read(files(), "deep"))
    assert told.strip() == (tmp_path / "t.md").read_text().strip()


# Sheets


def command(*arguments, code=0):
    done = CliRunner().invoke(main, [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "truth"
    folder.mkdir()
    for name in ("astronaut.png", "chelsea.png", "coffee.png"):
        image = PIL.Image.open(SAMPLES / name).convert("RGB").resize((80, 60))
        image.save(folder / name)
    return folder


@pytest.fixture
def drawn(monkeypatch):
    """What a command hands to the sheet."""
    sheets = []
    monkeypatch.setattr(report, "sheet", lambda columns, rows, path: sheets.append((columns, [*rows], path)))
    return sheets


def test_the_command_shows_networks_side_by_side(tmp_path, photographs, drawn):
    photo, patch = write_photograph_model(tmp_path), write_model(tmp_path)
    model = Colorizer(str(photo))
    command(
        *("report", "sheet", photographs, "--model", patch, "--model", photo),
        *("--vivid", "--pick", 2, "-o", tmp_path / "sheet.png"),
    )
    ((columns, rows, path),) = drawn
    assert columns == ("gray", "tiny", "tiny-photo", "tiny-photo, vivid", "truth")
    assert path == tmp_path / "sheet.png" and len(rows) == 2
    named = evaluate.photographs(photographs)
    picked = evaluate.spread_by_skill(named, lambda _, gray: model.colorize(gray), 2)
    for name, row in zip(picked, rows, strict=True):
        truth = evaluate.read(named[name])
        gray = color.gray(truth)
        outputs = [Colorizer(str(patch)).colorize(gray), model.colorize(gray), model.colorize(gray, strength=2.0)]
        expected = [np.dstack([gray] * 3), *outputs, truth]
        assert all(np.array_equal(cell.picture, each) for cell, each in zip(row, expected, strict=True))
        shown = [f"{metrics.psnr(truth, each):.1f} dB" for each in expected[:-1]]
        assert [cell.caption for cell in row] == [*shown, name]


def test_the_command_leaves_vivid_colors_out_unless_asked(tmp_path, photographs, drawn):
    command("report", "sheet", photographs, "--model", write_photograph_model(tmp_path), "-o", tmp_path / "s.png")
    ((columns, rows, _),) = drawn
    assert columns == ("gray", "tiny-photo", "truth") and len(rows) == 3


def test_the_command_shows_a_folder_of_outputs(tmp_path, photographs):
    command("report", "sheet", photographs, photographs, "--pick", 2, "-o", tmp_path / "s.png")
    assert evaluate.read(tmp_path / "s.png").shape[1] > 3 * 320
    told = command("report", "sheet", photographs, "-o", tmp_path / "s.png", code=2)
    assert "give either a folder of OUTPUTS or --model NAME" in told


def test_the_command_shows_what_capsules_make_of_pictures(tmp_path, photographs, drawn):
    model = write_photograph_model(tmp_path)
    files = [photographs / "coffee.png", photographs / "chelsea.png"]
    command("report", "capsules", *files, "--model", model, "-o", tmp_path / "c.png")
    ((columns, rows, _),) = drawn
    assert columns == ("gray", "capsules", "mean", "vivid", "confidence") and len(rows) == 2
    canvas = Colorizer(str(model)).open(files[0])
    gray, capsules, mean, vivid, sure = rows[0]
    assert (gray.caption, sure.caption) == ("coffee.png", f"{canvas.confidence().mean():.0%} sure")
    assert np.array_equal(mean.picture, canvas.color().array)
    assert np.array_equal(vivid.picture, canvas.color(2.0).array)
    lightness = color.lightness(canvas.gray)
    assert np.array_equal(capsules.picture, maps.capsule_map(canvas.known.coupling, lightness))
    assert sure.picture.mean() / 255 == pytest.approx(canvas.confidence().mean(), abs=0.02)


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
    for ink in (RED, GREEN):
        report.sheet(["a"], [[report.Cell(flat(ink))]], path)
    with PIL.Image.open(path) as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image)[100, 100].astype(int) - GREEN).max() < 6
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.jpg"]


def test_a_sheet_that_cannot_be_written_or_drawn_says_why(tmp_path):
    with pytest.raises(OutputError, match=r"cannot be written: the folder .*nowhere does not exist"):
        report.sheet(["a"], [[report.Cell(flat(RED))]], tmp_path / "nowhere" / "sheet.png")
    with pytest.raises(PictureError, match="has no pixels"):
        report.sheet(["a"], [[report.Cell(np.zeros((0, 4, 3), np.uint8))]], tmp_path / "sheet.png")
