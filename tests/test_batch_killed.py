"""A folder whose run is killed again and again comes out whole."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from colorcapsnet import pictures
from colorcapsnet.pictures import Picture

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from colorcapsnet import batch

class Sepia:
    def colorize(self, picture, advance=None, strength=1.0):
        print(picture.name, flush=True)
        return picture.with_color(np.dstack([picture.gray, picture.gray // 2, picture.gray // 4]))

outcomes = batch.colorize_all(batch.plan([Path("album")], Path("out")), Sepia())
print(batch.summary(outcomes))
"""
PICTURES = 48


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    place = tmp_path_factory.mktemp("killed")
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        suffix = ("png", "tif", "jpg", "webp")[number % 4]
        path = place / "album" / f"{number // 10}" / f"{number:02}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures.write(Picture(rng.integers(0, 256, (500, 700), np.uint8)), path)
    return place


def results(out: Path) -> dict[Path, int]:
    """Everything that has a final name -> when it was written."""
    return {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name[0] != "."}


def run_until_killed(place: Path, seconds: float) -> None:
    """Let the program color for a while, counted from its first picture, then SIGKILL it."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=place, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        process.kill()


@pytest.mark.slow
def test_a_run_that_is_killed_ten_times_loses_nothing_and_does_nothing_twice(album):
    moments = random.Random(0)
    done: dict[Path, int] = {}
    interrupted = 0
    for _ in range(10):
        run_until_killed(album, moments.uniform(0, 0.2))
        now = results(album / "out")
        assert {path: now[path] for path in done} == done
        for path in now.keys() - done.keys():
            assert pictures.read(path).array.shape == (500, 700, 3)
        interrupted += len(now) < PICTURES
        done = now
    assert interrupted
    last = subprocess.run([sys.executable, "-c", PROGRAM], cwd=album, capture_output=True, text=True, check=True)
    *colored, summary = last.stdout.splitlines()
    assert len(colored) == PICTURES - len(done)
    assert summary.startswith(f"{len(colored)} colored")
    final = results(album / "out")
    assert {path: final[path] for path in done} == done
    names = {path.relative_to(album / "album") for path in (album / "album").rglob("*.*")}
    assert {path.relative_to(album / "out") for path in final} == names
    for name in names:
        gray = pictures.read(album / "album" / name).array
        if name.suffix in (".png", ".tif"):
            assert np.array_equal(pictures.read(album / "out" / name).array[..., 0], gray)
