"""Thousands of commands with damaged pictures, hints, spots and references, and options that fit or do not.

Each ends in the files that it names, or in one clear line and exit code 1 or 2; never in a traceback, a crash, a hang,
memory out of proportion, or a loss. To reproduce one: ``python -m tests.test_damaged_decisions FIRST COUNT``.
"""

from __future__ import annotations

import functools
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from colorcapsnet import pictures
from colorcapsnet.cli import main
from tests.test_damaged_files import (
    MEGABYTES_ABOVE_START,
    PIXEL_LIMIT,
    SECONDS_A_FILE,
    valid,
    with_checksums,
    wounded,
)
from tests.tiny import write_model, write_photograph_model

COMMANDS = 4000
HINTS = b"""{"version": 1, "points": [{"pixel": [12, 34], "color": "#a03020"},
{"relative": [0.5, 0.25], "color": [40, 30]}], "recolor": [{"capsule": 2, "color": "#a03020"},
{"pixel": [10, 20], "color": "#2040a0"}], "reference": "other.png", "strength": 1.2, "do_no_harm": 0.8}"""
VALUES = (b"null", b"true", b"-1", b"1e999", b"99999999999999999999", b"NaN", b"[]", b"{}", b'"#fff"', b'"a.png"',
          b"0.5", b'"\\ud800"', b'"\\u0000"', b"[[[[0]]]]", b'"pixel"', b'"other.png"')  # fmt: skip
MISTAKE = re.compile(r"\b(?!SystemExit)[A-Z]\w+(Error|Exception)\b: ")


@functools.cache
def spots() -> bytes:
    rgba = np.zeros((48, 64, 4), np.uint8)
    rgba[5:9, 5:9], rgba[30:33, 40:44] = (160, 48, 32, 255), (20, 40, 200, 255)
    return pictures.encode(pictures.Picture.from_array(rgba), "png")


def maybe_wounded(content: bytes, random: np.random.Generator, chance: float) -> bytes:
    if random.random() > chance:
        return content
    data = wounded(content, random)
    return with_checksums(data) if content.startswith(b"\x89PNG") and random.random() < 0.7 else bytes(data)


def hints(random: np.random.Generator) -> bytes:
    """A file of hints: as it should be, with values in the place of others, or with wounds."""
    if random.random() < 0.25:
        return maybe_wounded(HINTS, random, 1)
    told = HINTS
    for _ in range(random.integers(0, 3)):
        value = list(re.finditer(rb'"[^"]*"|[\d.]+|\[[^\[\]]*\]', told))
        at = value[random.integers(len(value))]
        told = told[: at.start()] + VALUES[random.integers(len(VALUES))] + told[at.end() :]
    return told


def command(random: np.random.Generator) -> list[str]:
    """Write the files of a command into this folder, and word it."""

    def one_of(*choices: object) -> list[str]:
        chosen = choices[random.integers(len(choices))]
        return [str(each) for each in (chosen if isinstance(chosen, tuple) else (chosen,))]

    kind = ("jpg", "png", "png-16", "tiff", "webp", "gif")[random.integers(6)]
    name = f"a.{kind.partition('-')[0]}"
    Path(name).write_bytes(maybe_wounded(valid(kind), random, 0.2))
    Path("h.json").write_bytes(hints(random))
    Path("spots.png").write_bytes(maybe_wounded(spots(), random, 0.5))
    Path("other.png").write_bytes(maybe_wounded(valid("png"), random, 0.4))
    none: tuple[str, ...] = ()
    told = one_of(none, none, ("--hints", "h.json"), ("--hints", "h.json"), ("--hints", "spots.png"))
    network = one_of(*[("--model", "tiny-photo.onnx")] * 5, ("--model", "tiny.onnx"))
    if random.random() < 0.15:
        return ["suggest-hints", name, *told, *network, *one_of(none, ("-o", "new.json"), ("--map", "m.png", "-n", 3))]
    return [
        *("colorize", name, *told, *network),
        *one_of(none, none, ("--reference", "other.png"), ("--reference", "h.json"), ("--reference", name)),
        *one_of(none, none, ("--strength", f"{random.uniform(-0.1, 2.1):.3f}"), "--vivid", ("--strength", 1e-300)),
        *one_of(none, none, ("--do-no-harm", f"{random.uniform(-0.1, 1.1):.3f}")),
        *one_of(none, none, ("--recolor", "1=#0040ff"), ("--recolor", f"{random.integers(60)},9=#0040ff")),
        *one_of(*[none] * 15, ("--recolor", "3=#0040ff"), ("--recolor", "1=#zz"), ("--seed", 3), ("--strength", "nan")),
        *one_of(none, none, none, ("--candidates", random.integers(1, 4)), ("--candidates", 2, "--seed", 3)),
        *one_of(none, none, none, ("--chroma-only", "layer"), ("--chroma-only", "ab")),
        *one_of(none, none, ("--confidence", "sure.png"), ("--capsules", "m.png"), ("--capsules", name)),
        *one_of(none, none, ("-o", "out.png"), ("-o", "out"), ("-o", "out.tif"), ("-o", "h.json/x")),
        *one_of(none, none, none, ("--format", "jpg"), ("--format", "png"), ("--format", "tiff")),
    ]


