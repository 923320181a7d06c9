"""How fast the published network learns on this machine, and what that makes of the paper's own scale.

``python -m colorcapsnet.learn.scaling`` under ``torchrun`` prints how long a step takes when every process has a batch
of its own and gradients are shared.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from colorcapsnet.learn.paper import PaperConfig

BATCH = 128
PATCHES, EPOCHS = 26_536_446, 50  # section 4.1, the first step
NODES = (2, 4, 8, 16)
ASSUMPTIONS = (
    "every process keeps its own 128 patches a step, so the batch grows with their number",
    "sharing gradients costs 2 (P - 1) / P of what it costs between the two processes measured, as a ring does",
    "between nodes it costs as much as inside this machine: a slower network makes it longer",
    "patches are read while the step before is computed",
)


def step_seconds(device: str = "cpu", *, bf16: bool = True, steps: int = 12, share: bool = False) -> float:
    """Median time of a training step of the published network on random patches, after two that warm up.

    Args:
        device: where.
        bf16: whether matrix products are in bfloat16.
        steps: how many are measured.
        share: whether gradients are averaged with the other processes.
    """
    torch.manual_seed(0)
    network: nn.Module = PaperConfig().build().to(device)
    if share:
        network = DistributedDataParallel(network)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    gray, code = torch.rand(BATCH, 9, 9, device=device), torch.rand(BATCH, 9, 9, 3, device=device)
    times = []
    for _ in range(steps + 2):
        began = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = F.mse_loss(network(gray), code)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()
        times.append(time.perf_counter() - began)
    return statistics.median(times[2:])


def under_torchrun(processes: int, steps: int) -> float:
    """Seconds of a step with so many processes of one thread each, every one with its own batch."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run(
        [sys.executable, *launcher, "-m", __name__, str(steps)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def hours(step: float, processes: int = 1) -> float:
    """Hours of the paper's first step of training, with steps that take so many seconds."""
    return PATCHES * EPOCHS / (processes * BATCH) * step / 3600


def modeled(one: float, two: float, processes: int) -> float:
    """Seconds of a step with many processes, from those with one and with two: see ``ASSUMPTIONS``."""
    return one + max(two - one, 0.0) * 2 * (processes - 1) / processes


def costs(steps: int = 12) -> dict[str, Any]:
    """All that is measured and modeled, ready for JSON: rows of what, seconds a step, patches/s, hours, and how known.

    A row that could not be measured has None for its numbers.
    """
    cores = os.cpu_count() or 1
    measured = [
        (f"this machine, {torch.get_num_threads()} threads, float32", step_seconds(bf16=False, steps=steps), 1),
        (f"this machine, {torch.get_num_threads()} threads, bfloat16", step_seconds(steps=steps), 1),
    ]
    one, two = (under_torchrun(processes, steps) for processes in (1, 2))
    measured += [("torchrun, 1 process of 1 thread", one, 1), ("torchrun, 2 processes of 1 thread each", two, 2)]
    rows = [_row(what, step, processes, "measured") for what, step, processes in measured]
    if torch.cuda.is_available():
        rows.append(_row(f"one GPU, {torch.cuda.get_device_name()}", step_seconds("cuda", steps=steps), 1, "measured"))
    else:
        rows.append({"what": "one GPU", "step": None, "rate": None, "hours": None, "known": "unmeasured: no GPU here"})
    for nodes in NODES:
        processes = nodes * cores
        what = f"{nodes} machines like this one, {processes} processes"
        rows.append(_row(what, modeled(one, two, processes), processes, "modeled"))
    return {"rows": rows, "assumptions": list(ASSUMPTIONS), "patches": PATCHES, "epochs": EPOCHS, "batch": BATCH}


def _row(what: str, step: float, processes: int, known: str) -> dict[str, Any]:
    rate = processes * BATCH / step
    return {"what": what, "step": step, "rate": rate, "hours": hours(step, processes), "known": known}


def _main() -> None:
    torch.distributed.init_process_group("gloo")
    try:
        step = step_seconds(steps=int(sys.argv[1]), share=torch.distributed.get_world_size() > 1)
        if torch.distributed.get_rank() == 0:
            print(json.dumps(step))
        torch.distributed.barrier()
    finally:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    _main()
