"""The loop that trains the network of the whole photograph.

It differs from :mod:`colorcapsnet.learn.train` in what it counts: photographs of several sets are mixed for ever, so a
run has steps, not epochs; the rate rises, stays, and falls at the end; weights are averaged. A run that was stopped
goes on as if it had not been. Its folder::

    last.safetensors   the newest state, to resume from
    best.safetensors   the state that validates best, of a run that stops early
    losses.jsonl       one line every hundred steps, and one at every validation
"""

from __future__ import annotations

import json
import math
import queue
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colorcapsnet import progress
from colorcapsnet.errors import ModelError
from colorcapsnet.learn import checkpoints, deep, encoders
from colorcapsnet.learn.checkpoints import Checkpoint
from colorcapsnet.learn.deep import DeepColorCapsNet, DeepConfig, Pressures
from colorcapsnet.learn.photographs import Mixture
from colorcapsnet.learn.train import Estimate, Keeper, keep_lines

BEST = "best.safetensors"
EACH = "each"  # picture's skill, in the history of a run that stops early
LOG_EVERY = 100  # steps
AHEAD = 4  # batches made before they are needed

_PRESSURES = Pressures()

Batch: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.float32]]
Pictures: TypeAlias = dict[str, list[tuple[NDArray[Any], NDArray[Any]]]]


@dataclass(frozen=True)
class Schedule:
    """How long and how a network learns.

    Attributes:
        steps: of the whole run.
        rate: of AdamW, when it is highest; weight decay is 0.01.
        encoder_rate: the same for the pretrained encoder.
        rise: steps in which the rate rises to that.
        fall: share of the run, at its end, in which the rate falls to 0, in a straight line.
        ramp: share of the run in which the entropy's pressure grows.
        average: how much of the averaged weights stays at each step.
        pressures: weights of the loss.
        bf16: autocast.
        seed: of the first weights.
        validate: steps between validations.
        checkpoint_minutes: how often the newest state is saved.
        patience: validations without a gain after which a run stops early, with the best state; None: it goes to its
            end, with the last one.
        learns: the part of the network that learns, by the beginning of its parameters' names; all by default.
    """

    steps: int
    rate: float = 1.5e-3
    encoder_rate: float = 3e-4
    rise: int = 200
    fall: float = 0.3
    ramp: float = 0.5
    average: float = 0.998
    pressures: Pressures = _PRESSURES
    bf16: bool = True
    seed: int = 0
    validate: int = 1000
    checkpoint_minutes: float = 3.0
    patience: int | None = None
    learns: str = ""

    def rate_at(self, step: int) -> float:
        """The rate at a step, as a share of the highest."""
        left = (self.steps - step) / max(self.fall * self.steps, 1)
        return min(1.0, (step + 1) / max(self.rise, 1), left)

    def ramped(self, step: int) -> float:
        """How far entropy's pressure has grown at a step, 0..1."""
        return min(1.0, step / max(self.ramp * self.steps, 1))


@dataclass
class Run:
    """A network in training: what changes from step to step, and what a checkpoint holds."""

    model: DeepColorCapsNet
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    recipe: str
    data: str
    averaged: dict[str, Tensor]
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def checkpoint(self) -> Checkpoint:
        """The state now."""
        return Checkpoint(
            model=self.model.state_dict(),
            adam=checkpoints.adam_state(self.optimizer, self.model),
            averaged=self.averaged,
            kind="deep",
            config=asdict(self.model.config),
            recipe=self.recipe,
            data=self.data,
            loop={"step": self.step, "schedule": asdict(self.schedule)},
            history=self.history,
        )


def train(
    name: str,
    config: DeepConfig,
    schedule: Schedule,
    mixture: Mixture,
    validation: Pictures,
    folder: Path,
    *,
    begin_from: Path | None = None,
) -> Checkpoint:
    """Train a network of the whole photograph, or go on with a run that was stopped.

    Args:
        name: of the recipe, kept in checkpoints.
        config: the network.
        schedule: how long and how.
        mixture: what it learns from.
        validation: set name -> photographs it never learns from, at working size.
        folder: of the run; a ``last.safetensors`` in it is resumed. More steps than before prolong the run.
        begin_from: checkpoint whose averaged weights are the first ones.

    Returns:
        The final state, or of a run that stops early the best one.

    Raises:
        ModelError: a checkpoint is damaged or belongs to another run.
        OutputError: a checkpoint cannot be written.
        KeyboardInterrupt: the run was asked to stop (SIGINT, SIGTERM); its state is saved.
    """
    run = _begin(name, config, schedule, mixture.sha256, begin_from)
    if (folder / "last.safetensors").exists():
        _resume(run, folder / "last.safetensors")
    folder.mkdir(parents=True, exist_ok=True)
    if schedule.patience is not None and not run.history:
        _judge(run, validation, folder)
    keep_lines(folder / "losses.jsonl", lambda said: bool(said["step"] <= run.step))
    with (
        (folder / "losses.jsonl").open("a", buffering=1) as log,
        Keeper(run, folder, schedule.checkpoint_minutes) as keeper,
        progress.bar(name, schedule.steps, "steps", start=run.step) as advance,
        _ahead(mixture, run.step, schedule.steps) as batches,
    ):
        said: list[dict[str, float]] = []
        for batch in () if _tired(run) else batches:
            said.append(step(run, batch))
            advance(1, note=f"error {said[-1]['error']:.3f}")
            if run.step % LOG_EVERY == 0:
                log.write(json.dumps(_mean(said) | {"step": run.step, "time": time.time()}) + "\n")
                said.clear()
            if run.step % schedule.validate == 0 or run.step == schedule.steps:
                _judge(run, validation, folder)
                log.write(json.dumps(run.history[-1]) + "\n")
            keeper.between_steps(stop=keeper.asked)
            if _tired(run):
                break
        keeper.save()
    return run.checkpoint() if schedule.patience is None else checkpoints.load(folder / BEST)


