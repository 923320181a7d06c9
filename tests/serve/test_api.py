"""The HTTP API as its callers know it: every answer is what Canvas answers, every refusal is one clear sentence."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from hypothesis import given

from colorcapsnet import color, pictures
from colorcapsnet.hints import Candidate, Capsule, Hints, Point
from colorcapsnet.pictures import Picture
from colorcapsnet.serve.schema import HINTS
from tests.serve import SAMPLES
from tests.serve.conftest import opened
from tests.test_hints import decisions

CHELSEA = (SAMPLES / "chelsea.png").read_bytes()
NOTHING = {"version": 1}
DECIDED = Hints(
    points=[Point(225, 150, "#a03020"), Point(0.1, 0.1, None, relative=True)],
    recolor=[Capsule(0, "#2040a0"), Point(10, 10, (30, 20))],
    candidate=Candidate(1, 4, 2),
    strength=1.4,
    do_no_harm=0.3,
    size=(451, 300),
)


def as_sent(hints):
    return json.loads(hints.to_json())


@pytest.fixture
def canvas(colorizer):
    return colorizer.open(CHELSEA)


def test_it_says_what_it_is_and_takes(client):
    told = client.get("/api/about").json()
    assert (told["name"], told["model"], told["offline"]) == ("colorcapsnet", "tiny-photo", False)
    assert {"image/jpeg", "image/png", "image/tiff"} <= set(told["accepts"])
    assert told["formats"] == [*pictures.FORMATS]
    assert told["maxPixels"] == 100_000_000 and told["maxBytes"] == 2**27


def test_heic_is_taken_where_it_can_be_read_so_that_elsewhere_phones_send_jpeg(client, monkeypatch):
    assert "image/heic" in client.get("/api/about").json()["accepts"]
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    assert "image/heic" not in client.get("/api/about").json()["accepts"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_picture_that_was_sent_is_described(client, dtype):
    gray = Picture(np.zeros((40, 60), dtype))
    answer = client.post("/api/pictures", content=pictures.encode(gray, "png"), params={"name": "C:\\scans\\oma.png"})
    told = answer.json()
    assert answer.status_code == 201 and len(told.pop("id")) >= 22
    depth = 8 * np.dtype(dtype).itemsize
    assert told == {"name": "oma.png", "width": 60, "height": 40, "depth": depth, "capsules": 3, "pages": 1}


def test_ids_differ_for_the_same_picture(client):
    assert len({opened(client, CHELSEA) for _ in range(5)}) == 5


@pytest.mark.parametrize(("side", "shape"), [(100, (67, 100)), (451, (300, 451)), (4096, (300, 451)), (1, (1, 1))])
def test_what_is_shown_has_the_size_that_was_asked_for(client, cat, canvas, side, shape):
    shown = {
        "gray": client.get(f"{cat}/gray", params={"side": side}),
        "capsules": client.get(f"{cat}/capsules", params={"side": side}),
        "confidence": client.get(f"{cat}/confidence", params={"side": side}),
        "preview": client.post(f"{cat}/preview", params={"side": side}, json=NOTHING),
    }
    kinds = {name: answer.headers["content-type"] for name, answer in shown.items()}
    assert kinds == {"gray": "image/jpeg", "capsules": "image/png", "confidence": "image/png", "preview": "image/jpeg"}
    read = {name: pictures.read(answer.content).array for name, answer in shown.items()}
    assert {array.shape[:2] for array in read.values()} == {shape}
    assert np.array_equal(read["capsules"], canvas.region_map(side))
    assert np.array_equal(read["confidence"], canvas.confidence_map(side))
    assert np.abs(read["gray"].astype(int) - canvas.seen(side)).mean() < 4


@pytest.mark.parametrize("hints", [Hints(), DECIDED], ids=["nothing", "decided"])
def test_a_preview_is_the_canvass(client, cat, canvas, hints):
    shown = pictures.read(client.post(f"{cat}/preview", params={"side": 200}, json=as_sent(hints)).content).array
    expected = canvas.preview(canvas.seen(200), hints=hints)
    assert np.abs(shown.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("format", pictures.FORMATS)
@pytest.mark.parametrize("hints", [Hints(), DECIDED], ids=["nothing", "decided"])
def test_a_download_is_the_picture_in_full_size_and_in_the_format(client, cat, canvas, hints, format):
    answer = client.post(f"{cat}/color", params={"format": format}, json=as_sent(hints))
    made = pictures.read(answer.content)
    expected = canvas.color(hints=hints)
    suffix = pictures.FORMATS[format][0]
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''chelsea-color{suffix}"
    assert made.format == format and made.array.shape == (300, 451, 3)
    assert np.array_equal(made.array, pictures.read(pictures.encode(expected, format)).array)
    assert b"colorcapsnet" in made.metadata.xmp


def test_every_gray_code_of_sixteen_bits_comes_back(client):
    gray = np.random.default_rng(0).integers(0, 65536, (40, 60), np.uint16)
    path = opened(client, pictures.encode(Picture(gray), "tiff"))
    made = pictures.read(client.post(f"{path}/color", params={"format": "tiff"}, json=NOTHING).content)
    assert np.array_equal(color.gray_of(made.array), gray)


def test_a_place_belongs_to_its_capsule(client, cat, canvas):
    told = client.get(f"{cat}/capsule", params={"x": 225, "y": 150}).json()
    number, share = canvas.capsule_at(225, 150)
    assert told == {"number": number, "share": pytest.approx(share)}


def test_places_to_point_at_are_the_canvass(client, cat, canvas):
    told = client.post(f"{cat}/suggest", params={"n": 3}, json=as_sent(DECIDED)).json()
    assert told == {"points": [list(place) for place in canvas.suggest(3, DECIDED)]}


def test_a_picture_that_was_closed_is_gone(client, cat):
    assert client.delete(cat).status_code == 204
    for answer in (client.get(f"{cat}/gray"), client.post(f"{cat}/preview", json=NOTHING), client.delete(cat)):
        assert answer.status_code == 404
        assert answer.json()["detail"] == "there is no such picture, or no longer: send it again"


def test_one_call_colors_a_picture(client, colorizer):
    for query, strength, format in (({}, 1.0, "png"), ({"strength": 2, "format": "webp"}, 2.0, "webp")):
        answer = client.post("/api/colorize", params=query, content=CHELSEA, headers={"Content-Type": "image/png"})
        assert answer.headers["content-type"] == f"image/{format}"
        expected = pictures.encode(colorizer.colorize(CHELSEA, strength=strength), format)
        assert np.array_equal(pictures.read(answer.content).array, pictures.read(expected).array)


def test_the_first_of_several_pages_is_taken_and_their_number_said(client):
    pages = [Picture(np.full((20 + 4 * n, 30), 90 * n, np.uint8)) for n in range(3)]
    answer = client.post("/api/pictures", content=pictures.encode_pages(pages, "tiff"))
    assert (answer.json()["pages"], answer.json()["height"]) == (3, 20)


def test_transparency_is_refused_where_it_would_be_lost(client):
    clear = Picture(np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8))
    path = opened(client, pictures.encode(clear, "png"), "stamp.png")
    answer = client.post(f"{path}/color", params={"format": "jpg"}, json=NOTHING)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("stamp.png cannot hold the transparent parts")
    assert pictures.read(client.post(f"{path}/color", params={"format": "png"}, json=NOTHING).content).alpha.max() == 0


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"", "the hints is no JSON"),
        (b"{}", 'they need "version": 1'),
        (b"\xff\xfe", "the hints are no text in UTF-8"),
        (b"[" * 100_000, "the hints is no JSON"),
        (b'{"version": 1, "strength": 9}', "strength is a number from 0 to 2, not 9"),
        (b'{"version": 1, "reference": "/etc/passwd"}', "a server opens no files by name"),
        (b'{"version": 1, "reference": "http://127.0.0.1/"}', "a server opens no files by name"),
        (b'{"version": 1, "size": [4, 4]}', "the hints are for a picture of 4\u00d74 pixels"),
        (b'{"version": 1, "points": [{"pixel": [451, 0], "color": "#a03020"}]}', "outside the picture of 451\u00d7300"),
        (b'{"version": 1, "recolor": [{"capsule": 3, "color": "#a03020"}]}', "there is no capsule 3"),
        (as_sent(Hints(points=[Point(0, 0, "#a03020")] * 201)), "201 points and 0 recolors: send at most 200 points"),
        (as_sent(Hints(recolor=[Capsule(0, "#a03020")] * 51)), "0 points and 51 recolors"),
    ],
)
def test_hints_that_make_no_sense_are_refused_in_one_sentence(client, cat, sent, message):
    content = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    for path in ("preview", "suggest", "color"):
        answer = client.post(f"{cat}/{path}", content=content)
        assert answer.status_code == 422
        assert message in answer.json()["detail"] and "\n" not in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        ("gray", {"side": 0}, "side: input should be greater than or equal to 1, not '0'"),
        ("gray", {"side": 4097}, "side: input should be less than or equal to 4096"),
        ("confidence", {"side": "wide"}, "side: input should be a valid integer"),
        ("capsule", {"x": 1}, "y: field required"),
        ("capsule", {"x": -1, "y": 1}, "x: input should be greater than or equal to 0"),
        ("capsule", {"x": 451, "y": 1}, "the pixel 451, 1 is outside the picture of 451\u00d7300"),
        ("capsule", {"x": 10**30, "y": 1}, "x: input should be less than or equal to 1000000000"),
    ],
)
def test_values_out_of_range_are_refused_in_one_sentence(client, cat, path, query, message):
    answer = client.get(f"{cat}/{path}", params=query)
    assert answer.status_code == 422 and message in answer.json()["detail"]


@pytest.mark.parametrize("strength", ["-0.1", "2.1", "nan", "inf", "much"])
def test_an_impossible_strength_is_refused(client, strength):
    answer = client.post(f"/api/colorize?strength={strength}", content=CHELSEA, headers={"Content-Type": "image/png"})
    assert answer.status_code == 422 and answer.json()["detail"].startswith("strength: ")


@pytest.mark.parametrize("name", ["", "..", "/", "\\", "a" * 300, "\u202egnp.exe", 'a"b;c.png', "../../etc/passwd"])
def test_no_name_of_a_file_does_harm(client, name):
    path = opened(client, CHELSEA, name)
    answer = client.post(f"{path}/color", json=NOTHING)
    said = answer.headers["content-disposition"].removeprefix("attachment; filename*=UTF-8''")
    assert said.endswith("-color.jpg") and len(said) <= 400
    assert not set(said) & set('/\\"; \r\n') and "%2F" not in said and "%E2%80%AE" not in said


def test_what_a_visitor_decides_changes_no_later_answer(client, cat):
    before = client.post(f"{cat}/preview", json=NOTHING).content
    client.post(f"{cat}/preview", json=as_sent(DECIDED))
    client.post(f"{cat}/color", json=as_sent(replace(DECIDED, strength=0.0)))
    assert client.post(f"{cat}/preview", json=NOTHING).content == before


@given(decisions)
def test_the_description_takes_every_file_of_hints_without_a_reference(decided):
    jsonschema.validate(as_sent(replace(decided, reference=None)), HINTS["content"]["application/json"]["schema"])


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"version": 2},
        NOTHING | {"reference": "a.jpg"},
        NOTHING | {"strength": 3},
        NOTHING | {"points": [{"pixel": [1, 2]}]},
        NOTHING | {"points": [{"pixel": [1, 2], "relative": [0, 0], "color": None}]},
        NOTHING | {"recolor": [{"pixel": [1, 2], "color": None}]},
        NOTHING | {"recolor": [{"capsule": -1, "color": "#a03020"}]},
        NOTHING | {"candidate": {"seed": 0, "of": 129, "number": 0}},
        NOTHING | {"size": [0, 1]},
    ],
)
def test_the_description_refuses_what_the_server_refuses(client, cat, wrong):
    assert client.post(f"{cat}/preview", json=wrong).status_code == 422
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, HINTS["content"]["application/json"]["schema"])


def test_the_description_names_every_path_with_its_answers_and_a_sentence_for_every_refusal(client):
    told = client.get("/api/openapi.json").json()
    assert len(told["paths"]) == 11
    for path, methods in told["paths"].items():
        for method in methods.values():
            assert method["summary"] and method["description"]
            refusals = {status: answer for status, answer in method["responses"].items() if status >= "400"}
            assert {"403", "421", "422", "503"} <= set(refusals), path
            for answer in refusals.values():
                assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/Problem")
