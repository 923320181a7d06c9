"""Pictures × models -> scores with intervals: one protocol for every figure.

A model is given the gray of each photograph; its colors are scored against the photograph's own. Beside the models
stand rows that cost nothing: ``gray`` (the input itself), ``tint`` (one constant color), ``picture mean`` (an oracle
that knows the mean color of each picture) and, for a model that can tell, ``round trip`` (the truth through the
model's own coding of color). A network that loses to ``tint`` has learned nothing.

Scores are taken picture by picture, then averaged over pictures; every mean has a 95% bootstrap interval. An
evaluation is one JSON-ready dictionary from which :mod:`colorcapsnet.report` draws everything::

    command, seconds, versions                  how it was made
    protocol                                    Protocol and the constants of this module
    set        pictures, left_out, manifest     what was scored; a hash over all names and files
    models     row name -> sha256 or None
    rows       one for each picture and row     the scores, flat
    summary    row name -> means with intervals

Several sets in one run are one dictionary as well, with ``sets`` (name -> evaluation) and ``means`` (row name -> plain
means over sets) in place of the last four.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import secrets
import shlex
import sys
import time
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from colorcapsnet import color, metrics, pictures, report
from colorcapsnet.errors import DataError, ModelError, OutputError, PictureError
from colorcapsnet.progress import bar

if TYPE_CHECKING:
    from colorcapsnet.colorizer import Canvas

Pixels: TypeAlias = NDArray[np.uint8]
Row: TypeAlias = dict[str, Any]
Evaluation: TypeAlias = dict[str, Any]

TINT = (-2.96, 10.64)
"""Mean ab of the training photographs of BSDS500: the constant color of the row ``tint``, for every set."""
GRAY_CHROMA = 3.0
"""A picture whose mean chroma is below this is gray-in-color, and left out."""
MUTED_CHROMA = 10.0
"""A picture whose mean chroma is below this is muted; skill over these is given apart."""
PSNR_CEILING = 100.0
"""What PSNR counts for at most, dB: equal pictures would be infinite, and so would every mean with one of them."""
CHROMA_BINS = 5


@dataclass(frozen=True)
class Protocol:
    """How pictures are prepared and scored. Rows made by different protocols cannot be compared.

    Attributes:
        gray: the input: ``rec601``, or ``l``, the gray that has the truth's own L (an easier task).
        resize: shrink or stretch every picture to a square of this side, as some published tables do; None: full size.
        ssim: 7×7 ``uniform`` or 11×11 ``gaussian`` window.
        colorfulness: ``signed`` as published, or ``absolute``.
    """

    gray: Literal["rec601", "l"] = "rec601"
    resize: int | None = None
    ssim: Literal["uniform", "gaussian"] = "uniform"
    colorfulness: Literal["signed", "absolute"] = "signed"


class Opens(typing.Protocol):
    """A model that thinks once about a picture and then answers: :class:`colorcapsnet.colorizer.Colorizer`."""

    def open(self, picture: Pixels, /) -> Canvas:
        """``(H, W)`` uint8 gray -> a canvas."""


class Colorizes(typing.Protocol):
    """A model: gives colors to a gray picture.

    It may also have ``round_trip(rgb) -> rgb``, the truth through its own coding of color and back, with L as the
    model would give it, and ``sha256``, the hash of its file.
    """

    def colorize(self, picture: Pixels, /) -> Pixels:
        """``(H, W)`` uint8 gray -> ``(H, W, 3)`` uint8 sRGB."""


Model: TypeAlias = Colorizes | Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class AtStrength:
    """A model that sees whole photographs, at another strength than its mean: a row of its own."""

    model: Opens
    strength: float

    @property
    def sha256(self) -> str | None:
        """The hash of the model's file."""
        return getattr(self.model, "sha256", None)

    def colorize(self, gray: Pixels) -> Pixels:
        """``(H, W)`` uint8 gray -> ``(H, W, 3)`` uint8 sRGB."""
        return cast(Pixels, self.model.open(gray).color(self.strength).array)


@dataclass(frozen=True)
class Truth:
    """One photograph of the set: what is given (gray), what is asked for (rgb), and its Lab."""

    name: str
    rgb: Pixels
    lab: color.Float
    gray: Pixels

    @property
    def ab(self) -> color.Float:
        """``(H, W, 2)``."""
        return self.lab[..., 1:]


