"""The server as a person runs it: a process, a port, many visitors at once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import httpx2 as httpx
import numpy as np
import pytest

from colorcapsnet import color, pictures
from colorcapsnet.cli import main
from colorcapsnet.hints import Candidate, Capsule, Hints, Point
from colorcapsnet.pictures import Picture
from tests.serve import SAMPLES
from tests.serve.program import serving

ROOT = Path(__file__).parents[2]


def run(*arguments, cwd, code=0):
    command = [sys.executable, "-m", "colorcapsnet", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.medium
def test_a_file_of_hints_gives_the_same_bytes_by_the_page_as_by_the_command(tmp_path):
    hints = Hints(
        points=[Point(225, 150, "#a03020")],
        recolor=[Capsule(1, "#2040a0")],
        candidate=Candidate(1, 4, 2),
        strength=1.4,
        size=(451, 300),
    )
    (tmp_path / "hints.json").write_text(hints.to_json())
    run("colorize", SAMPLES / "chelsea.png", "-o", "by-command.png", "--hints", "hints.json", cwd=tmp_path)
    with serving() as address, httpx.Client(base_url=address, timeout=120) as client:
        sent = client.post("/api/pictures", content=(SAMPLES / "chelsea.png").read_bytes()).json()
        given = client.post(f"/api/pictures/{sent['id']}/color?format=png", content=hints.to_json())
    assert given.content == (tmp_path / "by-command.png").read_bytes()


@pytest.mark.medium
def test_the_page_is_at_the_address_that_is_printed(tmp_path):
    with serving() as address, httpx.Client(base_url=address) as client:
        assert client.get("/api/about").json()["model"] == "deep"
        page = client.get("/")
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
        for script in re.findall(r'src="([^"]+\.js)"', page.text):
            assert "javascript" in client.get(script).headers["content-type"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "203.0.113.1"], "nothing can listen at 203.0.113.1, port 0"),
        (["--host", "no such host"], "nothing can listen at no such host, port 0"),
        (["--model", "paper"], "paper sees patches and has nothing to be asked"),
    ],
)
def test_what_cannot_be_served_ends_in_one_line(tmp_path, options, message):
    told = run("serve", "--port", 0, *options, cwd=tmp_path, code=1).stderr
    assert message in told and told.count("\n") == 1


def test_a_port_that_is_taken_ends_in_one_line(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = run("serve", "--port", port, cwd=tmp_path, code=1).stderr
    assert f"nothing can listen at 127.0.0.1, port {port}" in told and told.count("\n") == 1


def own_picture(number):
    """A photograph that nobody else has: a crop of a sample, of a size of its own."""
    path = sorted(SAMPLES.glob("*.[jp][pn]g"))[number % 7]
    gray = pictures.read(path).gray
    return Picture(np.ascontiguousarray(gray[: 200 + number, : 250 + 2 * number]))


@pytest.mark.medium
def test_fifty_visitors_at_once_get_their_own_pictures_or_are_asked_to_come_again():
    def visit(number):
        picture, refused = own_picture(number), 0
        with httpx.Client(base_url=address, timeout=300) as client:
            for _ in range(200):
                sent = client.post("/api/pictures", content=pictures.encode(picture, "png"))
                if sent.status_code != 503:
                    break
                refused += 1
                assert int(sent.headers["retry-after"]) > 0
            told = sent.json()
            assert (told["width"], told["height"]) == (picture.width, picture.height)
            path = f"/api/pictures/{told['id']}"
            shown = client.post(f"{path}/preview?side=4096", json={"version": 1})
            given = client.post(f"{path}/color?format=png", json={"version": 1})
            assert {shown.status_code, given.status_code} <= {200, 503}
            if given.status_code == 200:
                assert np.array_equal(color.gray_of(pictures.read(given.content).array), picture.array)
            if shown.status_code == 200:
                near = cv2.absdiff(color.gray(pictures.read(shown.content).array), picture.array)
                assert near.mean() < 6
            assert client.delete(path).status_code == 204
            return told["id"], given.status_code

    with serving() as address:
        with ThreadPoolExecutor(50) as visitors:
            seen = list(visitors.map(visit, range(50)))
        assert len({key for key, _ in seen}) == 50
        assert sum(status == 200 for _, status in seen) >= 25
        assert httpx.get(f"{address}/api/about").status_code == 200


@pytest.mark.medium
def test_the_commands_of_docs_serve_run(tmp_path):
    """Line by line as in the page, in a folder with a sample, at another address."""
    (tmp_path / "chelsea.png").write_bytes((SAMPLES / "chelsea.png").read_bytes())
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "docs/serve.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    with serving() as address:
        script = "set -e\n" + "".join(blocks).replace("http://127.0.0.1:8000", address).replace("curl ", "curl -fsS ")
        done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    points, capsule = (json.loads(line) for line in done.stdout.replace("}{", "}\n{").splitlines())
    assert len(points["points"]) == 3 and 0 < capsule["share"] <= 1
    shapes = {path.name: pictures.read(path).array.shape for path in tmp_path.iterdir() if path.name != "chelsea.png"}
    assert shapes == {
        "chelsea-color.png": (300, 451, 3),
        "preview.jpg": (266, 400, 3),
        "capsules.png": (266, 400, 3),
        "confidence.png": (266, 400),
        "chelsea.tif": (300, 451, 3),
    }


@pytest.mark.slow
def test_whatever_the_description_allows_ends_in_an_answer_that_it_describes(tmp_path):
    """Requests that schemathesis makes up from /api/openapi.json, with the id of a picture that is there."""
    with serving() as address:
        sent = httpx.post(f"{address}/api/pictures", content=(SAMPLES / "chelsea.png").read_bytes(), timeout=60).json()
        (tmp_path / "schemathesis.toml").write_text(f'[parameters]\nid = "{sent["id"]}"\n')
        command = [Path(sys.executable).with_name("schemathesis"), "run", f"{address}/api/openapi.json"]
        checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
        command += ["--checks", checks, "--max-examples", "50", "--exclude-method", "DELETE", "--seed", "0"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1200, env=os.environ)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr
        assert httpx.get(f"{address}/api/pictures/{sent['id']}/gray", timeout=60).status_code == 200


@pytest.mark.medium
def test_the_container_runs_as_nobody_a_command_that_there_is_and_asks_whether_it_is_well():
    """What an image is made of is read here; the healthcheck is run against a server."""
    lines = dict(line.split(" ", 1) for line in (ROOT / "Containerfile").read_text().splitlines() if " " in line)
    assert lines["USER"] not in ("root", "0")
    _, verb, *options = json.loads(lines["ENTRYPOINT"])
    main.commands[verb].make_context(verb, options)
    _, *check = json.loads(lines["HEALTHCHECK"].removeprefix("CMD "))
    with serving() as address:
        asked = [part.replace("http://127.0.0.1:8000", address) for part in check]
        assert subprocess.run([sys.executable, *asked], timeout=60).returncode == 0
    gone = subprocess.run([sys.executable, *asked], timeout=60, capture_output=True)
    assert gone.returncode != 0
