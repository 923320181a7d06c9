"""What capsules are for, measured: candidates, hints, recolors, regions, confidence, steadiness.

A colorizer without entities could reach the same PSNR; each number here is one that it could not, beside what does the
same without couplings. Everything is taken picture by picture on photographs whose colors are known, from the answers
of one canvas, and written as one JSON-ready dictionary, of the form of :mod:`colorcapsnet.evaluate`'s, with ``uses``
for a kind: ``rows`` has one entry a picture, ``summary`` the means with their intervals.

====================  =================================================================================
``best_of_5``         ΔE of the best of five candidates, and of the best of five strengths of the mean
``hints``             what 1, 5, 10, 50 true points add, at random and where :func:`paint.suggest` says
``leak``              how much of a change lands outside the human segment that was pointed at
``regions``           couplings as a segmentation, against people's
``confidence``        whether P(ab error < 15) means what it says
``steadiness``        how far colors move when the picture is mirrored, shifted, made noisy
``without``           what is lost, in dB, when couplings are scrambled, averaged, or the local term left out
====================  =================================================================================
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from colorcapsnet import color, evaluate, metrics, paint, zoo
from colorcapsnet.color import Float
from colorcapsnet.errors import DataError, PictureError
from colorcapsnet.evaluate import Evaluation, Opens, Pixels, Row, Truth, interval

if TYPE_CHECKING:
    from colorcapsnet.colorizer import Canvas

Labels: TypeAlias = NDArray[np.integer[Any]]
Segments: TypeAlias = Mapping[str, Sequence[bytes]]
Features: TypeAlias = Callable[[Pixels], Float]
Superpixels: TypeAlias = Callable[[Pixels, int], Labels]
Samples: TypeAlias = tuple[Float, NDArray[np.bool_]]

CANDIDATES = 5
STRENGTHS = (0.5, 0.8, 1.1, 1.4, 1.7)
POINTS = (0, 1, 5, 10, 50)
SUGGESTED = (1, 5, 10)
RECOLORS = 8
"""Points of a picture at which leak is measured."""
RECOLOR_CHROMA = 30.0
"""What a recolor's chroma is at least."""
RADIUS = 15.0
"""A color is right when its ab error is below this."""
PIXELS = 1000
"""Of a picture, for confidence."""
SHIFT, NOISE = 8, 2.0
"""Pixels, and the standard deviation in gray codes, of the pictures that should be colored alike."""
ENOUGH = 3000
"""Pictures below which no Fréchet distance is computed."""


# A whole set


def measure(
    truth: str | Path | Sequence[Path],
    model: Opens,
    *,
    segments: Segments | None = None,
    features: Features | None = None,
    superpixels: Superpixels | None = None,
    jobs: int = 1,
    command: str | None = None,
) -> Evaluation:
    """Measure what a photograph model's entities are good for.

    Args:
        truth: as in :func:`evaluate.evaluate_models`.
        model: opened from ``jobs`` threads.
        segments: what :func:`segmentations` read; without them there is no ``leak`` and no ``regions``.
        features: gray ``(H, W)`` -> ``(h, w, F)``, what the model's couplings are made from: divided by k-means into
            as many parts as there are entities, they are what ``regions`` have to beat.
        superpixels: gray ``(H, W)`` and how many -> labels ``(H, W)``: something else that divides pictures.
        jobs: threads; each holds one picture in memory.
        command: how this was asked for; None for this process's command line.

    Returns:
        See the head of this module.

    Raises:
        DataError: there are no pictures, none with color, or one has no human segmentation of its size.
        PictureError: a picture cannot be read, has alpha, or is not larger than the shift.
    """
    samples: dict[str, Samples] = {}

    def rows_of(photograph: Truth) -> list[Row]:
        subject = _Subject(photograph, model.open(photograph.gray.copy()))
        samples[photograph.name] = subject.samples(subject.canvas.confidence())
        row = {
            "picture": photograph.name,
            "psnr": subject.psnr(subject.mean),
            "gray_psnr": metrics.psnr(photograph.rgb, np.dstack([photograph.gray] * 3)),
            "best_of_5": _best_of_5(subject),
            "hints": _hints(subject),
            "steadiness": _steadiness(subject, model),
            "without": _without(subject),
        }
        if segments is not None:
            human = _human(segments, photograph)
            row["leak"] = _leak(subject, human)
            row["regions"] = _regions(subject, human, features, superpixels)
        return [row]

    found = evaluate.over_photographs(truth, rows_of, jobs=jobs, command=command)
    pooled = [samples[row["picture"]] for row in found["rows"]]
    summary = _summary(found["rows"]) | {"confidence": _reliability(pooled)}
    return found | {"kind": "uses", "model": getattr(model, "sha256", None), "summary": summary}


