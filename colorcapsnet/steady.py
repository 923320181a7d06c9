"""Frames in, frames out, in colors that hold: what was decided about one frame is carried along to the next.

Every frame is seen by the network alone. Then, with the flow of gray between two frames (at working size, by dense
inverse search, Kroeger et al. 2016), the colors of the cells are taken along to where they went, and the new ones are
averaged into them, as far as the lightness of a cell agrees with that of the cell it came from. Cells that agree with
nothing begin anew; a frame most of whose cells agree with nothing begins a new shot.

Points that a person colored go with the flow, too, and count while what is under them is of the same kind.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from os import cpu_count
from typing import Any, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from colorcapsnet import color, scale
from colorcapsnet import hints as decisions
from colorcapsnet.color import Codes, Float
from colorcapsnet.colorizer import Canvas, Colorizer
from colorcapsnet.errors import HintError
from colorcapsnet.hints import NOTHING, Capsule, Hints, Point
from colorcapsnet.pictures import Picture

MEMORY = 12  # frames over which a cell's colors are averaged
CUT = 0.55  # share of a frame that comes from the one before; cuts of real films have at most 0.47, pans 0.65 and more

_ALIKE = 5.0  # difference of L at which a cell agrees by 1/e with the one it came from
_SAME_KIND = 0.5  # agreement of couplings above which a point is still on what it was given for
_PER_CELL = 4  # pixels at working size to each side of a cell
_STEPS = 4  # to find where the flow from a place leads
_AHEAD = (cpu_count() or 1) + 2  # frames that wait for a core, in each of two queues

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame that the network has seen.

    Attributes:
        canvas: asked for colors.
        small: ``(H, W)`` uint8, the frame at working size.
        flow: ``(h, w, 2)``, from each cell to where it came from in the frame before, x and y in cells; None at first.
    """

    canvas: Canvas
    small: NDArray[np.uint8]
    flow: Float | None


