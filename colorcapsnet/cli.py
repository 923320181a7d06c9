"""The command line. Each verb parses, imports what it needs, calls one function, and prints."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import traceback
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from colorcapsnet.errors import ColorCapsNetError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from click.shell_completion import CompletionItem

    from colorcapsnet.batch import Colorizes
    from colorcapsnet.colorizer import Colorizer
    from colorcapsnet.hints import Hints
    from colorcapsnet.learn.checkpoints import Checkpoint
    from colorcapsnet.remote import Place
    from colorcapsnet.report import Cell


class _Path(click.Path):
    """A path. An empty one is a variable that a script forgot to set, not the folder that one is in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        if value == "":
            self.fail("the name is empty", param, ctx)
        return super().convert(value, param, ctx)


class _Place(_Path):
    """A path, or a URL."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        from colorcapsnet import remote

        place = remote.place(value)
        return place if isinstance(place, remote.Url) else super().convert(value, param, ctx)


_FOLDER = _Path(file_okay=False, path_type=Path)
_FILE = _Path(dir_okay=False, path_type=Path)
_PATH = _Path(path_type=Path)
_PLACE = _Place(path_type=Path)
_VIVID = ", vivid"
_PIPE = Path("-")


class _Failure(click.ClickException):
    def __init__(self, error: ColorCapsNetError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc]


def _unwritten(error: OSError) -> OutputError:
    sys.stdout = None  # Python would try to flush it once more, and say so
    return OutputError(f"standard output cannot be written ({error.strerror}): send it elsewhere")


class _Model(click.ParamType[str]):
    """A network's name or file; the shell completes both."""

    name = "model"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "NAME|FILE.onnx"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from colorcapsnet import zoo

        named = [CompletionItem(name) for name in zoo.names() if name.startswith(incomplete)]
        return named or [CompletionItem(incomplete, type="file")]


_MODEL = _Model()


class _Verbs(click.Group):
    """Errors of this package, and of standard output, end in one line and their exit code."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        try:
            return super().invoke(ctx)
        except ColorCapsNetError as error:
            raise _Failure(error) from error
        except OSError as error:
            *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
            if innermost.f_code is not click.echo.__code__ or isinstance(error, BrokenPipeError):
                raise
            raise _Failure(_unwritten(error)) from error


def _address(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Of a cluster; a picture that comes right behind --cluster would be taken for one."""
    if value is None or re.fullmatch(r"auto|local|[\w.\[\]:-]+:\d+", value):
        return value
    if value.startswith("ray://"):
        raise click.BadParameter("ray:// cannot carry this work: give HOST:PORT on a machine of the cluster")
    raise click.BadParameter(f"{value} is no address (auto, local or HOST:PORT): put --cluster at the end")


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="colorcapsnet")
def main() -> None:
    """Turn gray photographs into color with capsule networks."""


@main.command()
@click.argument("pictures", nargs=-1, required=True, type=_PLACE)
@click.option("-o", "--output", type=_PLACE, help="File or folder to write to; by default beside the input.")
@click.option("--model", type=_MODEL, help="Which network; see `colorcapsnet models`.")
@click.option("--strength", type=click.FloatRange(0, 2), help="0 is gray, 1 what is likely (the default), 2 vivid.")
@click.option("--vivid", is_flag=True, help="As --strength 2.")
@click.option("--reference", type=_FILE, metavar="PICTURE", help="Color as this picture in color: what is in both.")
@click.option("--recolor", multiple=True, metavar="WHERE=#RRGGBB", help="3=#a03020 repaints a capsule by its number, "
              "120,340=#a03020 the connected part around a pixel; may be repeated.")  # fmt: skip
@click.option("--hints", "hint_file", type=_FILE, metavar="FILE.json|FILE.png", help="Colors at points; see "
              "`colorcapsnet suggest-hints`.")  # fmt: skip
@click.option("--do-no-harm", type=click.FloatRange(0, 1), metavar="T", help="Fade colors to gray that are less sure "
              "than T, 0 to 1.")  # fmt: skip
