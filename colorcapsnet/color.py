"""Colors: sRGB <-> CIE Lab, Rec.601 gray, the paper's 8-bit Lab code, and colors that keep a given gray.

Arrays are ``(H, W, 3)`` or ``(H, W)``. Outside, pictures are sRGB ``uint8`` or ``uint16``; inside, everything is
``float32``. Lab is D65, 2 degree observer: L in 0..100, a and b in about -128..127. The white point is the row sum of
the matrix, and conversions work on differences to green, so that three equal channels give a = b = 0 exactly.

Large pictures are worked on in strips of rows, so temporary arrays stay small whatever the picture's size.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

Float: TypeAlias = NDArray[np.floating[Any]]
Codes: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]

_STRIP, _PIXELS = 64, 2**16  # worked on at once: so many rows, or as many as make so many pixels
_MARGIN = 0.49  # a code whose lightness lies this close to the gray's comes back as that gray under any rounding

# linear sRGB -> XYZ, ITU-R BT.709 primaries, with the digits that OpenCV and scikit-image use
_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_TO_XYZ = _XYZ / _XYZ.sum(axis=1, keepdims=True)  # XYZ relative to white: each row sums to 1
FROM_XYZ = np.linalg.inv(_TO_XYZ)  # XYZ relative to white -> linear sRGB; its rows sum to 1 as well
# The same two maps with the middle coordinate subtracted from the others first: (R-G, G, B-G) -> XYZ and
# (X-Y, Y, Z-Y) -> RGB. The middle column is then exactly 1, and equal inputs give exactly equal outputs.
_RGB_TO_XYZ = np.column_stack([_TO_XYZ[:, 0], np.ones(3), _TO_XYZ[:, 2]]).astype(np.float32)
_XYZ_TO_RGB = np.column_stack([FROM_XYZ[:, 0], np.ones(3), FROM_XYZ[:, 2]]).astype(np.float32)
_LUMINANCE = _TO_XYZ[1].astype(np.float32)

_CODE_SCALE = np.array([2.55, 1, 1], np.float32)
_CODE_ZERO = np.array([0, 128, 128], np.float32)
_SLACK = 1e-6  # linear light outside 0..1 by no more than rounding errors counts as inside
_DELTA = 6 / 29  # CIE 15: f(t) is a cube root above DELTA^3 and a straight line below


def to_linear(srgb: NDArray[Any]) -> NDArray[Any]:
    """sRGB values in 0..1 -> linear light in 0..1 (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4)


