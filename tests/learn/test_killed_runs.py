"""Real processes, killed at moments that chance chooses: what is left is sound, and what goes on ends the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from colorcapsnet.learn import checkpoints
from colorcapsnet.learn.shards import Preparation, prepare
from tests.learn import write_pictures

pytestmark = pytest.mark.slow

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENCV_NUM_THREADS": "1", "VIPS_CONCURRENCY": "1"}
PREPARE = """
import signal
import sys
from pathlib import Path
from colorcapsnet.learn.shards import Preparation, prepare

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background begins with it ignored
    prepare(Preparation(((sys.argv[1], 20),)), Path(sys.argv[2]), jobs=2)
"""


def wait_until(happened: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """A process that ended and waits to be collected is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def newest(folder: Path, pattern: str) -> float:
    return max((path.stat().st_mtime for path in folder.glob(pattern)), default=0)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kill_after_progress(command: list[str], folder: Path, pattern: str, chance: random.Random) -> bool:
    """Start a program and kill it a little after a new file appears; whether it was killed before its end."""
    before = newest(folder, pattern)
    process = subprocess.Popen(command, env=ENVIRONMENT)
    wait_until(lambda: newest(folder, pattern) > before or process.poll() is not None)
    time.sleep(chance.uniform(0, 0.2))
    helpers = children(process.pid) if process.poll() is None else []
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(is_alive, helpers)), seconds=20)
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def test_a_preparation_that_is_killed_again_and_again_ends_with_the_same_bytes(tmp_path):
    write_pictures(tmp_path / "p", [f"{number}.png" for number in range(64)], size=(120, 120))
    for number in range(1, 48):
        for path in (tmp_path / "p").glob("[0-9]*.png"):
            if "-" not in path.name:
                os.link(path, path.with_name(f"{path.stem}-{number}.png"))
    whole = prepare(Preparation(((str(tmp_path / "p"), 20),)), tmp_path / "whole", jobs=1)
    assert len(whole.manifest["shards"]) == 12
    expected = files(tmp_path / "whole")
    (tmp_path / "prepare.py").write_text(PREPARE)
    command = [sys.executable, str(tmp_path / "prepare.py"), str(tmp_path / "p"), str(tmp_path / "s")]
    chance = random.Random(0)
    kills = 0
    while kills < 6 and kill_after_progress(command, tmp_path / "s", "*.jsonl", chance):
        kills += 1
        left = {name: content for name, content in files(tmp_path / "s").items() if not name.endswith(".tmp")}
        assert left.items() <= expected.items()
    assert kills >= 2
    subprocess.run(command, env=ENVIRONMENT, check=True)
    assert files(tmp_path / "s") == expected


def test_ctrl_c_ends_a_preparation_and_its_helpers_at_once(tmp_path):
    write_pictures(tmp_path / "p", [f"{number}.png" for number in range(600)], size=(120, 120))
    (tmp_path / "prepare.py").write_text(PREPARE)
    command = [sys.executable, str(tmp_path / "prepare.py"), str(tmp_path / "p"), str(tmp_path / "s")]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: newest(tmp_path / "s", "*.tmp") > 0)
    helpers = children(process.pid)
    assert len(helpers) >= 2
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert said.rstrip().endswith("KeyboardInterrupt"), said
    assert "BrokenProcessPool" not in said
    wait_until(lambda: not any(map(is_alive, helpers)), seconds=20)
    assert not list((tmp_path / "s").glob("manifest.json"))


def program(folder: Path, processes: int = 1, **settings) -> list[str]:
    several = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    start = several if processes > 1 else []
    return [sys.executable, *start, "-m", "tests.learn.program", str(folder), json.dumps(settings)]


def prepared(root: Path, *folders: str) -> None:
    """18 batches of 16 an epoch."""
    write_pictures(root / "p", [f"{number}.png" for number in range(48)])
    prepare(Preparation(((str(root / "p"), 0),)), root / "shards", jobs=1)
    for name in folders:
        (root / name).mkdir()
        (root / name / "shards").symlink_to(root / "shards")


def test_a_training_that_is_killed_again_and_again_ends_with_the_same_weights(tmp_path):
    prepared(tmp_path, "whole", "killed")
    settings = {"epochs": 8, "batch": 16, "checkpoint_minutes": 0.01}
    subprocess.run(program(tmp_path / "whole", **settings), env=ENVIRONMENT, check=True)
    run, expected = tmp_path / "killed/run", tmp_path / "whole/run"
    chance = random.Random(0)
    kills = 0
    command = program(tmp_path / "killed", **settings)
    while kills < 4 and kill_after_progress(command, run, "last.safetensors", chance):
        kills += 1
        assert checkpoints.load(run / "last.safetensors").recipe == "run"
    assert kills >= 2
    subprocess.run(command, env=ENVIRONMENT, check=True)
    ours, theirs = (checkpoints.load(path / "last.safetensors") for path in (run, expected))
    for one, other in ((ours.model, theirs.model), (ours.adam, theirs.adam)):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert ours.history == theirs.history
    assert (run / "losses.jsonl").read_text() == (expected / "losses.jsonl").read_text()


def test_when_torchrun_is_terminated_its_processes_stop_together_and_the_run_goes_on_exactly(tmp_path):
    prepared(tmp_path, "whole", "stopped")
    settings = {"processes": 2, "epochs": 4, "batch": 16, "checkpoint_minutes": 0.01}
    subprocess.run(program(tmp_path / "whole", **settings), env=ENVIRONMENT, check=True)
    folder = tmp_path / "stopped"
    process = subprocess.Popen(program(folder, **settings), env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    wait_until(lambda: newest(folder / "run", "last.safetensors") > 0)
    process.terminate()
    assert process.wait(60) != 0
    told = [torch.load(folder / f"rank-{rank}.pt") for rank in (0, 1)]
    assert [rank["stopped"] for rank in told] == [True, True]
    assert len(told[0]["gradients"]) == len(told[1]["gradients"]) < 4 * 18
    subprocess.run(program(folder, **settings), env=ENVIRONMENT, check=True)
    ours, theirs = (checkpoints.load(path / "run/last.safetensors") for path in (folder, tmp_path / "whole"))
    assert all(torch.equal(ours.model[name], theirs.model[name]) for name in theirs.model)
    assert ours.history == theirs.history
