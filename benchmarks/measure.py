"""What all benchmarks share: timing, spread, and on what it was measured."""

from __future__ import annotations

import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


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
