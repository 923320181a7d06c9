"""The loop that trains: one process, or many under ``torchrun`` (DistributedDataParallel).

Runs are exact: on a CPU, a run that was stopped and resumed ends with the same weights, to the bit, as one that was
not. Under ``torchrun`` each process takes its share of every batch, and batch normalization sees that share alone, as
is usual; the running means that are kept are the first process's. Every run has a folder, which all processes see::

    last.safetensors   the newest checkpoint, to resume from
    best.safetensors   the epoch with the lowest validation loss
    losses.jsonl       one line every hundred steps and every epoch
    tensorboard/       the same for TensorBoard
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from colorcapsnet import progress
from colorcapsnet.errors import DataError, ModelError
from colorcapsnet.learn import checkpoints
from colorcapsnet.learn.checkpoints import Checkpoint
from colorcapsnet.learn.paper import ColorCapsNet, PaperConfig
from colorcapsnet.learn.shards import Batches, Shards

LOG_EVERY = 100  # steps


@dataclass(frozen=True)
class Schedule:
    """How long and how a network learns. The defaults are the paper's where it states them.

    Attributes:
        epochs: passes over the training set.
        batch: patches in a step, over all processes together (not stated in the paper: 128 is ours).
        rate: Adam's learning rate, the same throughout; betas are 0.9 and 0.999.
        bf16: matrix products in bfloat16 (autocast).
        seed: of the first weights and of the order of patches.
        checkpoint_minutes: how often the newest state is saved.
    """

    epochs: int = 10
    batch: int = 128
    rate: float = 1e-3
    bf16: bool = False
    seed: int = 0
    checkpoint_minutes: float = 3.0


@dataclass
class Run:
    """A network in training: what changes from step to step, and what a checkpoint holds."""

    model: ColorCapsNet
    optimizer: torch.optim.Adam
    schedule: Schedule
    recipe: str
    data: str
    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)

    def checkpoint(self) -> Checkpoint:
        """The state now."""
        loop = {"epoch": self.epoch, "batch": self.batch, "loss_sum": self.loss_sum, "schedule": asdict(self.schedule)}
        return Checkpoint(
            model=self.model.state_dict(),
            adam=checkpoints.adam_state(self.optimizer, self.model),
            kind="paper",
            config=asdict(self.model.config),
            recipe=self.recipe,
            data=self.data,
            loop=loop,
            history=self.history,
        )


def train(
    name: str,
    config: PaperConfig,
    schedule: Schedule,
    training: Shards,
    validation: Shards | None,
    folder: Path,
    *,
    begin_from: Path | None = None,
    vgg: dict[str, Tensor] | None = None,
) -> Checkpoint:
    """Train a network, or go on with a run that was stopped.

    Args:
        name: of the recipe, kept in checkpoints.
        config: the network.
        schedule: how long and how.
        training: a prepared set of the network's patch size.
        validation: likewise, of pictures it never learns from; None skips validation.
        folder: of the run; a ``last.safetensors`` in it is resumed.
        begin_from: checkpoint of an earlier step of a chain; its weights are the first ones.
        vgg: weights of VGG-19's first layers (``encoders.vgg19_first_two``), for a network with the VGG front.

    Returns:
        The final state.

    Raises:
        DataError: the sets do not fit the network or the batch, or a shard is damaged.
        ModelError: a checkpoint is damaged or belongs to another run.
        OutputError: a checkpoint cannot be written.
        KeyboardInterrupt: the run was asked to stop (SIGINT, SIGTERM, in any process); its state is saved.
    """
    batches = Batches(training, schedule.batch, schedule.seed)
    _refuse_unfit(config, batches, validation)
    run = _begin(name, config, schedule, training.sha256, begin_from, vgg)
    if (folder / "last.safetensors").exists():
        _resume(run, folder / "last.safetensors")
    folder.mkdir(parents=True, exist_ok=True)
    with (
        _Processes(run.model) as processes,
        closing(_Log(folder, run, active=processes.rank == 0)) as log,
        Keeper(run, folder, schedule.checkpoint_minutes, active=processes.rank == 0) as keeper,
        _bar(run, batches, active=processes.rank == 0) as advance,
    ):
        while run.epoch < schedule.epochs:
            for patches in batches.epoch(run.epoch, run.batch, processes.rank, processes.world):
                loss = step(processes.model, run.optimizer, patches, bf16=schedule.bf16)
                loss, stop = processes.agree(loss, stop=keeper.asked)
                run.loss_sum += loss
                run.batch += 1
                log.step(run, loss)
                advance(1, note=f"epoch {run.epoch + 1}/{schedule.epochs}  loss {run.loss_sum / run.batch:.5f}")
                keeper.between_steps(stop=stop)
            finish_epoch(run, validation, log, folder)
            keeper.save()
    return run.checkpoint()


def step(model: nn.Module, optimizer: torch.optim.Optimizer, patches: NDArray[np.uint8], *, bf16: bool) -> float:
    """One step of Adam on the mean squared error over all pixels and channels.

    Args:
        model: gray ``(N, n, n)`` in 0..1 -> code ``(N, n, n, 3)`` in 0..1.
        optimizer: of its parameters.
        patches: ``(N, n, n, 4)`` uint8: gray, L, a, b.
        bf16: whether matrix products are in bfloat16.

    Returns:
        The loss before the step.
    """
    gray, code = to_tensors(patches)
    with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
        loss = F.mse_loss(model(gray), code)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


def to_tensors(patches: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Patches ``(N, n, n, 4)`` uint8 -> gray ``(N, n, n)`` and code ``(N, n, n, 3)``, both in 0..1."""
    values = torch.from_numpy(patches).float() / 255
    return values[..., 0].contiguous(), values[..., 1:].contiguous()


