"""Training the network of the whole photograph: it learns, stops and goes on exactly, and refuses another run."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from colorcapsnet import color
from colorcapsnet.errors import ModelError
from colorcapsnet.learn import checkpoints, deep, train_photographs
from colorcapsnet.learn.deep import DeepConfig
from colorcapsnet.learn.photographs import Mixture, Photographs, Portion, validation_pictures
from colorcapsnet.learn.train_photographs import Schedule, train
from tests.learn.test_photographs import prepared

CONFIG = DeepConfig(entities=3, modes=2, local=2, pose=8)
SCHEDULE = Schedule(steps=4, rise=1, bf16=False, validate=2)


@pytest.fixture(autouse=True)
def no_pretrained_weights(monkeypatch):
    """An encoder drawn at random has the form of a pretrained one."""
    monkeypatch.setattr(deep.DeepColorCapsNet, "learn_from_imagenet", deep.DeepColorCapsNet.prepare)


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order, so that runs can be compared to the bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def sets(tmp_path):
    held = Photographs(prepared(tmp_path / "data"))
    mixture = Mixture((Portion(1, (("a", 1.0),), crop=32, batch=2),), {"a": held})
    return mixture, {"same": validation_pictures(held, 2, 64)}


def run(sets, folder, schedule=SCHEDULE, **more):
    return train("a run", CONFIG, schedule, *sets, folder, **more)


def test_the_rate_rises_stays_and_falls_to_nothing():
    schedule = Schedule(steps=100, rise=10, fall=0.2)
    rates = [schedule.rate_at(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert set(rates[9:80]) == {1.0}
    assert rates[90] == pytest.approx(0.5)
    assert rates[100] == 0


def test_a_run_logs_validates_and_keeps_averaged_weights(sets, tmp_path, monkeypatch):
    monkeypatch.setattr(train_photographs, "LOG_EVERY", 1)
    final = run(sets, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/losses.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "error" in line] == [1, 2, 3, 4]
    assert [entry["step"] for entry in final.history] == [2, 4]
    assert math.isfinite(final.history[-1]["same"]["skill"])
    learnt = [name for name in final.averaged if not torch.equal(final.averaged[name], final.model[name])]
    assert learnt
    assert not any(name.startswith("encoder.stages.0") for name in final.averaged)


def test_a_run_that_was_stopped_ends_with_the_same_weights(sets, tmp_path, monkeypatch):
    whole = run(sets, tmp_path / "whole")
    stepped = train_photographs.step

    def stopped_after_two(state, batch):
        said = stepped(state, batch)
        if state.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return said

    monkeypatch.setattr(train_photographs, "step", stopped_after_two)
    with pytest.raises(KeyboardInterrupt):
        run(sets, tmp_path / "parts")
    monkeypatch.setattr(train_photographs, "step", stepped)
    parts = run(sets, tmp_path / "parts")
    for part in ("model", "averaged", "adam"):
        ours, theirs = getattr(parts, part), getattr(whole, part)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), part
    assert parts.history == whole.history


def test_more_steps_prolong_a_run(sets, tmp_path):
    run(sets, tmp_path / "run")
    assert run(sets, tmp_path / "run", replace(SCHEDULE, steps=6)).loop["step"] == 6


@pytest.mark.parametrize("other", [{"rate": 0.1}, {"seed": 3}, {"average": 0.5}], ids=str)
def test_another_runs_checkpoint_is_refused(sets, tmp_path, other):
    run(sets, tmp_path / "run")
    with pytest.raises(ModelError, match="belongs to another run"):
        run(sets, tmp_path / "run", replace(SCHEDULE, **other))


def test_a_second_part_begins_with_the_averaged_weights_of_the_first(sets, tmp_path):
    first = run(sets, tmp_path / "first")
    second = run(sets, tmp_path / "second", replace(SCHEDULE, rate=0, encoder_rate=0, steps=1, validate=1),
                 begin_from=tmp_path / "first/last.safetensors")  # fmt: skip
    assert all(torch.equal(second.model[name], first.averaged[name]) for name in first.averaged)


def test_another_network_cannot_begin_a_run(sets, tmp_path):
    run(sets, tmp_path / "first")
    with pytest.raises(ModelError, match="holds another network"):
        train("b", replace(CONFIG, entities=4), SCHEDULE, *sets, tmp_path / "b",
              begin_from=tmp_path / "first/last.safetensors")  # fmt: skip


def test_a_checkpoint_of_the_published_network_is_no_photograph_network(tmp_path):
    path = tmp_path / "paper.safetensors"
    checkpoints.save(checkpoints.Checkpoint(model={}, kind="paper", config={}, recipe="r", data=""), path)
    with pytest.raises(ModelError, match="whole photograph"):
        train_photographs.of_checkpoint(path)


def test_validation_measures_decibels_over_gray_in_srgb(sets):
    """Colors halfway to the truth, against the color room's own sRGB."""
    pale = np.array([1, 0.3, 0.3], np.float32)[:, None, None]
    pictures = [(gray, np.clip(lab, 20, 80) * pale) for gray, lab in sets[1]["same"]]
    truths = iter([lab for _, lab in pictures])

    class Halfway:
        def eval(self):
            return self

        train = eval

        def ab(self, gray):
            return torch.from_numpy(next(truths))[None, 1:] / deep.UNIT / 2

    def error(lab, share):
        rgb, truth = (color.lab_to_srgb(np.moveaxis(lab * [[[1]], [[by]], [[by]]], 0, -1)) for by in (share, 1))
        return np.square(rgb - truth).mean() + deep.EPSILON

    found = train_photographs.validate(Halfway(), {"same": pictures}, bf16=False)
    expected = [10 * np.log10(error(lab, 0) / error(lab, 0.5)) for _, lab in pictures]
    assert found["same"]["skill"] == pytest.approx(np.mean(expected), abs=0.01)


def test_an_error_in_the_thread_that_makes_batches_ends_the_run(sets, tmp_path, monkeypatch):
    def broken(self, number):
        raise OSError("the disk is gone")

    monkeypatch.setattr(Mixture, "batch", broken)
    with pytest.raises(OSError, match="disk is gone"):
        run(sets, tmp_path / "run")


def test_the_convolution_head_trains_too(sets, tmp_path):
    final = train("c", DeepConfig(head="convolution"), replace(SCHEDULE, steps=2), *sets, tmp_path / "run")
    assert final.loop["step"] == 2


def test_an_estimate_counts_all_steps(sets):
    told = train_photographs.estimate(CONFIG, SCHEDULE, sets[0])
    assert told.steps == 4
    assert told.seconds > 0