Way: TypeAlias = Callable[[Truth], Pixels]


Measure: TypeAlias = Callable[[Truth], list[Row]]


@dataclass(frozen=True)
class _Scored:
    name: str
    sha256: str
    chroma: float
    rows: list[Row]


def evaluate_models(
    truth: str | Path | Sequence[Path],
    models: Mapping[str, Model],
    protocol: Protocol | None = None,
    *,
    against: Sequence[str] = (),
    jobs: int = 1,
    command: str | None = None,
) -> Evaluation:
    """Score models on photographs.

    Args:
        truth: a folder, searched with all below it, or the files themselves.
        models: row name -> model. A model is called from ``jobs`` threads.
        protocol: None for :class:`Protocol`'s defaults.
        against: rows that every row is compared with, picture by picture, as with ``tint``.
        jobs: threads; each holds one picture in memory.
        command: how this was asked for; None for this process's command line.

    Returns:
        The evaluation: see the head of this module.

    Raises:
        DataError: there are no pictures, none with color, or no row of a name in ``against``.
        PictureError: a picture cannot be read, has alpha, or is smaller than SSIM's window.
        ModelError: a model takes a baseline's name, or gives anything but an sRGB uint8 picture of its input's size.
    """
    ways = _baselines()
    _keep_apart(models, ways)
    for name, model in models.items():
        if hasattr(model, "round_trip"):
            ways[f"round trip {name}"] = partial(_round_trip, model.round_trip)
    for name, model in models.items():
        ways[name] = partial(_colorize, model.colorize if hasattr(model, "colorize") else model)
    hashes = {name: getattr(model, "sha256", None) for name, model in models.items()}
    return _evaluate(photographs(truth), ways, hashes, protocol or Protocol(), against, jobs, command)


def evaluate_sets(
    sets: Mapping[str, str | Path | Sequence[Path]],
    models: Mapping[str, Model],
    protocol: Protocol | None = None,
    *,
    against: Sequence[str] = (),
    jobs: int = 1,
    command: str | None = None,
) -> Evaluation:
    """Score models on several sets, one after the other, each by itself.

    Args:
        sets: name -> what :func:`evaluate_models` takes for its photographs.
        models: as there, like the rest.
        protocol: None for :class:`Protocol`'s defaults.
        against: rows that every row is compared with.
        jobs: threads.
        command: how this was asked for; None for this process's command line.

    Returns:
        The evaluation of sets: see the head of this module.

    Raises:
        DataError, PictureError, ModelError: as :func:`evaluate_models`.
    """
    began = time.monotonic()
    scored = {
        name: evaluate_models(truth, models, protocol, against=against, jobs=jobs, command=command)
        for name, truth in sets.items()
    }
    some = next(iter(scored.values()))
    return {
        "command": some["command"],
        "seconds": time.monotonic() - began,
        "versions": some["versions"],
        "protocol": some["protocol"],
        "sets": scored,
        "means": {row: report.over_sets([one["summary"][row] for one in scored.values()]) for row in some["summary"]},
    }


def set_name(folder: Path) -> str:
    """What a folder of photographs is called in reports: its own name and its parent's."""
    return "/".join(folder.resolve().parts[-2:])


def name_sets(folders: Sequence[Path]) -> dict[str, Path]:
    """Folders by :func:`set_name`, for :func:`evaluate_sets`.

    Raises:
        DataError: two have the same name.
    """
    named = {set_name(folder): folder for folder in folders}
    if len(named) < len(folders):
        raise DataError(f"two of {len(folders)} sets have the same name: they must differ in {', '.join(named)}")
    return named


