"""What a network of entities knows about one picture -> ab: every answer that a person asks for is made here.

The network runs once. What it gave is a :class:`Known`; the rest is arithmetic on these few arrays, in milliseconds:

==========================  ===========================================================
the colors                  :func:`color`, from gray over the mean to vivid
other possible colors       :func:`candidates`
how sure they are           :func:`confidence`, :func:`deviation`; :func:`fade` to gray where they are not
this kind, this part, red   :func:`recolor`; :func:`region`, then :func:`recolor_region`
as in that picture          :func:`reference`, for one in color of :func:`observe`
this point is red           :func:`hint`; :func:`suggest` says where to point
==========================  ===========================================================

K entities, M modes of color each, R local features, h×w cells. ab is ``(h, w, 2)`` float32 in Lab's units; what
leaves sRGB is :func:`colorcapsnet.color.merge`'s business. A cell is ``(row, column)``; lightness is L in 0..100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from colorcapsnet.errors import ModelError

Float: TypeAlias = NDArray[np.floating[Any]]
Cells: TypeAlias = NDArray[np.intp]

UNIT = np.float32(50)  # ab that the network calls 1
ANNEAL = 1 / 0.38  # exponent of mode weights in vivid colors: the temperature of Zhang, Isola and Efros 2016
DRAWS = 128  # whole pictures from which candidates are made
THINNED = 1024  # cells that stand for the picture where all are compared with all
PRESENT = 0.01  # share of a picture that an entity must hold to be in it

_CERTAIN = 0.02  # deviation of a color that was given or measured: 1 in ab
_STEPS = 64  # of the table behind confidence
_DAMAGED = "it is not a network of entities, or its file is damaged"


@dataclass(frozen=True, eq=False)
class Known:
    """What the network knows about one picture.

    Attributes:
        coupling: ``(K, h, w)``, to which entity a cell belongs; none negative, sums to 1 over K.
        weight: ``(K, M)``, probability of an entity's modes; sums to 1 over M.
        mean: ``(K, M, 2)``, their ab / 50.
        scale: ``(K, M)``, their standard deviation along either axis, above 0, in the same unit.
        basis: ``(R, h, w)``, local features.
        mix: ``(K, 2, R)``; ``mix[k] @ basis[:, cell]`` is what entity k adds to its modes at a cell.
        given: entities whose color a person gave: strength leaves them alone.

    Raises:
        ModelError: shapes do not agree, or numbers are not what they should be.
    """

    coupling: Float
    weight: Float
    mean: Float
    scale: Float
    basis: Float
    mix: Float
    given: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        for name in ("coupling", "weight", "mean", "scale", "basis", "mix"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float32))
        self._check_shapes()
        for name, total in (("coupling", self.coupling.sum(axis=0)), ("weight", self.weight.sum(axis=1))):
            least = getattr(self, name).min()
            if not (least >= 0 and abs(total - 1).max() < 0.01):
                sums = f"{total.min():.3g} to {total.max():.3g}"
                raise ModelError(f"the network's {name} is {least:.3g} at least and sums to {sums}, not 1: {_DAMAGED}")
        if not self.scale.min() > 0:
            raise ModelError(f"the network's scale is {self.scale.min():.3g} at least, not above 0: {_DAMAGED}")
        if not all(np.isfinite(array.sum()) for array in (self.mean, self.scale, self.basis, self.mix)):
            raise ModelError(f"the network's colors are not finite: {_DAMAGED}")

    def _check_shapes(self) -> None:
        (entities, *cells), modes, features = self.coupling.shape, self.weight.shape[1:], self.basis.shape[:1]
        expected = {
            "weight": (entities, *modes),
            "mean": (entities, *modes, 2),
            "scale": (entities, *modes),
            "basis": (*features, *cells),
            "mix": (entities, 2, *features),
        }
        if (len(cells), len(modes)) != (2, 1) or not self.coupling.size or not self.weight.size:
            shapes = f"{self.coupling.shape} and weight {self.weight.shape}"
            raise ModelError(f"the network's coupling is {shapes}, not (K, h, w) and (K, M): {_DAMAGED}")
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ModelError(f"the network's {name} is {getattr(self, name).shape}, not {shape}: {_DAMAGED}")


def color(
    known: Known, strength: float = 1.0, *, anneal: float = ANNEAL, bold: float = 0.0, gain: float = 1.0
) -> Float:
    """The picture's colors.

    Strength 0 is gray, 1 the mean of what is likely, 2 vivid: mode weights raised to ``anneal``, times the modes'
    chroma raised to ``bold``, shared out anew, so that colors move towards the likeliest modes, those with color
    first. Strength runs straight between these, and the mean chroma of a picture never falls as it grows: chroma is
    convex along a straight line, and where the way to the modes would begin downward (they are grayer than the mean),
    as much of the mean is added to them as keeps it level.

    Args:
        known: what is painted.
        strength: 0..2; given colors do not depend on it.
        anneal: 1 or more; 1 makes vivid the mean, if ``bold`` is 0.
        bold: 0 or more; above 0, the likeliest mode counts for less where it is gray, as it is for most things.
        gain: factor on the vivid colors.

    Returns:
        ``(h, w, 2)`` ab.

    Raises:
        ValueError: strength is not 0..2.
    """
    if not 0 <= strength <= 2:
        raise ValueError(f"strength is 0 (gray) to 2 (vivid), not {strength}")
    free = [entity for entity in range(len(known.weight)) if entity not in known.given]
    mean = _paint(known, known.weight, free)
    if strength <= 1:
        ab = mean * np.float32(strength)
    else:
        vivid = np.float32(gain) * _paint(known, _annealed(known, anneal, bold), free)
        ab = mean + np.float32(strength - 1) * (_no_grayer(vivid, mean) - mean)
    return ab + _paint(known, known.weight, sorted(known.given)) if known.given else ab


def _paint(known: Known, weight: Float, entities: Sequence[int]) -> Float:
    """50 Σ_k coupling_k (Σ_m weight_km mean_km + mix_k · basis) over some entities, ``(h, w, 2)``."""
    coupling, tint = known.coupling[entities], _tint(known, weight)[entities]
    mix = np.tensordot(known.mix[entities], coupling, (0, 0))
    local = np.einsum("crhw,rhw->hwc", mix, known.basis)
    return cast(Float, UNIT * (np.tensordot(coupling, tint, (0, 0)) + local))


def _tint(known: Known, weight: Float) -> Float:
    return cast(Float, np.einsum("km,kmc->kc", weight, known.mean))


def _annealed(known: Known, exponent: float, bold: float) -> Float:
    power = (known.weight / known.weight.max(axis=1, keepdims=True)) ** np.float32(exponent)
    power = power * (np.hypot(known.mean[..., 0], known.mean[..., 1]) + np.float32(_CERTAIN)) ** np.float32(bold)
    return cast(Float, power / power.sum(axis=1, keepdims=True))


def _no_grayer(vivid: Float, mean: Float) -> Float:
    chroma = np.hypot(mean[..., 0], mean[..., 1])
    outward = (mean * (vivid - mean)).sum(axis=-1) / np.maximum(chroma, 1e-6)
    return cast(Float, vivid + mean * np.float32(max(0.0, -outward.sum() / max(chroma.sum(), 1e-6))))


def candidates(known: Known, n: int, seed: int = 0) -> list[Known]:
    """Kinds of whole pictures that may be true, unlike in hue, the likeliest first.

    128 pictures are drawn, one mode of each entity by its weight. Of these, n are taken that stand for all: greedily,
    each time the one that most lowers the sum of distances from every drawn picture to the nearest one taken. The
    distance of two pictures is ``1 - Σ |a||b| cos(difference of hue) / Σ |a||b|`` over cells: those that differ in
    strength alone are equal, and an entity counts by what it holds of the picture. A candidate is the mean of the
    drawn pictures nearest to one that was taken: what tells this kind from others is decided, the rest stays open.

    Args:
        known: what is drawn from.
        n: how many, 1..128. Some are equal pictures where the modes allow fewer.
        seed: the same seed gives the same candidates.

    Returns:
        One :class:`Known` a candidate, with other mode weights, for :func:`color` and all else; those that stand for
        more of the drawn pictures first.

    Raises:
        ValueError: n is out of range.
    """
    if not 1 <= n <= DRAWS:
        raise ValueError(f"there are 1 to {DRAWS} candidates, not {n}")
    below = np.cumsum(known.weight, axis=1)[:, :-1]
    modes = (np.random.default_rng(seed).random((DRAWS, len(below), 1)) > below).sum(axis=2)
    drawn = np.eye(known.weight.shape[1], dtype=np.float32)[modes]
    distance = _hue_distance(known, drawn)
    taken = _representatives(distance, n)
    nearest = distance[:, taken].argmin(axis=1)
    nearest[taken] = np.arange(n)
    order = np.argsort(-np.bincount(nearest), kind="stable")
    return [replace(known, weight=drawn[nearest == kind].mean(axis=0)) for kind in order]


def _hue_distance(known: Known, weights: Float) -> Float:
    """Between pictures of mode weights ``(N, K, M)``: ``(N, N)``, 0..2."""
    rows, columns = _thinned(known).T
    coupling, basis = known.coupling[:, rows, columns], known.basis[:, rows, columns]
    local = np.einsum("kcr,kp,rp->cp", known.mix, coupling, basis, optimize=True)
    ab = np.einsum("nkm,kmc,kp->ncp", weights, known.mean, coupling, optimize=True) + local
    chroma, flat = np.hypot(ab[:, 0], ab[:, 1]), ab.reshape(len(ab), -1)
    most = chroma @ chroma.T
    return cast(Float, 1 - np.divide(flat @ flat.T, most, out=np.ones_like(most), where=most > 1e-12))


def _representatives(distance: Float, n: int) -> list[int]:
    taken: list[int] = []
    nearest = np.full(len(distance), np.inf)
    for _ in range(n):
        cost = np.minimum(nearest[:, None], distance).sum(axis=0)
        cost[taken] = np.inf
        taken.append(int(cost.argmin()))
        nearest = np.minimum(nearest, distance[:, taken[-1]])
    return taken


def _thinned(known: Known) -> Cells:
    """Evenly spread cells, at most 1024, all of them where there are no more; ``(n, 2)``."""
    height, width = known.coupling.shape[1:]
    tall = int(np.clip(round(np.sqrt(THINNED * height / width)), 1, min(height, THINNED)))
    wide = min(THINNED // tall, width)
    rows, columns = ((2 * np.arange(n) + 1) * side // (2 * n) for n, side in ((tall, height), (wide, width)))
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def deviation(known: Known) -> Float:
    """Standard deviation of the ab that may be true at a cell, over entities and modes, along either axis.

    Returns:
        ``(h, w)``: the root of half the mean squared distance from the mean color.
    """
    tint, local = _tint(known, known.weight), _local(known)
    square = (known.weight * (2 * known.scale**2 + (known.mean**2).sum(axis=2))).sum(axis=1)
    both = (local * (local + 2 * tint[:, :, None, None])).sum(axis=1) + square[:, None, None]
    mean = _paint(known, known.weight, range(len(tint))) / UNIT
    variance = (known.coupling * both).sum(axis=0) - (mean**2).sum(axis=2)
    return cast(Float, UNIT * np.sqrt(np.maximum(variance, 0) / 2))


def _local(known: Known) -> Float:
    """What each entity adds at each cell, ``(K, 2, h, w)``."""
    return np.tensordot(known.mix, known.basis, (2, 0))


def confidence(
    known: Known, ab: Float, radius: float = 15.0, curve: tuple[ArrayLike, ArrayLike] | None = None
) -> Float:
    """The probability that the true ab lies within ``radius`` of ``ab``, by the mixture of all entities' Gaussians.

    Args:
        known: the mixture.
        ab: ``(h, w, 2)``, the colors in question.
        radius: in ab, above 0.
        curve: ``(x, y)``, rising, in 0..1: from the mixture's probability to the measured one (``np.interp``).

    Returns:
        ``(h, w)`` in 0..1.

    Raises:
        ValueError: the curve does not rise, or leaves 0..1.
    """
    reach, table = _shares_within(known.scale, radius / float(UNIT))
    offset = _local(known) - np.moveaxis(ab, -1, 0) / UNIT
    sure = np.zeros(known.coupling.shape[1:])
    for entity, mode in np.ndindex(known.weight.shape):
        distance = np.hypot(*(offset[entity] + known.mean[entity, mode, :, None, None]))
        grid = np.linspace(0, reach[entity, mode], _STEPS)
        share = np.interp(distance, grid, table[entity, mode])
        sure += known.coupling[entity] * known.weight[entity, mode] * share
    return (sure if curve is None else _calibrated(sure, *curve)).clip(0, 1).astype(np.float32)


def fade(known: Known, ab: Float, sure: Float, threshold: float) -> Float:
    """Let colors that are not sure give way to gray; those that a person gave stay.

    Args:
        known: what was painted.
        ab: ``(h, w, 2)``, its colors.
        sure: ``(h, w)`` in 0..1, as :func:`confidence` gives it.
        threshold: 0..1. Colors this sure are whole, those half as sure or less are gone, straight between; 0 changes
            nothing.

    Returns:
        ``(h, w, 2)`` ab.

    Raises:
        ValueError: the threshold is not 0..1.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"colors fade below a confidence of 0 to 1, not {threshold}")
    if threshold == 0:
        return ab
    left = np.clip(sure / max(threshold / 2, 1e-9) - 1, 0, 1).astype(np.float32)[..., None]
    if not known.given:
        return cast(Float, ab * left)
    given = _paint(known, known.weight, sorted(known.given))
    return cast(Float, given + left * (ab - given))


