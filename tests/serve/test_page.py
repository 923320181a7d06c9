"""The page, used as a person uses it: a browser, a photograph, a mouse, a finger or a keyboard."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from colorcapsnet import Colorizer, color, hints, pictures

CHROMIUM = Path("/usr/bin/chromium")
SAMPLES = Path(__file__).parents[2] / "samples"
ASTRONAUT = SAMPLES / "astronaut.png"
WIDE = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
PATIENCE = 120_000  # milliseconds, on a busy machine
SEEN = "new Promise(seen => requestAnimationFrame(() => requestAnimationFrame(seen)))"
SUIT, WALL = (0.45, 0.62), (0.55, 0.04)  # places of the astronaut's picture, as shares of its sides

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def address():
    pytest.importorskip("fastapi", reason="the server needs the extra web")
    command = [sys.executable, "-m", "colorcapsnet", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        yield re.match(r"http://\S+", server.stdout.readline())[0]
        server.terminate()


@pytest.fixture(scope="module")
def chromium():
    api = pytest.importorskip("playwright.sync_api", reason="the page is tried by playwright, of the extra dev")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM} to show the page")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, address):
    """Open the page in a window of its own; whatever goes wrong in it fails the test."""
    contexts, wrong = [], []

    def visit(**window):
        context = chromium.new_context(**WIDE | window)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(address)
        page.wait_for_selector("#takes:not(:empty)")
        page.evaluate(SEEN)  # a browser drops the keys that come before
        return page

    yield visit
    for context in contexts:
        context.close()
    assert [each for each in wrong if not each.startswith("Failed to load resource")] == []


@pytest.fixture
def page(visit):
    return visit()


@pytest.fixture
def opened(page):
    return with_photograph(page)


def with_photograph(page, path=ASTRONAUT):
    page.get_by_label("Choose a photograph").set_input_files(path)
    page.get_by_text("Colored. Move the line to compare.").wait_for()
    return settled(page)


def settled(page):
    """Every question to the server is answered."""
    page.wait_for_selector("#work[aria-busy=false] #color[data-drawn]")
    return page


def shown(page, canvas="color"):
    """What a canvas of the page shows, ``(h, w, 3)``."""
    url = page.evaluate(f"document.getElementById('{canvas}').toDataURL()")
    return np.array(PIL.Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))


def looks(page):
    """The picture as it lies on the screen, with the divider."""
    return np.array(PIL.Image.open(io.BytesIO(page.locator("#stage").screenshot())).convert("RGB"))


def ab(rgb, at=None, reach=0.02):
    """Mean a and b, around a place if one is given."""
    if at is not None:
        (height, width), (x, y) = rgb.shape[:2], at
        rows, columns = (slice(int((c - reach) * n), int((c + reach) * n) + 1) for c, n in ((y, height), (x, width)))
        rgb = rgb[rows, columns]
    return color.srgb_to_lab(rgb)[..., 1:].mean(axis=(0, 1))


def chroma(rgb):
    return np.hypot(*np.moveaxis(color.srgb_to_lab(rgb)[..., 1:], -1, 0)).mean()


def on_screen(page, at):
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    return box["x"] + at[0] * box["width"], box["y"] + at[1] * box["height"]


def click(page, at):
    page.mouse.click(*on_screen(page, at))


def drag(page, start, end):
    page.mouse.move(*on_screen(page, start))
    page.mouse.down()
    page.mouse.move(*on_screen(page, ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)))
    page.mouse.move(*on_screen(page, end))
    page.mouse.up()


def turn_to(page, tab):
    page.get_by_role("tab", name=tab).click()
    return settled(page)


def choose(page, name):
    page.get_by_role("radio", name=name, exact=True).click()


def pull(page, label, value):
    """Move a slider of the panel, as a drag of its thumb does."""
    page.get_by_role("slider", name=label).fill(str(value))
    return settled(page)


def download(page, button="Download", to=None):
    with page.expect_download(timeout=PATIENCE) as waiting:
        page.get_by_role("button", name=button, exact=True).click()
    path = to / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def decisions(page, folder):
    return json.loads(download(page, "Save decisions", folder).read_text())


# A photograph comes in


def test_a_dropped_photograph_is_colored(page):
    page.evaluate(
        """([text]) => {
            const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], "grandmother.png", { type: "image/png" }));
            document.body.dispatchEvent(new DragEvent("dragenter", { dataTransfer, bubbles: true, cancelable: true }));
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        [base64.b64encode(ASTRONAUT.read_bytes()).decode()],
    )
    page.get_by_text("Colored. Move the line to compare.").wait_for()
    assert page.title() == "grandmother in color"
    assert page.get_by_text("Drop the photograph").is_hidden()
    assert chroma(shown(page)) > 5
    assert page.get_by_text("Colors are plausible, never true.").first.is_visible()


