"""Prepared pictures on disk: tar files in WebDataset's layout, and a manifest that says what is in them.

A prepared set is a folder::

    manifest.json          settings, sources, totals, what was left out, a hash of it all; written last
    shard-000000.tar       one member a picture, ``00000000.npy``: uint8, ``(patches, n, n, 4)``: gray, L, a, b
    shard-000000.jsonl     one line a source picture: name, SHA-256, what became of it, how many patches

Which pictures go into which shard depends on their names alone, so a run that was killed goes on with the shards that
are missing and ends with the same bytes; a shard that was damaged later is made again likewise. Memory does not depend
on how many pictures there are.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import multiprocessing
import os
import signal
import tarfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colorcapsnet import progress
from colorcapsnet.errors import DataError, OutputError, PictureError
from colorcapsnet.learn import data

VERSION = 2
PICTURES_PER_SHARD = 256
_EVERY_PATCH = data.Sampling()


@dataclass(frozen=True)
class Preparation:
    """What is prepared and how.

    Attributes:
        sources: data sets as :func:`data.open_set` takes them, each with its rule for the held part:
            ``(spec, one_in)``; pictures whose hash is 0 mod ``one_in`` are left out, 0 leaves none out.
        sampling: what is cut out of each picture.
        part: ``"training"`` leaves the held part out, ``"held"`` takes only it.
        avoid: data sets whose near duplicates are left out (validation pictures).
    """

    sources: tuple[tuple[str, int], ...]
    sampling: data.Sampling | data.Whole = _EVERY_PATCH
    part: str = "training"
    avoid: tuple[str, ...] = ()

    def fingerprint(self, names: Iterable[str]) -> str:
        """Hash of all that decides the result: the settings and the names of the pictures, not where they lie."""
        settings: dict[str, Any] = {"sampling": asdict(self.sampling), "part": self.part}
        settings["avoid"] = [source.name for spec in self.avoid for source in data.open_set(spec)]
        settings["one_in"] = [one_in for _, one_in in self.sources]
        text = json.dumps({**settings, "names": list(names), "version": VERSION})
        return data.sha256(text.encode())


@dataclass(frozen=True)
class _Part:
    """What one process makes: some pictures of the set, the ``first``-th and on -> one tar and its list."""

    folder: Path
    index: int
    first: int
    pictures: tuple[tuple[data.Source, int], ...]
    preparation: Preparation

    @property
    def tar(self) -> Path:
        return self.folder / f"shard-{self.index:06d}.tar"

    @property
    def rows(self) -> Path:
        return self.folder / f"shard-{self.index:06d}.jsonl"


def prepare(preparation: Preparation, folder: Path, jobs: int | None = None) -> Shards:
    """Read, code, cut and write a data set; go on where an earlier run of the same stopped.

    Shards that are missing, or not the ones that the manifest names, are made; where there are none, nothing is. Who
    calls this while another process does so in the same folder waits for it (every process under ``torchrun``).

    Args:
        preparation: what to prepare.
        folder: where to; it is made.
        jobs: processes; by default one a core.

    Returns:
        The finished set, opened.

    Raises:
        DataError: a source is missing, or the folder holds a set that was prepared otherwise.
        OutputError: the disk is full, say.
    """
    pictures = _in_training_order(preparation)
    fingerprint = preparation.fingerprint(source.name for source, _ in pictures)
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        _Part(folder, index, first, tuple(pictures[first : first + PICTURES_PER_SHARD]), preparation)
        for index, first in enumerate(range(0, len(pictures), PICTURES_PER_SHARD))
    ]
    with _alone_in(folder, fingerprint):
        earlier = _hashes_of_manifest(folder)
        missing = [part for part in parts if not _is_made(part, earlier)]
        done = len(pictures) - sum(len(part.pictures) for part in missing)
        with progress.bar("preparing", len(pictures), start=done) as advance:
            for count in _write_parts(missing, jobs or os.cpu_count() or 1):
                advance(count)
        if missing or not earlier:
            _write_manifest(folder, preparation, fingerprint, parts)
    return Shards.open(folder)


def _in_training_order(preparation: Preparation) -> list[tuple[data.Source, int]]:
    """Pictures of all sources, each with its rule for the held part, mixed by the hash of their names."""
    pictures = [(source, one_in) for spec, one_in in preparation.sources for source in data.open_set(spec)]
    return sorted(pictures, key=lambda picture: data.sha256(picture[0].name.encode()))


@contextmanager
def _alone_in(folder: Path, fingerprint: str) -> Iterator[None]:
    """Wait until no other process prepares in this folder, and refuse it if it holds another set."""
    with (folder / "preparation.txt").open("a+") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)  # ends with this process, however that ends
        mark.seek(0)
        found = mark.read()
        if not found and any(folder.glob("shard-*.tar")):
            raise DataError(f"{folder} holds shards of an unknown preparation; give an empty folder")
        if found and found != fingerprint:
            raise DataError(
                f"{folder} holds a set prepared from other pictures or with other settings; give an empty folder, "
                "or delete this one"
            )
        if not found:
            mark.write(fingerprint)
            mark.flush()
        yield


def _hashes_of_manifest(folder: Path) -> dict[str, str]:
    """What an earlier run's manifest says of its tars; nothing where there is no sound one."""
    try:
        return {shard["file"]: shard["sha256"] for shard in _read_manifest(folder)["shards"]}
    except DataError:
        return {}