def finish_epoch(run: Run, validation: Shards | None, log: _Log, folder: Path) -> None:
    """Validate, note the epoch's losses, keep the weights if they are the best so far, and begin the next epoch."""
    entry: dict[str, Any] = {"epoch": run.epoch + 1, "loss": run.loss_sum / max(run.batch, 1)}
    if validation is not None:
        entry["validation"] = validation_loss(run.model, validation)
    earlier = [past["validation"] for past in run.history if "validation" in past]
    run.history.append(entry)
    run.epoch, run.batch, run.loss_sum = run.epoch + 1, 0, 0.0
    log.epoch(run, entry)
    if log.active and "validation" in entry and entry["validation"] <= min(earlier, default=float("inf")):
        checkpoints.save(replace(run.checkpoint(), adam={}), folder / "best.safetensors")


@torch.no_grad()
def validation_loss(model: ColorCapsNet, validation: Shards, batch: int = 1024) -> float:
    """Mean squared error over a prepared set, the network in evaluation mode."""
    model.eval()
    total, count = 0.0, 0
    for shard in validation.manifest["shards"]:
        patches = validation.read(shard)
        for first in range(0, len(patches), batch):
            gray, code = to_tensors(patches[first : first + batch])
            total += F.mse_loss(model(gray), code).item() * len(gray)
            count += len(gray)
    model.train()
    return total / max(count, 1)


@dataclass(frozen=True)
class Estimate:
    """What a run will take: measured on this machine, before it starts."""

    steps: int
    seconds: float
    disk: int
    memory: int

    def __str__(self) -> str:
        return (
            f"{self.steps:,} steps, about {progress.duration(self.seconds)}, {self.disk / 1e6:.0f} MB on disk, "
            f"{self.memory / 1e9:.1f} GB of memory"
        )


