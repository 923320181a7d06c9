"""Experiments go on where they were stopped and end the same; results are written once, with what they were made with.

The last test is the whole of it, on miniature sets, as a person starts it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from colorcapsnet import evaluate, pictures
from colorcapsnet.cli import main
from colorcapsnet.colorizer import Colorizer
from colorcapsnet.errors import DataError
from colorcapsnet.learn import checkpoints, data, plan, recipes, reproduce, train
from colorcapsnet.learn.budget import Share
from colorcapsnet.learn.export import export
from colorcapsnet.learn.paper import PaperConfig
from colorcapsnet.learn.plan import Plan, Variant
from colorcapsnet.learn.reproduce import Bench
from tests.learn import begin_chain
from tests.learn.miniature import miniature_sets

pytestmark = pytest.mark.medium

VARIANTS = [Variant("1 routing", PaperConfig()), Variant("2 × routing", PaperConfig(routings=2))]
SMALL = Plan(
    budget="1s",
    chain=plan.STANDINS,
    vgg=False,
    seeds=2,
    epochs=2,
    chain_epochs=(2, 1, 1),
    pictures=None,
    side=9,
    scored=2,
    compared=2,
    densest=2,
    shares={name: Share(12, 16, 1.0, enough=True) for name in reproduce.EXPERIMENTS},
)


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    return miniature_sets(tmp_path_factory.mktemp("data"))


def bench(folder: Path, sets: Path, made: Plan = SMALL) -> Bench:
    return Bench(sets, folder, made, None, Colorizer, "a command")


def without_seconds(found):
    """A result but for times, which differ from run to run."""
    if isinstance(found, dict):
        return {key: without_seconds(value) for key, value in found.items() if "seconds" not in key}
    return [without_seconds(value) for value in found] if isinstance(found, list) else found


class Killed(BaseException):
    """Stands for the end of a process: nothing is saved on the way out."""


def kill_at(monkeypatch, number: int) -> None:
    """Let the process end in a step of training."""
    plain, taken = train.step, [0]

    def step(*args, **kwargs):
        taken[0] += 1
        if taken[0] == number:
            raise Killed
        return plain(*args, **kwargs)

    monkeypatch.setattr(train, "step", step)


# Comparisons


def test_a_comparison_that_is_killed_goes_on_and_ends_with_the_same_losses(tmp_path, sets, monkeypatch):
    whole = reproduce.compare(bench(tmp_path / "whole", sets), "figure-4b", VARIANTS)
    steps = whole["variants"][0]["runs"][0]["steps"]
    assert steps >= 4
    for number in (1, steps - 1, steps + 1, 2 * steps + 1):
        with monkeypatch.context() as patched, pytest.raises(Killed):
            kill_at(patched, number)
            reproduce.compare(bench(tmp_path / "killed", sets), "figure-4b", VARIANTS)
    assert without_seconds(
        reproduce.compare(bench(tmp_path / "killed", sets), "figure-4b", VARIANTS)
    ) == without_seconds(whole)


def test_a_finished_run_is_read_and_not_trained_again(tmp_path, sets, monkeypatch):
    found = reproduce.compare(bench(tmp_path, sets), "figure-4b", VARIANTS)
    kill_at(monkeypatch, 1)
    assert reproduce.compare(bench(tmp_path, sets), "figure-4b", VARIANTS) == found


def test_a_comparison_says_on_what_how_long_and_with_which_seeds(tmp_path, sets):
    made = replace(SMALL, epochs=1)
    found = reproduce.compare(bench(tmp_path, sets, made), "figure-4b", VARIANTS)
    for row, variant in zip(found["variants"], VARIANTS, strict=True):
        assert PaperConfig(**row["config"]) == variant.config
        assert row["parameters"] == sum(values.numel() for values in variant.config.build().parameters())
        assert [run["seed"] for run in row["runs"]] == [0, 1]
        assert all(len(run["loss"]) == 1 for run in row["runs"])
        assert row["runs"][0]["loss"] != row["runs"][1]["loss"]
        assert row["data"]["every"] == 12
        assert row["data"]["pictures"] <= row["data"]["patches"]
    assert found["seconds"] == pytest.approx(sum(run["seconds"] for row in found["variants"] for run in row["runs"]))


def test_without_vggs_weights_its_row_says_so_and_the_others_run(tmp_path, sets):
    made = replace(SMALL, seeds=1, epochs=1)
    variants = [Variant("transferred", PaperConfig(), "vgg"), VARIANTS[0]]
    given, random = reproduce.compare(bench(tmp_path, sets, made), "figure-4b", variants)["variants"]
    assert given["not_run"] == "weights not given"
    assert "runs" not in given
    assert len(random["runs"]) == 1


def test_a_network_is_kept_for_every_run_and_no_more(tmp_path, sets):
    one = bench(tmp_path, sets, replace(SMALL, seeds=1, epochs=1))
    reproduce.compare(one, "figure-4b", VARIANTS[:1])
    (folder,) = (one.work / "runs" / "figure-4b").iterdir()
    assert {path.name for path in folder.glob("*.safetensors")} == {"network.safetensors"}
    assert reproduce.network_of(checkpoints.load(folder / "network.safetensors")).config == VARIANTS[0].config


# Parameters


def test_the_papers_differences_come_out_of_networks_that_are_built(tmp_path, sets):
    found = reproduce.parameters(bench(tmp_path, sets))
    assert (found["front"], found["capsules"], found["smallest_patch"]) == (-728_256, -2_392_064, 9)


# The chain


def test_a_chain_that_is_killed_goes_on_and_ends_the_same(tmp_path, sets, monkeypatch):
    whole = reproduce.chain(bench(tmp_path / "whole", sets))
    for number in (2, 7):
        with monkeypatch.context() as patched, pytest.raises(Killed):
            kill_at(patched, number)
            reproduce.chain(bench(tmp_path / "killed", sets))
    assert without_seconds(reproduce.chain(bench(tmp_path / "killed", sets))) == without_seconds(whole)


def test_the_third_step_is_not_scored_on_what_it_learnt_from(tmp_path, sets):
    made = replace(SMALL, chain_epochs=(1, 1, 1))
    first, second, third = reproduce.chain(bench(tmp_path, sets, made))["steps"]
    for step in (first, second):
        (entry,) = step["epochs"]
        assert len(entry["pictures"]) == reproduce.SHOWN
        assert "validation" in entry
    assert all("pictures" not in entry and "validation" not in entry for entry in third["epochs"])
    assert not list((tmp_path / "results").rglob("step-3*"))


def test_each_step_begins_with_the_last_state_of_the_one_before(tmp_path, sets):
    made = replace(SMALL, chain_epochs=(1, 1, 1))
    one = bench(tmp_path, sets, made)
    reproduce.chain(one)
    loaded = [checkpoints.load(path) for path in one.checkpoints]
    assert [saved.recipe for saved in loaded] == list(plan.STANDINS)
    assert [saved.loop["epoch"] for saved in loaded] == [1, 1, 1]
    assert not torch.equal(*(saved.model["decoder.0.weight"] for saved in loaded[:2]))


def test_colors_are_those_of_the_exported_network_as_published(tmp_path, sets):
    path = tmp_path / "run/last.safetensors"
    begin_chain(path, "standin-1-ilsvrc")
    saved = checkpoints.load(path)
    torch.manual_seed(0)
    saved.model["decoder.4.bias"].normal_()
    checkpoints.save(saved, path)
    exported, network = export(path, tmp_path, "painted", sets / "bsds500/val"), reproduce.network_of(saved)
    gray = pictures.read(sets / "bsds500/val/300.jpg").gray
    expected = Colorizer(str(exported), as_published=True).colorize(gray)
    found = reproduce.painted(network, gray)
    assert (found != expected).mean() < 1e-3  # where a code is rounded the other way
    assert np.abs(found.astype(int) - expected).max() <= 4


# Data


def test_a_sample_holds_only_what_may_be_learnt_from(tmp_path, sets):
    whole = recipes.at(recipes.RECIPES[plan.STANDINS[0]].training, sets)
    sampled = reproduce.sample(whole, 20, tmp_path / "s")
    found = {data.sha256(path.read_bytes()) for path in (tmp_path / "s").iterdir()}
    allowed = set()
    for spec, one_in in whole.sources:
        for source in data.open_set(spec):
            content = source.read()
            if not data.is_held(source, content, one_in):
                allowed.add(data.sha256(content))
    assert found < allowed
    assert sampled.avoid == whole.avoid
    before = sorted(path.name for path in (tmp_path / "s").iterdir())
    reproduce.sample(whole, 20, tmp_path / "s")
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == before


def test_what_was_held_out_is_the_test_of_the_stand_ins(tmp_path, sets):
    one = bench(tmp_path, sets)
    spec, one_in = recipes.at(recipes.RECIPES[plan.STANDINS[0]].training, sets).sources[1]
    held = {s.name for s in data.open_set(spec) if data.is_held(s, s.read(), one_in)}
    assert held
    assert {path.relative_to(one.work / "test").as_posix() for path in reproduce._test_pictures(one)} == held


# The whole


def told(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "results").glob("*.json")}


def run(monkeypatch, folder: Path, sets: Path, asked: str = "1s", **experiments) -> list[str]:
    """The experiments given, by name, in place of all; what was said."""
    said: list[str] = []
    monkeypatch.setattr(reproduce, "EXPERIMENTS", experiments)
    reproduce.reproduce(folder, sets, asked, Colorizer, command="a command", tell=said.append)
    return said


@pytest.fixture
def planned(tmp_path):
    """A folder with a plan, so that nothing is measured."""
    (tmp_path / "results").mkdir()
    evaluate.save_json(asdict(SMALL), tmp_path / "results/plan.json")
    return tmp_path


def test_costs_are_said_before_anything_is_run(monkeypatch, planned, sets):
    said = run(monkeypatch, planned, sets, scale=lambda _: {}, chain=lambda _: {})
    assert [line.split()[0] for line in said] == ["scale", "chain", "scale:", "chain:"]
    assert "1 patch in 12, batch 16, 2+1+1 epochs, 1 seed" in said[1]
    assert "2.0 s left in all" in said[2]
    assert "1.0 s left in all" in said[3]


def test_a_result_says_what_it_was_made_with(monkeypatch, planned, sets):
    run(monkeypatch, planned, sets, scale=lambda _: {"rows": []})
    found = json.loads((planned / "results/scale.json").read_text())
    assert (found["command"], found["budget"], found["chain"]) == ("a command", "1s", list(plan.STANDINS))
    assert found["seconds"] >= 0
    assert found["versions"]["torch"] == torch.__version__
    assert found["machine"]["cores"] >= 1


def test_a_finished_experiment_is_not_run_again(monkeypatch, planned, sets):
    def killed(_):
        raise Killed

    with pytest.raises(Killed):
        run(monkeypatch, planned, sets, scale=lambda _: {"number": 1}, chain=killed)
    before = told(planned)
    assert set(before) == {"plan.json", "scale.json"}
    run(monkeypatch, planned, sets, scale=killed, chain=lambda _: {"number": 2})
    after = told(planned)
    assert before.items() <= after.items()
    assert set(after) == {"plan.json", "scale.json", "chain.json"}


@pytest.mark.parametrize("asked", ["2s", "full"])
def test_results_of_another_budget_are_refused(monkeypatch, planned, sets, asked):
    with pytest.raises(DataError, match=r"holds results of --budget 1s on standin-1-ilsvrc, without --vgg: ask for"):
        run(monkeypatch, planned, sets, asked)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget", "1s"], "give --data and --budget, or --draw"),
        (["--data", "nowhere", "--budget", "soon"], "a budget is full, or a time like 10m, 3h or 1h30m, not 'soon'"),
        (["--data", "nowhere", "--budget", "1s"], "nowhere holds neither ILSVRC2012 and DIV2K"),
        (["--draw"], "holds no results"),
    ],
)
def test_bad_input_ends_in_one_clear_line(tmp_path, options, said):
    done = CliRunner().invoke(main, ["report", "paper", "--out", str(tmp_path / "report"), *options])
    assert done.exit_code != 0
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_run_that_is_stopped_says_how_it_goes_on(monkeypatch, planned, sets):
    def stopped(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(reproduce, "EXPERIMENTS", {"scale": stopped})
    options = ["--out", str(planned), "--data", str(sets), "--budget", "1s"]
    done = CliRunner().invoke(main, ["report", "paper", *options])
    assert done.exit_code == 1
    assert f"stopped; the same command goes on from {planned}" in done.output


@pytest.mark.medium
def test_the_whole_of_it_as_a_person_starts_it(tmp_path, sets):
    command = ["report", "paper", "--out", str(tmp_path)]
    done = CliRunner().invoke(main, [*command, "--data", str(sets), "--budget", "1s"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert done.output.split()[-2:] == [str(tmp_path / "paper.md"), str(tmp_path / "paper.html")]
    page, results = (tmp_path / "paper.md").read_text(), told(tmp_path)
    assert set(results) == {"plan.json", *(f"{name}.json" for name in reproduce.EXPERIMENTS)}
    assert "Not run yet" not in page
    assert all(len(content) < 200_000 for content in results.values())
    again = CliRunner().invoke(main, [*command, "--draw"], catch_exceptions=False)
    assert again.exit_code == 0
    assert (tmp_path / "paper.md").read_text() == page
    assert told(tmp_path) == results