def test_a_pasted_photograph_is_colored(page):
    page.evaluate(
        """([text]) => {
            const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([bytes], "image.png", { type: "image/png" }));
            document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
        }""",
        [base64.b64encode(ASTRONAUT.read_bytes()).decode()],
    )
    page.get_by_text("Colored. Move the line to compare.").wait_for()
    assert chroma(shown(page)) > 5


def test_who_has_no_photograph_takes_the_sample(page):
    page.get_by_role("button", name="No photograph at hand?").click()
    page.get_by_text("Colored. Move the line to compare.").wait_for()
    assert page.title() == "sample in color"


def test_a_text_file_that_is_named_as_a_picture_gets_a_clear_sentence(page, tmp_path):
    (tmp_path / "letter.jpg").write_text("Dear grandmother")
    page.get_by_label("Choose a photograph").set_input_files(tmp_path / "letter.jpg")
    told = page.get_by_role("alert")
    told.wait_for()
    assert "is not a JPEG, PNG, TIFF, WebP, AVIF" in told.inner_text()
    with_photograph(page)  # and the page goes on
    assert told.is_hidden()


def test_a_broken_file_leaves_the_photograph_that_was_there(opened, tmp_path):
    (tmp_path / "torn.png").write_bytes(ASTRONAUT.read_bytes()[:5000])
    opened.locator("#file").set_input_files(tmp_path / "torn.png")
    told = opened.get_by_role("alert")
    told.wait_for()
    box, stage = told.bounding_box(), opened.locator("#stage").bounding_box()
    assert stage["y"] - 20 <= box["y"] <= stage["y"] + stage["height"]  # near the picture
    opened.get_by_role("button", name="Vivid").click()
    assert opened.title() == "astronaut in color"
    opened.get_by_role("button", name="Close this message").click()
    assert told.is_hidden()


def test_a_file_that_is_too_large_is_not_sent(page, tmp_path):
    with (tmp_path / "huge.tif").open("wb") as file:
        file.truncate(2**27 + 2**20)
    sent = []
    page.on("request", lambda request: sent.append(request.method))
    page.get_by_label("Choose a photograph").set_input_files(tmp_path / "huge.tif")
    page.get_by_role("alert").wait_for()
    assert page.get_by_role("alert").inner_text().startswith("Huge.tif has 129 MB: at most 128 MB can be opened.")
    assert "POST" not in sent


# Looking


def test_the_divider_shows_gray_on_its_left_and_color_on_its_right(opened):
    drag(opened, (0.5, 0.3), (0.9, 0.3))
    looked = looks(opened)
    width = looked.shape[1]
    assert chroma(looked[:, int(0.1 * width) : int(0.85 * width)]) < 1
    drag(opened, (0.9, 0.3), (0.1, 0.3))
    looked = looks(opened)
    assert chroma(looked[: int(0.8 * len(looked)), int(0.15 * width) : int(0.95 * width)]) > 5
    assert opened.get_by_role("slider", name="How much of the picture").get_attribute("aria-valuetext") == (
        "10% gray, 90% color"
    )


