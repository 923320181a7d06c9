"""How fast a folder of small pictures is colored, beside what the work itself allows on the cores that there are.

The folder is colored by what the command line calls (:func:`batch.plan`, :func:`batch.colorize_all`), in rounds. In
each round some of the same pictures go through the same stages one after the other, and the processor's time is
counted: decode (JPEG to gray), network, merge (colors from what it knows, enlarged, gray kept), encode (JPEG, flushed
to the disk). Cores that did this and nothing else would color ``cores / sum of the stages`` pictures a second; printed
is how much of this is reached. Whatever else the machine does lowers it, so processes that only count, one a core, say
before and after each round how much of the cores there was to have.

Command: ``python -m benchmarks.folder [--pictures FOLDER] [--count 10000]`` (four minutes); without a folder, squares
of 256×256 pixels are cut from the samples first.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.measure import beside_stages, commit, free, processor
from colorcapsnet import Colorizer, Picture, batch, pictures
from colorcapsnet.batch import Job
from colorcapsnet.provenance import stamped

SAMPLES = Path(__file__).parents[1] / "samples"
SIDE = 256
ROUNDS = 5
ALONE = 100  # pictures of a round whose stages are measured
STAGES = ("decode", "network", "merge", "encode")
TOLD = {"tool": "colorcapsnet"}


def cut(folder: Path, count: int) -> None:
    """Fill a folder with squares of the sample photographs, each from another place."""
    paths = [path for path in sorted(SAMPLES.iterdir()) if path.suffix in pictures.SUFFIXES]
    photographs = [pictures.read(path).array for path in paths]
    rng = np.random.default_rng(0)
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        top, left = (int(rng.integers(0, side - SIDE + 1)) for side in photograph.shape[:2])
        square = Picture(photograph[top : top + SIDE, left : left + SIDE])
        square.save(folder / f"{number:05}.jpg")


def stages(jobs: Sequence[Job], colorizer: Colorizer) -> list[float]:
    """Milliseconds of the processor for a picture, in each stage, one picture after the other on one core."""
    total = np.zeros(len(STAGES))
    for job in jobs:
        moments = [time.process_time()]
        picture = stamped(pictures.read(job.source), TOLD)
        moments.append(time.process_time())
        canvas = colorizer.open(picture)
        moments.append(time.process_time())
        colored = canvas.color()
        moments.append(time.process_time())
        colored.save(job.target)
        moments.append(time.process_time())
        job.target.unlink()
        total += [after - before for before, after in pairwise(moments)]
    return [float(each) for each in 1000 * total / len(jobs)]


def measure(jobs: Sequence[Job], planning: float, cores: int) -> None:
    """Color the jobs in rounds, and print.

    Args:
        jobs: all of them.
        planning: seconds that it took to plan them.
        cores: how many there are.
    """
    colorizer = Colorizer(threads=batch.threads(len(jobs), batch.PICTURES_AT_ONCE))
    single = Colorizer(threads=1)
    stages(jobs[:ALONE], single)
    took: list[list[float]] = []
    rates: list[float] = []
    shares: list[float] = []
    for first in range(ROUNDS):
        part = jobs[first::ROUNDS]
        took.append(stages(part[:ALONE], single))
        before = free(cores)
        began = time.perf_counter()
        outcomes = batch.colorize_all(part, colorizer, told=TOLD)
        rates.append(len(part) / (time.perf_counter() - began + planning / ROUNDS))
        shares.append((before + free(cores)) / 2)
        if any(outcome.status != "done" for outcome in outcomes):
            raise SystemExit(batch.summary(outcomes))
    beside_stages(STAGES, took, rates, shares, cores, "picture", 2)
    print(f"planning  {1000 * planning / len(jobs):8.2f} ms a picture, {batch.PICTURES_AT_ONCE} at once")


def main() -> None:
    """Make the folder if there is none, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=10_000)
    told = parser.parse_args()
    if told.count < ROUNDS:
        parser.error(f"--count is {told.count}: give at least {ROUNDS}, one a round")
    print(f"commit    {commit()}")
    print(f"hardware  {processor()}")
    with tempfile.TemporaryDirectory() as temporary:
        source = told.pictures or Path(temporary, "in")
        if told.pictures is None:
            source.mkdir()
            cut(source, told.count)
        target = Path(temporary, "out")
        target.mkdir()
        began = time.perf_counter()
        jobs = batch.plan([source], target)
        planning = time.perf_counter() - began
        print(f"pictures  {min(told.count, len(jobs)):,} of {told.pictures or f'{SIDE}×{SIDE} pixels'}")
        measure(jobs[: told.count], planning * min(1, told.count / len(jobs)), os.cpu_count() or 1)


if __name__ == "__main__":
    main()
