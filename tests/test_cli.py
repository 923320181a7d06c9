"""The command line, used as a person uses it: processes, files, exit codes, one clear line when something is wrong."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from colorcapsnet import color, pictures
from tests.tiny import write_model, write_photograph_model

SAMPLES = Path(__file__).parents[1] / "samples"


def imports_torch(*case):
    """A case that takes seconds."""
    return pytest.param(*case, marks=pytest.mark.medium)


@pytest.fixture
def run(tmp_path):
    """Run the command in an empty folder; standard output and error as text."""

    def run(*arguments, code=0, **environment):
        command = [sys.executable, "-m", "colorcapsnet", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, **environment}, timeout=300
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def tiny(tmp_path):
    return write_model(tmp_path)


def small(path, size=(40, 50), sample="chelsea.png"):
    """A small photograph."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(cv2.imread(str(SAMPLES / sample)), size[::-1]))
    return path


def test_one_picture_is_colored_beside_itself(run, tmp_path):
    small(tmp_path / "grandmother.png")
    done = run("colorize", "grandmother.png")
    (written,) = done.stdout.split()
    gray = color.gray(pictures.read(tmp_path / "grandmother.png").array)
    assert np.array_equal(color.gray_of(pictures.read(tmp_path / written).array), gray)
    assert "1 colored" in done.stderr


def test_it_leaves_nothing_behind_to_be_told_to_anybody(tmp_path):
    """ONNX Runtime 1.29 and later, unasked, give the machine a number and queue what they did for their maker."""
    home = tmp_path / "home"
    home.mkdir()
    small(tmp_path / "grandmother.png")
    environment = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "CI")}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home)}
    command = [sys.executable, "-m", "colorcapsnet", "colorize", str(tmp_path / "grandmother.png")]
    subprocess.run(command, env=environment, check=True, timeout=300)
    assert [*home.rglob("*")] == []


def test_the_output_can_be_named_and_has_the_format_of_its_name(run, tmp_path, tiny):
    small(tmp_path / "a.png")
    run("colorize", "a.png", "-o", "out/b.jpg", "--model", tiny)
    assert (tmp_path / "out/b.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_a_folder_keeps_its_tree_and_another_format_can_be_asked_for(run, tmp_path, tiny):
    small(tmp_path / "in/1990/a.png")
    small(tmp_path / "in/b.jpg")
    run("colorize", "in", "-o", "out", "--format", "webp", "--model", tiny)
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")) == [
        "1990/a.webp",
        "b.webp",
    ]


def test_an_archivist_colors_only_the_masters_of_a_tree(run, tmp_path, tiny):
    for name in ("1_master.tif", "1_access.jpg", "drafts/2_master.tif", "box/3_master.tif"):
        small(tmp_path / "scans" / name)
    chosen = ["colorize", "scans", "-o", "out", "--model", tiny, "--only", "*_master.tif", "--skip", "drafts/*"]
    named = run(*chosen, "--dry-run").stdout.splitlines()
    assert sorted(named) == [
        "scans/1_master.tif -> out/1_master.tif",
        "scans/box/3_master.tif -> out/box/3_master.tif",
    ]
    run(*chosen)
    made = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert made == {"1_master.tif", "box/3_master.tif"}
    assert "is missing" in run("verify", "scans", "out", code=1).stderr
    assert run("verify", "scans", "out", *chosen[6:]).stdout.count("every gray code is kept") == 2