@click.option("--candidates", type=click.IntRange(1, 128), metavar="N", help="Write N pictures that may be true, "
              "NAME-1 to NAME-N, and NAME-sheet.jpg.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), help="Of the candidates; 0 by default.")
@click.option("--confidence", type=_FILE, metavar="MAP.png", help="Write how sure the colors are: white is sure.")
@click.option("--capsules", type=_FILE, metavar="MAP.png", help="Write the soft regions with their numbers.")
@click.option("--chroma-only", type=click.Choice(["layer", "ab"]), help="Write the color alone: a layer of 16 bits "
              "for Linear Light in editors, or a and b of CIE Lab as a float TIFF.")  # fmt: skip
@click.option("--as-published", is_flag=True, help="As the paper does: lightness redrawn, patches side by side.")
@click.option("--stride", type=click.IntRange(1), help="Pixels between patches: smaller is smoother, slower.")
@click.option("--format", "to", type=click.Choice(["png", "jpg", "tiff", "webp", "avif"]), help="Write another format.")
@click.option("--only", multiple=True, metavar="PATTERN", help="Color pictures that match, by name ('*_master.tif') or "
              "by path below the folder ('box1/*'); may be repeated.")  # fmt: skip
@click.option("--skip", multiple=True, metavar="PATTERN", help="Leave out pictures that match; may be repeated.")
@click.option("--no-provenance", is_flag=True, help="Do not write into the metadata what colored the picture.")
@click.option("--jobs", "at_once", type=click.IntRange(1), help="Pictures at once; by default 2 and one a core.")
@click.option("--report", "report_file", type=_PLACE, metavar="FILE.json", help="Write what became of each picture.")
@click.option("--cluster", is_flag=False, flag_value="auto", metavar="[ADDRESS]", callback=_address, help="Color on a "
              "Ray cluster: that at HOST:PORT, or the one that this machine is in, or all its cores.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say which files would be written, and stop.")
@click.option("--force", is_flag=True, help="Replace files that are there already.")
def colorize(
    pictures: tuple[Place, ...],
    output: Place | None,
    model: str | None,
    strength: float | None,
    vivid: bool,
    reference: Path | None,
    recolor: tuple[str, ...],
    hint_file: Path | None,
    do_no_harm: float | None,
    candidates: int | None,
    seed: int | None,
    confidence: Path | None,
    capsules: Path | None,
    chroma_only: str | None,
    as_published: bool,
    stride: int | None,
    to: str | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    no_provenance: bool,
    at_once: int | None,
    report_file: Place | None,
    cluster: str | None,
    dry_run: bool,
    force: bool,
) -> None:
    """Color PICTURES: files, and folders with all below them, also by URL (s3://…); - is one from standard input.

    A folder's tree is kept below the output folder. Pictures that are in color are made gray first. Nothing is
    overwritten without --force; in folders, pictures that are done already are skipped. With -o - the picture goes to
    standard output.
    """
    from colorcapsnet import batch, decide, layers, remote

    hints = _hints(hint_file, reference, recolor, 2.0 if vivid else strength, do_no_harm)
    if as_published and hints.strength != 1:
        raise click.UsageError("the published manner has no strength")
    if as_published and chroma_only:
        raise click.UsageError("the published manner redraws lightness: its colors cannot be had alone")
    if seed is not None and candidates is None:
        raise click.UsageError("--seed is for --candidates N")
    if chroma_only:
        to = layers.format_of(chroma_only, output, to)
    if _PIPE in (*pictures, output):
        not_one = candidates or confidence or capsules or chroma_only == "ab"
        if len(pictures) > 1 or not_one or report_file or cluster or dry_run or only or skip:
            raise click.UsageError(
                "through a pipe goes one picture, without candidates, maps, ab, --report, --cluster, --dry-run, --only "
                "or --skip"
            )
        colorizer = _colorizer(model, as_published, stride)
        told = None if no_provenance else decide.provenance(colorizer, hints, chroma_only=chroma_only)
        decided = decide.with_decisions(colorizer, hints, decide.Asked(chroma_only=chroma_only))
        _through_pipe(pictures[0], output, decided, hints.strength, told, to, force)
        return
    jobs = batch.plan(
        pictures,
        output,
        format=to,
        overwrite=force or candidates is not None,
        only=only,
        skip=skip,
        called=chroma_only or "color",
    )
    jobs, asked = decide.plan(
        jobs,
        hints,
        alone=len(pictures) == 1 and not remote.is_folder(pictures[0]),
        candidates=candidates,
        seed=seed or 0,
        confidence=confidence,
        capsules=capsules,
        chroma_only=chroma_only,
        overwrite=force,
    )
    if cluster and asked.files:
        raise click.UsageError("candidates and maps are of one picture, and made here: leave --cluster out")
    if report_file:
        if remote.is_folder(report_file):
            raise click.UsageError(f"--report {_shown(report_file)} is a folder: give the name of a file")
        batch.refuse_unwritable({report_file.parent})
    if dry_run:
        for job in batch.left(jobs, overwrite=force):
            for path in (job.target, *asked.files):
                click.echo(f"{_shown(job.source)} -> {_shown(path)}")
        return
    threads = 1 if cluster else batch.threads(len(jobs), at_once or batch.PICTURES_AT_ONCE)
    colorizer = _colorizer(model, as_published, stride, threads)
    decided = decide.with_decisions(colorizer, hints, asked, overwrite=force)
    drawn = candidates and (seed or 0)
    told = None if no_provenance else decide.provenance(colorizer, hints, seed=drawn, chroma_only=chroma_only)
    options: dict[str, Any] = {"strength": hints.strength, "overwrite": force, "told": told}
    if cluster:
        from colorcapsnet import cluster as machines

        outcomes = machines.colorize_all(jobs, decided, address=cluster, workers=at_once, **options)
    else:
        outcomes = batch.colorize_all(jobs, decided, at_once=at_once or batch.PICTURES_AT_ONCE, **options)
    if report_file:
        batch.write_report(outcomes, report_file, command=_command(), told=told)
    for outcome in outcomes:
        if outcome.status == "done":
            for path in (outcome.job.target, *asked.files):
                click.echo(_shown(path))
    click.echo(f"{colorizer}: {batch.summary(outcomes)}", err=True)
    if any(outcome.status == "failed" for outcome in outcomes):
        sys.exit(1)


def _colorizer(model: str | None, as_published: bool, stride: int | None, threads: int | None = None) -> Colorizer:
    from colorcapsnet import zoo
    from colorcapsnet.colorizer import Colorizer

    try:
        return Colorizer(model or zoo.DEFAULT, as_published=as_published, stride=stride, threads=threads)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _shown(place: Place) -> str:
    return click.format_filename(str(place))


def _through_pipe(
    source: Place,
    output: Place | None,
    colorizer: Colorizes,
    strength: float,
    told: dict[str, str] | None,
    to: str | None,
    force: bool,
) -> None:
    """One picture from standard input, or to standard output, or both."""
    from colorcapsnet import batch, pictures, remote
    from colorcapsnet.errors import PictureError

    content = sys.stdin.buffer.read() if source == _PIPE else None
    if content == b"":
        raise PictureError("nothing came through the pipe: give a whole picture on standard input")
    named = to if output in (None, _PIPE) else to or pictures.SUFFIXES.get(output.suffix.lower())
    with remote.reading(source) as here:
        given = here if content is None else content
        found, first = batch.in_color(given, named, colorizer, strength, told)
        colored = cast("Iterator[pictures.Picture]", found)
        kind = named or (first.format if first.format in pictures.FORMATS else "png")
        if first.pages > 1 and not first.format == kind == "tiff":
            click.echo(f"only the first of {first.pages} pages", err=True)
        if output not in (None, _PIPE):
            with remote.writing(output, overwrite=force) as there:
                pictures.write_pages(colored, there, format=to, overwrite=force)
            click.echo(_shown(output))
            return
        encoded = pictures.encode_pages(colored, str(kind))
    try:
        sys.stdout.buffer.write(encoded)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        sys.stdout = None  # Python would try to flush it once more, and say so
        raise OutputError("the other end of the pipe closed before the picture was written") from None
    except OSError as error:
        raise _unwritten(error) from None


def _hints(
    file: Path | None,
    reference: Path | None,
    recolor: tuple[str, ...],
    strength: float | None,
    do_no_harm: float | None,
) -> Hints:
    """What the options decide, over what the file does."""
    from colorcapsnet import hints

    told = hints.read(file) if file else hints.NOTHING
    over = {"reference": reference, "strength": strength, "do_no_harm": do_no_harm}
    options: dict[str, Any] = {name: value for name, value in over.items() if value is not None}
    return replace(told, recolor=[*told.recolor, *map(hints.recolor_of, recolor)], **options)


@main.command()
@click.argument("source", type=_PATH, metavar="FILM")
@click.option("-o", "--output", type=_PATH, help="File to write (.mp4, .mov, .mkv); by default FILM-color beside it.")
@click.option("--model", default=None, metavar="NAME|FILE.onnx", help="Which network; see `colorcapsnet models`.")
@click.option("--strength", type=click.FloatRange(0, 2), help="0 is gray, 1 what is likely (the default), 2 vivid.")
@click.option("--reference", type=_FILE, metavar="PICTURE", help="Color as this picture in color: what is in both.")
@click.option("--recolor", multiple=True, metavar="N=#RRGGBB", help="Repaint a capsule by its number; may be repeated.")
@click.option("--do-no-harm", type=click.FloatRange(0, 1), metavar="T", help="Fade colors to gray that are less sure.")
@click.option("--hints", "hint_files", multiple=True, type=_FILE, metavar="FILE.json", help="What was decided; with a "
              '"time" in seconds it holds for the shot seen then; may be repeated.')  # fmt: skip
@click.option("--lossless", is_flag=True, help="Write FFV1 in RGB (.mkv) instead of H.264.")
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
def video(
    source: Path,
    output: Path | None,
    model: str | None,
    strength: float | None,
    reference: Path | None,
    recolor: tuple[str, ...],
    do_no_harm: float | None,
    hint_files: tuple[Path, ...],
    lossless: bool,
    force: bool,
) -> None:
    """Color a FILM in colors that hold through a shot, with its sound; - is a pipe.

    A run that was stopped goes on where it was when it is begun again. With -o - frames go to standard output as
    YUV4MPEG2, for ffmpeg, without sound.
    """
    from colorcapsnet import decide, hints
    from colorcapsnet import video as films
    from colorcapsnet.errors import OutputError

    told = [hints.read(path) for path in hint_files]
    every = _hints(None, reference, recolor, strength, do_no_harm)
    for each in told:
        every = every if each.time is not None else hints.over(every, each)
    timed = [each for each in told if each.time is not None]
    if source == _PIPE and output not in (None, _PIPE):
        raise click.UsageError("what comes through a pipe goes to a pipe: add `-o - | ffmpeg -i - FILM.mp4`")
    colorizer = _colorizer(model, as_published=False, stride=None, threads=1)
    if _PIPE in (source, output):
        try:
            given = sys.stdin.buffer if source == _PIPE else source
            films.through_pipe(given, sys.stdout.buffer, colorizer, hints=every, timed=timed)
        except BrokenPipeError:
            sys.stdout = None  # Python would try to flush it once more, and say so
            raise OutputError("the other end of the pipe closed before the film was written") from None
        return
    target = output or films.beside(source)
    try:
        done = films.colorize_video(
            source,
            target,
            colorizer,
            hints=every,
            timed=timed,
            lossless=lossless,
            overwrite=force,
            told=decide.provenance(colorizer, every),
        )
    except KeyboardInterrupt:
        raise click.ClickException(f"stopped; the same command goes on from {target}.parts") from None
    click.echo(click.format_filename(target))
    click.echo(f"{colorizer}: {done}", err=True)


@main.command()
@click.argument("source", type=_PATH, metavar="INPUT")
@click.argument("output", type=_PATH)
@click.option("--only", multiple=True, metavar="PATTERN", help="Of a folder, as `colorcapsnet colorize` takes it.")
@click.option("--skip", multiple=True, metavar="PATTERN", help="Likewise.")
def verify(source: Path, output: Path, only: tuple[str, ...], skip: tuple[str, ...]) -> None:
    """Prove that OUTPUT has kept the lightness of INPUT, both pictures or both folders."""
    from colorcapsnet import verify as proof

    found = [proof.verify(*pair) for pair in proof.pairs(source, output, only=only, skip=skip)]
    for verdict in found:
        click.echo(verdict.message)
    if failed := sum(not verdict.kept for verdict in found):
        raise click.ClickException(f"{failed} of {len(found)} did not keep their lightness")


@main.command()
@click.argument("picture", type=_FILE)
@click.option("-n", "count", type=click.IntRange(1), default=5, help="How many points.", show_default=True)
@click.option("-o", "--output", type=_FILE, metavar="FILE.json", help="Write a file of hints to fill in.")
@click.option("--map", "as_map", type=_FILE, metavar="MAP.png", help="Write the picture with the points numbered.")
@click.option("--hints", "hint_file", type=_FILE, metavar="FILE.json|FILE.png", help="What is known already.")
@click.option("--model", type=_MODEL, help="Which network; see `colorcapsnet models`.")
@click.option("--force", is_flag=True, help="Replace files that are there already.")
def suggest_hints(
    picture: Path,
    count: int,
    output: Path | None,
    as_map: Path | None,
    hint_file: Path | None,
    model: str | None,
    force: bool,
) -> None:
    """Say where in PICTURE one color, if you know it, would help most.

    Prints x, y and the present color of each point, the most helpful first. In the file of hints, put a color like
    "#a03020" in place of a null; points that you leave are not used. Then: colorcapsnet colorize PICTURE --hints FILE.
    """
    from colorcapsnet import decide, hints, zoo
    from colorcapsnet.colorizer import Colorizer

    told = hints.read(hint_file) if hint_file else hints.NOTHING
    decide.refuse_losses(picture, [as_map] if as_map else [], output, overwrite=force)
    canvas = Colorizer(model or zoo.DEFAULT).open(picture)
    suggested = decide.suggest(canvas, count, told)
    if as_map:
        decide.write_drawn(suggested.drawn, as_map, overwrite=force)
    if output:
        hints.write(suggested.hints, output, overwrite=force)
    click.echo(suggested)


@main.command()
@click.option("--host", default="127.0.0.1", help="Address to listen at; 0.0.0.0 for all.", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="0 for any free one.", show_default=True)
@click.option("--domain", "domains", multiple=True, metavar="NAME", help="Name by which others reach it; may be "
              "repeated. Addresses and localhost need none.")  # fmt: skip
@click.option("--max-megapixels", type=click.IntRange(1, 500), default=100, help="Of one picture.", show_default=True)
@click.option("--max-pictures", type=click.IntRange(1), default=64, help="Held at once.", show_default=True)
@click.option("--model", default=None, metavar="NAME|FILE.onnx", help="Which network; see `colorcapsnet models`.")
def serve(
    host: str, port: int, domains: tuple[str, ...], max_megapixels: int, max_pictures: int, model: str | None
) -> None:
    """Show the page that colors pictures, and answer programs by HTTP, until Ctrl-C.

    By default only this machine is served. Pictures stay in memory and are forgotten after half an hour.
    """
    from colorcapsnet.errors import need

    for module in ("fastapi", "uvicorn"):
        need(module, "web")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # requests share the cores; small products are slower on many
    from colorcapsnet.serve.app import application
    from colorcapsnet.serve.bounds import Limits
    from colorcapsnet.serve.run import run

    limits = Limits(pixels=max_megapixels * 1_000_000, pictures=max_pictures)
    app = application(_colorizer(model, False, None), limits, domains)
    run(app, host, port, lambda address: click.echo(f"{address} (Ctrl-C stops it)"))


@main.command()
@click.argument("truth", type=_FOLDER)
@click.argument("outputs", required=False, type=_FOLDER)
@click.option("--model", "models", multiple=True, type=_MODEL, help="A network to score; may be repeated.")
@click.option("--as-published", is_flag=True, help="Score each patch network in the paper's manner, too.")
@click.option("--also", multiple=True, type=_FOLDER, metavar="FOLDER", help="One more set; may be repeated.")
@click.option("--against", multiple=True, metavar="ROW", help="Compare every row with this one, too.")
@click.option("--uses", "as_uses", type=_FILE, help="Write what capsules are for, measured on TRUTH, as JSON.")
@click.option("--segments", type=_FILE, help="Human segmentations of TRUTH, a tar of NAME_ANNOTATOR.png, for --uses.")
@click.option("--jobs", type=click.IntRange(1), default=1, help="Pictures at a time.", show_default=True)
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
    also: tuple[Path, ...],
    against: tuple[str, ...],
    as_uses: Path | None,
    segments: Path | None,
    jobs: int,
    as_json: Path | None,
    as_csv: Path | None,
    as_md: Path | None,
    **protocol: Any,  # noqa: ANN401
) -> None:
    """Score networks, or a folder of OUTPUTS, on the photographs of the folder TRUTH.

    Rows for the gray picture itself, a constant tint, and each picture's mean color stand beside them. A network that
    sees whole photographs has a second row for its vivid colors.
    """
    from colorcapsnet import evaluate as scores
    from colorcapsnet import report, uses

    if (outputs is None) == (not models):
        raise click.UsageError("give either a folder of OUTPUTS or --model NAME")
    if outputs is not None and (also or against or as_uses):
        raise click.UsageError("--also, --against and --uses need --model NAME instead of OUTPUTS")
    rules = scores.Protocol(**protocol)
    asked: dict[str, Any] = {"jobs": jobs, "command": _command()}
    rows = _colorizers(models, as_published, 1 if jobs > 1 else None)
    seeing = {name: row for name, row in rows.items() if getattr(row, "card", None) and row.card.kind == "photograph"}
    if as_uses is not None and not seeing:
        raise click.UsageError("--uses needs a network that sees whole photographs")
    people = uses.segmentations(segments) if as_uses and segments else None
    if outputs is not None:
        evaluation = scores.evaluate_outputs(truth, outputs, rules, **asked)
    elif also:
        sets = scores.name_sets([truth, *also])
        evaluation = scores.evaluate_sets(sets, rows, rules, against=against, **asked)
    else:
        evaluation = scores.evaluate_models(truth, rows, rules, against=against, **asked)
    for write, path in ((scores.save_json, as_json), (scores.to_csv, as_csv), (scores.to_markdown, as_md)):
        if path is not None:
            write(evaluation, path)
    click.echo(report.markdown(evaluation))
    if as_uses is not None:
        measured = {name: uses.measure(truth, row, segments=people, **asked) for name, row in seeing.items()}
        scores.save_json({"uses": {scores.set_name(truth): measured}}, as_uses)
        click.echo(report.uses_table(measured))


