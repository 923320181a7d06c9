"""How fast and how small coloring is: with a network that sees whole photographs, and with the published one.

Whole photographs: a picture of 2040x1400 pixels from gray array to color array, its parts, and a JPEG of 24 megapixels
to a JPEG as the command does it, a process of its own with its peak memory; each beside decoding and encoding the same
picture, nothing else, in the same rounds.

The command: ``--help``, and a JPEG of 2 megapixels from start to exit; where its time goes is told by a process that
does the same steps and looks at the clock.

The published network: the 2040x1400 picture with patches side by side (stride 9). Its rate counts 5.3 million
multiply-adds a patch, whatever algebra saves, and stands beside the rate of a float32 matrix product measured in the
same rounds. Memory is the peak of a whole process of its own for each size.

Command: ``python -m benchmarks.colorizing [MODEL] [--json FILE]`` (a minute); without a name the default model, whose
first part is left out where it sees patches. The file is what ``colorcapsnet report targets`` reads of speed and size.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.measure import commit, processor, seconds, spread
from colorcapsnet import Colorizer, Picture, color, evaluate, pictures, scale, zoo

SAMPLE = Path(__file__).parents[1] / "samples" / "coffee.png"
HEIGHT, WIDTH = 1400, 2040
LARGE, SMALL = (4000, 6000), (1200, 1672)
GRAIN = 4  # standard deviation in codes: an enlarged sample alone would be too easy for JPEG
OPERATIONS = 2 * 5.3e6  # of a patch
ROUNDS, RUNS = 5, 9
SIZES = ((1000, 2000), (2000, 4000), (4000, 6000))
PEAK = """
import sys
import numpy as np
from colorcapsnet import Colorizer
height, width = int(sys.argv[1]), int(sys.argv[2])
Colorizer("paper", stride=9).colorize(np.random.default_rng(0).integers(0, 256, (height, width), np.uint8))
"""
LAUNCH = """
import resource, subprocess, sys, time
began = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""  # a small process between: the system counts the parent's memory into a child's peak
ALONE = """
import sys
from colorcapsnet import pictures
pictures.write(pictures.read(sys.argv[1]), sys.argv[2], overwrite=True)
"""
STEPS = """
import sys, time
moments = [float(sys.argv[1])]
done = lambda: moments.append(time.time())
from colorcapsnet import cli, decide, pictures
from colorcapsnet.colorizer import Colorizer
done()
colorizer = Colorizer(sys.argv[4])
done()
picture = pictures.read(sys.argv[2])
done()
canvas = colorizer.open(picture)
done()
colored = canvas.color()
done()
colored.save(sys.argv[3], overwrite=True)
done()
print(*(after - before for before, after in zip(moments, moments[1:])))
"""
STEP_NAMES = ("start and imports", "load the network", "decode", "look", "paint, enlarge, merge", "encode", "exit")