def evaluate_outputs(
    truth: str | Path | Sequence[Path],
    outputs: str | Path,
    protocol: Protocol | None = None,
    *,
    name: str = "outputs",
    jobs: int = 1,
    command: str | None = None,
) -> Evaluation:
    """Score pictures that somebody colorized already.

    An output belongs to the photograph of the same name, below its folder as the photograph is below its own; the
    suffix may differ. Outputs without a photograph are ignored.

    Args:
        truth: as in :func:`evaluate_models`.
        outputs: the folder of colorized pictures.
        protocol: None for :class:`Protocol`'s defaults.
        name: of the row.
        jobs: threads; each holds one picture in memory.
        command: how this was asked for; None for this process's command line.

    Returns:
        The evaluation: see the head of this module.

    Raises:
        DataError: there are no pictures, a photograph has no output or several, or none has color.
        PictureError: a picture cannot be read, has alpha, or is smaller than SSIM's window, or an output's size is
            not its photograph's.
        ModelError: ``name`` is a baseline's.
    """
    protocol = protocol or Protocol()
    matched = pairs(truth, outputs)
    ways = _baselines()
    _keep_apart([name], ways)
    ways[name] = partial(_output, {name: output for name, _, output in matched}, protocol.resize)
    named = {name: photograph for name, photograph, _ in matched}
    return _evaluate(named, ways, {name: None}, protocol, (), jobs, command)


def _evaluate(
    named: Mapping[str, Path],
    ways: Mapping[str, Way],
    hashes: Mapping[str, str | None],
    protocol: Protocol,
    against: Sequence[str],
    jobs: int,
    command: str | None,
) -> Evaluation:
    for name in against:
        _known(name, ways)
    scored = over_photographs(named, partial(_score, ways, protocol), protocol, jobs=jobs, command=command)
    scored["protocol"] |= {"tint": TINT, "psnr_ceiling": PSNR_CEILING, "resamples": metrics.RESAMPLES}
    summary = {name: _summary(scored["rows"], name, against) for name in ways}
    return scored | {"models": dict(hashes), "summary": summary}


def over_photographs(
    truth: str | Path | Sequence[Path] | Mapping[str, Path],
    measure: Measure,
    protocol: Protocol | None = None,
    *,
    jobs: int = 1,
    command: str | None = None,
) -> Evaluation:
    """Measure something on every photograph of a set that has color.

    Args:
        truth: a folder, searched with all below it, the files themselves, or names and files.
        measure: photograph -> its rows; called from ``jobs`` threads.
        protocol: None for :class:`Protocol`'s defaults.
        jobs: threads; each holds one picture in memory.
        command: how this was asked for; None for this process's command line.

    Returns:
        ``command``, ``seconds``, ``versions``, ``protocol``, ``set`` and ``rows``: see the head of this module.

    Raises:
        DataError: there are no pictures, or none with color.
        PictureError: a picture cannot be read or has alpha.
    """
    protocol, began = protocol or Protocol(), time.monotonic()
    named = truth if isinstance(truth, Mapping) else photographs(truth)
    scored: list[_Scored] = []
    with bar("scoring", len(named)) as advance:
        for one in _mapped(partial(_measured, measure, protocol), named.items(), jobs):
            scored.append(one)
            advance(note=one.name)
    left_out = {one.name: one.chroma for one in scored if one.chroma < GRAY_CHROMA}
    if len(left_out) == len(scored):
        raise DataError(f"all {len(scored)} pictures are gray (mean chroma below {GRAY_CHROMA}): use color photographs")
    return {
        "command": command if command is not None else shlex.join(sys.argv),
        "seconds": time.monotonic() - began,
        "versions": _versions(),
        "protocol": asdict(protocol),
        "set": {"pictures": len(scored) - len(left_out), "left_out": left_out, "manifest": _manifest(scored)},
        "rows": [row for one in scored for row in one.rows],
    }


def pairs(truth: str | Path | Sequence[Path], outputs: str | Path) -> list[tuple[str, Path, Path]]:
    """Photographs and what somebody made of their gray, matched as :func:`evaluate_outputs` does.

    Returns:
        Name, photograph, output; sorted by name.

    Raises:
        DataError: there are no pictures, or a photograph has no output or several.
    """
    named, files = photographs(truth), photographs(outputs)
    found: dict[str, list[str]] = {}
    for name in files:
        found.setdefault(_stem(name), []).append(name)
    missing = [name for name in named if _stem(name) not in found]
    if missing:
        some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise DataError(f"{outputs} lacks {len(missing)} of {len(named)} pictures ({some}): colorize these too")
    matched = []
    for name, photograph in named.items():
        candidates = found[_stem(name)]
        if len(candidates) > 1 and name not in candidates:
            raise DataError(f"{outputs} has {' and '.join(candidates)} for {name}: keep the one to be scored")
        matched.append((name, photograph, files[name if name in candidates else candidates[0]]))
    return matched


