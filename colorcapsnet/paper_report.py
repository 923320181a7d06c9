"""Results of the paper's experiments -> one page, as HTML and as Markdown, with figures. Computes no score.

Reads the JSON files and small pictures that ``colorcapsnet report paper`` left in ``results``. Published values stand
here and in :mod:`claims`; everything else on the page is read from these files. What has no result yet is said to
be missing, so a page can be drawn at any time.

Source of published values: G. Özbulak, *Image Colorization by Capsule Networks*, CVPRW 2019.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from colorcapsnet import pictures, report
from colorcapsnet.claims import (
    CLAIMS,
    PUBLISHED_CAPSULES,
    PUBLISHED_FRONT,
    PUBLISHED_TEST,
    PUBLISHED_VALIDATION,
    Found,
    Result,
    interval,
    spread,
)
from colorcapsnet.errors import OutputError, need
from colorcapsnet.progress import duration

PUBLISHED_LOSS = {"original front": 0.0035, "VGG front, VGG-19's weights": 0.0033}  # Figure 4a, after 10 epochs
PUBLISHED_SCORES = (
    ("ColorCapsNet, 50 epochs", "DIV2K validation", *PUBLISHED_VALIDATION),
    ("the challenge's best", "DIV2K validation", 22.73, 0.93),
    ("the challenge's worst", "DIV2K validation", 16.39, 0.55),
    ("ColorCapsNet, 10 epochs", "DIV2K test", *PUBLISHED_TEST),
    ("the challenge's best", "DIV2K test", 22.19, 0.94),
    ("the challenge's worst", "DIV2K test", 17.96, 0.84),
)
LINES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"), ((0, (5, 1)), "v"), ((0, (1, 1)), "x"))
INKS = ("#000000", "#1f5a99", "#b5461f", "#3b7d3b", "#6b4a9c", "#7a6a00")
COMPARISONS = ("figure-4a", "figure-4b", "figure-4c")
PUBLISHED_EPOCHS, PUBLISHED_CHAIN_EPOCHS = 10, [50, 50, 10]
BARS = "mean of seeds, lowest to highest as bars"
LOSS = "training loss (MSE of Lab code, 0..1)"


# The page


@dataclass(frozen=True)
class Heading:
    """A title; of a section, or of the page at level 1."""

    text: str
    level: int = 2

    def markdown(self) -> str:
        """``#`` and the text."""
        return f"{'#' * self.level} {self.text}"

    def html(self) -> str:
        """``<h2>``, say."""
        return f"<h{self.level}>{html.escape(self.text)}</h{self.level}>"


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str

    def markdown(self) -> str:
        """The text."""
        return self.text

    def html(self) -> str:
        """``<p>``."""
        return f"<p>{html.escape(self.text)}</p>"


@dataclass(frozen=True)
class Table:
    """Headings and lines of cells."""

    headings: Sequence[str]
    lines: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """With ``|`` between cells."""
        rows = [self.headings, ["---"] * len(self.headings), *self.lines]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)

    def html(self) -> str:
        """``<table>``."""
        body = [_cells(line, "td") for line in self.lines]
        return "\n".join(["<table>", _cells(self.headings, "th"), *body, "</table>"])


def _cells(line: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in line) + "</tr>"


@dataclass(frozen=True)
class Figure:
    """A picture by its path from the page, and what it shows."""

    file: str
    caption: str

    def markdown(self) -> str:
        """The picture, and its caption below."""
        return f"![{self.caption}]({self.file})\n\n*{self.caption}*"

    def html(self) -> str:
        """``<figure>``."""
        text = html.escape(self.caption)
        return f'<figure><img src="{self.file}" alt="{text}"><figcaption>{text}</figcaption></figure>'


Block: TypeAlias = Heading | Text | Table | Figure

STYLE = (
    "body{font:16px/1.45 sans-serif;max-width:68rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;font-size:.85rem;margin:1rem 0}th,td{border:1px solid #bbb;padding:.25rem .5rem;"
    "text-align:left;vertical-align:top}th{background:#eee}img{max-width:100%}figcaption{font-size:.85rem;color:#444}"
)


