"""Pictures and folders of pictures: name and check every output, then color; skip what is there, report what failed.

:func:`plan` decides everything before the first picture. :func:`colorize_one` then takes one job to its outcome,
depends on no other job and never raises, so that it can be mapped over the jobs: by :func:`colorize_all` in threads
here, or by :func:`cluster.colorize_all` on other machines. A result stands under its name whole or not at all
(:func:`pictures.write`), so the outputs themselves are the record of what was done: the same command again goes on
where a killed run ended.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain, islice
from pathlib import Path
from typing import Literal, NoReturn, Protocol, TypeAlias, cast

from colorcapsnet import pictures, progress, remote
from colorcapsnet.errors import ColorCapsNetError, OutputError, PictureError
from colorcapsnet.layers import Chroma
from colorcapsnet.pictures import FORMATS, SUFFIXES, Picture
from colorcapsnet.provenance import stamped
from colorcapsnet.remote import Place, Url, exists, is_folder

Advance: TypeAlias = Callable[[float], None]
Status: TypeAlias = Literal["done", "skipped", "failed"]

PICTURES_AT_ONCE = min(os.cpu_count() or 1, 8) + 2
"""One a core, and two that wait for the disk; beyond that, memory counts."""

PIXELS_AT_ONCE = 100_000_000 * min(os.cpu_count() or 1, 8)
"""Of all pictures in memory: some 8 bytes each, 16 of those with 16 bits."""

THERE = "already there"


class Room:
    """Room in memory for so many pixels; a picture that needs more than all of it waits until it is alone.

    Args:
        pixels: of all pictures at once.
    """

    def __init__(self, pixels: int) -> None:
        self._all = self._free = pixels
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Wait for room, and keep it for the time of a ``with``."""
        needed = min(pixels, self._all)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= needed)
            self._free -= needed
        try:
            yield
        finally:
            with self._changed:
                self._free += needed
                self._changed.notify_all()


class Colorizes(Protocol):
    """What gives colors to a picture, from several threads at once: :class:`colorizer.Colorizer`."""

    def colorize(self, picture: Picture, advance: Advance | None = None, strength: float = 1.0, /) -> Picture | Chroma:
        """The same picture in color; ``advance`` is called with each finished share of it, 0..1 in all."""


