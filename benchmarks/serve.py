"""How long a visitor of the page waits: from the picture to the first colors, from a click to the answer, in a crowd.

``colorcapsnet serve`` runs in a process of its own and is asked as the page asks, over connections that stay open. A
visit sends a JPEG of 2040×1400 pixels and asks for a preview of 1024: the time from the first byte sent to the last
received. A click is one more preview, with one more point than before, up to eight. The crowd is 50 visitors, each
with a picture of its own, who click again as soon as they have the answer. The machine that asks is the one that
answers, and whatever else it does makes all of it slower: the processor's time that the server takes for a click is
counted as well (from /proc, so on Linux), and how much of the cores there was to have.

Command: ``python -m benchmarks.serve`` (a minute).
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from benchmarks.measure import commit, free, processor, spread
from colorcapsnet import Picture, pictures
from tests.serve import SAMPLES

WIDTH, HEIGHT, SIDE = 2040, 1400, 1024
VISITS, CLICKS, CROWD, SECONDS = 20, 100, 50, 20


class Visitor:
    """One connection, one picture.

    Args:
        port: of the server.
        seed: of the clicks.
    """

    def __init__(self, port: int, seed: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.random = np.random.default_rng(seed)
        self.points: list[dict[str, object]] = []

    def ask(self, path: str, content: bytes, kind: str) -> tuple[int, bytes]:
        """Status and content of the answer."""
        self.connection.request("POST", path, content, {"Content-Type": kind})
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def open(self, content: bytes) -> None:
        """Send the picture."""
        status, told = self.ask("/api/pictures", content, "image/jpeg")
        if status != 201:
            raise SystemExit(told.decode())
        self.path = f"/api/pictures/{json.loads(told)['id']}"

    def click(self) -> tuple[float, int]:
        """Seconds until the preview is there, and its status."""
        place = [float(value) for value in self.random.random(2)]
        self.points = [*self.points[-7:], {"relative": place, "color": "#a03020"}]
        hints = json.dumps({"version": 1, "points": self.points}).encode()
        began = time.perf_counter()
        status, _ = self.ask(f"{self.path}/preview?side={SIDE}", hints, "application/json")
        return time.perf_counter() - began, status

    def close(self) -> None:
        """Forget the picture."""
        self.connection.request("DELETE", self.path)
        self.connection.getresponse().read()


def photograph(number: int) -> bytes:
    """A sample as a JPEG of 2 megapixels, each number another."""
    paths = sorted(path for path in SAMPLES.iterdir() if path.suffix in pictures.SUFFIXES)
    gray = cv2.resize(pictures.read(paths[number % len(paths)]).gray, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return pictures.encode(Picture(np.roll(gray, number, axis=1)), "jpg", quality=90)


def visits(port: int) -> None:
    """From the picture to the first colors."""
    took = []
    for number in range(VISITS):
        visitor, content = Visitor(port, number), photograph(number)
        began = time.perf_counter()
        visitor.open(content)
        visitor.click()
        took.append(1000 * (time.perf_counter() - began))
        visitor.close()
    print(f"first colors {spread(took)} ms after a JPEG of {WIDTH}×{HEIGHT} is sent, {VISITS} times")


def clicks(port: int, pid: int) -> None:
    """From a click to the answer, of one visitor."""
    visitor = Visitor(port, 0)
    visitor.open(photograph(0))
    before = used(pid)
    took = [1000 * visitor.click()[0] for _ in range(CLICKS)]
    each = 1000 * (used(pid) - before) / CLICKS
    visitor.close()
    print(f"a click      {_percentiles(took)}, {CLICKS} times; {each:.0f} ms of the processor")


def crowd(port: int) -> None:
    """Of many visitors at once."""
    visitors = [Visitor(port, number) for number in range(CROWD)]
    for number, visitor in enumerate(visitors):
        visitor.open(photograph(number))
        visitor.connection.close()  # else the server does, while the others come
    answers: list[tuple[float, int]] = []
    until = time.perf_counter() + SECONDS

    def stay(visitor: Visitor) -> None:
        while time.perf_counter() < until:
            answers.append(visitor.click())

    staying = [threading.Thread(target=stay, args=(visitor,)) for visitor in visitors]
    began = time.perf_counter()
    for thread in staying:
        thread.start()
    for thread in staying:
        thread.join()
    passed = time.perf_counter() - began
    statuses = Counter(status for _, status in answers)
    print(f"a crowd      {len(answers) / passed:8.1f} requests/s of {CROWD} visitors for {passed:.0f} s")
    print(f"             {_percentiles([1000 * took for took, _ in answers])}")
    print(f"             {', '.join(f'{count:,} with {status}' for status, count in statuses.items())}")


def used(pid: int) -> float:
    """Seconds of the processor that a process has had."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _percentiles(took: list[float]) -> str:
    middle, late = np.percentile(took, [50, 99])
    return f"{middle:8.1f} ms, 99 of 100 within {late:.1f}"


def main() -> None:
    """Start the server, ask, print."""
    print(f"commit       {commit()}")
    print(f"hardware     {processor()}, {os.cpu_count()} cores")
    command = [sys.executable, "-m", "colorcapsnet", "serve", "--port", "0"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[0]
            print(f"start        {1000 * (time.perf_counter() - began):8.0f} ms until it listens")
            port = int(address.rstrip("/").rpartition(":")[2])
            visits(port)
            clicks(port, process.pid)
            crowd(port)
            print(f"free         {free(os.cpu_count() or 1):8.2f} of the cores, asked afterwards")
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