def test_bolder_is_more_colorful_and_gray_is_gray(opened):
    likely = chroma(shown(opened))
    opened.get_by_role("button", name="Vivid").click()
    assert chroma(shown(settled(opened))) > 1.2 * likely
    assert opened.get_by_role("slider", name="How bold").get_attribute("aria-valuetext") == "vivid"
    pull(opened, "How bold", 0)
    assert chroma(shown(opened)) < 1.5  # what JPEG adds


def test_previews_are_asked_one_at_a_time_as_large_as_shown_and_the_newest_wins(opened):
    waiting, most, asked = set(), 0, []

    def begin(request):
        nonlocal most
        if "/preview" in request.url:
            waiting.add(request)
            asked.append(request)
            most = max(most, len(waiting))

    opened.on("request", begin)
    opened.on("requestfinished", lambda request: waiting.discard(request))
    slider = opened.get_by_role("slider", name="How bold")
    for step in range(40):
        slider.fill(str(0.05 * step))
    settled(opened)
    large = [request for request in asked if "side=256" not in request.url]
    assert most == 1
    assert len(large) < 40
    assert json.loads(large[-1].post_data)["strength"] == 1.95
    stage = opened.locator("#stage").bounding_box()
    assert 512 == max(shown(opened).shape) <= max(stage["width"], stage["height"])  # never larger than the photograph


def test_another_candidate_is_picked_and_others_are_offered(opened):
    group = opened.get_by_role("group", name="More like this")
    assert group.get_by_role("button").count() == 6
    first = shown(opened)
    group.get_by_role("button", name="Other 5").click()
    other = shown(settled(opened))
    assert np.abs(first.astype(int) - other).mean() > 1
    assert group.get_by_role("button", name="Other 5").get_attribute("aria-pressed") == "true"
    opened.get_by_role("button", name="Show others").click()
    assert settled(opened).get_by_role("button", name="Other 10").is_visible()
    assert np.array_equal(shown(opened), other)  # until another is picked
    group.get_by_role("button", name="First guess").click()
    assert np.array_equal(shown(settled(opened)), first)


def test_how_sure_shows_a_gray_map_and_fades_guesses(opened):
    before = chroma(shown(opened))
    turn_to(opened, "How sure")
    sure = shown(opened, "under")
    assert np.ptp(sure.astype(int), axis=2).max() <= 2 and sure.std() > 10
    pull(opened, "Fade what is unsure", 1)
    assert chroma(shown(opened)) < 0.7 * before
    assert opened.get_by_text("below 100% sure").is_visible()


# Deciding


def test_a_color_at_a_place_changes_the_picture_there(opened):
    before = shown(opened)
    turn_to(opened, "Fix a color")
    choose(opened, "Red")
    click(opened, SUIT)
    after = shown(settled(opened))
    assert ab(after, SUIT)[0] > ab(before, SUIT)[0] + 20
    assert np.hypot(*(ab(after, WALL) - ab(before, WALL))) < 10
    assert opened.get_by_role("button", name="Place 1: Red").is_visible()
    choose(opened, "Leaf")
    assert ab(shown(settled(opened)), SUIT)[0] < -10
    opened.get_by_role("button", name="Remove Place 1").click()
    assert np.array_equal(shown(settled(opened)), before)


def test_a_place_can_be_moved(opened, tmp_path):
    turn_to(opened, "Fix a color")
    choose(opened, "Navy")
    click(opened, SUIT)
    settled(opened)
    drag(opened, SUIT, (0.25, 0.25))
    settled(opened)
    ((x, y),) = [point["pixel"] for point in decisions(opened, tmp_path)["points"]]
    assert abs(x - 128) <= 2 and abs(y - 128) <= 2
    assert opened.get_by_role("button", name="Undo").is_enabled()