@dataclass(frozen=True)
class Job:
    """One picture to color, and the file to write."""

    source: Place
    target: Place


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: the job.
        status: ``done``; ``skipped``, because the target was there before; or ``failed``, then no target was written.
        message: one line: why it failed or was skipped, or what of the picture was left behind; else empty.
        seconds: wall time from opening the source to the finished target.
    """

    job: Job
    status: Status
    message: str = ""
    seconds: float = 0.0


# Before the first picture


def plan(
    inputs: Sequence[Place],
    output: Place | None = None,
    *,
    format: str | None = None,
    overwrite: bool = False,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    called: str = "color",
) -> list[Job]:
    """Name the output of every picture, and refuse what could lose one.

    ==================  =======================  ====================================================
    input               no output                output
    ==================  =======================  ====================================================
    one file            NAME-color.EXT beside    that file if it has a suffix and is no folder, else
                                                 NAME.EXT in that folder
    several files       NAME-color.EXT beside    NAME.EXT in that folder
    folder              FOLDER-color beside      that folder, with the tree that the input has
    ==================  =======================  ====================================================

    EXT is the input's, or that of ``format``, or png where the input's cannot be written (gif). A file that is
    named is taken whatever its suffix; in folders, pictures are known by their suffix. Hidden files and folders,
    links to folders, and the output folder are not entered. Outputs that are there already stay in the plan and are
    skipped in their turn, so a second run goes on; a file that is the only input is refused instead.

    Patterns hold shell wildcards (``*``, ``?``, ``[abc]``) and mean upper and lower case alike. One without a slash is
    held against a picture's name, one with a slash against its path below the folder that was given, where ``*``
    stands for slashes too.

    Args:
        inputs: files and folders, by path or :class:`remote.Url`.
        output: a file or a folder, which need not exist; likewise.
        format: a key of :data:`pictures.FORMATS`.
        overwrite: accept an only output that is there already.
        only: patterns, one of which a picture has to match; if there are none, every picture does.
        skip: patterns, none of which it may match.
        called: what stands in NAME-color and FOLDER-color.

    Returns:
        The jobs, in the order of the inputs, folders sorted by name.

    Raises:
        PictureError: an input does not exist, a folder cannot be read or holds no pictures, or no picture matches.
        OutputError: two pictures would have one target, a target is an input, the only target is there already, or
            the output is no folder where one is needed, cannot be written, or names another format.
        PlaceError, MissingExtra: a URL cannot be reached, or not without another library.
    """
    if format is not None and format not in FORMATS:
        raise OutputError(f"the format {format} cannot be written: choose one of {', '.join(FORMATS)}")
    for given in inputs:
        if not exists(given):
            raise PictureError(f"{given} does not exist: check the name")
    alone = len(inputs) == 1 and not is_folder(inputs[0])
    if output is not None and _names_a_file(output, alone, format):
        found = [(inputs[0].name, Job(inputs[0], output))]
    else:
        found = [named for given in inputs for named in _jobs(given, output, format, called)]
    jobs = list(dict.fromkeys(job for below, job in found if _is_wanted(below, only, skip)))
    if found and not jobs:
        raise PictureError(_none_matches(found, only, skip))
    _refuse_collisions(jobs)
    refuse_unwritable({job.target.parent for job in jobs})
    if alone and not overwrite and _is_taken(jobs[0].target):
        raise OutputError(f"{jobs[0].target} is there already: choose another output, or replace it with --force")
    return jobs


def _names_a_file(output: Place, alone: bool, format: str | None) -> bool:
    if not output.suffix or is_folder(output):
        return False
    named = SUFFIXES.get(output.suffix.lower())
    if not alone:
        if named:
            raise OutputError(f"{output} is the name of one picture, and there may be more: name a folder")
        return False
    if named not in FORMATS:
        known = ", ".join(FORMATS)
        raise OutputError(
            f"{output} does not say a format that can be written: end it in one of {known}, or make the folder first"
        )
    if format not in (None, named):
        raise OutputError(f"{output} ends in {output.suffix}, but the format is {format}: make them agree")
    return True


def _is_taken(place: Place) -> bool:
    return exists(place) if isinstance(place, Url) else os.path.lexists(place)


def _key(place: Place) -> str:
    """The same for two names of one place."""
    return str(place) if isinstance(place, Url) else os.path.realpath(place)


def _jobs(given: Place, output: Place | None, format: str | None, called: str) -> Iterator[tuple[str, Job]]:
    """Each with the path below the folder that was given."""
    if not is_folder(given):
        if output is not None:
            yield given.name, Job(given, _renamed(output / given.name, format))
        else:
            target = _renamed(given, format)
            yield given.name, Job(given, target.with_name(f"{target.stem}-{called}{target.suffix}"))
        return
    output = output or _folder_beside(given, called)
    names = list(_pictures_below(given, output))
    if not names:
        raise PictureError(f"{given} holds no pictures: their names end in {', '.join(sorted(SUFFIXES))}")
    for name in names:
        yield name, Job(given / name, _renamed(output / name, format))


def _is_wanted(below: str, only: Sequence[str], skip: Sequence[str]) -> bool:
    def matches(pattern: str) -> bool:
        text = below if "/" in pattern else below.rpartition("/")[2]
        return fnmatchcase(text.casefold(), pattern.casefold())

    return (not only or any(map(matches, only))) and not any(map(matches, skip))


def _none_matches(found: Sequence[tuple[str, Job]], only: Sequence[str], skip: Sequence[str]) -> str:
    options = [*(f"--only {shlex.quote(pattern)}" for pattern in only), *(f"--skip {shlex.quote(p)}" for p in skip)]
    return (
        f"none of {len(found):,} pictures is left by {' '.join(options)} (the first is {found[0][0]}): "
        "a pattern is held against names, or with a slash against paths below the folder"
    )


def _renamed(place: Place, format: str | None) -> Place:
    """``place`` with a suffix of the format, or its own where that will do. Only a picture's suffix is replaced."""
    own = SUFFIXES.get(place.suffix.lower())
    if own in FORMATS and format in (None, own):
        return place
    return place.with_name((place.stem if own else place.name) + FORMATS[format or "png"][0])


def _folder_beside(folder: Place, called: str) -> Place:
    named = folder.resolve() if isinstance(folder, Path) and folder.name in ("", "..") else folder
    if not named.name or (isinstance(named, Url) and not named.parent.path):
        raise OutputError(f"{folder} has nothing beside it: name an output folder with --output")
    return named.with_name(f"{named.name}-{called}")