def test_nothing_is_overwritten_without_force(run, tmp_path, tiny):
    small(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("precious")
    done = run("colorize", "a.png", "-o", "b.png", "--model", tiny, code=1)
    assert "b.png" in done.stderr
    assert "--force" in done.stderr
    assert (tmp_path / "b.png").read_text() == "precious"
    run("colorize", "a.png", "-o", "b.png", "--model", tiny, "--force")
    assert pictures.read(tmp_path / "b.png").array.shape == (40, 50, 3)


def test_a_broken_picture_does_not_stop_the_others(run, tmp_path, tiny):
    small(tmp_path / "in/a.png")
    small(tmp_path / "in/c.png")
    (tmp_path / "in/b.png").write_bytes((tmp_path / "in/a.png").read_bytes()[:300])
    done = run("colorize", "in", "-o", "out", "--model", tiny, code=1)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    assert "2 colored, 1 failed" in done.stderr
    assert "b.png" in done.stderr.splitlines()[-1]


def test_clashing_names_are_refused_before_the_first_picture(run, tmp_path, tiny):
    small(tmp_path / "in/a.png")
    small(tmp_path / "in/a.jpg")
    done = run("colorize", "in", "-o", "out", "--format", "png", "--model", tiny, code=1)
    assert "a.jpg" in done.stderr
    assert "a.png" in done.stderr
    assert not (tmp_path / "out").exists()


def test_as_published_redraws_lightness(run, tmp_path):
    small(tmp_path / "a.png")
    run("colorize", "a.png", "-o", "b.png", "--model", "paper", "--as-published")
    gray = color.gray(pictures.read(tmp_path / "a.png").array)
    assert not np.array_equal(color.gray_of(pictures.read(tmp_path / "b.png").array), gray)


def test_a_model_of_photographs_colors_and_says_what_it_sees(run, tmp_path):
    model = write_photograph_model(tmp_path)
    small(tmp_path / "a.png", (90, 120))
    done = run("colorize", "a.png", "--model", model)
    assert done.stdout == "a-color.png\n"
    assert done.stderr.splitlines()[-1] == "tiny-photo, photographs at about 64×64 pixels: 1 colored"
    run("colorize", "a.png", "-o", "same.png", "--model", model, "--strength", "1")
    assert (tmp_path / "same.png").read_bytes() == (tmp_path / "a-color.png").read_bytes()


@pytest.mark.parametrize("write", [write_model, write_photograph_model])
def test_strength_and_vivid(run, tmp_path, write):
    model = write(tmp_path)
    small(tmp_path / "a.png")
    chroma = []
    for name, options in {"0": ["--strength", "0"], "1": [], "2": ["--strength", "2"], "v": ["--vivid"]}.items():
        run("colorize", "a.png", "-o", f"{name}.png", "--model", model, *options)
        lab = color.srgb_to_lab(pictures.read(tmp_path / f"{name}.png").array)
        chroma.append(np.hypot(lab[..., 1], lab[..., 2]).mean())
    assert chroma[0] < 1e-3 < chroma[1] < chroma[2] == chroma[3]


def test_a_person_asks_where_to_point_and_then_decides(run, tmp_path):
    model = write_photograph_model(tmp_path)
    small(tmp_path / "a.png", (90, 120))
    done = run("suggest-hints", "a.png", "-n", "2", "-o", "a.json", "--model", model)
    assert len(done.stdout.splitlines()) == 2
    filled = (tmp_path / "a.json").read_text().replace("null", '"#a03020"', 1)
    (tmp_path / "a.json").write_text(filled)
    decisions = ["--hints", "a.json", "--recolor", "2=#2040a0", "--do-no-harm", "0.5"]
    done = run("colorize", "a.png", "--model", model, *decisions, "--candidates", "2", "--capsules", "map.png")
    names = ["a-color-1.png", "a-color-2.png", "a-color-sheet.jpg", "map.png"]
    assert done.stdout.split() == names
    assert done.stderr.splitlines()[-1] == "tiny-photo, photographs at about 64×64 pixels: 1 colored"
    assert all((tmp_path / name).exists() for name in names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["colorize", "none.png"], "none.png"),
        (["colorize", "a.png", "--recolor", "red"], "'red' recolors nothing"),
        (["colorize", "a.png", "--hints", "text.png"], "text.png is not a JPEG"),
        (["colorize", ".", "--candidates", "2"], "--candidates are for one picture"),
        (["suggest-hints", "none.png"], "none.png does not exist"),
        (["colorize", "empty.png"], "empty"),
        (["colorize", ".", "--only", "*_master.tif"], "none of 3 pictures is left by --only '*_master.tif'"),
        (["colorize", "text.png"], "text.png"),
        (["colorize", "a.png", "--model", "deeper"], "no model 'deeper'"),
        (["colorize", "a.png", "--model", "none.onnx"], "none.onnx does not exist"),
        (["evaluate", "nowhere", "--model", "paper"], "nowhere"),
        imports_torch(["export", "a.png", "--name", "x", "--pictures", "."], "a.png is damaged or no checkpoint"),
        (["prepare", "nowhere", "-o", "shards"], "nowhere does not exist"),
        imports_torch(["train", "standin-2-bsds", "--data", "nowhere"], "does not exist"),
        imports_torch(["train", "deep", "--data", "nowhere"], "ilsvrc_photos.tar does not exist"),
    ],
    ids=" ".join,
)
def test_bad_input_ends_in_one_line_and_exit_1(run, tmp_path, arguments, message):
    small(tmp_path / "a.png")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture")
    done = run(*arguments, code=1)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["colorize"], "Missing argument"),
        (["colorize", "a.png", "--model", "paper", "--stride", "12"], "the stride is 1 to 9"),
        (["colorize", "a.png", "--model", "tiny-photo.onnx", "--stride", "3"], "tiny-photo sees whole photographs"),
        (["colorize", "a.png", "--model", "tiny-photo.onnx", "--as-published"], "tiny-photo sees whole photographs"),
        (["colorize", "a.png", "--strength", "2.5"], "2.5 is not in the range 0<=x<=2"),
        (["colorize", "a.png", "--model", "paper", "--as-published", "--vivid"], "has no strength"),
        (["evaluate", "."], "give either a folder of OUTPUTS or --model NAME"),
        imports_torch(["train", "paper-9", "--data", "."], "paper-1-ilsvrc"),
        imports_torch(["train", "deep"], "give --data and a recipe: paper-1-ilsvrc"),
        imports_torch(["train", "deep", "--data", ".", "--vgg", "a.png"], "--vgg is for the paper's network"),
        imports_torch(["train", "deep", "--data", ".", "--epochs", "3"], "deep is counted in steps: --steps"),
        imports_torch(
            ["train", "paper-1-ilsvrc", "--data", ".", "--steps", "3"], "paper-1-ilsvrc is counted in epochs: --epochs"
        ),
        (["sing"], "No such command"),
    ],
)
def test_a_wrong_call_says_how_it_is_right_and_exits_2(run, tmp_path, arguments, message):
    small(tmp_path / "a.png")
    write_photograph_model(tmp_path)
    assert message in run(*arguments, code=2).stderr