def _shares_within(scale: Float, radius: float) -> tuple[Float, Float]:
    """Shares of 2-D Gaussians inside a circle, for ``_STEPS`` even distances of the centers up to a reach.

    The distribution of a noncentral chi-square with two degrees of freedom. The density is the divergence of
    ``(1 - exp(-b²/2σ²)) / (2π b²) · b``, so the share is the mean of ``(1 - exp(-b²/2σ²)) / b² · r (r + d cos φ)``
    around the circle, ``b² = r² + d² + 2 r d cos φ``: smooth and periodic, hence exact with few steps.

    Returns:
        The reach, of ``scale``'s shape, beyond which the share is 0; and the shares, that shape and ``_STEPS``.
    """
    sigma = np.maximum(scale, _CERTAIN)[..., None, None].astype(np.float64)
    reach = radius + 5 * sigma
    distance = np.linspace(0, 1, _STEPS)[:, None] * reach
    cosine = np.cos((np.arange(_STEPS) + 0.5) * np.pi / _STEPS)
    square = np.maximum(radius**2 + distance**2 + 2 * radius * distance * cosine, 1e-12)
    flux = -np.expm1(-square / (2 * sigma**2)) / square * radius * (radius + distance * cosine)
    return reach[..., 0, 0], flux.mean(axis=-1)


