"""A network of one's own: the one that ships goes on learning from somebody's folder of photographs.

What each capsule paints is taught; what it sees stays. A part of the folder is held out by hash, never learnt from and
kept as files, to score the result on. Of the others, one in five says when to stop; the rest teach. Everything lies in
one folder, and a run that was stopped goes on::

    held      the held part
    shards    the others, prepared
    run       checkpoints
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from colorcapsnet.errors import DataError, ModelError
from colorcapsnet.learn import checkpoints, data, train_photographs
from colorcapsnet.learn.checkpoints import Checkpoint
from colorcapsnet.learn.data import Whole
from colorcapsnet.learn.deep import DeepConfig, Pressures
from colorcapsnet.learn.export import export, weights_of
from colorcapsnet.learn.photographs import Mixture, Part, Photographs, Portion, validation_pictures
from colorcapsnet.learn.shards import Preparation, prepare
from colorcapsnet.learn.train import Estimate
from colorcapsnet.learn.train_photographs import Pictures, Schedule
from colorcapsnet.zoo import Card

MANY = 2000  # photographs from which on 1 in 20 is held out, not 1 in 4
FEWEST = 20  # to learn from
STOPPING = 5  # 1 in so many of the others says when to stop
JUDGED = 64  # photographs, at most, that say so

BATCH = 48  # few photographs teach little: what a small batch says of them is mostly noise

SCHEDULE = Schedule(
    steps=200,
    rate=5e-4,
    rise=5,
    ramp=0,
    average=0.8,
    pressures=Pressures(entropy=0.005, local=0.5),
    validate=5,
    patience=8,
    learns="entities.colors",
)


@dataclass(frozen=True)
class Finetuning:
    """What is needed to go on from a network.

    Attributes:
        photographs: somebody's folder.
        work: where held photographs, prepared ones and checkpoints go.
        card: of the network to begin with.
        schedule: how long and how.
    """

    photographs: Path
    work: Path
    card: Card
    schedule: Schedule = SCHEDULE

    @property
    def held(self) -> Path:
        """Folder of the photographs that are never learnt from."""
        return self.work / "held"

    @property
    def config(self) -> DeepConfig:
        """Of the network."""
        return DeepConfig(**self.card.config)


def begin(photographs: Path, work: Path, network: Path, steps: int | None = None) -> Finetuning:
    """Take the learnt numbers out of a network's graph.

    Args:
        photographs: a folder of pictures in color.
        work: see :class:`Finetuning`.
        network: ``NAME.onnx``, with its card beside it.
        steps: at most; None for the usual number.

    Raises:
        ModelError: the network sees patches, or its card is missing or of before configurations were kept.
    """
    card = Card.load(network.with_suffix(".json"))
    if card.kind != "photograph" or not card.config:
        raise ModelError(f"{network} cannot be taught further: take a network of whole photographs, such as deep")
    work.mkdir(parents=True, exist_ok=True)
    first = Checkpoint(weights_of(network), "deep", card.config, "finetune", card.sha256)
    checkpoints.save(first, work / "begin.safetensors")
    schedule = SCHEDULE if steps is None else replace(SCHEDULE, steps=steps)
    return Finetuning(photographs, work, card, schedule)


def sets_of(tuning: Finetuning, jobs: int | None = None) -> tuple[Mixture, Pictures]:
    """Hold a part of the folder out, prepare the others, and divide them into those that teach and those that stop.

    Raises:
        DataError: the folder is missing or holds too few photographs in color.
    """
    spec = f"folder:{tuning.photographs}"
    one_in = 4 if len(data.open_set(spec)) < MANY else 20
    data.write_held(spec, one_in, tuning.held)
    avoid = (f"folder:{tuning.held}",) if any(tuning.held.glob("*")) else ()
    whole = Photographs(prepare(Preparation(((spec, one_in),), Whole(), avoid=avoid), tuning.work / "shards", jobs))
    stopping = range(0, len(whole), STOPPING)
    teaching = [index for index in range(len(whole)) if index not in stopping]
    if len(teaching) < FEWEST:
        raise DataError(
            f"{tuning.photographs} leaves {len(teaching)} photographs in color to learn from: give {2 * FEWEST} or more"
        )
    side = tuning.card.size
    portion = Portion(share=1, sets=(("own", 1.0),), crop=side, batch=BATCH)
    judges = validation_pictures(Part(whole, stopping), JUDGED, side)
    return Mixture((portion,), {"own": Part(whole, teaching)}), {"own": judges}


def estimate(tuning: Finetuning, mixture: Mixture) -> Estimate:
    """Measure a few steps and say what all of them will take, at most."""
    first = tuning.work / "begin.safetensors"
    return train_photographs.estimate(tuning.config, tuning.schedule, mixture, begin_from=first)


def run(tuning: Finetuning, sets: tuple[Mixture, Pictures], folder: Path, name: str, command: str) -> Path | None:
    """Learn, stop early, and write ``NAME.onnx`` with its card, without scores.

    Args:
        tuning: from :func:`begin`.
        sets: from :func:`sets_of`.
        folder: where the network goes.
        name: of the network.
        command: how this was asked for.

    Returns:
        The ONNX file, or None where nothing was gained over the network that it began with.

    Raises:
        ModelError: a checkpoint is damaged or belongs to another run.
        KeyboardInterrupt: the run was asked to stop; the same call goes on.
    """
    mixture, judges = sets
    place, first = tuning.work / "run", tuning.work / "begin.safetensors"
    best = train_photographs.train("finetune", tuning.config, tuning.schedule, mixture, judges, place, begin_from=first)
    if best.loop["step"] == 0:
        return None
    network = export(place / train_photographs.BEST, folder, name, tuning.held)
    card, before = Card.load(network.with_suffix(".json")), tuning.card
    learnt = f"{len(mixture.sets['own'])} photographs of {tuning.photographs.resolve().name}, from {before.name}"
    replace(
        card,
        trained_on=[*before.trained_on, learnt],
        command=command,
        license=before.license,
        limits=before.limits,
        paint=before.paint,
        losses=[
            {name: value for name, value in look.items() if name != train_photographs.EACH} for look in card.losses
        ],
    ).save(network.with_suffix(".json"))
    return network
