"""The one progress bar: count, rate, time left; silent when nobody looks at a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[..., None]


@contextmanager
def bar(label: str, total: int | None, unit: str = "pictures", start: int = 0) -> Iterator[Advance]:
    """Show a bar on standard error while the block runs.

    Args:
        label: what is being done, in one or two words.
        total: how many units there are, or None if that is unknown.
        unit: what is counted, in the plural.
        start: how many units were already done before (a resumed run); they do not count in the rate.

    Yields:
        ``advance(count=1, note="")``, which may be called from any thread; a count may be a part of a unit.
    """
    if not sys.stderr.isatty():
        yield lambda count=1, note="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    ) as progress:
        task = progress.add_task(label, total=total, completed=start, rate="", note="")
        began = time.monotonic()
        done = 0.0

        def advance(count: float = 1, note: str = "") -> None:
            nonlocal done
            done += count
            rate = done / max(time.monotonic() - began, 1e-9)
            progress.update(task, completed=start + round(done, 6), rate=f"{rate:,.3g} {unit}/s", note=note)

        yield advance


def duration(seconds: float) -> str:
    """Write a time span as a person would say it.

    >>> duration(0.84), duration(75), duration(3 * 3600 + 120)
    ('0.8 s', '1 min 15 s', '3 h 02 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