def _calibrated(sure: Float, x: ArrayLike, y: ArrayLike) -> Float:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.shape != y.shape or x.ndim != 1 or not x.size or (np.diff(x) <= 0).any() or (np.diff(y) < 0).any():
        raise ValueError(f"a calibration curve is two rising lists of one length, not {x.tolist()} and {y.tolist()}")
    if min(x[0], y[0]) < 0 or max(x[-1], y[-1]) > 1:
        raise ValueError(f"a calibration curve lies in 0..1, not {min(x[0], y[0])}..{max(x[-1], y[-1])}")
    return cast(Float, np.interp(sure, x, y))


def recolor(known: Known, entity: int, ab: ArrayLike) -> Known:
    """Give a whole type one color.

    Its modes become ``ab``. What it adds locally stays, turned from the old hue to the new one, weakened where the
    new color is grayer (never strengthened), and shifted to a mean of zero: the entity's mean color, by coupling, is
    exactly ``ab``, and a gray one is gray at every cell.

    Args:
        known: what is changed; a new one is returned.
        entity: 0..K-1.
        ab: 2 numbers.

    Raises:
        ValueError: there is no such entity.
    """
    if not 0 <= entity < len(known.weight):
        raise ValueError(f"there is no entity {entity}: they are 0 to {len(known.weight) - 1}")
    offset = _local_mean(known)[entity]
    old = _tint(known, known.weight)[entity] + offset
    mean, scale, mix = known.mean.copy(), known.scale.copy(), known.mix.copy()
    mean[entity], mix[entity] = _repainted(mix[entity], offset, old, ab)
    scale[entity] = _CERTAIN
    return replace(known, mean=mean, scale=scale, mix=mix, given=known.given | {entity})