def judged(done: Result, before: dict[str, bytes]) -> str:
    """What a command came to; anything that a person should not see raises."""
    assert done.exit_code in (0, 1, 2), done.exit_code
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert not MISTAKE.search(done.stderr), done.stderr
    for name, content in before.items():
        assert Path(name).read_bytes() == content, f"{name} was changed"
    assert not list(Path().rglob(".colorcapsnet-*")), "a temporary file was left"
    lines = done.stderr.strip().splitlines()
    if done.exit_code:
        assert done.exit_code == 2 or 1 <= len(lines) <= 2, done.stderr
        assert lines[-1].startswith(("Error: ", "  ")), done.stderr
        assert len(lines[-1]) < 500, done.stderr
    for name in done.stdout.split():
        if Path(name).suffix in (".png", ".jpg", ".webp"):
            pictures.read(name)
    return f"exit {done.exit_code}"


def run_all(first: int, count: int) -> None:
    """Run some commands in this process, each in a folder of its own; its number is printed before it begins."""
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pictures.read = functools.partial(pictures.read, max_pixels=PIXEL_LIMIT)
    outcomes: Counter[str] = Counter()
    for number in range(first, first + count):
        print(number, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            write_model(Path()), write_photograph_model(Path())
            words = command(np.random.default_rng(number))
            before = {path.name: path.read_bytes() for path in Path().iterdir()}
            signal.setitimer(signal.ITIMER_REAL, SECONDS_A_FILE)
            done = CliRunner().invoke(main, words)
            signal.setitimer(signal.ITIMER_REAL, 0)
            try:
                outcomes[judged(done, before)] += 1
            except AssertionError as problem:
                raise AssertionError(f"{number}: colorcapsnet {' '.join(words)}: {problem}") from None
            os.chdir("/")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1024
    assert grown < MEGABYTES_ABOVE_START, f"{grown:.0f} MB of memory for pictures of at most {PIXEL_LIMIT} pixels"
    print(f"{dict(outcomes)}, {grown:.0f} MB", flush=True)


@pytest.mark.slow
def test_a_command_ends_in_its_files_or_in_one_line() -> None:
    def worker(first: int) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "tests.test_damaged_decisions", str(first), str(COMMANDS // 2)]
        root = Path(__file__).parent.parent
        return subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=1500, check=False)

    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(worker, (0, COMMANDS // 2)))
    for run in runs:
        lines = run.stdout.splitlines()
        assert run.returncode == 0, f"ended with {run.returncode} at command {lines[-1:]}: {run.stderr[-2000:]}"
        for outcome in ("exit 0", "exit 1", "exit 2"):
            assert outcome in lines[-1], f"no command came to {outcome}: {lines[-1]}"


if __name__ == "__main__":
    run_all(int(sys.argv[1]), int(sys.argv[2]))