def draw(folder: Path, curves: Path | None = None) -> tuple[Path, Path]:
    """Draw the page of a report from its results.

    Args:
        folder: of the report; ``results`` lies in it, ``figures``, ``paper.md`` and ``paper.html`` are written.
        curves: losses of a chain that was trained for longer, to show beside; see :meth:`Found.read`.

    Returns:
        The Markdown and the HTML file.

    Raises:
        DataError: there are no results, or a file is damaged.
        OutputError: a file cannot be written.
        MissingExtra: matplotlib is not installed.
    """
    found = Found.read(folder, curves)
    (folder / "figures").mkdir(exist_ok=True)
    blocks = [block for section in SECTIONS for block in section(found)]
    body = "\n".join(block.html() for block in blocks)
    title = html.escape(TITLE)
    pages = {
        "paper.md": "\n\n".join(block.markdown() for block in blocks) + "\n",
        "paper.html": f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n",
    }
    for name, text in pages.items():
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError as problem:
            raise OutputError(f"{folder / name} cannot be written ({problem.strerror})") from problem
    return folder / "paper.md", folder / "paper.html"


TITLE = "Image Colorization by Capsule Networks, made again"


def _beginning(found: Found) -> Iterator[Block]:
    yield Heading(TITLE, 1)
    some: Result = next(iter(found.results.values()), {})
    spent = sum(one["seconds"] for one in found.results.values())
    data = "stand-ins for the paper's sets" if found.standin else "the paper's sets"
    yield Text(
        f"Every table and figure of G. Özbulak, Image Colorization by Capsule Networks (CVPRW 2019), on {data}, in a "
        f"budget of {found.plan['budget']}; {duration(spent)} were spent. Published values stand beside ours and are "
        "never to be compared with them where the data differ."
    )
    if some:
        machine, versions = some["machine"], ", ".join(f"{name} {one}" for name, one in some["versions"].items())
        yield Text(
            f"Made by: {some['command']}. Machine: {machine['processor']}, {machine['cores']} cores, "
            f"{machine['threads']} threads. Versions: {versions}."
        )
    yield Text("Where rows differ from the paper:")
    yield Table(("letter", "difference"), [[letter, why] for letter, why in differences(found).items()])


def differences(found: Found) -> dict[str, str]:
    """Letters that rows refer to -> how what was run differs from the paper, as the plan says."""
    plan, told = found.plan, {}
    if found.standin:
        told["D"] = (
            "other data: small pictures and photographs of ILSVRC stand in for its 150,000; BSDS500 train and "
            "validation stand in for DIV2K's"
        )
    if plan["pictures"] is not None:
        told["P"] = f"only {plan['pictures']:,} of the first step's pictures"
    learning = [share for name, share in plan["shares"].items() if name in (*COMPARISONS, "chain")]
    if any(share["every"] > 1 for share in learning):
        told["T"] = "thinned: only one patch in so many is learnt from, as the row says"
    if plan["epochs"] < PUBLISHED_EPOCHS or list(plan["chain_epochs"]) != PUBLISHED_CHAIN_EPOCHS:
        by_step = ", ".join(map(str, plan["chain_epochs"]))
        told["E"] = (
            f"fewer epochs: {plan['epochs']} in comparisons (published: 10), {by_step} in the chain (50, 50, 10)"
        )
    if any(share["batch"] < 128 for share in learning):
        told["B"] = "batches smaller than 128 (the paper states no size), as the row says"
    told["H"] = "matrix products in bfloat16"
    told["F"] = "the front begins with random weights instead of VGG-19's"
    told["S"] = "the front begins with filters distilled from another ImageNet network, a stand-in for VGG-19's"
    return told