def _judge(run: Run, validation: Pictures, folder: Path) -> None:
    """Validate the averaged weights; of a run that stops early, keep them if they are the best so far."""
    found = skills(averaged(run), validation, bf16=run.schedule.bf16)
    run.history.append({"step": run.step} | summary(found))
    if run.schedule.patience is None:
        return
    run.history[-1][EACH] = [round(skill, 4) for of_set in found.values() for skill in of_set]
    if _best(run.history) == len(run.history) - 1:
        checkpoints.save(run.checkpoint(), folder / BEST)


def _tired(run: Run) -> bool:
    """Whether a run that stops early has gone on for long enough without a gain."""
    return run.schedule.patience is not None and len(run.history) - 1 - _best(run.history) >= run.schedule.patience


def _best(history: list[dict[str, Any]]) -> int:
    """Which validation gained most for sure over the first: the mean over pictures, less its standard error."""
    gains = np.array([said[EACH] for said in history]) - history[0][EACH]
    return int(np.argmax(gains.mean(axis=1) - gains.std(axis=1) / math.sqrt(gains.shape[1])))


def step(run: Run, batch: Batch) -> dict[str, float]:
    """One step: the loss, its gradient, AdamW, the average of weights. Returns the terms of the loss before it."""
    schedule = run.schedule
    gray, truth = (torch.from_numpy(array) for array in batch)
    terms = terms_of(run.model, gray.float() / 255, truth, bf16=schedule.bf16)
    loss = deep.total(terms, schedule.pressures, schedule.ramped(run.step))
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
    for group in run.optimizer.param_groups:
        group["lr"] = group["highest"] * schedule.rate_at(run.step)
    run.optimizer.step()
    run.step += 1
    _average(run)
    return {name: term.item() for name, term in terms.items()}


def terms_of(model: DeepColorCapsNet, gray: Tensor, truth: Tensor, *, bf16: bool) -> dict[str, Tensor]:
    """Terms of the loss, in float32, of gray ``(N, H, W)`` in 0..1 and true Lab ``(N, 3, h, w)``, for either head."""
    with autocast(bf16):
        found = model(gray) if model.entities is not None else model.ab(gray)
    if isinstance(found, deep.Painted):
        return deep.loss_terms(found, truth)
    return {"error": deep.log_error(found, truth)}


def autocast(bf16: bool) -> Any:  # noqa: ANN401
    """bfloat16 where asked for."""
    return torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()


@torch.no_grad()
def skills(model: DeepColorCapsNet, validation: Pictures, *, bf16: bool) -> dict[str, list[float]]:
    """Skill at the cells, in dB over gray, of every picture of every set."""
    model.eval()

    def skill(gray: NDArray[Any], lab: NDArray[Any]) -> float:
        truth = torch.from_numpy(lab)[None]
        with autocast(bf16):
            found = model.ab(torch.from_numpy(gray)[None].float() / 255).float()
        gain = deep.log_error(torch.zeros_like(found), truth) - deep.log_error(found, truth)
        return 10 / math.log(10) * gain.item()

    found = {name: [skill(*picture) for picture in pictures] for name, pictures in validation.items()}
    model.train()
    return found