def region(known: Known, cell: tuple[int, int], agreement: float = 0.7) -> Float:
    """The connected part of the picture around a cell that belongs to what the cell belongs to.

    Cells q that are joined to p, side by side, by cells of ``s(p, q) = Σ_k √(c_k(p) c_k(q))`` above ``agreement``:
    1 from halfway between ``agreement`` and 1 on, fading to 0 at ``agreement``.

    Args:
        known: whose couplings are compared.
        cell: row and column.
        agreement: 0 or more, below 1.

    Returns:
        ``(h, w)`` in 0..1, 1 at the cell.

    Raises:
        ValueError: the cell is outside the picture, or ``agreement`` out of range.
    """
    if not 0 <= agreement < 1:
        raise ValueError(f"agreement is 0 or more and below 1, not {agreement}")
    row, column = _inside(known, [cell])[0]
    root = _roots(known.coupling)
    s = np.tensordot(root[:, row, column], root, (0, 0))
    _, labels = cv2.connectedComponents((s > agreement).astype(np.uint8), connectivity=4)
    soft = np.clip((s - agreement) * (2 / (1 - agreement)), 0, 1)
    return np.where(labels == labels[row, column], soft, 0).astype(np.float32)


def recolor_region(known: Known, mask: Float, ab: ArrayLike) -> Known:
    """Give a part of the picture one color: a new entity, after the others, takes the mask's share of each cell.

    What it adds locally is the mean of those in the mask, treated as by :func:`recolor`; its mean color is ``ab``.

    Args:
        known: what is changed; a new one is returned.
        mask: ``(h, w)`` in 0..1, as :func:`region` gives it.
        ab: 2 numbers.

    Raises:
        ValueError: the mask is empty or leaves 0..1.
    """
    mask = np.asarray(mask, np.float32)
    if not (mask.min() >= 0 and 0 < mask.max() <= 1):
        raise ValueError(f"a region's mask lies in 0..1 and is not empty; this one is {mask.min()} to {mask.max()}")
    share = mask / mask.sum()
    mix = np.tensordot((known.coupling * share).sum(axis=(1, 2)), known.mix, (0, 0))
    offset = mix @ (known.basis * share).sum(axis=(1, 2))
    painted = _paint(known, known.weight, range(len(known.mix))) / UNIT
    tint, mix = _repainted(mix, offset, (painted * share[..., None]).sum(axis=(0, 1)), ab)
    modes = known.weight.shape[1]
    return Known(
        coupling=np.concatenate([known.coupling * (1 - mask), mask[None]]),
        weight=np.concatenate([known.weight, np.full((1, modes), 1 / modes)]),
        mean=np.concatenate([known.mean, np.broadcast_to(tint, (1, modes, 2))]),
        scale=np.concatenate([known.scale, np.full((1, modes), _CERTAIN)]),
        basis=known.basis,
        mix=np.concatenate([known.mix, mix[None]]),
        given=known.given | {len(known.mix)},
    )


