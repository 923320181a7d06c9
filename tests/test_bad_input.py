"""What goes wrong around a command: a full disk, a stop, links in a loop, names of every kind, pictures too large.

Always one clear line and the right exit code, and nothing that was there is lost.
"""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
import sys
import zlib
from functools import partial
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from colorcapsnet import Picture, pictures
from colorcapsnet.cli import main
from tests.memory import PEAK
from tests.tiny import write_photograph_model

MODEL = ("--model", "tiny-photo.onnx")
LONG = "x" * 300


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A folder with a picture, a folder of pictures, and a tiny network."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for number, name in enumerate(("a.png", "in/b.png", "in/c.png")):
        noise = np.random.default_rng(number).integers(0, 256, (90, 120), np.uint8)
        Picture(noise).save(name)
    write_photograph_model(tmp_path)


def files():
    return {path.as_posix(): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def run(*arguments, code=0):
    """A verb, in this process; what it printed and what it said."""
    done = CliRunner().invoke(main, [*map(str, arguments), *MODEL])
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr


def refused(*arguments, code=1):
    """Its last line on standard error; there is no file more or less than before."""
    before = files()
    out, err = run(*arguments, code=code)
    assert files() == before
    assert out == ""
    lines = err.strip().splitlines()
    assert code == 2 or len(lines) <= 2, err
    return lines[-1]


@pytest.fixture
def full_disk():
    """Files may have 8,000 bytes, less than any picture here needs, and more than hints do."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(
    ("options", "file"),
    [
        (["-o", "x.png"], "x.png"),
        (["-o", "x.jpg"], "x.jpg"),
        (["-o", "in/b.png", "--force"], "in/b.png"),
        (["-o", "x.png", "--candidates", "3"], "x-2.png"),
        (["-o", "x.png", "--capsules", "m.png"], "m.png"),
        (["-o", "x.png", "--chroma-only", "layer"], "x.png"),
        (["-o", "x.tif", "--chroma-only", "ab"], "x.tif"),
    ],
)
def test_a_full_disk_is_told_of_and_leaves_what_was_there(full_disk, options, file):
    line = refused("colorize", "a.png", *options)
    assert line == f"  a.png: {file} cannot be written (File too large): choose another place"


def test_a_full_disk_in_a_folder_is_told_of_every_picture_and_a_second_run_makes_good(full_disk):
    out, err = run("colorize", "in", code=1)
    assert out == ""
    assert [line.split(":")[0] for line in err.splitlines()[-2:]] == ["  in/b.png", "  in/c.png"]
    assert not any(path.is_file() for path in Path("in-color").rglob("*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    assert run("colorize", "in")[0].split() == ["in-color/b.png", "in-color/c.png"]


def test_a_full_disk_does_not_take_suggestions_for_written(full_disk):
    assert refused("suggest-hints", "a.png", "--map", "m.png") == (
        "Error: m.png cannot be written (File too large): choose another place"
    )


def colorcapsnet(*arguments):
    return [sys.executable, "-m", "colorcapsnet", *arguments, *MODEL]


@pytest.mark.medium
def test_a_run_that_is_stopped_ends_what_it_began_and_goes_on_from_there():
    Path("many").mkdir()
    for number in range(200):
        Path(f"many/{number:03}.png").write_bytes(Path("a.png").read_bytes())
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs do not hear it
    command = colorcapsnet("colorize", "many")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heard) as process:
        while not list(Path().glob("many-color/*.png")):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait() == 1, said
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1] == "Aborted!"
    assert not list(Path().rglob(".*.tmp"))
    done = files()
    begun = [name for name in done if name.startswith("many-color")]
    assert 0 < len(begun) < 200
    assert len(run("colorize", "many")[0].split()) == 200 - len(begun)
    assert all(Path(name).read_bytes() == content for name, content in done.items())


def test_links_in_a_loop_are_pictures_that_failed_and_stop_nothing():
    Path("in/deep").mkdir()
    for name, target in (("up", "../.."), ("self.png", "self.png"), ("one.png", "two.png"), ("two.png", "one.png")):
        Path("in/deep", name).symlink_to(target)
    out, err = run("colorize", "in", code=1)
    assert out.split() == ["in-color/b.png", "in-color/c.png"]
    assert err.splitlines()[-4].endswith("2 colored, 3 failed:")
    for line, name in zip(err.splitlines()[-3:], ("one", "self", "two"), strict=True):
        assert line == f"  in/deep/{name}.png cannot be opened (Too many levels of symbolic links): check the name"
    for option in ("--reference", "--hints"):
        line = refused("colorize", "a.png", option, "in/deep/one.png")
        assert line.endswith("one.png cannot be opened (Too many levels of symbolic links): check the name")
    assert "in/deep/one.png is there already" in refused("colorize", "a.png", "-o", "in/deep/one.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["colorize", f"{LONG}.png"], "does not exist: check the name"),
        (["colorize", "a.png", "-o", f"{LONG}.png"], "cannot be written (File name too long)"),
        (["colorize", "a.png", "-o", f"{LONG}/{LONG}.png"], "the folder"),
        (["colorize", "a.png", "-o", "x.png", "--hints", f"{LONG}.json"], "File name too long"),
        (["colorize", "a.png", "-o", "x.png", "--hints", f"{LONG}.png"], "cannot be opened (File name too long)"),
        (["colorize", "a.png", "-o", "x.png", "--reference", f"{LONG}.png"], "cannot be opened (File name too long)"),
        (["colorize", "a.png", "-o", "x.png", "--capsules", f"{LONG}.png"], "cannot be written (File name too long)"),
        (["suggest-hints", f"{LONG}.png"], "cannot be opened (File name too long)"),
        (["suggest-hints", "a.png", "-o", f"{LONG}.json"], "cannot be written (File name too long)"),
    ],
)
def test_a_name_that_is_too_long_is_refused_in_one_line(arguments, message):
    assert message in refused(*arguments)


@pytest.mark.parametrize("name", [f"{LONG}.onnx", LONG, "a\0b.onnx"])
def test_a_network_whose_name_cannot_be_a_file_does_not_exist(name):
    before = files()
    done = CliRunner().invoke(main, ["colorize", "a.png", "--model", name])
    assert (done.exit_code, done.stderr.count("\n"), files()) == (1, 1, before)
    assert "one of: deep, paper" in done.stderr


def test_a_name_that_is_just_short_enough_keeps_its_place_in_a_folder():
    name = "y" * 250 + ".png"
    Path("in", name).write_bytes(Path("a.png").read_bytes())
    assert len(run("colorize", "in")[0].split()) == 3
    assert "File name too long" in refused("colorize", f"in/{name}")  # NAME-color.png is longer


@pytest.mark.parametrize(
    "arguments",
    [["colorize", ""], ["colorize", "a.png", "-o", ""], ["colorize", "a.png", "--hints", ""], ["suggest-hints", ""]],
)
def test_an_empty_name_is_a_wrong_call_and_not_this_folder(arguments):
    assert refused(*arguments, code=2).endswith("the name is empty")


@pytest.mark.medium
@pytest.mark.skipif(os.name == "nt", reason="names differ")
@pytest.mark.parametrize(
    "name", ["größe 日本 𝄞", "two\nlines", "b\udcff\udcfe", "'quo\"tes' $x; &", "-dash", "e\u0301", ".x"]
)
def test_a_name_of_any_kind_is_kept(name, tmp_path):
    (tmp_path / f"{name}.png").write_bytes(Path("a.png").read_bytes())
    more = ("--report", "r.json", "--", f"{name}.png")
    done = subprocess.run([*colorcapsnet("colorize"), *more], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == click.format_filename(f"{name}-color.png") + "\n"
    assert pictures.read(tmp_path / f"{name}-color.png").array.shape == (90, 120, 3)
    assert Path("r.json").exists()


def claiming(width, height):
    """A PNG of a few hundred bytes that says it is this large."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def test_a_small_file_that_says_it_is_huge_takes_no_memory():
    Path("huge.png").write_bytes(claiming(40_000, 30_000))
    Path("large.png").write_bytes(claiming(20_000, 20_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "40000×30000 pixels, over the limit of 500,000,000: make it smaller" in refused("colorize", "huge.png")
    assert "large.png is damaged, cut short" in refused("colorize", "large.png")
    assert "over the limit" in refused("colorize", "a.png", "--reference", "huge.png")
    assert "over the limit" in refused("colorize", "a.png", "--hints", "huge.png")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.slow
def test_a_scan_of_100_megapixels_is_colored_in_under_a_gigabyte():
    Picture(np.tile(np.arange(10_000, dtype=np.uint16).astype(np.uint8), (10_000, 1))).save("scan.tif")
    program = "import sys; from colorcapsnet.cli import main\n" + (
        f"try: main()\nfinally: print({PEAK} // 1024, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, "colorize", "scan.tif", *MODEL], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.splitlines()[-1]) < 1000
    colored = pictures.pyvips.Image.new_from_file("scan-color.tif")
    assert (colored.width, colored.height, colored.bands) == (10_000, 10_000, 3)
