"""Pictures in and out: one reader, one writer, nothing of a scan lost on the way.

:func:`read` gives a :class:`Picture`: gray ``(H, W)`` or sRGB ``(H, W, 3)`` at the depth of the file, upright,
with everything that travels beside the pixels. :func:`write` puts one under its final name only when it is whole.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
import struct
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
import pyvips
from numpy.typing import NDArray

from colorcapsnet import exif, heic
from colorcapsnet.errors import ColorCapsNetError, OutputError, PictureError, TooLarge, need

if TYPE_CHECKING:
    import PIL.Image

Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]

MAX_PIXELS = 500_000_000
FORMATS = {
    "jpg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "png": (".png",),
    "tiff": (".tif", ".tiff"),
    "webp": (".webp",),
    "avif": (".avif",),
}
"""What :func:`write` writes, with the suffixes of each, the usual one first."""
_ONLY_READ = {".gif": "gif", ".heic": "heic", ".heif": "heic"}
SUFFIXES = {suffix: name for name, suffixes in FORMATS.items() for suffix in suffixes} | _ONLY_READ
"""Suffix in lower case -> format, for all that :func:`read` reads. It goes by content, a folder walk by suffix."""

_LOADERS = {"jpg": "jpeg", "png": "png", "tiff": "tiff", "webp": "webp", "avif": "heif", "gif": "gif"}
_TIFF = {"compression": "deflate"}
_LARGEST_TIFF = 3_500_000_000  # bytes, beyond which it is a BigTIFF
_LARGEST_SIDE = {"jpg": 65_500, "webp": 16_383, "avif": 16_384}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_ICC_SPACES = {b"GRAY": 1, b"RGB ": 3, b"CMYK": 4}
_COLORS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3, "rgb": 3, "cmyk": 4}
_PNG_RESOLUTION_UNKNOWN = 2.834
_KEEP_ALL, _KEEP_ALL_BUT_EXIF = 63, 62


@dataclass(frozen=True)
class Metadata:
    """What travels beside the pixels.

    Attributes:
        icc: the profile of the pixels as they are now, always sRGB or a gray with the sRGB curve; None if the
            file had none.
        exif: as in a JPEG file (``Exif\\0\\0`` and a TIFF structure), orientation 1 because it was applied.
        xmp: an XMP packet.
        iptc: as a JPEG file holds it; it goes from JPEG to JPEG only.
        dpi: pixels per inch, across and down; None if the file does not say.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, upright, in sRGB or in gray with the sRGB curve.

    Attributes:
        array: ``(H, W)`` gray or ``(H, W, 3)`` sRGB, uint8 or uint16.
        alpha: ``(H, W)`` opacity of the same type, or None.
        metadata: what travels beside the pixels.
        name: where it came from, for messages.
        format: the format that it was read from (a key of :data:`FORMATS`, ``"gif"`` or ``"heic"``).
        pages: how many pages or frames the file has.
        page: which of them this is, from 0.

    Raises:
        PictureError: the arrays are not of these kinds, or have no pixels.
    """

    array: Pixels
    alpha: Pixels | None = None
    metadata: Metadata = field(default_factory=Metadata)
    name: str = "picture"
    format: str | None = None
    pages: int = 1
    page: int = 0

    def __post_init__(self) -> None:
        shape, kind = self.array.shape, self.array.dtype
        if kind not in (np.uint8, np.uint16):
            raise PictureError(f"{self.name} holds {kind}, not uint8 or uint16: scale and round it to one of these")
        if not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)):
            raise PictureError(f"{self.name} has shape {shape}: give (height, width) or (height, width, 3)")
        if self.array.size == 0:
            raise PictureError(f"{self.name} has no pixels (shape {shape}): give a picture of at least 1×1")
        if self.alpha is not None and (self.alpha.shape != shape[:2] or self.alpha.dtype != kind):
            raise PictureError(
                f"{self.name} has alpha {self.alpha.shape} {self.alpha.dtype}, not {shape[:2]} {kind} as its pixels"
            )

    @classmethod
    def from_array(cls, array: NDArray[Any], name: str = "array") -> Picture:
        """Take ``(H, W)``, ``(H, W, 1)``, or gray + alpha, sRGB, sRGB + alpha as ``(H, W, 2)`` to ``(H, W, 4)``.

        Raises:
            PictureError: another shape, another type than uint8 and uint16, or no pixels.
        """
        return cls(*_split(array), name=name)

    @classmethod
    def from_pil(cls, image: PIL.Image.Image, name: str = "image") -> Picture:
        """Take a PIL image: orientation, profile, EXIF, XMP and dpi as :func:`read` does.

        Raises:
            PictureError: a mode without a display meaning (``F``; ``I`` beyond 16 bits), or no pixels.
        """
        return _from_pil(image, name)

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.array.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.array.shape[1])

    @property
    def gray(self) -> Pixels:
        """``(H, W)`` of the same type: Rec.601, 0.299 R + 0.587 G + 0.114 B rounded; ``array`` if it is gray."""
        from colorcapsnet.color import gray

        return gray(self.array)

    def with_color(self, rgb: Pixels) -> Picture:
        """This picture with other pixels: alpha and metadata come along, a gray profile becomes sRGB's.

        Args:
            rgb: ``(H, W, 3)`` sRGB of the same size and type.

        Raises:
            PictureError: another size or type.
        """
        if rgb.shape != (self.height, self.width, 3) or rgb.dtype != self.array.dtype:
            expected = f"{(self.height, self.width, 3)} {self.array.dtype}"
            raise PictureError(f"the colors of {self.name} are {rgb.shape} {rgb.dtype}: give {expected}")
        gray_profile = self.metadata.icc is not None and _icc_bands(self.metadata.icc) == 1
        icc = _srgb_profile() if gray_profile else self.metadata.icc
        metadata = replace(self.metadata, icc=icc, exif=exif.without_thumbnail(self.metadata.exif))
        return replace(self, array=rgb, metadata=metadata)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,
        quality: int = 95,
        lossless: bool = False,
        overwrite: bool = False,
    ) -> None:
        """:func:`write` this picture."""
        write(self, path, format=format, quality=quality, lossless=lossless, overwrite=overwrite)

    def pil(self) -> PIL.Image.Image:
        """A PIL image (``L``, ``LA``, ``RGB``, ``RGBA``; gray of 16 bits without alpha ``I;16``).

        PIL has no other kinds of 16 bits: those are rounded to 8. Profile, EXIF, XMP and dpi are in ``info``.
        """
        import PIL.Image

        if self.array.dtype == np.uint16 and (self.array.ndim == 3 or self.alpha is not None):
            return _eight_bits(self).pil()
        planes = self.array if self.alpha is None else np.dstack([self.array, self.alpha])
        image = PIL.Image.fromarray(planes)
        carried = self.metadata
        known = {"icc_profile": carried.icc, "exif": carried.exif, "xmp": carried.xmp, "dpi": carried.dpi}
        image.info.update({key: value for key, value in known.items() if value is not None})
        return image


def read(source: str | os.PathLike[str] | bytes | BinaryIO, *, page: int = 0, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a JPEG, PNG, TIFF, WebP, AVIF, HEIC or GIF picture; the content decides, not the name.

    The depth of the file is kept. Orientation is applied. Palettes and 1-bit pictures are expanded. Pixels with a
    profile other than sRGB (Adobe RGB, a gray gamma, CMYK) are converted to sRGB at their depth, relative
    colorimetric, and carry an sRGB profile from then on (gray none); CMYK without a profile is taken for the
    usual coated print. Pixels in sRGB or without a profile come through untouched. AVIF and HEIC of 10 and 12 bits
    become 16, black and white where they were; HEIC needs the extra ``[heif]``.

    Args:
        source: a path, the bytes of a file, or an open binary file, which is read to its end.
        page: which page or frame, from 0.
        max_pixels: refuse larger pictures before anything is decoded (a decompression bomb is a tiny file).

    Raises:
        MissingExtra: a HEIC picture, and what reads it is not installed.
        TooLarge: more pixels than ``max_pixels``.
        PictureError: missing, unreadable, empty, damaged or cut short, no picture, without this page, or with
            samples that have no display meaning (float, 32-bit, complex, many bands).
    """
    if isinstance(source, str | os.PathLike):
        with _open(Path(source)) as file:
            vips = pyvips.Source.new_from_descriptor(file.fileno())
            return _decode(vips, file, str(source), page, max_pixels)
    data = source if isinstance(source, bytes) else source.read()
    name = "the given picture" if isinstance(source, bytes) else str(getattr(source, "name", "the given picture"))
    if not data:
        raise PictureError(f"{name} is empty: give a whole picture")
    return _decode(pyvips.Source.new_from_memory(data), io.BytesIO(data), name, page, max_pixels)