def from_linear(light: NDArray[Any]) -> NDArray[Any]:
    """Linear light in 0..1 -> sRGB values in 0..1 (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def gray(rgb: Codes) -> Codes:
    """Rec.601 gray, ``round(0.299 R + 0.587 G + 0.114 B)``, halves upward.

    Args:
        rgb: ``(H, W, 3)`` uint8 or uint16; a ``(H, W)`` array is returned as it is.

    Returns:
        ``(H, W)`` of the same type.
    """
    if rgb.ndim == 2:
        return rgb
    out = np.empty(rgb.shape[:2], rgb.dtype)
    for rows in _strips(rgb.shape):
        red, green, blue = (rgb[rows, :, channel].astype(np.uint32) for channel in range(3))
        out[rows] = (299 * red + 587 * green + 114 * blue + 500) // 1000
    return cast(Codes, out)


def lightness(codes: Codes) -> Float:
    """CIE L in 0..100 of a gray picture: ``(H, W)`` uint8 or uint16 -> ``(H, W)`` float32."""
    return _look_up(codes, _lightness_table(codes.dtype))


def srgb_to_lab(rgb: NDArray[Any]) -> Float:
    """sRGB -> Lab.

    Args:
        rgb: ``(..., 3)``; uint8, uint16, or floating in 0..1.

    Returns:
        ``(..., 3)`` float32.
    """
    flat = rgb.reshape(-1, *rgb.shape[-2:]) if rgb.ndim != 3 else rgb
    lab = np.empty(flat.shape, np.float32)
    for rows in _strips(flat.shape):
        lab[rows] = _lab_of(_linear(flat[rows]))
    return lab.reshape(rgb.shape)


def lab_to_srgb(lab: NDArray[Any]) -> Float:
    """Lab -> sRGB in 0..1, each channel clipped, as OpenCV and the paper do it.

    Clipping changes L and hue; :func:`merge` does not.

    Args:
        lab: ``(..., 3)`` floating.

    Returns:
        ``(..., 3)`` float32.
    """
    flat = lab.reshape(-1, *lab.shape[-2:]) if lab.ndim != 3 else lab
    rgb = np.empty(flat.shape, np.float32)
    for rows in _strips(flat.shape):
        part = flat[rows].astype(np.float32)
        light = _light_of((part[..., 0] + 16) / 116, part[..., 1:])
        rgb[rows] = _encode_light(np.clip(light, 0, 1, out=light))
    return rgb.reshape(lab.shape)


def quantize(srgb: Float, dtype: DTypeLike = np.uint8) -> Codes:
    """sRGB values in 0..1 -> codes of ``dtype`` (uint8 or uint16), rounded."""
    top = np.iinfo(dtype).max
    return cast(Codes, np.rint(np.clip(srgb, 0, 1) * np.float32(top)).astype(dtype))


def eight_bits(codes: NDArray[Any]) -> NDArray[np.uint8]:
    """uint16 codes -> the nearest uint8 codes, ``(v + 128) // 257``; uint8 codes are returned as they are."""
    if codes.dtype == np.uint8:
        return cast(NDArray[np.uint8], codes)
    return cast(NDArray[np.uint8], ((codes.astype(np.uint32) + 128) // 257).astype(np.uint8))


def encode(lab: NDArray[Any]) -> NDArray[np.uint8]:
    """Lab -> the paper's code, OpenCV's 8-bit Lab: ``round(L 255/100), round(a + 128), round(b + 128)``.

    Args:
        lab: ``(..., 3)`` floating.

    Returns:
        ``(..., 3)`` uint8, values outside 0..255 clipped.
    """
    code = np.asarray(lab, np.float32) * _CODE_SCALE + _CODE_ZERO
    return cast(NDArray[np.uint8], np.clip(np.rint(code), 0, 255).astype(np.uint8))


def decode(code: NDArray[Any]) -> Float:
    """The inverse of :func:`encode`.

    Args:
        code: ``(..., 3)`` in 0..255, whole numbers or not.

    Returns:
        ``(..., 3)`` float32 Lab.
    """
    return (np.asarray(code, np.float32) - _CODE_ZERO) / _CODE_SCALE


def merge(codes: Codes, ab: Float) -> Codes:
    """Give a gray picture the colors ``ab`` and keep its lightness.

    Where ``(L, a, b)`` lies outside sRGB, chroma gives way at constant hue and L. Where rounding to codes would move
    L to another gray code, the codes are nudged until it does not, so that :func:`gray_of` gives ``codes`` back.

    Args:
        codes: ``(H, W)`` uint8 or uint16 gray.
        ab: ``(H, W, 2)`` float32.

    Returns:
        ``(H, W, 3)`` sRGB of the type of ``codes``.
    """
    out = np.empty((*codes.shape, 3), codes.dtype)
    for rows in _strips(codes.shape):
        out[rows] = _merge_strip(codes[rows], ab[rows].astype(np.float32, copy=False))
    return cast(Codes, out)


def gray_of(rgb: Codes) -> Codes:
    """The gray whose CIE L is the picture's: what :func:`merge` was given.

    Args:
        rgb: ``(H, W, 3)`` uint8 or uint16.

    Returns:
        ``(H, W)`` of the same type.
    """
    if rgb.ndim == 2:
        return rgb
    top = np.iinfo(rgb.dtype).max
    out = np.empty(rgb.shape[:2], rgb.dtype)
    for rows in _strips(rgb.shape):
        light = np.clip(_luminance(rgb[rows]), 0, 1)
        out[rows] = np.rint(from_linear(light) * top)
    return cast(Codes, out)


def in_gamut(lightness: Float, ab: Float) -> Float:
    """Reduce chroma, at constant hue and L, to what sRGB can show.

    Args:
        lightness: ``(H, W)`` L in 0..100.
        ab: ``(H, W, 2)``.

    Returns:
        ``(H, W, 2)`` float32; colors that were inside are unchanged.
    """
    out = np.array(ab, np.float32)
    for rows in _strips(lightness.shape):
        fy = (lightness[rows].astype(np.float32) + 16) / 116
        outside = _outside(_light_of(fy, out[rows]))
        out[rows][outside] = _shrink_chroma(fy[outside], out[rows][outside])
    return out


def _strips(shape: tuple[int, ...]) -> Iterator[slice]:
    height, width = shape[:2]
    step = max(_STRIP, _PIXELS // max(width, 1))
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def _look_up(codes: NDArray[Any], table: NDArray[Any]) -> NDArray[Any]:
    flat = np.ascontiguousarray(codes).reshape(codes.shape[0], -1)
    return cast(NDArray[Any], np.reshape(cv2.LUT(flat, table), codes.shape)) if flat.size else table[codes]


@cache
def _linear_table(dtype: np.dtype[Any]) -> Float:
    top = np.iinfo(dtype).max
    return to_linear(np.arange(top + 1) / top).astype(np.float32)


@cache
def _lightness_table(dtype: np.dtype[Any]) -> Float:
    top = np.iinfo(dtype).max
    return (116 * _f(to_linear(np.arange(top + 1) / top)) - 16).astype(np.float32)


@cache
def _luminance_bounds(dtype: np.dtype[Any]) -> tuple[Float, Float]:
    top = np.iinfo(dtype).max
    code = np.arange(top + 1)
    low, high = to_linear((code - _MARGIN) / top), to_linear((code + _MARGIN) / top)
    return low.astype(np.float32), high.astype(np.float32)


@cache
def _code_of_light() -> NDArray[np.uint8]:
    """Linear light as a 16-bit number -> 8-bit sRGB code. One step of the index is at most 0.05 of a code."""
    return cast(NDArray[np.uint8], np.rint(from_linear(np.arange(65536) / 65535) * 255).astype(np.uint8))


def _f(t: NDArray[Any]) -> NDArray[Any]:
    return np.where(t > _DELTA**3, np.cbrt(np.maximum(t, _DELTA**3)), t / (3 * _DELTA**2) + 4 / 29)


def _linear(rgb: NDArray[Any]) -> Float:
    if rgb.dtype == np.uint8 or rgb.dtype == np.uint16:
        return _look_up(rgb, _linear_table(rgb.dtype))
    return to_linear(rgb).astype(np.float32)


def _lab_of(light: Float) -> Float:
    """Linear RGB, spoiled on the way, -> Lab."""
    light[..., 0] -= light[..., 1]
    light[..., 2] -= light[..., 1]
    f = _f(cv2.transform(light, _RGB_TO_XYZ))
    fy = f[..., 1]
    return np.stack([116 * fy - 16, 500 * (f[..., 0] - fy), 200 * (fy - f[..., 2])], axis=-1)


def _light_of(fy: Float, ab: Float) -> Float:
    """``f(Y)`` and ab -> linear RGB, unclipped; ``(..., )`` and ``(..., 2)`` -> ``(..., 3)``."""
    y = _inverse_f(fy)
    from_x = _inverse_f(fy + ab[..., 0] * np.float32(1 / 500)) - y
    from_z = _inverse_f(fy - ab[..., 1] * np.float32(1 / 200)) - y
    light = np.empty((*fy.shape, 3), np.float32)
    for channel, (x, _, z) in enumerate(_XYZ_TO_RGB):
        np.add(y + x * from_x, z * from_z, out=light[..., channel])
    return light


def _inverse_f(f: Float) -> Float:
    t = f * f * f
    low = f <= _DELTA
    if low.any():
        t[low] = (f[low] - np.float32(4 / 29)) * np.float32(3 * _DELTA**2)
    return t


def _encode_light(light: Float) -> Float:
    power = cv2.pow(np.maximum(light, np.float32(0.0031308)), 1 / 2.4)
    return np.where(light <= 0.0031308, light * np.float32(12.92), np.float32(1.055) * power - np.float32(0.055))


def _luminance(rgb: Codes) -> Float:
    light = _look_up(rgb, _linear_table(rgb.dtype))
    light[..., 0] -= light[..., 1]
    light[..., 2] -= light[..., 1]
    return cast(Float, light[..., 1] + light[..., 0] * _LUMINANCE[0] + light[..., 2] * _LUMINANCE[2])


def _outside(light: Float) -> NDArray[np.bool_]:
    if not light.size:
        return np.zeros(light.shape[:-1], np.bool_)
    inside = cv2.inRange(light.reshape(-1, 1, 3), (-_SLACK,) * 3, (1 + _SLACK,) * 3)
    return cast(NDArray[np.bool_], inside.reshape(light.shape[:-1]) == 0)


def _shrink_chroma(fy: Float, ab: Float) -> Float:
    """Colors outside sRGB -> the last ones inside on the way to gray; ``(n,)`` and ``(n, 2)`` -> ``(n, 2)``."""
    low = np.zeros_like(fy)
    step = np.float32(0.5)
    for _ in range(10):
        inside = ~_outside(_light_of(fy, ab * (low + step)[:, None]))
        low += step * inside
        step /= 2
    return ab * low[:, None]


def _merge_strip(codes: Codes, ab: Float) -> Codes:
    fy = (lightness(codes) + 16) / 116
    light = _light_of(fy, ab)
    outside = _outside(light)
    if outside.any():
        ab = ab.copy(order="K")
        ab[outside] = _shrink_chroma(fy[outside], ab[outside])
        light[outside] = _light_of(fy[outside], ab[outside])
    np.clip(light, 0, 1, out=light)
    rgb = _round(light, codes.dtype)
    low, high = _luminance_bounds(codes.dtype)
    y = _luminance(rgb)
    moved = (y < _look_up(codes, low)) | (y > _look_up(codes, high))
    if moved.any():
        rgb[moved] = _nudge(codes[moved], fy[moved], ab[moved])
    return rgb


def _round(light: Float, dtype: np.dtype[Any]) -> Codes:
    if dtype == np.uint8:
        return cast(Codes, _look_up((light * np.float32(65535) + np.float32(0.5)).astype(np.uint16), _code_of_light()))
    return quantize(_encode_light(light), dtype)


def _nudge(codes: Codes, fy: Float, ab: Float) -> Codes:
    """Codes near ``ab`` whose lightness is the gray's; ``(n,)``, ``(n,)``, ``(n, 2)`` -> ``(n, 3)``.

    The nearest of 125 neighbors that keeps the gray; where none does, chroma is halved and the search repeated; the
    gray itself always does.
    """
    out = np.repeat(codes[:, None], 3, axis=1)
    offsets = np.array(sorted(product(range(-2, 3), repeat=3), key=lambda o: sum(x * x for x in o)))
    low, high = _luminance_bounds(codes.dtype)
    top = np.iinfo(codes.dtype).max
    left = np.arange(codes.size)
    for _ in range(8):
        light = np.clip(_light_of(fy[left], ab[left]), 0, 1)
        near = np.clip(_round(light, codes.dtype)[:, None, :].astype(np.int64) + offsets, 0, top).astype(codes.dtype)
        y = _luminance(cast(Codes, near))
        keeps = (y >= low[codes[left], None]) & (y <= high[codes[left], None])
        found = keeps.any(axis=1)
        out[left[found]] = near[found, keeps.argmax(axis=1)[found]]
        left, ab = left[~found], ab / 2
        if not left.size:
            break
    return cast(Codes, out)