def _is_made(part: _Part, earlier: dict[str, str]) -> bool:
    if not (part.tar.exists() and part.rows.exists()):
        return False
    return not earlier or earlier.get(part.tar.name) == _file_hash(part.tar)


def _write_parts(parts: list[_Part], jobs: int) -> Iterator[int]:
    """Write parts, in several processes where that helps, and say after each how many pictures it had."""
    if not parts:
        return
    write = partial(_write_part, avoid=_perceptual_hashes(parts[0].preparation.avoid))
    if jobs == 1 or len(parts) == 1:
        yield from map(write, parts)
        return
    context = multiprocessing.get_context("spawn")
    ours_is_gone, ours = context.Pipe(duplex=False)
    with ours_is_gone, ours, ProcessPoolExecutor(jobs, context, _end_with_parent, (ours_is_gone,)) as pool:
        try:
            for future in as_completed([pool.submit(write, part) for part in parts]):
                yield future.result()
        except BaseException:
            ours.close()
            raise


def _end_with_parent(parent_is_gone: Connection) -> None:
    """Let this process end at once when its parent stops or is killed: whatever is half written has no name yet."""

    def watch() -> None:
        parent_is_gone.poll(None)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends all
    threading.Thread(target=watch, daemon=True).start()


def _perceptual_hashes(specs: tuple[str, ...]) -> NDArray[np.uint64]:
    """Hashes of the pictures to keep away from; one that cannot be read is in no set, so it is passed over."""
    hashes = []
    for source in (source for spec in specs for source in data.open_set(spec)):
        try:
            gray = data.read_gray(source, source.read())
        except PictureError:
            continue
        hashes.append(data.perceptual_hash(gray))
    return np.array(hashes, np.uint64)


def _write_part(part: _Part, avoid: NDArray[np.uint64]) -> int:
    """Write one tar and, after it, its list; both appear whole or not at all."""
    rows = []
    temporary = part.tar.with_suffix(".tmp")
    try:
        with tarfile.open(temporary, "w") as archive:
            for place, (source, one_in) in enumerate(part.pictures, start=part.first):
                row, cut = _prepare_picture(source, one_in, part.preparation, avoid)
                rows.append(row)
                if cut is not None:
                    _add_array(archive, f"{place:08d}.npy", cut)
        temporary.replace(part.tar)
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
        temporary.replace(part.rows)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{part.tar} cannot be written ({error.strerror}); make room and start again") from error
    return len(part.pictures)


