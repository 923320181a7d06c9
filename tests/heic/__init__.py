"""Small HEIC files, which nothing that we depend on can write.

Made once: ``pip install pillow-heif==1.8.1 numpy``, then ``python tests/heic/__init__.py`` in this repository. They are
coded without loss, as RGB.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ROTATED, DEEP, SECOND = HERE / "rotated.heic", HERE / "deep.heic", HERE / "second.heic"


def rgb() -> np.ndarray:
    """``(48, 64, 3)`` uint8: what ``rotated.heic`` shows, before its orientation 6 is applied."""
    rows, columns = np.mgrid[0:48, 0:64]
    return np.stack([rows * 5, columns * 4, (rows + columns) * 2], -1).astype(np.uint8)


def codes() -> np.ndarray:
    """``(48, 64, 4)`` of 0..1023: RGB and alpha of ``deep.heic``, 10 bits."""
    rows, columns = np.mgrid[0:48, 0:64]
    return np.stack([columns * 1023 // 63, 1023 - rows, rows * 1023 // 47, 1023 - columns], -1).astype(np.uint16)


def straight() -> np.ndarray:
    """``(16, 16, 4)`` uint8: what the second picture of ``second.heic``, its primary one, shows; its RGB is stored
    times alpha. The first one is black.
    """
    rows, columns = np.mgrid[0:16, 0:16]
    return np.stack([rows * 17, columns * 17, rows + columns, 135 + 8 * rows], -1).astype(np.uint8)


def make() -> None:
    """Write the files."""
    import PIL.Image
    import PIL.ImageCms
    import pillow_heif

    exif = PIL.Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x8298] = "a maker", 6, "somebody"
    exif[0x011A], exif[0x011B], exif[0x0128] = 300.0, 150.0, 2
    exif.get_ifd(0x8769)[0x9003] = "1901:02:03 04:05:06"
    srgb = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    how = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    image = pillow_heif.from_pillow(PIL.Image.fromarray(rgb()))
    image.info.update(exif=exif.tobytes(), icc_profile=srgb, icc_profile_type="prof")
    image.info["xmp"] = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    image.save(ROTATED, **how)
    deep = (codes() << 6).astype("<u2")
    pillow_heif.from_bytes("RGBA;16", (64, 48), deep.tobytes()).save(DEEP, **how)
    stored = straight().astype(float)
    stored[..., :3] = np.round(stored[..., :3] * stored[..., 3:] / 255)
    two = pillow_heif.from_bytes("RGB", (16, 16), bytes(16 * 16 * 3))
    two.add_frombytes("RGBa", (16, 16), stored.astype(np.uint8).tobytes())
    two.save(SECOND, primary_index=1, **how)


if __name__ == "__main__":
    make()