def read_pages(source: str | os.PathLike[str] | bytes) -> Iterator[Picture]:
    """Every page of a TIFF file, read when it is its turn; of any other file the picture that :func:`read` gives.

    Raises:
        MissingExtra, PictureError: as :func:`read`; of a page behind the first, the message names it, from 1.
    """
    picture = read(source)
    pages = picture.pages if picture.format == "tiff" else 1
    yield picture
    del picture
    for page in range(1, pages):
        try:
            picture = read(source, page=page)
        except PictureError as problem:
            raise PictureError(f"{problem} (page {page + 1} of {pages})") from problem
        yield picture
        del picture


def page_count(source: str | os.PathLike[str] | bytes) -> int:
    """How many pictures :func:`read_pages` gives, by the head of the file.

    Raises:
        PictureError: it cannot be opened, or is damaged.
    """
    head = _head(source, ("tiff",))
    return 1 if head is None else int(_field(head, "n-pages", 1))


def pixel_count(source: str | os.PathLike[str] | bytes) -> int:
    """How many pixels :func:`read` gives, by the head of the file; 0 where that does not tell (HEIC, no picture).

    Raises:
        PictureError: it cannot be opened, or is damaged.
    """
    head = _head(source, _LOADERS)
    return 0 if head is None else int(head.width) * int(head.height)


