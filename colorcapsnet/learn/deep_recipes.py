"""Runs of the network that sees the whole photograph, by name, and the photographs that they learn from.

``{data}`` is the folder given with ``--data``. What lies in it, and where it can be had, is told in docs/train.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from colorcapsnet.errors import DataError
from colorcapsnet.learn import data, photographs
from colorcapsnet.learn.checkpoints import Checkpoint
from colorcapsnet.learn.data import Whole
from colorcapsnet.learn.deep import DeepConfig, Pressures
from colorcapsnet.learn.photographs import Mixture, Portion
from colorcapsnet.learn.shards import Preparation, prepare
from colorcapsnet.learn.train_photographs import Pictures, Schedule, train

ARCHIVES = {
    "ilsvrc_photos": ("tar:{data}/ilsvrc_photos.tar", 4),
    "people": ("folder:{data}/stanford40", 20),
    "sport": ("folder:{data}/lsp", 20),
    "animals": ("folder:{data}/dogscats", 20),
    "objects": ("caltech101:{data}/caltech101", 20),
    "faces": ("lfw:{data}/lfw", 20),
    "scenes": ("folder:{data}/miniplaces", 20),
    "portraits": ("folder:{data}/utkface", 20),
}
"""Name -> where a set of photographs lies, and that 1 in so many is held out of training."""

SETS = {
    "photos": ("ilsvrc_photos", "bsds"),
    "people": ("people", "sport"),
    "things": ("animals", "objects"),
    "faces": ("faces", "portraits"),
    "scenes": ("scenes",),
}
"""Prepared sets, each of one or two archives."""

VALIDATION = {"bsds500/val": "folder:{data}/bsds500/val"}
VALIDATED = 64  # photographs of each set, in the course of training
WORKING_SIZE = 224  # of a picture, the side of a square of as many pixels: measured, docs/log.md

TRAINED_ON = (
    "ILSVRC (750 photographs) and BSDS500 train; Stanford 40 and Leeds Sports (people), Dogs-vs-Cats and Caltech-101 "
    "(things), LFW and UTKFace (faces), MiniPlaces (scenes), less their held parts; the encoder on ImageNet"
)

LARGE = (("photos", 0.15), ("people", 0.35), ("things", 0.35), ("faces", 0.15))


@dataclass(frozen=True)
class DeepRecipe:
    """A run.

    Attributes:
        name: what ``colorcapsnet train NAME`` takes.
        doc: what it is.
        expect: what should come out, and where that is known from.
        cost: time on stated hardware.
        portions: what batches are made of.
        schedule: how long and how.
        model: the network.
        begin_from: the recipe whose result it starts with, or None.
    """

    name: str
    doc: str
    expect: str
    cost: str
    schedule: Schedule
    portions: tuple[Portion, ...] = (
        Portion(share=2, sets=LARGE, crop=192, batch=16),
        Portion(share=1, sets=(("scenes", 1.0),), crop=128, batch=32, least=0.7),
    )
    model: DeepConfig = field(default_factory=DeepConfig)
    begin_from: str | None = None

    @property
    def command(self) -> str:
        """How to run it."""
        return f"colorcapsnet train {self.name} --data FOLDER"


_LARGER = (
    Portion(share=2, sets=LARGE, crop=224, batch=12),
    Portion(share=1, sets=(("scenes", 1.0),), crop=128, batch=32, least=0.8),
)
_AGREEMENT = DeepConfig(routing="agreement")
_PROBED = Pressures(entropy=0.015)
_ARMS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    (
        "self",
        "the network of the default configuration, for a few minutes",
        "what the other probes are compared with",
        {},
    ),
    ("agreement", "couplings by agreement of votes and poses", "level (Hahn et al. 2019)", {"routing": "agreement"}),
    ("slots", "slot attention instead of routing", "level", {"routing": "slots"}),
    ("attention", "entities choose among cells without competition", "less telling maps", {"routing": "attention"}),
    ("uniform", "every coupling of primary capsules equal", "below (Paik et al. 2019)", {"routing": "uniform"}),
    ("convolution", "a convolution head, no capsules: a U-Net", "within 0.1 dB", {"head": "convolution"}),
    ("one", "a single entity: all that it paints is its local term", "below", {"entities": 1}),
    ("four", "four entities", "a little below", {"entities": 4}),
    ("lite2", "a larger encoder", "a tenth of a decibel above, at one and a half times the cost", {"encoder": "lite2"}),
    ("many", "48 entities", "level", {"entities": 48}),
)


def _probe(name: str, doc: str, expect: str, changes: dict[str, Any], pressures: Pressures = _PROBED) -> DeepRecipe:
    """An arm of the ablation: the default network but for one thing, from ImageNet's encoder on."""
    return DeepRecipe(
        name=f"probe-{name}",
        doc=doc,
        expect=expect,
        cost="700 steps: 4 to 6 min on two free cores",
        schedule=Schedule(steps=700, rise=70, fall=0.5, pressures=pressures, validate=350),
        model=DeepConfig(**changes),
    )