def test_as_it_is_keeps_a_place_from_changing(opened):
    """Two places of one wall: what is given to the one spreads to the other, unless that is held."""
    turn_to(opened, "Fix a color")
    here, there = (0.3, 0.2), (0.65, 0.15)
    before = ab(shown(opened), here)
    choose(opened, "As it is")
    click(opened, here)
    settled(opened)
    opened.get_by_role("button", name="Place 1:").click()  # so that the next color is not for it
    choose(opened, "Leaf")
    click(opened, there)
    held = ab(shown(settled(opened)), here)
    opened.get_by_role("button", name="Remove Place 1").click()
    free = ab(shown(settled(opened)), here)
    assert np.hypot(*(held - before)) < 0.5 * np.hypot(*(free - before))


def test_it_says_where_a_color_would_help(opened):
    turn_to(opened, "Fix a color")
    opened.get_by_role("button", name="Where would it help?").click()
    settled(opened)
    open_places = opened.get_by_role("button", name="A color here would help")
    assert open_places.count() == 5
    open_places.first.click()
    assert settled(opened).get_by_role("button", name=re.compile("^Place 1: ")).is_visible()
    assert open_places.count() == 4


def test_a_part_and_a_kind_are_painted(opened):
    before = shown(opened)
    turn_to(opened, "Kinds of things")
    click(opened, SUIT)
    settled(opened)
    kind = opened.get_by_label("Kind", exact=True).input_value()
    choose(opened, "Leaf")
    opened.get_by_role("button", name="Paint this part").click()
    part = shown(settled(opened))
    assert ab(part, SUIT)[0] < ab(before, SUIT)[0] - 15
    opened.get_by_role("button", name=f"Paint all of kind {kind}").click()
    everything = shown(settled(opened))
    assert np.abs(everything.astype(int) - before).mean() > np.abs(part.astype(int) - before).mean()
    assert opened.get_by_role("button", name=f"All of kind {kind}: Leaf").is_visible()


def test_what_was_decided_is_undone_and_done_again(opened):
    first = shown(opened)
    opened.get_by_role("button", name="Vivid").click()
    vivid = shown(settled(opened))
    turn_to(opened, "Fix a color")
    click(opened, SUIT)
    settled(opened)
    opened.keyboard.press("Control+z")
    assert np.array_equal(shown(settled(opened)), vivid)
    opened.get_by_role("button", name="Undo").click()
    assert np.array_equal(shown(settled(opened)), first)
    assert opened.get_by_role("button", name="Undo").is_disabled()
    opened.keyboard.press("Control+Shift+z")
    assert np.array_equal(shown(settled(opened)), vivid)


# Files


def test_the_download_is_what_the_command_makes_of_the_saved_decisions(opened, tmp_path):
    opened.get_by_role("button", name="Other 3").click()
    pull(opened, "How bold", 1.4)
    turn_to(opened, "Fix a color")
    choose(opened, "Red")
    click(opened, SUIT)
    turn_to(opened, "Kinds of things")
    click(opened, (0.8, 0.8))
    settled(opened)
    choose(opened, "Navy")
    opened.get_by_role("button", name="Paint this part").click()
    settled(opened)
    picture = pictures.read(download(opened, to=tmp_path))
    decided = hints.read(download(opened, "Save decisions", tmp_path))
    assert Path(picture.name).name == "astronaut-color.png"
    assert decided.strength == 1.4 and len(decided.points) == len(decided.recolor) == 1
    assert np.array_equal(picture.array, Colorizer().colorize(str(ASTRONAUT), hints=decided).array)


def test_a_large_photograph_of_16_bits_is_shown_small_and_downloaded_whole(page, tmp_path):
    gray = cv2.resize(pictures.read(ASTRONAUT).gray, (2000, 1400), interpolation=cv2.INTER_CUBIC)
    gray = gray.astype(np.uint16) * 257 + np.arange(2000, dtype=np.uint16) % 7
    pictures.write(pictures.Picture(gray), tmp_path / "scan.tif")
    with_photograph(page, tmp_path / "scan.tif")
    assert page.get_by_text("Full size: 2000 × 1400 pixels, 16 bits.").is_visible()
    assert max(shown(page).shape) < 1000
    (tmp_path / "out").mkdir()
    colored = pictures.read(download(page, to=tmp_path / "out"))
    assert Path(colored.name).name == "scan-color.tif"
    assert colored.array.shape == (1400, 2000, 3) and colored.array.dtype == np.uint16
    assert np.array_equal(color.gray_of(colored.array), gray)


