"""EXIF: a TIFF structure behind six bytes, in JPEG, PNG and WebP; in TIFF itself, tags among the others.

Values are carried as bytes: nothing is decoded, so nothing is lost to an encoding. Source: Exif 2.32, TIFF 6.0.
"""

from __future__ import annotations

import contextlib
import io
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

_PREFIX = b"Exif\0\0"
_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x0112, 0x011A, 0x011B, 0x0128
_EXTRA_SAMPLES = 0x0152
_DIRECTORIES = (0x8769, 0x8825, 0xA005)
_STRIP_OFFSETS = 0x0111
# NewSubfileType, DocumentName, PageName, PageNumber: what a page is among others.
_AMONG_PAGES = (0x00FE, 0x010D, 0x011D, 0x0129)
# ImageDescription, Make, Model, Software, DateTime, Artist, HostComputer, XP*, Copyright, and the directories.
_ABOUT = (
    *(0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, *range(0x9C9B, 0x9CA0), 0x8298),
    *_AMONG_PAGES,
    *_DIRECTORIES,
)
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_WORDS = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}
_MOST_BYTES = 2**24


@dataclass
class _Directory:
    """Tag -> (type, count, bytes), and tag -> the directory that it points to."""

    fields: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)
    inner: dict[int, _Directory] = field(default_factory=dict)
    following: int = 0


def upright(exif: bytes | None) -> bytes | None:
    """The same EXIF with orientation 1; None if it cannot be read."""
    return _rewritten(exif, _ORIENTATION)


def without_thumbnail(exif: bytes | None) -> bytes | None:
    """The same EXIF with its thumbnail unlinked; None if it cannot be read."""
    return _rewritten(exif, None)