@dataclass(frozen=True, eq=False)
class Shot:
    """What is carried from one frame to the next.

    Attributes:
        number: of the frame that it was carried to, from 0.
        small: ``(H, W)`` uint8, the frame at working size.
        lightness: ``(h, w)`` L of its cells.
        ab: ``(h, w, 2)``, their colors.
        age: ``(h, w)``, how many frames speak for them.
        hints: what holds in this shot beyond what holds for all; its places are where they are in this frame.
        kinds: ``(n, K)``, roots of the couplings of these places when they were given.
    """

    number: int
    small: NDArray[np.uint8]
    lightness: Float
    ab: Float
    age: Float
    hints: Hints = NOTHING
    kinds: Float = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def to_bytes(self) -> bytes:
        """All of it, for :meth:`from_bytes`."""
        file = io.BytesIO()
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        np.savez(file, number=np.array(self.number), hints=np.array(self.hints.to_json()), **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Shot:
        """What :meth:`to_bytes` gave."""
        with np.load(io.BytesIO(content)) as told:
            arrays = {name: told[name] for name in _ARRAYS}
            return cls(number=int(told["number"]), hints=decisions.from_json(str(told["hints"])), **arrays)


_ARRAYS = ("small", "lightness", "ab", "age", "kinds")


class Steady:
    """Colors the frames of one film.

    Args:
        colorizer: with a network that sees whole photographs; give it one thread, frames keep the cores busy.
        hints: what holds for every frame: no points, no parts to recolor.
        given: what was decided beyond this, by number of the frame (from 0); it holds to the end of its shot.

    Raises:
        HintError: hints for every frame speak of places, or some of a candidate.
        PictureError: a reference cannot be read, or is gray.
        ModelError: the network sees patches.
    """

    def __init__(self, colorizer: Colorizer, hints: Hints = NOTHING, given: Mapping[int, Hints] | None = None) -> None:
        if hints.of_one_picture:
            raise HintError('places differ from frame to frame: give the hints a "time", in seconds')
        if any(each.candidate for each in (hints, *(given or {}).values())):
            raise HintError("a candidate is one way to see one picture, and frames would differ: leave it out")
        colorizer.open(np.zeros((scale.GRID, scale.GRID), np.uint8))  # refuses networks that see patches
        self.colorizer, self.hints, self.given = colorizer, hints, dict(given or {})
        named = {each.reference for each in (hints, *self.given.values())}
        self._references = {str(path): colorizer.observe(path) for path in named if path is not None}

    def frames(self, frames: Iterable[Codes], shot: Shot | None = None) -> Iterator[tuple[Codes, Shot]]:
        """Frames in color, each with what has to be known to go on after it.

        Args:
            frames: ``(H, W)`` or ``(H, W, 3)``, uint8 or uint16, all of one size; taken a few ahead.
            shot: what came with the last frame, to go on after it.

        Yields:
            ``(H, W, 3)`` of the same type, in CIE L as the frame's gray, and the shot.

        Raises:
            HintError: hints do not fit.
            ValueError: frames differ in size.
        """
        with ThreadPoolExecutor(cpu_count()) as pool:
            seen = _ahead(pool, self.look, self._pairs(frames, None if shot is None else shot.small))
            yield from _ahead(pool, _render, self._followed(seen, shot))

    def _pairs(
        self, frames: Iterable[Codes], before: NDArray[np.uint8] | None
    ) -> Iterator[tuple[Codes, NDArray[np.uint8], NDArray[np.uint8] | None]]:
        """Each frame in gray, with it and the one before at working size."""
        for frame in frames:
            gray = color.gray(frame)
            small = self.small(gray)
            if before is not None and before.shape != small.shape:
                raise ValueError(f"the frames of a film have one size; this one is {gray.shape[1]}×{gray.shape[0]}")
            yield gray, small, before
            before = small

    def small(self, gray: Codes) -> NDArray[np.uint8]:
        """A frame at working size."""
        return _small(gray, self.colorizer.card.size)

    def look(self, gray: Codes, small: NDArray[np.uint8], before: NDArray[np.uint8] | None) -> Seen:
        """Let the network see a frame.

        Args:
            gray: ``(H, W)``.
            small: the same at working size.
            before: the frame before, likewise; None for the first.
        """
        canvas = self.colorizer.open(Picture(gray))
        return Seen(canvas, small, None if before is None else flow(small, before, canvas.lightness.shape))

    def _followed(self, seen: Iterable[Seen], shot: Shot | None) -> Iterator[tuple[Canvas, Shot]]:
        for each in seen:
            shot = self.follow(shot, each)
            yield each.canvas, shot

    def follow(self, shot: Shot | None, seen: Seen) -> Shot:
        """The next frame: what is carried on after it, with its colors."""
        lightness = seen.canvas.lightness
        number = 0 if shot is None else shot.number + 1
        hints, kinds = NOTHING, np.zeros((0, len(seen.canvas.regions)), np.float32)
        carried, agreement = np.zeros((*lightness.shape, 4), np.float32), np.zeros_like(lightness)
        if shot is not None and seen.flow is not None:
            before = _warped(np.dstack([shot.ab, shot.age, shot.lightness]), seen.flow)
            agreement = agrees(before[..., 3], lightness)
            if agreement.mean() >= CUT:
                carried, hints, kinds = (
                    before,
                    _with_places(shot.hints, _moved(_places(shot.hints), seen.flow)),
                    shot.kinds,
                )
        age = np.minimum(carried[..., 2], MEMORY - 1) * agreement
        if number in self.given:
            hints = decisions.over(hints, _relative(self.given[number], seen.canvas.picture))
            kinds = _roots(seen.canvas, _places(hints))
        wanted = self._asked(seen.canvas, hints, kinds)
        ab = carried[..., :2] + (wanted - carried[..., :2]) / (age + 1)[..., None]
        return Shot(number, seen.small, lightness, ab, age + 1, hints, kinds)

    def _asked(self, canvas: Canvas, hints: Hints, kinds: Float) -> Float:
        """What the canvas answers to all that holds for this frame, ``(h, w, 2)``."""
        same = (_roots(canvas, _places(hints)) * kinds).sum(axis=1) > _SAME_KIND
        told = decisions.over(self.hints, _without(hints, ~same))
        if told.reference is not None:
            canvas = canvas.reference(self._references[str(told.reference)])
        return canvas.ab(hints=replace(told, reference=None))


def colorize_frames(
    frames: Iterable[Codes],
    colorizer: Colorizer,
    *,
    hints: Hints = NOTHING,
    given: Mapping[int, Hints] | None = None,
) -> Iterator[Codes]:
    """Color the frames of a film one by one; a few of them are in memory at a time.

    Args:
        frames: ``(H, W)`` or ``(H, W, 3)``, uint8 or uint16, all of one size. Frames in color are made gray first.
        colorizer: with a network that sees whole photographs; best made with ``threads=1``.
        hints: what holds for every frame (reference, capsules to recolor, strength, do-no-harm).
        given: what was decided at a frame, by its number from 0, places too; it holds from there to the end of the
            shot.

    Yields:
        ``(H, W, 3)`` of the same type, whose CIE L is the gray's own, to the last code.

    Raises:
        HintError: hints do not fit the frames, or those for every frame speak of places.
        PictureError: the reference cannot be read, or is gray.
        ModelError: the network sees patches.
        ValueError: frames differ in size.
    """
    return (rgb for rgb, _ in Steady(colorizer, hints, given).frames(frames))


def beginnings(frames: Iterable[tuple[float, Codes]], timed: Sequence[Hints], size: int) -> dict[int, Hints]:
    """Hints for frames in the middle of shots, moved to the frames with which these shots begin.

    Their places are followed back along the flow.

    Args:
        frames: the time of each in seconds, rising, and the frame; no more are taken than needed.
        timed: hints with a time.
        size: the network's working size.

    Returns:
        Hints with relative places, by number of the first frame of their shot.

    Raises:
        HintError: there is no frame as late as that, or hints are for another size.
    """
    left = sorted(timed, key=_time)
    given: dict[int, Hints] = {}
    began, end = 0, 0.0
    before: tuple[NDArray[np.uint8], Float, Float] | None = None
    for number, (end, frame) in enumerate(frames):
        gray = color.gray(frame)
        small = _small(gray, size)
        lightness = color.lightness(scale.fit(small, *(side // _PER_CELL for side in small.shape)))
        home = _grid(lightness.shape) + np.float32(0.5)
        cut = True
        if before is not None:
            moved = flow(small, before[0], lightness.shape)
            cut = bool(agrees(_warped(before[1], moved), lightness).mean() < CUT)
            home = home if cut else _warped(before[2], moved)
        began = number if cut else began
        while left and _time(left[0]) <= end:
            there = _relative(left.pop(0), Picture(gray))
            given[began] = decisions.over(
                given.get(began, NOTHING), _with_places(there, _at_home(_places(there), home))
            )
        if not left:
            return given
        before = small, lightness, home
    raise HintError(f"there is no frame at {_time(left[0]):g} seconds: the last one is at {end:.3f}")


def _time(hints: Hints) -> float:
    return hints.time or 0.0


def _at_home(places: Float, home: Float) -> Float:
    """Places 0..1 in the frame that all came from: ``home`` says of each cell where, in cells."""
    size = np.array(home.shape[1::-1], np.float32)
    column, row = np.minimum((places * size).astype(int), size.astype(int) - 1).T
    inside = places * size - (np.stack([column, row], axis=1) + np.float32(0.5))
    return cast(Float, np.clip((home[row, column] + inside) / size, 0, 1))


def flow(small: NDArray[np.uint8], before: NDArray[np.uint8], cells: tuple[int, ...]) -> Float:
    """From each cell to where it came from: ``(h, w, 2)``, x and y in cells.

    Args:
        small: ``(H, W)`` uint8.
        before: the frame before, of the same size.
        cells: h and w.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    dense = search.calc(small, before, np.zeros((*small.shape, 2), np.float32))
    height, width = cells
    per_cell = np.array([width / small.shape[1], height / small.shape[0]], np.float32)
    return cv2.resize(dense, (width, height), interpolation=cv2.INTER_AREA) * per_cell


def agrees(carried: Float, lightness: Float) -> Float:
    """How far the lightness of cells agrees with what it should be, 0..1, whatever the exposure; ``(h, w)`` each."""
    brighter = lightness - carried
    unlike = cv2.GaussianBlur(np.abs(brighter - np.float32(np.median(brighter))), (3, 3), 0)
    return cast(Float, np.exp(-((unlike / np.float32(_ALIKE)) ** 2)))


def _warped(cells: Float, flow: Float) -> Float:
    where = _grid(flow.shape[:2]) + flow
    return cast(
        Float,
        cv2.remap(cells, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),  # type: ignore[call-overload]
    )


def _grid(shape: tuple[int, ...]) -> Float:
    return np.dstack(np.meshgrid(np.arange(shape[1], dtype=np.float32), np.arange(shape[0], dtype=np.float32)))


def _moved(places: Float, flow: Float) -> Float:
    """Where places 0..1 of the frame before are in this one: the flow from there comes from them."""
    size = np.array(flow.shape[1::-1], np.float32)
    at = places
    for _ in range(_STEPS):
        column, row = np.minimum((at * size).astype(int), size.astype(int) - 1).T
        at = np.clip(places - flow[row, column] / size, 0, 1)
    return at


def _roots(canvas: Canvas, places: Float) -> Float:
    """Roots of the couplings at places 0..1, ``(n, K)``; the product of two, summed, is how far they agree."""
    size = np.array(canvas.lightness.shape[::-1], np.float32)
    column, row = np.minimum((places * size).astype(int), size.astype(int) - 1).T
    return np.sqrt(canvas.regions[:, row, column]).T


# Hints and their places: those of points first, then those of parts to recolor


def _places(hints: Hints) -> Float:
    """x and y, 0..1, of hints with relative places: ``(n, 2)``."""
    points = [*hints.points, *(each for each in hints.recolor if isinstance(each, Point))]
    return np.array([(point.x, point.y) for point in points], np.float32).reshape(-1, 2)


def _with_places(hints: Hints, places: Float) -> Hints:
    """The same hints at other places."""
    at = iter(places.tolist())

    def moved(point: Point) -> Point:
        x, y = next(at)
        return Point(x, y, point.color, relative=True)

    points = [moved(point) for point in hints.points]
    return replace(
        hints, points=points, recolor=[moved(each) if isinstance(each, Point) else each for each in hints.recolor]
    )


def _without(hints: Hints, gone: NDArray[np.bool_]) -> Hints:
    """Without some of the places."""
    left = iter((~gone).tolist())
    points = [point for point in hints.points if next(left)]
    return replace(
        hints, points=points, recolor=[each for each in hints.recolor if isinstance(each, Capsule) or next(left)]
    )


def _relative(hints: Hints, picture: Picture) -> Hints:
    """Hints for a frame, with relative places and without what that frame alone has.

    Raises:
        HintError: they are for another size, or a place is outside.
    """
    hints.check_size(picture.width, picture.height)
    size = np.array([picture.width, picture.height], np.float32)
    hints = replace(hints, points=hints.given, size=None, time=None)
    every = [*hints.points, *(each for each in hints.recolor if isinstance(each, Point))]
    pixels = np.array([point.pixel(picture.width, picture.height) for point in every], np.float32).reshape(-1, 2)
    return _with_places(hints, (pixels + np.float32(0.5)) / size)


# Frames


def _small(gray: Codes, size: int) -> NDArray[np.uint8]:
    return color.eight_bits(scale.fit(gray, *scale.working_shape(gray.shape[0], gray.shape[1], size)))


def _render(canvas: Canvas, shot: Shot) -> tuple[Codes, Shot]:
    return canvas.render(shot.ab).array, shot


def _ahead(pool: ThreadPoolExecutor, call: Callable[..., Result], items: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
    """``map``, in order, a few items ahead."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(call, *item))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