def _colorizers(models: Sequence[str], as_published: bool, threads: int | None = None) -> dict[str, Any]:
    """Rows by name: each model, its vivid colors if it has them, its published manner if asked for."""
    from colorcapsnet.colorizer import Colorizer
    from colorcapsnet.evaluate import AtStrength

    rows: dict[str, Any] = {}
    for model in models:
        name, colorizer = Path(model).stem, Colorizer(model, threads=threads)
        rows[name] = colorizer
        if colorizer.card.kind == "photograph":
            rows[f"{name}{_VIVID}"] = AtStrength(colorizer, 2.0)
        elif as_published:
            rows[f"{name}, as published"] = Colorizer(model, as_published=True, threads=threads)
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
@click.argument("outputs", required=False, type=_FOLDER)
@click.option("-o", "--output", type=_FILE, required=True, help="The picture to write.")
@click.option("--model", "models", multiple=True, type=_MODEL, help="A network to show; may be repeated.")
@click.option("--vivid", is_flag=True, help="Show the vivid colors of networks that have them, too.")
@click.option("--pick", type=click.IntRange(1), help="Only so many: from the best by skill, of the last model, to "
              "the worst, evenly.")  # fmt: skip
def sheet(
    truth: Path, outputs: Path | None, output: Path, models: tuple[str, ...], vivid: bool, pick: int | None
) -> None:
    """Show the photographs of TRUTH as gray | color | truth, the colors from the folder OUTPUTS or from networks."""
    from colorcapsnet import evaluate, report

    if (outputs is None) == (not models):
        raise click.UsageError("give either a folder of OUTPUTS or --model NAME")
    if outputs is not None:
        files = {name: file for name, _, file in evaluate.pairs(truth, outputs)}
        ways: dict[str, Any] = {"color": lambda name, gray: evaluate.read(files[name])}
    else:
        rows = {name: row for name, row in _colorizers(models, False).items() if vivid or not name.endswith(_VIVID)}
        ways = {name: lambda _, gray, row=row: row.colorize(gray) for name, row in rows.items()}
    named = evaluate.photographs(truth)
    judge = ways[[name for name in ways if not name.endswith(_VIVID)][-1]]
    shown = evaluate.spread_by_skill(named, judge, pick) if pick else list(named)
    report.sheet(("gray", *ways, "truth"), _sheet_rows({name: named[name] for name in shown}, ways), output)
    click.echo(output)


