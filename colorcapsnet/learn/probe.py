"""What is inside a patch network: couplings, what capsules stand for, low-level filters from another network."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from colorcapsnet.learn import capsules, encoders
from colorcapsnet.learn.paper import ColorCapsNet, VggFront
from colorcapsnet.learn.shards import Batches
from colorcapsnet.learn.train import to_tensors

HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
FIRST_HUE = 40.0  # degrees in the plane of a and b; the others follow every 60
PALE = 8.0  # mean chroma of a patch below which it has no hue


@torch.no_grad()
def coupling_entropy(network: ColorCapsNet, gray: Tensor, iterations: int) -> float:
    """Mean entropy of the couplings of gray patches ``(N, n, n)``, over its largest value: 1 is no preference."""
    poses = network.primary(network.front(gray))
    coupling = capsules.route_by_agreement(capsules.votes(poses, network.classes.weight), iterations)[1]
    entropy = -(coupling * coupling.clamp_min(1e-30).log()).sum(dim=2).mean()
    return float(entropy / np.log(coupling.shape[2]))


@torch.no_grad()
def specialization(network: ColorCapsNet, cut: NDArray[np.uint8]) -> dict[str, Any]:
    """Whether capsules stand for colors: the mean length of each on patches of every hue.

    Args:
        network: in evaluation mode.
        cut: patches ``(N, n, n, 4)`` uint8: gray, L, a, b.

    Returns:
        ``hues`` (none first), ``patches`` of each, ``length`` (capsules × hues, None where there is no such patch), and
        the shares of each capsule's variance that hue (eta squared) and mean gray (r squared) explain.
    """
    gray = torch.from_numpy(cut[..., 0]).float() / 255
    parts = torch.split(gray, 1024)
    length = torch.cat([network.classes(network.primary(network.front(part))).norm(dim=2) for part in parts]).numpy()
    ab = cut[..., 2:].astype(np.float32).mean(axis=(1, 2)) - 128
    angle = np.degrees(np.arctan2(ab[:, 1], ab[:, 0])) - FIRST_HUE + 180 / len(HUES)
    sector = (angle % 360 // (360 / len(HUES))).astype(int) % len(HUES)
    hue = np.where(np.hypot(ab[:, 0], ab[:, 1]) < PALE, 0, 1 + sector)
    groups = [length[hue == number] for number in range(1 + len(HUES))]
    total = np.maximum(length.var(axis=0) * len(length), 1e-12)
    between = sum(len(group) * (group.mean(axis=0) - length.mean(axis=0)) ** 2 for group in groups if len(group))
    bright = gray.mean(dim=(1, 2)).numpy()
    together = ((bright - bright.mean())[:, None] * (length - length.mean(axis=0))).sum(axis=0)
    return {
        "hues": ["pale", *HUES],
        "patches": [len(group) for group in groups],
        "length": [[float(g[:, n].mean()) if len(g) else None for g in groups] for n in range(length.shape[1])],
        "by_hue": (between / total).tolist(),
        "by_gray": (together**2 / total / max(float(bright.var()) * len(bright), 1e-12)).tolist(),
    }


def distill(batches: Batches, steps: int, seen: Tensor) -> tuple[dict[str, Tensor], float]:
    """Teach VGG's first two layers what an ImageNet encoder's first stage says of gray, through a linear read-out.

    A stand-in for transferred weights: low-level filters that come from ImageNet, though not VGG-19's. The encoder's
    stage looks at every second pixel; the layers are compared with it there.

    Args:
        batches: of patches to learn from, their side even.
        steps: of Adam.
        seen: gray patches ``(N, n, n)`` in 0..1 that are not learnt from.

    Returns:
        Weights as ``ColorCapsNet.load_vgg`` takes them, and the share of the encoder's variance on ``seen`` that they
        explain.
    """
    torch.manual_seed(0)
    teacher = encoders.efficientnet("lite0")[0].stages[0]
    front, read_out = VggFront(batch_norm=False), nn.Conv2d(64, 16, 1)
    optimizer = torch.optim.Adam([*front.parameters(), *read_out.parameters()], 2e-3)

    def unexplained(gray: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = teacher(gray.unsqueeze(1))
        found = read_out(front(gray)[..., 1::2, 1::2])
        share: Tensor = F.mse_loss(found, wanted) / wanted.var(dim=(0, 2, 3)).mean()
        return share

    stream = itertools.chain.from_iterable(batches.epoch(number) for number in itertools.count())
    for cut in itertools.islice(stream, steps):
        optimizer.zero_grad()
        unexplained(to_tensors(cut)[0]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        explained = 1 - unexplained(seen).item()
    return {name: values.detach().contiguous() for name, values in front.state_dict().items()}, explained
