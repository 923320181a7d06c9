"""The page of the paper: every number on it is one of the results, and it can be drawn at any time."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser

import pytest

from colorcapsnet import claims, paper_report, pictures
from colorcapsnet.errors import DataError, MissingExtra
from tests import paper_results as made

pytestmark = pytest.mark.medium


def drawn(folder, results=None, curves=None, **changes):
    made.write(folder, made.everything() if results is None else results, **changes)
    return [path.read_text() for path in paper_report.draw(folder, curves)]


def lines(page):
    """Cells of all lines of tables, by their first cell."""
    rows = [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in page.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows}


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.cells, self.images, self.open = [], [], False

    def handle_starttag(self, tag, attrs):
        self.open = tag in ("td", "th")
        if self.open:
            self.cells.append("")
        if tag == "img":
            self.images.append(dict(attrs)["src"])

    def handle_data(self, text):
        if self.open:
            self.cells[-1] += text

    def handle_endtag(self, _):
        self.open = False


def test_both_pages_have_the_same_tables_and_the_same_figures(tmp_path):
    markdown, page = drawn(tmp_path)
    parser = Cells()
    parser.feed(page)
    in_markdown = [
        cell
        for line in markdown.splitlines()
        if line.startswith("| ") and not line.startswith("| ---")
        for cell in re.split(r" (?<!\\)\| ", line.removeprefix("| ").removesuffix(" |"))
    ]
    assert parser.cells == in_markdown
    assert parser.images == re.findall(r"!\[.*\]\((.+)\)", markdown)


def test_every_figure_is_there_and_is_a_picture(tmp_path):
    markdown, _ = drawn(tmp_path)
    figures = re.findall(r"!\[.*\]\((.+)\)", markdown)
    assert len(figures) == len(set(figures)) == 9
    for figure in figures:
        assert pictures.read(tmp_path / figure).width > 300


def test_a_variant_has_its_loss_with_the_spread_of_seeds_its_data_time_and_differences(tmp_path):
    row = lines(drawn(tmp_path)[0])["with 6 capsules"]
    assert row[:3] == ["1,000", "0.00305 [0.00300, 0.00310]", "–"]
    assert row[3] == "1,234 patches of 40 pictures, 1 in 7 (set 01234567)"
    assert row[4] == "2 × 40 steps of 32, 30 s a run"
    assert row[5].split() == ["D", "T", "E", "B", "H", "F"]


def test_published_values_stand_beside_ours(tmp_path):
    rows = lines(drawn(tmp_path)[0])
    assert rows["original front"][1:3] == ["0.00520 [0.00510, 0.00530]", "0.0035"]
    assert rows["ColorCapsNet, 50 epochs"] == ["DIV2K validation", "22.20", "0.88", "–", "–", "as published"]


def test_a_row_that_was_not_run_says_why(tmp_path):
    rows = lines(drawn(tmp_path)[0])
    assert "not run: weights not given" in rows["VGG front, VGG-19's weights"]
    assert rows["ours"][-1] == "not run: no test pictures"


def test_the_stand_in_for_transferred_filters_is_kept_apart_and_named(tmp_path):
    markdown, _ = drawn(tmp_path)
    row = lines(markdown)["VGG front, distilled (stand-in)"]
    assert row[2] == "–"
    assert row[-1].split()[-1] == "S"
    assert "explain 62% of the variance of a teacher" in markdown


def test_every_letter_of_a_row_is_explained(tmp_path):
    rows = lines(drawn(tmp_path)[0])
    letters = {letter for name in ("original front", "9×9", "step 1") for letter in rows[name][-1].split()}
    assert letters <= set(rows)
    assert "F" not in rows["original front"][-1].split()


def test_on_the_papers_sets_in_full_little_differs(tmp_path):
    share = {"every": 1, "batch": 128, "seconds": 1.0, "enough": True}
    changes = {"chain": ["paper-1-ilsvrc", "paper-2-div2k", "paper-3-div2k-val"], "epochs": 10}
    changes |= {"chain_epochs": [50, 50, 10], "shares": dict.fromkeys(made.plan()["shares"], share)}
    rows = lines(drawn(tmp_path, **changes)[0])
    assert rows["with 6 capsules"][-1].split() == ["H", "F"]
    assert not {"D", "P", "T", "E", "B"} & set(rows)


def test_scores_have_intervals_and_the_round_trip_stands_once(tmp_path):
    rows = lines(drawn(tmp_path)[0])
    assert rows["shipped, as published"][:3] == [
        "2 of 100 BSDS500 validation",
        "24.00 [23.50, 24.50]",
        "0.900 [0.890, 0.910]",
    ]
    assert sum(name.startswith("round trip step") for name in rows) == 1


def test_open_questions_are_answered_with_differences_and_capsules(tmp_path):
    rows = lines(drawn(tmp_path)[0])
    assert rows["lightness kept instead of redrawn"] == ["2", "+0.75 [+0.50, +1.00]", "+0.030 [+0.020, +0.040]"]
    assert rows["capsule"] == ["pale (12)", "red (0)", "by hue", "by gray"]
    assert rows["2"] == ["0.456", "–", "50%", "12%"]


def test_cost_rows_say_what_is_unmeasured(tmp_path):
    rows = lines(drawn(tmp_path)[0])
    assert rows["this machine"] == ["36.5", "3,507", "105.1", "measured"]
    assert rows["one GPU"] == ["–", "–", "–", "unmeasured: no GPU here"]


def test_every_claim_has_a_line_with_its_verdict(tmp_path):
    rows = lines(drawn(tmp_path)[0])
    found = claims.Found.read(tmp_path)
    for claim in claims.CLAIMS:
        where, measured, said, rule = rows[claim.text]
        assert (where, rule) == (claim.where, claim.rule)
        assert measured == claim.judge(found).measured
        assert said.startswith(claim.judge(found).said)


def test_losses_of_a_longer_chain_stand_beside_when_they_are_given(tmp_path):
    curves = tmp_path / "curves.json"
    curves.write_text('{"standin-1-ilsvrc": {"epochs": [{"epoch": 1, "loss": 0.0075}, {"epoch": 2, "loss": 0.0025}]}}')
    rows = lines(drawn(tmp_path / "report", curves=curves)[0])
    assert rows["step 1"][2] == "0.00750 -> 0.00250"
    assert rows["step 2"][2] == "–"


@pytest.mark.parametrize("missing", list(made.everything()))
def test_a_page_is_drawn_with_what_is_there(tmp_path, missing):
    results = {name: result for name, result in made.everything().items() if name != missing}
    markdown, _ = drawn(tmp_path, results)
    assert markdown.count("Not run yet") == (missing != "parameters")


def test_drawing_again_gives_the_same_page_and_leaves_the_results_alone(tmp_path):
    first = drawn(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "results").rglob("*") if path.is_file()}
    assert [path.read_text() for path in paper_report.draw(tmp_path)] == first
    assert {path: path.read_bytes() for path in (tmp_path / "results").rglob("*") if path.is_file()} == before


def test_lines_differ_without_color():
    assert len(set(paper_report.LINES)) == len(paper_report.LINES) >= 6


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no results: run `colorcapsnet report paper` with --data first"):
        paper_report.draw(tmp_path)


def test_a_damaged_result_is_named(tmp_path):
    made.write(tmp_path, made.everything())
    (tmp_path / "results/chain.json").write_text("{")
    with pytest.raises(DataError, match=r"chain\.json cannot be read as JSON"):
        paper_report.draw(tmp_path)


@pytest.mark.parametrize("content", ['{"a": 1}', '{"a": {"epochs": [{"epoch": 1}]}}', '{"a": {}}'])
def test_curves_without_losses_are_refused(tmp_path, content):
    made.write(tmp_path, made.everything())
    (tmp_path / "curves.json").write_text(content)
    with pytest.raises(DataError, match=r"curves\.json gives no losses by epoch for a"):
        paper_report.draw(tmp_path, tmp_path / "curves.json")


def test_without_matplotlib_it_says_how_to_get_it(tmp_path, monkeypatch):
    made.write(tmp_path, made.everything())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"this needs matplotlib, .*pip install 'colorcapsnet\[report\]'"):
        paper_report.draw(tmp_path)
