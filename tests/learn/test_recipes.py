"""Recipes: each says what it is, chains hold together, and the stand-ins run from pictures to weights."""

from __future__ import annotations

import re
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from colorcapsnet.errors import DataError
from colorcapsnet.learn import checkpoints, data, recipes
from colorcapsnet.learn.paper import PaperConfig
from colorcapsnet.learn.recipes import RECIPES, Recipe
from tests.learn import SHARED, needs_shared, write_pictures

PAPER = ("paper-1-ilsvrc", "paper-2-div2k", "paper-3-div2k-val")
STANDIN = ("standin-1-ilsvrc", "standin-2-bsds", "standin-3-bsds-val")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_a_recipe_says_what_it_is_what_it_reproduces_what_to_expect_and_what_it_costs(recipe):
    for said in (recipe.doc, recipe.reproduces, recipe.expect, recipe.cost):
        assert said
        assert "\n" not in said
    assert re.search(r"\d\.\d", recipe.expect)
    assert re.search(r"\d", recipe.cost)
    assert recipe.command == f"colorcapsnet train {recipe.name} --data FOLDER"


def test_recipes_are_found_by_their_names():
    assert all(recipe.name == name for name, recipe in RECIPES.items())


def test_the_list_names_every_recipe_and_all_that_it_says():
    listed = recipes.describe()
    for recipe in RECIPES.values():
        for said in (recipe.name, recipe.doc, recipe.reproduces, recipe.expect, recipe.cost, recipe.command):
            assert said in listed


@pytest.mark.parametrize("chain", [PAPER, STANDIN])
def test_a_chain_is_three_recipes_each_of_which_begins_with_the_one_before(chain):
    assert [RECIPES[name].begin_from for name in chain] == [None, *chain[:-1]]
    order = list(RECIPES)
    assert [order.index(name) for name in chain] == sorted(order.index(name) for name in chain)


def test_every_recipe_begins_with_one_that_exists_and_has_the_same_network():
    for recipe in RECIPES.values():
        if recipe.begin_from is not None:
            assert RECIPES[recipe.begin_from].model == recipe.model


def test_all_train_the_network_that_the_paper_settles_on_with_its_schedule():
    for recipe in RECIPES.values():
        assert recipe.model == PaperConfig(patch=9, front="vgg", batch_norm=True, capsules=6, routings=1)
        assert (recipe.schedule.batch, recipe.schedule.rate) == (128, 1e-3)
    assert [RECIPES[name].schedule.epochs for name in PAPER] == [50, 50, 10]


def test_what_a_recipe_is_judged_by_it_does_not_learn_from():
    """The third step of each chain learns from the validation pictures, and is judged by nothing."""
    for recipe in RECIPES.values():
        if recipe.validation is not None:
            assert not {spec for spec, _ in recipe.training.sources} & {spec for spec, _ in recipe.validation.sources}
    assert RECIPES[PAPER[2]].validation is None
    assert RECIPES[STANDIN[2]].validation is None
    assert RECIPES[STANDIN[2]].training == RECIPES[STANDIN[1]].validation


def test_the_stand_ins_keep_away_from_what_they_are_judged_by():
    for name in STANDIN[:2]:
        assert RECIPES[name].training.avoid == tuple(spec for spec, _ in RECIPES[name].validation.sources)
    assert [one_in for _, one_in in RECIPES[STANDIN[0]].training.sources] == [20, 4]


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_paths_are_filled_in_and_nothing_else_changes(recipe):
    for preparation in filter(None, (recipe.training, recipe.validation)):
        filled = recipes.at(preparation, Path("/my/data"))
        specs = [*(spec for spec, _ in filled.sources), *filled.avoid]
        assert all(spec.split(":")[1].startswith("/my/data/") for spec in specs)
        assert not any("{" in spec for spec in specs)
        assert [one_in for _, one_in in filled.sources] == [one_in for _, one_in in preparation.sources]
        assert replace(filled, sources=preparation.sources, avoid=preparation.avoid) == preparation


