"""A run as a process of its own, for the tests that start several of them or kill one.

``python -m tests.learn.program FOLDER SETTINGS`` learns from ``FOLDER/shards`` in ``FOLDER/run``. Each process leaves
``FOLDER/rank-R.pt``: the gradients of every step, whether the run was stopped, and the network.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch

from colorcapsnet.learn import train
from colorcapsnet.learn.paper import PaperConfig
from colorcapsnet.learn.shards import Shards


def note_gradients(gradients: list[dict[str, torch.Tensor]], terminate_at: int | None) -> None:
    """Keep the gradients of each step, and ask this process to stop in one of them."""
    plain_step = train.step

    def step(model: torch.nn.Module, *args: Any, **kwargs: Any) -> float:
        loss = plain_step(model, *args, **kwargs)
        named = {name.removeprefix("module."): value for name, value in model.named_parameters()}
        gradients.append({name: value.grad.clone() for name, value in named.items()})
        if len(gradients) == terminate_at:
            signal.raise_signal(signal.SIGTERM)
        return loss

    train.step = step


def main(
    folder: Path, batch_norm: bool = True, terminate_at: int | None = None, chain: bool = False, **schedule: Any
) -> None:
    """Train, and write down how it went; in a chain, train on from there in ``FOLDER/next``."""
    torch.set_num_threads(1)
    train.LOG_EVERY = 1
    rank = int(os.environ.get("RANK", "0"))
    atexit.register(note_the_end, folder / f"rank-{rank}.end")  # the first to be registered is the last to be called
    gradients: list[dict[str, torch.Tensor]] = []
    note_gradients(gradients, terminate_at if rank == 0 else None)
    networks: list[train.ColorCapsNet] = []
    plain_begin = train._begin
    train._begin = lambda *args: networks.append((run := plain_begin(*args)).model) or run
    shards = Shards.open(folder / "shards")
    stopped = False
    learn = partial(train.train, "run", PaperConfig(batch_norm=batch_norm), train.Schedule(**schedule), shards, None)
    try:
        learn(folder / "run")
        if chain:
            learn(folder / "next", begin_from=folder / "run/last.safetensors")
    except KeyboardInterrupt:
        stopped = True
    told = {"gradients": gradients, "stopped": stopped, "model": networks[0].state_dict()}
    torch.save(told, folder / f"rank-{rank}.pt")


def note_the_end(path: Path) -> None:
    """Write down whether the process group had ended when this process came to its end."""
    path.write_text("joined" if torch.distributed.is_initialized() else "parted")


if __name__ == "__main__":
    main(Path(sys.argv[1]), **json.loads(sys.argv[2]))