def _repainted(mix: Float, offset: Float, old: Float, ab: ArrayLike) -> tuple[Float, Float]:
    """A local term ``(2, R)`` of mean ``offset`` and a mean color ``old`` -> mode and local term for ``ab``."""
    new = np.asarray(ab, np.float32) / UNIT
    shrink = min(1.0, float(np.hypot(*new) / max(np.hypot(*old), 1e-6)))
    angle = np.arctan2(new[1], new[0]) - np.arctan2(old[1], old[0])
    turn = shrink * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    return new - turn @ offset, turn @ mix


def _local_mean(known: Known) -> Float:
    """Mean of an entity's local term over its cells, by coupling: ``(K, 2)``."""
    over = np.einsum("khw,rhw->kr", known.coupling, known.basis, optimize=True) / _held(known)
    return cast(Float, np.einsum("kcr,kr->kc", known.mix, over))


def _held(known: Known) -> Float:
    """How many cells an entity holds, ``(K, 1)``, never 0."""
    return cast(Float, np.maximum(known.coupling.sum(axis=(1, 2)), 1e-6)[:, None])


def observe(known: Known, ab: Float) -> Known:
    """What a picture in color shows: modes measured instead of guessed, and nothing local, for :func:`reference`.

    Colors are those of the least squares ``ab = Σ_k coupling_k color_k``, held to the mean of an entity's cells by
    the weight of a hundredth of the picture; deviations are those of its cells.

    Args:
        known: of the picture's gray.
        ab: ``(h, w, 2)``, its colors.
    """
    coupling, colors = known.coupling.reshape(len(known.mix), -1), ab.reshape(-1, 2) / UNIT
    mean = coupling @ colors / _held(known)
    hold = np.float32(PRESENT * len(colors)) * np.eye(len(mean), dtype=np.float32)
    tint = mean + np.linalg.solve(coupling @ coupling.T + hold, coupling @ (colors - coupling.T @ mean))
    spread = ((colors - tint[:, None]) ** 2).sum(axis=2)
    scale = np.sqrt((coupling * spread).sum(axis=1, keepdims=True) / _held(known) / 2)
    return replace(
        known,
        mean=np.broadcast_to(tint[:, None], known.mean.shape),
        scale=np.broadcast_to(np.maximum(scale, _CERTAIN), known.scale.shape),
        mix=np.zeros_like(known.mix),
    )