def _sheet_rows(named: dict[str, Path], ways: dict[str, Any]) -> Iterator[Sequence[Cell]]:
    import numpy as np

    from colorcapsnet import color, evaluate, metrics
    from colorcapsnet.report import Cell

    for name, photograph in named.items():
        rgb = evaluate.read(photograph)
        gray = np.asarray(color.gray(rgb), np.uint8)
        shown = [np.dstack([gray] * 3), *(way(name, gray) for way in ways.values())]
        yield [*(Cell(picture, f"{metrics.psnr(rgb, picture):.1f} dB") for picture in shown), Cell(rgb, name)]


@report.command()
@click.argument("pictures", nargs=-1, required=True, type=_FILE)
@click.option("-o", "--output", type=_FILE, required=True, help="The picture to write.")
@click.option("--model", type=_MODEL, help="Which network; see `colorcapsnet models`.")
def capsules(pictures: tuple[Path, ...], output: Path, model: str | None) -> None:
    """Show what the capsules of a network make of PICTURES: gray | capsules | mean | vivid | confidence."""
    from colorcapsnet import report, zoo
    from colorcapsnet.colorizer import Colorizer

    colorizer = Colorizer(model or zoo.DEFAULT)
    rows = (report.capsule_row(colorizer.open(picture), picture.name) for picture in pictures)
    report.sheet(report.CAPSULE_COLUMNS, rows, output)
    click.echo(output)


