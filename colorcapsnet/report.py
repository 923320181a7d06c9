"""An evaluation -> tables; pictures -> a contact sheet; couplings -> a map. Draws numbers and computes no score."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from numpy.typing import NDArray

from colorcapsnet import color, pictures
from colorcapsnet.errors import DataError
from colorcapsnet.maps import capsule_map

if TYPE_CHECKING:
    from colorcapsnet.colorizer import Canvas
    from colorcapsnet.zoo import Card

Image: TypeAlias = PIL.Image.Image

INK = (32, 32, 32)
PALE = (110, 110, 110)
PAPER = (255, 255, 255)

_SPELLED = str.maketrans({"×": "x", "–": "-", "—": "-", "−": "-", "Δ": "d", "ß": "ss"})

AVERAGED = ("psnr", "ssim", "skill", "skill_p10", "delta_e", "better_than_gray", "colorfulness_ratio")
"""What is averaged over sets."""

HEADINGS = (
    "model",
    "PSNR, dB [95%]",
    "SSIM",
    "skill, dB",
    "10th pct",
    "ΔE mean / p90",
    "AuC, %",
    "colorfulness ratio",
    "better than gray, %",
    "slope",
)


# Tables


def markdown(evaluation: Mapping[str, Any]) -> str:
    """All that an evaluation says, as Markdown: conditions, the table, differences, skill by chroma, what is left out.

    Of several sets, this for each of them, then the means over sets.

    Args:
        evaluation: what :mod:`colorcapsnet.evaluate` gave, or its JSON file read back.
    """
    if "sets" in evaluation:
        parts = [f"## {name}\n\n{markdown(one)}" for name, one in evaluation["sets"].items()]
        return "\n".join([*parts, f"## Means over {len(parts)} sets\n\n{_means(evaluation['means'])}\n"])
    parts = [conditions(evaluation), markdown_table(evaluation), _differences(evaluation), _by_chroma(evaluation)]
    left_out = evaluation["set"]["left_out"]
    if left_out:
        parts.append(f"Left out as gray-in-color ({len(left_out)}): {', '.join(sorted(left_out))}.")
    return "\n\n".join(parts) + "\n"


def over_sets(summaries: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Plain means of what each set has, for one row; sets count alike, whatever their size."""
    found = {}
    for score in AVERAGED:
        values = [summary[score] for summary in summaries]
        found[score] = float(np.mean([value["value"] if isinstance(value, Mapping) else value for value in values]))
    return found


def _means(means: Mapping[str, Mapping[str, float]]) -> str:
    headings = ("model", "PSNR, dB", "SSIM", "skill, dB", "10th pct", "ΔE", "colorfulness ratio", "better than gray, %")
    lines = [
        [
            name,
            f"{row['psnr']:.2f}",
            f"{row['ssim']:.3f}",
            f"{row['skill']:+.2f}",
            f"{row['skill_p10']:+.2f}",
            f"{row['delta_e']:.2f}",
            f"{row['colorfulness_ratio']:.2f}",
            f"{100 * row['better_than_gray']:.0f}",
        ]
        for name, row in means.items()
    ]
    return _table(headings, lines)


def markdown_table(evaluation: Mapping[str, Any]) -> str:
    """One row a model, the baselines first.

    Args:
        evaluation: what :mod:`colorcapsnet.evaluate` gave, or its JSON file read back.
    """
    return _table(HEADINGS, [_line(name, row) for name, row in evaluation["summary"].items()])


def uses_table(measured: Mapping[str, Any]) -> str:
    """What capsules are for, a line a measure and a column a model.

    Args:
        measured: model -> what :func:`colorcapsnet.uses.measure` gave, or its JSON file read back.
    """
    columns = [_uses(one["summary"]) for one in measured.values()]
    names = dict.fromkeys(name for column in columns for name in column)
    lines = [[name, *(column.get(name, "–") for column in columns)] for name in names]
    return _table(("what capsules are for [95%]", *measured), lines)