def letters(found: Found, row: Result, experiment: str) -> str:
    """The letters of :func:`differences` that hold for a row.

    Args:
        found: all results.
        row: with ``data``, and ``begins`` for a variant.
        experiment: whose batch and epochs it has.
    """
    shares = found.plan["shares"][experiment]
    if experiment == "chain":
        short = list(found.plan["chain_epochs"]) != PUBLISHED_CHAIN_EPOCHS
    else:
        short = found.plan["epochs"] < PUBLISHED_EPOCHS
    holds = {
        "D": found.standin,
        "P": found.plan["pictures"] is not None,
        "T": shares["every"] > 1,
        "E": short,
        "B": shares["batch"] < 128,
        "H": True,
        "F": row.get("config", {}).get("front") != "original" and row.get("begins") == "random",
        "S": row.get("begins") == "distilled",
    }
    return " ".join(letter for letter, is_so in holds.items() if is_so)


def _missing(found: Found, experiment: str) -> Iterator[Block]:
    if experiment not in found.results:
        yield Text("Not run yet: the same command goes on.")


# Claims


def _claims(found: Found) -> Iterator[Block]:
    yield Heading("The paper's claims, one by one")
    yield Text(
        "Judged by the stated rules from the numbers below, for these data and this time. The paper shows one run of "
        "each variant; a claim that several seeds do not tell from chance is said to be inside their spread."
    )
    lines = []
    for claim in CLAIMS:
        verdict = claim.judge(found)
        said = verdict.said + (f" ({verdict.why})" if verdict.why else "")
        lines.append([claim.text, claim.where, verdict.measured, said, claim.rule])
    yield Table(("claim", "section, figure", "measured", "verdict", "rule"), lines)


# Figure 4


def _figure_4(found: Found) -> Iterator[Block]:
    yield Heading("Figure 4a: front, batch norm, capsules")
    yield from _comparison(found, "figure-4a", f"Training loss on 32×32 patches; {BARS}.")
    for row in found.variants("figure-4a").values():
        if "distilled" in row:
            told = row["distilled"]
            yield Text(
                f"The stand-in's layers explain {told['explained']:.0%} of the variance of {told['teacher']} on "
                f"validation pictures, after {told['steps']} steps."
            )
    if "parameters" in found.results:
        counts = found.results["parameters"]
        yield Text(
            f"Parameters: VGG front over the original one {counts['front']:+,} (published: approximately "
            f"{PUBLISHED_FRONT:+,}); 6 capsules over 10 {counts['capsules']:+,} (published: approximately "
            f"{PUBLISHED_CAPSULES:+,})."
        )
    side = found.plan["side"]
    yield Heading("Figure 4b: routings")
    yield from _comparison(found, "figure-4b", f"Training loss with 1 to 5 routings on {side}×{side} patches; {BARS}.")
    if "figure-4b" in found.results:
        yield _routing_times(found)
    yield Heading("Figure 4c: size of patches")
    yield from _comparison(
        found, "figure-4c", f"Training loss on three sizes of patches from the same pictures; {BARS}."
    )


def _comparison(found: Found, experiment: str, caption: str) -> Iterator[Block]:
    yield from _missing(found, experiment)
    variants = found.variants(experiment)
    if not variants:
        return
    curves = {label: [run["loss"] for run in row["runs"]] for label, row in variants.items() if "runs" in row}
    with _Plot(found.folder / "figures" / f"{experiment}.png") as plot:
        axes = plot.axes("epoch", LOSS)
        for number, (label, losses) in enumerate(curves.items()):
            plot.line(axes, number, label, range(1, len(losses[0]) + 1), losses)
        axes.set_yscale("log")
        plot.finish(axes)
    yield Figure(f"figures/{experiment}.png", caption)
    lines = []
    for label, row in variants.items():
        published = PUBLISHED_LOSS.get(label)
        about = [label, f"{row['parameters']:,}"]
        ours = [spread([run["loss"][-1] for run in row["runs"]])] if "runs" in row else ["–"]
        about += [*ours, f"{published:.4f}" if published else "–"]
        about += [f"not run: {row['not_run']}", "–", "–"] if "not_run" in row else [
            _learnt_from(row["data"]), _took(found, experiment, row), letters(found, row, experiment)]  # fmt: skip
        lines.append(about)
    yield Table(("variant", "parameters", "last loss [seeds]", "published", "learnt from", "time", "differs"), lines)


