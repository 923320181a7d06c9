"""The main job: a gray picture -> a colored one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from colorcapsnet import color, patches, pictures, zoo
from colorcapsnet.pictures import Picture

if TYPE_CHECKING:
    import PIL.Image

    from colorcapsnet.color import Codes, Float

Advance: TypeAlias = Callable[[float], None]

STRIDE = 5  # of overlapping patches, in pixels
_PATCHES_AT_ONCE = 512


class Colorizer:
    """Colors pictures with one network.

    Args:
        model: name of a network that is installed (``colorcapsnet models``), or the path of an ``.onnx`` file.
        as_published: color as the paper does: patches side by side, zeros beyond the right and lower border, and
            lightness redrawn by the network. By default patches overlap and are blended, and lightness is kept.
        stride: distance between neighboring patches in pixels, 1..n; by default 5, or n with ``as_published``.
        threads: that one picture may use; None for all cores.

    Raises:
        ModelError: there is no such network, or its files are damaged.
        ValueError: ``stride`` is out of range.
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
        self.sha256 = self.network.card.sha256
        self.as_published = as_published
        n = self.network.card.size
        self.stride = (n if as_published else STRIDE) if stride is None else stride
        if not 1 <= self.stride <= n:
            raise ValueError(f"the stride is 1 to {n} (the patch's side), not {self.stride}")

    @overload
    def colorize(self, picture: str | Path | bytes | Picture, advance: Advance | None = None) -> Picture: ...
    @overload
    def colorize(self, picture: PIL.Image.Image, advance: Advance | None = None) -> PIL.Image.Image: ...
    @overload
    def colorize(self, picture: NDArray[Any], advance: Advance | None = None) -> NDArray[Any]: ...

    def colorize(self, picture: Any, advance: Advance | None = None) -> Any:
        """Color one picture.

        Args:
            picture: a path, a file's bytes, a :class:`Picture`, a PIL image, or a ``(H, W)``, ``(H, W, 3)`` or
                ``(H, W, 4)`` array of uint8 or uint16. A picture in color is made gray first (Rec.601).
            advance: called with the share of the picture, 0..1, that was finished since the last call.

        Returns:
            The same kind as was given (a Picture for a path or bytes), of the same size and depth. Its CIE L is
            the gray's own, to the last code, unless ``as_published``.

        Raises:
            PictureError: it cannot be read.
        """
        if isinstance(picture, np.ndarray):
            colored = self._color(Picture.from_array(picture), advance)
            return colored.array if colored.alpha is None else np.dstack([colored.array, colored.alpha])
        if isinstance(picture, str | Path | bytes):
            return self._color(pictures.read(picture), advance)
        if isinstance(picture, Picture):
            return self._color(picture, advance)
        return self._color(Picture.from_pil(picture), advance).pil()

    def round_trip(self, rgb: Codes) -> Codes:
        """A true picture ``(H, W, 3)`` through this model's color coding and back: the most that can be reached."""
        code = color.encode(color.srgb_to_lab(rgb))
        return self._painted(color.gray(rgb), code.astype(np.float32))

    def _color(self, picture: Picture, advance: Advance | None) -> Picture:
        gray = picture.gray
        rgb = np.empty((*gray.shape, 3), gray.dtype)
        for rows, code in self._think(gray):
            rgb[rows] = self._painted(gray[rows], code)
            if advance:
                advance(len(code) / len(gray))
        return picture.with_color(rgb)

    def _think(self, gray: Codes) -> Iterator[tuple[slice, Float]]:
        """What the network sees in a gray picture: finished rows of Lab code in 0..255, ``(h, W, 3)``."""
        height, width = gray.shape
        n, stride = self.network.card.size, self.stride
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

    def _painted(self, gray: Codes, code: Float) -> Codes:
        """Gray ``(H, W)`` and Lab code ``(H, W, 3)`` -> sRGB ``(H, W, 3)``."""
        if self.as_published:
            return color.quantize(color.lab_to_srgb(color.decode(np.rint(code))), gray.dtype)
        return color.merge(gray, color.decode(code)[..., 1:])