def _uses(summary: Mapping[str, Any]) -> dict[str, str]:
    hints, best, without = summary["hints"], summary["best_of_5"], summary["without"]
    place = hints["tool"]["points"].index(10)
    found = {
        "skill, dB": (summary["skill"], "+"),
        "best of 5 candidates over 5 strengths, ΔE": (best["candidates_over_strengths"], "+"),
        "best of 5 vivid candidates over 5 strengths, ΔE": (best["vivid_candidates_over_strengths"], "+"),
    }
    gains = zip(hints["tool"]["points"][1:], hints["tool"]["gain"][1:], strict=True)
    found |= {f"gain of {points} points, dB": (gain, "+") for points, gain in gains}
    chosen = zip(hints["suggested"]["points"], hints["suggested_over_random"], strict=True)
    found |= {
        "10 points over the same without couplings, dB": (hints["over_uncoupled"][place], "+"),
        "10 points over Levin's optimization, dB": (hints["over_levin"][place], "+"),
    }
    found |= {f"{points} chosen points over random ones, dB": (gain, "+") for points, gain in chosen}
    found |= {f"leak, {name}": (share, "") for name, share in summary.get("leak", {}).items() if share}
    found |= {f"adjusted Rand index, {name}": (value, "") for name, value in summary.get("regions", {}).items()}
    found |= {f"steadiness, {name}, ab": (apart, "") for name, apart in summary["steadiness"].items()}
    found |= {f"without: {name}, dB": (lost, "+") for name, lost in without.items()}
    told = {name: _with_interval(value, sign) for name, (value, sign) in found.items()}
    return told | {"confidence, largest gap": f"{summary['confidence']['largest_gap']:.3f}"}


def conditions(evaluation: Mapping[str, Any]) -> str:
    """One sentence: how many pictures, what input, what size, and every option that is not the usual one."""
    protocol, count = evaluation["protocol"], evaluation["set"]["pictures"]
    size = f"stretched to {protocol['resize']}×{protocol['resize']}" if protocol["resize"] else "at full size"
    given = {"rec601": "Rec.601 gray", "l": "the truth's own L (an easier task)"}[protocol["gray"]]
    said = [f"{count} photograph{'' if count == 1 else 's'} {size}", f"input: {given}"]
    if protocol["ssim"] != "uniform":
        said.append("SSIM with the 11×11 Gaussian window")
    if protocol["colorfulness"] != "signed":
        said.append("colorfulness of absolute opponent colors")
    return "; ".join([*said, f"set {evaluation['set']['manifest'][:12]}"]) + "."


def cards(known: Iterable[tuple[Card, int]]) -> str:
    """The networks there are, one line each.

    Args:
        known: cards, and the bytes of their files.
    """
    lines = []
    for card, size in known:
        facts = [card.name, _sees(card), f"{card.parameters:,}", f"{size / 1e6:.1f} MB"]
        lines.append([*facts, "; then ".join(card.trained_on), _measured(card)])
    return _table(("model", "sees", "parameters", "size", "trained on", "measured, PSNR in dB"), lines)


def _sees(card: Card) -> str:
    side = f"{card.size}×{card.size}"
    return f"{side} pixels at a time" if card.kind == "patch" else f"all, at about {side}"


def _measured(card: Card) -> str:
    sets = []
    for name, kept in card.scores.items():
        shown = [row for row in kept["rows"] if row in ("gray", "tint") or row.startswith(card.name)]
        rows = [f"{row} {kept['rows'][row]['psnr']['value']:.2f}" for row in shown]
        sets.append(f"{name}: {', '.join(rows)}")
    return "; ".join(sets) or "–"


def _line(name: str, row: Mapping[str, Any]) -> list[str]:
    slope = row["slope"]
    return [
        name,
        _with_interval(row["psnr"]),
        f"{row['ssim']['value']:.3f}",
        f"{row['skill']['value']:+.2f}",
        f"{row['skill_p10']:+.2f}",
        f"{row['delta_e']['value']:.2f} / {row['delta_e_p90']['value']:.2f}",
        f"{100 * row['auc']['value']:.1f}",
        f"{row['colorfulness_ratio']['value']:.2f}",
        f"{100 * row['better_than_gray']['value']:.0f}",
        f"{slope['value']:.2f}" if slope else "–",
    ]


def _differences(evaluation: Mapping[str, Any]) -> str:
    lines, others = [], next(iter(evaluation["summary"].values()))["over"]
    for name, row in evaluation["summary"].items():
        apart = [row["skill"], row["over_tint"], *row["over"].values()]
        lines.append([name, *(_with_interval(each, "+") for each in apart), _muted(row["muted"])])
    named = [f"to {other}" for other in others]
    return _table(("PSNR difference, dB [95%]", "to gray", "to tint", *named, "to gray, muted pictures"), lines)


