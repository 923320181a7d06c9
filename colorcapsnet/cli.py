"""The command line. Each verb parses, imports what it needs, calls one function, and prints."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from colorcapsnet.errors import ColorCapsNetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from colorcapsnet.report import Cell

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_PATH = click.Path(path_type=Path)


class _Failure(click.ClickException):
    def __init__(self, error: ColorCapsNetError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc]


class _Verbs(click.Group):
    """Errors of this package end in one line and their exit code."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        try:
            return super().invoke(ctx)
        except ColorCapsNetError as error:
            raise _Failure(error) from error


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="colorcapsnet")
def main() -> None:
    """Turn gray photographs into color with capsule networks."""


@main.command()
@click.argument("pictures", nargs=-1, required=True, type=_PATH)
@click.option("-o", "--output", type=_PATH, help="File or folder to write to; by default beside the input.")
@click.option("--model", default=None, metavar="NAME|FILE.onnx", help="Which network; see `colorcapsnet models`.")
@click.option("--as-published", is_flag=True, help="As the paper does: lightness redrawn, patches side by side.")
@click.option("--stride", type=click.IntRange(1), help="Pixels between patches: smaller is smoother, slower.")
@click.option("--format", "to", type=click.Choice(["png", "jpg", "tiff", "webp"]), help="Write another format.")
@click.option("--force", is_flag=True, help="Replace files that are there already.")
def colorize(
    pictures: tuple[Path, ...],
    output: Path | None,
    model: str | None,
    as_published: bool,
    stride: int | None,
    to: str | None,
    force: bool,
) -> None:
    """Color PICTURES: files, and folders with all below them.

    A folder's tree is kept below the output folder. Pictures that are in color are made gray first. Nothing is
    overwritten without --force; in folders, pictures that are done already are skipped.
    """
    from colorcapsnet import batch, zoo
    from colorcapsnet.colorizer import Colorizer

    jobs = batch.plan(pictures, output, format=to, overwrite=force)
    try:
        colorizer = Colorizer(model or zoo.DEFAULT, as_published=as_published, stride=stride)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--stride") from None
    outcomes = batch.colorize_all(jobs, colorizer, overwrite=force)
    for outcome in outcomes:
        if outcome.status == "done":
            click.echo(click.format_filename(outcome.job.target))
    click.echo(batch.summary(outcomes), err=True)
    if any(outcome.status == "failed" for outcome in outcomes):
        sys.exit(1)


@main.command()
@click.argument("truth", type=_FOLDER)
@click.argument("outputs", required=False, type=_FOLDER)
@click.option("--model", "models", multiple=True, metavar="NAME|FILE.onnx", help="A network to score; may be repeated.")
@click.option("--as-published", is_flag=True, help="Score each network in the paper's manner, too.")
@click.option("--gray", type=click.Choice(["rec601", "l"]), default="rec601", help="What the networks are given.")
@click.option("--resize", type=click.IntRange(11), help="Make every picture a square of this side first.")
@click.option("--ssim", type=click.Choice(["uniform", "gaussian"]), default="uniform")
@click.option("--colorfulness", type=click.Choice(["signed", "absolute"]), default="signed")
@click.option("--json", "as_json", type=_FILE, help="Write everything, with a row for each picture.")
@click.option("--csv", "as_csv", type=_FILE, help="Write the rows of all pictures.")
@click.option("--md", "as_md", type=_FILE, help="Write the tables.")
def evaluate(
    truth: Path,
    outputs: Path | None,
    models: tuple[str, ...],
    as_published: bool,
    as_json: Path | None,
    as_csv: Path | None,
    as_md: Path | None,
    **protocol: Any,  # noqa: ANN401
) -> None:
    """Score networks, or a folder of OUTPUTS, on the photographs of the folder TRUTH.

    Rows for the gray picture itself, a constant tint, and each picture's mean color stand beside them.
    """
    from colorcapsnet import evaluate as scores
    from colorcapsnet import report

    if (outputs is None) == (not models):
        raise click.UsageError("give either a folder of OUTPUTS or --model NAME")
    rules = scores.Protocol(**protocol)
    if outputs is not None:
        evaluation = scores.evaluate_outputs(truth, outputs, rules, command=_command())
    else:
        evaluation = scores.evaluate_models(truth, _colorizers(models, as_published), rules, command=_command())
    for write, path in ((scores.save_json, as_json), (scores.to_csv, as_csv), (scores.to_markdown, as_md)):
        if path is not None:
            write(evaluation, path)
    click.echo(report.markdown(evaluation))