@report.command()
@click.argument("scores", nargs=-1, required=True, type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.option("-o", "--output", type=_FILE, required=True, help="The Markdown file to write.")
@click.option("--model", default="deep", help="Whose rows are judged.", show_default=True)
def targets(scores: tuple[Path, ...], output: Path, model: str) -> None:
    """Compare the JSON files of `evaluate --also` and `evaluate --uses` with what a model should reach."""
    from colorcapsnet import evaluate, report

    table = report.targets(report.Found.read([evaluate.load_json(path) for path in scores], model))
    evaluate.write_text(output, table)
    click.echo(table)


@report.command()
@click.option("--out", "output", type=_FOLDER, required=True, help="Folder of the report; a run that was stopped goes "
              "on there.")  # fmt: skip
@click.option("--data", type=_FOLDER, help="Folder of ILSVRC2012 and DIV2K, or of the stand-ins.")
@click.option("--budget", metavar="10m|3h|full", help="Time that all experiments may take together.")
@click.option("--vgg", type=_FILE, help="Checkpoint of VGG-19, whose first two layers are transferred.")
@click.option("--curves", type=_FILE, help="Losses of a chain that was trained for longer, to show beside.")
@click.option("--draw", "only_draw", is_flag=True, help="Only draw the results that are there.")
def paper(
    output: Path, data: Path | None, budget: str | None, vgg: Path | None, curves: Path | None, only_draw: bool
) -> None:
    """Make every table and figure of the paper again: say what it costs, run, and draw one page."""
    from colorcapsnet import paper_report
    from colorcapsnet.errors import need

    need("matplotlib", "report")
    if not only_draw:
        if data is None or budget is None:
            raise click.UsageError("give --data and --budget, or --draw for the results that are there")
        _need_training()
        from colorcapsnet.colorizer import Colorizer
        from colorcapsnet.learn.reproduce import reproduce

        try:
            reproduce(output, data, budget, Colorizer, vgg=vgg, command=_command(), tell=partial(click.echo, err=True))
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        except KeyboardInterrupt:
            raise click.ClickException(f"stopped; the same command goes on from {output}") from None
    for page in paper_report.draw(output, curves):
        click.echo(page)


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
@click.option("--steps", type=click.IntRange(1), help="Likewise, for networks of the whole photograph.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of a network of the whole photograph: another run of "
              "the same recipe, in a folder of its own.")  # fmt: skip
@click.option("--estimate", "only_estimate", is_flag=True, help="Say what it would cost, and stop.")
@click.option("--vgg", type=_FILE, help="Checkpoint of VGG-19, whose first two layers begin the network.")
def train(
    name: str | None,
    show: bool,
    data: Path | None,
    shards: Path,
    runs: Path,
    epochs: int | None,
    steps: int | None,
    seed: int,
    only_estimate: bool,
    vgg: Path | None,
) -> None:
    """Train the recipe NAME, or go on with it: prepare its data, say what it costs, then run."""
    _need_training()
    from colorcapsnet.learn import deep_recipes, recipes

    if show:
        click.echo(f"{recipes.describe()}\n\n{deep_recipes.describe()}")
        return
    known = [*recipes.RECIPES, *deep_recipes.RECIPES]
    if name not in known or data is None:
        raise click.UsageError(f"give --data and a recipe: {', '.join(known)}")
    of_patches = name in recipes.RECIPES
    if steps if of_patches else epochs:
        raise click.UsageError(f"{name} is counted in {'epochs: --epochs' if of_patches else 'steps: --steps'}")
    if seed and of_patches:
        raise click.UsageError(f"{name} has one run: --seed is for networks of the whole photograph")
    if vgg and not of_patches:
        raise click.UsageError(f"{name} begins with an encoder that knows ImageNet: --vgg is for the paper's network")
    try:
        if of_patches:
            final = _train_patches(name, data, shards, runs, epochs, only_estimate, vgg)
        else:
            final = _train_photographs(name, data, shards, runs, steps, seed, only_estimate)
    except KeyboardInterrupt:
        raise click.ClickException(f"stopped; the same command goes on from where {name} was") from None
    if final is not None:
        click.echo(json.dumps(final.history[-1]))


def _train_patches(
    name: str, data: Path, shards: Path, runs: Path, epochs: int | None, only_estimate: bool, vgg: Path | None
) -> Checkpoint | None:
    from colorcapsnet.learn import recipes
    from colorcapsnet.learn.train import estimate

    recipe = recipes.RECIPES[name]
    if epochs:
        recipe = replace(recipe, schedule=replace(recipe.schedule, epochs=epochs))
    sets = recipes.sets_of(recipe, data, shards)
    click.echo(f"{recipe.name}: {estimate(recipe.model, recipe.schedule, sets[0])}", err=True)
    return None if only_estimate else recipes.run(recipe, sets, runs, vgg)


def _train_photographs(
    name: str, data: Path, shards: Path, runs: Path, steps: int | None, seed: int, only_estimate: bool
) -> Checkpoint | None:
    from colorcapsnet.learn import deep_recipes
    from colorcapsnet.learn.train_photographs import estimate

    recipe = deep_recipes.seeded(deep_recipes.RECIPES[name], seed)
    if steps:
        recipe = deep_recipes.prolonged(recipe, steps)
    mixture, pictures = deep_recipes.sets_of(recipe, data, shards)
    click.echo(f"{recipe.name}: {estimate(recipe.model, recipe.schedule, mixture)}", err=True)
    return None if only_estimate else deep_recipes.run(recipe, (mixture, pictures), runs)


@main.command()
@click.argument("photographs", type=_FOLDER)
@click.option("--name", default="own", help="Of the network that comes out.", show_default=True)
@click.option("-o", "--output", type=_FOLDER, default=Path("finetuned"), help="Folder of NAME.onnx, its card, and "
              "what a stopped run goes on from.", show_default=True)  # fmt: skip
@click.option("--model", type=_MODEL, help="Network to begin with; by default the one that colors.")
@click.option("--steps", type=click.IntRange(1), help="At most; it stops by itself when nothing is gained.")
@click.option("--estimate", "only_estimate", is_flag=True, help="Say what it would cost, and stop.")
def finetune(
    photographs: Path, name: str, output: Path, model: str | None, steps: int | None, only_estimate: bool
) -> None:
    """Teach the network a folder of your own PHOTOGRAPHS; a part that it never sees says what that gained."""
    _need_training()
    from colorcapsnet import evaluate, report, zoo
    from colorcapsnet.learn import finetune as own

    beginning = zoo.find(model or zoo.DEFAULT)
    tuning = own.begin(photographs, output / f"{name}-work", beginning, steps)
    sets = own.sets_of(tuning)
    click.echo(f"{name}: at most {own.estimate(tuning, sets[0])}", err=True)
    if only_estimate:
        return
    try:
        made = own.run(tuning, sets, output, name, _command())
    except KeyboardInterrupt:
        raise click.ClickException(f"stopped; the same command goes on from {tuning.work}") from None
    if made is None:
        raise click.ClickException(
            f"{tuning.card.name} gained nothing from {photographs}, so nothing was written: give more photographs"
        )
    colorizers = _colorizers([str(beginning), str(made)], as_published=False)
    scores = evaluate.evaluate_models(tuning.held, colorizers, against=[beginning.stem], command=_command())
    card = zoo.Card.load(made.with_suffix(".json"))
    kept = {"manifest": scores["set"]["manifest"], "rows": scores["summary"]}
    replace(card, scores={evaluate.set_name(tuning.held): kept}).save(made.with_suffix(".json"))
    click.echo(report.markdown(scores))
    click.echo(made)


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
    kept = {"manifest": scores["set"]["manifest"], "rows": scores["summary"]}
    replace(card, scores={evaluate.set_name(pictures): kept}).save(model.with_suffix(".json"))
    click.echo(report.markdown(scores))
    click.echo(model)


@main.command()
@click.argument("model", type=_FILE)
@click.option("--held", multiple=True, required=True, type=_FOLDER,
              help="Photographs that were held out of training; may be repeated.")  # fmt: skip
@click.option("--taught", required=True, type=_FOLDER, help="Training photographs, to learn how far a hint reaches.")
def calibrate(model: Path, held: tuple[Path, ...], taught: Path) -> None:
    """Learn how sure, how vivid and how far-reaching MODEL.onnx may be, and write it into its card."""
    from colorcapsnet import calibrate, zoo
    from colorcapsnet.colorizer import Colorizer

    path = model.with_suffix(".json")
    learnt = calibrate.calibrate(Colorizer(str(model)), held, taught)
    replace(zoo.Card.load(path), paint=learnt).save(path)
    click.echo(json.dumps({name: value for name, value in learnt.items() if name != "curve"}))


@main.command()
def doctor() -> None:
    """Say what is installed, what is missing or broken and how to mend it, and how fast coloring is here."""
    from colorcapsnet.doctor import examine

    broken = 0
    for finding in examine():
        click.echo(finding)
        broken += finding.state == "broken"
    if broken:
        raise click.ClickException(f"{broken} broken; the lines above say how to mend it")


def _need_training() -> None:
    from colorcapsnet.errors import need

    for module in ("torch", "safetensors", "tensorboard", "onnx"):
        need(module, "train")


def _command() -> str:
    return shlex.join(["colorcapsnet", *sys.argv[1:]])
