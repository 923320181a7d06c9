"""What others may not do to the server, to its machine, or to each other."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import threading
import time
import zlib

import numpy as np
import PIL.Image
import pytest
import uvicorn
from fastapi.testclient import TestClient

from colorcapsnet import pictures
from colorcapsnet.errors import ModelError
from colorcapsnet.pictures import Picture
from colorcapsnet.serve.app import Service, application
from colorcapsnet.serve.bounds import Limits
from colorcapsnet.serve.guard import HEADERS
from tests.serve import SAMPLES
from tests.serve.conftest import opened

CHELSEA = (SAMPLES / "chelsea.png").read_bytes()
SMALL = pictures.encode(Picture(np.arange(48 * 64, dtype=np.uint16).astype(np.uint8).reshape(48, 64)), "png")
NOTHING = {"version": 1}


def limited(colorizer, **limits):
    app = application(colorizer, Limits(**limits))
    return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


def refusal(answer):
    """Status and sentence."""
    told = answer.json()
    assert set(told) == {"detail"} and "\n" not in told["detail"] and len(told["detail"]) < 400
    return answer.status_code, told["detail"]


# Who asks


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "127.0.0.1", "localhost:1", "[::1]:8000", "192.168.1.5", "LOCALHOST"]
)
def test_addresses_and_localhost_are_answered(client, host):
    assert client.get("/api/about", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "", "127.0.0.1.nip.io"]
)
def test_a_name_that_is_not_the_servers_is_refused(client, host):
    """A site that points its own name to this machine (DNS rebinding) would be answered otherwise."""
    for path in ("/", "/api/about", "/api/openapi.json", "/api/pictures/x/gray"):
        status, told = refusal(client.get(path, headers={"Host": host}))
        assert status == 421 and repr(host) in told


def test_a_name_that_was_given_is_the_servers(colorizer):
    with TestClient(application(colorizer, names=["Color.example"]), base_url="https://color.example") as client:
        assert client.get("/api/about").status_code == 200
        assert client.get("/api/about", headers={"Host": "other.example"}).status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9", "http://127.0.0.1", "file://", "["]
)
def test_the_page_of_another_site_changes_nothing(client, cat, origin):
    for method, path in (
        ("POST", "/api/pictures"),
        ("POST", "/api/colorize"),
        ("POST", f"{cat}/preview"),
        ("DELETE", cat),
    ):
        status, told = refusal(client.request(method, path, headers={"Origin": origin}))
        assert status == 403 and origin in told
    assert client.get(f"{cat}/gray").status_code == 200


def test_the_servers_own_page_does(client, cat):
    for origin in ("http://127.0.0.1:8000", "https://127.0.0.1:8000"):
        answer = client.post(f"{cat}/preview", json=NOTHING, headers={"Origin": origin})
        assert answer.status_code == 200


def test_no_other_site_may_read_answers(client, cat):
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "http://127.0.0.1:8000"}):
        given = client.get(f"{cat}/gray", headers=headers).headers
        assert not [name for name in given if name.startswith("access-control")]
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "DELETE"}
    assert client.options(cat, headers=asked).status_code in (403, 405)


def test_every_answer_tells_browsers_to_be_careful(client, cat):
    answers = (
        client.get("/"),
        client.get("/nothing"),
        client.get("/api/about"),
        client.get(f"{cat}/gray"),
        client.post(f"{cat}/preview", content=b"{"),
        client.get("/api/about", headers={"Host": "evil.example"}),
    )
    for answer in answers:
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    rules = dict(rule.split(" ", 1) for rule in HEADERS["Content-Security-Policy"].split("; "))
    assert rules["default-src"] == "'none'" and rules["script-src"] == rules["style-src"] == "'self'"
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert client.get(f"{cat}/gray").headers["cache-control"] == "no-store"


# What is sent


FOREIGN = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd"/></svg>',
    "xml+svg": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><svg>&e;</svg>',
    "pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>",
    "postscript": b"%!PS\n(/etc/passwd) (r) file",
    "magick vector": b"push graphic-context\nviewbox 0 0 9 9\nimage over 0,0 0,0 'url(https://127.0.0.1/)'\n",
    "magick script": b'<?xml version="1.0"?><image><read filename="/etc/passwd"/></image>',
    "ppm": b"P6 2 2 255\n" + bytes(12),
    "fits": b"SIMPLE  =                    T" + bytes(2850),
    "openexr": b"\x76\x2f\x31\x01" + bytes(60),
    "radiance": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 2\n" + bytes(16),
    "vips": b"\xb6\xa6\xf2\x08" + bytes(60),
    "csv": b"1,2\n3,4\n",
    "matlab": b"MATLAB 5.0 MAT-file" + bytes(120),
    "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
    "jpeg xl": b"\xff\x0a" + bytes(60),
    "psd": b"8BPS\0\1" + bytes(60),
    "bmp": b"BM" + bytes(60),
    "html": b"<html><img src=x></html>",
    "zip": b"PK\3\4" + bytes(60),
    "a path": b"/etc/passwd",
    "zeros": bytes(1000),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_only_pictures_of_known_kinds_reach_a_decoder(client, kind):
    """What the picture library could read besides (SVG, PDF, scripts of ImageMagick) opens files and addresses."""
    for path in ("/api/pictures", "/api/colorize"):
        status, told = refusal(client.post(path, content=FOREIGN[kind], headers={"Content-Type": "image/svg+xml"}))
        assert status == 422 and "is not a JPEG, PNG, TIFF, WebP, AVIF, HEIC or GIF picture" in told


@pytest.mark.parametrize("format", ["jpg", "png", "tiff", "webp", "avif"])
def test_pictures_that_are_cut_short_are_refused(client, format):
    whole = pictures.encode(pictures.read(CHELSEA), format)
    for share in (0.02, 0.5, 0.95):
        status, told = refusal(client.post("/api/pictures", content=whole[: int(share * len(whole))]))
        assert status == 422 and "is damaged, cut short" in told


def test_an_empty_body_is_refused(client):
    assert refusal(client.post("/api/pictures")) == (422, "the given picture is empty: give a whole picture")


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plain"])
def test_a_form_is_told_to_send_bytes(client, kind):
    for path in ("/api/pictures", "/api/colorize"):
        status, told = refusal(client.post(path, content=SMALL, headers={"Content-Type": kind}))
        assert status == 415 and "send the bytes of the picture alone" in told


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(format, width=20_000, height=10_000):
    """A small file that says it has 200 megapixels."""
    if format == "png":
        head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        return (
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")
        )
    file = io.BytesIO()
    PIL.Image.new("L", (77, 55)).save(file, {"jpg": "jpeg", "gif": "gif", "tiff": "tiff"}[format])
    content = file.getvalue()
    if format == "jpg":
        return content.replace(struct.pack(">HH", 55, 77), struct.pack(">HH", height, width), 1)
    if format == "gif":
        return content.replace(struct.pack("<HH", 77, 55), struct.pack("<HH", width, height))
    rows = [(tag, struct.pack("<HHI", tag, 4, 1)) for tag in (256, 257)]
    for (tag, row), before, after in zip(rows, (77, 55), (width, height), strict=True):
        short, long = struct.pack("<HHII", tag, 3, 1, before), row + struct.pack("<I", before)
        content = content.replace(short, row + struct.pack("<I", after)).replace(long, row + struct.pack("<I", after))
    return content


@pytest.mark.parametrize("format", ["png", "jpg", "gif", "tiff"])
def test_two_hundred_megapixels_in_a_small_file_are_refused_before_they_are_decoded(client, format):
    content = bomb(format)
    assert len(content) < 10_000
    for path in ("/api/pictures", "/api/colorize"):
        status, told = refusal(client.post(path, content=content))
        assert status == 413 and "has more than the 100,000,000 pixels that are taken here" in told


def test_a_side_without_end_is_refused_however_few_the_pixels(client):
    ribbon = pictures.encode(Picture(np.zeros((1, 70_000), np.uint8)), "png")
    status, told = refusal(client.post("/api/pictures", content=ribbon, params={"name": "ribbon.png"}))
    assert (status, told) == (413, "ribbon.png is 70000×1: a side has 65,535 pixels at most, make it smaller")


def pieces(content, size=1000):
    """A body whose length is not said before."""
    for at in range(0, len(content), size):
        yield content[at : at + size]


@pytest.mark.parametrize("said", [True, False], ids=["length said", "length not said"])
def test_bytes_are_counted_as_they_come(colorizer, said):
    with limited(colorizer, bytes=50_000) as client:
        for path in ("/api/pictures", "/api/colorize"):
            status, told = refusal(client.post(path, content=CHELSEA if said else pieces(CHELSEA)))
            assert (status, told) == (413, "this is larger than the 50,000 bytes that are taken: make it smaller")
        assert client.app.state.service.uploads.left == Limits().bytes_under_way


def test_hints_are_no_way_to_send_a_gigabyte(client, cat):
    told = b'{"version": 1, "strength": 1' + b" " * 2**20 + b"}"
    for content in (told, pieces(told)):
        assert refusal(client.post(f"{cat}/preview", content=content))[0] == 413


def test_uploads_share_their_memory(colorizer):
    with limited(colorizer, bytes_under_way=50_000) as client:
        answer = client.post("/api/pictures", content=pieces(CHELSEA))
        assert refusal(answer) == (503, "too many uploads are under way: try again in 5 s")
        assert answer.headers["retry-after"] == "5"
        assert client.post("/api/pictures", content=SMALL).status_code == 201
        assert client.app.state.service.uploads.left == 50_000


def test_pictures_in_memory_are_counted(colorizer):
    with limited(colorizer, pictures=2) as client:
        first, _ = opened(client, SMALL), opened(client, SMALL)
        answer = client.post("/api/pictures", content=SMALL)
        assert refusal(answer)[0] == 503 and answer.headers["retry-after"] == "60"
        client.delete(first)
        opened(client, SMALL)


# What stays apart


def test_nothing_is_written_to_disk(client, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    path = opened(client, CHELSEA)
    client.post(f"{path}/color", json=NOTHING, params={"format": "tiff"})
    client.post("/api/colorize", content=CHELSEA)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("id", ["", ".", "..", "*", "%2e%2e", "%00", "a" * 64, "a" * 65, "1", "%E2%80%AE"])
def test_ids_cannot_be_guessed_or_bent(client, cat, id):
    assert client.get(f"/api/pictures/{id}/gray").status_code in (404, 405, 422)
    assert client.get("/api/pictures").status_code in (404, 405)  # there is no list of them


@pytest.mark.parametrize(
    "path", ["/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "//etc/passwd", "/page/../../app.py", "/\\..\\app.py"]
)
def test_the_page_is_all_that_is_served(client, path):
    assert client.get(path).status_code == 404


def test_a_network_of_patches_cannot_be_served():
    from colorcapsnet import Colorizer

    with pytest.raises(ModelError, match="paper sees patches and has nothing to be asked"):
        application(Colorizer("paper"))


def test_an_error_of_ours_says_nothing_about_the_inside(client, cat, monkeypatch):
    def broken(*_):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(Service, "color", broken)
    status, told = refusal(client.post(f"{cat}/color", json=NOTHING))
    assert status == 500 and "secret" not in told


# Who leaves in the middle: over a real socket


@contextlib.contextmanager
def listening(colorizer, limits=None):
    """A server on a port of its own, in a thread: its service and its port."""
    app = application(colorizer, limits)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            yield app.state.service, sock.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)
        assert not thread.is_alive()


def until(happened):
    for _ in range(1000):
        if happened():
            return
        time.sleep(0.02)
    raise AssertionError("it never happened")


def begin(port, sent, length):
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    head = f"POST /api/pictures HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode() + sent)
    return connection


def test_who_leaves_in_the_middle_of_an_upload_leaves_nothing(colorizer):
    with listening(colorizer) as (service, port):
        whole = service.uploads.left
        connections = [begin(port, CHELSEA[:60_000], len(CHELSEA)) for _ in range(5)]
        until(lambda: service.uploads.left == whole - 5 * 60_000)
        for connection in connections:
            connection.close()
        until(lambda: service.uploads.left == whole)
        assert len(service.gallery) == 0


def test_who_sends_too_slowly_is_told_and_leaves_nothing(colorizer):
    with listening(colorizer, Limits(upload_seconds=0.5)) as (service, port):
        whole = service.uploads.left
        with begin(port, CHELSEA[:60_000], len(CHELSEA)) as connection:
            answer = b""
            while b"}" not in answer and (part := connection.recv(65_536)):
                answer += part
        assert answer.startswith(b"HTTP/1.1 408 ") and b"the upload took longer than 0.5 s" in answer
        until(lambda: service.uploads.left == whole)


def test_who_leaves_before_the_answer_leaves_no_picture_that_nobody_knows_of(colorizer, monkeypatch):
    at_work, go_on, done = threading.Event(), threading.Event(), threading.Event()
    with listening(colorizer) as (service, port):
        opening = service.open

        def slow(*arguments):
            at_work.set()
            go_on.wait(30)
            try:
                return opening(*arguments)
            finally:
                done.set()

        monkeypatch.setattr(service, "open", slow)
        connection = begin(port, SMALL, len(SMALL))
        assert at_work.wait(30)
        connection.close()
        time.sleep(0.2)
        go_on.set()
        assert done.wait(30)
        until(lambda: service.uploads.left == Limits().bytes_under_way)
        time.sleep(0.2)
        assert len(service.gallery) == 0
