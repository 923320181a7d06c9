"""What all benchmarks share: timing, spread, and on what it was measured."""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

COUNT = """
import time
began, number = time.perf_counter(), 0
while time.perf_counter() - began < 0.5:
    number += 1
print(time.process_time() / (time.perf_counter() - began))
"""


def seconds(run: Callable[[], object], times: int) -> float:
    """Median time of one call."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def processor() -> str:
    """The processor's name, as well as the system knows it."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor()


def commit() -> str:
    """What is checked out here."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def spread(values: list[float], digits: int = 0) -> str:
    """Median and range."""
    return f"{statistics.median(values):8,.{digits}f} (from {min(values):,.{digits}f} to {max(values):,.{digits}f})"


def free(cores: int) -> float:
    """How much of the cores a program can have beside whatever else the machine does, 0 to 1."""
    counting = [
        subprocess.Popen([sys.executable, "-c", COUNT], stdout=subprocess.PIPE, text=True) for _ in range(cores)
    ]
    return statistics.mean(float(process.communicate()[0]) for process in counting)


def beside_stages(
    stages: Sequence[str],
    took: Sequence[Sequence[float]],
    rates: Sequence[float],
    shares: Sequence[float],
    cores: int,
    unit: str,
    digits: int,
) -> None:
    """Print the share of each stage, and the rate beside what the stages allow.

    Args:
        stages: their names.
        took: of each round, milliseconds of the processor in each stage for one of what is counted.
        rates: of each round, how many a second of the whole.
        shares: of each round, how much of the cores was :func:`free`.
        cores: how many there are.
        unit: what is counted.
        digits: of the milliseconds.
    """
    whole = [sum(each) for each in took]
    for name, times in zip(stages, zip(*took, strict=True), strict=True):
        share = statistics.median(times) / statistics.median(whole)
        print(f"  {name:8} {spread([*times], digits)} ms of the processor a {unit}, {share:4.0%}")
    print(f"  together {spread(whole, digits)}")
    print(f"allowed   {spread([1000 * cores / each for each in whole], 1)} {unit}s/s on {cores} cores")
    print(f"colored   {spread([*rates], 1)} {unit}s/s")
    reached = [rate * each / 1000 / cores for rate, each in zip(rates, whole, strict=True)]
    print(f"reached   {spread(reached, 2)} of what the stages allow")
    print(f"free      {spread([*shares], 2)} of the cores")
    print(f"so        {spread([each / part for each, part in zip(reached, shares, strict=True)], 2)} of what was free")
