"""An evaluation -> tables; pictures -> a contact sheet. Draws numbers and computes no score."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from numpy.typing import NDArray

from colorcapsnet import pictures

if TYPE_CHECKING:
    from colorcapsnet.zoo import Card

Image: TypeAlias = PIL.Image.Image

INK = (32, 32, 32)
PALE = (110, 110, 110)
PAPER = (255, 255, 255)

_SPELLED = str.maketrans({"×": "x", "–": "-", "—": "-", "−": "-", "Δ": "d", "ß": "ss"})

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

    Args:
        evaluation: what :mod:`colorcapsnet.evaluate` gave, or its JSON file read back.
    """
    parts = [conditions(evaluation), markdown_table(evaluation), _differences(evaluation), _by_chroma(evaluation)]
    left_out = evaluation["set"]["left_out"]
    if left_out:
        parts.append(f"Left out as gray-in-color ({len(left_out)}): {', '.join(sorted(left_out))}.")
    return "\n\n".join(parts) + "\n"


def markdown_table(evaluation: Mapping[str, Any]) -> str:
    """One row a model, the baselines first.

    Args:
        evaluation: what :mod:`colorcapsnet.evaluate` gave, or its JSON file read back.
    """
    return _table(HEADINGS, [_line(name, row) for name, row in evaluation["summary"].items()])


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
    lines = [
        [card.name, f"{card.parameters:,}", f"{size / 1e6:.1f} MB", "; then ".join(card.trained_on), _measured(card)]
        for card, size in known
    ]
    return _table(("model", "parameters", "size", "trained on", "measured, PSNR in dB"), lines)


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
    lines = [
        [name, _with_interval(row["skill"], "+"), _with_interval(row["over_tint"], "+"), _muted(row["muted"])]
        for name, row in evaluation["summary"].items()
    ]
    return _table(("PSNR difference, dB [95%]", "to gray", "to tint", "to gray, muted pictures"), lines)


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


# Sheets


@dataclass(frozen=True)
class Cell:
    """A picture on a sheet, ``(H, W)`` or ``(H, W, 3)``, uint8 or uint16, and the line below it."""

    picture: NDArray[Any]
    caption: str = ""


def sheet(columns: Sequence[str], rows: Iterable[Sequence[Cell]], path: str | Path, *, width: int = 320) -> None:
    """Draw pictures side by side under headings, on white, and write them over what stands at ``path``.

    Rows are drawn as they come, so a generator needs the memory of one.

    Args:
        columns: the headings.
        rows: one cell for each column; a shorter row leaves the rest white.
        path: a JPEG, PNG, TIFF or WebP file.
        width: of a cell, in pixels; pictures keep their proportions, but none gets taller than 3/2 of it.

    Raises:
        OutputError: the file cannot be written.
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
    pictures.write(pictures.Picture.from_pil(page), path, overwrite=True)


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