_CHAIN = (
    DeepRecipe(
        name="deep",
        doc="entities that paint, on lite0",
        expect="skill of 1.8 dB and more over gray on BSDS500 validation",
        cost="3,200 steps: 20 min on two free cores",
        schedule=Schedule(steps=3_200, fall=0.01),
        model=_AGREEMENT,
    ),
    DeepRecipe(
        name="deep-large",
        doc="goes on from deep with larger crops",
        expect="skill of 1.8 dB over gray on BSDS500 validation; couplings of entropy 0.4",
        cost="2,500 steps: 17 min on two free cores",
        schedule=Schedule(steps=2_500, rise=50, fall=0.01, ramp=0.001),
        portions=_LARGER,
        begin_from="deep",
        model=_AGREEMENT,
    ),
    DeepRecipe(
        name="deep-soft",
        doc="goes on from deep-large with little pressure on entropy, at a rate that falls; ships as `deep`",
        expect="skill of 2 dB over gray on BSDS500 validation; couplings of entropy 0.8",
        cost="3,000 steps: 20 min on two free cores",
        schedule=Schedule(
            steps=3_000, rise=50, fall=0.8, ramp=0.001, pressures=Pressures(entropy=0.005, local=0.5), validate=500
        ),
        portions=_LARGER,
        begin_from="deep-large",
        model=_AGREEMENT,
    ),
)


def _unet(recipe: DeepRecipe) -> DeepRecipe:
    """A recipe of the chain with a convolution head instead of capsules: what entities are compared with."""
    return replace(
        recipe,
        name=recipe.name.replace("deep", "unet"),
        doc=f"{recipe.name} without capsules: a U-Net on the same encoder, trained the same",
        expect="within 0.1 dB of entities",
        model=DeepConfig(head="convolution"),
        begin_from=recipe.begin_from and recipe.begin_from.replace("deep", "unet"),
    )


RECIPES = {
    recipe.name: recipe
    for recipe in (
        *_CHAIN,
        *map(_unet, _CHAIN),
        DeepRecipe(
            name="deep-self",
            doc="goes on from deep-soft with self-routing, entropy and local term pressed more",
            expect="skill of 2 dB over gray on BSDS500 validation; entities exchanged cost 2 dB",
            cost="6,000 steps: 35 min on two free cores",
            schedule=Schedule(
                steps=6_000,
                rise=100,
                fall=0.7,
                ramp=0.1,
                pressures=Pressures(entropy=0.01, local=0.8),
                validate=1_000,
            ),
            portions=_LARGER,
            begin_from="deep-soft",
        ),
        *(_probe(*arm) for arm in _ARMS),
        _probe("unbalanced", "no pressure to use all entities", "some starve", {}, replace(_PROBED, balance=0)),
    )
}


