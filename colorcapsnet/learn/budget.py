"""What a span of time affords: how many patches, in which batches, over how many epochs and seeds.

Costs are measured by a few steps on this machine, as it is now. Where time does not suffice, patches are thinned first,
then batches made smaller, so that a run keeps enough steps to show a curve.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from colorcapsnet.learn.paper import PaperConfig
from colorcapsnet.learn.train import step

BATCHES = (128, 64, 32, 16)
LEAST_STEPS = 20  # an epoch, before batches are made smaller
FEWEST_STEPS = 3  # an epoch, whatever it costs
SAVED = 150e6  # bytes a second that a checkpoint is hashed and written at


def seconds_of(budget: str) -> float:
    """A budget in seconds; ``full`` has no end.

    >>> seconds_of("10m"), seconds_of("1h30m"), seconds_of("45s"), seconds_of("full")
    (600.0, 5400.0, 45.0, inf)

    Raises:
        ValueError: it is no such span of time.
    """
    if budget == "full":
        return math.inf
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", budget)
    hours, minutes, seconds = (int(part or 0) for part in parts.groups()) if parts else (0, 0, 0)
    spent = 3600 * hours + 60 * minutes + seconds
    if not spent:
        raise ValueError(f"a budget is full, or a time like 10m, 3h or 1h30m, not {budget!r}")
    return float(spent)


@dataclass(frozen=True)
class StepCost:
    """Seconds of a training step: a fixed part, and one for each patch of the batch."""

    fixed: float
    each: float

    def of(self, batch: int) -> float:
        """Seconds of a step with so many patches."""
        return self.fixed + self.each * batch


def measure(config: PaperConfig, *, bf16: bool = True) -> StepCost:
    """What a step of a network costs here, from a few steps in two sizes of batches."""
    model = config.build().train()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    large = max(16, round(128 * 81 / config.patch**2))
    small = large // 4
    patches = np.random.default_rng(0).integers(0, 256, (large, config.patch, config.patch, 4), np.uint8)
    taken = {}
    for batch in (large, small):
        times = []
        for _ in range(3):
            began = time.perf_counter()
            step(model, optimizer, patches[:batch], bf16=bf16)
            times.append(time.perf_counter() - began)
        taken[batch] = min(times)
    each = max((taken[large] - taken[small]) / (large - small), taken[large] / large / 2)
    return StepCost(max(taken[large] - large * each, 0.0), each)


@dataclass(frozen=True)
class Load:
    """One run that is to fit into a budget.

    Attributes:
        patches: in an epoch, when none is left out.
        cost: of a step.
        rounds: epochs times seeds.
        parameters: of the network; a checkpoint of every epoch holds three numbers for each.
    """

    patches: float
    cost: StepCost
    rounds: int
    parameters: int

    @property
    def saving(self) -> float:
        """Seconds that checkpoints take."""
        return self.rounds * self.parameters * 12 / SAVED

    def learning(self, batch: int) -> float:
        """Seconds that steps take in batches of this size, when no patch is left out."""
        return self.rounds * self.patches / batch * self.cost.of(batch)


@dataclass(frozen=True)
class Share:
    """What an experiment gets of the budget.

    Attributes:
        every: it learns from every k-th patch.
        batch: patches in a step.
        seconds: what it is expected to take.
        enough: whether its shortest run has steps enough in an epoch.
    """

    every: int
    batch: int
    seconds: float
    enough: bool


def fit(seconds: float, loads: Sequence[Load], preparing: float = 0.0) -> Share:
    """The most that runs can have together in a time, all of them with the same thinning and batch.

    A time too short for three steps an epoch in the smallest batches is overrun by as much as these take.

    Args:
        seconds: in all; may be infinite.
        loads: the runs.
        preparing: seconds of it that go before the first step.
    """
    saving, fewest = preparing + sum(load.saving for load in loads), min(load.patches for load in loads)
    for batch in BATCHES:
        learning = sum(load.learning(batch) for load in loads)
        every = max(1, math.ceil(learning / max(seconds - saving, 1e-9)))
        if fewest >= every * batch * LEAST_STEPS:
            return Share(every, batch, learning / every + saving, enough=True)
    every = max(1, min(every, int(fewest // (batch * FEWEST_STEPS))))
    return Share(every, batch, learning / every + saving, enough=False)
