"""How fast a training step of the published network is: forward, backward, Adam, batch 128, float32 and bfloat16.

The rate counts 16 million multiply-adds a patch, whatever algebra saves, and stands beside the rate of a float32
matrix product measured in the same rounds. Command: ``python -m benchmarks.training_step`` (half a minute).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch.nn import functional as F

from benchmarks.measure import commit, processor, seconds, spread
from colorcapsnet.learn.paper import PaperConfig

BATCH = 128
OPERATIONS = 2 * 16e6  # of a patch, forward and backward
ROUNDS, STEPS = 9, 25


def step(bfloat16: bool) -> Callable[[], None]:
    """A training step on random patches, ready to run."""
    torch.manual_seed(0)
    network = PaperConfig().build()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001, fused=True)
    gray, lab = torch.rand(BATCH, 9, 9), torch.rand(BATCH, 9, 9, 3)

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = F.mse_loss(network(gray), lab)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run


def main() -> None:
    """Measure in turns, so that a busy machine slows all alike, and print."""
    print(f"commit    {commit()}")
    print(f"hardware  {processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    left, right = torch.rand(2048, 2048), torch.rand(2048, 2048)
    runs = {"float32": step(bfloat16=False), "bfloat16": step(bfloat16=True)}
    for warm_up in (lambda: left @ right, *runs.values()):
        seconds(warm_up, 5)
    product: list[float] = []
    patches: dict[str, list[float]] = {name: [] for name in runs}
    fraction: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        product.append(2 * 2048**3 / seconds(lambda: left @ right, 7))
        for name, run in runs.items():
            patches[name].append(BATCH / seconds(run, STEPS))
            fraction[name].append(patches[name][-1] * OPERATIONS / product[-1])
    print(f"product   {spread([rate / 1e9 for rate in product])} GFLOP/s, float32, 2048x2048")
    for name in runs:
        print(f"{name:9} {spread(patches[name])} patches/s")
        low, high = min(fraction[name]), max(fraction[name])
        print(
            f"          {statistics.median(fraction[name]):8.2f} (from {low:.2f} to {high:.2f}) of the product's rate"
        )


if __name__ == "__main__":
    main()
