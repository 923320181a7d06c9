"""Every training run by name: what it reproduces, its data, network and schedule, its cost, and what to expect.

``{data}`` in a source stands for the folder given with ``--data``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from colorcapsnet.errors import DataError
from colorcapsnet.learn import checkpoints, encoders
from colorcapsnet.learn.checkpoints import Checkpoint
from colorcapsnet.learn.data import Sampling
from colorcapsnet.learn.paper import PaperConfig
from colorcapsnet.learn.shards import Preparation, Shards, prepare
from colorcapsnet.learn.train import Schedule, train

_PUBLISHED = PaperConfig()


@dataclass(frozen=True)
class Recipe:
    """A run.

    Attributes:
        name: what ``colorcapsnet train NAME`` takes.
        doc: what it is.
        reproduces: which part of the paper.
        expect: what should come out, and where that is known from.
        cost: time on stated hardware.
        training: what it learns from.
        validation: what it is judged by after every epoch, or None.
        schedule: how long and how.
        model: the network.
        begin_from: the recipe whose result it starts with, or None.
    """

    name: str
    doc: str
    reproduces: str
    expect: str
    cost: str
    training: Preparation
    schedule: Schedule
    validation: Preparation | None = None
    model: PaperConfig = _PUBLISHED
    begin_from: str | None = None

    @property
    def command(self) -> str:
        """How to run it."""
        return f"colorcapsnet train {self.name} --data FOLDER"


_BSDS_VAL = "folder:{data}/bsds500/val"
_DIV2K_VAL = Preparation((("div2k-val:{data}/DIV2K", 0),), Sampling(shrink=2))

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="paper-1-ilsvrc",
            doc="ILSVRC 2012 validation and test, 150,000 photographs, every 13th patch",
            reproduces="section 4.1, step 1: 26,536,446 patches, 50 epochs; first curve of Figure 5",
            expect="training loss near 0.0033 (Figure 4a, after 10 epochs with the VGG front)",
            cost="50 epochs: 26.5 million patches each; colorcapsnet train says how long that is on this machine",
            training=Preparation((("ilsvrc:{data}/ILSVRC2012", 0),), Sampling(every=13)),
            validation=_DIV2K_VAL,
            schedule=Schedule(epochs=50, bf16=True),
        ),
        Recipe(
            name="paper-2-div2k",
            doc="DIV2K train, the 794 pictures that have a gray partner, halved; begins with paper-1-ilsvrc",
            reproduces="section 4.1, step 2: 6,788,644 patches, 50 epochs; second curve of Figure 5",
            expect="22.20 dB and SSIM 0.88 on DIV2K validation (table 1)",
            cost="50 epochs: 6.8 million patches each",
            training=Preparation((("div2k-train:{data}/DIV2K", 0),), Sampling(shrink=2)),
            validation=_DIV2K_VAL,
            schedule=Schedule(epochs=50, bf16=True),
            begin_from="paper-1-ilsvrc",
        ),
        Recipe(
            name="paper-3-div2k-val",
            doc="DIV2K validation, 100 pictures, halved; begins with paper-2-div2k; never scored on these pictures",
            reproduces="section 4.1, step 3: 869,196 patches; third curve of Figure 5",
            expect="21.08 dB and SSIM 0.85 on DIV2K test (table 1, 10 epochs)",
            cost="10 epochs: 0.87 million patches each",
            training=_DIV2K_VAL,
            schedule=Schedule(epochs=10, bf16=True),
            begin_from="paper-2-div2k",
        ),
        Recipe(
            name="standin-1-ilsvrc",
            doc="11,100 pictures of ILSVRC (10,100 of 64x64, 1,000 photographs), less the held parts",
            reproduces="step 1 of the chain on pictures that are at hand: 1,406,072 patches",
            expect="training loss 0.0025 after 8 epochs, validation loss 0.0017 to 0.0020 on BSDS500 validation",
            cost="88,000 steps, 0.45 GB of shards: 33 min on two free cores with bf16, 75 min on two busy ones",
            training=Preparation(
                (("tar:{data}/ilsvrc_small.tar", 20), ("tar:{data}/ilsvrc_photos.tar", 4)), avoid=(_BSDS_VAL,)
            ),
            validation=Preparation(((_BSDS_VAL, 0),)),
            schedule=Schedule(epochs=8, bf16=True),
        ),
        Recipe(
            name="standin-2-bsds",
            doc="BSDS500 train, 200 photographs; begins with standin-1-ilsvrc; its best epoch ships as `paper`",
            reproduces="step 2 of the chain: 371,000 patches",
            expect="training loss 0.0018 after 10 epochs; validation loss lowest in epoch 2: 0.00161",
            cost="29,000 steps, 0.12 GB of shards: 11 min on two free cores with bf16, 31 min on two busy ones",
            training=Preparation((("folder:{data}/bsds500/train", 0),), avoid=(_BSDS_VAL,)),
            validation=Preparation(((_BSDS_VAL, 0),)),
            schedule=Schedule(epochs=10, bf16=True),
            begin_from="standin-1-ilsvrc",
        ),
        Recipe(
            name="standin-3-bsds-val",
            doc="BSDS500 validation, 100 photographs; begins with standin-2-bsds; never scored on these pictures",
            reproduces="step 3 of the chain: 185,500 patches",
            expect="training loss 0.0012 after 10 epochs",
            cost="14,500 steps, 0.06 GB of shards: 6 min on two free cores with bf16, 11 min on two busy ones",
            training=Preparation(((_BSDS_VAL, 0),)),
            schedule=Schedule(epochs=10, bf16=True),
            begin_from="standin-2-bsds",
        ),
    )
}


def sets_of(recipe: Recipe, data: Path, shards: Path, jobs: int | None = None) -> tuple[Shards, Shards | None]:
    """Prepare, or open, what a recipe learns from and is judged by.

    Args:
        recipe: the run.
        data: folder of the data sets.
        shards: folder of prepared sets; each recipe has two below it.
        jobs: processes that prepare.

    Raises:
        DataError: a data set is missing.
    """
    training = prepare(at(recipe.training, data), shards / recipe.name, jobs)
    if recipe.validation is None:
        return training, None
    return training, prepare(at(recipe.validation, data), shards / f"{recipe.name}-validation", jobs)


def at(preparation: Preparation, data: Path) -> Preparation:
    """A preparation whose ``{data}`` is filled in."""

    def fill(spec: str) -> str:
        return spec.replace("{data}", str(data))

    sources = tuple((fill(spec), one_in) for spec, one_in in preparation.sources)
    return replace(preparation, sources=sources, avoid=tuple(map(fill, preparation.avoid)))


def lineage(name: str) -> list[Recipe]:
    """A recipe and those before it in its chain, the first one first."""
    recipe = RECIPES[name]
    return [*(lineage(recipe.begin_from) if recipe.begin_from else []), recipe]


def describe() -> str:
    """Every recipe in words, for ``train --list``."""
    return "\n\n".join(
        f"{recipe.name}\n  {recipe.doc}\n  reproduces  {recipe.reproduces}\n  expect      {recipe.expect}\n"
        f"  cost        {recipe.cost}\n  command     {recipe.command}"
        for recipe in RECIPES.values()
    )


def run(recipe: Recipe, sets: tuple[Shards, Shards | None], runs: Path, vgg: Path | None = None) -> Checkpoint:
    """Train a recipe in ``runs/NAME``, beginning with the result of the recipe before it in its chain.

    Args:
        recipe: the run.
        sets: what it learns from and is judged by, see :func:`sets_of`.
        runs: folder of all runs.
        vgg: checkpoint of VGG-19, whose first two layers begin the first network of a chain.

    Raises:
        DataError: the result of the recipe before it is not there yet, or its run has not come to its end.
        ModelError: ``vgg`` is no checkpoint of VGG-19.
    """
    begin_from = None if recipe.begin_from is None else _result(recipe.begin_from, runs)
    training, validation = sets
    return train(
        recipe.name,
        recipe.model,
        recipe.schedule,
        training,
        validation,
        runs / recipe.name,
        begin_from=begin_from,
        vgg=encoders.vgg19_first_two(vgg) if vgg else None,
    )


def _result(name: str, runs: Path) -> Path:
    path = runs / name / "last.safetensors"
    if not path.exists():
        raise DataError(f"{path} does not exist: run `colorcapsnet train {name}` first")
    loop = checkpoints.load(path).loop
    done, epochs = loop["epoch"], loop["schedule"]["epochs"]
    if done < epochs:
        raise DataError(
            f"{path} has learnt {done} of {epochs} epochs: run `colorcapsnet train {name}` to its end first"
        )
    return path
