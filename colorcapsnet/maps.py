"""What is known about a picture, drawn: which capsule holds what, how sure a color is, where a place lies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from colorcapsnet import color

Float: TypeAlias = NDArray[np.floating[Any]]
Drawn: TypeAlias = NDArray[np.uint8]
Label: TypeAlias = tuple[str, int, int]

_ROWS = 256  # drawn at once
_LEAST = 0.004  # share of a picture that a part needs to have its number drawn


def capsule_map(coupling: Float, lightness: Float) -> Drawn:
    """The soft regions that belong to each entity: one hue an entity, blended by coupling, on the picture's lightness.

    Args:
        coupling: ``(K, h, w)``, summing to 1 over K.
        lightness: ``(H, W)``, L in 0..100, of the picture at any size.

    Returns:
        ``(H, W, 3)`` sRGB.
    """
    angle = 2 * np.pi * np.arange(len(coupling)) / len(coupling)
    chroma = np.where(np.arange(len(coupling)) % 2, 40, 70)  # neighbors on the wheel differ in more than hue
    palette = (chroma * np.stack([np.cos(angle), np.sin(angle)])).T.astype(np.float32)
    height, width = lightness.shape
    small = np.tensordot(coupling, palette, (0, 0))
    large = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    out = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _ROWS):
        rows = slice(top, top + _ROWS)
        bright = (30 + 0.55 * lightness[rows]).astype(np.float32)  # hues are told apart best between black and white
        lab = np.dstack([bright, color.in_gamut(bright, large[rows])])
        out[rows] = color.quantize(color.lab_to_srgb(lab))
    return out


def numbered_capsules(coupling: Float, lightness: Float) -> Drawn:
    """:func:`capsule_map` with the number of each entity on every part of the picture where it holds most.

    Args:
        coupling: ``(K, h, w)``, summing to 1 over K.
        lightness: ``(H, W)``, L in 0..100, of the picture at any size.

    Returns:
        ``(H, W, 3)`` sRGB.
    """
    height, width = lightness.shape
    rows, columns = coupling.shape[1:]
    labels = [
        (str(entity), (2 * column + 1) * width // (2 * columns), (2 * row + 1) * height // (2 * rows))
        for entity, row, column in _parts(coupling)
    ]
    return labeled(capsule_map(coupling, lightness), labels)


def _parts(coupling: Float) -> Iterator[tuple[int, int, int]]:
    """Entity, row and column of the innermost cell of each connected part, large ones only."""
    largest = coupling.argmax(axis=0)
    for entity in range(len(coupling)):
        count, parts = cv2.connectedComponents((largest == entity).astype(np.uint8), connectivity=4)
        for part in range(1, count):
            inside = np.pad((parts == part).astype(np.uint8), 1)
            if inside.sum() >= max(1, _LEAST * largest.size):
                depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
                deepest = np.argwhere(depth == depth.max())
                row, column = deepest[((deepest - deepest.mean(axis=0)) ** 2).sum(axis=1).argmin()].tolist()
                yield entity, row - 1, column - 1


def labeled(rgb: Drawn, labels: Iterable[Label]) -> Drawn:
    """A picture with short texts, white on black edges, each in the middle of its place.

    Args:
        rgb: ``(H, W, 3)``.
        labels: text, x and y in pixels.

    Returns:
        ``(H, W, 3)``, another one.
    """
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont

    size = max(8, round((rgb.shape[0] * rgb.shape[1]) ** 0.5 / 24))
    font, edge = PIL.ImageFont.load_default(size), max(1, size // 8)
    image = PIL.Image.fromarray(rgb)
    draw = PIL.ImageDraw.Draw(image)
    for text, x, y in labels:
        draw.text((x, y), text, (255, 255, 255), font, anchor="mm", stroke_width=edge, stroke_fill=(0, 0, 0))
    return np.array(image)


def gray_map(values: Float, height: int, width: int) -> Drawn:
    """``(h, w)`` values in 0..1 as a gray picture ``(height, width)``: 0 is black, 1 white."""
    large = cv2.resize(np.asarray(values, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return cast(Drawn, cv2.convertScaleAbs(large, alpha=255))
