"""Hours at the paper's own scale: arithmetic that can be done by hand, on steps that are measured."""

from __future__ import annotations

import pytest
import torch

from colorcapsnet.learn import scaling


def test_hours_are_steps_times_their_length():
    steps = 26_536_446 * 50 / 128
    assert scaling.hours(0.036) == pytest.approx(steps * 0.036 / 3600)
    assert scaling.hours(0.036, processes=4) == pytest.approx(scaling.hours(0.036) / 4)


def test_the_model_meets_what_was_measured_and_approaches_twice_the_cost_of_sharing():
    one, two = 0.030, 0.040
    assert scaling.modeled(one, two, 1) == one
    assert scaling.modeled(one, two, 2) == pytest.approx(two)
    assert scaling.modeled(one, two, 1000) == pytest.approx(one + 2 * (two - one), rel=1e-3)
    assert scaling.modeled(0.03, 0.02, 8) == 0.03


def test_a_step_learns():
    before = torch.get_rng_state()
    assert scaling.step_seconds(steps=1) > 0
    torch.set_rng_state(before)


@pytest.mark.parametrize("gpu", [False, True])
def test_every_row_says_how_it_is_known_and_what_could_not_be_measured(monkeypatch, gpu):
    monkeypatch.setattr(scaling, "step_seconds", lambda device="cpu", **_: {"cpu": 0.04, "cuda": 0.001}[device])
    monkeypatch.setattr(scaling, "under_torchrun", lambda processes, _: 0.05 + 0.01 * processes)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    rows = {row["what"]: row for row in scaling.costs(1)["rows"]}
    told = next(row for what, row in rows.items() if "GPU" in what)
    assert (told["hours"] is None) == (not gpu) == told["known"].startswith("unmeasured")
    for row in rows.values():
        assert row["known"] in ("measured", "modeled") or row["hours"] is None
        if row["hours"] is not None:
            assert row["rate"] * row["hours"] * 3600 == pytest.approx(26_536_446 * 50)


@pytest.mark.medium
def test_processes_under_torchrun_are_measured():
    assert scaling.under_torchrun(2, steps=1) > 0