def confidence_curve(truth: str | Path | Sequence[Path], model: Opens, *, jobs: int = 1) -> list[list[float]]:
    """Learn, on photographs that were held out, the curve that makes confidence mean what it says.

    Returns:
        x and y, for a card's ``paint["curve"]``.

    Raises:
        DataError, PictureError: as :func:`measure`.
    """

    def rows_of(photograph: Truth) -> list[Row]:
        subject = _Subject(photograph, model.open(photograph.gray.copy()))
        sure, hit = subject.samples(paint.confidence(subject.canvas.known, subject.canvas.ab(), RADIUS))
        return [{"sure": sure, "hit": hit}]

    rows = evaluate.over_photographs(truth, rows_of, jobs=jobs)["rows"]
    sure, hit = (np.concatenate([row[name] for row in rows]) for name in ("sure", "hit"))
    return [values.tolist() for values in metrics.rising_curve(sure, hit)]


def frechet(
    truth: str | Path | Sequence[Path],
    model: Opens,
    features: Callable[[Pixels], Float],
    *,
    jobs: int = 1,
    command: str | None = None,
) -> Evaluation:
    """Fréchet distances between features of outputs and of true photographs: how alike they look as a crowd.

    Args:
        truth: as in :func:`evaluate.evaluate_models`, at least 3,000 photographs.
        model: opened from ``jobs`` threads.
        features: sRGB ``(H, W, 3)`` uint8 -> ``(D,)``; called from ``jobs`` threads.
        jobs: threads.
        command: how this was asked for; None for this process's command line.

    Returns:
        An evaluation of the kind ``frechet`` without rows; its summary has a distance for ``gray``, ``mean`` and
        ``vivid``.

    Raises:
        DataError: there are fewer than 3,000 photographs in color.
        PictureError: a picture cannot be read or has alpha.
    """

    def rows_of(photograph: Truth) -> list[Row]:
        canvas = model.open(photograph.gray.copy())
        outputs = {
            "truth": photograph.rgb,
            "gray": np.dstack([photograph.gray] * 3),
            "mean": canvas.color().array,
            "vivid": canvas.color(2.0).array,
        }
        return [{name: features(cast(Pixels, rgb)) for name, rgb in outputs.items()}]

    found = evaluate.over_photographs(truth, rows_of, jobs=jobs, command=command)
    rows = found.pop("rows")
    if len(rows) < ENOUGH:
        raise DataError(f"{len(rows)} photographs are too few for a Fréchet distance: it needs at least {ENOUGH:,}")
    crowd = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    distances = {name: metrics.frechet(crowd[name], crowd["truth"]) for name in ("gray", "mean", "vivid")}
    return found | {"kind": "frechet", "model": getattr(model, "sha256", None), "summary": distances}