def _colorizers(models: Sequence[str], as_published: bool) -> dict[str, Any]:
    from colorcapsnet.colorizer import Colorizer

    rows = {Path(model).stem: Colorizer(model) for model in models}
    if as_published:
        rows |= {f"{Path(model).stem}, as published": Colorizer(model, as_published=True) for model in models}
    return rows


@main.command()
@click.option("--json", "as_json", is_flag=True, help="The whole cards, for programs.")
def models(as_json: bool) -> None:
    """List the networks that are installed."""
    from colorcapsnet import report, zoo

    cards = [(zoo.find(name), zoo.Card.load(zoo.find(name).with_suffix(".json"))) for name in zoo.names()]
    if as_json:
        click.echo(json.dumps([{**vars(card), "bytes": path.stat().st_size} for path, card in cards], indent=1))
    else:
        click.echo(report.cards([(card, path.stat().st_size) for path, card in cards]))


@main.group()
def report() -> None:
    """Draw tables and sheets."""


@report.command()
@click.argument("truth", type=_FOLDER)
@click.argument("outputs", type=_FOLDER)
@click.option("-o", "--output", type=_FILE, required=True, help="The picture to write.")
@click.option("--pick", type=click.IntRange(1), help="Only so many: from the best by skill to the worst, evenly.")
def sheet(truth: Path, outputs: Path, output: Path, pick: int | None) -> None:
    """Show the photographs of TRUTH as gray | color | truth, the colors from the folder OUTPUTS."""
    from colorcapsnet import evaluate, report

    pairs = evaluate.pairs(truth, outputs)
    shown = evaluate.spread_by_skill(pairs, pick) if pick else pairs
    report.sheet(("gray", "color", "truth"), _sheet_rows(shown), output)
    click.echo(output)


def _sheet_rows(pairs: Sequence[tuple[str, Path, Path]]) -> Iterator[Sequence[Cell]]:
    import numpy as np

    from colorcapsnet import color, evaluate, metrics
    from colorcapsnet.report import Cell

    for name, photograph, colored in pairs:
        rgb, output = evaluate.read(photograph), evaluate.read(colored)
        gray = np.dstack([np.asarray(color.gray(rgb), np.uint8)] * 3)
        shown = (
            (gray, f"{metrics.psnr(rgb, gray):.1f} dB"),
            (output, f"{metrics.psnr(rgb, output):.1f} dB"),
            (rgb, name),
        )
        yield [Cell(picture, caption) for picture, caption in shown]


@main.command()
@click.argument("sets", nargs=-1, required=True, metavar="SET...")
@click.option("-o", "--output", type=_FOLDER, required=True, help="Folder of the shards.")
@click.option("--patch", type=click.IntRange(1), default=9, help="Side of the patches.", show_default=True)
@click.option("--every", type=click.IntRange(1), default=1, help="Keep every k-th patch.", show_default=True)
@click.option("--shrink", type=click.FloatRange(1), default=1, help="Make pictures smaller first.", show_default=True)
@click.option("--hold-out", type=click.IntRange(0), default=20, help="Leave 1 picture in N out.", show_default=True)
@click.option("--held", is_flag=True, help="Prepare only the held part, for validation.")
@click.option("--avoid", multiple=True, metavar="SET", help="Leave near duplicates of this set's pictures out.")
@click.option("--jobs", type=click.IntRange(1), help="Processes; by default one a core.")
def prepare(
    sets: tuple[str, ...],
    output: Path,
    patch: int,
    every: int,
    shrink: float,
    hold_out: int,
    held: bool,
    avoid: tuple[str, ...],
    jobs: int | None,
) -> None:
    """Cut the photographs of each SET into training patches, on disk.

    A SET is a folder, a .tar, or KIND:PATH with a kind of ilsvrc, div2k-train, div2k-val, bsds500, folder, tar. A run
    that was stopped goes on where it was.
    """
    from colorcapsnet.learn import shards
    from colorcapsnet.learn.data import Sampling

    preparation = shards.Preparation(
        tuple((spec, hold_out) for spec in sets),
        Sampling(patch, every, shrink),
        "held" if held else "training",
        avoid,
    )
    done = shards.prepare(preparation, output, jobs)
    click.echo(shards.describe(done))


