"""Scores: two pictures, or two sets of numbers, go in and a number comes out.

Pictures are 8-bit sRGB, ``(H, W, 3)`` or ``(H, W)``, on the scale 0..255; Lab is as :mod:`colorcapsnet.color`
gives it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from colorcapsnet.errors import PictureError

Pixels: TypeAlias = NDArray[np.uint8]
Doubles: TypeAlias = NDArray[np.float64]

PEAK = 255.0
THRESHOLDS = 151  # AuC: 0, 1, ... 150
RESAMPLES = 10_000

_CHUNK = 1 << 15  # pixels, or numbers drawn, that are worked on at once


@dataclass(frozen=True)
class Interval:
    """A value between the ends of its 95% interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference with this interval may be called one."""
        return self.low > 0 or self.high < 0


def psnr(truth: Pixels, output: Pixels) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, in dB (the paper's eq. 7, with the peak 255).

    Args:
        truth: ``(H, W, 3)`` or ``(H, W)`` uint8.
        output: the same shape.

    Returns:
        dB; infinity for equal pictures.

    Raises:
        PictureError: the sizes differ.
    """
    _same_size(truth, output)
    error = cv2.norm(truth, output, cv2.NORM_L2SQR) / truth.size
    return float("inf") if error == 0 else float(10 * np.log10(PEAK**2 / error))


def ssim(truth: Pixels, output: Pixels, window: Literal["uniform", "gaussian"] = "uniform") -> float:
    """Structural similarity (the paper's eq. 8), averaged over pixels, then over channels.

    ``uniform`` is a 7×7 window with sample covariances; ``gaussian`` is the window of Wang et al. 2004, 11×11
    with standard deviation 1.5. Only windows that lie wholly inside the picture count.

    Args:
        truth: ``(H, W, 3)`` or ``(H, W)`` uint8.
        output: the same shape.
        window: which window.

    Returns:
        -1..1; 1 for equal pictures.

    Raises:
        PictureError: the sizes differ, or the picture is smaller than the window.
    """
    _same_size(truth, output)
    side = {"uniform": 7, "gaussian": 11}[window]
    if min(truth.shape[:2]) < side:
        height, width = truth.shape[:2]
        raise PictureError(f"{width}×{height} pixels are too few for SSIM: it needs at least {side}×{side}")
    channels = zip(cv2.split(truth), cv2.split(output), strict=True)
    return float(np.mean([_ssim(cast(Pixels, x), cast(Pixels, y), side, window) for x, y in channels]))


