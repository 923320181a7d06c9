"""What is installed, whether it works, and how fast it is here."""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import platform
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata

from colorcapsnet.errors import ColorCapsNetError

_MODULES = {"opencv-python-headless": "cv2", "pillow": "PIL", "pyvips-binary": "_libvips"}
_NOT_FOR_USERS = {"dev", "docs"}
_SIZE = (1633, 1225)  # 2 megapixels


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        state: ``"ok"``, ``"missing"`` (an extra that nobody needs to have) or ``"broken"`` (nothing works without).
        told: what was found, and what to do.
    """

    state: str
    told: str

    def __str__(self) -> str:
        return f"{self.state:8} {self.told}"


def examine() -> Iterator[Finding]:
    """Look at everything, the parts before what needs them; ends early where libraries are broken."""
    yield Finding("ok", f"colorcapsnet {metadata.version('colorcapsnet')}, Python {platform.python_version()}, "
                  f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores")  # fmt: skip
    libraries = list(_libraries())
    yield from libraries
    if any(library.state == "broken" for library in libraries):
        return
    yield from _tried(_formats)
    yield from _extras()
    yield from _models()
    yield from _tried(_speed)


def _libraries() -> Iterator[Finding]:
    """Those that coloring needs: all are imported, since a library that is there may still not load."""
    for name, least in _requirements()[""]:
        found = _version(name)
        if found is None or _numbers(found) < _numbers(least):
            yield Finding("broken", f"{name} {found or 'is missing'}: pip install '{name}>={least}'")
            continue
        try:
            importlib.import_module(_MODULES.get(name, name))
        except Exception as error:  # whatever a damaged library does
            reason = " ".join(str(error).split())
            yield Finding("broken", f"{name} {found} does not load ({reason}): pip install --force-reinstall {name}")
        else:
            yield Finding("ok", f"{name} {found}")


def _formats() -> Finding:
    """What is said to be written is written, and read again."""
    import numpy as np
    import PIL.Image
    import pyvips

    from colorcapsnet import pictures

    picture = pictures.Picture(np.full((16, 16, 3), 128, np.uint8))
    for format in pictures.FORMATS:
        pictures.read(pictures.encode(picture, format))
    PIL.Image.new("L", (16, 16)).save(gif := io.BytesIO(), "gif")
    pictures.read(gif.getvalue())
    heic = ", heic" if importlib.util.find_spec("pi_heif") else ""
    vips = ".".join(str(pyvips.version(part)) for part in range(3))
    return Finding("ok", f"reads and writes {', '.join(pictures.FORMATS)}; reads gif{heic} (libvips {vips})")


def _extras() -> Iterator[Finding]:
    for extra, needed in _requirements().items():
        if extra and extra not in _NOT_FOR_USERS:
            lacking = [name for name, least in needed if _numbers(_version(name) or "") < _numbers(least)]
            install = f"lacks {', '.join(lacking)}: pip install 'colorcapsnet[{extra}]'"
            yield Finding("missing" if lacking else "ok", f"extra {extra}{' ' + install if lacking else ''}")


def _models() -> Iterator[Finding]:
    from colorcapsnet import zoo

    for name in zoo.names():
        yield from _tried(partial(_model, name))
    yield Finding("ok", f"your own models and their cards are looked for in {zoo.own_folder()}")


def _model(name: str) -> Finding:
    from colorcapsnet import zoo

    path = zoo.find(name)
    card = zoo.load(name).card
    size = path.stat().st_size / 1e6
    return Finding("ok", f"model {name}, {size:.1f} MB, whole (SHA-256 {card.sha256[:12]}), {path.parent}")


def _speed() -> Finding:
    """The whole of coloring a made picture, as smooth as a photograph, and the share of the network."""
    import cv2
    import numpy as np

    from colorcapsnet.colorizer import Colorizer

    patches = np.random.default_rng(0).integers(48, 208, (13, 17), np.uint8)
    gray = np.asarray(cv2.resize(patches, _SIZE, interpolation=cv2.INTER_LINEAR), np.uint8)
    colorizer = Colorizer()
    height, width = colorizer.open(gray).known.coupling.shape[1:]
    seen = np.full((4 * height, 4 * width), 0.5, np.float32)
    whole = _seconds(lambda: colorizer.colorize(gray))
    share = _seconds(lambda: colorizer.network.know(seen)) / whole
    return Finding("ok", f"colors {gray.size / 1e6:.0f} megapixels in {whole:.2f} s, of that {share:.0%} the network")


def _tried(look: Callable[[], Finding]) -> Iterator[Finding]:
    try:
        yield look()
    except ColorCapsNetError as error:
        yield Finding("broken", str(error))


def _seconds(run: Callable[[], object]) -> float:
    """Best of five: what this machine can do, whatever else it does now."""
    took = []
    for _ in range(5):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return min(took)


def _requirements() -> dict[str, list[tuple[str, str]]]:
    """Extra, "" for none -> distributions that it needs, each with its least version."""
    found = defaultdict(list)
    for line in metadata.requires("colorcapsnet") or []:
        needs, _, condition = line.partition(";")
        name, _, least = needs.partition(">=")
        extra = re.search(r"extra == ['\"](.*)['\"]", condition)
        found[extra[1] if extra else ""].append((re.sub(r"\[.*", "", name).strip(), least.strip()))
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
