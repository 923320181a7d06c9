"""What a time affords: patches are thinned first, then batches made smaller, and the sum fits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorcapsnet.learn.budget import (
    BATCHES,
    FEWEST_STEPS,
    LEAST_STEPS,
    SAVED,
    Load,
    StepCost,
    fit,
    measure,
    seconds_of,
)
from colorcapsnet.learn.paper import PaperConfig


def spent(share, loads, preparing=0.0):
    """Step by step: what the runs take with this thinning and batch."""
    total = preparing
    for load in loads:
        steps_of_epoch = load.patches / share.every / share.batch
        for _ in range(load.rounds):
            total += steps_of_epoch * (load.cost.fixed + share.batch * load.cost.each)
            total += 3 * 4 * load.parameters / SAVED
    return total


LOADS = st.lists(
    st.builds(
        Load,
        patches=st.floats(2_000, 1e7),
        cost=st.builds(StepCost, fixed=st.floats(0, 0.1), each=st.floats(1e-5, 1e-2)),
        rounds=st.integers(1, 30),
        parameters=st.integers(1_000, 10_000_000),
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize(
    ("said", "seconds"), [("45s", 45), ("10m", 600), ("3h", 10_800), ("1h30m", 5400), ("full", math.inf)]
)
def test_a_budget_is_a_time_or_full(said, seconds):
    assert seconds_of(said) == seconds


@pytest.mark.parametrize("said", ["", "10", "0m", "-3h", "m", "3 h", "30m1h", "FULL", "1.5h"])
def test_anything_else_is_refused_in_one_line(said):
    with pytest.raises(ValueError, match=r"^a budget is full, or a time like 10m, 3h or 1h30m, not '.*'$"):
        seconds_of(said)


@given(LOADS, st.floats(1, 1e6), st.floats(0, 100))
def test_what_is_expected_is_what_the_runs_take(loads, seconds, preparing):
    share = fit(seconds, loads, preparing)
    assert share.seconds == pytest.approx(spent(share, loads, preparing), rel=1e-6)


@given(LOADS, st.floats(1, 1e6))
def test_a_share_with_steps_enough_stays_in_its_time(loads, seconds):
    share = fit(seconds, loads)
    fewest = min(load.patches for load in loads) / share.every / share.batch
    assert share.enough == (fewest >= LEAST_STEPS)
    assert share.seconds <= seconds * (1 + 1e-9) or not share.enough
    assert fewest >= FEWEST_STEPS


@given(LOADS, st.floats(1, 1e5), st.floats(1, 1e3))
def test_more_time_never_leaves_more_patches_out_of_the_same_batches(loads, seconds, more):
    short, long = fit(seconds, loads), fit(seconds * (1 + more), loads)
    assert long.batch >= short.batch
    assert long.every <= short.every or long.batch > short.batch


@given(LOADS)
def test_without_end_nothing_is_left_out(loads):
    share = fit(math.inf, loads)
    assert (share.every, share.batch) == (1, BATCHES[0] if min(each.patches for each in loads) >= 2560 else 64)


def test_batches_get_smaller_before_a_run_has_too_few_steps():
    load = Load(patches=10_000, cost=StepCost(0.0, 0.01), rounds=1, parameters=0)
    assert fit(100.0, [load]).batch == 128
    assert (fit(10.0, [load]).every, fit(10.0, [load]).batch) == (10, 32)
    assert fit(1.0, [load]).every == 10_000 // (16 * FEWEST_STEPS) or not fit(1.0, [load]).enough


def test_a_step_costs_something_and_more_for_more_patches():
    cost = measure(PaperConfig())
    assert cost.fixed >= 0
    assert cost.each > 0
    assert cost.of(128) == pytest.approx(cost.fixed + 128 * cost.each)
