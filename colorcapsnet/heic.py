"""HEIC pictures, decoded in a process of their own, because damaged files crash the decoder.

This file is that process, too: a picture on standard input becomes a line of JSON and its samples on standard output.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

_LONGEST = 120  # seconds: half a gigapixel takes less


@dataclass(frozen=True)
class Decoded:
    """A HEIC picture.

    Attributes:
        width, height: of the picture, upright.
        pages: how many pictures the file has.
        bits: of each sample; more than 8 stand in the upper bits of 16.
        premultiplied: colors are stored times alpha.
        samples: rows of gray, gray + alpha, RGB or RGB + alpha, 1 or 2 bytes each; empty where it was not decoded.
        icc, exif, xmp: what travels beside the pixels.
    """

    width: int
    height: int
    pages: int
    bits: int
    premultiplied: bool
    samples: bytes
    icc: bytes | None
    exif: bytes | None
    xmp: bytes | None


def decode(content: bytes, page: int, max_pixels: int) -> Decoded:
    """Decode a picture of a file, the primary one first, unless there is no such picture or it is too large.

    Raises:
        ValueError: the file is damaged.
    """
    command = [sys.executable, "-P", __file__, str(page), str(max_pixels)]
    try:
        done = subprocess.run(command, input=content, capture_output=True, check=False, timeout=_LONGEST)
    except subprocess.TimeoutExpired:
        raise ValueError(f"the decoder did not end within {_LONGEST} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        if said.startswith("MemoryError"):
            raise MemoryError
        raise ValueError(said or f"the decoder ended with {done.returncode}")
    head, _, samples = done.stdout.partition(b"\n")
    told = json.loads(head)
    for name in ("icc", "exif", "xmp"):
        told[name] = None if told[name] is None else base64.b64decode(told[name])
    return Decoded(**told, samples=samples)


def _main(page: int, max_pixels: int) -> None:
    import pi_heif

    images = list(pi_heif.open_heif(sys.stdin.buffer.read(), convert_hdr_to_8bit=False))
    images.sort(key=lambda image: not image.info["primary"])
    image = images[page if page in range(len(images)) else 0]
    width, height = image.size
    blobs = {"icc": image.info.get("icc_profile"), "exif": image.info["exif"], "xmp": image.info.get("xmp")}
    told: dict[str, Any] = {name: base64.b64encode(blob).decode() if blob else None for name, blob in blobs.items()}
    told |= {"width": width, "height": height, "pages": len(images), "bits": image.info["bit_depth"]}
    told |= {"premultiplied": image.premultiplied_alpha}
    wanted = page in range(len(images)) and width * height <= max_pixels
    samples = image.data if wanted else b""
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\n")
    sys.stdout.buffer.write(samples)


if __name__ == "__main__":
    _main(*map(int, sys.argv[1:]))