def write(
    picture: Picture,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    quality: int = 95,
    lossless: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a picture under a name that stands for the whole picture or for nothing.

    It grows in a temporary file of the same folder, is flushed to the disk and then named. PNG and TIFF keep every
    bit. JPEG (4:4:4) and WebP hold 8 bits: 16-bit pixels are rounded, ``(v + 128) // 257``. AVIF (4:4:4) holds 12
    bits of 16.

    Args:
        picture: what to write.
        path: where to; its suffix names the format.
        format: a key of :data:`FORMATS` where the suffix shall not decide.
        quality: 1 to 100, of JPEG, lossy WebP and lossy AVIF.
        lossless: WebP and AVIF without loss.
        overwrite: replace what stands there.

    Raises:
        OutputError: something stands there, the folder is missing or may not be written, the disk is full, the
            format is unknown or cannot hold the picture (transparency in JPEG, 16 bits in lossless WebP or AVIF,
            sides beyond 65,500 in JPEG, 16,383 in WebP and 16,384 in AVIF).
    """
    write_pages([picture], path, format=format, quality=quality, lossless=lossless, overwrite=overwrite)


def write_pages(
    pages: Iterable[Picture],
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    quality: int = 95,
    lossless: bool = False,
    overwrite: bool = False,
) -> int:
    """:func:`write` pictures as the pages of one TIFF file, each taken when the last is written; else the first only.

    Pages may differ in size, depth and metadata.

    Args:
        pages: at least one.

    Returns:
        How many pages the file has.

    Raises:
        OutputError: as :func:`write`; or several pages of a TIFF are larger than 4 GB.
    """
    path, pages = Path(path), iter(pages)
    format, first = _format_of(path, format), next(pages)
    _holds(first, path, format, quality, lossless)
    with placed(path, overwrite) as descriptor:
        _save(first, pyvips.Target.new_to_descriptor(descriptor), path.name, format, quality, lossless)
        if format != "tiff":
            return 1
        with os.fdopen(descriptor, "r+b", closefd=False) as file:
            return _completed(file, first, pages, path.name)


def encode(picture: Picture, format: str, *, quality: int = 95, lossless: bool = False) -> bytes:
    """The bytes that :func:`write` would write.

    Raises:
        OutputError: as :func:`write`.
    """
    return encode_pages([picture], format, quality=quality, lossless=lossless)


def encode_pages(pages: Iterable[Picture], format: str, *, quality: int = 95, lossless: bool = False) -> bytes:
    """The bytes that :func:`write_pages` would write.

    Raises:
        OutputError: as :func:`write_pages`.
    """
    pages = iter(pages)
    first = next(pages)
    format = _format_of(Path(first.name), format)
    _holds(first, Path(first.name), format, quality, lossless)
    target = pyvips.Target.new_to_memory()
    _save(first, target, first.name, format, quality, lossless)
    file = io.BytesIO(target.get("blob"))
    if format == "tiff":
        _completed(file, first, pages, first.name)
    return file.getvalue()


def write_floats(
    array: NDArray[np.float32], metadata: Metadata, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write ``(H, W, bands)`` float32 that is no picture (a and b of CIE Lab), as TIFF.

    Raises:
        OutputError: the name does not end as a TIFF's, or as :func:`write`.
    """
    path = Path(path)
    if _format_of(path, None) != "tiff":
        raise OutputError(f"{path} cannot hold numbers with a fraction: write tiff")
    height, width, bands = array.shape
    samples = np.ascontiguousarray(array)
    image = pyvips.Image.new_from_memory(samples.data, width, height, bands, "float").copy(interpretation="multiband")
    options = {**_TIFF, "predictor": "none", "bigtiff": array.nbytes > _LARGEST_TIFF}
    with placed(path, overwrite) as descriptor:
        _put(image, metadata, pyvips.Target.new_to_descriptor(descriptor), path.name, "tiff", options)
        with os.fdopen(descriptor, "r+b", closefd=False) as file:
            exif.without_alpha(file)
            if metadata.exif is not None:
                exif.into_tiff(file, metadata.exif)


# Reading


@contextlib.contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PictureError(f"{path} is a folder, not a picture: give a file")
        if not stat.S_ISREG(status.st_mode):
            raise PictureError(f"{path} is not a regular file: read it and give the bytes")
        if status.st_size == 0:
            raise PictureError(f"{path} is empty: get another copy of the file")
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        raise PictureError(f"{path} does not exist: check the name") from None
    except PermissionError:
        raise PictureError(f"{path} may not be read: give yourself the permission") from None
    except (OSError, ValueError) as problem:
        raise PictureError(f"{path} cannot be opened ({_reason(problem)}): check the name") from None
    with file:
        yield file


def _reason(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or str(problem)


def _sniff(head: bytes) -> str | None:
    if head.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "tiff"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        brands = {head[at : at + 4] for at in range(8, min(len(head), int.from_bytes(head[:4], "big")), 4)}
        return "avif" if brands & _AVIF_BRANDS else "heic" if brands & _HEIC_BRANDS else None
    return "gif" if head.startswith((b"GIF87a", b"GIF89a")) else None


def _head(source: str | os.PathLike[str] | bytes, formats: Container[str | None]) -> pyvips.Image | None:
    """The first page before its pixels are decoded; None if it is of no such format."""
    with io.BytesIO(source) if isinstance(source, bytes) else _open(Path(source)) as file:
        format = _sniff(file.read(64))
        if format is None or format not in formats:
            return None
        vips = pyvips.Source.new_from_memory(source) if isinstance(source, bytes) else None
        try:
            return _header(vips or pyvips.Source.new_from_descriptor(file.fileno()), format, 0)
        except pyvips.Error as problem:
            raise _refusal(problem, "the given picture" if vips else str(source), format) from problem


def _decode(source: pyvips.Source, file: BinaryIO, name: str, page: int, max_pixels: int) -> Picture:
    format = _sniff(file.read(64))
    file.seek(0)
    if format is None:
        known = "JPEG, PNG, TIFF, WebP, AVIF, HEIC or GIF"
        raise PictureError(f"{name} is not a {known} picture: convert it to one of these")
    if format == "heic":
        return _decode_heic(file, name, page, max_pixels)
    try:
        image = _header(source, format, 0)
        pages = _field(image, "n-pages", 1)
        _refuse_missing(page, pages, name)
        if page > 0:
            image = _header(source, format, page)
        _refuse_large(image.width, image.height, max_pixels, name)
        picture = _from_vips(image, name, format)
    except (pyvips.Error, UnicodeDecodeError, MemoryError) as problem:
        raise _refusal(problem, name, format) from problem
    if format == "tiff":
        metadata = replace(picture.metadata, exif=exif.from_tiff(file, page))
        picture = replace(picture, metadata=metadata)
    return replace(picture, pages=pages, page=page)


def _decode_heic(file: BinaryIO, name: str, page: int, max_pixels: int) -> Picture:
    need("pi_heif", "heif")
    try:
        decoded = heic.decode(file.read(), page, max_pixels)
        _refuse_missing(page, decoded.pages, name)
        _refuse_large(decoded.width, decoded.height, max_pixels, name)
        kind = np.uint8 if decoded.bits <= 8 else np.uint16
        planes = np.frombuffer(decoded.samples, kind).reshape(decoded.height, decoded.width, -1)
    except (ValueError, OSError, MemoryError) as problem:
        raise _refusal(problem, name, "heic") from problem
    vips = _to_vips(planes).copy()
    if decoded.premultiplied:
        vips = vips.unpremultiply().rint().cast(vips.format)
    vips.set_type(pyvips.GValue.gint_type, "bits-per-sample", decoded.bits)
    if decoded.icc:
        vips.set_type(pyvips.GValue.blob_type, "icc-profile-data", decoded.icc)
    picture = _from_vips(vips, name, "heic")
    about, dpi = exif.upright(decoded.exif), _plausible(exif.dpi(decoded.exif))
    metadata = Metadata(picture.metadata.icc, about, decoded.xmp, dpi=dpi)
    return replace(picture, metadata=metadata, pages=decoded.pages, page=page)


def _refusal(problem: Exception, name: str, format: str) -> PictureError:
    if isinstance(problem, MemoryError) or "out of memory" in str(problem):
        return PictureError(f"{name} needs more memory than there is: make it smaller")
    return PictureError(f"{name} is damaged, cut short, or of an unusual kind ({format}): get another copy of the file")


def _refuse_missing(page: int, pages: int, name: str) -> None:
    if not 0 <= page < pages:
        raise PictureError(f"{name} has no page {page}: it has {pages}, counted from 0")


def _refuse_large(width: int, height: int, max_pixels: int, name: str) -> None:
    if width * height > max_pixels:
        raise TooLarge(
            f"{name} has {width}×{height} pixels, over the limit of {max_pixels:,}: "
            "make it smaller, or read it in Python with a larger max_pixels"
        )


def _header(source: pyvips.Source, format: str, page: int) -> pyvips.Image:
    """The picture before its pixels are decoded, of AVIF without a page the primary one.

    ``unlimited``: else libtiff refuses long strips.
    """
    options: dict[str, Any] = {} if format in ("jpg", "png") or (format == "avif" and page == 0) else {"page": page}
    if format == "tiff":
        options["unlimited"] = True
    return pyvips.Operation.call(
        f"{_LOADERS[format]}load_source", source, access="sequential", fail_on="error", **options
    )


def _from_vips(image: pyvips.Image, name: str, format: str | None) -> Picture:
    if image.format not in ("uchar", "ushort"):
        raise PictureError(f"{name} holds {image.format} samples: convert it to 8 or 16 bits first")
    colors = _COLORS.get(image.interpretation, 0)
    if colors == 0 or image.bands - colors not in (0, 1):
        raise PictureError(
            f"{name} has {image.bands} channels ({image.interpretation}): "
            "convert it to gray, RGB or CMYK, with or without alpha"
        )
    metadata = _metadata(image)
    orientation = _field(image, "orientation", 1)
    planes = image.numpy().reshape(image.height, image.width, image.bands)
    if format in ("avif", "heic") and image.format == "ushort":
        planes = planes | planes >> _field(image, "bits-per-sample", 16)
    array, alpha = _upright(planes[..., :colors], orientation), None
    if planes.shape[2] > colors:
        alpha = _upright(planes[..., colors], orientation)
    del planes
    array, icc = _into_srgb(array, metadata.icc)
    return Picture(array, alpha, replace(metadata, icc=icc), name, format)


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation (EXIF 2.32, tag 0x0112), 1 to 8; anything else is taken for 1."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _field(image: pyvips.Image, name: str, default: Any = None) -> Any:  # noqa: ANN401
    """A header field. Not by ``get_fields``, which stumbles over names that are not UTF-8 (PNG comments)."""
    return image.get(name) if image.get_typeof(name) else default


def _metadata(image: pyvips.Image) -> Metadata:
    loader = _field(image, "vips-loader", "")
    embedded = _field(image, "exif-data")
    if loader.startswith(("webp", "heif")):
        dpi = exif.dpi(embedded)
    elif _field(image, "resolution-unit") or (loader.startswith("png") and image.xres != _PNG_RESOLUTION_UNKNOWN):
        dpi = (round(image.xres * 25.4, 2), round(image.yres * 25.4, 2))
    else:
        dpi = None
    return Metadata(
        icc=_field(image, "icc-profile-data"),
        exif=exif.upright(embedded),
        xmp=_field(image, "xmp-data"),
        iptc=_field(image, "iptc-data") if loader.startswith("jpeg") else None,
        dpi=_plausible(dpi),
    )


def _plausible(dpi: tuple[float, float] | None) -> tuple[float, float] | None:
    """A resolution that something can have, else None: damaged files hold zeros and billions."""
    return dpi if dpi is not None and all(1 <= value <= 100_000 for value in dpi) else None


# Color management


def _icc_bands(profile: bytes) -> int:
    """How many bands a profile is for, by its header (ICC.1, bytes 16 to 19); 0 if it is none we know."""
    return _ICC_SPACES.get(profile[16:20], 0)


def _srgb_profile() -> bytes:
    return bytes(pyvips.Operation.call("profile_load", "srgb"))


def _into_srgb(array: NDArray[Any], profile: bytes | None) -> tuple[Pixels, bytes | None]:
    """``(H, W, 1 | 3 | 4)`` gray, RGB or CMYK -> gray ``(H, W)`` or sRGB, and the profile that fits it."""
    bands = array.shape[2]
    if profile is not None and _icc_bands(profile) != bands:
        profile = None
    if bands == 4:
        return _through(profile, array), _srgb_profile()
    if bands == 1:
        array = array[..., 0]
    if profile is None:
        return array, None
    try:
        return _gray_by_profile(array, profile) if bands == 1 else _rgb_by_profile(array, profile)
    except pyvips.Error:
        return array, None


def _through(profile: bytes | None, colors: NDArray[Any]) -> Pixels:
    """``(H, W, bands)`` colors of ``profile`` (None: usual CMYK) -> ``(H, W, 3)`` sRGB, by strips of rows.

    Relative colorimetric. Strips of plain memory: vips keeps hold of what enters a conversion, files included.
    """
    out = np.empty((*colors.shape[:2], 3), colors.dtype)
    rows = max(1, 2**20 // colors.shape[1])
    options = {"input_profile": "cmyk"} if profile is None else {"embedded": True}
    for top in range(0, len(colors), rows):
        strip = _to_vips(colors[top : top + rows])
        if colors.shape[2] == 4:
            strip = strip.copy(interpretation="cmyk")
        if profile is not None:
            strip.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
        depth = 16 if colors.dtype == np.uint16 else 8
        out[top : top + rows] = strip.icc_transform("srgb", depth=depth, **options).numpy()
    return out


def _gray_by_profile(array: Pixels, profile: bytes) -> tuple[Pixels, bytes | None]:
    ramp = np.arange(np.iinfo(array.dtype).max + 1, dtype=array.dtype)
    curve = _through(profile, ramp[None, :, None])[0, :, 1]
    return (array, profile) if _close(curve, ramp) else (curve[array], None)


def _rgb_by_profile(array: Pixels, profile: bytes) -> tuple[Pixels, bytes | None]:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    if _close(_through(profile, lattice), lattice):
        return array, profile
    return _through(profile, array), _srgb_profile()


def _close(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Equal within one code of 8 bits: what sRGB profiles of different makers differ by."""
    tolerance = 257 if a.dtype == np.uint16 else 1
    return bool(np.abs(a.astype(np.int32) - b.astype(np.int32)).max() <= tolerance)


# PIL


def _from_pil(image: PIL.Image.Image, name: str) -> Picture:
    try:
        vips = _to_vips(_planes_of_pil(image, name)).copy()
    except (OSError, ValueError) as problem:
        raise PictureError(f"{name} cannot be read by PIL ({_reason(problem)}): give another picture") from problem
    if image.mode == "CMYK":
        vips = vips.copy(interpretation="cmyk")
    vips.set_type(pyvips.GValue.gint_type, "orientation", image.getexif().get(0x0112, 1))
    info = image.info
    if info.get("icc_profile"):
        vips.set_type(pyvips.GValue.blob_type, "icc-profile-data", info["icc_profile"])
    picture = _from_vips(vips, name, None)
    metadata = Metadata(
        picture.metadata.icc, exif.upright(info.get("exif")), info.get("xmp"), dpi=_plausible(info.get("dpi"))
    )
    return replace(picture, metadata=metadata)


def _planes_of_pil(image: PIL.Image.Image, name: str) -> NDArray[Any]:
    if image.width == 0 or image.height == 0:
        raise PictureError(f"{name} has no pixels ({image.width}×{image.height}): give a picture of at least 1×1")
    if image.mode == "F" or (image.mode == "I" and not _within_16_bits(image)):
        raise PictureError(f"{name} is a PIL image of mode {image.mode}: scale it to 8 or 16 bits first")
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return np.asarray(image)
    colors = "L" if image.mode in ("1", "La") else "RGB"
    transparent = "transparency" in image.info or image.mode in ("PA", "La", "RGBa")
    return np.asarray(image.convert(f"{colors}A" if transparent else colors))


def _within_16_bits(image: PIL.Image.Image) -> bool:
    values = np.asarray(image)
    return bool(values.min() >= 0 and values.max() <= 65535)


# Writing


def _format_of(path: Path, format: str | None) -> str:
    known = ", ".join(FORMATS)
    if format is None:
        format = SUFFIXES.get(path.suffix.lower())
        if format not in FORMATS:
            raise OutputError(f"{path} does not say a format that can be written: end it in one of {known}")
        return format
    format = {"jpeg": "jpg", "tif": "tiff"}.get(format.lower(), format.lower())
    if format not in FORMATS:
        raise OutputError(f"the format {format} cannot be written: choose one of {known}")
    return format


def _holds(picture: Picture, path: Path, format: str, quality: int, lossless: bool) -> None:
    """Refuse what the format cannot hold."""
    if not 1 <= quality <= 100:
        raise OutputError(f"{path} cannot be written with quality {quality}: choose 1 to 100")
    side = _LARGEST_SIDE.get(format)
    if side is not None and max(picture.height, picture.width) > side:
        size = f"{picture.width}×{picture.height}"
        raise OutputError(f"{path} cannot hold {size} pixels, {format} ends at {side:,} a side: write png or tiff")
    if format == "jpg" and picture.alpha is not None and not _opaque(picture):
        raise OutputError(f"{path} cannot hold the transparent parts of the picture: write png, tiff, webp or avif")
    if format in ("webp", "avif") and lossless and picture.array.dtype == np.uint16:
        raise OutputError(f"{path} cannot hold 16 bits without loss: write png or tiff")


def _opaque(picture: Picture) -> bool:
    return picture.alpha is None or bool(picture.alpha.min() == np.iinfo(picture.alpha.dtype).max)


def _split(planes: NDArray[Any]) -> tuple[Pixels, Pixels | None]:
    if planes.ndim != 3 or planes.shape[2] not in (1, 2, 4):
        return np.ascontiguousarray(planes), None
    colors = planes[..., 0] if planes.shape[2] < 3 else planes[..., :3]
    alpha = None if planes.shape[2] == 1 else np.ascontiguousarray(planes[..., -1])
    return np.ascontiguousarray(colors), alpha


def _eight_bits(picture: Picture) -> Picture:
    from colorcapsnet.color import eight_bits

    alpha = None if picture.alpha is None else eight_bits(picture.alpha)
    return replace(picture, array=eight_bits(picture.array), alpha=alpha)


def _to_vips(array: NDArray[Any]) -> pyvips.Image:
    """A vips image over the memory of ``array``, not a copy."""
    array = np.ascontiguousarray(array)
    height, width = array.shape[:2]
    bands = 1 if array.ndim == 2 else array.shape[2]
    deep = array.dtype == np.uint16
    image = pyvips.Image.new_from_memory(array.data, width, height, bands, "ushort" if deep else "uchar")
    names = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    return image.copy(interpretation=names[bands >= 3])


def _with_metadata(image: pyvips.Image, metadata: Metadata, format: str) -> pyvips.Image:
    dpi = metadata.dpi or (72.0, 72.0)
    image = image.copy(xres=dpi[0] / 25.4, yres=dpi[1] / 25.4)
    colors = image.bands - image.hasalpha()
    blobs = {
        "icc-profile-data": metadata.icc if metadata.icc and _icc_bands(metadata.icc) == colors else None,
        "exif-data": exif.upright(metadata.exif),
        "xmp-data": metadata.xmp,
        "iptc-data": metadata.iptc if format == "jpg" else None,
    }
    for key, value in blobs.items():
        if value is not None:
            image.set_type(pyvips.GValue.blob_type, key, value)
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    if metadata.dpi is not None:
        image.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")
    return image


def _save(picture: Picture, target: pyvips.Target, name: str, format: str, quality: int, lossless: bool) -> None:
    if picture.array.dtype == np.uint16 and format in ("jpg", "webp"):
        picture = _eight_bits(picture)
    image = _to_vips(picture.array)
    if picture.alpha is not None and format != "jpg":
        image = image.bandjoin(_to_vips(picture.alpha))
    if picture.array.dtype == np.uint16 and format == "avif":
        image = (image.linear(4095 / 65535, 0.5).cast("ushort") << 4).copy(interpretation=image.interpretation)
    options: dict[str, dict[str, Any]] = {
        "jpg": {"Q": quality, "subsample_mode": "off"},
        "png": {"compression": 4, "filter": "paeth"},
        "tiff": {**_TIFF, "predictor": "horizontal", "bigtiff": picture.array.nbytes > _LARGEST_TIFF},
        "webp": {"Q": quality, "lossless": lossless, "exact": lossless},
        "avif": {
            "compression": "av1",
            "bitdepth": 12 if picture.array.dtype == np.uint16 else 8,
            "Q": quality,
            "lossless": lossless,
            "subsample_mode": "off",
            "effort": 0,
        },
    }
    _put(image, picture.metadata, target, name, format, options[format])


def _completed(file: BinaryIO, first: Picture, others: Iterator[Picture], name: str) -> int:
    """Add to a TIFF what vips does not write, the tags of EXIF and other pages, and count the pages."""
    if first.metadata.exif is not None:
        exif.into_tiff(file, first.metadata.exif)
    del first
    count = 1
    for count, page in enumerate(others, 2):  # noqa: B007
        try:
            exif.append_page(file, encode(page, "tiff"))
        except struct.error:
            raise OutputError(f"{name} would be larger than the 4 GB of a TIFF: color fewer pages a file") from None
        del page
    return count


def _put(
    image: pyvips.Image, metadata: Metadata, target: pyvips.Target, name: str, format: str, options: dict[str, Any]
) -> None:
    unwritten = metadata.exif is None and metadata.dpi is None
    keep = _KEEP_ALL_BUT_EXIF if unwritten else _KEEP_ALL
    image = _with_metadata(image, metadata, format)
    try:
        pyvips.Operation.call(f"{_LOADERS[format]}save_target", image, target, keep=keep, **options)
    except pyvips.Error as problem:
        raise OutputError(f"{name} cannot be written as {format} ({_short(problem)})") from problem


def _short(problem: pyvips.Error) -> str:
    return " ".join(str(problem).split())[:160]


@contextlib.contextmanager
def placed(path: Path, overwrite: bool) -> Iterator[int]:
    """A descriptor of a temporary file that takes the name ``path`` if the block ends well."""
    temporary = path.parent / f".colorcapsnet-{secrets.token_hex(8)}.tmp"
    try:
        if not overwrite and os.path.lexists(path):
            raise FileExistsError
        if path.is_dir():
            raise OutputError(f"{path} is a folder: give the name of a file")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            try:
                yield descriptor
                os.fsync(descriptor)
            except OutputError:
                _ask_the_system(descriptor)
                raise
            finally:
                os.close(descriptor)
            (Path.replace if overwrite else _link)(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except ColorCapsNetError:
        raise
    except FileExistsError:
        raise OutputError(f"{path} is there already: choose another name, or overwrite it") from None
    except FileNotFoundError:
        raise OutputError(f"{path} cannot be written: the folder {path.parent} does not exist") from None
    except (OSError, ValueError) as problem:
        raise OutputError(f"{path} cannot be written ({_reason(problem)}): choose another place") from None


def _ask_the_system(descriptor: int) -> None:
    """Raise the OSError, if there is one, that vips met and does not name: a full disk, a quota."""
    os.lseek(descriptor, 0, os.SEEK_END)
    for _ in range(2):
        os.write(descriptor, bytes(2**16))


def _link(temporary: Path, path: Path) -> None:
    """Give the file its name unless another has it, in one step; where links do not exist, in two."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        temporary.replace(path)
