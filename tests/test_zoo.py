"""Models: found by name or path, verified before they are loaded, and refused by name when damaged."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from colorcapsnet import paint, zoo
from colorcapsnet.errors import ModelError
from tests.tiny import write_model, write_photograph_model


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COLORCAPSNET_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def edited(path, **changes):
    card = path.with_suffix(".json")
    card.write_text(json.dumps({**json.loads(card.read_text()), **changes}))


def test_a_model_is_found_by_path_in_the_package_and_in_the_users_folder(home, tmp_path):
    assert zoo.find(str(write_model(tmp_path))) == tmp_path / "tiny.onnx"
    assert zoo.find(zoo.DEFAULT).parent.name == "models"
    assert zoo.find(str(write_model(home, "mine"))) == home / "mine.onnx"
    assert zoo.find("mine") == home / "mine.onnx"
    assert {"mine", zoo.DEFAULT} <= set(zoo.names())


@pytest.mark.parametrize("name", ["deeper", "deeper.onnx"])
def test_an_unknown_model_is_refused_and_the_known_ones_named(name):
    with pytest.raises(ModelError, match=rf"deeper.*one of: .*{zoo.DEFAULT}"):
        zoo.find(name)


def test_a_card_comes_back_as_it_was_saved(tmp_path):
    card = zoo.Card.load(write_model(tmp_path).with_suffix(".json"))
    card.save(tmp_path / "again.json")
    assert zoo.Card.load(tmp_path / "again.json") == card


def test_a_model_without_its_card_is_refused(tmp_path):
    path = write_model(tmp_path)
    path.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match=r"tiny\.json does not exist; a model's card lies beside it"):
        zoo.Network(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00"])
def test_a_damaged_card_is_refused_by_name(tmp_path, content):
    path = write_model(tmp_path)
    path.with_suffix(".json").write_text(content)
    with pytest.raises(ModelError, match=r"tiny\.json"):
        zoo.Network(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "of version 99, this package reads version 1"),
        ({"kind": "film"}, "kind 'film'"),
        ({"x": 1}, "no card"),
        ({"paint": {"brush": 1}}, "no card"),
    ],
)
def test_a_card_of_another_kind_or_version_is_refused(tmp_path, change, message):
    path = write_model(tmp_path)
    edited(path, **change)
    with pytest.raises(ModelError, match=message):
        zoo.Network(path)


def test_a_card_from_before_a_field_was_added_is_read_with_its_default(tmp_path):
    path = write_model(tmp_path).with_suffix(".json")
    told = json.loads(path.read_text())
    del told["paint"], told["losses"]
    path.write_text(json.dumps(told))
    assert zoo.Card.load(path).paint == {}
    del told["size"]
    path.write_text(json.dumps(told))
    with pytest.raises(ModelError, match="no card"):
        zoo.Card.load(path)


def test_what_was_measured_for_a_models_answers_comes_back(tmp_path):
    measured = {"anneal": 1.5, "gain": 1.1, "curve": [[0, 1], [0.1, 0.9]], "kernel": {"noise": 0.1}}
    card = zoo.Card.load(write_photograph_model(tmp_path, paint=measured).with_suffix(".json"))
    assert card.kind == "photograph"
    assert card.paint == measured


@pytest.mark.parametrize(("write", "kind"), [(write_model, "photograph"), (write_photograph_model, "patch")])
def test_a_network_that_gives_another_kinds_outputs_is_refused(tmp_path, write, kind):
    path = write(tmp_path)
    edited(path, kind=kind)
    with pytest.raises(ModelError, match=f"it is no {kind} model"):
        zoo.Network(path)


def test_a_changed_file_is_refused_before_it_is_loaded(tmp_path):
    path = write_model(tmp_path)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ModelError, match=r"tiny\.onnx is damaged or does not belong to its card"):
        zoo.Network(path)


def test_a_file_that_is_no_network_is_refused(tmp_path):
    import hashlib

    path = write_model(tmp_path)
    path.write_bytes(b"no network")
    edited(path, sha256=hashlib.sha256(b"no network").hexdigest())
    with pytest.raises(ModelError, match=r"tiny\.onnx cannot be loaded"):
        zoo.Network(path)


def test_a_network_answers_many_threads_at_once(tmp_path):
    network = zoo.Network(write_model(tmp_path))
    inputs = [np.full((3, 9, 9), value, np.float32) for value in np.linspace(0, 1, 32)]
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(network, inputs))
    assert all(np.array_equal(code[..., 0], gray) for code, gray in zip(outputs, inputs, strict=True))


def test_a_photograph_model_knows_a_picture_of_any_size(tmp_path):
    network = zoo.Network(write_photograph_model(tmp_path))
    for height, width in [(32, 32), (64, 96), (32, 512)]:
        gray = np.random.default_rng(0).random((height, width), np.float32)
        known = network.know(gray)
        assert isinstance(known, paint.Known)
        assert known.coupling.shape == (3, height // 4, width // 4)
        cells = gray.reshape(height // 4, 4, width // 4, 4).mean(axis=(1, 3))
        assert np.abs(known.basis[0] - (cells - 0.5)).max() < 1e-6


def test_a_photograph_model_answers_many_threads_at_once(tmp_path):
    network = zoo.Network(write_photograph_model(tmp_path))
    inputs = [np.full((32, 64), value, np.float32) for value in np.linspace(0, 1, 32)]
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(network.know, inputs))
    for gray, known in zip(inputs, outputs, strict=True):
        assert np.abs(known.basis[0] - (gray[0, 0] - 0.5)).max() < 1e-6