def sets_of(recipe: DeepRecipe, folder: Path, shards: Path, jobs: int | None = None) -> tuple[Mixture, Pictures]:
    """Prepare, or open, what a recipe learns from and is judged by.

    The held part of every archive is written below ``shards/held`` first, so that training keeps away from it and its
    near duplicates, and ``colorcapsnet evaluate`` can score it.

    Args:
        recipe: the run.
        folder: of the data sets.
        shards: folder of prepared sets.
        jobs: processes that prepare.

    Raises:
        DataError: a data set is missing.
    """
    hold(folder, shards)
    for name in SETS:
        prepare(preparation(name, folder, shards), shards / "deep" / name, jobs)
    used = sorted({name for portion in recipe.portions for name, _ in portion.sets})
    mixture = Mixture(recipe.portions, photographs.open_sets(shards / "deep", used), recipe.schedule.seed)
    pictures = {}
    for name, spec in {**held_sets(shards), **{name: _at(spec, folder) for name, spec in VALIDATION.items()}}.items():
        place = shards / "validation" / name
        prepared = photographs.Photographs(prepare(Preparation(((spec, 0),), Whole()), place, jobs))
        pictures[name] = photographs.validation_pictures(prepared, VALIDATED, WORKING_SIZE)
    return mixture, pictures


def preparation(name: str, folder: Path, shards: Path) -> Preparation:
    """How a set of :data:`SETS` is prepared: held parts and near duplicates of what is validated on are left out."""
    archives = {**ARCHIVES, "bsds": ("folder:{data}/bsds500/train", 0)}
    sources = tuple((_at(spec, folder), one_in) for spec, one_in in (archives[archive] for archive in SETS[name]))
    avoid = (*held_sets(shards).values(), *(_at(spec, folder) for spec in VALIDATION.values()))
    return Preparation(sources, Whole(), avoid=avoid)


def hold(folder: Path, shards: Path) -> None:
    """Write the held part of every archive below ``shards/held``, once; what was stopped half-way goes on."""
    for name, (spec, one_in) in ARCHIVES.items():
        finished, unfinished = shards / "held" / name, shards / "held" / f".{name}"
        if finished.is_dir():
            continue
        if not data.write_held(_at(spec, folder), one_in, unfinished):
            raise DataError(f"{_at(spec, folder)} holds too few pictures: none falls to the part that is held out")
        unfinished.rename(finished)


def held_sets(shards: Path) -> dict[str, str]:
    """Held parts by archive, as data sets."""
    return {name: f"folder:{shards / 'held' / name}" for name in ARCHIVES}


def _at(spec: str, folder: Path) -> str:
    return spec.replace("{data}", str(folder))


def lineage(name: str) -> list[DeepRecipe]:
    """A recipe and those before it in its chain, the first one first."""
    recipe = RECIPES[name]
    return [*(lineage(recipe.begin_from) if recipe.begin_from else []), recipe]


def describe() -> str:
    """Every recipe in words, for ``train --list``."""
    return "\n\n".join(
        f"{recipe.name}\n  {recipe.doc}\n  expect      {recipe.expect}\n  cost        {recipe.cost}\n"
        f"  command     {recipe.command}"
        for recipe in RECIPES.values()
    )


def run(recipe: DeepRecipe, sets: tuple[Mixture, Pictures], runs: Path) -> Checkpoint:
    """Train a recipe in its :func:`folder_of`, beginning with the result of the recipe before it, if there is one.

    Raises:
        DataError: the result of the recipe before it is not there yet.
    """
    begin_from = None if recipe.begin_from is None else runs / recipe.begin_from / "last.safetensors"
    if begin_from is not None and not begin_from.exists():
        raise DataError(f"{begin_from} does not exist: run `colorcapsnet train {recipe.begin_from}` first")
    mixture, pictures = sets
    folder = folder_of(recipe, runs)
    return train(recipe.name, recipe.model, recipe.schedule, mixture, pictures, folder, begin_from=begin_from)


def seeded(recipe: DeepRecipe, seed: int) -> DeepRecipe:
    """The same recipe with other chance: other first weights, other photographs in another order."""
    return replace(recipe, schedule=replace(recipe.schedule, seed=seed))


def folder_of(recipe: DeepRecipe, runs: Path) -> Path:
    """Where a recipe's run lies: ``NAME``, or with another seed ``NAME-SEED``."""
    return runs / (f"{recipe.name}-{recipe.schedule.seed}" if recipe.schedule.seed else recipe.name)


def prolonged(recipe: DeepRecipe, steps: int) -> DeepRecipe:
    """The same recipe with other steps."""
    return replace(recipe, schedule=replace(recipe.schedule, steps=steps))
