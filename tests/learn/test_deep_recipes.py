"""Recipes of the network of the whole photograph: what they say, learn from, and keep away from."""

from __future__ import annotations

import json
import re

import pytest

from colorcapsnet.errors import DataError
from colorcapsnet.learn import deep_recipes
from colorcapsnet.learn.deep_recipes import ARCHIVES, RECIPES, SETS
from tests.learn import write_pictures


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_a_recipe_says_what_it_is_what_to_expect_and_what_it_costs(recipe):
    listed = deep_recipes.describe()
    for said in (recipe.name, recipe.doc, recipe.expect, recipe.cost, recipe.command):
        assert said in listed
    assert re.search(r"\d min", recipe.cost)
    assert f"{recipe.schedule.steps:,} steps" in recipe.cost


def test_crops_are_multiples_of_32_and_sets_exist():
    for recipe in RECIPES.values():
        for portion in recipe.portions:
            assert portion.crop % 32 == 0
            assert {name for name, _ in portion.sets} <= set(SETS)


def test_a_recipe_that_goes_on_has_the_same_network():
    for recipe in RECIPES.values():
        if recipe.begin_from:
            assert RECIPES[recipe.begin_from].model == recipe.model
            assert deep_recipes.lineage(recipe.name)[0].begin_from is None


def test_a_recipe_whose_beginning_is_missing_says_so(tmp_path):
    with pytest.raises(DataError, match="train deep`"):
        deep_recipes.run(RECIPES["deep-large"], (None, None), tmp_path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A few pictures of every archive."""
    root = tmp_path / "data"
    for name in ("ilsvrc", "stanford40", "lsp", "dogscats", "caltech101", "lfw", "miniplaces", "utkface"):
        write_pictures(root / name, [f"{name}{n}_0001.png" for n in range(6)])
    write_pictures(root / "bsds500", ["train/1.png", "train/2.png", "val/3.png"])
    few = {
        name: (spec.replace("tar:", "folder:").replace("_photos.tar", ""), 2) for name, (spec, _) in ARCHIVES.items()
    }
    monkeypatch.setattr(deep_recipes, "ARCHIVES", few)
    return root


def test_training_keeps_away_from_what_it_is_judged_by(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(deep_recipes.data, "near_duplicate", lambda digest, others: False)
    mixture, pictures = deep_recipes.sets_of(RECIPES["deep"], folder, tmp_path / "shards", jobs=1)
    held = {path.stem.partition(".")[0] for path in (tmp_path / "shards/held").rglob("*.png")}
    assert held
    learnt = set()
    for rows in (tmp_path / "shards/deep").rglob("*.jsonl"):
        learnt |= {json.loads(line)["name"] for line in rows.read_text().splitlines() if '"kept"' in line}
    assert learnt
    assert not held & {name.removesuffix(".png") for name in learnt}
    assert "bsds500/val" in pictures
    assert set(mixture.sets) == set(SETS)
