"""The map from the paper to the code: every line that it names still says what it is named for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/paper.md").read_text()
ROWS = re.findall(r"^\| (.+?) \| \[(.+?):(\d+)\]\(\.\./(.+?)#L(\d+)\) \| `(.+?)` \|$", TEXT, re.MULTILINE)


def test_the_map_is_read_whole():
    assert len(ROWS) == len(re.findall(r"#L\d+", TEXT)) > 30


@pytest.mark.parametrize(("what", "name", "number", "path", "anchor", "said"), ROWS, ids=[row[0] for row in ROWS])
def test_the_line_says_it(what, name, number, path, anchor, said):
    lines = (ROOT / path).read_text().splitlines()
    assert (path, anchor) == (f"colorcapsnet/{name}", number)
    found = [place for place, line in enumerate(lines, start=1) if said in line]
    assert int(number) in found, f"docs/paper.md sends {what!r} to {name}:{number}; `{said}` stands in line {found}"


@pytest.mark.parametrize("part", ["equation 7", "equation 8", "Figure 4a", "Figure 4b", "Figure 4c", "Table 1"])
def test_what_the_paper_numbers_is_in_the_map(part):
    assert any(part in row[0] for row in ROWS)
