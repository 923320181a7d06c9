"""A person's decisions on their way through :mod:`batch`, and what else may be asked for of one picture.

:class:`Decided` stands between a colorizer and :func:`batch.colorize_all`: what holds for all pictures (reference,
whole capsules, do-no-harm) is read once. Of one picture it also writes candidates and maps, all of them named and
checked by :func:`plan` before the network sees it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from colorcapsnet import __version__, color, layers, maps, pictures, remote, scale
from colorcapsnet.batch import Advance, Colorizes, Job
from colorcapsnet.colorizer import Canvas, Colorizer
from colorcapsnet.errors import HintError, ModelError, OutputError
from colorcapsnet.hints import NOTHING, Capsule, Hints, Point, hex_of
from colorcapsnet.layers import Chroma
from colorcapsnet.pictures import FORMATS, SUFFIXES, Picture
from colorcapsnet.remote import Url

ACROSS = 4  # candidates side by side on their sheet


@dataclass(frozen=True)
class Asked:
    """What to write besides the colors of one picture.

    Attributes:
        candidates: files for the candidates, the likeliest first; the first is the target of the job.
        sheet: all candidates with their names.
        seed: of the candidates.
        confidence: file for the map of confidence.
        capsules: file for the map of capsules, with their numbers.
        chroma_only: a key of :data:`layers.FORMS`: what to write in place of each colored picture.
    """

    candidates: tuple[Path, ...] = ()
    sheet: Path | None = None
    seed: int = 0
    confidence: Path | None = None
    capsules: Path | None = None
    chroma_only: str | None = None

    @property
    def files(self) -> list[Path]:
        """All of them but the target of the job."""
        return [*self.candidates[1:], *(path for path in (self.sheet, self.confidence, self.capsules) if path)]


def plan(
    jobs: list[Job],
    hints: Hints,
    *,
    alone: bool,
    candidates: int | None = None,
    seed: int = 0,
    confidence: Path | None = None,
    capsules: Path | None = None,
    chroma_only: str | None = None,
    overwrite: bool = False,
) -> tuple[list[Job], Asked]:
    """Name every file before the first is written, and refuse what could lose one.

    With candidates, NAME.EXT becomes NAME-1.EXT and so on, with NAME-sheet.jpg.

    Args:
        jobs: from :func:`batch.plan`.
        hints: for all of them.
        alone: whether one picture was given, and not a folder or several.
        candidates: how many, or None for the likely colors alone.
        seed: of the candidates.
        confidence: file for the map of confidence.
        capsules: file for the map of capsules.
        chroma_only: what to write in place of colored pictures.
        overwrite: accept files that are there already.

    Raises:
        HintError: what is asked for makes sense for one picture only, and there are more, or pages of a TIFF; or
            candidates or maps are asked of a URL.
        PictureError: the picture is a damaged TIFF.
        OutputError: see :func:`refuse_losses`.
    """
    wanted = {
        "places in hints and --recolor": hints.of_one_picture,
        "--candidates": candidates is not None,
        "--confidence maps": confidence is not None,
        "--capsules maps": capsules is not None,
    }
    if not any(wanted.values()):
        return jobs, Asked(chroma_only=chroma_only)
    asking = next(name for name, value in wanted.items() if value)
    if not alone:
        raise HintError(f"{asking} are for one picture: give one file, not a folder or several")
    if SUFFIXES.get(jobs[0].target.suffix.lower()) == "tiff":
        with remote.reading(jobs[0].source) as here:
            _refuse_pages(asking, str(jobs[0].source), pictures.page_count(here))
    (job,), asked = jobs, Asked((), None, seed, confidence, capsules, chroma_only)
    source, target = job.source, job.target
    if isinstance(source, Url) or isinstance(target, Url):
        if candidates is None and not asked.files:
            return jobs, asked
        raise HintError(f"candidates and maps are for files of this machine, not for {source} -> {target}")
    if candidates is not None:
        files = tuple(target.with_name(f"{target.stem}-{n}{target.suffix}") for n in range(1, candidates + 1))
        asked = replace(asked, candidates=files, sheet=target.with_name(f"{target.stem}-sheet.jpg"))
        target = files[0]
    refuse_losses(source, [target, *asked.files], overwrite=overwrite)
    return [Job(source, target)], asked


def _refuse_pages(asking: str, name: str, pages: int) -> None:
    if pages > 1:
        raise HintError(f"{asking} are for one picture, and {name} has {pages} pages: add --format png for the first")


def refuse_losses(source: Path, drawn: Sequence[Path], hints: Path | None = None, *, overwrite: bool = False) -> None:
    """Refuse files that cannot be written or would lose something, before anything is written.

    Args:
        source: the picture.
        drawn: files for pictures.
        hints: file for hints.
        overwrite: accept files that are there already.

    Raises:
        OutputError: a file is there already, would be written twice, is the picture itself, or has the wrong ending.
    """
    taken = {os.path.realpath(source)}
    for path in drawn:
        if SUFFIXES.get(path.suffix.lower()) not in FORMATS:
            raise OutputError(
                f"{path} does not say a format that can be written: end it in one of {', '.join(FORMATS)}"
            )
    if hints is not None and hints.suffix.lower() != ".json":
        raise OutputError(f"{hints} would not be known as hints: end it in .json")
    for path in (*drawn, *([hints] if hints else [])):
        if os.path.realpath(path) in taken:
            raise OutputError(f"{path} is the picture itself, or would be written twice: name another file")
        if not overwrite and os.path.lexists(path):
            raise OutputError(f"{path} is there already: choose another name, or replace it with --force")
        taken.add(os.path.realpath(path))


def with_decisions(
    colorizer: Colorizer, hints: Hints, asked: Asked | None = None, *, overwrite: bool = False
) -> Colorizes:
    """What colors pictures as it was decided: the colorizer itself where nothing was.

    Raises:
        ModelError, HintError, PictureError: as :class:`Decided`.
    """
    asked = asked or Asked()
    nothing = replace(hints, strength=1.0) == NOTHING and not (asked.files or asked.candidates)
    decided = colorizer if nothing else Decided(colorizer, hints, asked, overwrite)
    return ChromaOnly(decided, asked.chroma_only) if asked.chroma_only else decided


def provenance(
    colorizer: Colorizer, hints: Hints, *, seed: int | None = None, chroma_only: str | None = None
) -> dict[str, str]:
    """What is written into a picture about its colors (:func:`colorcapsnet.provenance.stamped`).

    Args:
        colorizer: that made them.
        hints: that were followed.
        seed: of the candidates, if these are some.
        chroma_only: as in :class:`Asked`.
    """
    told = {"tool": f"colorcapsnet {__version__}", "model": colorizer.card.name, "modelHash": colorizer.sha256}
    told |= {"strength": f"{hints.strength:g}"} | ({"asPublished": "true"} if colorizer.as_published else {})
    told |= {} if seed is None else {"seed": str(seed)}
    told |= {"chromaOnly": chroma_only} if chroma_only else {}
    if hints.reference is not None:  # nobody's folders go into a picture
        hints = replace(hints, reference=Path(hints.reference).name)
    return told | ({} if hints == replace(NOTHING, strength=hints.strength) else {"hints": hints.to_json()})


class ChromaOnly:
    """Gives the color alone, from 16 bits whatever the picture has; the arguments as :class:`Decided` keeps them."""

    def __init__(self, colorizer: Colorizer | Decided, form: str) -> None:
        self.colorizer, self.form = colorizer, form

    def colorize(self, picture: Picture, advance: Advance | None = None, strength: float = 1.0) -> Picture | Chroma:
        """What :data:`layers.FORMS` makes of the picture and its colors."""
        deep = layers.sixteen_bits(picture)
        return layers.FORMS[self.form](deep, self.colorizer.colorize(deep, advance, strength))


class Decided:
    """Colors pictures as a person decided: what :func:`batch.colorize_all` takes; from several threads at once.

    Args:
        colorizer: of a network that sees whole photographs.
        hints: for every picture, but for their strength, which comes with each call.
        asked: what else to write, where there is one picture.
        overwrite: replace files that are there already.

    Raises:
        ModelError: the network sees patches.
        HintError: there is no such capsule.
        PictureError: the reference cannot be read, or is gray.
    """

    def __init__(
        self, colorizer: Colorizer, hints: Hints = NOTHING, asked: Asked | None = None, overwrite: bool = False
    ) -> None:
        if colorizer.card.kind != "photograph":
            raise ModelError(
                f"{colorizer.card.name} sees patches and can only colorize: decide with a network that sees photographs"
            )
        self.colorizer, self.asked, self.overwrite = colorizer, asked or Asked(), overwrite
        self.shown = None if hints.reference is None else colorizer.observe(hints.reference)
        self.hints = replace(hints, reference=None)
        types = [each for each in hints.recolor if isinstance(each, Capsule)]
        if types:  # so that a number that does not exist is refused before the first picture
            colorizer.open(np.zeros((32, 32), np.uint8)).decided(Hints(recolor=types))

    def __str__(self) -> str:
        """The network."""
        return str(self.colorizer)

    def colorize(self, picture: Picture, advance: Advance | None = None, strength: float = 1.0) -> Picture:
        """The picture as it was decided, or the first candidate; all else that was asked for is written on the way.

        Raises:
            HintError: the hints do not fit the picture.
            OutputError: something cannot be written.
        """
        if picture.page > 0 and self.hints.of_one_picture:
            _refuse_pages("places in hints and --recolor", picture.name, picture.pages)
        canvas = self.colorizer.open(picture)
        if self.shown is not None:
            canvas = canvas.reference(self.shown)
        if self.asked.confidence:
            sure = canvas.decided(self.hints).confidence_map()
            write_drawn(sure, self.asked.confidence, overwrite=self.overwrite)
        if self.asked.capsules:
            write_drawn(canvas.region_map(), self.asked.capsules, overwrite=self.overwrite)
        if self.asked.candidates:
            return self._candidates(canvas, strength)
        return canvas.render(canvas.ab(strength, self.hints), advance)

    def _candidates(self, canvas: Canvas, strength: float) -> Picture:
        from colorcapsnet import report

        asked = self.asked
        _make_folder(asked.candidates[0])
        colors = canvas.candidate_colors(len(asked.candidates), asked.seed, strength, self.hints)
        first, cells = canvas.render(colors[0]), []
        for path, ab in zip(asked.candidates, colors, strict=True):
            colored = first if path == asked.candidates[0] else canvas.render(ab)
            if colored is not first:  # which is written by whoever asked
                form = layers.FORMS[asked.chroma_only] if asked.chroma_only else None
                made = form(canvas.picture, colored) if form else colored
                made.save(path, overwrite=self.overwrite)
            cells.append(report.Cell(_small(colored.array), path.name))
        if asked.sheet:
            columns = [""] * min(ACROSS, len(cells))
            rows = (cells[at : at + ACROSS] for at in range(0, len(cells), ACROSS))
            report.sheet(columns, rows, asked.sheet, overwrite=self.overwrite)
        return first


def write_drawn(drawn: pictures.Pixels, path: Path, *, overwrite: bool = False) -> None:
    """Write a map ``(H, W)`` or ``(H, W, 3)``; its folder is made if need be.

    Raises:
        OutputError: something stands there, or the file cannot be written.
    """
    _make_folder(path)
    pictures.write(Picture(drawn, name=path.name), path, overwrite=overwrite)


def _make_folder(path: Path) -> None:
    with contextlib.suppress(OSError):  # writing will say what is wrong
        path.parent.mkdir(parents=True, exist_ok=True)


def _small(rgb: pictures.Pixels) -> pictures.Pixels:
    """What a sheet needs of a picture."""
    return scale.fit(rgb, *scale.within(rgb.shape, 640))


# Where to point


@dataclass(frozen=True, eq=False)
class Suggestion:
    """Where a person's colors would help most.

    Attributes:
        points: x and y of pixels, the most helpful first.
        now: their colors as they are, ``"#rrggbb"``.
        hints: what was known, and the points, waiting for colors.
        drawn: ``(H, W, 3)`` uint8: the picture as it is colored now, with the points numbered.
    """

    points: list[tuple[int, int]]
    now: list[str]
    hints: Hints
    drawn: NDArray[np.uint8]

    def __str__(self) -> str:
        """A line a point: its place and its color."""
        return "\n".join(f"{x},{y} {color}" for (x, y), color in zip(self.points, self.now, strict=True))


def suggest(canvas: Canvas, n: int, hints: Hints = NOTHING) -> Suggestion:
    """The few points where one click would help most; see :meth:`Canvas.suggest`.

    Args:
        canvas: of the picture.
        n: how many.
        hints: what is known already.

    Raises:
        HintError: the hints do not fit the picture.
    """
    points = canvas.suggest(n, hints)
    rgb = color.eight_bits(canvas.color(hints=hints).array)
    waiting = replace(
        hints,
        points=[*hints.points, *(Point(x, y, None) for x, y in points)],
        size=(canvas.picture.width, canvas.picture.height),
    )
    labels = [(str(number), x, y) for number, (x, y) in enumerate(points, 1)]
    return Suggestion(points, [hex_of(rgb[y, x]) for x, y in points], waiting, maps.labeled(rgb, labels))