def summary(found: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Of each set, the mean skill and its tenth percentile."""
    return {
        name: {"skill": float(np.mean(skill)), "p10": float(np.percentile(skill, 10))} for name, skill in found.items()
    }


def estimate(config: DeepConfig, schedule: Schedule, mixture: Mixture, *, begin_from: Path | None = None) -> Estimate:
    """Measure a few steps and say what the whole run will take."""
    run = _begin("estimate", config, schedule, "", begin_from)
    times = []
    for number in range(8):
        batch = mixture.batch(number)
        began = time.perf_counter()
        step(run, batch)
        times.append(time.perf_counter() - began)
    weights = sum(tensor.numel() * 4 for tensor in run.model.state_dict().values())
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Estimate(schedule.steps, schedule.steps * float(np.median(times)), weights * 4, resident)


def averaged(run: Run) -> DeepColorCapsNet:
    """The network with averaged weights, a copy in evaluation mode."""
    model = load(run.model.config, run.model.state_dict() | run.averaged)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def load(config: DeepConfig, weights: dict[str, Tensor]) -> DeepColorCapsNet:
    """A network as it was trained, in evaluation mode; weights out of a graph have all batch norm folded away."""
    model = config.build()
    model.prepare()
    if not any(name.startswith("pyramid") and ".norm." in name for name in weights):
        encoders.fold_batch_norm(model)
    model.load_state_dict(weights)
    return model.eval()


def of_checkpoint(path: Path) -> tuple[DeepColorCapsNet, Checkpoint]:
    """The averaged network of a checkpoint, in evaluation mode.

    Raises:
        ModelError: the checkpoint is damaged, or holds another kind of network.
    """
    saved = checkpoints.load(path)
    if saved.kind != "deep":
        raise ModelError(f"{path} holds a network of kind {saved.kind!r}, not one of the whole photograph")
    return load(DeepConfig(**saved.config), saved.model | saved.averaged), saved


def _begin(recipe: str, config: DeepConfig, schedule: Schedule, data: str, begin_from: Path | None) -> Run:
    torch.manual_seed(schedule.seed)
    if begin_from is None:
        model = config.build()
        model.learn_from_imagenet()
    else:
        model = _taken_over(begin_from, config)
    model = model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name.startswith(schedule.learns))
    encoder = [parameter for parameter in model.encoder.parameters() if parameter.requires_grad]
    others = [p for part, p in model.named_parameters() if p.requires_grad and not part.startswith("encoder.")]
    groups = [
        {"params": others, "highest": schedule.rate},
        {"params": encoder, "highest": schedule.encoder_rate},
    ]
    optimizer = torch.optim.AdamW(groups, schedule.rate, weight_decay=0.01, fused=True)
    first = {part: p.detach().clone() for part, p in model.named_parameters() if p.requires_grad}
    return Run(model, optimizer, schedule, recipe, data, first)


def _taken_over(path: Path, config: DeepConfig) -> DeepColorCapsNet:
    """The averaged network of a checkpoint; with another routing, all that the two have in common."""
    earlier, saved = of_checkpoint(path)
    if saved.config == asdict(config):
        return earlier
    if {**saved.config, "routing": config.routing} != asdict(config):
        raise ModelError(f"{path} holds another network ({saved.config}), not {asdict(config)}")
    model = config.build()
    model.prepare()
    common = {name: values for name, values in earlier.state_dict().items() if name in model.state_dict()}
    model.load_state_dict({**model.state_dict(), **common})
    return model


def _average(run: Run) -> None:
    keep = min(run.schedule.average, run.step / (run.step + 10))
    moving = dict(run.model.named_parameters())
    torch._foreach_lerp_(list(run.averaged.values()), [moving[name].detach() for name in run.averaged], 1 - keep)


def _resume(run: Run, path: Path) -> None:
    saved = checkpoints.load(path)
    may_change = {"steps": None, "fall": None, "ramp": None, "checkpoint_minutes": None, "validate": None}
    wanted, found = {**asdict(run.schedule), **may_change}, {**saved.loop["schedule"], **may_change}
    if (saved.recipe, saved.config, saved.data, found) != (run.recipe, asdict(run.model.config), run.data, wanted):
        raise ModelError(
            f"{path} belongs to another run (recipe {saved.recipe}, data {saved.data[:12]}, {saved.config}, {found}); "
            "give another folder, or delete this one"
        )
    run.model.load_state_dict(saved.model)
    checkpoints.restore_adam(run.optimizer, run.model, saved.adam)
    run.averaged, run.step, run.history = saved.averaged, saved.loop["step"], saved.history


@contextmanager
def _ahead(mixture: Mixture, first: int, end: int) -> Iterator[Iterator[Batch]]:
    """Batches ``first`` to ``end``, made in a thread a few ahead of their use."""
    made: queue.Queue[Batch | BaseException] = queue.Queue(AHEAD)
    stop = threading.Event()

    def make() -> None:
        for number in range(first, end):
            try:
                item: Batch | BaseException = mixture.batch(number)
            except BaseException as error:
                item = error
            while not stop.is_set():
                try:
                    made.put(item, timeout=0.5)
                    break
                except queue.Full:
                    continue
            if stop.is_set() or isinstance(item, BaseException):
                return

    def take() -> Iterator[Batch]:
        for _ in range(first, end):
            item = made.get()
            if isinstance(item, BaseException):
                raise item
            yield item

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        stop.set()
        thread.join()


def _mean(said: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([terms[name] for terms in said])) for name in said[0]}