def _learnt_from(data: Result) -> str:
    thinned = f", 1 in {data['every']}" if data["every"] > 1 else ""
    return f"{data['patches']:,} patches of {data['pictures']:,} pictures{thinned} (set {data['sha256'][:8]})"


def _took(found: Found, experiment: str, row: Result) -> str:
    known = [run["seconds"] for run in row["runs"] if run["seconds"] is not None]
    spent = f"{duration(sum(known) / len(known))} a run" if known else "unknown"
    batch = found.results[experiment]["batch"]
    return f"{len(row['runs'])} × {row['runs'][0]['steps']} steps of {batch}, {spent}"


def _routing_times(found: Found) -> Block:
    variants = found.variants("figure-4b")
    counts = [row["config"]["routings"] for row in variants.values()]
    times = [[1000 * seconds for seconds in row["step_seconds"]] for row in variants.values()]
    with _Plot(found.folder / "figures" / "figure-4b-times.png") as plot:
        axes = plot.axes("routings", "time of a training step (ms)")
        plot.line(axes, 0, "", counts, list(zip(*times, strict=True)))
        axes.set_xticks(counts)
        axes.set_ylim(bottom=0)
    batch = found.results["figure-4b"]["batch"]
    return Figure("figures/figure-4b-times.png", f"Time of a step of {batch} patches; three measurements, as bars.")


# The chain


def _chain(found: Found) -> Iterator[Block]:
    yield Heading("Figure 5: losses of the three steps")
    yield from _missing(found, "chain")
    if "chain" not in found.results:
        return
    steps = found.results["chain"]["steps"]
    with _Plot(found.folder / "figures" / "figure-5.png") as plot:
        axes = plot.axes("epoch, the three steps one after another", "loss (MSE of Lab code, 0..1)")
        _steps(plot, axes, "this page", {step["recipe"]: step for step in steps}, 0)
        if found.curves:
            _steps(plot, axes, "longer", found.curves, 2)
        axes.set_yscale("log")
        plot.finish(axes)
    longer = "; beside them those of a chain that was trained for longer" if found.curves else ""
    yield Figure("figures/figure-5.png", f"Training and validation loss of the chain{longer}; one run.")
    lines = []
    for step in steps:
        losses = [entry["loss"] for entry in step["epochs"]]
        judged = [entry["validation"] for entry in step["epochs"] if "validation" in entry]
        spent = [entry["seconds"] for entry in step["epochs"] if entry["seconds"] is not None]
        longer_losses = [entry["loss"] for entry in found.curves.get(step["recipe"], {}).get("epochs", [])]
        lines.append(
            [
                step["doc"],
                f"{losses[0]:.5f} -> {losses[-1]:.5f}",
                f"{min(judged):.5f}, {judged[-1]:.5f}" if judged else "–",
                f"{longer_losses[0]:.5f} -> {longer_losses[-1]:.5f}" if longer_losses else "–",
                _learnt_from(step["data"]),
                f"{len(losses)} epochs, batch {step['batch']}, {duration(sum(spent))}",
                letters(found, {**step, "begins": "random"}, "chain"),
            ]
        )
    headings = (
        "step",
        "training loss",
        "validation: lowest, last",
        "trained for longer",
        "learnt from",
        "time",
        "differs",
    )
    yield Table(headings, lines)
    yield Heading("Figure 7: pictures over the epochs")
    yield from _over_epochs(found, steps)


def _steps(plot: _Plot, axes: Any, label: str, chain: Mapping[str, Result], number: int) -> None:  # noqa: ANN401
    """Draw both losses of a chain, its steps one after another; lines break between them."""
    place = 0
    training: tuple[list[float], list[float]] = [], []
    validation: tuple[list[float], list[float]] = [], []
    for step in chain.values():
        for entry in step["epochs"]:
            place += 1
            training[0].append(place)
            training[1].append(entry["loss"])
            if "validation" in entry:
                validation[0].append(place)
                validation[1].append(entry["validation"])
        training[0].append(place + 0.5)
        training[1].append(math.nan)
        validation[0].append(place + 0.5)
        validation[1].append(math.nan)
    plot.line(axes, number, f"training, {label}", training[0], [training[1]])
    plot.line(axes, number + 1, f"validation, {label}", validation[0], [validation[1]])