def dpi(exif: bytes | None) -> tuple[float, float] | None:
    """Pixels per inch across and down, or None if EXIF does not say."""
    try:
        order, main = _parsed(exif or b"")
        (unit,) = struct.unpack_from(f"{order}H", main.fields[_RESOLUTION_UNIT][2])
        scale = {2: 1.0, 3: 2.54}[unit]
        across, down = (struct.unpack(f"{order}II", main.fields[tag][2]) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
        return round(scale * across[0] / across[1], 2), round(scale * down[0] / down[1], 2)
    except (struct.error, KeyError, ZeroDivisionError):
        return None


def from_tiff(file: BinaryIO, page: int = 0) -> bytes | None:
    """What the tags of a TIFF page tell about the picture, as EXIF; None if nothing, or a BigTIFF."""
    try:
        order, at = _header(file)
        for _ in range(page):
            at = _next(file, at, order)[1]
        about = _about(_read(file, at, order))
    except struct.error:
        return None
    if not (about.fields or about.inner):
        return None
    return _PREFIX + _HEADERS[order] + struct.pack(f"{order}I", 8) + _packed(about, order, 8)


def into_tiff(file: BinaryIO, exif: bytes) -> None:
    """Add what EXIF tells to the first directory of a TIFF file, opened to read and write; not to a BigTIFF."""
    try:
        order, at = _header(file)
        main = _read(file, at, order)
        theirs, about = _parsed(exif)
    except struct.error:
        return
    about = _about(about if theirs == order else _swapped(about))
    merged = _Directory(main.fields | about.fields, main.inner | about.inner, main.following)
    end = file.seek(0, io.SEEK_END)
    start = end + end % 2
    file.write(bytes(end % 2) + _packed(merged, order, start))
    file.seek(4)
    file.write(struct.pack(f"{order}I", start))


def without_alpha(file: BinaryIO) -> None:
    """Say of a TIFF file, opened to read and write, that its last band is data, not opacity; not of a BigTIFF."""
    with contextlib.suppress(struct.error):
        order, at = _header(file)
        file.seek(at)
        (count,) = struct.unpack(f"{order}H", file.read(2))
        for row in range(at + 2, at + 2 + 12 * count, 12):
            file.seek(row)
            if struct.unpack(f"{order}H", file.read(2))[0] == _EXTRA_SAMPLES:
                file.seek(row + 8)
                file.write(bytes(4))


def append_page(file: BinaryIO, page: bytes) -> None:
    """Make the only page of one TIFF the last of another, opened to read and write, of the same byte order, in strips.

    Raises:
        struct.error: one of them is no classic TIFF, or both together are larger than one can be (4 GB).
    """
    order, at = _header(file)
    link = 4
    while at:
        link, at = _next(file, at, order)
    end = file.seek(0, io.SEEK_END)
    place = end + end % 2
    start = place + len(page) + len(page) % 2
    _, main = _parsed(page)
    kind, count, value = main.fields[_STRIP_OFFSETS]
    offsets = struct.unpack(f"{order}{count}{'H' if kind == 3 else 'I'}", value)
    moved = struct.pack(f"{order}{count}I", *(place + offset for offset in offsets))
    main.fields[_STRIP_OFFSETS] = 4, count, moved
    directory, first = _packed(main, order, start), struct.pack(f"{order}I", start)
    if start + len(directory) >= 2**32:
        raise struct.error("beyond 4 GB")
    file.write(bytes(end % 2) + page + bytes(len(page) % 2) + directory)
    file.seek(link)
    file.write(first)


def _next(file: BinaryIO, at: int, order: str) -> tuple[int, int]:
    """Where a directory says where the next one is, and where that is; 0 after the last."""
    file.seek(at)
    (count,) = struct.unpack(f"{order}H", file.read(2))
    link = file.seek(at + 2 + 12 * count)
    return link, struct.unpack(f"{order}I", file.read(4))[0]


_HEADERS = {"<": b"II*\0", ">": b"MM\0*"}


def _header(file: BinaryIO) -> tuple[str, int]:
    """Byte order for :mod:`struct` and where the first directory is."""
    file.seek(0)
    magic = file.read(4)
    orders = [order for order, header in _HEADERS.items() if header == magic]
    if not orders:
        raise struct.error("not a classic TIFF")
    return orders[0], struct.unpack(f"{orders[0]}I", file.read(4))[0]


def _parsed(exif: bytes) -> tuple[str, _Directory]:
    file = io.BytesIO(exif.removeprefix(_PREFIX))
    order, at = _header(file)
    return order, _read(file, at, order)


def _read(file: BinaryIO, at: int, order: str, depth: int = 0) -> _Directory:
    """A directory with those below it; values that lie outside the file are left out."""
    file.seek(at)
    (count,) = struct.unpack(f"{order}H", file.read(2))
    table = file.read(12 * count + 4)
    directory, budget = _Directory(), _MOST_BYTES
    for row in range(count):
        tag, kind, number, value = struct.unpack_from(f"{order}HHI4s", table, 12 * row)
        size = number * _SIZES.get(kind, 0)
        (offset,) = struct.unpack(f"{order}I", value)
        if tag in _DIRECTORIES:
            if depth < len(_DIRECTORIES) and tag not in directory.inner:
                directory.inner[tag] = _read(file, offset, order, depth + 1)
            continue
        if 4 < size <= budget:
            file.seek(offset)
            value = file.read(size)
            budget -= size
        if 0 < size <= len(value):
            directory.fields[tag] = kind, number, value[:size]
    (directory.following,) = struct.unpack_from(f"{order}I", table, 12 * count)
    return directory


def _about(directory: _Directory) -> _Directory:
    """Only what tells about the picture, not how its samples are stored."""
    return _Directory({tag: value for tag, value in directory.fields.items() if tag in _ABOUT}, directory.inner)


def _swapped(directory: _Directory) -> _Directory:
    """The other byte order."""

    def turn(kind: int, value: bytes) -> bytes:
        return np.frombuffer(value, f"u{_WORDS[kind]}").byteswap().tobytes() if kind in _WORDS else value

    fields = {tag: (kind, count, turn(kind, value)) for tag, (kind, count, value) in directory.fields.items()}
    return _Directory(fields, {tag: _swapped(inner) for tag, inner in directory.inner.items()})


def _packed(directory: _Directory, order: str, start: int) -> bytes:
    """The directory as it stands in a file at ``start``, values and inner directories behind it."""
    tags = sorted({*directory.fields, *directory.inner})
    behind = start + 2 + 12 * len(tags) + 4
    table, values = struct.pack(f"{order}H", len(tags)), b""
    for tag in tags:
        values += bytes(len(values) % 2)
        at = struct.pack(f"{order}I", behind + len(values))
        if tag in directory.inner:
            kind, count, value = 4, 1, at
            values += _packed(directory.inner[tag], order, behind + len(values))
        else:
            kind, count, value = directory.fields[tag]
            if len(value) > 4:
                values += value
                value = at
        table += struct.pack(f"{order}HHI4s", tag, kind, count, value)
    return table + struct.pack(f"{order}I", directory.following) + values


def _rewritten(exif: bytes | None, tag: int | None) -> bytes | None:
    """Set a SHORT of the first directory to 1 in place, or, without a tag, unlink the next directory."""
    if exif is None:
        return None
    changed = bytearray(_PREFIX + exif.removeprefix(_PREFIX))
    try:
        order, at = _header(io.BytesIO(exif.removeprefix(_PREFIX)))
        first = len(_PREFIX) + at + 2
        (count,) = struct.unpack_from(f"{order}H", changed, first - 2)
        if tag is None:
            struct.pack_into(f"{order}I", changed, first + 12 * count, 0)
        for row in range(first, first + 12 * count, 12):
            if struct.unpack_from(f"{order}H", changed, row)[0] == tag:
                struct.pack_into(f"{order}H", changed, row + 8, 1)
    except struct.error:
        return None
    return bytes(changed)