@needs_shared
def test_the_stand_ins_data_are_where_the_recipes_look():
    found = [
        [len(data.open_set(spec)) for spec, _ in recipes.at(RECIPES[name].training, SHARED).sources] for name in STANDIN
    ]
    assert found == [[10_100, 1000], [200], [100]]


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> Path:
    """The stand-ins' folders with a few tiny pictures each."""
    root = tmp_path_factory.mktemp("data")
    write_pictures(root, [f"bsds500/train/{number}.jpg" for number in range(100, 106)])
    write_pictures(root, [f"bsds500/val/{number}.jpg" for number in range(300, 304)])
    for name, first in (("ilsvrc_small", 5000), ("ilsvrc_photos", 7000)):
        write_pictures(root / name, [f"{number}.png" for number in range(first, first + 8)])
        with tarfile.open(root / f"{name}.tar", "w") as archive:
            archive.add(root / name, name)
    return root


def short(name: str, epochs: int = 1) -> Recipe:
    recipe = RECIPES[name]
    return replace(recipe, schedule=replace(recipe.schedule, epochs=epochs, batch=8))


def test_the_stand_ins_run_from_pictures_to_weights(tmp_path, miniature):
    for name in STANDIN:
        sets = recipes.sets_of(short(name), miniature, tmp_path / "shards", jobs=1)
        end = recipes.run(short(name), sets, tmp_path / "runs")
        saved = checkpoints.load(tmp_path / "runs" / name / "last.safetensors")
        assert (saved.recipe, saved.data) == (name, sets[0].sha256)
        assert all(torch.equal(saved.model[key], end.model[key]) for key in end.model)
        (entry,) = saved.history
        assert entry["loss"] > 0
        assert ("validation" in entry) == (sets[1] is not None) == (name != STANDIN[2])
    assert {path.name for path in (tmp_path / "shards").iterdir()} == {
        "standin-1-ilsvrc",
        "standin-1-ilsvrc-validation",
        "standin-2-bsds",
        "standin-2-bsds-validation",
        "standin-3-bsds-val",
    }


def test_a_later_step_waits_for_the_one_before_to_be_there_and_to_finish(tmp_path, miniature):
    first, second = (short(name) for name in STANDIN[:2])
    training = recipes.sets_of(second, miniature, tmp_path / "shards", jobs=1)
    with pytest.raises(
        DataError, match=r"standin-1-ilsvrc.last\.safetensors does not exist: run `colorcapsnet train standin-1-ilsvrc`"
    ):
        recipes.run(second, training, tmp_path / "runs")
    first_sets = (training[0], None)
    recipes.run(first, first_sets, tmp_path / "runs")
    path = tmp_path / "runs/standin-1-ilsvrc/last.safetensors"
    saved = checkpoints.load(path)
    checkpoints.save(replace(saved, loop={**saved.loop, "schedule": {**saved.loop["schedule"], "epochs": 3}}), path)
    with pytest.raises(DataError, match=r"standin-1-ilsvrc.last\.safetensors has learnt 1 of 3 epochs"):
        recipes.run(second, training, tmp_path / "runs")


def test_a_later_step_begins_with_what_the_one_before_has_learnt(tmp_path, miniature):
    first, second = short(STANDIN[0]), short(STANDIN[1], epochs=0)
    sets = recipes.sets_of(second, miniature, tmp_path / "shards", jobs=1)
    learnt = recipes.run(first, (sets[0], None), tmp_path / "runs")
    begun = recipes.run(second, sets, tmp_path / "runs")
    assert all(torch.equal(learnt.model[key], begun.model[key]) for key in learnt.model)


def test_missing_data_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere.ilsvrc_small\.tar does not exist"):
        recipes.sets_of(RECIPES[STANDIN[0]], tmp_path / "nowhere", tmp_path / "shards", jobs=1)
