from __future__ import annotations

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from colorcapsnet import Colorizer
from colorcapsnet.serve.app import application
from tests.serve import SAMPLES
from tests.tiny import write_photograph_model


@pytest.fixture(scope="session")
def colorizer(tmp_path_factory):
    return Colorizer(str(write_photograph_model(tmp_path_factory.mktemp("photo"))))


@pytest.fixture
def client(colorizer):
    with TestClient(application(colorizer), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def cat(client):
    """The path of an opened picture of 451×300 pixels."""
    return opened(client, (SAMPLES / "chelsea.png").read_bytes())


def opened(client: httpx.Client, content: bytes, name: str = "chelsea.png") -> str:
    answer = client.post("/api/pictures", content=content, headers={"Content-Type": "image/png"}, params={"name": name})
    assert answer.status_code == 201, answer.text
    return f"/api/pictures/{answer.json()['id']}"