def _muted(muted: Mapping[str, Any]) -> str:
    return f"{_with_interval(muted['skill'], '+')} ({muted['pictures']})" if muted["pictures"] else "–"


def _by_chroma(evaluation: Mapping[str, Any]) -> str:
    summary = {name: row["bins"] for name, row in evaluation["summary"].items() if row["bins"]}
    count = max(map(len, summary.values()), default=0)
    lines = [[name, *(_bin(part) for part in bins)] for name, bins in summary.items()]
    return _table(("skill, dB, by predicted chroma", *(f"fifth {n + 1}" for n in range(count))), lines)


def _bin(part: Mapping[str, Any]) -> str:
    low, high = part["chroma"]
    return f"{part['skill']['value']:+.2f} ({low:.0f}–{high:.0f})"


def _with_interval(interval: Mapping[str, float], sign: str = "") -> str:
    value, low, high = (f"{interval[key]:{sign}.2f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    align = ["---", *["---:"] * (len(headings) - 1)]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, align, *cells))


# Targets


@dataclass(frozen=True)
class Found:
    """What was measured of one model, from JSON files; a lookup of what was not raises KeyError.

    Attributes:
        model: the name of its rows; ``MODEL, vivid`` is its vivid output.
        sets: set -> summary of an evaluation.
        means: row -> means over sets.
        uses: set -> summary of :mod:`colorcapsnet.uses`.
        frechet: set -> distances.
        benchmarks: ``weights_mb``, ``photograph_s``, ``scan_s``, ``scan_mb``.
    """

    model: str
    sets: dict[str, Any] = field(default_factory=dict)
    means: dict[str, Any] = field(default_factory=dict)
    uses: dict[str, Any] = field(default_factory=dict)
    frechet: dict[str, Any] = field(default_factory=dict)
    benchmarks: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, files: Iterable[Mapping[str, Any]], model: str) -> Found:
        """Gather what JSON files say of a model.

        Args:
            files: each with ``sets`` (``evaluate --also``), ``uses`` or ``frechet`` (set -> model ->
                measured), or ``benchmarks``.
            model: its name there.

        Raises:
            DataError: a file has none of these, or none knows the model.
        """
        found, known = cls(model), False
        for told in files:
            if not {"sets", "uses", "frechet", "benchmarks"} & set(told):
                raise DataError("a file has neither sets, uses, frechet nor benchmarks: evaluate several sets (--also)")
            for name, one in told.get("sets", {}).items():
                found.sets[name] = found.sets.get(name, {}) | one["summary"]
                known = known or model in one["summary"]
            found.benchmarks.update(told.get("benchmarks", {}))
            for kind in ("uses", "frechet"):
                for name, models in told.get(kind, {}).items():
                    if model in models:
                        getattr(found, kind)[name], known = models[model]["summary"], True
        for row in (found.model, found.vivid):
            scored = [one[row] for one in found.sets.values() if row in one]
            if scored:
                found.means[row] = over_sets(scored)
        if not known:
            raise DataError(f"nothing was measured of a model {model!r}: give the name of its row")
        return found

    def of(self, kind: str) -> dict[str, Any]:
        """The sets whose name holds ``kind``; of ``others``, those that have no target of their own."""
        own = ("bsds500/val", "ilsvrc_photos")
        names = [n for n in self.sets if (kind in n if kind in own else not any(each in n for each in own))]
        if not names:
            raise KeyError(kind)
        return {name: self.sets[name] for name in names}

    def each(self, row: str, score: str, end: str = "value", kind: str | None = None) -> list[float]:
        """A score of a row on each set."""
        if kind is None and not self.sets:
            raise KeyError("sets")
        return [one[row][score][end] for one in (self.of(kind) if kind else self.sets).values()]

    def bins(self, end: str) -> list[float]:
        """Skill of every bin of predicted chroma on every set."""
        found = [part["skill"][end] for one in self.sets.values() for part in one[self.model]["bins"]]
        if not found:
            raise KeyError("bins")
        return found

    def used(self, *path: str | int) -> Any:  # noqa: ANN401
        """Something in the summary of uses, on the set where it was measured."""
        place: Any = next(iter(self.uses.values()), {})
        for step in path:
            if place is None:
                raise KeyError(step)
            place = place[step]
        return place

    @property
    def vivid(self) -> str:
        """The row of the vivid output."""
        return f"{self.model}, vivid"


