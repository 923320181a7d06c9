"""What is to be run to make the paper again, and how much of it a budget affords.

The variants of Figure 4 are listed here; how many patches, pictures, epochs and seeds each gets follows from measured
costs (:mod:`budget`), and is decided once for a folder of results.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from colorcapsnet import evaluate
from colorcapsnet.errors import DataError
from colorcapsnet.learn import data, recipes
from colorcapsnet.learn.budget import Load, Share, StepCost, fit
from colorcapsnet.learn.data import Sampling, Source
from colorcapsnet.learn.paper import PaperConfig
from colorcapsnet.learn.recipes import RECIPES
from colorcapsnet.learn.shards import Preparation

T = TypeVar("T")

PUBLISHED = ("paper-1-ilsvrc", "paper-2-div2k", "paper-3-div2k-val")
STANDINS = ("standin-1-ilsvrc", "standin-2-bsds", "standin-3-bsds-val")
OF_BUDGET = {
    "pictures": 0.02,
    "figure-4a": 0.30,
    "figure-4b": 0.12,
    "figure-4c": 0.17,
    "chain": 0.16,
    "table-1": 0.07,
    "manners": 0.05,
    "densest": 0.04,
}
"""Shares of the budget; what is missing to 1 is for what is not foreseen."""
EPOCHS = 10  # of the comparisons, as in Figure 4
SIDES = (32, 16, 9)
ROUTINGS = (1, 2, 3, 4, 5)
FIXED = {"parameters": 2.0, "scale": 40.0}  # seconds, whatever the budget
LOOKED_INTO = 20  # pictures of each source, whose size and reading time stand for all


@dataclass(frozen=True)
class Variant:
    """A network of a comparison.

    Attributes:
        label: in tables and legends.
        config: the network.
        begins: what its front begins with: random weights, VGG-19's, or a stand-in for these.
    """

    label: str
    config: PaperConfig
    begins: Literal["random", "vgg", "distilled"] = "random"


def fronts(vgg: bool) -> list[Variant]:
    """Figure 4a: from the original CapsNet's front to the published network, one change at a time.

    Args:
        vgg: whether VGG-19's weights are at hand; the later variants then begin with them, as the paper's do.
    """
    plain = PaperConfig(32, "vgg", batch_norm=False, capsules=10)
    begins: Literal["vgg", "random"] = "vgg" if vgg else "random"
    return [
        Variant("original front", PaperConfig(32, "original", batch_norm=False, capsules=10)),
        Variant("VGG front, random", plain),
        Variant("VGG front, VGG-19's weights", plain, "vgg"),
        Variant("VGG front, distilled (stand-in)", plain, "distilled"),
        Variant("with batch norm", PaperConfig(32, capsules=10), begins),
        Variant("with 6 capsules", PaperConfig(32), begins),
    ]


def routings(side: int) -> list[Variant]:
    """Figure 4b: the published network with 1 to 5 iterations of routing."""
    labels = [f"{count} routing{'s' if count > 1 else ''}" for count in ROUTINGS]
    return [Variant(label, PaperConfig(side, routings=n)) for label, n in zip(labels, ROUTINGS, strict=True)]


def sides() -> list[Variant]:
    """Figure 4c: the published network on patches of 9, 16 and 32."""
    return [Variant(f"{side}×{side}", PaperConfig(side)) for side in sorted(SIDES)]


@dataclass(frozen=True)
class ScoreCost:
    """Seconds a picture takes: to be scored once, and to be colored patch by patch, side by side."""

    row: float
    coloring: float

    @property
    def table(self) -> float:
        """Of Table 1: two sets, each with the baselines, two networks in two manners, and their round trips."""
        return 2 * (11 * self.row + 2 * (1 + (9 / 5) ** 2) * self.coloring)

    @property
    def manners(self) -> float:
        """Of the open questions: three ways to color, two of them from two grays."""
        return 16 * self.row + (1 + 1 + 3**2 + 2) * self.coloring

    @property
    def densest(self) -> float:
        """Of the open questions: a patch for every pixel, beside patches side by side."""
        return 7 * self.row + (1 + 9**2) * self.coloring


@dataclass(frozen=True)
class Costs:
    """What was measured before a plan is made.

    Attributes:
        step: what a training step of a network costs.
        score: what a picture costs.
    """

    step: Callable[[PaperConfig], StepCost]
    score: ScoreCost


@dataclass(frozen=True)
class Plan:
    """What a budget affords; made once for a folder of results.

    Attributes:
        budget: as it was asked for.
        chain: names of the three recipes.
        vgg: whether VGG-19's weights are at hand.
        seeds: runs of each variant.
        epochs: of the comparisons.
        chain_epochs: of each step of the chain.
        pictures: of the first step's training set that are learnt from; None for all.
        side: of the patches in Figure 4b.
        scored: pictures of Table 1; None for all.
        compared: pictures on which manners of coloring are compared; None for all.
        densest: pictures of which every pixel gets a patch of its own; None for all.
        shares: experiment -> thinning, batch, expected seconds.
    """

    budget: str
    chain: tuple[str, ...]
    vgg: bool
    seeds: int
    epochs: int
    chain_epochs: tuple[int, ...]
    pictures: int | None
    side: int
    scored: int | None
    compared: int | None
    densest: int | None
    shares: dict[str, Share]

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Plan:
        """From what ``dataclasses.asdict`` and JSON made of one."""
        tuples = {name: tuple(told[name]) for name in ("chain", "chain_epochs")}
        return cls(**{**told, **tuples, "shares": {name: Share(**share) for name, share in told["shares"].items()}})


def chain_of(folder: Path) -> tuple[str, ...]:
    """The recipes whose data are in a folder: the paper's, or those of the stand-ins.

    Raises:
        DataError: neither are there.
    """
    if (folder / "ILSVRC2012").exists() and (folder / "DIV2K").exists():
        return PUBLISHED
    if (folder / "ilsvrc_small.tar").exists() and (folder / "bsds500").exists():
        return STANDINS
    raise DataError(
        f"{folder} holds neither ILSVRC2012 and DIV2K, nor the stand-ins ilsvrc_small.tar, ilsvrc_photos.tar and "
        "bsds500: give the folder that does with --data"
    )


def make(budget: str, seconds: float, folder: Path, costs: Costs, *, vgg: bool = False) -> Plan:
    """Divide a budget among the experiments.

    Args:
        budget: in words.
        seconds: of the budget; infinite for all that there is.
        folder: of the data sets.
        costs: what was measured.
        vgg: whether VGG-19's weights are at hand.

    Raises:
        DataError: a data set is missing, or a first picture is no picture.
    """
    chain = chain_of(folder)
    sets = [recipes.at(RECIPES[name].training, folder) for name in chain]
    seeds = 3 if seconds >= 3600 else 2 if seconds >= 300 else 1
    epochs = int(min(EPOCHS, max(1, seconds / 45)))
    chain_epochs = [RECIPES[name].schedule.epochs for name in chain]
    if epochs < EPOCHS:
        chain_epochs = [min(epochs, each) for each in chain_epochs]
    looked = [Look(preparation) for preparation in sets]
    taken = _affordable(OF_BUDGET["pictures"] * seconds, looked[0].whole / looked[0].pictures, looked[0].pictures)
    part = 1.0 if taken is None else taken / looked[0].pictures
    preparing = part * looked[0].whole
    cost = functools.cache(costs.step)

    def load(config: PaperConfig, patches: float, rounds: int) -> Load:
        return Load(patches, cost(config), rounds, parameters_of(config))

    def shared(name: str, variants: Sequence[Variant]) -> Share:
        configs = [variant.config for variant in variants if variant.begins != "vgg" or vgg]
        loads = [load(config, part * looked[0].patches(config.patch), epochs * seeds) for config in configs]
        return fit(OF_BUDGET[name] * seconds, loads, preparing * len({config.patch for config in configs}))

    of_routings = {}
    for side in SIDES:
        of_routings[side] = shared("figure-4b", routings(side))
        if of_routings[side].enough:
            break
    by_step = [part * looked[0].patches(9), looked[1].patches(9), looked[2].patches(9)]
    steps = [load(PaperConfig(), patches, each) for patches, each in zip(by_step, chain_epochs, strict=True)]
    there = looked[2].pictures
    scored = _affordable(OF_BUDGET["table-1"] * seconds, costs.score.table, there)
    compared = _affordable(OF_BUDGET["manners"] * seconds, costs.score.manners, there)
    densest = _affordable(OF_BUDGET["densest"] * seconds, costs.score.densest, there)
    open_questions = (compared or there) * costs.score.manners + (densest or there) * costs.score.densest
    return Plan(
        budget=budget,
        chain=chain,
        vgg=vgg,
        seeds=seeds,
        epochs=epochs,
        chain_epochs=tuple(chain_epochs),
        pictures=taken,
        side=side,
        scored=scored,
        compared=compared,
        densest=densest,
        shares={
            "parameters": Share(1, 1, FIXED["parameters"], enough=True),
            "figure-4a": shared("figure-4a", fronts(vgg)),
            "figure-4b": of_routings[side],
            "figure-4c": shared("figure-4c", sides()),
            "chain": fit(OF_BUDGET["chain"] * seconds, steps, preparing + sum(each.whole for each in looked[1:])),
            "table-1": Share(1, 1, (scored or there) * costs.score.table, enough=True),
            "open-questions": Share(1, 1, open_questions, enough=True),
            "scale": Share(1, 1, FIXED["scale"], enough=True),
        },
    )


def _affordable(seconds: float, each: float, there: int) -> int | None:
    """How many of what is there fit into a time, at least two; None for all."""
    count = there if math.isinf(seconds) else max(2, int(seconds / max(each, 1e-9)))
    return None if count >= there else count


class Look:
    """A set, of which a few pictures were looked into: how many it has, how long they take to read, how many patches.

    Raises:
        DataError: a part of the set is missing.
        PictureError: a picture that was looked into is damaged.
    """

    def __init__(self, preparation: Preparation) -> None:
        self.sampling = sampling_of(preparation)
        self.parts = [_Part.of(data.open_set(spec), one_in) for spec, one_in in preparation.sources]
        self.pictures = sum(part.pictures for part in self.parts)
        self.whole = sum(part.reading * part.pictures for part in self.parts)

    def patches(self, side: int) -> float:
        """About how many patches of a side there are to learn from, thinned as the recipe says."""
        cut = Sampling(side, self.sampling.every, self.sampling.shrink)
        found = [(part, [cut.count(height, width) for height, width in part.sizes]) for part in self.parts]
        return sum(part.pictures * part.learnt_from * sum(counts) / len(counts) for part, counts in found)


@dataclass(frozen=True)
class _Part:
    """One source of a set: pictures, the share that is not held out, sizes of a few, seconds to read and code one."""

    pictures: int
    learnt_from: float
    sizes: list[tuple[int, int]]
    reading: float

    @classmethod
    def of(cls, sources: Sequence[Source], one_in: int) -> _Part:
        some = spread(sources, LOOKED_INTO)
        began = time.perf_counter()
        sizes = [data.read_coded(source, source.read()).shape[:2] for source in some]
        reading = (time.perf_counter() - began) / len(some)
        return cls(len(sources), 1 - 1 / one_in if one_in else 1.0, sizes, reading)


def parameters_of(config: PaperConfig) -> int:
    """How many numbers a network learns, counted on one that is built without values."""
    with torch.device("meta"):
        return sum(values.numel() for values in config.build().parameters())


def sampling_of(preparation: Preparation) -> Sampling:
    """How a recipe of patches cuts them.

    Raises:
        DataError: it keeps whole photographs.
    """
    if not isinstance(preparation.sampling, Sampling):
        raise DataError(f"{preparation.sources} is prepared as whole photographs, not as patches")
    return preparation.sampling


def spread(items: Sequence[T], count: int | None) -> list[T]:
    """Some of a row of things, evenly from the first to the last; all of them for None."""
    if count is None or count >= len(items):
        return list(items)
    return [items[round(place * (len(items) - 1) / max(count - 1, 1))] for place in range(count)]


def files_of(preparation: Preparation) -> list[Path]:
    """The picture files of a set, by name."""
    return [source.path for spec, _ in preparation.sources for source in data.open_set(spec)]


def measured_score(model: evaluate.Colorizes, picture: Path) -> ScoreCost:
    """What scoring and coloring a picture cost here, on one."""
    began = time.perf_counter()
    found = evaluate.evaluate_models([picture], {"model": model})
    seconds = time.perf_counter() - began
    coloring = float(found["summary"]["model"]["seconds"])
    return ScoreCost((seconds - coloring) / len(found["summary"]), coloring)