def spread_by_skill(named: Mapping[str, Path], colorize: Callable[[str, Pixels], Pixels], count: int) -> list[str]:
    """Some photographs, to be shown: from the best by skill (PSNR over the gray picture's) to the worst, evenly.

    Args:
        named: name -> photograph.
        colorize: a name and its gray -> the picture whose skill counts.
        count: how many.
    """

    def skill(name: str) -> float:
        rgb = read(named[name])
        gray = cast(Pixels, color.gray(rgb))
        return metrics.psnr(rgb, colorize(name, gray)) - metrics.psnr(rgb, np.dstack([gray] * 3))

    ranked = sorted(named, key=skill, reverse=True)
    places = np.linspace(0, len(ranked) - 1, min(count, len(ranked)))
    return [ranked[round(place)] for place in places]


def read(file: Path, resize: int | None = None) -> Pixels:
    """A picture as it is scored: 8-bit sRGB, ``(H, W, 3)``.

    Args:
        file: of a photograph or an output.
        resize: side of the square that it is shrunk or stretched to.

    Raises:
        PictureError: it cannot be read, or has alpha.
    """
    picture = pictures.read(file)
    if picture.alpha is not None:
        raise PictureError(f"{file} has an alpha channel, and no one color where it is transparent: remove it")
    array: NDArray[Any] = color.eight_bits(picture.array)
    rgb = array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=-1)
    if resize is not None and rgb.shape[:2] != (resize, resize):
        shrinks = min(rgb.shape[:2]) >= resize
        rgb = cv2.resize(rgb, (resize, resize), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return cast(Pixels, rgb)


def difference(evaluation: Evaluation, model: str, other: str, score: str = "psnr") -> metrics.Interval:
    """The mean paired difference ``model - other`` of a score, with its 95% interval.

    "Better" is a claim that this interval supports only if it excludes 0.

    Args:
        evaluation: what :func:`evaluate_models` or :func:`evaluate_outputs` gave.
        model: the name of a row.
        other: the name of another.
        score: a column of the rows.

    Raises:
        DataError: the evaluation has no such row.
    """
    for name in (model, other):
        _known(name, evaluation["summary"])
    apart = _column(evaluation["rows"], model, score) - _column(evaluation["rows"], other, score)
    return cast(metrics.Interval, metrics.bootstrap(apart))


def _known(name: str, rows: Iterable[str]) -> None:
    if name not in rows:
        raise DataError(f"there is no row {name!r}: choose one of {', '.join(rows)}")


# Pictures


def photographs(truth: str | Path | Sequence[Path]) -> dict[str, Path]:
    """Names, by which outputs are matched and the manifest is sorted -> files.

    Args:
        truth: a folder, searched with all below it, or the files themselves.

    Raises:
        DataError: there are none.
    """
    if isinstance(truth, str | Path):
        root = Path(truth)
        if not root.is_dir():
            raise DataError(f"{root} is not a folder: give a folder of photographs")
        files = [file for file in root.rglob("*") if _is_picture(file.relative_to(root))]
        if not files:
            raise DataError(f"there are no pictures in {root}: give a folder of photographs")
    else:
        files = list(truth)
        if not files:
            raise DataError("there are no pictures to score: give some")
        root = Path(os.path.commonpath([file.parent for file in files]))
    return dict(sorted((file.relative_to(root).as_posix(), file) for file in files))


def _is_picture(file: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.parts)
    return file.suffix.lower() in pictures.SUFFIXES and not hidden


def _stem(name: str) -> str:
    return name.removesuffix(Path(name).suffix)


def _manifest(scored: Iterable[_Scored]) -> str:
    """The hash of what ``sha256sum`` prints for the set, sorted by name."""
    lines = sorted((one.name, one.sha256) for one in scored)
    return hashlib.sha256("".join(f"{sha256}  {name}\n" for name, sha256 in lines).encode()).hexdigest()


# Ways to color


def _baselines() -> dict[str, Way]:
    return {
        "gray": lambda truth: np.repeat(truth.gray[..., None], 3, axis=-1),
        "tint": lambda truth: _constant(truth.gray, np.array(TINT, np.float32)),
        "picture mean": lambda truth: _constant(truth.gray, truth.ab.mean(axis=(0, 1), dtype=np.float64)),
    }


def _constant(gray: Pixels, ab: NDArray[np.floating[Any]]) -> Pixels:
    plane = np.broadcast_to(ab.astype(np.float32), (*gray.shape, 2))
    return cast(Pixels, color.quantize(color.lab_to_srgb(np.dstack([color.lightness(gray), plane]))))


def _keep_apart(names: Iterable[str], ways: Mapping[str, Way]) -> None:
    for name in names:
        if name in ways:
            raise ModelError(f"{name!r} is the name of a baseline: give the model another name")


def _colorize(colorize: Callable[[Pixels], Pixels], truth: Truth) -> Pixels:
    return colorize(truth.gray.copy())


def _round_trip(round_trip: Callable[[Pixels], Pixels], truth: Truth) -> Pixels:
    return round_trip(truth.rgb.copy())


def _output(matched: Mapping[str, Path], resize: int | None, truth: Truth) -> Pixels:
    file = matched[truth.name]
    rgb = read(file, resize)
    if rgb.shape != truth.rgb.shape:
        sizes = [f"{array.shape[1]}×{array.shape[0]}" for array in (rgb, truth.rgb)]
        raise PictureError(f"{file} is {sizes[0]} and its photograph {sizes[1]}: color it at full size, uncropped")
    return rgb


def _gray_of_lightness(lab: color.Float) -> Pixels:
    """The 8-bit gray whose L is nearest to the picture's own."""
    table = color.lightness(np.arange(256, dtype=np.uint8)[None])[0]
    return np.searchsorted((table[1:] + table[:-1]) / 2, lab[..., 0]).astype(np.uint8)


# Scores


def _measured(measure: Measure, protocol: Protocol, named: tuple[str, Path]) -> _Scored:
    name, file = named
    rgb = read(file, protocol.resize)
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    lab = color.srgb_to_lab(rgb)
    chroma = metrics.chroma(lab[..., 1:])
    if chroma < GRAY_CHROMA:
        return _Scored(name, sha256, chroma, [])
    gray = cast(Pixels, color.gray(rgb)) if protocol.gray == "rec601" else _gray_of_lightness(lab)
    return _Scored(name, sha256, chroma, measure(Truth(name, rgb, lab, gray)))


def _score(ways: Mapping[str, Way], protocol: Protocol, truth: Truth) -> list[Row]:
    facts = {
        "width": truth.rgb.shape[1],
        "height": truth.rgb.shape[0],
        "true_chroma": metrics.chroma(truth.ab),
        "true_colorfulness": metrics.colorfulness(truth.rgb, protocol.colorfulness),
    }
    rows = []
    for model, way in ways.items():
        began = time.perf_counter()
        output = way(truth)
        seconds = time.perf_counter() - began
        _check(output, truth, model)
        scores = _scores(truth, output, protocol)
        rows.append({"picture": truth.name, "model": model} | scores | facts | {"seconds": seconds})
    for row in rows:
        row["skill"] = row["psnr"] - rows[0]["psnr"]
    return rows


def _check(output: object, truth: Truth, model: str) -> None:
    shape, kind = getattr(output, "shape", None), getattr(output, "dtype", type(output).__name__)
    if shape != truth.rgb.shape or kind != np.uint8:
        wanted = f"{truth.rgb.shape} uint8"
        raise ModelError(f"{model} makes {shape} {kind} of {truth.name}: a model must give {wanted} for it")


def _scores(truth: Truth, output: Pixels, protocol: Protocol) -> Row:
    lab = color.srgb_to_lab(output)
    ab = lab[..., 1:]
    delta_e = metrics.ciede2000(truth.lab, lab)
    top, bottom = metrics.slope_terms(truth.ab, ab)
    return {
        "psnr": min(metrics.psnr(truth.rgb, output), PSNR_CEILING),
        "ssim": metrics.ssim(truth.rgb, output, protocol.ssim),
        "delta_e": float(delta_e.mean(dtype=np.float64)),
        "delta_e_p90": float(np.percentile(delta_e, 90)),
        "auc": metrics.auc(truth.ab, ab),
        "colorfulness": metrics.colorfulness(output, protocol.colorfulness),
        "chroma": metrics.chroma(ab),
        "true_by_predicted": top,
        "predicted_squared": bottom,
    }


# Summary


def _column(rows: Iterable[Row], model: str, score: str) -> NDArray[np.float64]:
    return np.array([row[score] for row in rows if row["model"] == model], np.float64)


def interval(values: ArrayLike, over: ArrayLike | None = None) -> dict[str, float] | None:
    """:func:`metrics.bootstrap`, ready for JSON."""
    found = metrics.bootstrap(values, over)
    return None if found is None else asdict(found)


def _summary(rows: Sequence[Row], model: str, against: Sequence[str]) -> dict[str, Any]:
    column = partial(_column, rows, model)
    psnr, skill, chroma = column("psnr"), column("skill"), column("chroma")
    muted = column("true_chroma") < MUTED_CHROMA
    means = {score: interval(column(score)) for score in ("psnr", "ssim", "skill", "delta_e", "delta_e_p90", "auc")}
    return means | {
        "over_tint": interval(psnr - _column(rows, "tint", "psnr")),
        "over": {other: interval(psnr - _column(rows, other, "psnr")) for other in against},
        "better_than_gray": interval((skill > 0).astype(np.float64)),
        "skill_p10": float(np.percentile(skill, 10)),
        "muted": {"pictures": int(muted.sum()), "skill": interval(skill[muted])},
        "colorfulness": interval(column("colorfulness")),
        "true_colorfulness": interval(column("true_colorfulness")),
        "colorfulness_ratio": interval(column("colorfulness"), column("true_colorfulness")),
        "slope": interval(column("true_by_predicted"), column("predicted_squared")),
        "bins": _bins(chroma, skill),
        "seconds": float(column("seconds").mean()),
    }


def _bins(chroma: NDArray[np.float64], skill: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Skill over fifths of the pictures, from the palest prediction to the most vivid; none where all are gray."""
    fifths = np.array_split(np.argsort(chroma, kind="stable"), CHROMA_BINS) if chroma.any() else []
    return [
        {
            "pictures": len(part),
            "chroma": [float(chroma[part].min()), float(chroma[part].max())],
            "skill": interval(skill[part]),
        }
        for part in fifths
        if part.size
    ]


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("colorcapsnet", "numpy", "opencv-python-headless", "pyvips", "onnxruntime"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _mapped(
    function: Callable[[tuple[str, Path]], _Scored], items: Iterable[tuple[str, Path]], jobs: int
) -> Iterator[_Scored]:
    """``map`` in order, over threads if asked; an error ends it without starting the rest."""
    if jobs == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(function, items)


# Files


def save_json(evaluation: Evaluation, path: str | Path) -> None:
    """Write the whole evaluation.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(Path(path), json.dumps(evaluation, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def load_json(path: Path) -> Any:  # noqa: ANN401
    """Read what :func:`save_json` wrote.

    Raises:
        DataError: it cannot be read, or is no JSON object.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DataError(f"{path} cannot be read as JSON: {problem}") from problem
    if not isinstance(told, dict):
        raise DataError(f"{path} holds no JSON object: give what `evaluate --json` or `evaluate --uses` wrote")
    return told


def to_csv(evaluation: Evaluation, path: str | Path) -> None:
    """Write the scores of each picture and row, as a table with a heading; of several sets, with the set before them.

    Raises:
        OutputError: the file cannot be written.
    """
    if "sets" in evaluation:
        rows = [{"set": name} | row for name, one in evaluation["sets"].items() for row in one["rows"]]
    else:
        rows = evaluation["rows"]
    with io.StringIO(newline="") as text:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(Path(path), text.getvalue())


def to_markdown(evaluation: Evaluation, path: str | Path) -> None:
    """Write the tables that :func:`colorcapsnet.report.markdown` draws.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(Path(path), report.markdown(evaluation))


def write_text(path: Path, text: str) -> None:
    """Write a file that has its name only when it is whole.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as problem:
        raise OutputError(f"{path} cannot be written ({problem.strerror}): choose another place") from problem
