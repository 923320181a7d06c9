"""Proof that the capsules are right: the original CapsNet, its layers untouched, learns to read handwritten digits.

MNIST is not here; ``COLORCAPSNET_MNIST`` may name a folder that holds its four idx files, packed by gzip or not.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor

from colorcapsnet.learn.capsules import CapsNet

BATCH, EVALUATION_BATCH = 32, 100


def train(pictures: Tensor, labels: Tensor, epochs: int, seed: int) -> CapsNet:
    """Adam in bfloat16, its rate rising to 0.001 and falling to 0; each batch is moved by 2 pixels at most."""
    torch.manual_seed(seed)
    network = CapsNet()
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    steps = epochs * (len(pictures) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.001, total_steps=steps, pct_start=0.2)
    for _ in range(epochs):
        order = torch.randperm(len(pictures))
        for chosen in order[: len(order) // BATCH * BATCH].split(BATCH):
            shift = torch.randint(-2, 3, (2,)).tolist()
            with torch.autocast("cpu", torch.bfloat16):
                loss = network.loss(pictures[chosen].roll(shift, dims=(1, 2)), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network


def share_right(network: CapsNet, pictures: Tensor, labels: Tensor) -> float:
    """The digit that is seen is the one whose capsule is longest."""
    with torch.no_grad():
        seen = [network(some).norm(dim=2).argmax(dim=1) for some in pictures.split(EVALUATION_BATCH)]
    return (torch.cat(seen) == labels).float().mean().item()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_learns_the_digits_of_scikit_learn_to_98_percent():
    digits = load_digits()
    enlarged = [cv2.resize(image / 16, (24, 24), interpolation=cv2.INTER_CUBIC) for image in digits.images]
    pictures = torch.from_numpy(np.pad(np.clip(enlarged, 0, 1), ((0, 0), (2, 2), (2, 2)))).float()
    labels = torch.from_numpy(digits.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    held, seen = order[:360], order[360:]
    network = train(pictures[seen], labels[seen], epochs=12, seed=0)
    assert share_right(network, pictures[held], labels[held]) > 0.98


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif("COLORCAPSNET_MNIST" not in os.environ, reason="COLORCAPSNET_MNIST names no folder with MNIST")
def test_learns_mnist_to_99_percent():
    folder = Path(os.environ["COLORCAPSNET_MNIST"])
    images = {part: read_idx(folder, f"{part}-images-idx3-ubyte") for part in ("train", "t10k")}
    labels = {part: read_idx(folder, f"{part}-labels-idx1-ubyte") for part in ("train", "t10k")}
    pictures = {part: torch.from_numpy(values).float() / 255 for part, values in images.items()}
    classes = {part: torch.from_numpy(values).long() for part, values in labels.items()}
    network = train(pictures["train"], classes["train"], epochs=3, seed=0)
    assert share_right(network, pictures["t10k"], classes["t10k"]) > 0.99


def read_idx(folder: Path, name: str) -> NDArray[np.uint8]:
    """An array as MNIST stores it: two zeros, its type (8: uint8), its number of axes, their lengths, the values."""
    packed = folder / f"{name}.gz"
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()
    assert content[:3] == b"\0\0\x08", f"{name} holds no uint8"
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape).copy()


@pytest.mark.parametrize("packed", [False, True])
def test_an_idx_file_is_read_as_it_was_written(tmp_path, packed):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    content = b"\0\0\x08\x03" + np.array(values.shape, ">u4").tobytes() + values.tobytes()
    path = tmp_path / ("digits.gz" if packed else "digits")
    path.write_bytes(gzip.compress(content) if packed else content)
    np.testing.assert_array_equal(read_idx(tmp_path, "digits"), values)
