"""The plan: which networks are compared, which data are used, and how a budget is divided."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from colorcapsnet.errors import DataError
from colorcapsnet.learn import plan, recipes
from colorcapsnet.learn.budget import StepCost
from colorcapsnet.learn.paper import PaperConfig
from colorcapsnet.learn.plan import Costs, Plan, ScoreCost
from tests.learn import SHARED, needs_shared
from tests.learn.miniature import miniature_sets

pytestmark = pytest.mark.medium

COSTS = Costs(lambda config: StepCost(0.002, 1e-5 * config.patch**2 * config.routings), ScoreCost(0.02, 0.05))


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    return miniature_sets(tmp_path_factory.mktemp("data"))


def test_figure_4a_changes_one_thing_at_a_time():
    published = [one for one in plan.fronts(vgg=True) if one.begins != "distilled" and one.label != "VGG front, random"]
    configs = [one.config for one in published]
    assert configs[0] == PaperConfig(32, "original", batch_norm=False, capsules=10)
    assert configs[1:] == [
        replace(configs[0], front="vgg"),
        replace(configs[0], front="vgg", batch_norm=True),
        replace(configs[0], front="vgg", batch_norm=True, capsules=6),
    ]
    assert [one.begins for one in published] == ["random", "vgg", "vgg", "vgg"]


def test_without_vgg_only_its_own_row_asks_for_its_weights():
    assert [one.label for one in plan.fronts(vgg=False) if one.begins == "vgg"] == ["VGG front, VGG-19's weights"]


def test_figures_4b_and_4c_vary_the_published_network():
    assert [one.config for one in plan.routings(16)] == [PaperConfig(16, routings=n) for n in (1, 2, 3, 4, 5)]
    assert [one.config for one in plan.sides()] == [PaperConfig(9), PaperConfig(16), PaperConfig(32)]


def test_the_papers_sets_come_before_the_stand_ins(tmp_path, sets):
    assert plan.chain_of(sets) == plan.STANDINS
    for name in ("ILSVRC2012", "DIV2K", "bsds500"):
        (tmp_path / name).mkdir()
    (tmp_path / "ilsvrc_small.tar").touch()
    assert plan.chain_of(tmp_path) == plan.PUBLISHED


def test_a_folder_without_either_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds neither ILSVRC2012 and DIV2K, nor the stand-ins"):
        plan.chain_of(tmp_path)


def test_a_plan_comes_back_from_json(sets):
    made = plan.make("1h", 3600, sets, COSTS)
    assert Plan.read(json.loads(json.dumps(asdict(made)))) == made


def test_full_is_the_whole_of_everything(sets):
    made = plan.make("full", math.inf, sets, COSTS)
    assert (made.seeds, made.epochs, made.chain_epochs, made.side) == (3, 10, (8, 10, 10), 16)
    assert (made.pictures, made.scored, made.compared, made.densest) == (None, None, None, None)
    assert {share.every for share in made.shares.values()} == {1}


def test_a_short_budget_has_fewer_seeds_epochs_and_pictures(sets):
    made = plan.make("45s", 45, sets, replace(COSTS, score=ScoreCost(1.0, 1.0)))
    assert (made.seeds, made.epochs, made.chain_epochs) == (1, 1, (1, 1, 1))
    assert (made.scored, made.compared, made.densest) == (2, 2, 2)


@needs_shared
@pytest.mark.parametrize("seconds", [1800, 10_800, 100_000])
def test_on_the_stand_ins_all_shares_together_stay_in_the_budget(seconds):
    made = plan.make(f"{seconds}s", seconds, SHARED, COSTS)
    assert sum(share.seconds for share in made.shares.values()) <= seconds
    assert made.shares["figure-4a"].enough
    assert made.shares["chain"].enough


@needs_shared
def test_patches_are_foreseen_to_a_tenth():
    known = {"standin-1-ilsvrc": 1_406_072, "standin-2-bsds": 371_000, "standin-3-bsds-val": 185_500}
    for name, count in known.items():
        preparation = recipes.at(recipes.RECIPES[name].training, SHARED)
        assert plan.Look(preparation).patches(9) == pytest.approx(count, rel=0.1)


def test_some_are_spread_from_the_first_to_the_last():
    assert plan.spread(range(100), 3) == [0, 50, 99]
    assert plan.spread([1, 2], 5) == [1, 2]
    assert plan.spread([1, 2], None) == [1, 2]
    assert plan.spread("abc", 1) == ["a"]


def test_parameters_are_counted_without_values():
    config = PaperConfig(16)
    assert plan.parameters_of(config) == sum(values.numel() for values in config.build().parameters())