def process(*arguments: object) -> tuple[float, float]:
    """Run Python with these arguments: seconds, and peak memory in MB."""
    command = [sys.executable, "-c", LAUNCH, sys.executable, *map(str, arguments)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(told[-2]), int(told[-1]) * 1024 / 1e6


def steps(source: Path, target: Path, model: str) -> list[float]:
    """Seconds of each step of one command, from the start of its process to the end."""
    began = time.time()
    command = [sys.executable, "-c", STEPS, str(began), str(source), str(target), model]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    took = [float(each) for each in told.split()]
    return [*took, time.time() - began - sum(took)]


def command_line(model: str) -> None:
    """Measure what a person waits for: the help, and one picture of 2 megapixels."""
    commands: dict[str, list[float]] = {"colorcapsnet --help": [], "colorcapsnet colorize": []}
    took: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.jpg"), Path(folder, "out.jpg")
        photograph(*SMALL).save(source)
        for _ in range(RUNS):
            commands["colorcapsnet --help"].append(process("-m", "colorcapsnet", "--help")[0])
            whole = ("-m", "colorcapsnet", "colorize", source, "-o", target, "--model", model, "--force")
            commands["colorcapsnet colorize"].append(process(*whole)[0])
            took.append(steps(source, target, model))
    print(f"the command, a JPEG of {SMALL[1]}x{SMALL[0]}, from start to exit")
    for name, times in commands.items():
        print(f"  {name:28} {spread(times, 2)} s")
    together = statistics.median(map(sum, took))
    for name, times in zip(STEP_NAMES, zip(*took, strict=True), strict=True):
        share = statistics.median(times) / together
        print(f"    {name:26} {spread([*times], 3)} s, {share:4.0%}")


def photograph(height: int, width: int) -> Picture:
    """A photograph of this size: a sample, enlarged, with grain."""
    rgb = cv2.resize(pictures.read(SAMPLE).array, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(0).normal(0, GRAIN, (height, width, 1)).astype(np.float32)
    return Picture(np.clip(rgb + grain, 0, 255).astype(np.uint8))


def whole_photographs(model: str) -> dict[str, float]:
    """Measure a network that sees whole photographs: what its targets are about."""
    colorizer = Colorizer(model)
    print(f"model     {colorizer}")
    picture = photograph(HEIGHT, WIDTH)
    coded, gray = pictures.encode(picture, "jpg"), picture.gray
    canvas = colorizer.open(gray)
    small = scale.fit(gray, *scale.working_shape(HEIGHT, WIDTH, colorizer.card.size)) / np.float32(255)
    ab, lightness = canvas.ab(), color.lightness(gray)

    def enlarge() -> color.Float:
        return scale.Enlarged(ab, canvas.lightness, HEIGHT, WIDTH).rows(slice(0, HEIGHT), lightness)

    full = enlarge()
    runs: dict[str, Callable[[], object]] = {
        "JPEG decode + encode alone": lambda: pictures.encode(pictures.read(coded), "jpg"),
        "whole call": lambda: colorizer.colorize(gray),
        f"  network at {small.shape[1]}x{small.shape[0]}": lambda: colorizer.network.know(small),
        "  an answer (strength)": lambda: canvas.ab(1.5),
        "  enlarging": enlarge,
        "  merging": lambda: color.merge(gray, full),
    }
    took: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            took[name].append(1000 * seconds(run, 3))
    print(f"a picture of {WIDTH}x{HEIGHT}, after load")
    for name, times in took.items():
        print(f"  {name:28} {spread(times, 1)} ms")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.jpg"), Path(folder, "out.jpg")
        pictures.write(photograph(*LARGE), source)
        commands = {
            "JPEG decode + encode alone": ("-c", ALONE, source, target),
            "JPEG to JPEG in color": (
                *("-m", "colorcapsnet", "colorize", source, "-o", target),
                *("--model", model, "--force"),
            ),
        }
        whole: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                whole[name].append(process(*command))
        print(f"a JPEG of {LARGE[1]}x{LARGE[0]} ({source.stat().st_size / 1e6:.0f} MB), whole process")
    for name, runs_of in whole.items():
        times, peaks = zip(*runs_of, strict=True)
        print(f"  {name:28} {spread([*times], 2)} s, peak {statistics.median(peaks):,.0f} MB")
    scan_s, scan_mb = (statistics.median(each) for each in zip(*whole["JPEG to JPEG in color"], strict=True))
    return {
        "weights_mb": zoo.find(model).stat().st_size / 1e6,
        "photograph_s": statistics.median(took["whole call"]) / 1000,
        "scan_s": scan_s,
        "scan_mb": scan_mb,
    }


def published() -> None:
    """Measure the published network."""
    print(f"model     {Colorizer('paper')}")
    rng = np.random.default_rng(0)
    gray = rng.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    matrix = rng.random((2048, 2048), np.float32)
    colorizers = {stride: Colorizer("paper", stride=stride) for stride in (9, 5)}
    runs: dict[str, Callable[[], object]] = {
        "product": lambda: matrix @ matrix,
        "stride 9": lambda: colorizers[9].colorize(gray),
    }
    took: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            took[name].append(seconds(run, 3 if name == "product" else 1))
    product = [2 * 2048**3 / time / 1e9 for time in took["product"]]
    print(f"float32 matrix product  {spread(product)} GFLOP/s")
    patches = -(-HEIGHT // 9) * -(-WIDTH // 9)
    rate = [patches * OPERATIONS / time / 1e9 for time in took["stride 9"]]
    pixels = [HEIGHT * WIDTH / time / 1e6 for time in took["stride 9"]]
    ratio = statistics.median(rate) / statistics.median(product)
    print(f"prediction, stride 9    {spread(pixels, 2)} megapixels/s")
    print(f"  counted operations    {spread(rate)} GFLOP/s, {ratio:.2f} of the product")
    small = seconds(lambda: colorizers[5].colorize(gray[:500, :500]), 3)
    print(f"prediction, stride 5    {0.25 / small:8.2f} megapixels/s")
    for height, width in ((9, 9), *SIZES):
        _, peak = process("-c", PEAK, height, width)
        print(
            f"peak memory, {height * width / 1e6:3.0f} megapixels ({3 * height * width / 1e6:.0f} MB): {peak:4.0f} MB"
        )


def main() -> None:
    """Measure in turns, so that a busy machine slows all alike, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=zoo.DEFAULT, metavar="MODEL")
    parser.add_argument("--json", type=Path, metavar="FILE")
    told = parser.parse_args()
    sees_all = zoo.load(told.model).card.kind == "photograph"
    if told.json and not sees_all:
        parser.error("--json needs a network that sees whole photographs")
    print(f"commit    {commit()}")
    print(f"hardware  {processor()}")
    if sees_all:
        command_line(told.model)
        measured = whole_photographs(told.model)
        if told.json:
            evaluate.save_json({"benchmarks": measured}, told.json)
    published()


if __name__ == "__main__":
    main()
