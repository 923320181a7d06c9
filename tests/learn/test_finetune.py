"""A network of one's own: what teaches, what stops, what judges, and the network that comes out."""

from __future__ import annotations

from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from colorcapsnet import paint
from colorcapsnet.cli import main
from colorcapsnet.errors import DataError, ModelError
from colorcapsnet.learn import checkpoints, export, finetune
from colorcapsnet.learn.checkpoints import Checkpoint
from colorcapsnet.learn.deep import DeepConfig
from colorcapsnet.zoo import Card, Network
from tests.learn import write_pictures
from tests.tiny import write_model

pytestmark = pytest.mark.medium

CONFIG = DeepConfig(entities=3, modes=2, local=2, pose=8)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network of whole photographs that looks at 64×64 pixels, exported."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("network")
    model = CONFIG.build()
    model.prepare()
    for values in model.parameters():
        values.data += 1e-3 * torch.randn_like(values)  # equal numbers would be kept once in the graph
    save = Checkpoint(model.state_dict(), "deep", asdict(CONFIG), "deep-self", "d" * 64)
    checkpoints.save(save, folder / "c.safetensors")
    write_pictures(folder / "pictures", ["a.png", "b.png"])
    path = export.export(folder / "c.safetensors", folder, "small", folder / "pictures")
    card = Card.load(path.with_suffix(".json"))
    replace(card, size=64, paint={"gain": 1.5}, limits="what it gets wrong").save(path.with_suffix(".json"))
    return path


def write_photographs(folder, count):
    """Prints of one brown."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        light = cv2.resize(rng.integers(60, 200, (6, 8)).astype(np.uint8), (96, 72), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number}.png"), np.stack([light // 2, light * 0.8, light], axis=-1))
    return folder


@pytest.fixture
def photographs(tmp_path):
    return write_photographs(tmp_path / "own", 60)


def test_it_begins_with_the_numbers_of_the_graph(network, photographs, tmp_path):
    tuning = finetune.begin(photographs, tmp_path / "work", network)
    begun = finetune.train_photographs.of_checkpoint(tuning.work / "begin.safetensors")[0]
    gray = torch.rand(1, 64, 64)
    with torch.no_grad():
        found = np.moveaxis(begun.ab(gray)[0].numpy() * 50, 0, -1)
    assert np.abs(found - paint.color(Network(network).know(gray[0].numpy()))).max() < 0.01


def test_what_teaches_what_stops_and_what_judges_are_different_photographs(network, photographs, tmp_path):
    tuning = finetune.begin(photographs, tmp_path / "work", network)
    mixture, judges = finetune.sets_of(tuning, jobs=1)
    own = mixture.sets["own"]
    held = {path.read_bytes() for path in tuning.held.iterdir()}
    everything = {path.read_bytes() for path in photographs.iterdir()}
    assert 5 < len(held) < 25
    assert held < everything
    assert len(own) + len(judges["own"]) == len(own.whole) == len(everything) - len(held)
    stopping = [index for index in range(len(own.whole)) if index not in own.chosen]
    assert len(stopping) == len(judges["own"])
    assert np.array_equal(own[0], own.whole[own.chosen[0]])


def test_a_folder_of_few_is_refused(network, tmp_path):
    few = write_photographs(tmp_path / "few", 12)
    tuning = finetune.begin(few, tmp_path / "work", network)
    with pytest.raises(DataError, match=r"few leaves \d+ photographs in color to learn from: give 40 or more"):
        finetune.sets_of(tuning, jobs=1)


def test_a_network_of_patches_is_refused(tmp_path, photographs):
    with pytest.raises(ModelError, match="cannot be taught further: take a network of whole photographs"):
        finetune.begin(photographs, tmp_path / "work", write_model(tmp_path))


def call(*arguments):
    return CliRunner().invoke(main, ["finetune", *map(str, arguments)])


def test_a_person_teaches_a_network_their_own_photographs(network, photographs, tmp_path):
    """What comes out colors, and says what it learnt from and how it scores beside the one it began with."""
    result = call(photographs, "--model", network, "--steps", 30, "-o", tmp_path / "out", "--name", "mine")
    assert result.exit_code == 0, result.output
    card = Card.load(tmp_path / "out/mine.json")
    assert card.trained_on[-1].endswith("photographs of own, from small")
    assert (card.paint, card.limits) == ({"gain": 1.5}, "what it gets wrong")
    rows = next(iter(card.scores.values()))["rows"]
    assert rows["mine"]["skill"]["value"] > rows["small"]["skill"]["value"] + 0.5
    assert "to small" in result.output
    picture = next(photographs.iterdir())
    colored = CliRunner().invoke(
        main, ["colorize", str(picture), "--model", str(tmp_path / "out/mine.onnx"), "-o", str(tmp_path / "c.png")]
    )
    assert colored.exit_code == 0, colored.output
    assert (tmp_path / "c.png").exists()


def test_an_estimate_trains_nothing(network, photographs, tmp_path):
    result = call(photographs, "--model", network, "--estimate", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "own: at most 200 steps, about" in result.output
    assert not (tmp_path / "out/own-work/run").exists()


def test_where_nothing_is_gained_nothing_is_written(network, photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(finetune, "SCHEDULE", replace(finetune.SCHEDULE, rate=0, validate=1, patience=2))
    result = call(photographs, "--model", network, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "gained nothing" in result.output
    assert not list((tmp_path / "out").glob("*.onnx"))