def reference(known: Known, other: Known, present: float = PRESENT) -> Known:
    """Color this picture as another: each entity takes the modes of the same entity there, sky those of sky.

    Only where it holds at least the share ``present`` of both pictures, and was not given a color here. What it adds
    locally stays, and its modes make up for the mean of that: the entity's mean color, by coupling, becomes that in
    the other picture.

    Args:
        known: what is changed; a new one is returned.
        other: of another picture, of any size, by the same network.
        present: 0..1.

    Raises:
        ValueError: the networks differ in their modes.
    """
    if known.weight.shape[1] != other.weight.shape[1]:
        raise ValueError(f"entities of {known.weight.shape[1]} and {other.weight.shape[1]} modes do not match")
    holds = [picture.coupling.mean(axis=(1, 2)) >= present for picture in (known, other)]
    shared = [k for k, both in enumerate(zip(*holds, strict=False)) if all(both) and k not in known.given]
    weight, mean, scale = known.weight.copy(), known.mean.copy(), known.scale.copy()
    weight[shared], scale[shared] = other.weight[shared], other.scale[shared]
    mean[shared] = other.mean[shared] + (_local_mean(other)[shared] - _local_mean(known)[shared])[:, None]
    return replace(known, weight=weight, mean=mean, scale=scale)


@dataclass(frozen=True)
class Kernel:
    """How much the error at one cell says about the error at another.

    ``s² (everywhere + wide exp(-d²/(2 wide_reach²))) + near exp(-d²/(2 near_reach²)) exp(-(ΔL/100)²/lightness)``,
    where s is ``Σ_k √(c_k(p) c_k(q))`` and d is in picture heights.

    Attributes:
        everywhere: between cells that agree, however far.
        wide: between cells that agree, within ``wide_reach``.
        wide_reach: in picture heights.
        near: between cells of like L, within ``near_reach``.
        near_reach: in picture heights.
        lightness: how unlike L may be.
        noise: variance of a person's colors, above 0. With 0.05, 95% of the way to a single one is gone.
        softness: exponent of couplings, shared out anew, before they are compared.
        near_agreement: 0..1, from the last term as it stands to the last term times s.
    """

    everywhere: float = 0.2
    wide: float = 0.5
    wide_reach: float = 0.4
    near: float = 0.3
    near_reach: float = 0.12
    lightness: float = 0.03
    noise: float = 0.05
    softness: float = 1.0
    near_agreement: float = 0.0


KERNEL = Kernel()


def covariance(known: Known, lightness: Float, cells: Cells, others: Cells, kernel: Kernel = KERNEL) -> Float:
    """The kernel between ``(n, 2)`` and ``(m, 2)`` cells of a picture of lightness ``(h, w)``: ``(n, m)``."""
    here, there = tuple(cells.T), tuple(others.T)
    root, other = (_roots(known.coupling[:, *at], kernel.softness) for at in (here, there))
    with np.errstate(all="ignore"):  # OpenBLAS can leave stray floating-point flags behind: numpy issue 24067
        s = root.T @ other
    row, column = ((cells[:, [axis]] - others[:, axis]).astype(np.float32) for axis in (0, 1))
    square = (row * row + column * column) / np.float32(known.coupling.shape[1] ** 2)
    unlike = (lightness[here].astype(np.float32)[:, None] - lightness[there].astype(np.float32)) / np.float32(100)
    far = kernel.everywhere + kernel.wide * np.exp(square / (-2 * kernel.wide_reach**2))
    near = kernel.near * np.exp(square / (-2 * kernel.near_reach**2) - unlike * unlike / kernel.lightness)
    return cast(Float, s * s * far + near * (1 - kernel.near_agreement * (1 - s)))


