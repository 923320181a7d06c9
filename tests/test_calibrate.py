"""Calibration: vivid colors as colorful as the truth, hints that reach as far as they help, honest confidence."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from colorcapsnet import calibrate, color, evaluate, metrics, paint
from colorcapsnet.calibrate import Taught
from colorcapsnet.cli import main
from colorcapsnet.colorizer import Colorizer
from colorcapsnet.paint import Kernel
from colorcapsnet.zoo import Card
from tests.tiny import write_photograph_model


def photograph(seed, strength=1.0):
    """Two halves of different color and brightness, with some texture."""
    rng = np.random.default_rng(seed)
    lab = np.empty((48, 64, 3), np.float32)
    lab[..., 0] = 55 + cv2.GaussianBlur(rng.normal(0, 30, (48, 64)).astype(np.float32), (0, 0), 2)
    lab[:, :32, 1:], lab[:, 32:, 1:] = (strength * rng.uniform(-40, 40, 2) for _ in range(2))
    return color.quantize(color.lab_to_srgb(lab))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photographs").mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / "photographs" / f"{number}.png"), photograph(number)[..., ::-1])
    return tmp_path / "photographs"


@pytest.fixture
def model(tmp_path):
    return write_photograph_model(tmp_path)


@pytest.mark.parametrize("least", [-40.0, -8.0])
def test_vivid_colors_are_as_colorful_as_the_truth_unless_that_costs_too_much(model, monkeypatch, least):
    monkeypatch.setattr(calibrate, "LEAST_SKILL", least)
    colorizer = Colorizer(str(model))
    truths = [photograph(number) for number in range(4)]
    seen = [(rgb, colorizer.open(color.gray(rgb))) for rgb in truths]
    gain = calibrate.vivid_gain(seen)
    small = [(calibrate._at_cells(rgb, canvas), canvas) for rgb, canvas in seen]
    aimed = np.mean([metrics.colorfulness(rgb) for rgb, _ in small])
    colorful, skill = calibrate._measured(small, gain)
    more, worse = calibrate._measured(small, gain + 0.05)
    assert colorful <= aimed + 1e-6
    assert skill >= least
    assert more > aimed or worse < least or gain > 3.9


def taught(seed=0):
    """A picture whose true error is the same wherever couplings agree, and unrelated elsewhere."""
    rng = np.random.default_rng(seed)
    side, halves = 12, np.zeros((2, 12, 12), np.float32)
    halves[0, :, :6], halves[1, :, 6:] = 1, 1
    known = paint.Known(
        coupling=halves,
        weight=np.ones((2, 1)),
        mean=np.zeros((2, 1, 2)),
        scale=np.ones((2, 1)),
        basis=np.zeros((1, side, side)),
        mix=np.zeros((2, 2, 1)),
    )
    truth = np.empty((side, side, 2), np.float32)
    truth[:, :6], truth[:, 6:] = rng.normal(0, 30, (2, 2))
    places = rng.choice(side * side, max(calibrate.POINTS), replace=False)
    cells = np.stack(divmod(places, side), axis=1)
    lightness = rng.uniform(20, 80, (side, side)).astype(np.float32)
    return Taught(known, lightness, np.zeros_like(truth), truth, cells)


def test_the_error_after_hints_is_that_of_a_plain_loop():
    one = taught()
    logs = []
    for count in calibrate.POINTS:
        colors = np.array([one.truth[row, column] for row, column in one.cells[:count]])
        hinted = paint.hint(one.known, one.ab, one.lightness, one.cells[:count], colors)
        logs.append(np.log(np.mean((hinted - one.truth) ** 2) + 1e-3))
    assert calibrate.hint_error([one], Kernel()) == pytest.approx(np.mean(logs))


def test_hints_learn_to_follow_couplings_where_these_are_all_that_matters(monkeypatch):
    monkeypatch.setattr(calibrate, "STEPS", {"everywhere": (0.0, 0.2, 1.0), "near": (0.0, 0.3)})
    monkeypatch.setattr(calibrate, "FLOOD", 0.0)
    pictures = [taught(seed) for seed in range(3)]
    kernel = calibrate.learn_kernel(pictures)
    assert (kernel.everywhere, kernel.near) == (1.0, 0.0)
    assert calibrate.hint_error(pictures, kernel) < calibrate.hint_error(pictures, paint.KERNEL)


def test_a_click_that_goes_as_far_as_its_half_floods_half_the_picture():
    assert calibrate.flood([taught()], Kernel(everywhere=1, wide=0, near=0)) == pytest.approx(0.5, abs=1e-4)


def test_where_flooding_costs_hints_reach_less_far(monkeypatch):
    monkeypatch.setattr(calibrate, "STEPS", {"everywhere": (0.0, 0.5, 1.0)})
    pictures = [taught(seed) for seed in range(3)]
    reached = []
    for weight in (0.0, 100.0):
        monkeypatch.setattr(calibrate, "FLOOD", weight)
        reached.append(calibrate.learn_kernel(pictures).everywhere)
    assert reached == [1.0, 0.0]


def test_the_card_holds_what_was_learnt_and_is_read_back(model, folder, run_verb):
    told = run_verb("calibrate", model, "--held", folder, "--taught", folder)
    card = Card.load(model.with_suffix(".json"))
    assert set(card.paint) == {"curve", "bold", "gain", "kernel"}
    assert json.loads(told) == {name: card.paint[name] for name in ("bold", "gain", "kernel")}
    x, y = card.paint["curve"]
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) >= 0).all()
    assert Colorizer(str(model)).open(folder / "0.png").confidence().max() <= 1


def test_photographs_are_taken_evenly_from_all_folders(folder, tmp_path):
    (tmp_path / "more").mkdir()
    for number in range(8):
        cv2.imwrite(str(tmp_path / "more" / f"{number}.png"), photograph(number)[..., ::-1])
    found = calibrate._thinned([folder, tmp_path / "more"], 6)
    assert [file.parent.name for file in found] == ["photographs"] * 3 + ["more"] * 3
    assert all(file in evaluate.photographs(file.parent).values() for file in found)


@pytest.fixture
def run_verb():
    from click.testing import CliRunner

    def run(*arguments):
        done = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    return run
