"""The page without a server, in Chromium: the package's pictures, nothing sent anywhere, and at work offline."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from colorcapsnet import Colorizer, color, pictures
from colorcapsnet.hints import from_json

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: it drives the browser")
pytestmark = [
    pytest.mark.medium,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: the page runs in it"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed: it fetches the page's ONNX Runtime"),
]

OPEN = """async ([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const engine = await import("./engine.js");
  window.picture = await engine.open(new File([bytes], name));
  return { ...window.picture };
}"""
DOWNLOAD = """async ([decisions, format]) => {
  const bytes = new Uint8Array(await (await window.picture.download(decisions, format)).arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}"""
SHOW = """async ([method, args]) => {
  const bitmap = await window.picture[method](...args);
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  return [bitmap.width, bitmap.height, Array.from(data)];
}"""


@pytest.fixture(scope="module")
def build():
    """``page/build.py``, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("page_build", ROOT / "page/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(build, tmp_path_factory):
    """The built page's folder."""
    folder = tmp_path_factory.mktemp("site") / "page"
    build.build(folder)
    return folder


@pytest.fixture(scope="module")
def address(site):
    """Of the page on a host that sends no headers of its own."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(chromium, address):
    context = chromium.new_context()
    context.set_default_timeout(300_000)
    yield context
    context.close()


@pytest.fixture(scope="module")
def page(context, address):
    page = context.new_page()
    page.goto(address)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    return page


def encoded(array):
    return cv2.imencode(".png", array[..., ::-1] if array.ndim == 3 else array)[1].tobytes()


def opened(page, content, name="picture.png"):
    return page.evaluate(OPEN, [name, base64.b64encode(content).decode()])


def downloaded(page, decisions, format="png"):
    return pictures.read(base64.b64decode(page.evaluate(DOWNLOAD, [{"version": 1} | decisions, format])))


def shown(page, method, *args):
    width, height, data = page.evaluate(SHOW, [method, args])
    return np.array(data, np.uint8).reshape(height, width, 4)


DECISIONS = {
    "likely": {},
    "vivid": {"strength": 2},
    "candidate": {"candidate": {"seed": 1, "of": 4, "number": 2}},
    "points": {"points": [{"relative": [0.5, 0.4], "color": "#a03020"}, {"pixel": [10, 20], "color": [-10, 30]}]},
    "part": {"recolor": [{"relative": [0.5, 0.5], "color": "#1c2f66"}]},
    "kind": {"recolor": [{"capsule": 2, "color": "#208020"}], "strength": 1.4},
    "fade": {"do_no_harm": 0.8},
}


@pytest.mark.parametrize("name", ["chelsea.png", "rocket.jpg", "grace_hopper.jpg"])
def test_its_pictures_are_the_packages_within_one_step(page, name):
    """Downloads of all kinds of decisions, and previews; every gray code is kept."""
    rgb = pictures.read(ROOT / "samples" / name).array
    canvas = Colorizer().open(rgb)
    told = opened(page, encoded(rgb))
    assert (told["width"], told["height"], told["depth"]) == (canvas.picture.width, canvas.picture.height, 8)
    assert told["capsules"] == len(canvas.regions)
    for decisions in DECISIONS.values():
        hints = from_json(json.dumps({"version": 1} | decisions))
        found = downloaded(page, decisions).array
        unlike = np.abs(found.astype(int) - canvas.color(hints=hints).array).max(axis=2)
        assert (unlike > 1).mean() < 1e-5, decisions
        assert unlike.max() <= 2, decisions
        assert (color.gray_of(found) == canvas.gray).all()
    preview = shown(page, "preview", {"version": 1, "strength": 2}, 200)[..., :3]
    expected = canvas.preview(canvas.seen(200), 2.0)
    assert preview.shape == expected.shape
    assert (np.abs(preview.astype(int) - expected) > 1).mean() < 0.01  # a few of the shrunk gray codes are next ones
    assert np.abs(shown(page, "gray", 200)[..., 0].astype(int) - canvas.seen(200)).max() <= 1


def test_its_maps_and_suggestions_are_the_packages(page):
    rgb = pictures.read(ROOT / "samples/coffee.png").array
    canvas = Colorizer().open(rgb)
    opened(page, encoded(rgb))
    sure = shown(page, "confidence", 300)[..., 0]
    assert np.abs(sure.astype(int) - canvas.confidence_map(300)).max() <= 1
    drawn, expected = shown(page, "capsuleMap", 600)[..., :3].astype(int), canvas.region_map(600)
    assert (np.abs(drawn - expected).max(axis=2) > 1).mean() < 0.1  # the numbers are in another font
    assert page.evaluate("window.picture.suggest(4, {version: 1})") == [list(place) for place in canvas.suggest(4)]
    found = page.evaluate("window.picture.capsuleAt(300, 200)")
    assert (found["number"], pytest.approx(found["share"], abs=1e-3)) == canvas.capsule_at(300, 200)


def test_transparency_and_the_gray_below_it_come_through(page):
    random = np.random.default_rng(0)
    gray = pictures.read(ROOT / "samples/chelsea.png").gray[:200, :300]
    alpha = random.integers(0, 256, gray.shape, np.uint8)
    content = io.BytesIO()
    PIL.Image.merge("LA", [PIL.Image.fromarray(each) for each in (gray, alpha)]).save(content, "PNG")
    opened(page, content.getvalue())
    found = downloaded(page, {})
    assert (found.alpha == alpha).all()
    seen = alpha > 0
    assert (color.gray_of(found.array)[seen] == gray[seen]).all()
    with pytest.raises(playwright.Error, match="transparent, and a JPEG cannot be: choose PNG"):
        downloaded(page, {}, "jpg")


def test_a_photograph_that_lies_on_its_side_is_set_upright(page):
    image = PIL.Image.open(ROOT / "samples/chelsea.png").convert("L")
    exif, content = PIL.Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    image.rotate(90, expand=True).save(content, "JPEG", exif=exif, quality=95)
    told = opened(page, content.getvalue(), "lying.jpg")
    assert (told["width"], told["height"]) == image.size
    assert np.abs(shown(page, "gray", 5000)[..., 0].astype(int) - pictures.read(content.getvalue()).gray).max() <= 2


def test_files_say_what_colored_them(page):
    opened(page, encoded(pictures.read(ROOT / "samples/chelsea.png").array))
    for format in ("png", "jpg"):
        xmp = downloaded(page, {"strength": 2}, format).metadata.xmp.decode()
        assert "compositeWithTrainedAlgorithmicMedia" in xmp
        assert "<colorcapsnet:model>deep</colorcapsnet:model>" in xmp
        assert "<colorcapsnet:strength>2</colorcapsnet:strength>" in xmp


def test_a_jpeg_is_the_picture(page):
    rgb = pictures.read(ROOT / "samples/chelsea.png").array
    opened(page, encoded(rgb))
    found, exact = downloaded(page, {}, "jpg").array, downloaded(page, {}).array
    assert np.abs(found.astype(int) - exact).mean() < 3


def test_it_says_that_sixteen_bits_are_shown_in_eight(page):
    gray = pictures.read(ROOT / "samples/chelsea.png").gray
    told = opened(page, encoded(gray.astype(np.uint16) * 257))
    assert "8 of its 16 bits" in told["note"]
    assert (color.gray_of(downloaded(page, {}).array) == gray).all()
    assert "note" not in opened(page, encoded(gray))


def test_a_person_colors_a_photograph_on_the_page_and_saves_it(context, address, tmp_path):
    page = context.new_page()
    page.goto(address)
    gray = pictures.read(ROOT / "samples/chelsea.png").gray
    (tmp_path / "deep.png").write_bytes(encoded(gray.astype(np.uint16) * 257))
    page.get_by_text("No photograph leaves this device.").wait_for()
    page.set_input_files("#file", tmp_path / "deep.png")
    page.get_by_text("451 × 300 pixels, 8 bits. 8 of its 16 bits are shown and saved here").wait_for()
    page.get_by_role("button", name="Vivid").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").click()
    found = pictures.read(saved.value.path().read_bytes()).array
    vivid = Colorizer().open(gray).color(2.0).array
    assert (np.abs(found.astype(int) - vivid) > 1).mean() < 1e-5
    assert (color.gray_of(found) == gray).all()
    page.close()


def test_what_is_no_picture_is_refused_in_one_sentence(page):
    with pytest.raises(playwright.Error, match=r"letter\.png is no picture that this browser reads: give a JPEG"):
        opened(page, b"Dear grandmother", "letter.png")
    opened(page, encoded(np.full((40, 50), 99, np.uint8)))
    with pytest.raises(playwright.Error, match="strength is a number from 0 to 2, not 3"):
        downloaded(page, {"strength": 3})
    page.evaluate("window.picture.close()")
    with pytest.raises(playwright.Error, match="this picture was closed: open it again"):
        downloaded(page, {})


def test_nothing_leaves_the_machine_and_it_works_offline_and_with_threads(chromium, address):
    """Loaded once, the page is cut off from all networks, loaded again from the browser's store, and colors."""
    context = chromium.new_context()
    context.set_default_timeout(300_000)
    page = context.new_page()
    page.goto(address)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    rgb = pictures.read(ROOT / "samples/chelsea.png").array
    opened(page, encoded(rgb))
    sent = []
    context.on("request", lambda request: sent.append(request.url))
    told = opened(page, encoded(rgb))
    online = downloaded(page, {"strength": 2}).array
    shown(page, "preview", {"version": 1}, 100)
    assert told["width"] == rgb.shape[1]
    assert sent == []
    context.set_offline(True)
    page.reload()
    assert page.evaluate("crossOriginIsolated")
    opened(page, encoded(rgb))
    assert np.abs(downloaded(page, {"strength": 2}).array.astype(int) - online).max() <= 1
    assert all(url.startswith((address, "blob:")) for url in sent), sent
    context.close()


def test_the_browser_itself_would_stop_a_picture_from_leaving(page):
    """The policy in the page forbids every connection but to its own files."""
    blocked = page.evaluate(
        """async () => {
          const told = new Promise((resolve) => addEventListener("securitypolicyviolation", resolve));
          await fetch("https://example.org/", { method: "POST", body: "picture" }).catch(() => {});
          return (await told).violatedDirective;
        }"""
    )
    assert blocked == "connect-src"


def test_the_page_weighs_less_than_its_budget_and_says_so(build, tmp_path, capsys):
    build.build(tmp_path / "page")
    told = capsys.readouterr().out
    assert "network.onnx" in told
    assert float(told.rsplit(" kB over the wire", 1)[0].split()[-1].replace(",", "")) < 25_000
    files = {path.name for path in (tmp_path / "page").iterdir()}
    assert {"index.html", "engine.js", "worker.js", "_headers", "licenses.txt", "service-worker.js"} <= files
    assert "import * as ort" not in (tmp_path / "page/engine.js").read_text()


def test_it_builds_over_an_earlier_build_and_over_nothing_else(build, tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(SystemExit, match="holds other files: name an empty folder"):
        build.build(tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "mine"
    build.build(tmp_path / "page")
    (tmp_path / "page/old.js").write_text("")
    build.build(tmp_path / "page")
    assert not (tmp_path / "page/old.js").exists()