def _prepare_picture(
    source: data.Source, one_in: int, preparation: Preparation, avoid: NDArray[np.uint64]
) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
    row: dict[str, Any] = {"name": source.name, "sha256": None, "fate": "kept", "patches": 0}
    try:
        content = source.read()
        row["sha256"] = data.sha256(content)
        if data.is_held(source, content, one_in) != (preparation.part == "held"):
            return {**row, "fate": "held" if preparation.part == "training" else "training"}, None
        picture = data.read_coded(source, content)
    except (PictureError, DataError) as error:
        return {**row, "fate": "broken", "why": str(error)}, None
    if data.mean_chroma(picture) < data.GRAY_IN_COLOR:
        return {**row, "fate": "gray"}, None
    if data.near_duplicate(data.perceptual_hash(np.ascontiguousarray(picture[..., 0])), avoid):
        return {**row, "fate": "duplicate"}, None
    cut = preparation.sampling.cut(picture, row["sha256"])
    return ({**row, "patches": len(cut)}, cut) if len(cut) else ({**row, "fate": "small"}, None)


def _add_array(archive: tarfile.TarFile, name: str, array: NDArray[np.uint8]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array)
    member = tarfile.TarInfo(name)
    member.size = buffer.tell()
    buffer.seek(0)
    archive.addfile(member, buffer)


def _write_manifest(folder: Path, preparation: Preparation, fingerprint: str, parts: list[_Part]) -> None:
    fates: Counter[str] = Counter()
    named: dict[str, list[str]] = {"gray": [], "duplicate": [], "broken": []}
    shards = []
    for part in parts:
        rows = [json.loads(line) for line in part.rows.read_text().splitlines()]
        fates.update(row["fate"] for row in rows)
        for row in rows:
            if row["fate"] in named:
                named[row["fate"]].append(row["name"] + (f": {row['why']}" if "why" in row else ""))
        shards.append(
            {"file": part.tar.name, "sha256": _file_hash(part.tar), "patches": sum(r["patches"] for r in rows)}
        )
    manifest = {
        "version": VERSION,
        "preparation": fingerprint,
        "sources": [list(source) for source in preparation.sources],
        "sampling": asdict(preparation.sampling),
        "part": preparation.part,
        "pictures": dict(sorted(fates.items())),
        "patches": sum(shard["patches"] for shard in shards),
        "left_out": named,
        "shards": shards,
        "sha256": data.sha256(json.dumps(shards).encode()),
    }
    temporary = folder / "manifest.tmp"
    temporary.write_text(json.dumps(manifest, indent=1))
    temporary.replace(folder / "manifest.json")


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        version, shards, digest = (manifest[key] for key in ("version", "shards", "sha256"))
    except FileNotFoundError:
        raise DataError(f"{folder} has no manifest.json: prepare it first (colorcapsnet prepare)") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); prepare the set again") from error
    if version != VERSION:
        raise DataError(f"{path} is of version {version}, this package reads version {VERSION}; prepare the set again")
    if data.sha256(json.dumps(shards).encode()) != digest:
        raise DataError(f"{path} is damaged (its hash differs); prepare the set again")
    return manifest


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Shards:
    """A prepared set, opened.

    Attributes:
        folder: where it lies.
        manifest: what ``manifest.json`` says.
    """

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Shards:
        """Read the manifest and look whether every shard is there.

        Raises:
            DataError: no manifest, one that is damaged or of another version, or a shard is missing; the message
                names it.
        """
        manifest = _read_manifest(folder)
        for shard in manifest["shards"]:
            if not (folder / shard["file"]).is_file():
                raise DataError(f"{folder / shard['file']} is missing; prepare the set again")
        return cls(folder, manifest)

    @property
    def patches(self) -> int:
        """How many patches there are."""
        return sum(shard["patches"] for shard in self.manifest["shards"])

    @property
    def patch(self) -> int:
        """Side of a patch.

        Raises:
            DataError: the set holds whole photographs.
        """
        if "patch" not in self.manifest["sampling"]:
            raise DataError(f"{self.folder} holds whole photographs, not patches: give another folder")
        return int(self.manifest["sampling"]["patch"])

    @property
    def sha256(self) -> str:
        """Hash of the whole set."""
        return str(self.manifest["sha256"])

    def read(self, shard: dict[str, Any]) -> NDArray[np.uint8]:
        """All patches of one shard, ``(patches, n, n, 4)`` uint8.

        Raises:
            DataError: the file is not the one that was prepared.
        """
        return self.read_all([shard])

    def read_all(self, shards: list[dict[str, Any]]) -> NDArray[np.uint8]:
        """All patches of some shards, one after another; no more memory is taken than they fill.

        Raises:
            DataError: a file is not the one that was prepared.
        """
        patches = np.empty((sum(shard["patches"] for shard in shards), self.patch, self.patch, 4), np.uint8)
        filled = 0
        for shard in shards:
            for array in self._arrays(self.folder / shard["file"], shard["sha256"]):
                patches[filled : filled + len(array)] = array
                filled += len(array)
        return patches

    def _arrays(self, path: Path, sha256: str) -> Iterator[NDArray[np.uint8]]:
        try:
            found = _file_hash(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}); prepare the set again") from error
        if found != sha256:
            raise DataError(f"{path} is damaged (its hash differs); prepare the set again")
        with tarfile.open(path) as archive:
            for member in archive:
                yield np.load(io.BytesIO(archive.extractfile(member).read()))  # type: ignore[union-attr]


