"""Capsules written out one number at a time, and the published network without any algebra."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Grid = Sequence[Sequence[Sequence[Sequence[float]]]]


def squash(s: list[float]) -> list[float]:
    """Equation 1 of Sabour et al. 2017, as printed."""
    length = math.sqrt(sum(x * x for x in s))
    if length == 0:
        return [0.0 for _ in s]
    return [length**2 / (1 + length**2) * x / length for x in s]


def route(votes: Grid, iterations: int) -> tuple[list[list[list[float]]], list[list[list[float]]]]:
    """Procedure 1: ``votes[n][i][o][e]`` -> capsules ``[n][o][e]`` and couplings ``[n][i][o]``, in loops."""
    capsules, couplings = [], []
    for picture in votes:
        inputs, outputs, dims = len(picture), len(picture[0]), len(picture[0][0])
        b = [[0.0] * outputs for _ in range(inputs)]
        for _ in range(iterations):
            c = [[math.exp(x) / sum(math.exp(y) for y in row) for x in row] for row in b]
            v = []
            for o in range(outputs):
                s = [0.0] * dims
                for i in range(inputs):
                    for e in range(dims):
                        s[e] += c[i][o] * picture[i][o][e]
                v.append(squash(s))
            for i in range(inputs):
                for o in range(outputs):
                    for e in range(dims):
                        b[i][o] += picture[i][o][e] * v[o][e]
        capsules.append(v)
        couplings.append(c)
    return capsules, couplings


@torch.no_grad()
def slot_attention(state: dict[str, Tensor], inputs: Tensor, steps: int) -> tuple[list[Tensor], list[list[float]]]:
    """Algorithm 1 of Locatello et al. 2020 for one picture's inputs ``(inputs, dims)``, a slot and an input at a time;
    slots begin with states of their own, and are normalized at the end."""

    def norm(x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:])

    dims = inputs.shape[1]
    cell = torch.nn.GRUCell(dims, dims, dtype=inputs.dtype)
    cell.load_state_dict({name[6:]: values for name, values in state.items() if name.startswith("state.")})
    slots = list(state["start"])
    for _ in range(steps):
        queries = [state["query.weight"] @ norm(slot) for slot in slots]
        keys = [state["key.weight"] @ norm(one) for one in inputs]
        logits = [[float(key @ query) / math.sqrt(dims) for query in queries] for key in keys]
        couplings = [[math.exp(x) / sum(math.exp(y) for y in row) for x in row] for row in logits]
        for o in range(len(slots)):
            total = sum(row[o] for row in couplings)
            update = sum(
                row[o] / total * (state["value.weight"] @ norm(one)) for row, one in zip(couplings, inputs, strict=True)
            )
            slot = cell(update[None], slots[o][None])[0]
            hidden = (state["onward.0.weight"] @ norm(slot) + state["onward.0.bias"]).relu()
            slots[o] = slot + state["onward.2.weight"] @ hidden + state["onward.2.bias"]
    return [norm(slot) for slot in slots], couplings


def plain_colorcapsnet(state: dict[str, Tensor], gray: Tensor, capsules: int, routings: int) -> Tensor:
    """The published network in training mode from its parameters: three input channels, a vote for each pair of
    capsules, couplings, a sum; a front and batch norms are there if their parameters are."""

    def conv(x: Tensor, name: str, norm: str, **how: int) -> Tensor:
        x = F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **how)
        if f"{norm}.weight" not in state:
            return x
        return F.batch_norm(x, None, None, state[f"{norm}.weight"], state[f"{norm}.bias"], training=True)

    x = torch.stack([gray, gray, gray], dim=1)
    if "front.conv.weight" in state:
        x = conv(x, "front.conv", "front.norm").relu()
    else:
        x = conv(x, "front.conv1_1", "front.norm1_1", padding=1).relu()
        x = conv(x, "front.conv1_2", "front.norm1_2", padding=1).relu()
    x = conv(x, "primary.conv", "primary.norm", stride=2)
    u = [
        _squash(x[:, 8 * c : 8 * c + 8, i, j]) for i in range(x.shape[2]) for j in range(x.shape[3]) for c in range(32)
    ]
    votes = [[u[i] @ state["classes.weight"][i, :, o] for o in range(capsules)] for i in range(len(u))]
    logits = [[gray.new_zeros(len(gray), 1) for _ in range(capsules)] for _ in u]
    for _ in range(routings):
        couplings = [torch.cat(row, dim=1).softmax(dim=1) for row in logits]
        v = [
            _squash(torch.stack([couplings[i][:, o, None] * votes[i][o] for i in range(len(u))]).sum(dim=0))
            for o in range(capsules)
        ]
        logits = [
            [logits[i][o] + (votes[i][o] * v[o]).sum(dim=1, keepdim=True) for o in range(capsules)]
            for i in range(len(u))
        ]
    x = torch.cat(v, dim=1)
    for number in (0, 2, 4):
        x = x @ state[f"decoder.{number}.weight"].T + state[f"decoder.{number}.bias"]
        x = x.relu() if number < 4 else x.sigmoid()
    return x.reshape(len(gray), *gray.shape[1:], 3)


def _squash(s: Tensor) -> Tensor:
    length = s.norm(dim=1, keepdim=True)
    return length**2 / (1 + length**2) * s / length


def route_by_attention(
    votes: Grid, start: list[list[float]], bias: list[float], steps: int
) -> tuple[list[list[list[float]]], list[list[list[float]]]]:
    """Inverted dot-product attention routing with a parent for inputs that belong to none, in loops."""
    found, couplings = [], []
    for picture in votes:
        poses, dims = [list(pose) for pose in start], len(start[0])
        for _ in range(steps):
            c = []
            for vote in picture:
                logits = [
                    sum(v * p for v, p in zip(vote[o], pose, strict=True)) / math.sqrt(dims) + bias[o]
                    for o, pose in enumerate(poses)
                ]
                exp = [math.exp(x) for x in [*logits, bias[-1]]]
                c.append([x / sum(exp) for x in exp[:-1]])
            poses = []
            for o in range(len(start)):
                held = sum(row[o] for row in c) + 1e-4
                mean = [
                    sum(row[o] * vote[o][e] for row, vote in zip(c, picture, strict=True)) / held for e in range(dims)
                ]
                middle = sum(mean) / dims
                spread = sum((x - middle) ** 2 for x in mean) / dims
                poses.append([(x - middle) / math.sqrt(spread + 1e-5) for x in mean])
        found.append(poses)
        couplings.append(c)
    return found, couplings
