"""Proof that coloring left a photograph's lightness alone.

Formats without loss must give back every gray code of the input from the CIE L of the output. JPEG, lossy WebP and
lossy AVIF keep no code exactly: there the output may be off by what writing the gray picture alone in the same way is
off by, and a little more, because rounded chroma moves L as well (``SLACK``, ``STRETCH``).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
import PIL.Image

from colorcapsnet import batch, color, pictures
from colorcapsnet.errors import PictureError
from colorcapsnet.pictures import Picture

SLACK, STRETCH = 0.5, 2.0
"""In L, of both differences, and a factor, of the largest one: honest files of seven samples need 0.09 and 2.0."""
QUALITY = 95  # what lossy WebP and AVIF are taken to be written with, because the file does not say


@dataclass(frozen=True)
class Verdict:
    """What a comparison found.

    Attributes:
        kept: whether lightness is the input's.
        mean: difference of L, over pixels.
        largest: difference of L.
        message: one line.
    """

    kept: bool
    mean: float
    largest: float
    message: str


def verify(source: Path, output: Path) -> Verdict:
    """Compare the lightness of a colored picture with the gray that it was made from (Rec.601, if that was in color).

    Every page of a TIFF is compared, and the first with an output of one page that is no TIFF.

    Raises:
        PictureError: one cannot be read.
    """
    befores, afters = pictures.read_pages(source), pictures.read_pages(output)
    before, after = next(befores), next(afters)
    here, there = (picture.pages if picture.format == "tiff" else 1 for picture in (before, after))
    if here != there and after.format == "tiff":
        return Verdict(False, float("inf"), float("inf"), f"{output} has {there} of the {here} pages of {source}")
    found = _compared(before, after, output)
    if there == 1:
        return replace(found, message=f"{found.message} (the first of {here} pages)") if here > 1 else found
    every = [found, *(_compared(*pair, output) for pair in zip(befores, afters, strict=True))]
    mean, largest = max(page.mean for page in every), max(page.largest for page in every)
    for number, page in enumerate(every, 1):
        if not page.kept:
            return Verdict(False, mean, largest, f"{page.message} (page {number} of {there})")
    return Verdict(True, mean, largest, f"{output}: every gray code is kept on all {there} pages")


def _compared(before: Picture, after: Picture, output: Path) -> Verdict:
    if before.array.shape[:2] != after.array.shape[:2]:
        sizes = f"{after.width}×{after.height} instead of {before.width}×{before.height} pixels"
        return Verdict(False, float("inf"), float("inf"), f"{output} is another picture: {sizes}")
    gray = before.gray
    if after.array.dtype == np.uint8:
        gray = color.eight_bits(gray)
    elif gray.dtype == np.uint8:
        gray = (gray.astype(np.uint16) * 257).astype(np.uint16)
    apart = np.abs(_lightness(after) - color.lightness(gray))
    mean, largest = float(apart.mean(dtype=np.float64)), float(apart.max())
    measured = f"L differs by {mean:.3f} in the mean and {largest:.2f} at most"
    if _is_lossy(output, after):
        alone = np.abs(_lightness(_written_alike(output, after, gray)) - color.lightness(gray))
        allowed = float(alone.mean(dtype=np.float64)) + SLACK, float(alone.max()) * STRETCH + SLACK
        kept = mean <= allowed[0] and largest <= allowed[1]
        than = f"{'within' if kept else 'beyond'} {allowed[0]:.3f} and {allowed[1]:.2f}"
        return Verdict(kept, mean, largest, f"{output}: {measured}, {than} of the gray picture written alike")
    if after.array.dtype == np.uint8 and before.array.dtype == np.uint16:
        return Verdict(False, mean, largest, f"{output} has 8 bits and the input 16: {measured}")
    off = np.argwhere(color.gray_of(after.array) != gray) if after.array.ndim == 3 else np.argwhere(after.array != gray)
    if not len(off):
        return Verdict(True, mean, largest, f"{output}: every gray code is kept")
    row, column = off[0]
    share = len(off) / gray.size
    return Verdict(
        False,
        mean,
        largest,
        f"{output}: {share:.2%} of the gray codes changed, the first at {column},{row}; {measured}",
    )


def pairs(
    source: Path, output: Path, *, only: Sequence[str] = (), skip: Sequence[str] = ()
) -> Iterator[tuple[Path, Path]]:
    """Inputs and outputs to compare: two files, or the pictures below a folder and where coloring it put them.

    Args:
        source: file or folder.
        output: what was made of it.
        only: patterns of pictures in the folder that were to be colored, as :func:`batch.plan` takes them.
        skip: patterns of those that were not.

    Raises:
        PictureError: an output is missing, or the folder holds no pictures, or none that match.
    """
    if not source.is_dir():
        yield source, output
        return
    for job in batch.plan([source], output, overwrite=True, only=only, skip=skip):
        before, after = cast("tuple[Path, Path]", (job.source, job.target))
        found = next((path for path in (after, *map(after.with_suffix, pictures.SUFFIXES)) if path.is_file()), None)
        if found is None:
            raise PictureError(f"{after} is missing: color {source} to the end first")
        yield before, found


def _lightness(picture: Picture) -> color.Float:
    return color.lightness(picture.array) if picture.array.ndim == 2 else color.srgb_to_lab(picture.array)[..., 0]


def _is_lossy(path: Path, picture: Picture) -> bool:
    if picture.format == "webp":
        return _webp_chunk(path.read_bytes()) != b"VP8L"
    if picture.format == "avif":
        return not _is_identity(path.read_bytes())
    return picture.format == "jpg"


def _webp_chunk(content: bytes) -> bytes:
    """The name of the chunk that holds the pixels, ``VP8 `` or ``VP8L``."""
    at = 12
    while content[at : at + 4] not in (b"VP8 ", b"VP8L", b""):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return content[at : at + 4]


def _is_identity(content: bytes) -> bool:
    """Whether AVIF holds RGB itself (matrix 0 of ITU-T H.273), not luma and chroma: only without loss is it written so.

    By the reduced sequence header of still pictures (AV1 Bitstream Specification, 5.5); without one, it is not.
    """
    at = content.find(b"mdat") + 4
    while at + 1 < len(content) and content[at] >> 3 & 15 != 1:
        at += 2 + content[at + 1]
    bits = iter("".join(f"{byte:08b}" for byte in content[at + 2 : at + 258]))

    def take(count: int) -> int:
        return int("0" + "".join(islice(bits, count)), 2)

    profile, still, _ = take(3), take(2), take(5)
    sides = take(4), take(4)
    take(sum(sides) + 2 + 6)
    deep = take(1)
    take((profile == 2 and deep) + (profile != 1))
    return still == 3 and bool(take(1)) and take(24) & 255 == 0


def _written_alike(output: Path, after: Picture, gray: pictures.Pixels) -> Picture:
    """The gray picture, written as the output was: with its very tables, if it is a JPEG."""
    if after.format != "jpg":
        return pictures.read(pictures.encode(Picture(gray), str(after.format), quality=QUALITY))
    content = io.BytesIO()
    with PIL.Image.open(output) as image:
        tables = image.quantization  # type: ignore[attr-defined]
    PIL.Image.fromarray(np.dstack([gray] * 3)).save(content, "JPEG", qtables=tables, subsampling=0)
    return pictures.read(content.getvalue())