def _over_epochs(found: Found, steps: Sequence[Result]) -> Iterator[Block]:
    looks = [
        (number + 1, entry) for number, step in enumerate(steps) for entry in step["epochs"] if "pictures" in entry
    ]
    names = list(looks[0][1]["pictures"])
    with _Plot(found.folder / "figures" / "figure-7.png", columns=2) as plot:
        for column, (score, unit) in enumerate((("psnr", "PSNR (dB)"), ("ssim", "SSIM"))):
            axes = plot.axes("epoch, two steps one after another", unit, column)
            for number, name in enumerate(names):
                values = [entry["pictures"][name][score] for _, entry in looks]
                plot.line(axes, number, name, range(1, len(looks) + 1), [values])
            first = sum(number == 1 for number, _ in looks)
            axes.axvline(first + 0.5, color="#888888", linewidth=0.8)
            plot.finish(axes)
    yield Figure(
        "figures/figure-7.png",
        f"{len(names)} validation pictures, chosen evenly by name, after each epoch of the first two steps (the line "
        "stands between them), colored as published. The third step learns from them and is not scored on them.",
    )
    folder = found.folder / "results" / "pictures" / "figure-7"
    kept = [
        (f"step {number}, epoch {epoch}", f"step-{number}-epoch-{epoch:02}", entry["pictures"])
        for number, epochs in enumerate(found.results["chain"]["kept"], start=1)
        for epoch in epochs
        for which, entry in looks
        if which == number and entry["epoch"] == epoch
    ]
    rows = (
        [
            *(
                report.Cell(_picture(folder / f"{prefix}-{Path(name).stem}.jpg"), _caption(scores[name]))
                for _, prefix, scores in kept
            ),
            report.Cell(_picture(folder / f"truth-{Path(name).stem}.jpg"), Path(name).stem),
        ]
        for name in names
    )
    headings = [heading for heading, _, _ in kept]
    _sheet([*headings, "truth"], rows, found.folder / "figures" / "figure-7-strip.jpg", width=150)
    yield Figure("figures/figure-7-strip.jpg", "The same pictures, with their PSNR and SSIM.")


def _sheet(columns: Sequence[str], rows: Iterable[Sequence[report.Cell]], path: Path, *, width: int) -> None:
    """A sheet of pictures, as small a file as still looks well."""
    report.sheet(columns, rows, path, width=width)
    pictures.write(pictures.read(path), path, quality=80, overwrite=True)


def _picture(path: Path) -> Any:  # noqa: ANN401
    return pictures.read(path).array


def _caption(scores: Result) -> str:
    return f"{scores['psnr']:.1f} dB, {scores['ssim']:.2f}"


# Scores


def _table_1(found: Found) -> Iterator[Block]:
    yield Heading("Table 1: scores")
    lines = [
        [network, place, f"{psnr:.2f}", f"{ssim:.2f}", "–", "–", "as published"]
        for network, place, psnr, ssim in PUBLISHED_SCORES
    ]
    for place in ("validation", "test"):
        lines += _scored(found, place)
    yield from _missing(found, "table-1")
    yield Table(
        ("network", "pictures", "PSNR, dB [95%]", "SSIM [95%]", "over gray, dB", "over tint, dB", "about"), lines
    )
    if "table-1" not in found.results:
        return
    yield Text(
        "Mean over pictures at full size, input Rec.601 gray, PSNR of 8-bit RGB, SSIM with a 7×7 window; the paper "
        "does not state its own. Step 2 and what ships learnt from no validation picture; step 3 did, as before the "
        "published test, and is scored on others. gray is the input, tint one constant color, picture mean an oracle "
        "that knows each picture's mean color, round trip the truth through the network's coding of color."
    )
    grid = found.results["table-1"]["figure-6"]
    folder = found.folder / "results" / "pictures" / "figure-6"
    ways = ("gray", "published", "kept")
    rows = (
        [
            *(
                report.Cell(
                    _picture(folder / f"{row['picture']}-{way}.jpg"),
                    _caption({score: row[score][way] for score in ("psnr", "ssim")}),
                )
                for way in ways
            ),
            report.Cell(_picture(folder / f"{row['picture']}-truth.jpg"), f"{row['picture']} ({row['why']})"),
        ]
        for row in grid["rows"]
    )
    _sheet(
        ("gray", "as published", "lightness kept", "truth"), rows, found.folder / "figures" / "figure-6.jpg", width=200
    )
    yield Heading("Figure 6: pictures")
    yield Figure(
        "figures/figure-6.jpg",
        f"The best and the worst by PSNR, and others by chance (seed 0): {grid['row']}, and with lightness kept.",
    )