@dataclass(frozen=True)
class Check:
    """One number that should be at least, or at most, so much.

    Attributes:
        form: how it is written.
        find: where it is; KeyError where it was not measured.
        reach: what it must be; None where only the aim asks for it.
        aim: what it should be; None where the reach says all.
        at_most: whether less is better.
    """

    form: str
    find: Callable[[Found], float]
    reach: float | None
    aim: float | None
    at_most: bool = False

    def met(self, value: float, limit: float | None) -> bool:
        """Whether it is as good as asked."""
        return limit is None or (value <= limit if self.at_most else value >= limit)


def _gain(points: int, reach: float, aim: float) -> Check:
    place = (0, 1, 5, 10, 50).index(points)
    form = f"{{:+.1f}} dB with {points}"
    return Check(form, lambda found: float(found.used("hints", "tool", "gain", place, "value")), reach, aim)


TARGETS: tuple[tuple[str, tuple[Check, ...]], ...] = (
    (
        "skill, `bsds500/val`",
        (Check("{:+.2f} dB", lambda f: f.each(f.model, "skill", kind="bsds500/val")[0], 2.0, 2.8),),
    ),
    (
        "skill, held `ilsvrc_photos`",
        (
            Check("{:+.2f} dB", lambda f: f.each(f.model, "skill", kind="ilsvrc_photos")[0], 1.0, 1.9),
            Check("low end {:+.2f}", lambda f: f.each(f.model, "skill", "low", "ilsvrc_photos")[0], 0.0, 0.0),
            Check("{:+.2f} over tint", lambda f: f.each(f.model, "over_tint", kind="ilsvrc_photos")[0], 0.5, 0.5),
            Check(
                "{:+.2f} over paper",
                lambda f: (
                    f.each(f.model, "psnr", kind="ilsvrc_photos")[0] - f.each("paper", "psnr", kind="ilsvrc_photos")[0]
                ),
                0.5,
                0.5,
            ),
        ),
    ),
    (
        "skill, held part of each other archive",
        (
            Check("lowest low end {:+.2f} dB", lambda f: min(f.each(f.model, "skill", "low", "others")), 0.0, 0.0),
            Check("mean {:+.2f}", lambda f: float(np.mean(f.each(f.model, "skill", kind="others"))), None, 2.0),
        ),
    ),
    (
        "tenth percentile of skill, mean of sets",
        (Check("{:+.2f} dB", lambda f: f.means[f.model]["skill_p10"], -1.0, -0.4),),
    ),
    (
        "skill by predicted chroma, worst bin of all sets",
        (
            Check("high end {:+.2f} dB", lambda f: min(f.bins("high")), 0.0, 0.0),
            Check("mean {:+.2f}", lambda f: min(f.bins("value")), None, 0.2),
        ),
    ),
    (
        "pictures better than gray, mean of sets",
        (Check("{:.0%}", lambda f: f.means[f.model]["better_than_gray"], 0.80, 0.92),),
    ),
    (
        "SSIM over gray, worst set",
        (Check("{:+.3f}", lambda f: min(np.subtract(f.each(f.model, "ssim"), f.each("gray", "ssim"))), 0.0, 0.02),),
    ),
    (
        "ΔE against gray, worst set",
        (
            Check(
                "{:+.0%}",
                lambda f: max(np.divide(f.each(f.model, "delta_e"), f.each("gray", "delta_e")) - 1),
                0.0,
                -0.2,
                at_most=True,
            ),
        ),
    ),
    (
        "colorfulness, vivid output, mean of sets",
        (
            Check("off by {:.0%}", lambda f: abs(f.means[f.vivid]["colorfulness_ratio"] - 1), 0.2, 0.05, at_most=True),
            Check("skill {:+.2f} dB", lambda f: f.means[f.vivid]["skill"], -0.5, 0.0),
        ),
    ),
    (
        "FD, vivid output, of gray's",
        (Check("{:.2f}", lambda f: max(d["vivid"] / d["gray"] for d in _some(f.frechet)), 0.5, 0.25, at_most=True),),
    ),
    (
        "hints: random true points",
        (
            _gain(1, 1.0, 1.5),
            _gain(5, 2.5, 3.5),
            _gain(10, 3.8, 5.0),
            _gain(50, 6.3, 8.0),
            Check("{:+.1f} over no couplings", lambda f: f.used("hints", "over_uncoupled", 3, "value"), 0.5, 0.5),
            Check(
                "chosen {:+.1f} over random",
                lambda f: min(f.used("hints", "suggested_over_random", place, "value") for place in range(3)),
                None,
                0.0,
            ),
        ),
    ),
    (
        "best of 5 candidates against 5 strengths, ΔE",
        (
            Check("high end {:+.2f}", lambda f: _best(f, "high"), 0.0, None, at_most=True),
            Check(
                "{:+.0%}",
                lambda f: _best(f, "value") / f.used("best_of_5", "strengths", "value"),
                None,
                -0.1,
                at_most=True,
            ),
        ),
    ),
    (
        "leak of a recolor by point",
        (Check("{:.0%}", lambda f: f.used("leak", "recolor", "value"), 0.4, 0.2, at_most=True),),
    ),
    (
        "regions, adjusted Rand index",
        (
            Check("{:+.3f} over k-means", lambda f: f.used("regions", "over_kmeans", "value"), 0.0, 0.1),
            Check("{:+.3f} over SLIC", lambda f: f.used("regions", "over_superpixels", "value"), 0.0, 0.1),
        ),
    ),
    ("shipped weights", (Check("{:.1f} MB", lambda f: f.benchmarks["weights_mb"], 15, 8, at_most=True),)),
    (
        "2040×1400 picture, whole call after load",
        (Check("{:.2f} s", lambda f: f.benchmarks["photograph_s"], 1.0, 0.4, at_most=True),),
    ),
    (
        "24-megapixel JPEG to JPEG, whole process",
        (
            Check("{:.1f} s", lambda f: f.benchmarks["scan_s"], 4, 2, at_most=True),
            Check("{:.0f} MB", lambda f: f.benchmarks["scan_mb"], 1000, 600, at_most=True),
        ),
    ),
)
"""What a network that sees whole photographs is asked for, and where the number stands."""


