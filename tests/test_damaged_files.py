"""Thousands of damaged files of every format: each is read, or refused by a PictureError of one line.

Each worker damages valid small files by a seeded rule and reads them under a limit of address space and of time
per file; a crash, a hang or memory out of proportion ends it, and the test names the file to reproduce:
``python -m tests.test_damaged_files KIND FIRST COUNT``.
"""

from __future__ import annotations

import io
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from colorcapsnet import pictures
from colorcapsnet.errors import PictureError
from tests import heic

KINDS = (
    "jpg", "jpg-progressive", "jpg-cmyk", "png", "png-16", "png-palette", "tiff", "tiff-raw", "tiff-pages",
    "tiff-tiled", "tiff-cmyk", "webp", "webp-lossless", "webp-animated", "gif",
    "avif", "avif-lossless", "avif-16", "heic", "heic-deep",
)  # fmt: skip
FILES_OF_A_KIND = 1500
PIXEL_LIMIT = 4_000_000
SECONDS_A_FILE = 20
MEGABYTES_ABOVE_START = 400


@cache
def valid(kind: str) -> bytes:
    """A small file with a profile, EXIF and XMP where the format has them."""
    if kind.startswith("heic"):
        return (heic.DEEP if kind.endswith("deep") else heic.ROTATED).read_bytes()
    rows, columns = np.mgrid[0:48, 0:64]
    noise = np.random.default_rng(5).integers(0, 40, (48, 64))
    rgb = np.stack([rows * 4, columns * 3, rows + columns + noise], -1).astype(np.uint8)
    image = PIL.Image.fromarray(rgb)
    format, _, variant = kind.partition("-")
    if not variant or variant in ("16", "lossless"):
        if format == "gif":
            return saved(image, "gif")
        exif = PIL.Image.Exif()
        exif[0x010F], exif[0x0112], exif[0x8298] = "Maker", 6, "somebody"
        exif.get_ifd(0x8769)[0x9003] = "1901:02:03 04:05:06"
        srgb = bytes(pictures.pyvips.Operation.call("profile_load", "p3"))
        about = pictures.Metadata(icc=srgb, exif=exif.tobytes(), xmp=b"<x:xmpmeta/>", dpi=(300, 300))
        array = rgb.astype(np.uint16) * 257 if variant == "16" else rgb
        picture = replace(pictures.Picture.from_array(array), metadata=about)
        return pictures.encode(picture, format, lossless=variant == "lossless")
    second = image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
    return {
        "jpg-progressive": lambda: saved(image, "jpeg", progressive=True),
        "jpg-cmyk": lambda: saved(image.convert("CMYK"), "jpeg"),
        "png-palette": lambda: saved(image.quantize(16), "png", transparency=3),
        "tiff-raw": lambda: saved(image, "tiff"),
        "tiff-pages": lambda: saved(image, "tiff", save_all=True, append_images=[second], compression="tiff_lzw"),
        "tiff-tiled": lambda: pictures.pyvips.Image.new_from_array(rgb).tiffsave_buffer(
            tile=True, tile_width=16, tile_height=32, compression="deflate"
        ),
        "tiff-cmyk": lambda: saved(image.convert("CMYK"), "tiff", compression="packbits"),
        "webp-animated": lambda: saved(image, "webp", save_all=True, append_images=[second]),
    }[kind]()


def saved(image: PIL.Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def damaged(kind: str, number: int) -> bytes:
    """The file ``number`` of a kind, the same on every machine."""
    random = np.random.default_rng([KINDS.index(kind), number])
    data = wounded(valid(kind), random)
    return with_checksums(data) if kind.startswith("png") and random.random() < 0.7 else bytes(data)


def wounded(content: bytes, random: np.random.Generator) -> bytearray:
    """One to four wounds, most near the head or the tail."""
    data = bytearray(content)
    for _ in range(random.integers(1, 5)):
        first, last = [(0, len(data)), (0, 256), (len(data) - 256, len(data))][random.integers(0, 3)]
        at = int(random.integers(max(0, first), max(1, min(last, len(data)))))
        length = int(random.integers(1, 40))
        match random.integers(0, 7):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = random.bytes(length)
            case 3:
                data[at : at + 1] = random.bytes(1)
            case 4:
                data[at : at + length] = random.choice([b"\x00", b"\xff"]) * length
            case 5:
                extreme = int(random.choice([0, 1, 0x7FFF, 0x8000, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1]))
                data[at : at + 4] = struct.pack(random.choice(["<I", ">I"]), extreme)
            case 6:
                data[at : at + length] = data[at // 2 : at // 2 + length]
    return data


def with_checksums(png: bytearray) -> bytes:
    """The checksum of every chunk made right again, so that the damage reaches what lies behind the check."""
    at = 8
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4], "big")
        if end + 4 > len(png):
            break
        png[end : end + 4] = zlib.crc32(png[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(png)


def read_all(kind: str, first: int, count: int) -> None:
    """Read some damaged files in this process; each number is printed before its file is touched."""
    outcomes: Counter[str] = Counter()
    pictures.read(valid(kind))
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, first + count):
            print(number, flush=True)
            data = damaged(kind, number)
            path = Path(folder) / f"{number}"
            path.write_bytes(data)
            signal.setitimer(signal.ITIMER_REAL, SECONDS_A_FILE)
            try:
                given = path if number % 2 else data
                pages = [pictures.read(given, max_pixels=PIXEL_LIMIT)]
                if kind == "tiff-pages":
                    others = range(1, min(pages[0].pages, 4))
                    pages += [pictures.read(given, page=page, max_pixels=PIXEL_LIMIT) for page in others]
                assert max(page.array.size for page in pages) <= 3 * PIXEL_LIMIT
                pictures.write_pages(pages, Path(folder) / "out.tiff", overwrite=True)
                outcomes["Picture"] += 1
            except PictureError as error:
                assert "\n" not in str(error), error
                outcomes["PictureError"] += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            path.unlink()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1024
    assert grown < MEGABYTES_ABOVE_START, f"{grown:.0f} MB of memory for pictures of at most {PIXEL_LIMIT} pixels"
    print(f"{dict(outcomes)}, {grown:.0f} MB", flush=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_a_picture_or_a_picture_error_and_nothing_else(kind: str) -> None:
    def worker(first: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.test_damaged_files", kind, str(first), str(FILES_OF_A_KIND // 2)]
        root = Path(__file__).parent.parent
        return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600, check=False)

    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(worker, (0, FILES_OF_A_KIND // 2)))
    for run in runs:
        lines = run.stdout.splitlines()
        assert run.returncode == 0, f"{kind} ended with {run.returncode} at file {lines[-1:]}: {run.stderr[-2000:]}"
        assert "CRITICAL" not in run.stderr, f"{kind} misused the library: {run.stderr[:2000]}"
        assert "PictureError" in lines[-1], f"no damage was noticed in {kind}: {lines[-1]}"


if __name__ == "__main__":
    read_all(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