def _ssim(truth: Pixels, output: Pixels, side: int, window: str) -> float:
    x, y = truth.astype(np.float64), output.astype(np.float64)
    inside = slice(side // 2, -(side // 2))

    def mean(plane: Doubles) -> Doubles:
        size = (side, side)
        blurred = cv2.blur(plane, size) if window == "uniform" else cv2.GaussianBlur(plane, size, 1.5)
        return cast(Doubles, blurred[inside, inside])

    samples = side * side / (side * side - 1) if window == "uniform" else 1.0
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mean_x, mean_y = mean(x), mean(y)
    product, power = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    covariance = samples * (mean(x * y) - product)
    variances = samples * (mean(x * x + y * y) - power)
    return float(np.mean((2 * product + c1) * (2 * covariance + c2) / ((power + c1) * (variances + c2))))


def ciede2000(lab: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """CIEDE2000 color difference of every pixel, all weights 1 (Sharma, Wu and Dalal 2005).

    Args:
        lab: ``(..., 3)`` Lab.
        other: the same shape.

    Returns:
        ``(...)`` float32, 0 where the colors are equal.
    """
    out = np.empty(lab.shape[:-1], np.float32)
    flat, flat_lab, flat_other = out.reshape(-1), lab.reshape(-1, 3), other.reshape(-1, 3)
    for part in _chunks(flat.size):
        flat[part] = _ciede2000(*flat_lab[part].T.astype(np.float64), *flat_other[part].T.astype(np.float64))
    return out


def _ciede2000(l1: Doubles, a1: Doubles, b1: Doubles, l2: Doubles, a2: Doubles, b2: Doubles) -> Doubles:
    stretch = 1.5 - 0.5 * _vividness((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2)
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = _hue(a1, b1), _hue(a2, b2)

    both = (c1 > 0) & (c2 > 0)
    turn = np.where(both, h2 - h1, 0.0)
    far = np.abs(turn) > np.pi
    turn = turn - 2 * np.pi * np.sign(turn) * far
    middle = (h1 + h2) / 2
    opposite = np.where(middle < np.pi, middle + np.pi, middle - np.pi)
    hue = np.where(both, np.where(far, opposite, middle), h1 + h2)  # of a gray and a color: the color's

    lightness, chroma = (l1 + l2) / 2 - 50, (c1 + c2) / 2
    t = (
        1
        - 0.17 * np.cos(hue - np.radians(30))
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + np.radians(6))
        - 0.20 * np.cos(4 * hue - np.radians(63))
    )
    dl = (l2 - l1) / (1 + 0.015 * lightness**2 / np.sqrt(20 + lightness**2))
    dc = (c2 - c1) / (1 + 0.045 * chroma)
    dh = 2 * np.sqrt(c1 * c2) * np.sin(turn / 2) / (1 + 0.015 * chroma * t)
    angle = np.radians(60) * np.exp(-(((np.degrees(hue) - 275) / 25) ** 2))
    rotation = -2 * _vividness(chroma) * np.sin(angle)
    return cast(Doubles, np.sqrt(np.maximum(dl * dl + dc * dc + dh * dh + rotation * dc * dh, 0)))


def _hue(a: Doubles, b: Doubles) -> Doubles:
    angle = np.arctan2(b, a)
    return np.where(angle < 0, angle + 2 * np.pi, angle)


def _vividness(chroma: Doubles) -> Doubles:
    """Near 0 for chroma well below 25, near 1 well above: √(C⁷ / (C⁷ + 25⁷))."""
    cube = chroma * chroma * chroma
    power = cube * cube * chroma
    return cast(Doubles, np.sqrt(power / (power + 25.0**7)))


def auc(ab: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> float:
    """Share of pixels whose ab error is within a threshold, averaged over the thresholds 0, 1, ... 150.

    Zhang, Isola and Efros 2016, without rebalancing.

    Args:
        ab: ``(..., 2)``.
        other: the same shape.

    Returns:
        0..1; 1 for equal colors.
    """
    reached = 0.0
    flat, flat_other = ab.reshape(-1, 2), other.reshape(-1, 2)
    for part in _chunks(len(flat)):
        error = np.hypot(*(flat[part] - flat_other[part]).T.astype(np.float64))
        reached += np.sum(THRESHOLDS - np.minimum(np.ceil(error), THRESHOLDS))
    return float(reached / THRESHOLDS / len(flat))


def colorfulness(rgb: Pixels, form: Literal["signed", "absolute"] = "signed") -> float:
    """How colorful a picture looks (Hasler and Süsstrunk 2003): 0 for gray, 33 "moderately", 82 "highly".

    Args:
        rgb: ``(H, W, 3)`` uint8.
        form: ``signed`` as published; ``absolute`` takes absolute opponent values first, as DDColor does.
    """
    red, green, blue = (plane.astype(np.float32) for plane in cv2.split(rgb))
    moments = []
    for opponent in (red - green, (red + green) / 2 - blue):
        mean, deviation = cv2.meanStdDev(np.abs(opponent) if form == "absolute" else opponent)
        moments.append((mean.item(), deviation.item()))
    (mean_rg, deviation_rg), (mean_yb, deviation_yb) = moments
    return float(np.hypot(deviation_rg, deviation_yb) + 0.3 * np.hypot(mean_rg, mean_yb))


def chroma(ab: NDArray[np.floating[Any]]) -> float:
    """Mean Lab chroma of ``(H, W, 2)``."""
    return float(np.mean(cv2.magnitude(*cv2.split(ab))))


def slope_terms(true_ab: ArrayLike, predicted_ab: ArrayLike) -> tuple[float, float]:
    """What a picture adds to the calibration slope of a set: Σ t·p and Σ p·p.

    The slope is the sum of the first over the sum of the second, ``bootstrap(first, over=second)``: truth
    regressed on prediction through the origin. It is 1 where predictions are as bold as they have reason to
    be, less where they are too bold, more where they are too timid.

    Args:
        true_ab: ``(..., 2)``.
        predicted_ab: the same shape.
    """
    truth, predicted = (np.asarray(values, np.float64).ravel() for values in (true_ab, predicted_ab))
    return float(truth @ predicted), float(predicted @ predicted)


def frechet(features: ArrayLike, others: ArrayLike) -> float:
    """Fréchet distance between the normal distributions fitted to two sets of features.

    ``|m - n|² + tr(S + T - 2 (S T)^½)`` with means m, n and sample covariances S, T. The root is taken of
    ``S^½ T S^½``, which has the same eigenvalues and is symmetric.

    Args:
        features: ``(N, D)``, N at least 2.
        others: ``(M, D)``, M at least 2.

    Returns:
        0 or more; biased upward where N or M is not well above D.
    """
    x, y = np.asarray(features, np.float64), np.asarray(others, np.float64)
    s, t = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    root = _root(s)
    shared = np.linalg.eigvalsh(root @ t @ root)
    gap = x.mean(axis=0) - y.mean(axis=0)
    distance = gap @ gap + np.trace(s) + np.trace(t) - 2 * np.sqrt(np.maximum(shared, 0)).sum()
    return max(float(distance), 0.0)


def _root(symmetric: Doubles) -> Doubles:
    """The symmetric square root of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(symmetric)
    return cast(Doubles, (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)


def adjusted_rand(labels: ArrayLike, others: ArrayLike) -> float:
    """Adjusted Rand index of two divisions of the same pixels (Hubert and Arabie 1985).

    Args:
        labels: which part each pixel belongs to, integers of any size.
        others: the same shape.

    Returns:
        1 for the same division, about 0 for unrelated ones.
    """
    (one, rows), (other, columns) = (_numbered(np.asarray(parts).ravel()) for parts in (labels, others))
    together = np.bincount(one * columns + other, minlength=rows * columns).reshape(rows, columns)
    pairs, row_pairs, column_pairs = (
        float((count * (count - 1.0) / 2).sum()) for count in (together, together.sum(axis=1), together.sum(axis=0))
    )
    chance = row_pairs * column_pairs / max(one.size * (one.size - 1) / 2, 1)
    most = (row_pairs + column_pairs) / 2
    return 1.0 if most == chance else (pairs - chance) / (most - chance)


def _numbered(labels: NDArray[Any]) -> tuple[NDArray[np.intp], int]:
    """Labels as 0, 1, ... and how many there are."""
    values, numbers = np.unique(labels, return_inverse=True)
    return numbers.astype(np.intp), len(values)


def isotonic(x: ArrayLike, y: ArrayLike) -> Doubles:
    """The rising function of x that is nearest to y by least squares (pool adjacent violators).

    Args:
        x: ``(N,)``; equal ones get equal values.
        y: ``(N,)``.

    Returns:
        ``(N,)``, its value at each x.
    """
    values, at = np.unique(np.asarray(x, np.float64), return_inverse=True)
    weight = np.bincount(at).astype(np.float64)
    mean = np.bincount(at, np.asarray(y, np.float64)) / weight
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many of values
    for new in zip(mean.tolist(), weight.tolist(), [1] * len(values), strict=True):
        pools.append(new)
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (m, v, k), (n, w, j) = pools.pop(), pools.pop()
            pools.append(((m * v + n * w) / (v + w), v + w, k + j))
    return np.repeat([pool[0] for pool in pools], [pool[2] for pool in pools])[at]


def rising_curve(x: ArrayLike, y: ArrayLike, knots: int = 33) -> tuple[Doubles, Doubles]:
    """What :func:`isotonic` finds, as a few points to draw straight lines between (``np.interp``).

    Args:
        x: ``(N,)``, what was predicted.
        y: ``(N,)``, what was measured.
        knots: at most so many points, each the mean of as many samples.

    Returns:
        x, strictly rising, and y, never falling.
    """
    order = np.argsort(x, kind="stable")
    known, level = np.asarray(x, np.float64)[order], isotonic(x, y)[order]
    # equal x stay in one part, so that the means of parts rise strictly
    part = (np.searchsorted(known, known) * knots) // known.size
    count = np.bincount(part)
    sums = (np.bincount(part, values) for values in (known, level))
    xs, ys = (total[count > 0] / count[count > 0] for total in sums)
    return xs, np.maximum.accumulate(ys)


def reliability(predicted: ArrayLike, hit: ArrayLike, parts: int = 10) -> tuple[Doubles, Doubles]:
    """Predicted probabilities against what happened, by tenths of the samples from the least sure to the surest.

    Args:
        predicted: ``(N,)`` in 0..1; equal ones are spread over parts at random, with a fixed seed.
        hit: ``(N,)``, whether it came true.
        parts: how many.

    Returns:
        Mean prediction and measured share of each part, ``(parts,)``; fewer where there are fewer samples.
    """
    sure, came = np.asarray(predicted, np.float64), np.asarray(hit, np.float64)
    order = np.lexsort((np.random.default_rng(0).random(sure.size), sure))
    tenths = [part for part in np.array_split(order, parts) if part.size]
    return np.array([sure[part].mean() for part in tenths]), np.array([came[part].mean() for part in tenths])


def bootstrap(values: ArrayLike, over: ArrayLike | None = None, seed: int = 0) -> Interval | None:
    """The mean of ``values``, or Σ values / Σ over, with its 95% percentile interval over 10,000 resamples.

    A difference between two models is one of *paired* differences: ``bootstrap(scores - other_scores)``.

    Args:
        values: ``(N,)``, one number a picture.
        over: ``(N,)``, none negative, where a ratio of sums is wanted.
        seed: of the resampling; one seed draws the same pictures for all statistics of a set.

    Returns:
        None where there is nothing to average: no pictures, or ``over`` is 0 everywhere.
    """
    top = np.asarray(values, np.float64)
    bottom = np.ones_like(top) if over is None else np.asarray(over, np.float64)
    if not bottom.sum():
        return None
    drawn = _resamples(top.size, seed)
    above, below = (np.einsum("rn,n->r", drawn, each) for each in (top, bottom))
    ratios = above / np.where(below > 0, below, np.nan)
    low, high = np.nanpercentile(ratios, [2.5, 97.5])
    return Interval(float(top.sum() / bottom.sum()), float(low), float(high))


@lru_cache(maxsize=2)
def _resamples(size: int, seed: int) -> Pixels:
    """How often each picture is drawn in each resample, ``(RESAMPLES, size)``; no count comes near 255."""
    rng, counts = np.random.default_rng(seed), np.empty((RESAMPLES, size), np.uint8)
    for part in _chunks(RESAMPLES, max(_CHUNK // size, 1)):
        rows = part.stop - part.start
        drawn = rng.integers(0, size, (rows, size)) + np.arange(rows)[:, None] * size
        counts[part] = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
    return counts


def _same_size(truth: NDArray[Any], output: NDArray[Any]) -> None:
    if truth.shape != output.shape:
        sizes = " and ".join("×".join(map(str, array.shape)) for array in (truth, output))
        raise PictureError(f"pictures of different sizes cannot be compared: {sizes}")


def _chunks(size: int, step: int = _CHUNK) -> Iterator[slice]:
    return (slice(start, min(start + step, size)) for start in range(0, size, step))
