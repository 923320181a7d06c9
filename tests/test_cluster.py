"""A cluster colors as threads do; workers may be lost, pictures may not."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from colorcapsnet import cli, decide, pictures
from colorcapsnet.colorizer import Colorizer
from colorcapsnet.errors import ModelError
from colorcapsnet.hints import Capsule, Hints
from colorcapsnet.pictures import Picture
from tests.tiny import write_model, write_photograph_model

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="workers are found in /proc")


def start(place, *arguments):
    command = [sys.executable, "-m", "colorcapsnet", "colorize", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=place, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(place, *arguments, code=0):
    with start(place, *arguments) as process:
        out, err = process.communicate(timeout=700)
    assert process.returncode == code, err
    assert "Traceback" not in err
    return out.splitlines(), err


def album(folder, count, size):
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number // 10}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures.write(Picture(rng.integers(0, 256, size, np.uint8)), path)


def results(out):
    """Everything that has a final name -> when it was written."""
    return {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name[0] != "."}


def workers_of(process):
    """Processes below one that hold a network for Ray Data."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(folder.name)] = (folder / "cmdline").read_bytes()
        except OSError:
            continue

    def below(pid):
        while pid in parents and pid != process.pid:
            pid = parents[pid]
        return pid == process.pid

    return [pid for pid, name in names.items() if b"MapWorker" in name and below(pid)]


# Addresses


@pytest.mark.parametrize("address", ["auto", "local", "10.0.0.1:6379", "head.example.org:6379", "[::1]:6379"])
def test_addresses_of_clusters(address):
    assert cli._address(None, None, address) == address


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("scans", "scans is no address (auto, local or HOST:PORT): put --cluster at the end"),
        ("ray://head:10001", "ray:// cannot carry this work: give HOST:PORT on a machine of the cluster"),
    ],
)
def test_what_is_no_address_is_refused(tmp_path, address, message):
    assert message in run(tmp_path, "--cluster", address, "in", code=2)[1]


def test_a_cluster_that_is_not_there_is_said_at_once(tmp_path):
    album(tmp_path / "in", 1, (40, 50))
    model = write_model(tmp_path)
    _, err = run(tmp_path, "in", "-o", "out", "--model", model, "--cluster", "127.0.0.1:1", code=1)
    assert "the cluster 127.0.0.1:1 cannot be reached" in err.splitlines()[-1]


def test_candidates_are_made_here(tmp_path):
    album(tmp_path, 1, (40, 50))
    _, err = run(tmp_path, "0/00.png", "--candidates", 2, "--cluster", code=2)
    assert "made here: leave --cluster out" in err


def test_without_ray_its_install_line_is_given(tmp_path):
    album(tmp_path / "in", 1, (40, 50))
    (tmp_path / "ray.py").write_text("raise ModuleNotFoundError(name='ray')")
    _, err = run(tmp_path, "in", "--model", write_model(tmp_path), "--cluster", code=2)
    assert "pip install 'colorcapsnet[cluster]'" in err


# What travels


def test_a_colorizer_travels_with_the_decisions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_photograph_model(tmp_path)
    gray = Picture(np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8))
    decided = decide.with_decisions(
        Colorizer("tiny-photo.onnx", threads=1), Hints(recolor=[Capsule(1, "#a03020")], do_no_harm=0.3)
    )
    monkeypatch.chdir("/")
    there = pickle.loads(pickle.dumps(decided))
    assert there.colorizer.threads == 1
    assert np.array_equal(there.colorize(gray).array, decided.colorize(gray).array)


def test_another_network_of_the_same_name_is_refused(tmp_path):
    packed = pickle.dumps(Colorizer(str(write_photograph_model(tmp_path))))
    sha256 = Colorizer(str(tmp_path / "tiny-photo.onnx")).sha256
    with pytest.raises(ModelError, match="install the same one on every machine"):
        pickle.loads(packed.replace(sha256.encode(), b"0" * 64))


# A cluster of this machine


@linux
@pytest.mark.slow
def test_a_worker_that_is_killed_in_the_middle_loses_nothing_and_nothing_is_done_twice(tmp_path):
    """Every picture once, whole, and as threads color it; the report has them all; a second run has nothing to do."""
    album(tmp_path / "in", 40, (1100, 1300))
    (tmp_path / "in/broken.png").write_bytes(b"no picture")
    chosen = ["in", "--model", write_photograph_model(tmp_path), "--vivid"]
    with start(tmp_path, *chosen, "-o", "out", "--cluster", "local", "--report", "done.json") as process:
        while not (done := results(tmp_path / "out")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        workers = workers_of(process)
        os.kill(workers[0], signal.SIGKILL)
        done = results(tmp_path / "out")
        assert len(done) < 40
        printed, err = process.communicate(timeout=700)
    assert process.returncode == 1
    assert "40 colored, 1 failed" in err
    assert re.search(r"^  in/broken.png is not a JPEG", err, re.MULTILINE)
    final = results(tmp_path / "out")
    assert {path: final[path] for path in done} == done
    assert sorted(printed.splitlines()) == sorted(str(path.relative_to(tmp_path)) for path in final)
    assert len(final) == 40
    report = json.loads((tmp_path / "done.json").read_text())
    assert report["count"] == {"done": 40, "failed": 1}
    assert sorted(row["target"] for row in report["pictures"] if row["status"] == "done") == sorted(
        printed.splitlines()
    )
    run(tmp_path, *chosen, "-o", "here", "--skip", "broken.png")
    for path in final:
        assert path.read_bytes() == (tmp_path / "here" / path.relative_to(tmp_path / "out")).read_bytes()
    _, err = run(tmp_path, *chosen, "-o", "out", "--cluster", "--skip", "broken.png")
    assert "0 colored, 40 skipped" in err
    assert results(tmp_path / "out") == final


DEADLY = """
import os, signal
from pathlib import Path
import numpy as np
from colorcapsnet import batch, cluster, remote

class Deadly:
    def colorize(self, picture, advance=None, strength=1.0):
        if Path(picture.name).stem == "03":
            os.kill(os.getpid(), signal.SIGKILL)
        return picture.with_color(np.dstack([picture.gray, picture.gray // 2, picture.gray // 4]))

place = remote.place("file://" + os.getcwd())
print(batch.summary(cluster.colorize_all(batch.plan([place / "in"], place / "out"), Deadly(), address="local")))
"""


@pytest.mark.medium
def test_a_picture_that_takes_its_worker_with_it_fails_alone(tmp_path):
    """By URL, too."""
    album(tmp_path / "in", 8, (40, 50))
    done = subprocess.run(
        [sys.executable, "-c", DEADLY], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=600
    )
    assert done.stdout.splitlines()[0] == "7 colored, 1 failed:", done.stderr
    assert f"file://{tmp_path}/in/0/03.png: its worker was lost 3 times" in done.stdout
    assert sorted(path.name for path in results(tmp_path / "out")) == [f"{n:02}.png" for n in range(8) if n != 3]