@dataclass(frozen=True)
class Batches:
    """An endless, repeatable stream of batches over a prepared set, mixed anew every epoch.

    Shards are read in a random order, as many at once as ``memory`` allows, and mixed within these. What does not
    fill a batch at the end of such a group is left out of the epoch.

    Attributes:
        shards: the set.
        size: patches in a batch, over all processes together.
        seed: of the order.
        memory: bytes of patches held at once.
    """

    shards: Shards
    size: int = 128
    seed: int = 0
    memory: int = 1 << 30

    @property
    def per_epoch(self) -> int:
        """Batches in epoch 0; others may have a few more or fewer where a set is read in several groups."""
        return sum(sum(shard["patches"] for shard in group) // self.size for group in self._groups(0))

    def epoch(self, number: int, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[NDArray[np.uint8]]:
        """Batches of one epoch, ``(size / world, n, n, 4)`` uint8.

        Args:
            number: of the epoch, from 0.
            start: how many batches to leave out at the beginning (a resumed run); they are not read.
            rank: which process this is; it gets every ``world``-th patch of each batch.
            world: how many processes there are.

        Raises:
            DataError: a shard is damaged.
        """
        for index, group in enumerate(self._groups(number)):
            count = sum(shard["patches"] for shard in group) // self.size
            if start >= count:
                start -= count
                continue
            patches = self.shards.read_all(group)
            order = np.random.default_rng((self.seed, number, index + 1)).permutation(len(patches))
            for batch in range(start, count):
                yield patches[order[batch * self.size : (batch + 1) * self.size][rank::world]]
            start = 0
            del patches  # before the next group is read

    def _groups(self, number: int) -> list[list[dict[str, Any]]]:
        shards = self.shards.manifest["shards"]
        groups: list[list[dict[str, Any]]] = []
        free = 0
        for place in np.random.default_rng((self.seed, number, 0)).permutation(len(shards)):
            size = shards[place]["patches"] * self.shards.patch**2 * 4
            if not groups or size > free:
                groups.append([])
                free = self.memory
            groups[-1].append(shards[place])
            free -= size
        return groups


def describe(shards: Shards) -> str:
    """What was prepared and what was left out, in words."""
    manifest = shards.manifest
    fates = ", ".join(f"{count:,} {fate}" for fate, count in manifest["pictures"].items())
    broken = "".join(f"\n  broken: {name}" for name in manifest["left_out"]["broken"])
    return f"{shards.folder}: {shards.patches:,} patches of {shards.patch}x{shards.patch}; pictures: {fates}{broken}"
