"""The color alone, for editors and programs: a layer of 16 bits to lay over the photograph, or a and b of CIE Lab.

In "Linear Light", which GIMP, Photoshop and Krita have, each channel becomes ``photograph + 2 · layer - 1``, so a layer
of ``(1 + colored - photograph) / 2`` over a photograph, gray or not, is the colored picture.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from colorcapsnet import color, pictures
from colorcapsnet.errors import OutputError, PictureError
from colorcapsnet.pictures import SUFFIXES, Metadata, Picture
from colorcapsnet.remote import Place, is_folder

_TOP = 65535
_ROWS = 256  # worked on at once


@dataclass(frozen=True, eq=False)
class Chroma:
    """Colors without lightness, at full size.

    Attributes:
        array: ``(H, W, 2)`` float32, a and b of CIE Lab (D65, 2 degree observer).
        metadata: of the photograph, but for its color profile.
    """

    array: NDArray[np.float32]
    metadata: Metadata

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a TIFF of two float32 bands.

        Raises:
            OutputError: the name does not end as a TIFF's, something stands there, or it cannot be written.
        """
        pictures.write_floats(self.array, self.metadata, path, overwrite=overwrite)


def sixteen_bits(picture: Picture) -> Picture:
    """The picture at 16 bits, its codes times 257; itself, if it has 16."""
    if picture.array.dtype == np.uint16:
        return picture
    alpha = None if picture.alpha is None else _deep(picture.alpha)
    return replace(picture, array=_deep(picture.array), alpha=alpha)


def linear_light(photograph: Picture, colored: Picture) -> Picture:
    """What, over ``photograph`` in "Linear Light", gives ``colored``: to 1/65535 in each channel.

    Args:
        photograph: the picture below, gray or not.
        colored: the same in color, best of 16 bits: color :func:`sixteen_bits` of the photograph.

    Returns:
        ``(H, W, 3)`` uint16, 32768 where nothing changes, with the metadata of ``colored``. It is transparent where
        the photograph is wholly so, else opaque, because an editor multiplies the two opacities.

    Raises:
        PictureError: the two are not of one size, or ``colored`` is gray.
    """
    size = photograph.array.shape[:2]
    if colored.array.shape != (*size, 3):
        raise PictureError(f"{colored.name} is {colored.array.shape}, not {(*size, 3)}: give the photograph in color")
    layer = np.empty(colored.array.shape, np.uint16)
    for top in range(0, len(layer), _ROWS):
        rows = slice(top, top + _ROWS)
        below, above = (_deep(each.array[rows]).astype(np.int32) for each in (photograph, colored))
        layer[rows] = (_TOP + 1 + above - (below[..., None] if below.ndim == 2 else below)) // 2
    alpha = None if photograph.alpha is None else np.where(photograph.alpha > 0, np.uint16(_TOP), np.uint16(0))
    return replace(colored, array=layer, alpha=alpha)


def ab(photograph: Picture, colored: Picture) -> Chroma:
    """a and b of ``colored``, as sRGB can show them at the photograph's lightness."""
    chroma = np.empty((*colored.array.shape[:2], 2), np.float32)
    for top in range(0, len(chroma), _ROWS):
        chroma[top : top + _ROWS] = color.srgb_to_lab(colored.array[top : top + _ROWS])[..., 1:]
    return Chroma(chroma, replace(colored.metadata, icc=None))


def _deep(codes: pictures.Pixels) -> NDArray[np.uint16]:
    return codes if codes.dtype == np.uint16 else codes.astype(np.uint16) * np.uint16(257)  # type: ignore[return-value]


FORMS: dict[str, Callable[[Picture, Picture], Picture | Chroma]] = {"layer": linear_light, "ab": ab}
_HOLDS = {"layer": ("png", "tiff"), "ab": ("tiff",)}


def format_of(form: str, output: Place | None, to: str | None) -> str:
    """The format to write: the one that was asked for, by name or by the output's suffix, else the usual one.

    Raises:
        OutputError: it cannot hold this form at its depth.
    """
    named = output is not None and not is_folder(output)
    asked = to or (SUFFIXES.get(output.suffix.lower()) if output is not None and named else None)
    holds = _HOLDS[form]
    if asked is not None and asked not in holds:
        raise OutputError(f"{asked} cannot hold --chroma-only {form} at its full depth: write {' or '.join(holds)}")
    return asked or holds[0]
