"""Through a pipe: the picture and nothing else comes out, and what is wrong is said in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from colorcapsnet import pictures, zoo
from colorcapsnet.verify import verify

pytestmark = pytest.mark.medium

SAMPLE = Path(__file__).parents[1] / "samples" / "chelsea.png"


def run(*arguments, given=None):
    command = [sys.executable, "-m", "colorcapsnet", "colorize", *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True)


def test_what_comes_out_is_what_a_file_would_hold(tmp_path):
    piped = run("-", "-o", "-", given=SAMPLE.read_bytes())
    assert piped.returncode == 0, piped.stderr
    assert run(SAMPLE, "-o", tmp_path / "c.png").returncode == 0
    assert piped.stdout == (tmp_path / "c.png").read_bytes()


def test_one_end_may_be_a_file(tmp_path):
    out = run(SAMPLE, "-o", "-", "--format", "jpg")
    assert out.stdout.startswith(b"\xff\xd8")
    done = run("-", "-o", tmp_path / "c.webp", given=SAMPLE.read_bytes())
    assert done.returncode == 0, done.stderr
    assert pictures.read(tmp_path / "c.webp").format == "webp"
    again = run("-", "-o", tmp_path / "c.webp", given=SAMPLE.read_bytes())
    assert (again.returncode, again.stderr.count(b"\n")) == (1, 1)
    assert b"is there already" in again.stderr


def test_all_pages_go_through_a_pipe_and_where_only_one_fits_that_is_said(tmp_path):
    gray = pictures.read(SAMPLE).gray
    pages = [pictures.Picture(gray[:60, :80].copy()), pictures.Picture(gray[60:90, :50].copy())]
    pictures.write_pages(pages, tmp_path / "g.tif")
    given = (tmp_path / "g.tif").read_bytes()
    piped = run("-", "-o", "-", given=given)
    assert (piped.returncode, piped.stderr) == (0, b"")
    (tmp_path / "c.tif").write_bytes(piped.stdout)
    assert verify(tmp_path / "g.tif", tmp_path / "c.tif").message.endswith("kept on all 2 pages")
    first = run("-", "-o", tmp_path / "c.png", given=given)
    assert (first.returncode, first.stderr) == (0, b"only the first of 2 pages\n")
    placed = run("-", "-o", tmp_path / "d.tif", "--recolor", "9,9=#a03020", given=given)
    assert (placed.returncode, placed.stderr.count(b"\n"), (tmp_path / "d.tif").exists()) == (1, 1, False)
    assert b"places in hints and --recolor are for one picture" in placed.stderr


@pytest.mark.parametrize(("given", "said"), [(b"", b"nothing came through the pipe"), (b"text", b"is not a JPEG")])
def test_what_is_no_picture_is_refused_in_one_line(given, said):
    done = run("-", "-o", "-", given=given)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)
    assert said in done.stderr


def test_a_reader_that_leaves_is_told_of_in_one_line():
    command = [sys.executable, "-m", "colorcapsnet", "colorize", str(SAMPLE), "-o", "-", "--format", "tiff"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait() == 1
    assert (b"the other end of the pipe closed" in said, said.count(b"\n")) == (True, 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", ["models", f"colorize {SAMPLE} -o -", f"suggest-hints {SAMPLE}"])
def test_an_output_that_is_full_is_told_of_in_one_line(words):
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "colorcapsnet", *words.split()]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"standard output cannot be written (No space left on device)" in done.stderr


def test_folders_candidates_and_reports_do_not_go_through_a_pipe():
    for more in (("--candidates", "2"), ("--dry-run",), ("--report", "r.json"), (SAMPLE,)):
        done = run("-", "-o", "-", *more, given=SAMPLE.read_bytes())
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"through a pipe goes one picture" in done.stderr


def test_a_dry_run_names_every_file_and_writes_none(tmp_path):
    (tmp_path / "scans/deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.png"):
        (tmp_path / "scans" / name).write_bytes(SAMPLE.read_bytes())
    done = run(tmp_path / "scans", "-o", tmp_path / "out", "--dry-run", "--format", "jpg")
    targets = [line.split(" -> ")[1] for line in done.stdout.decode().splitlines()]
    assert targets == [str(tmp_path / "out" / name) for name in ("a.jpg", "deep/b.jpg")]
    assert not (tmp_path / "out").exists()
    (tmp_path / "out/deep").mkdir(parents=True)
    (tmp_path / "out/a.jpg").write_bytes(b"done before")
    again = run(tmp_path / "scans", "-o", tmp_path / "out", "--dry-run", "--format", "jpg")
    assert [line.split(" -> ")[1] for line in again.stdout.decode().splitlines()] == targets[1:]


def test_a_report_that_could_not_be_written_is_refused_before_the_first_picture(tmp_path):
    done = run(SAMPLE, "-o", tmp_path / "c.png", "--report", SAMPLE / "r.json")
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert not (tmp_path / "c.png").exists()


def test_no_folder_of_anybodys_goes_into_a_picture(tmp_path):
    other = SAMPLE.with_name("coffee.png")
    assert run(SAMPLE, "-o", tmp_path / "c.png", "--reference", other.resolve()).returncode == 0
    xmp = pictures.read(tmp_path / "c.png").metadata.xmp.decode()
    assert "coffee.png" in xmp
    assert str(other.parent.resolve()) not in xmp


def test_a_report_says_what_became_of_every_picture(tmp_path):
    (tmp_path / "scans").mkdir()
    pictures.write(pictures.Picture(np.full((20, 30), 90, np.uint8)), tmp_path / "scans/a.png")
    (tmp_path / "scans/b.png").write_bytes(b"broken")
    done = run(tmp_path / "scans", "-o", tmp_path / "out", "--report", tmp_path / "r.json", "--jobs", "1")
    assert done.returncode == 1
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["count"] == {"done": 1, "failed": 1}
    assert [row["status"] for row in report["pictures"]] == ["done", "failed"]
    assert "b.png" in report["pictures"][1]["message"]
    assert report["provenance"]["modelHash"] == zoo.Card.load(zoo.find("deep").with_suffix(".json")).sha256


def test_provenance_is_written_unless_it_is_left_out(tmp_path):
    run(SAMPLE, "-o", tmp_path / "a.png", "--strength", "1.5")
    xmp = pictures.read(tmp_path / "a.png").metadata.xmp
    assert b"<colorcapsnet:strength>1.5<" in xmp
    assert b"compositeWithTrainedAlgorithmicMedia" in xmp
    run(SAMPLE, "-o", tmp_path / "b.png", "--strength", "1.5", "--no-provenance")
    without = pictures.read(tmp_path / "b.png")
    assert without.metadata.xmp == pictures.read(SAMPLE).metadata.xmp
    assert np.array_equal(without.array, pictures.read(tmp_path / "a.png").array)
