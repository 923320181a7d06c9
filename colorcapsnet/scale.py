"""Change the size of pictures: shrink them to what a network looks at, enlarge the chroma that it gives."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Float: TypeAlias = NDArray[np.floating[Any]]
Pixels = TypeVar("Pixels", bound=NDArray[Any])

GRID = 32  # the sides of what a network looks at are multiples of this
LARGEST_ENLARGEMENT = 1.25  # of a picture smaller than the working size: measured, docs/log.md
_LONGEST = 8  # working sizes: the longest side of a panorama

# How much of the chroma that goes with L inside a cell is believed, measured on true chroma of BSDS500's photographs
_REACH = 1  # cells to each side over which ab is fitted to L
_FLAT = 32.0  # variance of L below which L tells little
_BELIEF = 0.7


def shrink(picture: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """A picture ``factor`` times smaller on each side, by area averaging.

    Args:
        picture: ``(H, W)`` or ``(H, W, C)`` uint8.
        factor: 1 or more; 1 returns the picture itself.
    """
    if factor == 1:
        return picture
    height, width = (max(1, round(side / factor)) for side in picture.shape[:2])
    return fit(picture, height, width)


def fit(picture: Pixels, height: int, width: int) -> Pixels:
    """A picture of another size: sides that shrink by area averaging, sides that grow by bicubic interpolation.

    Args:
        picture: ``(H, W)`` or ``(H, W, C)``.
        height: of the result.
        width: of the result.
    """
    small = (min(width, picture.shape[1]), min(height, picture.shape[0]))
    shrunk = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    return cast(Pixels, cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_CUBIC))


def within(shape: tuple[int, ...], side: int | None) -> tuple[int, int]:
    """Height and width of a picture of this shape with a longer side of ``side`` at most, if there is a limit.

    >>> within((1400, 2040), 1024), within((1400, 2040, 3), None), within((3, 9000), 100)
    ((703, 1024), (1400, 2040), (1, 100))
    """
    height, width = shape[:2]
    factor = min(1.0, (side or max(height, width)) / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def working_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """What a network of this working size is shown of a picture: height and width.

    About ``size²`` pixels at nearly the picture's own proportions, multiples of 32; fewer where the picture would be
    enlarged more than by a quarter, and where a side would be longer than ``8 size``.

    >>> working_shape(1400, 2040, 256), working_shape(64, 64, 256), working_shape(300, 9000, 256)
    ((224, 320), (64, 64), (32, 1408))
    """
    factor = min(size / (height * width) ** 0.5, LARGEST_ENLARGEMENT)
    tall, wide = (min(max(round(side * factor / GRID), 1) * GRID, _LONGEST * size) for side in (height, width))
    return tall, wide


class Enlarged:
    """Chroma that is known at cells, at every pixel: bicubic, plus what goes with L inside a cell.

    A cell is the mean of its pixels, the cells cover the picture. Around each cell, ab is fitted to L by a straight
    line, as the guided filter does (He, Sun and Tang 2010); its slope says how ab follows L from the cell's mean to
    the pixel: edges of chroma come to lie on edges of L. Rows are made when they are asked for, from several threads
    at once if need be, so that a large picture never stands in memory in floating point.

    Args:
        ab: ``(h, w, 2)``.
        lightness: ``(h, w)`` L of the cells.
        height: of the picture.
        width: of the picture.
    """

    def __init__(self, ab: Float, lightness: Float, height: int, width: int) -> None:
        slope = np.float32(_BELIEF) * _slope(ab, lightness)
        lines = np.concatenate([ab - slope * lightness[..., None], slope], axis=-1).transpose(2, 0, 1)
        taps, weight = _cubic(np.arange(width), width, lines.shape[2])
        self._height = height
        self._across = np.ascontiguousarray(sum(lines[..., taps[k]] * weight[k] for k in range(4)), np.float32)

    def rows(self, rows: slice, lightness: Float) -> Float:
        """Some rows of the picture, of which L is ``(n, W)``: ``(n, W, 2)`` ab."""
        taps, weight = _cubic(np.arange(rows.start, rows.stop), self._height, self._across.shape[1])
        first, last = int(taps.min()), int(taps.max()) + 1
        down = np.zeros((len(lightness), last - first), np.float32)
        np.add.at(down, (np.arange(len(down)), taps - first), weight)
        lines = np.einsum("nk,ckx->cnx", down, self._across[:, first:last])  # not by BLAS: its threads stand in the way
        ab = lines[:2]
        ab += lines[2:] * lightness
        return cast(Float, ab.transpose(1, 2, 0))


def _slope(ab: Float, lightness: Float) -> Float:
    """Of the straight line from L to ab around each cell, smoothed: ``(h, w, 2)``."""
    mean_l, mean_ab = _around(lightness), _around(ab)
    variance = _around(lightness * lightness) - mean_l * mean_l
    covariance = _around(lightness[..., None] * ab) - mean_l[..., None] * mean_ab
    return _around(covariance / (np.maximum(variance, 0) + np.float32(_FLAT))[..., None])


def _around(cells: Float) -> Float:
    side = 2 * _REACH + 1
    return cast(Float, cv2.boxFilter(cells, cv2.CV_32F, (side, side), borderType=cv2.BORDER_REPLICATE))


def _cubic(pixels: NDArray[np.int_], length: int, cells: int) -> tuple[NDArray[np.int_], Float]:
    """Which cells a pixel's value is made of and how much of each, ``(4, n)`` both: Keys 1981, exact for parabolas.

    Centers of pixels and cells are half a step from the picture's border, beyond which the last cell goes on.
    """
    place = (pixels + 0.5) * (cells / length) - 0.5
    before = np.floor(place)
    t = place - before
    t2, t3 = t * t, t * t * t
    weight = np.stack([-t3 + 2 * t2 - t, 3 * t3 - 5 * t2 + 2, -3 * t3 + 4 * t2 + t, t3 - t2]) / 2
    taps = before.astype(np.int_) + np.arange(-1, 3)[:, None]
    return np.clip(taps, 0, cells - 1), weight.astype(np.float32)