@pytest.mark.parametrize("verb", ["train", "export"])
def test_training_without_its_libraries_says_what_to_install(run, tmp_path, verb):
    small(tmp_path / "a.png")
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    arguments = {
        "prepare": [".", "-o", "s"],
        "train": ["--list"],
        "export": ["a.png", "--name", "x", "--pictures", "."],
    }
    done = run(verb, *arguments[verb], code=2)
    assert "pip install 'colorcapsnet[train]'" in done.stderr


def test_models_lists_what_ships(run):
    assert "paper" in run("models").stdout
    (card,) = [card for card in json.loads(run("models", "--json").stdout) if card["name"] == "paper"]
    assert card["parameters"] == 2_215_475
    assert card["bytes"] < 15e6
    rows = card["scores"]["bsds500/val"]["rows"]
    assert {"gray", "tint", "picture mean", "paper"} <= set(rows)


@pytest.mark.medium
def test_recipes_are_listed_with_cost_and_command(run):
    listed = run("train", "--list").stdout
    names = ("paper-1-ilsvrc", "standin-2-bsds", "deep", "deep-large", "deep-soft", "probe-convolution")
    for word in ("reproduces", "expect", "cost", *(f"colorcapsnet train {name} --data FOLDER" for name in names)):
        assert word in listed


def test_evaluating_writes_every_format_and_prints_the_table(run, tmp_path, tiny):
    for name in ("a.png", "b.png"):
        small(tmp_path / "truth" / name)
    done = run("evaluate", "truth", "--model", tiny, "--json", "e.json", "--csv", "e.csv", "--md", "e.md")
    told = json.loads((tmp_path / "e.json").read_text())
    for row in ("gray", "tint", "picture mean", "round trip tiny", "tiny"):
        assert row in told["summary"]
        assert f"| {row} |" in done.stdout
    assert told["models"]["tiny"] == json.loads(tiny.with_suffix(".json").read_text())["sha256"]
    lines = (tmp_path / "e.csv").read_text().splitlines()
    assert len(list(csv.DictReader(lines))) == 2 * len(told["summary"])
    assert (tmp_path / "e.md").read_text() == done.stdout.rstrip("\n") + "\n"


def test_somebodys_outputs_are_scored_and_shown(run, tmp_path, tiny):
    small(tmp_path / "truth/a.png")
    run("colorize", "truth", "-o", "out", "--model", tiny)
    assert "| outputs |" in run("evaluate", "truth", "out").stdout
    assert run("report", "sheet", "truth", "out", "-o", "sheet.jpg").stdout == "sheet.jpg\n"
    assert pictures.read(tmp_path / "sheet.jpg").array.shape[1] > 900


@pytest.mark.medium
def test_prepare_train_export_colorize(run, tmp_path):
    """The whole way from photographs to a model of one's own, in miniature."""
    small(tmp_path / "data/bsds500/train/a.png", (100, 120))
    small(tmp_path / "data/bsds500/val/b.png", (100, 120), "coffee.png")
    assert "patches of 9x9" in run("prepare", "data/bsds500/train", "-o", "own", "--hold-out", "0").stdout
    assert "steps, about" in run("train", "standin-3-bsds-val", "--data", "data", "--estimate").stderr
    done = run("train", "standin-2-bsds", "--data", "data", code=1)
    assert "run `colorcapsnet train standin-1-ilsvrc` first" in done.stderr
    from tests.learn import begin_chain

    begin_chain(tmp_path / "runs/standin-1-ilsvrc/last.safetensors", "standin-1-ilsvrc")
    trained = json.loads(run("train", "standin-2-bsds", "--data", "data", "--epochs", "1").stdout)
    assert {"epoch", "loss", "validation"} == set(trained)
    checkpoint = "runs/standin-2-bsds/last.safetensors"
    done = run("export", checkpoint, "--name", "own", "--pictures", "data/bsds500/val", "-o", "models")
    assert done.stdout.splitlines()[-1] == "models/own.onnx"
    assert (
        "own, as published" in json.loads((tmp_path / "models/own.json").read_text())["scores"]["bsds500/val"]["rows"]
    )
    run("colorize", "data/bsds500/val/b.png", "-o", "c.png", "--model", "models/own.onnx")
    assert (tmp_path / "c.png").exists()
