"""The main job: a gray picture -> a colored one.

A network that sees whole photographs thinks once (:meth:`Colorizer.open`) and is asked many times (:class:`Canvas`);
one that sees patches colors them as it goes through the picture.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast, overload

import numpy as np
from numpy.typing import NDArray

from colorcapsnet import color, maps, paint, patches, pictures, scale, zoo
from colorcapsnet.errors import HintError, ModelError, PictureError
from colorcapsnet.hints import NOTHING, Capsule, Hints, Point, ab_of
from colorcapsnet.pictures import Picture

if TYPE_CHECKING:
    import PIL.Image

    from colorcapsnet.color import Codes, Float
    from colorcapsnet.hints import Color
    from colorcapsnet.paint import Known
    from colorcapsnet.zoo import Card

Advance: TypeAlias = Callable[[float], None]
Source: TypeAlias = "str | Path | bytes | Picture | PIL.Image.Image | NDArray[Any]"

STRIDE = 5  # of overlapping patches, in pixels
_PATCHES_AT_ONCE = 512
_PIXELS_AT_ONCE = 2**17
_COLORLESS = 3.0  # chroma that no part of a gray picture reaches, whatever its compression


class Colorizer:
    """Colors pictures with one network; may be called from several threads at once.

    Args:
        model: name of a network that is installed (``colorcapsnet models``), or the path of an ``.onnx`` file.
        as_published: color as the paper does: patches side by side, zeros beyond the right and lower border, and
            lightness redrawn by the network. By default patches overlap and are blended, and lightness is kept.
        stride: distance between neighboring patches in pixels, 1..n; by default 5, or n with ``as_published``.
        threads: that one picture may use; None for all cores.

    Raises:
        ModelError: there is no such network, or its files are damaged.
        ValueError: ``stride`` is out of range, or the network sees no patches.
    """

    def __init__(
        self,
        model: str = zoo.DEFAULT,
        *,
        as_published: bool = False,
        stride: int | None = None,
        threads: int | None = None,
    ) -> None:
        self._chosen = {"as_published": as_published, "stride": stride, "threads": threads}
        self._model = str(Path(model).absolute()) if model.endswith(".onnx") else model
        self.network = zoo.load(model, threads)
        self.card = self.network.card
        self.sha256 = self.card.sha256
        self.as_published = as_published
        self.threads = threads or os.cpu_count() or 1
        n = self.card.size
        self.stride = (n if as_published else STRIDE) if stride is None else stride
        if self.card.kind == "photograph" and (as_published or stride is not None):
            raise ValueError(f"{self.card.name} sees whole photographs: no patches, no stride, no published manner")
        if self.card.kind == "patch" and not 1 <= self.stride <= n:
            raise ValueError(f"the stride is 1 to {n} (the patch's side), not {self.stride}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process loads the network again, and refuses another of that name."""
        return _again, (self._model, self._chosen, self.sha256)

    def __str__(self) -> str:
        """The network, and how much it sees at once."""
        seen = "patches of" if self.card.kind == "patch" else "photographs at about"
        return f"{self.card.name}, {seen} {self.card.size}×{self.card.size} pixels"

    @overload
    def colorize(
        self,
        picture: str | Path | bytes | Picture,
        advance: Advance | None = None,
        strength: float | None = None,
        hints: Hints = NOTHING,
    ) -> Picture: ...
    @overload
    def colorize(
        self,
        picture: PIL.Image.Image,
        advance: Advance | None = None,
        strength: float | None = None,
        hints: Hints = NOTHING,
    ) -> PIL.Image.Image: ...
    @overload
    def colorize(
        self,
        picture: NDArray[Any],
        advance: Advance | None = None,
        strength: float | None = None,
        hints: Hints = NOTHING,
    ) -> NDArray[Any]: ...

    def colorize(
        self,
        picture: Any,
        advance: Advance | None = None,
        strength: float | None = None,
        hints: Hints = NOTHING,
    ) -> Any:
        """Color one picture.

        Args:
            picture: a path, a file's bytes, a :class:`Picture`, a PIL image, or a ``(H, W)``, ``(H, W, 3)`` or
                ``(H, W, 4)`` array of uint8 or uint16. A picture in color is made gray first (Rec.601).
            advance: called with the share of the picture, 0..1, that was finished since the last call.
            strength: 0 is gray, 1 what is likely, 2 vivid (:func:`paint.color`); by default that of the hints. A
                network that sees patches knows no vivid colors; its chroma is multiplied.
            hints: what a person decided; networks that see patches take none but a strength.

        Returns:
            The same kind as was given (a Picture for a path or bytes), of the same size and depth. Its CIE L is
            the gray's own, to the last code, unless ``as_published``.

        Raises:
            PictureError: it, or the reference, cannot be read.
            HintError: the hints do not fit the picture.
            ModelError: there are hints, and the network sees patches.
            ValueError: strength is not 0..2, or not 1 with ``as_published``.
        """
        strength = hints.strength if strength is None else strength
        colored = self._color(_taken(picture), advance, strength, hints)
        if isinstance(picture, np.ndarray):
            return colored.array if colored.alpha is None else np.dstack([colored.array, colored.alpha])
        return colored if isinstance(picture, str | Path | bytes | Picture) else colored.pil()

    def open(self, picture: Source) -> Canvas:
        """Let the network see a picture, once, to ask for colors many times; takes what :meth:`colorize` takes.

        Raises:
            PictureError: it cannot be read.
            ModelError: this network sees patches and has nothing to be asked.
        """
        if self.card.kind != "photograph":
            raise ModelError(f"{self.card.name} sees patches, not photographs, and can only colorize")
        taken = _taken(picture)
        gray = taken.gray
        height, width = gray.shape
        small = scale.fit(gray, *scale.working_shape(height, width, self.card.size))
        known = self.network.know(small / np.float32(np.iinfo(small.dtype).max))
        height, width = known.coupling.shape[1:]
        lightness = scale.fit(color.lightness(small), height, width)
        return Canvas(taken, known, lightness, gray, self)

    def observe(self, picture: Source) -> Known:
        """What a picture in color shows of each kind of thing, for :meth:`Canvas.reference`; takes what `open` takes.

        Raises:
            PictureError: it cannot be read, or is gray.
            ModelError: this network sees patches and knows no kinds.
        """
        canvas = self.open(picture)
        height, width = canvas.lightness.shape
        rgb = canvas.picture.array if canvas.picture.array.ndim == 3 else np.dstack([canvas.gray] * 3)
        small = scale.fit(rgb, *scale.working_shape(len(rgb), rgb.shape[1], self.card.size))
        ab = scale.fit(color.srgb_to_lab(small)[..., 1:], height, width)
        if np.hypot(ab[..., 0], ab[..., 1]).max() < _COLORLESS:
            raise PictureError(f"{canvas.picture.name} is gray: a reference needs colors to take")
        return paint.observe(canvas.known, ab)

    def round_trip(self, rgb: Codes) -> Codes:
        """A true picture ``(H, W, 3)`` through this model's color coding and back: the most that can be reached."""
        lab = color.srgb_to_lab(rgb)
        if self.card.kind == "photograph":
            canvas = self.open(rgb)
            height, width = canvas.lightness.shape
            return canvas.render(scale.fit(lab[..., 1:], height, width)).array
        return self._painted(color.gray(rgb), color.encode(lab).astype(np.float32))

    def _color(self, picture: Picture, advance: Advance | None, strength: float, hints: Hints) -> Picture:
        if not 0 <= strength <= 2 or (self.as_published and strength != 1):
            raise ValueError(f"strength is 0 (gray) to 2 (vivid), and 1 as published, not {strength}")
        if self.card.kind == "photograph" or replace(hints, strength=1.0) != NOTHING:
            canvas = self.open(picture)
            return canvas.render(canvas.ab(strength, hints), advance)
        gray = picture.gray
        rgb = np.empty((*gray.shape, 3), gray.dtype)
        for rows, code in self._think(gray):
            rgb[rows] = self._painted(gray[rows], code, strength)
            if advance:
                advance(len(code) / len(gray))
        return picture.with_color(rgb)

    def _think(self, gray: Codes) -> Iterator[tuple[slice, Float]]:
        """What the network sees in a gray picture: finished rows of Lab code in 0..255, ``(h, W, 3)``."""
        height, width = gray.shape
        n, stride = self.card.size, self.stride
        count = len(patches.starts(height, n, stride))
        at_once = max(1, _PATCHES_AT_ONCE // len(patches.starts(width, n, stride)))
        edge = "zero" if self.as_published else "reflect"
        bands = (
            self._codes(patches.cut(gray, n, stride, top, min(at_once, count - top), edge=edge))
            for top in range(0, count, at_once)
        )
        return patches.join(bands, height, width, n, stride)

    def _codes(self, cut: NDArray[Any]) -> NDArray[np.float32]:
        """Gray patches ``(rows, columns, n, n)`` -> Lab code in 0..255, ``(rows, columns, n, n, 3)``."""
        gray = cut.reshape(-1, *cut.shape[2:]).astype(np.float32) / np.iinfo(cut.dtype).max
        parts = [
            self.network(gray[first : first + _PATCHES_AT_ONCE]) for first in range(0, len(gray), _PATCHES_AT_ONCE)
        ]
        return np.concatenate(parts).reshape(*cut.shape, 3) * np.float32(255)

    def _painted(self, gray: Codes, code: Float, strength: float = 1.0) -> Codes:
        """Gray ``(H, W)`` and Lab code ``(H, W, 3)`` -> sRGB ``(H, W, 3)``."""
        if self.as_published:
            return color.quantize(color.lab_to_srgb(color.decode(np.rint(code))), gray.dtype)
        return color.merge(gray, color.decode(code)[..., 1:] * np.float32(strength))


@dataclass(frozen=True, eq=False)
class Canvas:
    """A picture that the network has seen: every answer from here on is arithmetic on what it knows.

    A canvas never changes, so threads may share it; :meth:`recolor` and :meth:`reference` give another one.

    Attributes:
        picture: as it was read.
        known: what the network knows, h×w cells; :mod:`paint` answers from it.
        lightness: ``(h, w)`` L of the cells.
        gray: ``(H, W)``, the codes whose lightness every answer keeps.
        colorizer: that opened it.
    """

    picture: Picture
    known: Known
    lightness: Float
    gray: Codes
    colorizer: Colorizer

    @property
    def card(self) -> Card:
        """Of the network."""
        return self.colorizer.card

    @property
    def kernel(self) -> paint.Kernel:
        """How far a hint reaches, as measured for this network."""
        return paint.Kernel(**self.card.paint.get("kernel", {}))

    @property
    def regions(self) -> Float:
        """The soft regions: how much of a cell belongs to each capsule, ``(K, h, w)``, summing to 1 over K."""
        return self.known.coupling

    def color(self, strength: float | None = None, hints: Hints = NOTHING) -> Picture:
        """The picture in color, as :meth:`Colorizer.colorize` gives it.

        Args:
            strength: 0 is gray, 1 what is likely, 2 vivid (:func:`paint.color`); by default that of the hints.
            hints: what a person decided, applied in this order: reference, candidate, recolors, strength, do-no-harm,
                points.

        Raises:
            HintError: they do not fit the picture.
            PictureError: the reference cannot be read, or is gray.
            ValueError: strength is not 0..2.
        """
        return self.render(self.ab(strength, hints))

    def ab(self, strength: float | None = None, hints: Hints = NOTHING) -> Float:
        """Colors of the cells, ``(h, w, 2)``; see :meth:`color`."""
        canvas = self.decided(hints)
        return canvas._answer(canvas.known, strength, hints)

    def decided(self, hints: Hints) -> Canvas:
        """A canvas that knows of the reference, the candidate and the recolors of these hints."""
        hints.check_size(self.picture.width, self.picture.height)
        canvas = self if hints.reference is None else self.reference(hints.reference)
        if (chosen := hints.candidate) is not None:
            kinds = paint.candidates(canvas.known, chosen.of, chosen.seed)
            canvas = replace(canvas, known=kinds[chosen.number])
        for each in hints.recolor:
            canvas = canvas._recolored(each)
        return canvas

    def reference(self, other: Source | Known) -> Canvas:
        """A canvas colored as another picture is: each kind of thing that is in both takes its colors there.

        Args:
            other: a picture in color, or what :meth:`Colorizer.observe` made of one.

        Raises:
            PictureError: it cannot be read, or is gray.
        """
        shown = other if isinstance(other, paint.Known) else self.colorizer.observe(other)
        return replace(self, known=paint.reference(self.known, shown))

    def recolor(self, where: int | tuple[int, int], color: Color) -> Canvas:
        """A canvas on which a whole kind of thing, or one thing, has another color.

        Args:
            where: the number of a capsule (:meth:`region_map`); or x and y of a pixel, for the connected part around
                it that belongs to what the pixel belongs to (:func:`paint.region`).
            color: ``"#rrggbb"``, or ab. Lightness is the picture's own.

        Raises:
            HintError: there is no such capsule or pixel, or this is no color.
        """
        return self._recolored(Point(*where, color) if isinstance(where, tuple) else Capsule(where, color))

    def _recolored(self, decided: Capsule | Point) -> Canvas:
        ab = ab_of(cast("Color", decided.color))
        if isinstance(decided, Point):
            mask = paint.region(self.known, self.cell(*self._pixel(decided)))
            return replace(self, known=paint.recolor_region(self.known, mask, ab))
        if decided.number >= len(self.regions):
            raise HintError(f"there is no capsule {decided.number}: they are 0 to {len(self.regions) - 1}")
        return replace(self, known=paint.recolor(self.known, decided.number, ab))

    def candidates(self, n: int, seed: int = 0, strength: float | None = None, hints: Hints = NOTHING) -> list[Picture]:
        """Pictures that may be true, unlike in hue, the likeliest first; see :func:`paint.candidates`.

        Args:
            n: how many, 1..128.
            seed: the same seed gives the same candidates.
            strength: of each, as in :meth:`color`.
            hints: what holds for all of them.

        Raises:
            ValueError: n or strength is out of range.
            HintError: the hints do not fit the picture.
        """
        return [self.render(ab) for ab in self.candidate_colors(n, seed, strength, hints)]

    def candidate_colors(
        self, n: int, seed: int = 0, strength: float | None = None, hints: Hints = NOTHING
    ) -> list[Float]:
        """Colors of the cells of :meth:`candidates`, ``(h, w, 2)`` each, to :meth:`render` one at a time."""
        canvas = self.decided(hints)
        return [canvas._answer(known, strength, hints) for known in paint.candidates(canvas.known, n, seed)]

    def confidence(self) -> Float:
        """The probability that a cell's likely color is within 15 of the true ab, ``(h, w)``, by the card's curve."""
        likely = self._paint(self.known, 1.0)
        return paint.confidence(self.known, likely, curve=self.card.paint.get("curve"))

    def confidence_map(self, side: int | None = None) -> NDArray[np.uint8]:
        """:meth:`confidence` as a gray picture ``(H, W)``: white is sure, black is not. Smaller as :meth:`seen`."""
        return maps.gray_map(self.confidence(), *scale.within(self.gray.shape, side))

    def region_map(self, side: int | None = None) -> NDArray[np.uint8]:
        """:attr:`regions` as a picture ``(H, W, 3)`` sRGB: a hue a capsule, and its number wherever it prevails.

        Smaller as :meth:`seen`.
        """
        return maps.numbered_capsules(self.regions, color.lightness(self.seen(side)))

    def capsule_at(self, x: int, y: int) -> tuple[int, float]:
        """The number of the capsule that holds most of the cell of a pixel, and how much of it, 0..1.

        Raises:
            HintError: the pixel is outside the picture.
        """
        shares = self.regions[:, *self.cell(x, y)]
        number = int(shares.argmax())
        return number, min(float(shares[number]), 1.0)

    def seen(self, side: int | None = None) -> NDArray[np.uint8]:
        """The gray ``(h, w)`` in 8 bits, with a longer side of at most ``side`` pixels: to look at."""
        return scale.fit(color.eight_bits(self.gray), *scale.within(self.gray.shape, side))

    def preview(self, gray: NDArray[np.uint8], strength: float | None = None, hints: Hints = NOTHING) -> Codes:
        """:meth:`color` on what :meth:`seen` gives, to look at: ``(h, w, 3)``, as fast as that is small.

        Raises:
            HintError, PictureError, ValueError: as :meth:`color`.
        """
        return self._merged(gray, self.ab(strength, hints))

    def suggest(self, n: int = 5, hints: Hints = NOTHING) -> list[tuple[int, int]]:
        """Where a point would help most (:func:`paint.suggest`): x and y of pixels, the most useful first.

        Args:
            n: how many, 1..1024; there are fewer where a picture has fewer cells or pixels.
            hints: what was decided already, points in particular.

        Raises:
            ValueError: n is less than 1.
            HintError: the hints do not fit the picture.
        """
        canvas = self.decided(hints)
        most = min(n, canvas.lightness.size, paint.THINNED)
        pointed = [self.cell(*self._pixel(point)) for point in hints.given]
        cells = paint.suggest(canvas.known, self.lightness, most, pointed, self.kernel)
        return list(dict.fromkeys(self._middle(*cell) for cell in cells.tolist()))

    def _answer(self, known: Known, strength: float | None, hints: Hints) -> Float:
        ab = self._paint(known, hints.strength if strength is None else strength)
        if hints.do_no_harm:
            ab = paint.fade(known, ab, self.confidence(), hints.do_no_harm)
        if not hints.given:
            return ab
        cells = [self.cell(*self._pixel(point)) for point in hints.given]
        wanted = [ab_of(cast("Color", point.color)) for point in hints.given]
        return paint.hint(known, ab, self.lightness, cells, wanted, self.kernel)

    def _pixel(self, point: Point) -> tuple[int, int]:
        return point.pixel(self.picture.width, self.picture.height)

    def _middle(self, row: int, column: int) -> tuple[int, int]:
        """The pixel in the middle of a cell, x and y, or the first inside it."""
        (height, width), (tall, wide) = self.lightness.shape, self.gray.shape
        y, x = (
            min(max(-(-at * pixels // cells), (2 * at + 1) * pixels // (2 * cells)), pixels - 1)
            for at, cells, pixels in ((row, height, tall), (column, width, wide))
        )
        return x, y

    def cell(self, x: int, y: int) -> tuple[int, int]:
        """Row and column of the cell that holds a pixel of the picture.

        Raises:
            HintError: the pixel is outside the picture.
        """
        if not (0 <= x < self.picture.width and 0 <= y < self.picture.height):
            size = f"{self.picture.width}×{self.picture.height}"
            raise HintError(f"the pixel {x}, {y} is outside the picture of {size}")
        height, width = self.lightness.shape
        return y * height // self.picture.height, x * width // self.picture.width

    def render(self, ab: Float, advance: Advance | None = None) -> Picture:
        """The picture in these colors: lightness, depth, alpha and metadata are its own.

        Args:
            ab: ``(h, w, 2)``.
            advance: called with the share of the picture, 0..1, that was finished since the last call.

        Raises:
            ValueError: ``ab`` is not of this size.
        """
        if ab.shape != (*self.lightness.shape, 2):
            raise ValueError(f"the colors are {ab.shape}, and the cells {self.lightness.shape}")
        return self.picture.with_color(self._merged(self.gray, ab, advance))

    def _merged(self, gray: Codes, ab: Float, advance: Advance | None = None) -> Codes:
        """Colors of the cells on a gray picture of any size ``(H, W)``: ``(H, W, 3)``."""
        height, width = gray.shape
        large = scale.Enlarged(ab, self.lightness, height, width)
        rgb = np.empty((height, width, 3), gray.dtype)

        def merge(rows: slice) -> slice:
            rgb[rows] = color.merge(gray[rows], large.rows(rows, color.lightness(gray[rows])))
            return rows

        step = max(1, _PIXELS_AT_ONCE // width)
        strips = [slice(top, min(top + step, height)) for top in range(0, height, step)]
        with ThreadPoolExecutor(self.colorizer.threads) as pool:
            for rows in (pool.map if len(strips) > 1 else map)(merge, strips):
                if advance:
                    advance((rows.stop - rows.start) / height)
        return rgb

    def _paint(self, known: Known, strength: float) -> Float:
        measured = {name: self.card.paint[name] for name in zoo.VIVID if name in self.card.paint}
        return paint.color(known, strength, **measured)


def _again(model: str, chosen: dict[str, Any], sha256: str) -> Colorizer:
    colorizer = Colorizer(model, **chosen)
    if colorizer.sha256 != sha256:
        raise ModelError(
            f"{model} is another network here (hash {colorizer.sha256[:12]}, not {sha256[:12]}): "
            "install the same one on every machine"
        )
    return colorizer


def _taken(picture: Any) -> Picture:  # noqa: ANN401
    if isinstance(picture, Picture):
        return picture
    if isinstance(picture, str | Path | bytes):
        return pictures.read(picture)
    return Picture.from_array(picture) if isinstance(picture, np.ndarray) else Picture.from_pil(picture)
