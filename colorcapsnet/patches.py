"""Cut a picture into n x n patches and join colored patches again.

The paper's two edge rules (section 4.1 and figure 6): in training, patches that do not fit are dropped; in
prediction, the picture is padded with zeros to the right and below, and the padding is cut off the result. Patches
are numbered row by row. A stride below n makes patches overlap; where they do, :func:`join` takes a weighted mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray


def grid(height: int, width: int, n: int) -> tuple[int, int]:
    """How many full n x n patches stand side by side in a picture: rows and columns (training's edge rule).

    >>> grid(321, 481, 9)
    (35, 53)
    """
    return height // n, width // n


def cut_full(picture: NDArray[Any], n: int) -> NDArray[Any]:
    """All full patches side by side; what is left at the right and at the bottom is dropped (training).

    Args:
        picture: ``(H, W)`` or ``(H, W, C)``.
        n: side of a patch.

    Returns:
        ``(rows * columns, n, n)`` or ``(rows * columns, n, n, C)``, a copy.
    """
    rows, columns = grid(picture.shape[0], picture.shape[1], n)
    tail = picture.shape[2:]
    whole = picture[: rows * n, : columns * n].reshape(rows, n, columns, n, *tail)
    return np.ascontiguousarray(whole.swapaxes(1, 2)).reshape(rows * columns, n, n, *tail)


def starts(length: int, n: int, stride: int) -> NDArray[np.int64]:
    """Where patches begin along one side so that every pixel is covered; the last may reach into the padding.

    >>> starts(20, 9, 9).tolist(), starts(20, 9, 3).tolist(), starts(4, 9, 9).tolist()
    ([0, 9, 18], [0, 3, 6, 9, 12], [0])
    """
    count = 1 + max(0, -(-(length - n) // stride))
    return np.arange(count) * stride


def cut(gray: NDArray[Any], n: int, stride: int, top: int, rows: int, *, edge: str = "zero") -> NDArray[Any]:
    """Patches that cover a picture, one band of them at a time (prediction).

    Args:
        gray: ``(H, W)``.
        n: side of a patch.
        stride: distance between neighboring patches, 1..n.
        top: index of the first row of patches in ``starts(H, n, stride)``.
        rows: how many rows of patches.
        edge: what stands beyond the right and lower border: ``"zero"`` (the paper) or ``"reflect"``.

    Returns:
        ``(rows, columns, n, n)``.
    """
    width = gray.shape[1]
    first = top * stride
    last = first + (rows - 1) * stride + n
    right = int(starts(width, n, stride)[-1]) + n
    band = _rows_of(gray, first, last, edge)
    band = (
        np.take(band, _reach(width, right), axis=1) if edge == "reflect" else np.pad(band, ((0, 0), (0, right - width)))
    )
    return sliding_window_view(band, (n, n))[::stride, ::stride]


def _rows_of(gray: NDArray[Any], first: int, last: int, edge: str) -> NDArray[Any]:
    height = gray.shape[0]
    if edge == "reflect":
        return np.take(gray, _reach(height, last)[first:], axis=0)
    return np.pad(gray[first:last], ((0, max(0, last - height)), (0, 0)))


def _reach(length: int, end: int) -> NDArray[np.int64]:
    """Indices 0..end-1 into a side of ``length``, mirrored (without repeating the border) beyond it."""
    period = max(2 * length - 2, 1)
    index = np.arange(end) % period
    return np.where(index < length, index, period - index)


def window(n: int, stride: int) -> NDArray[np.float32]:
    """Weights of a patch's pixels in the mean: all equal side by side, a rounded hill where patches overlap.

    Returns:
        ``(n, n)`` float32, positive.
    """
    if stride >= n:
        return np.ones((n, n), np.float32)
    hill = np.sin(np.pi * (np.arange(n) + 0.5) / n)
    return np.outer(hill, hill).astype(np.float32)


def join(
    bands: Iterable[NDArray[np.float32]], height: int, width: int, n: int, stride: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Put colored patches back in their places, a weighted mean where they overlap, finished rows as they come.

    Args:
        bands: ``(rows, columns, n, n, C)`` each, rows of patches from the top down (as :func:`cut` gives them).
        height: of the picture.
        width: of the picture.
        n: side of a patch.
        stride: distance between neighboring patches.

    Yields:
        Which rows of the picture are finished, and these rows, ``(h, W, C)``; padding is cut off.
    """
    weight = window(n, stride)
    right = int(starts(width, n, stride)[-1]) + n
    over = _coverage(right, n, stride, weight[n // 2])[:width]
    open_rows: NDArray[np.float32] | None = None  # sums, and in the last channel weights, of unfinished rows
    top = 0
    for band in bands:
        reach = (len(band) - 1) * stride + n
        fresh = np.zeros((reach, right, band.shape[-1]), np.float32)
        for row, patches in enumerate(band):
            _add_row(fresh[row * stride : row * stride + n], patches * weight[..., None], stride)
        heights = _coverage(reach, n, stride, weight[:, n // 2])
        fresh = np.concatenate([fresh[:, :width], np.outer(heights, over)[..., None] / weight[n // 2, n // 2]], axis=-1)
        if open_rows is not None:
            fresh[: len(open_rows)] += open_rows
        finished = len(band) * stride
        open_rows = fresh[finished:]
        rows = fresh[: min(finished, height - top)]
        yield slice(top, top + len(rows)), rows[..., :-1] / rows[..., -1:]
        top += len(rows)
    if open_rows is not None and top < height:
        rows = open_rows[: height - top]
        yield slice(top, height), rows[..., :-1] / rows[..., -1:]


def _add_row(total: NDArray[np.float32], patches: NDArray[np.float32], stride: int) -> None:
    """Add a row of weighted patches ``(columns, n, n, C)`` to the rows that they cover, ``(n, W, C)``."""
    n, channels = patches.shape[1], patches.shape[-1]
    phases = -(-n // stride)
    for phase in range(min(phases, len(patches))):  # patches that many apart do not overlap: they are added at once
        mine = patches[phase::phases].swapaxes(0, 1)
        apart = np.zeros((n, mine.shape[1], phases * stride, channels), np.float32)
        apart[:, :, :n] = mine
        flat = apart.reshape(n, -1, channels)[:, : total.shape[1] - phase * stride]
        total[:, phase * stride : phase * stride + flat.shape[1]] += flat


def _coverage(length: int, n: int, stride: int, profile: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much weight each pixel of one side gets from all patches that cover it, ``(length,)``."""
    total = np.zeros(length, np.float32)
    for start in range(0, length - n + 1, stride):
        total[start : start + n] += profile
    return total
