"""The main job: a gray picture -> a colored one.

A network that sees whole photographs thinks once (:meth:`Colorizer.open`) and is asked many times (:class:`Canvas`);
one that sees patches colors them as it goes through the picture.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from colorcapsnet import color, paint, patches, pictures, scale, zoo
from colorcapsnet.errors import ModelError
from colorcapsnet.pictures import Picture

if TYPE_CHECKING:
    import PIL.Image

    from colorcapsnet.color import Codes, Float
    from colorcapsnet.paint import Known
    from colorcapsnet.zoo import Card

Advance: TypeAlias = Callable[[float], None]

STRIDE = 5  # of overlapping patches, in pixels
_PATCHES_AT_ONCE = 512
_PIXELS_AT_ONCE = 2**17


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

    def __str__(self) -> str:
        """The network, and how much it sees at once."""
        seen = "patches of" if self.card.kind == "patch" else "photographs at about"
        return f"{self.card.name}, {seen} {self.card.size}×{self.card.size} pixels"

    @overload
    def colorize(
        self, picture: str | Path | bytes | Picture, advance: Advance | None = None, strength: float = 1.0
    ) -> Picture: ...
    @overload
    def colorize(
        self, picture: PIL.Image.Image, advance: Advance | None = None, strength: float = 1.0
    ) -> PIL.Image.Image: ...
    @overload
    def colorize(
        self, picture: NDArray[Any], advance: Advance | None = None, strength: float = 1.0
    ) -> NDArray[Any]: ...

    def colorize(self, picture: Any, advance: Advance | None = None, strength: float = 1.0) -> Any:
        """Color one picture.

        Args:
            picture: a path, a file's bytes, a :class:`Picture`, a PIL image, or a ``(H, W)``, ``(H, W, 3)`` or
                ``(H, W, 4)`` array of uint8 or uint16. A picture in color is made gray first (Rec.601).
            advance: called with the share of the picture, 0..1, that was finished since the last call.
            strength: 0 is gray, 1 what is likely, 2 vivid (:func:`paint.color`). A network that sees patches knows no
                vivid colors; its chroma is multiplied.

        Returns:
            The same kind as was given (a Picture for a path or bytes), of the same size and depth. Its CIE L is
            the gray's own, to the last code, unless ``as_published``.

        Raises:
            PictureError: it cannot be read.
            ValueError: strength is not 0..2, or not 1 with ``as_published``.
        """
        colored = self._color(_taken(picture), advance, strength)
        if isinstance(picture, np.ndarray):
            return colored.array if colored.alpha is None else np.dstack([colored.array, colored.alpha])
        return colored if isinstance(picture, str | Path | bytes | Picture) else colored.pil()

    def open(self, picture: str | Path | bytes | Picture | PIL.Image.Image | NDArray[Any]) -> Canvas:
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
        return Canvas(taken, known, lightness, self.card, gray, self.threads)

    def round_trip(self, rgb: Codes) -> Codes:
        """A true picture ``(H, W, 3)`` through this model's color coding and back: the most that can be reached."""
        lab = color.srgb_to_lab(rgb)
        if self.card.kind == "photograph":
            canvas = self.open(rgb)
            height, width = canvas.lightness.shape
            return canvas.render(scale.fit(lab[..., 1:], height, width)).array
        return self._painted(color.gray(rgb), color.encode(lab).astype(np.float32))

    def _color(self, picture: Picture, advance: Advance | None, strength: float) -> Picture:
        if not 0 <= strength <= 2 or (self.as_published and strength != 1):
            raise ValueError(f"strength is 0 (gray) to 2 (vivid), and 1 as published, not {strength}")
        if self.card.kind == "photograph":
            canvas = self.open(picture)
            return canvas.render(canvas.ab(strength), advance)
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

    Attributes:
        picture: as it was read.
        known: what the network knows, h×w cells; :mod:`paint` answers from it.
        lightness: ``(h, w)`` L of the cells.
        card: of the network.
        gray: ``(H, W)``, the codes whose lightness every answer keeps.
        threads: that one answer may use.
    """

    picture: Picture
    known: Known
    lightness: Float
    card: Card
    gray: Codes
    threads: int

    def ab(self, strength: float = 1.0) -> Float:
        """Colors of the cells, ``(h, w, 2)``: 0 is gray, 1 what is likely, 2 vivid; see :func:`paint.color`."""
        return self._paint(self.known, strength)

    def color(self, strength: float = 1.0) -> Picture:
        """The picture in color, as :meth:`Colorizer.colorize` gives it."""
        return self.render(self.ab(strength))

    def candidates(self, n: int, seed: int = 0) -> list[Picture]:
        """Pictures that may be true, unlike in hue, the likeliest first; see :func:`paint.candidates`."""
        return [self.render(self._paint(known, 1.0)) for known in paint.candidates(self.known, n, seed)]

    def confidence(self) -> Float:
        """The probability that a cell's color is within 15 of the true ab, ``(h, w)``, by the card's curve."""
        return paint.confidence(self.known, self.ab(), curve=self.card.paint.get("curve"))

    def cell(self, x: int, y: int) -> tuple[int, int]:
        """Row and column of the cell that holds a pixel of the picture.

        Raises:
            ValueError: the pixel is outside the picture.
        """
        if not (0 <= x < self.picture.width and 0 <= y < self.picture.height):
            size = f"{self.picture.width}×{self.picture.height}"
            raise ValueError(f"the pixel {x}, {y} is outside the picture of {size}")
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
        height, width = self.gray.shape
        large = scale.Enlarged(ab, self.lightness, height, width)
        rgb = np.empty((height, width, 3), self.gray.dtype)

        def merge(rows: slice) -> slice:
            gray = self.gray[rows]
            rgb[rows] = color.merge(gray, large.rows(rows, color.lightness(gray)))
            return rows

        step = max(1, _PIXELS_AT_ONCE // width)
        with ThreadPoolExecutor(self.threads) as pool:
            for rows in pool.map(merge, [slice(top, min(top + step, height)) for top in range(0, height, step)]):
                if advance:
                    advance((rows.stop - rows.start) / height)
        return self.picture.with_color(rgb)

    def _paint(self, known: Known, strength: float) -> Float:
        measured = {name: self.card.paint[name] for name in zoo.VIVID if name in self.card.paint}
        return paint.color(known, strength, **measured)


def _taken(picture: Any) -> Picture:  # noqa: ANN401
    if isinstance(picture, Picture):
        return picture
    if isinstance(picture, str | Path | bytes):
        return pictures.read(picture)
    return Picture.from_array(picture) if isinstance(picture, np.ndarray) else Picture.from_pil(picture)