def _roots(coupling: Float, softness: float = 1.0) -> Float:
    """√ of softened couplings ``(K, ...)``; their products summed over K are the agreement."""
    root = coupling ** np.float32(softness / 2)
    return cast(Float, root / np.sqrt((root * root).sum(axis=0)))


def hint(
    known: Known, ab: Float, lightness: Float, cells: ArrayLike, colors: ArrayLike, kernel: Kernel = KERNEL
) -> Float:
    """Correct colors by points whose color a person gives: Gaussian-process regression over couplings.

    Solve ``(K + noise I) α = colors - ab`` at the points, add ``K α`` everywhere. Call it last, so that a color
    arrives as it was given. That a point is right as it is, is a hint too.

    Args:
        known: whose couplings say what belongs together.
        ab: ``(h, w, 2)``, the colors so far.
        lightness: ``(h, w)``.
        cells: ``(n, 2)``, the points; where there is none, nothing changes.
        colors: ``(n, 2)``, their ab.
        kernel: what an error here says about there.

    Returns:
        ``(h, w, 2)`` ab.

    Raises:
        ValueError: a point lies outside the picture.
    """
    points, wanted = _inside(known, cells), np.asarray(colors, np.float64).reshape(-1, 2)
    every = np.indices(ab.shape[:2]).reshape(2, -1).T
    inner = covariance(known, lightness, points, points, kernel) + kernel.noise * np.eye(len(points))
    alpha = np.linalg.solve(inner, wanted - ab[tuple(points.T)]).astype(np.float32)
    spread = covariance(known, lightness, points, every, kernel)
    return cast(Float, ab + (spread.T @ alpha).reshape(ab.shape))


def suggest(known: Known, lightness: Float, n: int, pointed: ArrayLike = (), kernel: Kernel = KERNEL) -> Cells:
    """Where to point next: the cells whose color, if known, would lower the variance of the picture most.

    The covariance is the kernel times both cells' :func:`deviation` over its root mean square, so sure cells need no
    help and noise keeps its size; its trace is what is lowered, greedily, one cell after the other. In a picture of
    more than 1024 cells, that many stand for all.

    Args:
        known: what is sure and what belongs together.
        lightness: ``(h, w)``.
        n: how many.
        pointed: ``(m, 2)``, where colors were given already.
        kernel: what an error here says about there.

    Returns:
        ``(n, 2)``, the most useful first.

    Raises:
        ValueError: n is out of range, or a point lies outside the picture.
    """
    grid, points = _thinned(known), _inside(known, pointed)
    if not 1 <= n <= len(grid):
        raise ValueError(f"1 to {len(grid)} points can be suggested, not {n}")
    cells, count = np.concatenate([grid, points]), len(grid)
    sigma = deviation(known)[tuple(cells.T)]
    sigma = sigma / np.sqrt((sigma[:count] ** 2).mean())
    left = covariance(known, lightness, cells, cells, kernel) * sigma * sigma[:, None]
    for point in range(count, len(cells)):
        _learn(left, point, kernel.noise)
    best: list[int] = []
    for _ in range(n):
        lowered = (left[:count, :count] ** 2).sum(axis=0) / (left.diagonal()[:count] + kernel.noise)
        lowered[best] = -np.inf
        best.append(int(lowered.argmax()))
        _learn(left, best[-1], kernel.noise)
    return cells[best]


def _learn(left: Float, point: int, noise: float) -> None:
    """Take from a covariance, in place, what the color of one point explains."""
    column = left[:, point] / np.sqrt(left[point, point] + np.float32(noise))
    left -= column[:, None] * column


def _inside(known: Known, cells: ArrayLike) -> Cells:
    points, (height, width) = np.asarray(cells, np.intp).reshape(-1, 2), known.coupling.shape[1:]
    for row, column in points:
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(f"row {row}, column {column} is outside the picture of {height}×{width} cells")
    return points