def estimate(config: PaperConfig, schedule: Schedule, training: Shards) -> Estimate:
    """Measure a few steps on random patches and say what the whole run will take."""
    run = _begin("estimate", config, schedule, "", None, None)
    patches = np.random.default_rng(0).integers(0, 256, (schedule.batch, config.patch, config.patch, 4), np.uint8)
    times = []
    for _ in range(12):
        began = time.perf_counter()
        step(run.model, run.optimizer, patches, bf16=schedule.bf16)
        times.append(time.perf_counter() - began)
    batches = Batches(training, schedule.batch, schedule.seed)
    steps = batches.per_epoch * schedule.epochs
    weights = sum(tensor.numel() * 4 for tensor in run.model.state_dict().values())
    patch_bytes = config.patch**2 * 4
    largest = max(shard["patches"] for shard in training.manifest["shards"])
    held = patch_bytes * min(training.patches, max(batches.memory // patch_bytes, largest))
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Estimate(steps, steps * float(np.median(times)), weights * 4, resident + held)


def _begin(
    name: str,
    config: PaperConfig,
    schedule: Schedule,
    data: str,
    begin_from: Path | None,
    vgg: dict[str, Tensor] | None,
) -> Run:
    torch.manual_seed(schedule.seed)
    model = config.build().train()
    if vgg is not None:
        model.load_vgg(vgg)
    if begin_from is not None:
        earlier = checkpoints.load(begin_from)
        if earlier.config != asdict(config):
            raise ModelError(f"{begin_from} holds another network ({earlier.config}), not {asdict(config)}")
        model.load_state_dict(earlier.model)
    return Run(model, torch.optim.Adam(model.parameters(), schedule.rate, fused=True), schedule, name, data)


def _resume(run: Run, path: Path) -> None:
    saved = checkpoints.load(path)
    may_change = {"epochs": None, "checkpoint_minutes": None}
    wanted, found = {**asdict(run.schedule), **may_change}, {**saved.loop["schedule"], **may_change}
    ours = (run.recipe, asdict(run.model.config), run.data, wanted)
    if (saved.recipe, saved.config, saved.data, found) != ours:
        raise ModelError(
            f"{path} belongs to another run (recipe {saved.recipe}, data {saved.data[:12]}, {saved.config}, {found}); "
            "give another folder, or delete this one"
        )
    run.model.load_state_dict(saved.model)
    checkpoints.restore_adam(run.optimizer, run.model, saved.adam)
    run.epoch, run.batch, run.loss_sum = saved.loop["epoch"], saved.loop["batch"], saved.loop["loss_sum"]
    run.history = saved.history


def _refuse_unfit(config: PaperConfig, batches: Batches, validation: Shards | None) -> None:
    for shards in (batches.shards, validation):
        if shards is not None and shards.patch != config.patch:
            raise DataError(
                f"{shards.folder} holds patches of {shards.patch}x{shards.patch}, the network takes "
                f"{config.patch}x{config.patch}: prepare the set with --patch {config.patch}"
            )
    if batches.per_epoch == 0:
        raise DataError(
            f"{batches.shards.folder} holds {batches.shards.patches} patches, which do not fill a batch of "
            f"{batches.size}: prepare more pictures, or make batches smaller"
        )
    if batches.size % _world():
        raise DataError(f"a batch of {batches.size} patches cannot be shared equally by {_world()} processes")


def _world() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


class _Processes:
    """The processes of a run, joined as ``torchrun`` says for as long as they live; without it, this one alone."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.rank, self.world = model, 0, _world()

    def __enter__(self) -> _Processes:
        if self.world > 1:
            if not torch.distributed.is_initialized():
                torch.distributed.init_process_group("gloo")
                atexit.register(_part)
            self.rank = torch.distributed.get_rank()
            self.model = DistributedDataParallel(self.model)
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        del self.model  # were it the last to hold the group, the group's end would wait for the GIL that it holds
        if self.world > 1 and error is None:
            torch.distributed.barrier()  # nobody goes on before the first has written its last file

    def agree(self, loss: float, *, stop: bool) -> tuple[float, bool]:
        """The mean loss of all processes, and whether any of them was asked to stop."""
        if self.world == 1:
            return loss, stop
        both = torch.tensor([loss, stop], dtype=torch.float64)
        torch.distributed.all_reduce(both)
        return both[0].item() / self.world, both[1].item() > 0


def _part() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextmanager
def _bar(run: Run, batches: Batches, *, active: bool) -> Iterator[progress.Advance]:
    if not active:
        yield lambda count=1, note="": None
        return
    total, done = (batches.per_epoch * epochs for epochs in (run.schedule.epochs, run.epoch))
    with progress.bar(run.recipe, total, "steps", start=done + run.batch) as advance:
        yield advance


class _Log:
    """Losses as JSON lines and for TensorBoard; only the first process writes.

    What an earlier process noted after the state that ``run`` goes on from is left out.
    """

    def __init__(self, folder: Path, run: Run, *, active: bool) -> None:
        self.active = active
        self.path = folder / "losses.jsonl"
        if active:
            from torch.utils.tensorboard import SummaryWriter

            keep_lines(self.path, lambda said: _place_of(said) <= (run.epoch, run.batch))
            self.board = SummaryWriter(folder / "tensorboard", purge_step=_place(run) + 1)

    def close(self) -> None:
        if self.active:
            self.board.close()

    def step(self, run: Run, loss: float) -> None:
        if run.batch % LOG_EVERY == 0:
            self._write({"epoch": run.epoch + 1, "batch": run.batch, "step_loss": loss}, run, {"loss/step": loss})

    def epoch(self, run: Run, entry: dict[str, Any]) -> None:
        self._write(entry, run, {f"loss/{key}": value for key, value in entry.items() if key != "epoch"})

    def _write(self, line: dict[str, Any], run: Run, values: dict[str, float]) -> None:
        if not self.active:
            return
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        for key, value in values.items():
            self.board.add_scalar(key, value, _place(run))


def _place(run: Run) -> int:
    """Where a run stands, for TensorBoard's axis: a million an epoch."""
    return run.epoch * 1_000_000 + run.batch


def _place_of(said: dict[str, Any]) -> tuple[int, int]:
    return (said["epoch"] - 1, said["batch"]) if "batch" in said else (said["epoch"], 0)


def keep_lines(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Leave only some lines in a log, if there is one; half a line may stand at the end of what was killed."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            break
        if wanted(said):
            kept.append(line + "\n")
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(kept))
    temporary.replace(path)


class Saved(Protocol):
    """What a keeper keeps: a run of any loop."""

    def checkpoint(self) -> Checkpoint:
        """The state now."""


class Keeper:
    """Saves the newest state every few minutes, and when the run is asked to stop."""

    def __init__(self, run: Saved, folder: Path, minutes: float, *, active: bool = True) -> None:
        self.run, self.path, self.seconds, self.active = run, folder / "last.safetensors", minutes * 60, active
        self.saved = time.monotonic()
        self.asked = False

    def __enter__(self) -> Keeper:
        self.before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True

    def between_steps(self, *, stop: bool) -> None:
        """Save if the time has come; save and stop the run here if that was asked for."""
        if stop:
            self.save()
            raise KeyboardInterrupt
        if time.monotonic() - self.saved > self.seconds:
            self.save()

    def save(self) -> None:
        """Save now."""
        if self.active:
            checkpoints.save(self.run.checkpoint(), self.path)
        self.saved = time.monotonic()
