"""What is learnt about a finished network, for its card: how sure it may be, how vivid, how far a hint reaches.

Everything is arithmetic on what the network knows about photographs that it did not learn from; no weight changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from colorcapsnet import color, evaluate, metrics, paint, scale, uses
from colorcapsnet.color import Float
from colorcapsnet.colorizer import Canvas, Colorizer
from colorcapsnet.evaluate import Pixels
from colorcapsnet.paint import Kernel, Known
from colorcapsnet.progress import bar

PICTURES = 150  # that vivid colors are measured on
SURE = 350  # that confidence is learnt on
TAUGHT = 48  # that the kernel of hints is learnt on
LEAST_SKILL = -0.5  # dB over gray, of vivid colors
BOLD = 2.0  # exponent of the modes' chroma: at equal colorfulness it costs no skill, and decides for a color
POINTS = (1, 5, 10, 50)
FLOOD = 1.0
"""What it costs that a click changes all of the picture as much as its place, against the log of the error. True colors
alone would have one click tint everything, which helps where a cast is wrong and nobody who points at a coat."""
CLICKS = 4  # of a picture, at which that is measured
STEPS = {
    "everywhere": (0.0, 0.2, 0.5, 1.0, 2.0),
    "wide": (0.25, 0.5, 0.8, 1.2),
    "wide_reach": (0.15, 0.25, 0.4, 0.8),
    "near": (0.15, 0.3, 0.6, 1.0),
    "near_reach": (0.06, 0.12, 0.18, 0.25),
    "lightness": (0.01, 0.03, 0.1),
    "noise": (0.02, 0.05, 0.1, 0.2),
    "softness": (0.06, 0.12, 0.25, 0.5, 1.0),
    "near_agreement": (0.0, 0.5, 1.0),
}
"""What is tried for each constant of :class:`paint.Kernel`."""


def calibrate(model: Colorizer, held: Sequence[Path], taught: Path) -> dict[str, Any]:
    """Learn what a card's ``paint`` holds.

    Args:
        model: sees whole photographs.
        held: folders of photographs that were held out of training: for confidence and vivid colors.
        taught: folder of training photographs: for the reach of hints.

    Returns:
        ``curve``, ``bold``, ``gain`` and ``kernel``.

    Raises:
        DataError: a folder holds no photographs in color.
        PictureError: a picture cannot be read.
        ModelError: the network sees patches.
    """
    model.card = replace(model.card, paint={})
    pictures = _thinned(held, PICTURES)
    gain = vivid_gain(_seen(model, pictures))
    kernel = learn_kernel([_taught(rgb, canvas) for rgb, canvas in _seen(model, _thinned([taught], TAUGHT))])
    return {
        "curve": uses.confidence_curve(_thinned(held, SURE), model),
        "bold": BOLD,
        "gain": gain,
        "kernel": {name: getattr(kernel, name) for name in STEPS},
    }


def _thinned(folders: Sequence[Path], count: int) -> list[Path]:
    """Photographs evenly from all folders."""
    found: list[Path] = []
    for folder in folders:
        files = list(evaluate.photographs(folder).values())
        places = np.linspace(0, len(files) - 1, min(len(files), -(-count // len(folders))))
        found += [files[int(place)] for place in places]
    return found


def _seen(model: Colorizer, files: Sequence[Path]) -> list[tuple[Pixels, Canvas]]:
    """Photographs in color and what the network knows of their gray."""
    seen = []
    with bar("looking", len(files)) as advance:
        for file in files:
            rgb = evaluate.read(file)
            if metrics.chroma(color.srgb_to_lab(rgb)[..., 1:]) >= evaluate.GRAY_CHROMA:
                seen.append((rgb, model.open(color.gray(rgb))))
            advance()
    return seen


# Vivid colors


def vivid_gain(seen: Sequence[tuple[Pixels, Canvas]]) -> float:
    """The gain at which vivid colors are as colorful as the truth, or as far as skill above ``LEAST_SKILL`` allows.

    Pictures are compared at the network's cells.
    """
    small = [(_at_cells(rgb, canvas), canvas) for rgb, canvas in seen]
    truth = float(np.mean([metrics.colorfulness(rgb) for rgb, _ in small]))
    low, high = 0.5, 4.0
    for _ in range(8):
        gain = (low + high) / 2
        colorful, skill = _measured(small, gain)
        low, high = (low, gain) if colorful > truth or skill < LEAST_SKILL else (gain, high)
    return round(low, 3)


def _at_cells(rgb: Pixels, canvas: Canvas) -> Pixels:
    height, width = canvas.lightness.shape
    return np.asarray(scale.fit(rgb, height, width), np.uint8)


def _measured(small: Sequence[tuple[Pixels, Canvas]], gain: float) -> tuple[float, float]:
    """Mean colorfulness and skill of vivid colors."""
    colorful, skill = [], []
    for rgb, canvas in small:
        gray = np.asarray(color.gray(rgb), np.uint8)
        shown = color.merge(gray, paint.color(canvas.known, 2.0, bold=BOLD, gain=gain))
        colorful.append(metrics.colorfulness(np.asarray(shown, np.uint8)))
        errors = [np.square(rgb.astype(np.float64) - other).mean() for other in (np.dstack([gray] * 3), shown)]
        skill.append(10 * np.log10((errors[0] + 1e-3) / (errors[1] + 1e-3)))
    return float(np.mean(colorful)), float(np.mean(skill))


# The reach of hints


@dataclass(frozen=True, eq=False)
class Taught:
    """A photograph that teaches how far a hint reaches: what is known, painted and true, and where to point."""

    known: Known
    lightness: Float
    ab: Float
    truth: Float
    cells: Any


def _taught(rgb: Pixels, canvas: Canvas) -> Taught:
    height, width = canvas.lightness.shape
    truth = scale.fit(color.srgb_to_lab(rgb)[..., 1:].astype(np.float32), height, width)
    places = np.random.default_rng(0).choice(height * width, max(POINTS), replace=False)
    return Taught(canvas.known, canvas.lightness, canvas.ab(), truth, np.stack(divmod(places, width), axis=1))


def learn_kernel(pictures: Sequence[Taught]) -> Kernel:
    """The constants under which 1, 5, 10 and 50 true points leave least error, and one click floods little.

    One constant after the other, twice around.
    """
    kernel = paint.KERNEL
    best = _cost(pictures, kernel)
    with bar("learning how far hints reach", 2 * sum(map(len, STEPS.values())), "trials") as advance:
        for name, value in _trials():
            tried = replace(kernel, **{name: value})
            advance()
            if tried != kernel and (cost := _cost(pictures, tried)) < best:
                kernel, best = tried, cost
    return kernel


def _cost(pictures: Sequence[Taught], kernel: Kernel) -> float:
    return hint_error(pictures, kernel) + FLOOD * flood(pictures, kernel)


def _trials() -> Iterator[tuple[str, float]]:
    for _ in range(2):
        for name, values in STEPS.items():
            for value in values:
                yield name, value


def hint_error(pictures: Sequence[Taught], kernel: Kernel) -> float:
    """Mean over pictures and numbers of points of the log of the squared error of ab after hints."""
    logs = []
    for one in pictures:
        for count in POINTS:
            cells = one.cells[:count]
            hinted = paint.hint(one.known, one.ab, one.lightness, cells, one.truth[tuple(cells.T)], kernel)
            logs.append(np.log(np.square(hinted - one.truth).mean() + 1e-3))
    return float(np.mean(logs))


def flood(pictures: Sequence[Taught], kernel: Kernel) -> float:
    """How far one click reaches: change of ab, squared, in the mean cell over that at the click; mean over clicks."""
    shares = []
    for one in pictures:
        for cell in one.cells[:CLICKS]:
            wanted = one.ab[tuple(cell)] + 30
            change = paint.hint(one.known, one.ab, one.lightness, [cell], [wanted], kernel) - one.ab
            energy = np.square(change).sum(axis=-1)
            shares.append(energy.mean() / energy[tuple(cell)])
    return float(np.mean(shares))