def _scored(found: Found, place: str) -> list[list[str]]:
    scored = found.results.get("table-1", {}).get(place, {})
    standing = {"validation": "BSDS500 validation", "test": "held ILSVRC photographs"}
    pictures_of = standing[place] if found.standin else f"DIV2K {place}"
    if "summary" not in scored:
        return [["ours", pictures_of, "–", "–", "–", "–", f"not run: {scored.get('not_run', 'not yet')}"]]
    count = f"{scored['set']['pictures']} of {scored['of']} {pictures_of}"
    return [
        [
            name,
            count,
            interval(row["psnr"], 2),
            interval(row["ssim"], 3),
            interval(row["skill"], 2, "+"),
            interval(row["over_tint"], 2, "+"),
            _about(found, name),
        ]
        for name, row in scored["summary"].items()
        if not name.startswith("round trip shipped")  # codes color as every other
    ]


def _about(found: Found, name: str) -> str:
    if name.startswith("step") and "chain" in found.results:
        steps = found.results["chain"]["steps"][: int(name.split()[1].rstrip(","))]
        spent = sum(entry["seconds"] or 0 for step in steps for entry in step["epochs"])
        told = letters(found, {"begins": "random"}, "chain")
        return f"{' + '.join(str(len(step['epochs'])) for step in steps)} epochs, {duration(spent)}; {told}"
    if name.startswith("shipped"):
        return "the weights that ship; their card says what they learnt from"
    return "no network" if name in ("gray", "tint", "picture mean") else "the most that coding allows"


# What is left open


def _open(found: Found) -> Iterator[Block]:
    yield Heading("What the paper leaves open")
    yield from _missing(found, "open-questions")
    if "open-questions" not in found.results:
        return
    told = found.results["open-questions"]
    scores = told["scores"]
    yield Text(
        f"How much of the scores is not about color: network {told['network']}, validation pictures, paired "
        "differences with 95% intervals."
    )
    lines = [
        [what, str(each["pictures"]), interval(each["psnr"], 2, "+"), interval(each["ssim"], 3, "+")]
        for what, each in scores["differences"].items()
    ]
    yield Table(("change", "pictures", "PSNR, dB [95%]", "SSIM [95%]"), lines)
    rows = scores["rows"]
    shown = ["gray", "tint", *(row for row in rows if row.startswith("lightness"))]
    ceiling = "round trip lightness redrawn, stride 9"
    yield Table(
        ("row", "PSNR, dB [95%]", "SSIM [95%]"),
        [[row, interval(rows[row]["psnr"], 2), interval(rows[row]["ssim"], 3)] for row in (*shown, ceiling)],
    )
    yield Text(
        "gray and tint are what the metrics alone give: no network looked at these pictures. The round trip is the "
        "truth through 8-bit Lab and back: what the coding costs."
    )
    yield from _routing(found, told["routing"])
    yield from _capsules(told["capsules"])


def _routing(found: Found, rows: Sequence[Result]) -> Iterator[Block]:
    with _Plot(found.folder / "figures" / "couplings.png") as plot:
        axes = plot.axes("iterations of routing", "entropy of couplings (1 = no preference)")
        several = [row for row in rows if len(row["iterations"]) > 1]
        for number, row in enumerate(several):
            label = f"{row['patch']}×{row['patch']}, learnt with {row['learnt_with']}"
            plot.line(axes, number, label, row["iterations"], [row["entropy"]])
        each = [row for row in rows if len(row["iterations"]) == 1]
        if each:
            label = f"{each[0]['patch']}×{each[0]['patch']}, learnt with as many"
            places = [row["iterations"][0] for row in each]
            plot.line(axes, len(several), label, places, [[row["entropy"][0] for row in each]])
        axes.set_xticks(range(1, 6))
        plot.finish(axes)
    yield Figure(
        "figures/couplings.png",
        "What routing does to couplings: their mean entropy on patches of validation pictures, over its largest value.",
    )


