"""What is inside a patch network: entropies with known answers, capsules that stand for colors or do not, filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from colorcapsnet.learn import capsules, probe
from colorcapsnet.learn.data import Sampling
from colorcapsnet.learn.paper import PaperConfig
from colorcapsnet.learn.shards import Batches, Preparation, prepare
from tests.learn import write_pictures

pytestmark = pytest.mark.medium


def network():
    """Its votes are large enough to agree or not."""
    torch.manual_seed(0)
    made = PaperConfig().build().eval()
    with torch.no_grad():
        made.classes.weight.mul_(20)
    return made


def test_one_iteration_prefers_nothing_and_more_iterations_prefer_more():
    entropies = [probe.coupling_entropy(network(), torch.rand(8, 9, 9), count) for count in (1, 2, 4)]
    assert entropies[0] == pytest.approx(1, abs=1e-5)
    assert 0 < entropies[2] < entropies[1] < 1


def test_entropy_is_that_of_the_couplings_written_out():
    model, gray = network(), torch.rand(4, 9, 9)
    with torch.no_grad():
        votes = capsules.votes(model.primary(model.front(gray)), model.classes.weight)
        coupling = capsules.route_by_agreement(votes, 3)[1].numpy().reshape(-1, 6)
    expected = np.mean([-sum(share * np.log(share) for share in row) for row in coupling]) / np.log(6)
    assert probe.coupling_entropy(model, gray, 3) == pytest.approx(expected, rel=1e-5)


def flat_patches(*colors: tuple[int, int, int, int]) -> np.ndarray:
    """Ten patches of each color: gray, L, a, b."""
    return np.concatenate([np.full((10, 9, 9, 4), color, np.uint8) for color in colors])


def test_patches_are_told_apart_by_their_hue():
    red, green, blue, pale = (99, 99, 168, 160), (99, 99, 90, 150), (99, 99, 140, 80), (99, 99, 130, 126)
    told = probe.specialization(network(), flat_patches(red, green, blue, blue, pale))
    found = dict(zip(told["hues"], told["patches"], strict=True))
    assert found == {"pale": 10, "red": 10, "yellow": 0, "green": 10, "cyan": 0, "blue": 20, "magenta": 0}
    assert [[length is None for length in capsule] for capsule in told["length"]] == [
        [count == 0 for count in found.values()]
    ] * 6


def test_a_capsule_that_follows_gray_alone_is_explained_by_hue_where_hue_gives_the_gray():
    dark_red, bright_blue = (40, 99, 168, 160), (200, 99, 140, 80)
    told = probe.specialization(network(), flat_patches(dark_red, bright_blue))
    assert told["by_hue"] == pytest.approx([1] * 6, abs=1e-3)
    assert told["by_gray"] == pytest.approx([1] * 6, abs=1e-3)


def test_hue_explains_nothing_where_only_gray_differs():
    told = probe.specialization(network(), flat_patches((40, 99, 168, 160), (200, 99, 168, 160)))
    assert told["by_hue"] == pytest.approx([0] * 6, abs=1e-3)
    assert told["by_gray"] == pytest.approx([1] * 6, abs=1e-3)


def test_distilled_layers_come_nearer_to_the_encoder_and_fit_the_front(tmp_path):
    write_pictures(tmp_path / "p", [f"{number}.png" for number in range(12)], size=(64, 64))
    shards = prepare(Preparation(((str(tmp_path / "p"), 0),), Sampling(32)), tmp_path / "shards", jobs=1)
    batches = Batches(shards, 16)
    seen = torch.from_numpy(shards.read(shards.manifest["shards"][0])[::3, ..., 0]).float() / 255
    explained = [probe.distill(batches, steps, seen)[1] for steps in (1, 40)]
    assert explained[0] < explained[1] < 1
    weights, _ = probe.distill(batches, 1, seen)
    model = PaperConfig(32).build()
    model.load_vgg(weights)
    assert torch.equal(model.front.conv1_2.weight, weights["conv1_2.weight"])