def test_saved_decisions_are_loaded_again(opened, visit, tmp_path):
    opened.get_by_role("button", name="Other 2").click()
    turn_to(opened, "Fix a color")
    choose(opened, "Sky")
    click(opened, SUIT)
    colors = shown(settled(opened))
    saved = download(opened, "Save decisions", tmp_path)
    later = with_photograph(visit())
    later.locator("#load-hints").set_input_files(saved)
    later.get_by_text("astronaut-hints.json is loaded.").wait_for()
    assert np.array_equal(shown(settled(later)), colors)
    assert later.get_by_role("button", name="Other 2").get_attribute("aria-pressed") == "true"


def test_places_that_wait_for_a_color_are_shown_and_other_forms_of_hints_are_read(opened, tmp_path):
    told = {"version": 1, "points": [{"pixel": [100, 90], "color": None}, {"relative": [0.5, 0.5], "color": [40, -30]}]}
    (tmp_path / "hints.json").write_text(json.dumps(told))
    opened.locator("#load-hints").set_input_files(tmp_path / "hints.json")
    opened.get_by_text("hints.json is loaded.").wait_for()
    turn_to(opened, "Fix a color")
    assert opened.get_by_role("button", name="A color here would help").count() == 1
    assert decisions(opened, tmp_path)["points"] == [{"pixel": [256, 256], "color": [40, -30]}]


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ("no json", "No.json is no file of decisions: choose one that was saved here."),
        ('{"version": 2}', "No.json is no file of decisions of version 1: choose one that was saved here."),
        (
            '{"version": 1, "size": [8, 9]}',
            "No.json is for a picture of 8×9 pixels, and this one is 512×512.",
        ),
        ('{"version": 1, "recolor": [{"capsule": 99, "color": "#a03020"}]}', "there is no capsule 99"),
        ('{"version": 1, "reference": "other.jpg"}', "takes colors from another picture"),
    ],
)
def test_decisions_that_do_not_fit_are_refused_and_those_made_stay(opened, tmp_path, told, sentence):
    opened.get_by_role("button", name="Vivid").click()
    before = shown(settled(opened))
    (tmp_path / "no.json").write_text(told)
    opened.locator("#load-hints").set_input_files(tmp_path / "no.json")
    opened.get_by_role("alert").wait_for()
    assert sentence.lower() in opened.get_by_role("alert").inner_text().lower()
    assert np.array_equal(shown(settled(opened)), before)
    assert decisions(opened, tmp_path)["strength"] == 2


def test_a_photograph_that_the_server_forgot_is_sent_again(page):
    with page.expect_request("**/preview*") as asked:
        with_photograph(page)
    picture = asked.value.url.partition("/preview")[0]
    urllib.request.urlopen(urllib.request.Request(picture, method="DELETE"))
    likely = chroma(shown(page))
    page.get_by_role("button", name="Vivid").click()
    assert chroma(shown(settled(page))) > 1.2 * likely
    assert page.get_by_role("alert").is_hidden()


def test_a_server_that_is_gone_is_named_in_one_sentence_until_it_answers_again(opened):
    opened.route("**/api/**", lambda route: route.abort())
    opened.get_by_role("button", name="Vivid").click()
    opened.get_by_role("alert").wait_for()
    assert (
        "The server does not answer: see that it still runs, then try again."
        in opened.get_by_role("alert").inner_text()
    )
    opened.unroute("**/api/**")
    opened.get_by_role("button", name="Likely").click()
    opened.get_by_role("alert").wait_for(state="hidden")