def _capsules(told: Result) -> Iterator[Block]:
    yield Text(
        "Mean length of each capsule on validation patches by their true hue (pale: chroma below 8; number of patches "
        "in brackets), and the share of its variance that hue and mean gray explain. Network: step 2 of the chain."
    )
    headings = [f"{hue} ({count:,})" for hue, count in zip(told["hues"], told["patches"], strict=True)]
    lines = [
        [
            str(number + 1),
            *("–" if length is None else f"{length:.3f}" for length in lengths),
            f"{told['by_hue'][number]:.0%}",
            f"{told['by_gray'][number]:.0%}",
        ]
        for number, lengths in enumerate(told["length"])
    ]
    yield Table(("capsule", *headings, "by hue", "by gray"), lines)


# The paper's own scale


def _scale(found: Found) -> Iterator[Block]:
    yield Heading("At the paper's own scale, on paper")
    yield from _missing(found, "scale")
    if "scale" not in found.results:
        return
    told = found.results["scale"]
    yield Text(
        f"The first step alone: {told['patches']:,} patches × {told['epochs']} epochs, batch {told['batch']} a "
        "process, 9×9 patches, one routing. Rates are those of this machine while it measured, whatever else it did."
    )
    lines = [
        [
            row["what"],
            "–" if row["step"] is None else f"{1000 * row['step']:.1f}",
            "–" if row["rate"] is None else f"{row['rate']:,.0f}",
            "–" if row["hours"] is None else f"{row['hours']:,.1f}",
            row["known"],
        ]
        for row in told["rows"]
    ]
    yield Table(("on", "step, ms", "patches/s", "hours", "known how"), lines)
    yield Text("The model assumes: " + "; ".join(told["assumptions"]) + ".")


SECTIONS: tuple[Callable[[Found], Iterable[Block]], ...] = (
    _beginning,
    _claims,
    _figure_4,
    _chain,
    _table_1,
    _open,
    _scale,
)


# Lines


class _Plot:
    """A figure that is written when the block ends; lines differ in dash and marker, not in color alone."""

    def __init__(self, path: Path, columns: int = 1) -> None:
        figure = need("matplotlib.figure", extra="report").Figure
        self.path, self.columns = path, columns
        self.figure = figure(figsize=(7.2 if columns == 1 else 10.5, 4.2), layout="constrained")

    def __enter__(self) -> _Plot:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self.figure.savefig(self.path, dpi=110, metadata={"Software": None})

    def axes(self, across: str, up: str, column: int = 0) -> Any:  # noqa: ANN401
        axes = self.figure.add_subplot(1, self.columns, column + 1)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color="#dddddd", linewidth=0.6)
        return axes

    def line(
        self,
        axes: Any,  # noqa: ANN401
        number: int,
        label: str,
        across: Sequence[float],
        runs: Sequence[Sequence[float]],
    ) -> None:
        """The mean of runs, with bars from the lowest to the highest where there are several."""
        means = [sum(values) / len(values) for values in zip(*runs, strict=True)]
        low = [mean - min(values) for mean, values in zip(means, zip(*runs, strict=True), strict=True)]
        high = [max(values) - mean for mean, values in zip(means, zip(*runs, strict=True), strict=True)]
        dash, marker = LINES[number % len(LINES)]
        bars = [low, high] if len(runs) > 1 else None
        axes.errorbar(
            list(across), means, yerr=bars, label=label, linestyle=dash, marker=marker, markersize=4.5,
            color=INKS[number % len(INKS)], linewidth=1.4, capsize=3,
        )  # fmt: skip

    def finish(self, axes: Any) -> None:  # noqa: ANN401
        axes.legend(fontsize=8)
