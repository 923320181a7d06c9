"""Whether lightness was kept: what is proved, what is caught, what is allowed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from colorcapsnet import color, pictures
from colorcapsnet.pictures import Picture
from colorcapsnet.verify import pairs, verify
from tests import heic

SAMPLE = Path(__file__).parents[1] / "samples" / "chelsea.png"


def colored(gray):
    """A gray picture in all hues."""
    hue = np.linspace(0, 2 * np.pi, gray.size).reshape(gray.shape)
    return color.merge(gray, np.stack([30 * np.cos(hue), 30 * np.sin(hue)], axis=-1).astype(np.float32))


def gray_sample(dtype):
    eight = pictures.read(SAMPLE).gray[:120, :160].copy()
    return eight if dtype == np.uint8 else (eight.astype(np.uint16) * 257 + np.arange(160, dtype=np.uint16))


def saved(array, path, **how):
    pictures.write(Picture(array), path, **how)
    return path


@pytest.mark.parametrize(("dtype", "name", "how"), [
    (np.uint8, "c.png", {}), (np.uint8, "c.tif", {}), (np.uint8, "c.webp", {"lossless": True}),
    (np.uint8, "c.avif", {"lossless": True}),
    (np.uint16, "c.png", {}), (np.uint16, "c.tif", {}),
])  # fmt: skip
def test_formats_without_loss_keep_every_code_and_one_changed_code_is_found(dtype, name, how, tmp_path):
    gray = gray_sample(dtype)
    source, rgb = saved(gray, tmp_path / "g.png"), colored(gray)
    assert verify(source, saved(rgb, tmp_path / name, **how)).kept
    rgb[7, 11] = color.merge(gray[7:8, 11:12] + 1, np.zeros((1, 1, 2), np.float32))[0, 0]
    verdict = verify(source, saved(rgb, tmp_path / f"2{name}", **how))
    assert not verdict.kept
    assert "the first at 11,7" in verdict.message
    assert 0 < verdict.largest < 2


def test_of_a_picture_in_color_it_is_rec_601_that_is_kept(tmp_path):
    rgb = pictures.read(SAMPLE).array
    assert verify(SAMPLE, saved(colored(color.gray(rgb)), tmp_path / "c.png")).kept


@pytest.mark.parametrize("quality", [60, 80, 95])
def test_jpeg_may_be_off_as_the_gray_picture_alone_is(quality, tmp_path):
    gray = gray_sample(np.uint8)
    source = saved(gray, tmp_path / "g.png")
    verdict = verify(source, saved(colored(gray), tmp_path / "c.jpg", quality=quality))
    assert verdict.kept
    assert verdict.mean > 0
    assert "within" in verdict.message


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lossy_avif_may_be_off_as_the_gray_picture_alone_is(dtype, tmp_path):
    gray = gray_sample(dtype)
    verdict = verify(saved(gray, tmp_path / "g.png"), saved(colored(gray), tmp_path / "c.avif"))
    assert verdict.kept
    assert verdict.mean > 0
    assert "within" in verdict.message


def test_of_an_avif_with_all_that_travels_beside_pixels_every_code_is_proved(tmp_path):
    gray = gray_sample(np.uint8)
    carried = pictures.read(heic.ROTATED).metadata
    for alpha in (None, gray):
        picture = Picture(colored(gray), alpha, carried)
        picture.save(tmp_path / "c.avif", lossless=True, overwrite=True)
        source = saved(gray, tmp_path / "g.png", overwrite=True)
        assert "every gray code is kept" in verify(source, tmp_path / "c.avif").message
        saved(gray ^ 1, source, overwrite=True)
        assert "of the gray codes changed" in verify(source, tmp_path / "c.avif").message


def test_a_large_profile_hides_no_loss_from_the_proof(tmp_path):
    gray = gray_sample(np.uint8)
    rgb = colored(gray)
    rgb[0, 0] = rgb[0, 0] ^ 64
    srgb = bytes(pictures.pyvips.Operation.call("profile_load", "srgb")) + bytes(9000)
    large = len(srgb).to_bytes(4, "big") + srgb[4:]
    for name in ("c.webp", "c.avif"):
        picture = Picture(rgb, metadata=pictures.Metadata(icc=large))
        picture.save(tmp_path / name, lossless=True)
        assert len(pictures.read(tmp_path / name).metadata.icc) == len(large)
        assert "of the gray codes changed" in verify(saved(gray, tmp_path / f"{name}.png"), tmp_path / name).message


@pytest.mark.parametrize("name", ["c.jpg", "c.webp", "c.avif"])
def test_lightness_that_was_redrawn_is_caught_behind_lossy_formats(name, tmp_path):
    gray = gray_sample(np.uint8)
    source, brighter = saved(gray, tmp_path / "g.png"), np.clip(gray.astype(int) + 6, 0, 255).astype(np.uint8)
    assert verify(source, saved(colored(gray), tmp_path / f"kept-{name}")).kept
    assert not verify(source, saved(colored(brighter), tmp_path / name)).kept


def test_eight_bits_of_sixteen_are_not_every_code(tmp_path):
    gray = gray_sample(np.uint16)
    source = saved(gray, tmp_path / "g.png")
    verdict = verify(source, saved(colored(color.eight_bits(gray)), tmp_path / "c.png"))
    assert not verdict.kept
    assert "8 bits and the input 16" in verdict.message


def test_another_picture_is_another_picture(tmp_path):
    source = saved(gray_sample(np.uint8), tmp_path / "g.png")
    assert (
        "120×160 instead of 160×120"
        in verify(source, saved(gray_sample(np.uint8).T.copy(), tmp_path / "t.png")).message
    )


def test_every_page_of_a_tiff_is_proved(tmp_path):
    eight, deep = gray_sample(np.uint8), gray_sample(np.uint16)[:40]
    pictures.write_pages([Picture(eight), Picture(deep)], tmp_path / "g.tif")
    pages = [Picture(colored(eight)), Picture(colored(deep))]
    pictures.write_pages(pages, tmp_path / "c.tif")
    verdict = verify(tmp_path / "g.tif", tmp_path / "c.tif")
    assert (verdict.kept, verdict.message) == (True, f"{tmp_path / 'c.tif'}: every gray code is kept on all 2 pages")
    assert verify(tmp_path / "g.tif", saved(colored(eight), tmp_path / "c.png")).message.endswith("first of 2 pages)")
    lacking = verify(tmp_path / "g.tif", saved(colored(eight), tmp_path / "one.tif"))
    assert (lacking.kept, "has 1 of the 2 pages" in lacking.message) == (False, True)
    pages[1].array[3, 5] ^= 4096
    pictures.write_pages(pages, tmp_path / "c.tif", overwrite=True)
    caught = verify(tmp_path / "g.tif", tmp_path / "c.tif")
    assert not caught.kept
    assert "the first at 5,3" in caught.message
    assert caught.message.endswith("(page 2 of 2)")


def run(*arguments):
    command = [sys.executable, "-m", "colorcapsnet", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_person_proves_a_folder(tmp_path):
    for name in ("a.png", "in/b.tif"):
        (tmp_path / "scans" / name).parent.mkdir(parents=True, exist_ok=True)
        saved(gray_sample(np.uint8)[:40, :50].copy(), tmp_path / "scans" / name)
    assert run("colorize", tmp_path / "scans", "-o", tmp_path / "out").returncode == 0
    proved = run("verify", tmp_path / "scans", tmp_path / "out")
    assert proved.returncode == 0, proved.stderr
    assert proved.stdout.count("every gray code is kept") == 2
    saved(gray_sample(np.uint8)[40:80, :50].copy(), tmp_path / "out/a.png", overwrite=True)
    caught = run("verify", tmp_path / "scans", tmp_path / "out")
    assert caught.returncode == 1
    assert "1 of 2 did not keep their lightness" in caught.stderr
    (tmp_path / "out/a.png").unlink()
    assert "a.png is missing" in run("verify", tmp_path / "scans", tmp_path / "out").stderr


def test_outputs_in_another_format_are_found(tmp_path):
    for name in ("scans/a.png", "out/a.jpg"):
        (tmp_path / name).parent.mkdir()
        saved(gray_sample(np.uint8), tmp_path / name)
    assert [out.name for _, out in pairs(tmp_path / "scans", tmp_path / "out")] == ["a.jpg"]
