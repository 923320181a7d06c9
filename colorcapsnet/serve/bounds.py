"""What keeps a server standing: how much it holds, how many wait, and for how long. All of it in the event loop."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from colorcapsnet.colorizer import Canvas

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Limits:
    """How much a server takes upon itself.

    Attributes:
        pixels: of one picture.
        side: of one picture, in pixels: memory goes by it, too.
        pictures: that are held at once.
        bytes: of one upload.
        bytes_under_way: of all uploads that are not decoded yet.
        upload_seconds: that one upload may take.
        idle_seconds: after which a picture that nobody asked about is dropped.
        spare_seconds: likewise, where another needs its place.
        waiting: requests that wait for a core.
        wait_seconds: that one of them waits at most.
    """

    pixels: int = 100_000_000
    side: int = 65_535
    pictures: int = 64
    bytes: int = 128 * 2**20
    bytes_under_way: int = 512 * 2**20
    upload_seconds: float = 120.0
    idle_seconds: float = 1800.0
    spare_seconds: float = 300.0
    waiting: int = 64
    wait_seconds: float = 30.0

    @property
    def pixels_held(self) -> int:
        """Of all pictures together."""
        return 4 * self.pixels


class Busy(Exception):
    """There is no room now; in ``seconds`` there may be."""

    def __init__(self, what: str, seconds: int) -> None:
        super().__init__(f"{what}: try again in {seconds} s")
        self.seconds = seconds


class Budget:
    """Bytes that uploads under way share."""

    def __init__(self, total: int) -> None:
        self.left = total

    def take(self, count: int) -> None:
        """Have that many, until they are given back.

        Raises:
            Busy: there are not so many left.
        """
        if count > self.left:
            raise Busy("too many uploads are under way", 5)
        self.left -= count

    def give(self, count: int) -> None:
        """Put them back."""
        self.left += count


class Lane:
    """Work in threads, one a core; who comes when too many wait, or waits for too long, is sent away."""

    def __init__(self, limits: Limits) -> None:
        cores = os.cpu_count() or 1
        self._limits, self._waiting = limits, 0
        self._free, self._threads = asyncio.Semaphore(cores), ThreadPoolExecutor(cores)

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """The answer of ``work``, when it was its turn.

        Raises:
            Busy: it is not going to be its turn.
        """
        if self._waiting >= self._limits.waiting:
            raise Busy("too many requests are waiting", 5)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise Busy("the requests before this one take too long", 30) from None
        finally:
            self._waiting -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._free.release()


@dataclass
class _Held:
    canvas: Canvas
    used: float


class Gallery:
    """The pictures that visitors opened, in memory only. Who knows a picture's id, and nobody else, has it."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._held: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def add(self, canvas: Canvas) -> str:
        """Hold a picture, if need be in place of those that were not used for the longest time.

        Returns:
            Its id: 128 random bits.

        Raises:
            Busy: all that are held are in use.
        """
        self.sweep()
        while self._is_full(canvas.gray.size):
            oldest = min(self._held, key=lambda each: self._held[each].used)
            if self._clock() - self._held[oldest].used < self._limits.spare_seconds:
                raise Busy("as many pictures are open as there is room for", 60)
            self.drop(oldest)
        key = secrets.token_urlsafe(16)
        self._held[key] = _Held(canvas, self._clock())
        return key

    def get(self, key: str) -> Canvas | None:
        """The picture, or None where there is none of this id, or none any more."""
        self.sweep()
        held = self._held.get(key)
        if held is None:
            return None
        held.used = self._clock()
        return held.canvas

    def drop(self, key: str) -> None:
        """Hold it no longer."""
        self._held.pop(key, None)

    def sweep(self) -> None:
        """Drop what nobody has asked about for long."""
        latest = self._clock() - self._limits.idle_seconds
        for key in [key for key, held in self._held.items() if held.used < latest]:
            self.drop(key)

    def _is_full(self, pixels: int) -> bool:
        held = sum(each.canvas.gray.size for each in self._held.values())
        return bool(self._held) and (
            len(self._held) >= self._limits.pictures or held + pixels > self._limits.pixels_held
        )
