"""Batches of whole photographs: crops of many sets, of one size within a batch, mirrored and aged.

Prepared sets (``shards.prepare`` with ``data.Whole``) are read in place, page by page: a batch takes its crops out of
the mapped files and touches no other bytes. What batch number n holds depends on n and the seed alone.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from colorcapsnet import color, scale
from colorcapsnet.errors import DataError
from colorcapsnet.learn import aging
from colorcapsnet.learn.data import sha256
from colorcapsnet.learn.shards import Shards

STRIDE = 4  # of the cells that true colors are given for

_Place: TypeAlias = tuple[NDArray[np.uint8], int, tuple[int, int]]


class Photographs:
    """The whole photographs of a prepared set: gray, a, b (``data.Whole``).

    Args:
        shards: opened.

    Raises:
        DataError: it holds patches, or nothing.
    """

    def __init__(self, shards: Shards) -> None:
        if "shorter" not in shards.manifest["sampling"]:
            raise DataError(f"{shards.folder} holds patches, not whole photographs: give another folder")
        if not shards.manifest["patches"]:
            raise DataError(f"{shards.folder} holds no photographs: all were left out ({shards.manifest['pictures']})")
        self.shards = shards

    @cached_property
    def _places(self) -> list[_Place]:
        """For each photograph: the mapped tar, where its pixels begin, and its height and width.

        Raises:
            DataError: a tar was cut short; pixels are not looked at, ``prepare`` has compared hashes.
        """
        found: list[_Place] = []
        for shard in self.shards.manifest["shards"]:
            path = self.shards.folder / shard["file"]
            try:
                places = _places_in(path)
            except (tarfile.TarError, OSError, ValueError) as error:
                raise DataError(f"{path} is damaged ({error}); prepare the set again") from error
            if len(places) != shard["patches"]:
                raise DataError(f"{path} is damaged ({len(places)} of {shard['patches']}); prepare the set again")
            found += places
        return found

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """A photograph, ``(H, W, 3)`` uint8: gray, a + 128, b + 128; not copied."""
        mapped, begin, (height, width) = self._places[index]
        return mapped[begin : begin + height * width * 3].reshape(height, width, 3)


class Part(Photographs):
    """Some photographs of a prepared set, by their numbers."""

    def __init__(self, whole: Photographs, chosen: Sequence[int]) -> None:
        super().__init__(whole.shards)
        self.whole, self.chosen = whole, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """A photograph of the part, as the whole set has it."""
        return self.whole[self.chosen[index]]


def _places_in(path: Path) -> list[_Place]:
    mapped = np.memmap(path, np.uint8, "r")
    places: list[_Place] = []
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            npy.read_magic(file)
            (_, height, width, _), _, _ = npy.read_array_header_1_0(file)
            places.append((mapped, member.offset_data + file.tell(), (height, width)))
    return places


@dataclass(frozen=True)
class Portion:
    """Batches of one form, some of all.

    Attributes:
        share: how often, against the other portions' shares.
        sets: name of a prepared set -> how often a crop comes from it, against the others.
        crop: side of the crops, a multiple of 32.
        batch: crops in a batch.
        least: side of the smallest crop, as a share of the photograph's shorter side.
    """

    share: float
    sets: tuple[tuple[str, float], ...]
    crop: int
    batch: int
    least: float = 0.55


@dataclass(frozen=True)
class Mixture:
    """An endless, repeatable stream of batches.

    Attributes:
        portions: forms of batches.
        sets: every prepared set that these name.
        seed: of everything.
        aged: how often a crop's gray is aged.
    """

    portions: tuple[Portion, ...]
    sets: dict[str, Photographs]
    seed: int = 0
    aged: float = 0.5

    def batch(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Batch ``number``.

        Returns:
            Gray ``(N, C, C)`` uint8, and the true Lab ``(N, 3, C / 4, C / 4)`` at the cells.
        """
        rng = np.random.default_rng((self.seed, number))
        shares = np.array([portion.share for portion in self.portions])
        portion = self.portions[rng.choice(len(shares), p=shares / shares.sum())]
        names, often = zip(*portion.sets, strict=True)
        chosen = rng.choice(len(names), portion.batch, p=np.array(often) / sum(often))
        crops = [self._crop(self.sets[names[place]], portion, rng) for place in chosen]
        gray, lab = zip(*crops, strict=True)
        return np.stack(gray), np.stack(lab)

    def _crop(
        self, photographs: Photographs, portion: Portion, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        photograph = photographs[int(rng.integers(len(photographs)))]
        crop = resized(cut_out(photograph, portion.least, rng), portion.crop)
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        gray = np.ascontiguousarray(crop[..., 0])
        if rng.random() < self.aged:
            gray = aging.age(gray, rng)
        return gray, cells(crop)

    @cached_property
    def sha256(self) -> str:
        """Hash of all that decides the batches."""
        sets = {name: photographs.shards.sha256 for name, photographs in sorted(self.sets.items())}
        told = {"sets": sets, "portions": [asdict(portion) for portion in self.portions], "aged": self.aged}
        return sha256(json.dumps(told, sort_keys=True).encode())


def cut_out(photograph: NDArray[np.uint8], least: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A nearly square part: as large as the shorter side at most, ``least`` of it at least; not copied."""
    height, width = photograph.shape[:2]
    side = min(height, width) * rng.uniform(least, 1)
    aspect = float(np.exp(rng.uniform(-0.2, 0.2)))
    tall, wide = (max(1, min(length, round(side * by))) for length, by in ((height, aspect), (width, 1 / aspect)))
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    return photograph[top : top + tall, left : left + wide]


def resized(part: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Shrunk by area averaging or enlarged bilinearly to ``(side, side, C)``."""
    shrinks = min(part.shape[:2]) >= side
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(part), (side, side), interpolation=how), np.uint8)


def cells(photograph: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Gray, a + 128, b + 128 ``(H, W, 3)`` uint8 -> Lab of every cell, ``(3, H / 4, W / 4)``: gray's L, mean ab."""
    height, width = (side // STRIDE for side in photograph.shape[:2])
    coded = np.ascontiguousarray(photograph)
    mean = cv2.resize(coded.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) - 128
    gray = cv2.resize(np.ascontiguousarray(coded[..., 0]), (width, height), interpolation=cv2.INTER_AREA)
    return np.stack([np.asarray(color.lightness(np.asarray(gray, np.uint8))), mean[..., 1], mean[..., 2]]).astype(
        np.float32
    )


def open_sets(folder: Path, names: Sequence[str]) -> dict[str, Photographs]:
    """Prepared sets of whole photographs, by name below a folder.

    Raises:
        DataError: one is missing, damaged, or holds patches.
    """
    return {name: Photographs(Shards.open(folder / name)) for name in names}


def validation_pictures(photographs: Photographs, count: int, size: int) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Some photographs, evenly spread over a set, at working size: gray ``(H, W)`` uint8 and Lab ``(3, H/4, W/4)``."""
    pictures = []
    for index in np.unique(np.linspace(0, len(photographs) - 1, min(count, len(photographs))).astype(int)):
        photograph = photographs[int(index)]
        small = scale.fit(photograph, *scale.working_shape(photograph.shape[0], photograph.shape[1], size))
        pictures.append((np.ascontiguousarray(small[..., 0]), cells(small)))
    return pictures