def _pictures_below(folder: Place, output: Place) -> Iterator[str]:
    """Their paths below the folder."""
    if isinstance(folder, Url):
        for name in remote.files_below(folder):
            if Path(name).suffix.lower() in SUFFIXES and not (folder / name).is_below(output):
                yield name
        return
    results = None if isinstance(output, Url) else os.path.realpath(output)
    for here, folders, files in os.walk(folder, onerror=_refuse_unreadable):
        visible = (name for name in sorted(folders) if not name.startswith("."))
        folders[:] = [name for name in visible if os.path.realpath(Path(here, name)) != results]
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(here, name).relative_to(folder).as_posix()


def _refuse_unreadable(problem: OSError) -> NoReturn:
    raise PictureError(f"the folder {problem.filename} cannot be read ({problem.strerror}): nothing was colored")


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    sources = {_key(job.source) for job in jobs}
    taken: dict[str, Place] = {}
    for job in jobs:
        place = _key(job.target)
        if place in sources:
            raise OutputError(
                f"{job.target} is an input, and {job.source} in color would replace it: name another output"
            )
        if place in taken:
            raise OutputError(
                f"{taken[place]} and {job.source} would both become {job.target}: "
                "rename one, or color them into different folders"
            )
        taken[place] = job.source


def refuse_unwritable(folders: set[Place]) -> None:
    """Refuse folders that are files, or that may not be written; those that are not there yet can be made.

    Of URLs, only writing can tell.

    Raises:
        OutputError: one of them.
    """
    for folder in folders:
        if isinstance(folder, Url):
            continue
        there = next(above for above in (folder, *folder.parents) if os.path.lexists(above))
        if not is_folder(there):
            raise OutputError(f"{there} is not a folder: name another output")
        if not os.access(there, os.W_OK | os.X_OK):
            raise OutputError(f"the folder {there} may not be written: name another output, or give yourself the right")


# One picture


def colorize_one(
    job: Job,
    colorizer: Colorizes,
    *,
    strength: float = 1.0,
    overwrite: bool = False,
    told: Mapping[str, str] | None = None,
    advance: Advance | None = None,
    room: Room | None = None,
) -> Outcome:
    """Read, color, write. Whatever goes wrong is in the outcome; only an interrupt comes through.

    Args:
        job: from :func:`plan`.
        colorizer: gives the colors.
        strength: 0 is gray, 1 what is likely, 2 vivid.
        overwrite: color again what is there already.
        told: provenance to write into the picture (:func:`provenance.stamped`), or None.
        advance: called with each finished share of the picture.
        room: that it shares with others.
    """
    began = time.perf_counter()
    status: Status = "failed"
    try:
        if not overwrite and _is_there(job.target):
            return Outcome(job, "skipped", THERE)
        format = SUFFIXES.get(job.target.suffix.lower())
        with (
            remote.reading(job.source) as source,
            remote.writing(job.target, overwrite=overwrite) as target,
            room.taken(pictures.pixel_count(source)) if room else nullcontext(),
        ):
            found, gray = in_color(source, format, colorizer, strength, told, advance)
            first, others = next(found), cast("Iterator[Picture]", found)
            make_folder(target.parent)
            if isinstance(first, Picture):
                written = pictures.write_pages(chain([first], others), target, overwrite=overwrite)
            else:
                written = 1
                first.save(target, overwrite=overwrite)
        message = f"only the first of its {gray.pages} pages" if written < gray.pages else ""
        status = "done"
    except ColorCapsNetError as problem:
        message = str(problem)
    except Exception as problem:
        message = " ".join(f"{type(problem).__name__}: {problem}".split()).removesuffix(":")
    return Outcome(job, status, message, time.perf_counter() - began)


def in_color(
    source: Path | bytes,
    format: str | None,
    colorizer: Colorizes,
    strength: float = 1.0,
    told: Mapping[str, str] | None = None,
    advance: Advance | None = None,
) -> tuple[Iterator[Picture | Chroma], Picture]:
    """The pages of a picture in color, each when it is taken: all those of a TIFF for a TIFF, else the first.

    Args:
        source: the picture.
        format: what the pages will be written as; None for the source's own.
        colorizer, strength, told, advance: as in :func:`colorize_one`.

    Returns:
        The pages, and the first of them as it was read.

    Raises:
        MissingExtra, PictureError: as :func:`pictures.read_pages`; other errors come with the pages.
    """
    pages = pictures.read_pages(source)
    first = next(pages)
    count = first.pages if first.format == "tiff" and format in (None, "tiff") else 1

    def color(picture: Picture) -> Picture | Chroma:
        stamp = picture if told is None else stamped(picture, told)
        return colorizer.colorize(stamp, advance and (lambda share: advance(share / count)), strength)

    return map(color, chain([first], islice(pages, count - 1))), first