def _some(measured: Mapping[str, Any]) -> list[Any]:
    if not measured:
        raise KeyError("nothing")
    return list(measured.values())


def _best(found: Found, end: str) -> float:
    """The difference of the candidates, mean or vivid, whichever are nearer to the truth."""
    ways = ("candidates_over_strengths", "vivid_candidates_over_strengths")
    best = min(ways, key=lambda way: float(found.used("best_of_5", way, "value")))
    return float(found.used("best_of_5", best, end))


def targets(found: Found) -> str:
    """What is asked, what was measured, and whether it is enough, as a Markdown table.

    A line is met when all its numbers are; with one that was not measured it says "–".
    """
    lines = []
    for what, checks in TARGETS:
        values = [_measured_value(check, found) for check in checks]
        lines.append(
            [
                what,
                _asked([(check, check.reach) for check in checks]),
                _asked([(check, check.aim) for check in checks]),
                _said([(check, value) for check, value in zip(checks, values, strict=True)]),
                _verdict(checks, values),
            ]
        )
    return _table((found.model, "reach", "aim", "measured", "met"), lines) + "\n"


def _measured_value(check: Check, found: Found) -> float | None:
    try:
        return float(check.find(found))
    except KeyError:
        return None


def _asked(limits: Iterable[tuple[Check, float | None]]) -> str:
    compared = [(check.form.replace("{", "≤ {" if check.at_most else "≥ {"), limit) for check, limit in limits]
    return ", ".join(form.format(limit) for form, limit in compared if limit is not None)


def _said(values: Iterable[tuple[Check, float | None]]) -> str:
    return ", ".join("–" if value is None else check.form.format(value) for check, value in values)


def _verdict(checks: Sequence[Check], values: Sequence[float | None]) -> str:
    known = [(check, value) for check, value in zip(checks, values, strict=True) if value is not None]
    if not all(check.met(value, check.reach) for check, value in known):
        return "no"
    if len(known) < len(checks):
        return "–"
    return "aim" if all(check.met(value, check.aim) for check, value in known) else "reach"


# Sheets


@dataclass(frozen=True)
class Cell:
    """A picture on a sheet, ``(H, W)`` or ``(H, W, 3)``, uint8 or uint16, and the line below it."""

    picture: NDArray[Any]
    caption: str = ""


