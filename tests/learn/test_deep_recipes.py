"""Recipes of the network of the whole photograph: what they say, learn from, and keep away from."""

from __future__ import annotations

import json
import re
from dataclasses import replace

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


def test_a_recipe_that_goes_on_has_the_same_network_but_for_its_routing():
    for recipe in RECIPES.values():
        if recipe.begin_from:
            assert replace(RECIPES[recipe.begin_from].model, routing=recipe.model.routing) == recipe.model
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


def test_a_held_part_that_was_stopped_half_way_is_finished(folder, tmp_path, monkeypatch):
    """Wherever it was stopped."""
    deep_recipes.hold(folder, tmp_path / "whole")
    whole, write = contents(tmp_path / "whole/held"), deep_recipes.data._write_whole
    for place in range(len(whole)):
        left = iter(range(place))

        def until_then(target, content, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt
            write(target, content)

        monkeypatch.setattr(deep_recipes.data, "_write_whole", until_then)
        with pytest.raises(KeyboardInterrupt):
            deep_recipes.hold(folder, tmp_path / str(place))
        monkeypatch.setattr(deep_recipes.data, "_write_whole", write)
        deep_recipes.hold(folder, tmp_path / str(place))
        assert contents(tmp_path / str(place) / "held") == whole


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_an_archive_of_which_nothing_is_held_is_refused_by_name(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(deep_recipes, "ARCHIVES", {"people": ("folder:{data}/stanford40", 10**9)})
    with pytest.raises(DataError, match="stanford40 holds too few pictures"):
        deep_recipes.hold(folder, tmp_path / "shards")


def test_a_data_set_that_is_missing_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"ilsvrc_photos\.tar does not exist"):
        deep_recipes.sets_of(RECIPES["deep"], tmp_path, tmp_path / "shards")


def test_a_recipe_can_be_prolonged():
    recipe = deep_recipes.prolonged(RECIPES["deep"], 7)
    assert recipe.schedule.steps == 7
    assert recipe.model == RECIPES["deep"].model


def test_a_recipe_can_be_run_again_with_other_chance_beside_the_first(tmp_path):
    recipe = deep_recipes.seeded(RECIPES["probe-self"], 2)
    assert recipe == replace(RECIPES["probe-self"], schedule=replace(RECIPES["probe-self"].schedule, seed=2))
    folders = [deep_recipes.folder_of(one, tmp_path) for one in (RECIPES["probe-self"], recipe)]
    assert folders == [tmp_path / "probe-self", tmp_path / "probe-self-2"]


def test_probes_differ_from_the_network_that_ships_in_one_thing():
    probes = [recipe for name, recipe in RECIPES.items() if name.startswith("probe-")]
    assert len(probes) > 5
    for probe in probes:
        ours = RECIPES["probe-self"]
        changed = [v for v in vars(ours.model) if getattr(probe.model, v) != getattr(ours.model, v)]
        changed += [v for v in vars(ours.schedule) if getattr(probe.schedule, v) != getattr(ours.schedule, v)]
        assert len(changed) == (probe != ours)
        assert probe.portions == ours.portions


def test_every_set_keeps_away_from_near_duplicates_of_all_held_parts_and_of_validation(tmp_path):
    held = {f"folder:{tmp_path / 'shards/held' / name}" for name in ARCHIVES}
    for name, archives in SETS.items():
        preparation = deep_recipes.preparation(name, tmp_path / "data", tmp_path / "shards")
        assert set(preparation.avoid) == held | {f"folder:{tmp_path / 'data/bsds500/val'}"}
        told = dict(preparation.sources)
        assert len(told) == len(archives)
        for archive in set(archives) - {"bsds"}:
            spec, one_in = ARCHIVES[archive]
            assert told[spec.format(data=tmp_path / "data")] == one_in > 1


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