def _is_there(target: Place) -> bool:
    """A file with something in it: an empty one is no result, and writing will say that it is in the way."""
    if isinstance(target, Url):
        return bool(remote.filled([target]))
    try:
        status = target.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > 0


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are not there yet.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise OutputError(f"the folder {folder} cannot be made ({problem.strerror}): name another output") from None


# All pictures


def left(jobs: Sequence[Job], *, overwrite: bool = False) -> list[Job]:
    """Jobs that are not done yet; all of them, where what is there is to be replaced."""
    if overwrite:
        return list(jobs)
    far = remote.filled(job.target for job in jobs if isinstance(job.target, Url))
    return [job for job in jobs if job.target not in far and (isinstance(job.target, Url) or not _is_there(job.target))]


def threads(count: int, at_once: int) -> int | None:
    """How many threads one picture shall use: one where other pictures keep the cores busy, else all (None).

    Args:
        count: of the pictures.
        at_once: how many of them are worked on at once.
    """
    return 1 if count > at_once >= (os.cpu_count() or 1) else None


def colorize_all(
    jobs: Sequence[Job],
    colorizer: Colorizes,
    *,
    strength: float = 1.0,
    overwrite: bool = False,
    told: Mapping[str, str] | None = None,
    at_once: int = PICTURES_AT_ONCE,
) -> list[Outcome]:
    """Every job to its outcome, in the order of the jobs, with a bar; see :func:`colorize_one`.

    ``at_once`` pictures are in memory, fewer where they have more than :data:`PIXELS_AT_ONCE`; give the colorizer
    :func:`threads` that fit them.

    Raises:
        KeyboardInterrupt: after the pictures that were begun; the same jobs again go on from there.
    """
    waiting = set(left(jobs, overwrite=overwrite))
    room = Room(PIXELS_AT_ONCE)
    with (
        progress.bar("coloring", len(jobs), start=len(jobs) - len(waiting)) as advance,
        ThreadPoolExecutor(at_once) as pool,
    ):

        def outcome(job: Job) -> Outcome:
            if job not in waiting:
                return Outcome(job, "skipped", THERE)
            shown = 0.0

            def show(share: float) -> None:
                nonlocal shown
                shown += share
                advance(share)

            got = colorize_one(
                job, colorizer, strength=strength, overwrite=overwrite, told=told, advance=show, room=room
            )
            if got.status != "skipped":
                show(1 - shown)
            return got

        return list(pool.map(outcome, jobs))


def write_report(outcomes: Sequence[Outcome], path: Place, *, command: str, told: Mapping[str, str] | None) -> None:
    """Write what became of every picture as JSON, for programs, in place of an earlier report.

    Raises:
        OutputError: it cannot be written.
    """
    rows = [
        {
            "source": str(outcome.job.source),
            "target": str(outcome.job.target),
            "status": outcome.status,
            "message": outcome.message,
            "seconds": round(outcome.seconds, 4),
        }
        for outcome in outcomes
    ]
    count = Counter(outcome.status for outcome in outcomes)
    report = {"command": command, "provenance": told, "count": dict(count), "pictures": rows}
    with remote.writing(path, overwrite=True) as here:
        make_folder(here.parent)
        with pictures.placed(here, overwrite=True) as descriptor, os.fdopen(descriptor, "w", closefd=False) as file:
            file.write(json.dumps(report, indent=1) + "\n")


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many, and a line for each picture that something is to be said of.

    >>> colored = Outcome(Job(Path("a.png"), Path("out/a.png")), "done")
    >>> failed = Outcome(Job(Path("b.png"), Path("out/b.png")), "failed", "b.png is empty: get another copy")
    >>> print(summary([colored, failed]))
    1 colored, 1 failed:
      b.png is empty: get another copy
    """
    count = Counter(outcome.status for outcome in outcomes)
    parts = [f"{count['done']:,} colored"]
    if count["skipped"]:
        parts.append(f"{count['skipped']:,} skipped (already there)")
    if count["failed"]:
        parts.append(f"{count['failed']:,} failed")
    lines = [_line(outcome) for outcome in outcomes if outcome.message and outcome.status != "skipped"]
    return ", ".join(parts) + ":" * bool(lines) + "".join(f"\n  {line}" for line in lines)


def _line(outcome: Outcome) -> str:
    source = str(outcome.job.source)
    return outcome.message if outcome.message.startswith(source) else f"{source}: {outcome.message}"