def segmentations(path: Path) -> Segments:
    """Human segmentations, ``NAME_ANNOTATOR.png`` with a label a pixel in a tar -> NAME -> files, still packed.

    Raises:
        DataError: it is missing or damaged, or holds none.
    """
    found: dict[str, list[bytes]] = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                stream = tar.extractfile(member)
                if stream is not None and member.name.endswith(".png"):
                    found.setdefault(Path(member.name).stem.rpartition("_")[0], []).append(stream.read())
    except (OSError, tarfile.TarError) as problem:
        raise DataError(f"{path} cannot be read as a tar of segmentations: {problem}") from problem
    if not found:
        raise DataError(f"{path} holds no segmentation: give a tar of NAME_ANNOTATOR.png files")
    return found


def _human(segments: Segments, photograph: Truth) -> list[Labels]:
    packed = segments.get(Path(photograph.name).stem)
    if not packed:
        raise DataError(f"there is no human segmentation of {photograph.name}: leave it out, or measure without them")
    human = []
    for content in packed:
        labels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if labels is None or labels.shape != photograph.gray.shape:
            raise DataError(f"a human segmentation of {photograph.name} is damaged, or not of the photograph's size")
        human.append(cast(Labels, labels))
    return human


# One picture


@dataclass(frozen=True)
class _Subject:
    """A photograph and what the network knows about its gray."""

    truth: Truth
    canvas: Canvas

    @cached_property
    def mean(self) -> Pixels:
        return self.render(self.ab)

    @cached_property
    def ab(self) -> Float:
        """The mean at the network's cells, ``(h, w, 2)``."""
        return self.canvas.ab()

    @cached_property
    def kernel(self) -> paint.Kernel:
        return self.canvas.kernel

    @cached_property
    def uncoupled(self) -> paint.Known:
        """The same with couplings that agree everywhere, so that kernels see none."""
        coupling = self.canvas.known.coupling
        return replace(self.canvas.known, coupling=np.full_like(coupling, 1 / len(coupling)))

    def dice(self, use: str) -> np.random.Generator:
        """Chance that is the picture's own: by its name, and different for each use."""
        return np.random.default_rng([zlib.crc32(text.encode()) for text in (use, self.truth.name)])

    def render(self, ab: Float) -> Pixels:
        return cast(Pixels, self.canvas.render(ab).array)

    def psnr(self, rgb: Pixels) -> float:
        return min(metrics.psnr(self.truth.rgb, rgb), evaluate.PSNR_CEILING)

    def delta_e(self, rgb: Pixels) -> float:
        return float(metrics.ciede2000(self.truth.lab, color.srgb_to_lab(rgb)).mean(dtype=np.float64))

    def places(self, use: str, count: int) -> NDArray[np.intp]:
        """Random pixels, no one twice: ``(count, 2)``, x and y; fewer where there are no more."""
        height, width = self.truth.gray.shape
        chosen = self.dice(use).choice(height * width, min(count, height * width), replace=False)
        return np.stack([chosen % width, chosen // width], axis=1)

    def cells(self, places: NDArray[np.intp]) -> NDArray[np.intp]:
        return np.array([self.canvas.cell(int(x), int(y)) for x, y in places], np.intp).reshape(-1, 2)

    def middles(self, cells: NDArray[np.intp]) -> NDArray[np.intp]:
        """The pixels in the middle of cells, x and y."""
        (height, width), grid = self.truth.gray.shape, self.canvas.known.coupling.shape[1:]
        x, y = (2 * cells[:, 1] + 1) * width // (2 * grid[1]), (2 * cells[:, 0] + 1) * height // (2 * grid[0])
        return np.stack([x, y], axis=1)

    def true_colors(self, places: NDArray[np.intp]) -> Float:
        """Mean ab of the 3×3 pixels around each place, of those that there are: ``(n, 2)``."""
        ab = self.truth.ab
        around = [ab[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean(axis=(0, 1)) for x, y in places]
        return np.array(around, np.float32).reshape(-1, 2)

    def samples(self, sure: Float) -> Samples:
        """Confidence ``(h, w)`` and whether the color was right, at random pixels."""
        places = self.places("confidence", PIXELS)
        x, y = places.T
        error = np.hypot(*np.moveaxis(_ab(self.mean)[y, x] - self.truth.ab[y, x], -1, 0))
        return sure[tuple(self.cells(places).T)], error < RADIUS


def _ab(rgb: Pixels) -> Float:
    return color.srgb_to_lab(rgb)[..., 1:]


def _best_of_5(subject: _Subject) -> dict[str, list[float]]:
    """ΔE of each candidate, as a mean and as a vivid picture, and of each strength of the mean."""
    drawn = paint.candidates(subject.canvas.known, CANDIDATES)
    told = subject.canvas.card.paint
    vivid = {name: told[name] for name in zoo.VIVID if name in told}
    ways = {
        "candidates": [paint.color(one) for one in drawn],
        "vivid_candidates": [paint.color(one, 2.0, **vivid) for one in drawn],
        "strengths": [np.float32(factor) * subject.ab for factor in STRENGTHS],
    }
    return {name: [subject.delta_e(subject.render(ab)) for ab in each] for name, each in ways.items()}


def _hints(subject: _Subject) -> dict[str, dict[str, list[float]]]:
    """PSNR and ΔE after the first so many of one list of points."""
    canvas, kernel = subject.canvas, subject.kernel

    def hinted(known: paint.Known, cells: NDArray[np.intp], colors: Float) -> Float:
        return paint.hint(known, subject.ab, canvas.lightness, cells, colors, kernel)

    def tool(cells: NDArray[np.intp], colors: Float) -> Float:
        return hinted(canvas.known, cells, colors)

    places = subject.places("hints", max(POINTS))
    random = subject.cells(places), subject.true_colors(places)
    wanted = min(max(SUGGESTED), canvas.lightness.size)
    suggested = paint.suggest(canvas.known, canvas.lightness, wanted, kernel=kernel)
    chosen = suggested, subject.true_colors(subject.middles(suggested))
    return {
        "tool": _curve(subject, tool, random, POINTS),
        "uncoupled": _curve(subject, partial(hinted, subject.uncoupled), random, POINTS),
        "levin": _curve(subject, partial(levin, canvas.lightness), random, POINTS),
        "suggested": _curve(subject, tool, chosen, SUGGESTED),
    }


def _curve(
    subject: _Subject,
    corrected: Callable[[NDArray[np.intp], Float], Float],
    points: tuple[NDArray[np.intp], Float],
    counts: Sequence[int],
) -> dict[str, list[float]]:
    cells, colors = points
    shown = [subject.render(corrected(cells[:count], colors[:count])) for count in counts]
    return {"psnr": [subject.psnr(rgb) for rgb in shown], "delta_e": [subject.delta_e(rgb) for rgb in shown]}


def _leak(subject: _Subject, human: Sequence[Labels]) -> dict[str, float | None]:
    """Share of the change of ab, by energy, outside the segment of the point: mean over people, then points.

    A point is given the opposite hue: by recoloring the part around it, by one hint, and by a hint whose kernel knows
    distance alone. A change that gamut or rounding undid everywhere has no share, and counts for nothing.
    """
    canvas, places = subject.canvas, subject.places("leak", RECOLORS)
    spatial = replace(subject.kernel, lightness=float("inf"))
    shares: dict[str, list[float]] = {"recolor": [], "hint": [], "space": []}
    before = _ab(subject.mean)
    for (x, y), cell in zip(places, subject.cells(places), strict=True):
        wanted = opposite(subject.ab[tuple(cell)])
        part = paint.region(canvas.known, (int(cell[0]), int(cell[1])))
        ways = {
            "recolor": paint.color(paint.recolor_region(canvas.known, part, wanted)),
            "hint": paint.hint(canvas.known, subject.ab, canvas.lightness, [cell], [wanted], subject.kernel),
            "space": paint.hint(subject.uncoupled, subject.ab, canvas.lightness, [cell], [wanted], spatial),
        }
        for name, ab in ways.items():
            energy = ((_ab(subject.render(ab)) - before) ** 2).sum(axis=-1)
            if energy.any():
                shares[name].append(float(np.mean([outside(energy, labels, x, y) for labels in human])))
    return {name: float(np.mean(each)) if each else None for name, each in shares.items()}


def opposite(ab: Float) -> Float:
    """The opposite hue, with a chroma of 30 at least; of gray, red."""
    chroma = float(np.hypot(*ab))
    return np.array([RECOLOR_CHROMA, 0]) if chroma == 0 else -ab * max(RECOLOR_CHROMA / chroma, 1)


def outside(energy: Float, labels: Labels, x: int, y: int) -> float:
    """Share of ``energy`` ``(H, W)`` outside the segment that holds a pixel."""
    return float(1 - energy[labels == labels[y, x]].sum(dtype=np.float64) / energy.sum(dtype=np.float64))


def _regions(
    subject: _Subject, human: Sequence[Labels], features: Features | None, superpixels: Superpixels | None
) -> dict[str, float]:
    """Adjusted Rand index against each person, averaged: of each cell's largest entity, and of what else there is."""
    gray, largest = subject.truth.gray, subject.canvas.known.coupling.argmax(axis=0)
    count = len(np.unique(largest))
    ways = {"entities": _enlarged(largest, gray.shape)}
    if features is not None:
        ways["kmeans"] = _enlarged(kmeans(features(gray), count), gray.shape)
    if superpixels is not None:
        ways["superpixels"] = superpixels(gray, count)
    agreement = {
        name: float(np.mean([metrics.adjusted_rand(labels, person) for person in human]))
        for name, labels in ways.items()
    }
    return agreement | {"count": count}


def kmeans(features: Float, count: int) -> Labels:
    """Divide ``(h, w, F)`` into ``count`` clusters, the best of three beginnings, seeded: labels ``(h, w)``."""
    flat = np.ascontiguousarray(features.reshape(-1, features.shape[-1]), np.float32)
    ends = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-4)
    cv2.setRNGSeed(0)
    _, labels, _ = cv2.kmeans(flat, count, np.empty(0, np.int32), ends, 3, cv2.KMEANS_PP_CENTERS)
    return cast(Labels, labels.reshape(features.shape[:2]))


def _enlarged(labels: Labels, shape: tuple[int, ...]) -> Labels:
    return cast(Labels, cv2.resize(labels.astype(np.uint16), shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT))


def _steadiness(subject: _Subject, model: Opens) -> dict[str, float]:
    """Mean ab difference to the same points of the picture mirrored, shifted, and made noisy."""
    gray, ab = subject.truth.gray, _ab(subject.mean)
    if min(gray.shape) <= SHIFT:
        size = "×".join(map(str, gray.shape[::-1]))
        raise PictureError(f"{subject.truth.name} is {size}: steadiness needs more than {SHIFT} pixels on each side")

    def colored(picture: NDArray[Any]) -> Float:
        return _ab(cast(Pixels, model.open(np.ascontiguousarray(picture)).color().array))

    shifted = np.pad(gray, ((SHIFT, 0), (SHIFT, 0)), mode="reflect")[:-SHIFT, :-SHIFT]
    noise = subject.dice("noise").normal(0, NOISE, gray.shape)
    noisy = np.rint(gray + noise).clip(0, 255).astype(np.uint8)
    return {
        "mirrored": _apart(ab, colored(gray[:, ::-1])[:, ::-1]),
        "shifted": _apart(ab[:-SHIFT, :-SHIFT], colored(shifted)[SHIFT:, SHIFT:]),
        "noisy": _apart(ab, colored(noisy)),
    }


def _apart(ab: Float, other: Float) -> float:
    return float(np.linalg.norm(ab - other, axis=-1).mean(dtype=np.float64))


def _without(subject: _Subject) -> dict[str, float]:
    """PSNR when entities are exchanged for each other, have one coupling everywhere, or add nothing locally."""
    known = subject.canvas.known
    shuffled = subject.dice("entities").permutation(len(known.coupling))
    everywhere = known.coupling.mean(axis=(1, 2), keepdims=True)
    ways = {
        "permuted": replace(known, coupling=known.coupling[shuffled]),
        "averaged": replace(known, coupling=np.broadcast_to(everywhere, known.coupling.shape)),
        "no_local": replace(known, mix=np.zeros_like(known.mix)),
    }
    return {name: subject.psnr(subject.render(paint.color(changed))) for name, changed in ways.items()}


# Summary


def _summary(rows: Sequence[Row]) -> dict[str, Any]:
    psnr = np.array([row["psnr"] for row in rows])
    steadiness, without = _table(rows, "steadiness"), _table(rows, "without")
    found: dict[str, Any] = {
        "skill": interval(psnr - [row["gray_psnr"] for row in rows]),
        "best_of_5": _best(rows),
        "hints": _hint_gains(rows),
        "steadiness": {name: interval(values) for name, values in steadiness.items()},
        "without": {name: interval(values - psnr) for name, values in without.items()},
    }
    if "leak" in rows[0]:
        found["leak"] = {name: interval(values[~np.isnan(values)]) for name, values in _table(rows, "leak").items()}
        found["regions"] = _agreements(_table(rows, "regions"))
    return found


def _table(rows: Sequence[Row], use: str) -> dict[str, NDArray[np.float64]]:
    return {name: np.array([row[use][name] for row in rows], np.float64) for name in rows[0][use]}


def _best(rows: Sequence[Row]) -> dict[str, Any]:
    """The lowest ΔE of each five, and how far candidates are below strengths (negative: better)."""
    lowest = {name: values.min(axis=1) for name, values in _table(rows, "best_of_5").items()}
    found: dict[str, Any] = {name: interval(values) for name, values in lowest.items()}
    for name in ("candidates", "vivid_candidates"):
        found[f"{name}_over_strengths"] = interval(lowest[name] - lowest["strengths"])
    return found


def _hint_gains(rows: Sequence[Row]) -> dict[str, Any]:
    """PSNR, and what points add to PSNR and take from ΔE, for each line; paired differences between lines."""
    psnr, delta_e = (
        {line: np.array([row["hints"][line][score] for row in rows]) for line in rows[0]["hints"]}
        for score in ("psnr", "delta_e")
    )
    found: dict[str, Any] = {}
    for line, counts in (("tool", POINTS), ("uncoupled", POINTS), ("levin", POINTS), ("suggested", SUGGESTED)):
        start = "tool" if line == "suggested" else line
        found[line] = {
            "points": list(counts),
            "psnr": _columns(psnr[line]),
            "gain": _columns(psnr[line] - psnr[start][:, :1]),
            "delta_e_gain": _columns(delta_e[start][:, :1] - delta_e[line]),
        }
    same = [POINTS.index(count) for count in SUGGESTED]
    return found | {
        "over_uncoupled": _columns(psnr["tool"] - psnr["uncoupled"]),
        "over_levin": _columns(psnr["tool"] - psnr["levin"]),
        "suggested_over_random": _columns(psnr["suggested"] - psnr["tool"][:, same]),
    }


def _columns(values: NDArray[np.float64]) -> list[dict[str, float] | None]:
    return [interval(column) for column in values.T]


def _agreements(regions: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    found: dict[str, Any] = {name: interval(values) for name, values in regions.items()}
    for name in ("kmeans", "superpixels"):
        if name in regions:
            found[f"over_{name}"] = interval(regions["entities"] - regions[name])
    return found


def _reliability(pooled: Sequence[Samples]) -> dict[str, Any]:
    predicted, hit = (np.concatenate(each) for each in zip(*pooled, strict=True))
    sure, share = metrics.reliability(predicted, hit)
    return {
        "predicted": sure.tolist(),
        "measured": share.tolist(),
        "largest_gap": float(np.abs(sure - share).max()),
    }


# What hints are compared with

_WINDOW = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
_LEAST_VARIANCE = 2e-6  # of L/100 in a window


def levin(lightness: Float, cells: NDArray[np.intp], colors: Float) -> Float:
    """Colorization using optimization (Levin, Lischinski and Weiss 2004): cells of like lightness have like colors.

    Points are as given; every other cell r is ``Σ_s w_rs U(s)`` over its neighbors s in 3×3, where ``w_rs`` falls with
    the squared difference of lightness over the window's variance, and sums to 1: their sum of squares at its least,
    which is 0. Weights are those of the authors' program. A cell touches only the rows next to it, so the equations
    are solved exactly, row after row.

    Args:
        lightness: ``(h, w)``, L in 0..100.
        cells: ``(n, 2)``, row and column of the points; one that occurs twice has the mean of its colors.
        colors: ``(n, 2)``, their ab.

    Returns:
        ``(h, w, 2)``; zeros where there is no point.
    """
    if lightness.shape[1] > lightness.shape[0]:
        return np.swapaxes(levin(lightness.T, cells[:, ::-1], colors), 0, 1)
    right = np.zeros((*lightness.shape, 2))
    if len(cells):
        points, at, count = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
        sums = [np.bincount(at.ravel(), colors[:, axis]) for axis in (0, 1)]
        right[tuple(points.T)] = np.stack(sums, axis=1) / count[:, None]
        system = _levin_system(lightness / 100)
        for offset, plane in system.items():
            plane[tuple(points.T)] = offset == (0, 0)
        right = _solved_by_rows(system, right)
    return right.astype(np.float32)


def _levin_system(lightness: Float) -> dict[tuple[int, int], Float]:
    """``I - w``: for each offset in the window the entry of each cell, ``(h, w)``; 0 where there is no neighbor."""
    height, width = lightness.shape
    padded = np.pad(lightness.astype(np.float64), 1, constant_values=np.nan)
    near = np.stack([padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] for dy, dx in _WINDOW])
    square = (near - lightness) ** 2
    square[_WINDOW.index((0, 0))] = np.nan
    # the neighbor that is most alike weighs a hundredth at least, whatever the variance
    spread = np.maximum(0.6 * np.nanvar(near, axis=0), np.nanmin(square, axis=0) / np.log(100))
    weight = np.nan_to_num(np.exp(-square / np.maximum(spread, _LEAST_VARIANCE)))
    weight /= weight.sum(axis=0)
    return {offset: (offset == (0, 0)) - plane for offset, plane in zip(_WINDOW, weight, strict=True)}


def _solved_by_rows(system: dict[tuple[int, int], Float], right: Float) -> Float:
    """Solve for the cells of a picture, each tied to its 3×3: each row is expressed by the next, the last one known."""
    onward, own = np.zeros((right.shape[1],) * 2), np.zeros(right.shape[1:])
    rows = []
    for row, side in enumerate(right):
        above, here, below = (_between_rows(system, row, dy) for dy in (-1, 0, 1))
        solved = np.linalg.solve(here - above @ onward, np.hstack([below, side - above @ own]))
        onward, own = solved[:, :-2], solved[:, -2:]
        rows.append((onward, own))
    out = np.zeros((len(right) + 1, *right.shape[1:]))
    for row, (onward, own) in reversed(list(enumerate(rows))):
        out[row] = own - onward @ out[row + 1]
    return out[:-1]


def _between_rows(system: dict[tuple[int, int], Float], row: int, dy: int) -> Float:
    """Entries between the cells of a row and those of the one that is ``dy`` below: ``(w, w)``, three diagonals."""
    width = system[0, 0].shape[1]
    parts = [(dx, system[dy, dx][row, max(0, -dx) : width - max(0, dx)]) for dx in (-1, 0, 1)]
    return cast(Float, sum(np.diag(values, dx) for dx, values in parts if values.size))
