"""Pictures in and out, held against Pillow (8 bits, EXIF, profiles), tifffile and OpenCV (16 bits)."""

from __future__ import annotations

import io
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import ImageCms, ImageOps
from PIL.IptcImagePlugin import getiptcinfo

from colorcapsnet import exif, pictures
from colorcapsnet.errors import MissingExtra, OutputError, PictureError
from colorcapsnet.pictures import FORMATS, Metadata, Picture, encode, read, write
from tests import heic
from tests.memory import PEAK

SAMPLES = Path(__file__).parent.parent / "samples"
RANDOM = np.random.default_rng(0)
LOSSLESS = ("png", "tiff", "webp", "avif")


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return RANDOM.integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def smooth(height: int = 40, width: int = 60) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) * 2], -1).astype(np.uint8)


def by_pil(image: PIL.Image.Image | np.ndarray, format: str, **options: object) -> bytes:
    image = PIL.Image.fromarray(image) if isinstance(image, np.ndarray) else image
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def opened(data: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(data))


def profile(name: str) -> bytes:
    return bytes(pyvips.Operation.call("profile_load", name))


def curve_profile(gamma: float, space: bytes) -> bytes:
    """A small ICC version 2 profile: a pure power, gray or with the primaries of Adobe RGB (1998), to D50."""

    def xyz(x: float, y: float, z: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(round(v * 65536).to_bytes(4, "big") for v in (x, y, z))

    curve = b"curv\0\0\0\0\0\0\0\1" + round(gamma * 256).to_bytes(2, "big") + b"\0\0"
    tags = {b"wtpt": xyz(0.9642, 1.0, 0.8249)}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        primaries = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
        for name, primary in zip((b"r", b"g", b"b"), primaries, strict=True):
            tags[name + b"XYZ"], tags[name + b"TRC"] = xyz(*primary), curve
    table, values, at = b"", b"", 132 + 12 * len(tags)
    for name, value in tags.items():
        table += name + (at + len(values)).to_bytes(4, "big") + len(value).to_bytes(4, "big")
        values += value
    body = len(tags).to_bytes(4, "big") + table + values
    head = bytearray(128)
    head[0:4] = (128 + len(body)).to_bytes(4, "big")
    head[8:24] = b"\x02\x10\0\0mntr" + space + b"XYZ "
    head[36:40] = b"acsp"
    head[68:80] = xyz(0.9642, 1.0, 0.8249)[8:]
    return bytes(head) + body


def srgb_of_light(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def some_exif(orientation: int = 1) -> bytes:
    exif = PIL.Image.Exif()
    exif[0x010E], exif[0x010F], exif[0x0112] = "the bridge", "K??m", orientation
    exif[0x8298] = "(c) somebody"
    exif.get_ifd(0x8769)[0x9003] = "1901:02:03 04:05:06"
    exif.get_ifd(0x8769)[0x829A] = 0.004
    exif.get_ifd(0x8825)[1], exif.get_ifd(0x8825)[2] = "N", (51.0, 30.0, 12.5)
    return exif.tobytes().replace(b"K??m", "Käm".encode())


def told(data: bytes) -> dict[object, object]:
    """What EXIF says that a person cares for, by Pillow."""
    exif = opened(data).getexif()
    inner, place = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
    return {tag: exif.get(tag) for tag in (0x010E, 0x010F, 0x0112, 0x8298)} | {
        tag: inner.get(tag) for tag in (0x9003, 0x829A)
    } | {("gps", tag): place.get(tag) for tag in (1, 2)}  # fmt: skip


# What a picture is


def test_gray_is_rec_601_rounded_and_of_the_same_type() -> None:
    for dtype in (np.uint8, np.uint16):
        rgb = noise(300, 7, 3, dtype=dtype)
        exact = [[(299 * int(r) + 587 * int(g) + 114 * int(b) + 500) // 1000 for r, g, b in row] for row in rgb]
        gray = Picture(rgb).gray
        assert gray.dtype == dtype
        np.testing.assert_array_equal(gray, exact)


def test_the_gray_of_a_gray_picture_is_its_array_itself() -> None:
    picture = Picture(noise(4, 5))
    assert picture.gray is picture.array


def test_with_color_keeps_alpha_and_metadata() -> None:
    picture = Picture(noise(4, 5), noise(4, 5), Metadata(xmp=b"<x/>", dpi=(300, 300)), "a.png", "png")
    colored = picture.with_color(noise(4, 5, 3))
    assert colored.alpha is picture.alpha
    assert (colored.metadata, colored.name, colored.format) == (picture.metadata, "a.png", "png")


def test_with_color_turns_a_gray_profile_into_that_of_srgb() -> None:
    picture = Picture(noise(4, 5), metadata=Metadata(icc=curve_profile(2.2, b"GRAY")))
    assert picture.with_color(noise(4, 5, 3)).metadata.icc == profile("srgb")


def test_directories_that_lead_back_to_themselves_are_read_once() -> None:
    """5,400 pointers in 64 kB of EXIF, each to the directory that they are in."""
    rows = struct.pack("<HHII", 0x8769, 4, 1, 8) * 5_400
    hostile = b"II*\0" + struct.pack("<IH", 8, 5_400) + rows + bytes(4)
    assert exif.dpi(b"Exif\0\0" + hostile) is None
    assert len(exif.from_tiff(io.BytesIO(hostile))) < 200


def test_with_color_unlinks_the_thumbnail_which_shows_the_picture_before() -> None:
    first = b"II*\0\x08\0\0\0" + b"\1\0" + b"\x0f\1\2\0\4\0\0\0abc\0" + b"\x1a\0\0\0"
    second = b"\2\0" + b"\1\2\4\0\1\0\0\0\x38\0\0\0" + b"\2\2\4\0\1\0\0\0\4\0\0\0" + b"\0\0\0\0"
    exif = b"Exif\0\0" + first + second + b"\xff\xd8\xff\xd9"
    colored = Picture(noise(4, 5), metadata=Metadata(exif=exif)).with_color(noise(4, 5, 3))
    after = PIL.Image.Exif()
    after.load(colored.metadata.exif)
    assert after[0x010F] == "abc"
    assert after.get_ifd(1) == {}


@pytest.mark.parametrize(
    ("array", "alpha", "sentence"),
    [
        (np.zeros((4, 5), np.float32), None, "picture holds float32, not uint8 or uint16"),
        (np.zeros((4, 5), bool), None, "picture holds bool, not uint8 or uint16"),
        (np.zeros((4, 5, 2), np.uint8), None, r"picture has shape \(4, 5, 2\): give"),
        (np.zeros(4, np.uint8), None, r"picture has shape \(4,\): give"),
        (np.zeros((0, 5), np.uint8), None, r"picture has no pixels \(shape \(0, 5\)\)"),
        (np.zeros((4, 5), np.uint8), np.zeros((5, 4), np.uint8), r"picture has alpha \(5, 4\) uint8"),
        (np.zeros((4, 5), np.uint8), np.zeros((4, 5), np.uint16), r"picture has alpha \(4, 5\) uint16"),
    ],
)
def test_an_array_that_is_no_picture_is_refused(array: np.ndarray, alpha: np.ndarray, sentence: str) -> None:
    with pytest.raises(PictureError, match=sentence):
        Picture(array, alpha)


def test_colors_of_another_size_or_type_are_refused() -> None:
    picture = Picture(noise(4, 5), name="a.png")
    for wrong in (noise(4, 6, 3), noise(4, 5), noise(4, 5, 3, dtype=np.uint16)):
        with pytest.raises(PictureError, match=r"the colors of a.png are .*: give \(4, 5, 3\) uint8"):
            picture.with_color(wrong)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_from_array_takes_gray_and_rgb_with_and_without_alpha(channels: int) -> None:
    planes = noise(4, 5, channels)
    picture = Picture.from_array(planes)
    np.testing.assert_array_equal(picture.array, planes[..., 0] if channels < 3 else planes[..., :3])
    if channels in (2, 4):
        np.testing.assert_array_equal(picture.alpha, planes[..., -1])
    else:
        assert picture.alpha is None


# Round trips


@st.composite
def any_picture(draw: st.DrawFn) -> Picture:
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    size = draw(st.tuples(st.integers(1, 17), st.integers(1, 17)))
    shape = draw(st.sampled_from([size, (*size, 3)]))
    alpha = draw(st.none() | arrays.arrays(dtype, size))
    return Picture(draw(arrays.arrays(dtype, shape)), alpha)


@settings(max_examples=150)
@given(any_picture(), st.sampled_from(LOSSLESS))
def test_a_lossless_format_gives_back_every_bit(picture: Picture, format: str) -> None:
    if format in ("webp", "avif") and picture.array.dtype == np.uint16:
        with pytest.raises(OutputError, match="cannot hold 16 bits without loss: write png or tiff"):
            encode(picture, format, lossless=True)
        return
    back = read(encode(picture, format, lossless=True))
    expected = picture.array
    if format in ("webp", "avif") and expected.ndim == 2:
        expected = np.stack([expected] * 3, -1)
    assert back.array.dtype == picture.array.dtype
    np.testing.assert_array_equal(back.array, expected)
    if picture.alpha is None or (format == "webp" and picture.alpha.min() == 255):
        assert back.alpha is None
    else:
        np.testing.assert_array_equal(back.alpha, picture.alpha)


def test_other_libraries_read_the_same_bits() -> None:
    tifffile = pytest.importorskip("tifffile")
    for dtype in (np.uint8, np.uint16):
        for shape in ((30, 20), (30, 20, 3)):
            picture = Picture(noise(*shape, dtype=dtype), metadata=Metadata(exif=some_exif()))
            np.testing.assert_array_equal(tifffile.imread(io.BytesIO(encode(picture, "tiff"))), picture.array)
            png = cv2.imdecode(np.frombuffer(encode(picture, "png"), np.uint8), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(png if png.ndim == 2 else png[..., ::-1], picture.array)


def test_we_read_the_bits_that_other_libraries_write() -> None:
    tifffile = pytest.importorskip("tifffile")
    for dtype in (np.uint8, np.uint16):
        for shape in ((30, 20), (30, 20, 3), (30, 20, 4)):
            array = noise(*shape, dtype=dtype)
            kind = "minisblack" if len(shape) == 2 else "rgb"
            for options in ({}, {"byteorder": ">"}, {"compression": "zlib", "rowsperstrip": 7}, {"tile": (16, 16)}):
                file = io.BytesIO()
                extra = {"extrasamples": ["unassalpha"]} if shape[-1] == 4 else {}
                tifffile.imwrite(file, array, photometric=kind, **options, **extra)
                np.testing.assert_array_equal(joined(read(file.getvalue())), array)
            png = cv2.imencode(".png", array if array.ndim == 2 else np.ascontiguousarray(swapped(array)))[1]
            np.testing.assert_array_equal(joined(read(png.tobytes())), array)


def joined(picture: Picture) -> np.ndarray:
    return picture.array if picture.alpha is None else np.dstack([picture.array, picture.alpha])


def swapped(array: np.ndarray) -> np.ndarray:
    return array[..., [2, 1, 0, *range(3, array.shape[2])]]


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.*g")), ids=lambda path: path.name)
def test_a_photograph_in_srgb_comes_through_to_the_bit_as_pillow_decodes_it(path: Path) -> None:
    if path.name == "rocket.jpg":
        pytest.skip("this one is in Adobe RGB")
    picture = read(path)
    image = PIL.Image.open(path)
    np.testing.assert_array_equal(picture.array, np.asarray(image))
    assert picture.metadata.icc == image.info.get("icc_profile")
    assert (picture.format, picture.name) == (path.suffix[1:], str(path))


@pytest.mark.parametrize("format", ["jpg", "webp", "avif"])
def test_a_lossy_format_is_near_and_nearer_with_quality(format: str) -> None:
    array = read(SAMPLES / "chelsea.png").array
    errors = [
        np.abs(read(encode(Picture(array), format, quality=q)).array.astype(int) - array).mean() for q in (50, 95)
    ]
    assert errors[1] < errors[0] / 1.5
    assert errors[1] < 2.5


def test_jpeg_keeps_chroma_at_full_resolution() -> None:
    data = encode(Picture(smooth()), "jpg")
    assert [component[1:3] for component in opened(data).layer] == [(1, 1)] * 3


def test_16_bits_are_rounded_where_the_format_has_8() -> None:
    codes = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    rounded = np.round(codes / 257).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(Picture(np.stack([codes] * 3, -1)).pil())[..., 1], rounded)
    assert encode(Picture(codes), "jpg") == encode(Picture(rounded), "jpg")


def in_16_bits(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes of fewer bits as codes of 16, to the nearest."""
    return np.round(codes * (65535 / (2**bits - 1))).astype(np.uint16)


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("channels", [3, 4])
def test_an_avif_of_10_or_12_bits_becomes_16_from_black_to_white(bits: int, channels: int) -> None:
    codes = RANDOM.integers(0, 2**bits, (30, 40, channels), np.uint16)
    codes[0, 0], codes[0, 1] = 0, 2**bits - 1
    image = pyvips.Image.new_from_array(codes << (16 - bits)).copy(interpretation="rgb16")
    picture = read(image.heifsave_buffer(compression="av1", bitdepth=bits, lossless=True))
    assert picture.format == "avif"
    np.testing.assert_allclose(joined(picture).astype(int), in_16_bits(codes, bits).astype(int), atol=1)
    assert joined(picture)[0, :2].tolist() == [[0] * channels, [65535] * channels]


def test_an_avif_holds_16_bits_to_within_half_a_code_of_12_and_what_quality_takes() -> None:
    ramp = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    picture = Picture(np.stack([ramp] * 3, -1), np.full((64, 64), 65535, np.uint16))
    back = read(encode(picture, "avif", quality=100))
    assert back.array.dtype == np.uint16
    assert np.abs(back.array.astype(int) - picture.array).max() < 3 * 16
    assert (back.alpha == 65535).all()
    assert back.array[0, 0].max() <= 16
    assert back.array[-1, -1].min() >= 65535 - 16


def test_a_heic_is_upright_with_all_that_it_carries() -> None:
    picture = read(heic.ROTATED)
    np.testing.assert_array_equal(picture.array, np.rot90(heic.rgb(), -1))
    carried = picture.metadata
    assert (picture.format, picture.pages) == ("heic", 1)
    assert (carried.xmp, carried.dpi) == (b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", (300, 150))
    assert carried.icc[36:40] == b"acsp"
    for format in FORMATS:
        data = encode(picture, format)
        exif = opened(data).getexif()
        assert (exif[0x010F], exif[0x8298], exif.get(0x0112, 1)) == ("a maker", "somebody", 1)
        assert exif.get_ifd(0x8769)[0x9003] == "1901:02:03 04:05:06"
        assert opened(data).info["icc_profile"] == carried.icc
        assert read(data).metadata.xmp == carried.xmp


def test_a_heic_of_10_bits_becomes_16_with_its_alpha() -> None:
    picture = read(heic.DEEP.read_bytes())
    assert picture.array.dtype == np.uint16
    np.testing.assert_allclose(joined(picture).astype(int), in_16_bits(heic.codes(), 10).astype(int), atol=1)
    assert picture.array.max() == 65535


def test_of_several_pictures_in_a_heic_the_primary_one_comes_first_and_alpha_is_taken_out_of_its_colors() -> None:
    picture, truth = read(heic.SECOND), heic.straight()
    assert picture.pages == 2
    np.testing.assert_array_equal(picture.alpha, truth[..., 3])
    np.testing.assert_allclose(picture.array.astype(int), truth[..., :3].astype(int), atol=1)
    assert read(heic.SECOND, page=1).array.max() == 0
    with pytest.raises(PictureError, match="has no page 2: it has 2, counted from 0"):
        read(heic.SECOND, page=2)


def test_without_what_reads_heic_the_line_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(MissingExtra, match=r"pip install 'colorcapsnet\[heif\]'"):
        read(heic.ROTATED)


# What comes along


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp", "avif"])
def test_orientation_is_applied_and_then_reset(format: str, orientation: int) -> None:
    exact = {"quality": 100, "subsampling": "4:4:4"}
    options = {"jpeg": {"quality": 95}, "webp": {"lossless": True}, "avif": exact}.get(format, {})
    rounding = 1 if format == "avif" else 0  # of luma and chroma to RGB, which Pillow does in its own way
    data = by_pil(smooth(), format, exif=some_exif(orientation), **options)
    picture = read(data)
    expected = ImageOps.exif_transpose(opened(data).convert("RGB"))
    np.testing.assert_allclose(picture.array.astype(int), np.asarray(expected).astype(int), atol=rounding)
    for target in FORMATS:
        assert opened(encode(picture, target)).getexif().get(0x0112, 1) == 1
    assert picture.pil().getexif().get(0x0112, 1) == 1
    np.testing.assert_array_equal(Picture.from_pil(opened(data)).array, np.asarray(expected))


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_exif_xmp_profile_and_dpi_come_along_from_every_format_to_every_format(source: str, target: str) -> None:
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    carried = Metadata(profile("srgb"), some_exif(), xmp, None, (300.0, 150.0))
    first = read(encode(Picture(smooth(), metadata=carried), source))
    data = encode(first.with_color(first.array), target)
    assert told(data) == told(by_pil(smooth(), "jpeg", exif=some_exif()))
    last = read(data).metadata
    assert (last.icc, last.xmp) == (carried.icc, xmp)
    assert last.dpi == pytest.approx(carried.dpi, abs=0.02)
    assert opened(data).info["icc_profile"] == carried.icc


def test_tags_of_a_big_endian_tiff_come_along() -> None:
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tags = [(0x010F, 2, 0, "a maker", True), (0x8298, 2, 0, "somebody", True)]
    options = {"byteorder": ">", "resolution": (600, 600), "resolutionunit": 2, "metadata": None}
    tifffile.imwrite(file, noise(30, 20, 3), photometric="rgb", extratags=tags, software="a scanner", **options)
    picture = read(file.getvalue())
    assert picture.metadata.dpi == (600, 600)
    for format in FORMATS:
        exif = opened(encode(picture, format)).getexif()
        assert (exif[0x010F], exif[0x0131], exif[0x8298]) == ("a maker", "a scanner", "somebody")


def test_iptc_goes_from_jpeg_to_jpeg() -> None:
    headline = b"\x1c\x02\x05\x00\x0aHelloWorld\0"
    block = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x10" + headline
    data = by_pil(smooth(), "jpeg")
    picture = read(data[:2] + b"\xff\xed" + (len(block) + 2).to_bytes(2, "big") + block + data[2:])
    assert getiptcinfo(opened(encode(picture, "jpg"))) == {(2, 5): b"HelloWorld"}
    for format in LOSSLESS:
        assert read(encode(picture, format)).metadata.iptc is None


def test_comments_of_a_png_may_be_in_any_encoding() -> None:
    data = by_pil(smooth(), "png")
    chunk = b"tEXt\xdcber\0gr\xfc\xdfe"
    comment = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    np.testing.assert_array_equal(read(data[:33] + comment + data[33:]).array, smooth())


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_without_metadata_gets_none(format: str) -> None:
    metadata = read(encode(Picture(smooth()), format)).metadata
    assert metadata.dpi in (None, (72.0, 72.0), (72.01, 72.01))
    assert replace(metadata, dpi=None) == Metadata()


def test_an_exif_that_cannot_be_read_is_left_out() -> None:
    for broken in (b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"):
        image = PIL.Image.fromarray(smooth())
        image.info["exif"] = broken
        assert read(encode(replace(Picture(smooth()), metadata=Metadata(exif=broken)), "png")).array.size
        assert pictures.exif.upright(broken) is None


@pytest.mark.parametrize("dpi", [(0, 0), (1, 0), (30_000_000, 300)])
def test_a_resolution_that_nothing_has_is_left_out(dpi: tuple[int, int]) -> None:
    image = PIL.Image.fromarray(smooth())
    image.info["dpi"] = dpi
    assert Picture.from_pil(image).metadata.dpi is None
    assert read(by_pil(image, "tiff", dpi=dpi)).metadata.dpi is None


# Color management


def test_an_adobe_rgb_picture_is_converted_as_the_closed_form_says() -> None:
    codes = np.linspace(2000, 65535, 16).round().astype(np.uint16)
    gray = np.repeat(codes[:, None], 3, 1)
    soft = (gray * [0.9, 1.0, 0.95]).round().astype(np.uint16)
    array = np.stack([gray, soft])
    adobe = curve_profile(2.2, b"RGB ")
    data = encode(Picture(array), "png")
    with_profile = pyvips.Image.new_from_buffer(data, "").copy()
    with_profile.set_type(pyvips.GValue.blob_type, "icc-profile-data", adobe)
    picture = read(with_profile.pngsave_buffer())
    to_xyz = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
    srgb = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
    light = (array / 65535) ** 2.2 @ to_xyz.T @ np.linalg.inv(srgb).T
    expected = srgb_of_light(np.clip(light, 0, 1)) * 65535
    assert picture.array.dtype == np.uint16
    np.testing.assert_allclose(picture.array, expected, atol=100)
    assert picture.metadata.icc == profile("srgb")


def test_a_profile_of_8_bits_is_converted_as_little_cms_does() -> None:
    array = read(SAMPLES / "chelsea.png").array
    data = by_pil(array, "png", icc_profile=profile("p3"))
    srgb = ImageCms.createProfile("sRGB")
    expected = ImageCms.profileToProfile(opened(data), io.BytesIO(profile("p3")), srgb, renderingIntent=1)
    picture = read(data)
    assert np.abs(picture.array.astype(int) - array).max() > 10
    np.testing.assert_allclose(picture.array.astype(int), np.asarray(expected).astype(int), atol=1)
    np.testing.assert_array_equal(Picture.from_pil(opened(data)).array, picture.array)


def test_another_maker_s_srgb_is_srgb_and_changes_no_byte() -> None:
    array = noise(50, 40, 3)
    for srgb in (profile("srgb"), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()):
        picture = read(by_pil(array, "png", icc_profile=srgb))
        np.testing.assert_array_equal(picture.array, array)
        assert picture.metadata.icc == srgb


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_gray_gamma_profile_is_honored_at_full_depth(dtype: type) -> None:
    top = np.iinfo(dtype).max
    codes = np.arange(top + 1, dtype=dtype).reshape(256, -1)
    image = pyvips.Image.new_from_array(codes).copy(interpretation="b-w" if dtype == np.uint8 else "grey16")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", curve_profile(2.2, b"GRAY"))
    picture = read(image.pngsave_buffer())
    expected = srgb_of_light((codes / top) ** 2.2) * top
    assert picture.array.dtype == dtype
    np.testing.assert_allclose(picture.array, expected, atol=1.1 if dtype == np.uint8 else 160)
    assert len(np.unique(picture.array)) > 0.9 * len(np.unique(expected.round()))
    assert picture.metadata.icc is None


def test_a_real_photograph_in_adobe_rgb_is_converted_as_little_cms_does() -> None:
    image = PIL.Image.open(SAMPLES / "rocket.jpg")
    adobe = io.BytesIO(image.info["icc_profile"])
    expected = ImageCms.profileToProfile(image, adobe, ImageCms.createProfile("sRGB"), renderingIntent=1)
    array = read(SAMPLES / "rocket.jpg").array
    assert np.abs(array.astype(int) - np.asarray(image)).max() > 40
    np.testing.assert_allclose(array.astype(int), np.asarray(expected).astype(int), atol=1)


def test_a_profile_for_other_pixels_or_a_broken_one_is_ignored() -> None:
    array = noise(9, 9, 3)
    for useless in (curve_profile(1.8, b"GRAY"), b"no profile at all", curve_profile(1.8, b"RGB ")[:200]):
        picture = read(by_pil(array, "tiff", icc_profile=useless))
        np.testing.assert_array_equal(picture.array, array)
        for format in FORMATS:
            assert "icc_profile" not in opened(encode(picture, format)).info


def test_cmyk_is_converted_and_its_neutrals_stay_near_neutral() -> None:
    ink = np.zeros((2, 4, 4), np.uint8)
    ink[0, :, 3] = [0, 80, 160, 255]
    ink[1, 0, 0] = ink[1, 1, 1] = ink[1, 2, 2] = 255
    for format in ("jpeg", "tiff"):
        options = {"quality": 100} if format == "jpeg" else {}
        picture = read(by_pil(PIL.Image.fromarray(ink, "CMYK"), format, **options))
        assert picture.array.shape == (2, 4, 3)
    black = picture.array[0].astype(int)
    assert np.ptp(black, axis=1).max() < 25
    assert (np.diff(black.mean(1)) < -20).all()
    cyan, magenta, yellow = picture.array[1, :3].astype(int)
    assert cyan[0] < cyan[1:].min()
    assert magenta[1] < magenta[[0, 2]].min()
    assert yellow[2] < yellow[:2].min()


# Kinds of files


@pytest.mark.parametrize("format", ["png", "tiff", "gif"])
@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_palettes_and_single_bits_are_expanded_as_pillow_does(format: str, mode: str) -> None:
    image = PIL.Image.fromarray(smooth()).convert(mode)
    expected = image.convert("RGB")
    picture = read(by_pil(image, format))
    array = picture.array if picture.array.ndim == 3 else np.stack([picture.array] * 3, -1)
    np.testing.assert_array_equal(array, np.asarray(expected))
    np.testing.assert_array_equal(Picture.from_pil(image).pil().convert("RGB"), np.asarray(expected))


def test_transparency_of_a_palette_becomes_alpha() -> None:
    image = PIL.Image.fromarray(smooth()).quantize(8)
    data = by_pil(image, "png", transparency=3)
    expected = np.asarray(opened(data).convert("RGBA"))
    picture = read(data)
    np.testing.assert_array_equal(picture.alpha, expected[..., 3])
    np.testing.assert_array_equal(Picture.from_pil(opened(data)).alpha, expected[..., 3])


@pytest.mark.parametrize("format", ["gif", "webp", "tiff"])
def test_frames_and_pages_are_read_one_by_one(format: str) -> None:
    pages = [PIL.Image.fromarray(np.full((20, 30, 3), value, np.uint8)) for value in (0, 120, 255)]
    options = {"lossless": True} if format == "webp" else {}
    data = by_pil(pages[0], format, save_all=True, append_images=pages[1:], **options)
    assert read(data).pages == 3
    for page, image in enumerate(pages):
        np.testing.assert_array_equal(read(data, page=page).array, np.asarray(image))
    with pytest.raises(PictureError, match="the given picture has no page 3: it has 3, counted from 0"):
        read(data, page=3)


@pytest.mark.parametrize("format", pictures.FORMATS)
def test_the_head_of_a_file_tells_its_pixels(format: str) -> None:
    data = pictures.encode(Picture(noise(9, 14, 3)), format)
    assert pictures.pixel_count(data) == 9 * 14
    assert pictures.pixel_count(b"no picture") == 0
    with pytest.raises(PictureError, match="damaged"):
        pictures.pixel_count(data[:20])


def test_pages_of_a_tiff_have_their_own_size_and_tags() -> None:
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(noise(10, 20, dtype=np.uint16), description="first", metadata=None)
        writer.write(noise(30, 5, 3), photometric="rgb", description="second", metadata=None)
    for page, (shape, words) in enumerate([((10, 20), b"first\0"), ((30, 5, 3), b"second\0")]):
        picture = read(file.getvalue(), page=page)
        assert picture.array.shape == shape
        assert words in picture.metadata.exif


@st.composite
def told_pages(draw: st.DrawFn) -> list[Picture]:
    pages = draw(st.lists(any_picture(), min_size=1, max_size=4))
    exif = st.none() | st.builds(some_exif)
    dpi = st.none() | st.tuples(st.integers(1, 1200).map(float), st.integers(1, 1200).map(float))
    told = st.builds(Metadata, exif=exif, xmp=st.none() | st.just(b"<x:xmpmeta/>"), dpi=dpi)
    return [replace(page, metadata=draw(told)) for page in pages]


@settings(max_examples=60)
@given(told_pages())
def test_pages_of_any_size_depth_and_metadata_come_back_to_the_bit(pages: list[Picture]) -> None:
    data = pictures.encode_pages(iter(pages), "tiff")
    assert pictures.page_count(data) == len(pages)
    assert pictures.pixel_count(data) == pages[0].gray.size
    found = list(pictures.read_pages(data))
    assert [page.page for page in found] == list(range(len(pages)))
    for page, back in zip(pages, found, strict=True):
        assert back.array.dtype == page.array.dtype
        np.testing.assert_array_equal(joined(back), joined(page))
        assert back.metadata.xmp == page.metadata.xmp
        assert (back.metadata.exif is None) == (page.metadata.exif is None)
        if page.metadata.dpi:
            assert back.metadata.dpi == pytest.approx(page.metadata.dpi, abs=0.02)


def test_other_libraries_read_the_pages_that_we_write(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    shapes = [((30, 20), np.uint16), ((300, 700, 3), np.uint8), ((5, 9, 3), np.uint16), ((1, 1), np.uint8)]
    pages = [
        Picture(noise(*shape, dtype=dtype), metadata=Metadata(exif=some_exif(), dpi=(300, 300)))
        for shape, dtype in shapes
    ]
    assert pictures.write_pages(pages, tmp_path / "a.tif") == 4
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(file.pages) == 4
        for page, ours in zip(file.pages, pages, strict=True):
            np.testing.assert_array_equal(page.asarray(), ours.array)
            assert (page.tags[0x8298].value, page.tags[0x011A].value) == ("(c) somebody", (300, 1))
            assert "DateTimeOriginal" in page.tags[0x8769].value
    with PIL.Image.open(tmp_path / "a.tif") as image:
        image.seek(1)
        np.testing.assert_array_equal(np.asarray(image), pages[1].array)


def test_what_a_page_is_among_others_comes_along() -> None:
    tifffile = pytest.importorskip("tifffile")
    tags = (0x00FE, 0x010D, 0x011D, 0x0129)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for number in range(2):
            extra = [
                (0x010D, 2, 0, "minutes", True),
                (0x011D, 2, 0, f"leaf {number}", True),
                (0x0129, 3, 2, (number, 2), True),
            ]
            writer.write(noise(9, 7), subfiletype=2, extratags=extra, metadata=None)
    again = io.BytesIO(pictures.encode_pages(pictures.read_pages(file.getvalue()), "tiff"))
    with tifffile.TiffFile(again) as read_again:
        told = [[page.tags[tag].value for tag in tags] for page in read_again.pages]
    assert told == [[2, "minutes", f"leaf {number}", (number, 2)] for number in range(2)]


def test_where_only_one_page_fits_the_others_are_not_even_taken(tmp_path: Path) -> None:
    def pages() -> Iterator[Picture]:
        yield Picture(smooth())
        raise AssertionError("taken")

    assert pictures.write_pages(pages(), tmp_path / "a.png") == 1
    np.testing.assert_array_equal(read(tmp_path / "a.png").array, smooth())


def test_a_page_that_is_damaged_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    data = bytearray(pictures.encode_pages([Picture(noise(90, 70)), Picture(noise(90, 70))], "tiff"))
    middle = len(data) * 3 // 4
    data[middle : middle + 200] = bytes(200)
    with pytest.raises(PictureError, match=r"damaged.*\(page 2 of 2\)"):
        pictures.write_pages(pictures.read_pages(bytes(data)), tmp_path / "a.tif")
    assert list(tmp_path.iterdir()) == []


def test_pages_beyond_the_4_gb_of_a_tiff_are_refused_and_leave_the_file_as_it_was() -> None:
    class Huge(io.BytesIO):
        def seek(self, at: int, whence: int = 0) -> int:
            return 2**32 - 100 if whence == io.SEEK_END else super().seek(at, whence)

    page = encode(Picture(noise(9, 7)), "tiff")
    file = Huge(page)
    with pytest.raises(struct.error):
        pictures.exif.append_page(file, page)
    assert file.getvalue() == page


def test_paths_bytes_and_open_files_are_the_same_picture(tmp_path: Path) -> None:
    path = tmp_path / "odd [page=3] name, ünïcode.jpg"
    path.write_bytes(by_pil(smooth(), "png"))
    with path.open("rb") as file:
        found = [read(path), read(str(path)), read(path.read_bytes()), read(file)]
    for picture in found:
        np.testing.assert_array_equal(picture.array, smooth())
        assert picture.format == "png"
    assert [picture.name for picture in found] == [str(path), str(path), "the given picture", str(path)]


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_pil_and_back_keeps_pixels_and_metadata(mode: str) -> None:
    image = PIL.Image.fromarray(smooth()).convert(mode)
    image.info |= {"exif": some_exif(), "xmp": b"<x/>", "dpi": (300, 300)}
    picture = Picture.from_pil(image)
    np.testing.assert_array_equal(picture.pil(), image)
    assert picture.metadata == Metadata(None, some_exif(), b"<x/>", None, (300, 300))
    assert {key: picture.pil().info[key] for key in ("exif", "xmp", "dpi")} == image.info


def test_pil_holds_16_bits_of_gray() -> None:
    codes = noise(9, 7, dtype=np.uint16)
    image = Picture(codes).pil()
    assert image.mode == "I;16"
    np.testing.assert_array_equal(Picture.from_pil(image).array, codes)
    np.testing.assert_array_equal(Picture.from_pil(PIL.Image.fromarray(codes.astype(np.int32))).array, codes)


@pytest.mark.parametrize("image", [PIL.Image.new("F", (2, 2)), PIL.Image.new("I", (2, 2), 70000)])
def test_a_pil_image_beyond_16_bits_is_refused(image: PIL.Image.Image) -> None:
    with pytest.raises(PictureError, match=f"image is a PIL image of mode {image.mode}: scale it"):
        Picture.from_pil(image)


def test_a_pil_image_of_a_file_cut_short_is_refused() -> None:
    with pytest.raises(PictureError, match="image cannot be read by PIL"):
        Picture.from_pil(opened(by_pil(smooth(), "png")[:-60]))


# Bad input


@pytest.mark.parametrize(
    ("dtype", "sentence"),
    [
        (np.float32, "holds float samples: convert it to 8 or 16 bits first"),
        (np.uint32, "holds uint samples"),
        (np.int16, "holds short samples"),
        (np.complex64, "is damaged, cut short, or of an unusual kind"),
    ],
)
def test_scientific_samples_are_refused(dtype: type, sentence: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, np.ones((9, 7), dtype))
    with pytest.raises(PictureError, match=f"the given picture {sentence}"):
        read(file.getvalue())


def test_five_channels_are_refused() -> None:
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, noise(9, 7, 5), photometric="minisblack", planarconfig="contig")
    with pytest.raises(PictureError, match=r"the given picture has 5 channels \(b-w\): convert it to gray, RGB"):
        read(file.getvalue())


def test_what_is_no_picture_is_refused_in_one_line_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("dear diary")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    sentences = {
        "missing.jpg": "does not exist: check the name",
        "empty.jpg": "is empty: get another copy of the file",
        "text.jpg": "is not a JPEG, PNG, TIFF, WebP, AVIF, HEIC or GIF picture: convert it to one of these",
        "": "is a folder, not a picture: give a file",
        "pipe.jpg": "is not a regular file: read it and give the bytes",
        "loop.jpg": "cannot be opened (Too many levels of symbolic links): check the name",
        "x" * 300 + ".jpg": "cannot be opened (File name too long): check the name",
        "text.jpg/a.jpg": "cannot be opened (Not a directory): check the name",
    }
    for name, sentence in sentences.items():
        with pytest.raises(PictureError) as error:
            read(tmp_path / name)
        assert str(error.value) == f"{tmp_path / name} {sentence}"
    with pytest.raises(PictureError, match="cannot be opened"):
        read("a\0b.jpg")
    for nothing in (b"", io.BytesIO()):
        with pytest.raises(PictureError, match="the given picture is empty: give a whole picture"):
            read(nothing)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read and write everything")
def test_a_file_or_folder_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write(Picture(smooth()), path)
    path.chmod(0)
    with pytest.raises(PictureError, match="may not be read: give yourself the permission"):
        read(path)
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match=r"cannot be written \(Permission denied\)"):
        write(Picture(smooth()), tmp_path / "b.png")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    "format", ["jpeg", "png", "tiff", "webp", "avif", pytest.param("heic", marks=pytest.mark.medium), "gif"]
)
def test_a_file_cut_short_is_refused_wherever_it_ends(format: str) -> None:
    data = heic.ROTATED.read_bytes() if format == "heic" else by_pil(smooth(), format)
    for end in range(1, len(data) - 64, max(1, len(data) // 60)):
        with pytest.raises(PictureError, match=r"the given picture is (damaged, cut short|not a JPEG)"):
            read(data[:end])


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bomb = pyvips.Image.black(30000, 20000).cast("uchar").tiffsave_buffer(compression="deflate")
    assert len(bomb) < 2**21
    with pytest.raises(PictureError, match="30000×20000 pixels, over the limit of 500,000,000: make it smaller"):
        read(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    with pytest.raises(PictureError, match="48×64 pixels, over the limit of 3,071"):
        read(heic.ROTATED, max_pixels=3071)
    small = encode(Picture(smooth()), "png")
    with pytest.raises(PictureError, match="60×40 pixels, over the limit of 2,399"):
        read(small, max_pixels=2399)
    assert read(small, max_pixels=2400).array.shape == (40, 60, 3)


def test_zero_sized_pictures_are_refused() -> None:
    png = bytearray(encode(Picture(smooth()), "png"))
    png[16:20] = bytes(4)
    with pytest.raises(PictureError, match="damaged, cut short"):
        read(bytes(png))
    gif = bytearray(by_pil(smooth(), "gif"))
    gif[6:10] = bytes(4)
    with pytest.raises(PictureError, match="damaged, cut short"):
        read(bytes(gif[:14]))


# Writing


def test_a_name_that_is_taken_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"a\.png is there already: choose another name, or overwrite it"):
        write(Picture(smooth()), path)
    assert path.read_text() == "mine"
    Picture(smooth()).save(path, overwrite=True)
    np.testing.assert_array_equal(read(path).array, smooth())
    assert list(tmp_path.iterdir()) == [path]


def test_of_many_writers_of_one_name_one_wins_and_the_others_are_told(tmp_path: Path) -> None:
    path, start = tmp_path / "a.png", threading.Barrier(8)

    def attempt(value: int) -> int | None:
        start.wait()
        try:
            write(Picture(np.full((64, 64), value, np.uint8)), path)
        except OutputError:
            return None
        return value

    with ThreadPoolExecutor(8) as pool:
        winners = [value for value in pool.map(attempt, range(8)) if value is not None]
    assert len(winners) == 1
    assert (read(path).array == winners[0]).all()
    assert list(tmp_path.iterdir()) == [path]


def test_without_hard_links_a_name_is_taken_just_as_carefully(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*names: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a.png"
    write(Picture(smooth()), path)
    np.testing.assert_array_equal(read(path).array, smooth())
    with pytest.raises(OutputError, match="is there already"):
        write(Picture(smooth()), path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_midway_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_text("mine")

    def disk_is_full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    def stopped(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", disk_is_full)
        with pytest.raises(OutputError, match=r"a\.png cannot be written \(No space left on device\)"):
            write(Picture(smooth()), path, overwrite=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", stopped)
        with pytest.raises(KeyboardInterrupt):
            write(Picture(smooth()), path, overwrite=True)
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_is_named_as_such_and_nothing_stays(format: str, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot be written \(File too large\): choose another place"):
            write(Picture(noise(300, 300, 3)), tmp_path / f"a.{format}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_places_and_formats_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    picture = Picture(smooth(), np.full((40, 60), 128, np.uint8), name="a.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    wide = Picture(np.zeros((1, 20_000), np.uint8))
    cases = [
        (picture, "no/a.png", "cannot be written: the folder .*no does not exist"),
        (picture, "folder.png", "is there already"),
        (picture, "file/a.png", r"cannot be written \(Not a directory\)"),
        (picture, "a.bmp", "does not say a format that can be written: end it in one of jpg, png, tiff, webp, avif"),
        (picture, "a.gif", "does not say a format that can be written"),
        (picture, "a", "does not say a format that can be written"),
        (picture, "a.jpg", "cannot hold the transparent parts of the picture: write png, tiff, webp or avif"),
        (wide, "a.avif", "cannot hold 20000×1 pixels, avif ends at 16,384 a side: write png or tiff"),
        (wide, "a.webp", "cannot hold 20000×1 pixels, webp ends at 16,383 a side: write png or tiff"),
        (wide, "x" * 300 + ".png", r"cannot be written \(File name too long\)"),
    ]
    for wrong, name, sentence in cases:
        with pytest.raises(OutputError, match=sentence) as error:
            write(wrong, tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(OutputError, match=r"folder\.png is a folder: give the name of a file"):
        write(picture, tmp_path / "folder.png", overwrite=True)
    for quality in (0, 101):
        with pytest.raises(OutputError, match=f"cannot be written with quality {quality}: choose 1 to 100"):
            encode(picture, "png", quality=quality)
    with pytest.raises(OutputError, match="the format bmp cannot be written: choose one of jpg, png, tiff, webp, avif"):
        encode(picture, "bmp")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_opaque_alpha_is_no_obstacle_to_jpeg(tmp_path: Path) -> None:
    write(Picture(smooth(), np.full((40, 60), 255, np.uint8)), tmp_path / "a.jpeg")
    assert read(tmp_path / "a.jpeg").alpha is None


def test_the_format_given_decides_over_the_suffix(tmp_path: Path) -> None:
    write(Picture(smooth()), tmp_path / "a.part", format="tif")
    assert read(tmp_path / "a.part").format == "tiff"


# Being a good neighbor


def test_reading_and_writing_says_nothing_and_keeps_no_file_open(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(by_pil(smooth(), "jpeg", icc_profile=profile("p3"))[:-9])
    program = f"""
import os
from colorcapsnet import exif, pictures
from colorcapsnet.errors import PictureError
folder = {str(tmp_path)!r}
def count(): return len(os.listdir("/proc/self/fd"))
for turn in range(8):
    try: pictures.read(folder + "/a.jpg")
    except PictureError: pass
    data = pictures.read({str(SAMPLES / "china.jpg")!r})
    data.save(folder + "/b.tiff", overwrite=True)
    before = count() if turn == 2 else before if turn > 2 else 0
assert count() == before, (count(), before)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.medium
def test_a_large_photograph_costs_little_more_than_its_own_array(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:4000, 0:6000]
    big = np.stack([rows % 251, columns % 241, (rows + columns) % 256], -1).astype(np.uint8)
    write(Picture(big), tmp_path / "big.jpg")
    program = f"""
from colorcapsnet import exif, pictures
start = {PEAK}
picture = pictures.read({str(tmp_path / "big.jpg")!r})
print({PEAK} - start, picture.array.nbytes / 1024)
pictures.write(picture, {str(tmp_path / "big.tiff")!r})
print({PEAK} - start)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    peak, own, both = (float(word) for word in run.stdout.split())
    assert peak < 1.4 * own
    assert both < 1.8 * own


@pytest.mark.medium
def test_threads_read_and_write_at_once_without_mixing_pictures(tmp_path: Path) -> None:
    def turn(value: int) -> bool:
        picture = Picture(np.full((200, 300, 3), value, np.uint8), metadata=Metadata(xmp=b"%d" % value))
        path = tmp_path / f"{value}.{('png', 'tiff')[value % 2]}"
        write(picture, path)
        with pytest.raises(PictureError, match=f"{value}.bad is not a JPEG"):
            bad = tmp_path / f"{value}.bad"
            bad.write_bytes(b"none")
            read(bad)
        back = read(path)
        return bool((back.array == value).all()) and back.metadata.xmp == b"%d" % value

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(turn, range(200)))
