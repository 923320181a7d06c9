"""How fast and how small coloring with the published network is.

Prediction is timed on a 2040x1400 picture with patches side by side (stride 9), from gray array to color array. Its
rate counts 5.3 million multiply-adds a patch, whatever algebra saves, and stands beside the rate of a float32 matrix
product measured in the same rounds. Memory is the peak of a whole process of its own for each size. Command:
``python -m benchmarks.colorizing`` (half a minute).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable

import numpy as np

from benchmarks.measure import commit, processor, seconds, spread
from colorcapsnet import Colorizer

HEIGHT, WIDTH = 1400, 2040
OPERATIONS = 2 * 5.3e6  # of a patch
ROUNDS = 5
SIZES = ((1000, 2000), (2000, 4000), (4000, 6000))
PEAK = """
import resource, sys
import numpy as np
from colorcapsnet import Colorizer
height, width = int(sys.argv[1]), int(sys.argv[2])
Colorizer("paper", stride=9).colorize(np.random.default_rng(0).integers(0, 256, (height, width), np.uint8))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def peak(height: int, width: int) -> int:
    """Peak memory in bytes of a process that colors one picture of this size."""
    command = [sys.executable, "-c", PEAK, str(height), str(width)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure in turns, so that a busy machine slows all alike, and print."""
    print(f"commit    {commit()}")
    print(f"hardware  {processor()}")
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
        total = peak(height, width) / 1e6
        print(
            f"peak memory, {height * width / 1e6:3.0f} megapixels ({3 * height * width / 1e6:.0f} MB): {total:4.0f} MB"
        )


if __name__ == "__main__":
    main()