def sheet(
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    path: str | Path,
    *,
    width: int = 320,
    overwrite: bool = True,
) -> None:
    """Draw pictures side by side under headings, on white, and write them over what stands at ``path``.

    Rows are drawn as they come, so a generator needs the memory of one.

    Args:
        columns: the headings.
        rows: one cell for each column; a shorter row leaves the rest white.
        path: a JPEG, PNG, TIFF or WebP file.
        width: of a cell, in pixels; pictures keep their proportions, but none gets taller than 3/2 of it.
        overwrite: whether something may stand there.

    Raises:
        OutputError: the file cannot be written, or something stands there that may not be replaced.
        PictureError: a cell holds no picture.
    """
    style = _Style(width)
    strips = [_strip([_heading(style, text) for text in columns], style)]
    strips += [_strip([_cell(style, cell) for cell in row], style, len(columns)) for row in rows]
    height = sum(strip.height for strip in strips) + style.gutter * (len(strips) + 1)
    page = PIL.Image.new("RGB", (strips[0].width, height), PAPER)
    top = style.gutter
    for strip in strips:
        page.paste(strip, (0, top))
        top += strip.height + style.gutter
    pictures.write(pictures.Picture.from_pil(page), path, overwrite=overwrite)


@dataclass(frozen=True)
class _Style:
    width: int

    @property
    def gutter(self) -> int:
        return max(self.width // 40, 2)

    @property
    def line(self) -> int:
        return max(self.width // 18, 10)


def _heading(style: _Style, text: str) -> Image:
    return _text(text, style.width, round(style.line * 1.15), INK)


def _cell(style: _Style, cell: Cell) -> Image:
    rgb = cell.picture if cell.picture.ndim == 3 else np.dstack([cell.picture] * 3)
    image = pictures.Picture.from_array(rgb).pil().convert("RGB")
    scale = min(style.width / image.width, 1.5 * style.width / image.height)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    image = image.resize(size, PIL.Image.Resampling.LANCZOS, reducing_gap=3.0)
    caption = _text(cell.caption, style.width, style.line, PALE)
    block = PIL.Image.new("RGB", (style.width, image.height + caption.height), PAPER)
    block.paste(image, ((style.width - image.width) // 2, 0))
    block.paste(caption, (0, image.height))
    return block


def _text(text: str, width: int, size: int, ink: tuple[int, int, int]) -> Image:
    """One centered line that fits: in smaller letters, then cut short; nothing for no text."""
    if not text:
        return PIL.Image.new("RGB", (width, 0), PAPER)
    text = _drawable(text)
    font = PIL.ImageFont.load_default(size)
    length = font.getlength(text)
    if length > width:
        font = PIL.ImageFont.load_default(size * max(width / length, 0.7))
    while font.getlength(text) > width and len(text) > 1:
        text = text[:-2] + "…"
    image = PIL.Image.new("RGB", (width, round(1.6 * size)), PAPER)
    PIL.ImageDraw.Draw(image).text((width / 2, 0.8 * size), text, ink, font, anchor="mm")
    return image


def _drawable(text: str) -> str:
    """``text`` in the characters that Pillow's built-in font has: ASCII and the middle dot."""
    plain = unicodedata.normalize("NFKD", text.translate(_SPELLED))
    return "".join(char if char == "·" or " " <= char <= "~" else "?" for char in plain if not _is_accent(char))


def _is_accent(char: str) -> bool:
    return unicodedata.combining(char) != 0


def _strip(blocks: Sequence[Image], style: _Style, columns: int | None = None) -> Image:
    count = len(blocks) if columns is None else columns
    step = style.width + style.gutter
    strip = PIL.Image.new("RGB", (count * step + style.gutter, max((b.height for b in blocks), default=0)), PAPER)
    for column, block in enumerate(blocks):
        strip.paste(block, (style.gutter + column * step, 0))
    return strip


# Maps

CAPSULE_COLUMNS = ("gray", "capsules", "mean", "vivid", "confidence")


def capsule_row(canvas: Canvas, name: str) -> list[Cell]:
    """What a network knows about one picture, a cell for each of ``CAPSULE_COLUMNS``."""
    gray = color.eight_bits(canvas.picture.gray)
    sure = canvas.confidence_map()
    return [
        Cell(gray, name),
        Cell(capsule_map(canvas.known.coupling, color.lightness(gray))),
        Cell(canvas.color().array),
        Cell(canvas.color(2.0).array),
        Cell(sure, f"{canvas.confidence().mean():.0%} sure"),
    ]