# Without a mouse, on a phone, for everyone


def test_everything_is_done_by_keyboard_alone(page, tmp_path):
    press = page.keyboard.press
    with page.expect_file_chooser() as chooser:
        press("Tab")
        press("Enter")
    chooser.value.set_files(ASTRONAUT)
    page.get_by_text("Colored. Move the line to compare.").wait_for()
    press("Tab")  # from the title of the picture to the divider
    press("End")
    assert page.evaluate("document.activeElement.getAttribute('aria-valuetext')") == "100% gray, 0% color"
    page.get_by_role("tab", name="Colors").focus()
    press("ArrowRight")
    assert page.get_by_role("tabpanel", name="Fix a color").is_visible()
    press("Tab")
    press("ArrowRight")  # to the next color
    assert page.get_by_role("radio", name="Tan skin").is_checked()
    while page.evaluate("document.activeElement.id") != "aim":
        press("Shift+Tab")
    for _ in range(5):
        press("ArrowDown")
    press("Enter")
    settled(page)
    press("Shift+Tab")  # to the new place
    press("ArrowLeft")
    settled(page)
    ((x, y),) = [point["pixel"] for point in decisions(page, tmp_path)["points"]]
    assert (x, y) == (251, 281)
    page.get_by_role("button", name="Place 1, Tan skin").focus()
    press("Delete")
    settled(page)
    assert "points" not in decisions(page, tmp_path)
    press("Control+z")
    assert page.get_by_role("button", name="Place 1: Tan skin").is_visible()


def test_a_finger_moves_the_divider_and_places_a_color(visit):
    phone = with_photograph(visit(**PHONE))
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    assert max(shown(phone).shape) == 512
    touch = phone.context.new_cdp_session(phone)
    for kind, x in (("touchStart", 0.5), ("touchMove", 0.4), ("touchMove", 0.3), ("touchMove", 0.2), ("touchEnd", 0.2)):
        left, top = on_screen(phone, (x, 0.5))
        points = [] if kind == "touchEnd" else [{"x": left, "y": top}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert abs(int(phone.get_by_role("slider", name="How much of the picture").input_value()) - 20) <= 1
    phone.get_by_role("tab", name="Fix a color").tap()
    phone.get_by_role("radio", name="Red").tap()
    before = ab(shown(settled(phone)), SUIT)
    phone.touchscreen.tap(*on_screen(phone, SUIT))
    assert ab(shown(settled(phone)), SUIT)[0] > before[0] + 20
    assert phone.locator("#stage").bounding_box()["y"] >= 0  # the picture stays in sight
    heights = [each.bounding_box()["height"] for each in phone.locator("button:visible, .button:visible").all()]
    assert min(heights) >= 30


def test_on_a_phone_held_sideways_everything_can_be_reached(visit, tmp_path):
    phone = with_photograph(visit(**PHONE | {"viewport": {"width": 844, "height": 390}}))
    assert phone.evaluate("document.documentElement.scrollWidth") <= 844
    assert decisions(phone, tmp_path)["version"] == 1
    last = phone.get_by_role("button", name="Save decisions").bounding_box()
    panel = phone.locator("#panel").bounding_box()
    assert last["y"] + last["height"] <= panel["y"] + panel["height"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_about(visit, scheme):
    """Contrast, names, roles: the rules of WCAG 2.2, A and AA, that a program can check."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is of the extra dev").Axe()
    page = visit(color_scheme=scheme)

    def complaints():
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = axe.run(page, options={"runOnly": {"type": "tag", "values": tags}})
        return [(each["id"], [node["target"] for node in each["nodes"]]) for each in found.response["violations"]]

    assert complaints() == []
    with_photograph(page)
    for tab in ("Colors", "Fix a color", "Kinds of things", "How sure"):
        turn_to(page, tab)
        if tab in ("Fix a color", "Kinds of things"):
            click(page, SUIT)
            settled(page)
        assert complaints() == [], tab
