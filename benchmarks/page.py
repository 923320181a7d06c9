"""How fast the page without a server is: a picture of 2 megapixels in Chromium, its network by WebAssembly.

Each round opens the page anew in a browser that has its files, as on a second visit: until the network is ready, from
a chosen file to its first colors, then clicks: a point of color at the size of a screen, a part recolored, candidates,
suggestions, and the whole picture as a file. Beside the time on the wall stands that of all of the browser's
processes, which other work on the machine does not stretch.

Command: ``python -m benchmarks.page [ROUNDS]`` (a minute); needs ``make page`` first, Playwright, and Chromium.
"""

from __future__ import annotations

import base64
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
from playwright.sync_api import Page, sync_playwright

from benchmarks.measure import commit, processor, spread

ROOT = Path(__file__).parents[1]
SITE = ROOT / "out" / "page"
SAMPLE = ROOT / "samples" / "coffee.png"
HEIGHT, WIDTH = 1200, 1672
SIDE = 1024  # of a preview
READY = """async () => {
  window.engine = await import("./engine.js");
  await window.engine.about();
  const small = new OffscreenCanvas(64, 64);
  small.getContext("2d").fillRect(0, 0, 64, 64);
  (await window.engine.open(new File([await small.convertToBlob()], "small.png"))).close();
}"""
FIRST = """async ([content, side]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  window.picture = await window.engine.open(new File([bytes], "picture.jpg"));
  await window.picture.preview({ version: 1 }, side);
}"""
POINT = '{ version: 1, points: [{ relative: [0.4, 0.6], color: "#a03020" }] }'
PART = '{ version: 1, recolor: [{ relative: [0.4, 0.6], color: "#a03020" }] }'
CANDIDATE = "{ version: 1, candidate: { seed: %d, of: 4, number: 0 } }"
CLICKS = {
    "a click: a point of color": f"picture.preview({POINT}, {SIDE})",
    "a click: a part recolored": f"picture.preview({PART}, {SIDE})",
    "bolder, by the slider": f"picture.preview({{ version: 1, strength: 1.5 }}, {SIDE})",
    "four candidates, small": f"picture.preview({CANDIDATE % 1}, 160)",
    "five suggestions": "picture.suggest(5, { version: 1 })",
    "how sure it is": f"picture.confidence({SIDE})",
    "the whole picture, a PNG": 'picture.download({ version: 1 }, "png")',
    "the whole picture, a JPEG": 'picture.download({ version: 1 }, "jpg")',
}


def main(rounds: int) -> None:
    """Measure and print."""
    if not SITE.exists():
        sys.exit("there is no out/page: run make page first")
    photograph = cv2.resize(cv2.imread(str(SAMPLE), cv2.IMREAD_GRAYSCALE), (WIDTH, HEIGHT))
    content = base64.b64encode(cv2.imencode(".jpg", photograph)[1].tobytes()).decode()
    took: dict[str, list[tuple[float, float]]] = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=SITE)) as server, sync_playwright() as driver:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(600_000)
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        for _ in range(rounds):
            page.reload()
            note(took, "the network, from the browser's store, ready", lambda: page.evaluate(READY))
            note(took, "first colors of a chosen file", lambda: page.evaluate(FIRST, [content, SIDE]))
            for name, click in CLICKS.items():
                note(took, name, partial(clicked, page, click))
        threads = page.evaluate("crossOriginIsolated ? navigator.hardwareConcurrency : 1")
        server.shutdown()
    print(f"{processor()}, {threads} threads, Chromium {browser.version}, commit {commit()}, ms of {rounds} rounds")
    print(f"a JPEG of {WIDTH}x{HEIGHT}, previews of {SIDE} pixels: on the wall | of the processor")
    for name, times in took.items():
        wall, busy = zip(*times, strict=True)
        print(f"{name:45} {spread([1000 * each for each in wall])} | {spread([1000 * each for each in busy])}")


class Quiet(SimpleHTTPRequestHandler):
    """A host that tells nothing of what it gives out."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def clicked(page: Page, click: str) -> None:
    """Until the page has its answer."""
    page.evaluate(f"(async () => {{ await window.{click}; }})()")


def note(took: dict[str, list[tuple[float, float]]], name: str, run: Callable[[], object]) -> None:
    """Add what one run took: seconds on the wall, and of the browser's processes."""
    began, busy = time.perf_counter(), browsers_seconds()
    run()
    took.setdefault(name, []).append((time.perf_counter() - began, browsers_seconds() - busy))


def browsers_seconds() -> float:
    """Processor time of this process's descendants so far."""
    parents, used = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(stat.parent.name)] = int(fields[1])
        used[int(stat.parent.name)] = int(fields[11]) + int(fields[12])

    def is_ours(process: int) -> bool:
        while process not in (0, os.getpid()):
            process = parents.get(process, 0)
        return process != 0

    ticks = sum(time for process, time in used.items() if process != os.getpid() and is_ours(process))
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