@main.command()
@click.argument("name", required=False)
@click.option("--list", "show", is_flag=True, help="Print every recipe: what it reproduces, its cost, its command.")
@click.option("--data", type=_FOLDER, help="Folder that holds the data sets.")
@click.option("--shards", type=_FOLDER, default=Path("shards"), help="Where prepared sets go.", show_default=True)
@click.option("--runs", type=_FOLDER, default=Path("runs"), help="Where checkpoints go.", show_default=True)
@click.option("--epochs", type=click.IntRange(1), help="Instead of the recipe's; also prolongs a finished run.")
@click.option("--estimate", "only_estimate", is_flag=True, help="Say what it would cost, and stop.")
@click.option("--vgg", type=_FILE, help="Checkpoint of VGG-19, whose first two layers begin the network.")
def train(
    name: str | None,
    show: bool,
    data: Path | None,
    shards: Path,
    runs: Path,
    epochs: int | None,
    only_estimate: bool,
    vgg: Path | None,
) -> None:
    """Train the recipe NAME, or go on with it: prepare its data, say what it costs, then run."""
    _need_training()
    from colorcapsnet.learn import recipes
    from colorcapsnet.learn.train import estimate

    if show:
        click.echo(recipes.describe())
        return
    if name not in recipes.RECIPES or data is None:
        raise click.UsageError(f"give --data and a recipe: {', '.join(recipes.RECIPES)}")
    recipe = recipes.RECIPES[name]
    if epochs:
        recipe = replace(recipe, schedule=replace(recipe.schedule, epochs=epochs))
    sets = recipes.sets_of(recipe, data, shards)
    click.echo(f"{recipe.name}: {estimate(recipe.model, recipe.schedule, sets[0])}", err=True)
    if only_estimate:
        return
    try:
        final = recipes.run(recipe, sets, runs, vgg)
    except KeyboardInterrupt:
        raise click.ClickException(f"stopped; the same command goes on from {runs / recipe.name}") from None
    click.echo(json.dumps(final.history[-1]))


@main.command()
@click.argument("checkpoint", type=_FILE)
@click.option("--name", required=True, help="Of the model.")
@click.option("--pictures", type=_FOLDER, required=True, help="Photographs it never saw: graph and network are "
              "compared on them, and the card's scores are measured on them.")  # fmt: skip
@click.option("-o", "--output", type=_FOLDER, default=Path(), help="Where NAME.onnx and NAME.json go.")
def export(checkpoint: Path, name: str, pictures: Path, output: Path) -> None:
    """Turn a CHECKPOINT into NAME.onnx and its card NAME.json, which `colorize --model NAME.onnx` takes."""
    _need_training()
    from colorcapsnet import evaluate, report, zoo
    from colorcapsnet.learn.export import export as write

    model = write(checkpoint, output, name, pictures)
    scores = evaluate.evaluate_models(pictures, _colorizers([str(model)], as_published=True), command=_command())
    card = zoo.Card.load(model.with_suffix(".json"))
    set_name = "/".join(pictures.resolve().parts[-2:])
    kept = {"manifest": scores["set"]["manifest"], "rows": scores["summary"]}
    replace(card, scores={set_name: kept}).save(model.with_suffix(".json"))
    click.echo(report.markdown(scores))
    click.echo(model)


def _need_training() -> None:
    from colorcapsnet.errors import need

    for module in ("torch", "safetensors", "tensorboard", "onnx"):
        need(module, "train")


def _command() -> str:
    return shlex.join(["colorcapsnet", *sys.argv[1:]])
