"""Every experiment of the paper, in a budget of time -> results as JSON, which ``paper_report`` draws.

An experiment is one of ``EXPERIMENTS``: it trains, reads or scores, and returns what it found. Each result is one small
file, written when it is whole, with what it was made with. What was begun is gone on with: the plan of a folder is made
once, training resumes from its checkpoints, and an experiment whose file is there is not run again.

With ILSVRC and DIV2K in the data folder this is the reproduction; with BSDS500 and small archives of ILSVRC it is the
same code on stand-ins.
"""

from __future__ import annotations

import functools
import importlib.metadata
import itertools
import os
import platform
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from colorcapsnet import color, evaluate, metrics, patches, pictures, progress, scale
from colorcapsnet.errors import DataError
from colorcapsnet.learn import budget, checkpoints, data, encoders, plan, probe, recipes, scaling
from colorcapsnet.learn.checkpoints import Checkpoint
from colorcapsnet.learn.export import export
from colorcapsnet.learn.paper import ColorCapsNet, PaperConfig
from colorcapsnet.learn.plan import Plan, Variant
from colorcapsnet.learn.recipes import RECIPES
from colorcapsnet.learn.shards import Batches, Preparation, Shards, prepare
from colorcapsnet.learn.train import Schedule, to_tensors, train

Pixels: TypeAlias = NDArray[np.uint8]
Result: TypeAlias = dict[str, Any]

SHIPPED = "paper"
SHOWN, SHOWN_WIDTH = 4, 200  # validation pictures of Figure 7, and the width of all pictures that are kept
DISTILLED_BATCH, DISTILLED_STEPS = 16, 30  # steps for each epoch of the comparisons
LOOKED_AT = 64  # patches whose couplings are looked at
TIMED = 3  # times that a step of each number of routings is measured
ITERATIONS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Bench:
    """What every experiment works with.

    Attributes:
        data: folder of the data sets.
        folder: of the report: ``results`` and ``work`` lie in it.
        plan: how much of it all.
        vgg: checkpoint of VGG-19, or None.
        colorizer: makes what colors from a network's name or path; takes ``as_published`` and ``stride``.
        command: how this was asked for.
    """

    data: Path
    folder: Path
    plan: Plan
    vgg: Path | None
    colorizer: Callable[..., evaluate.Colorizes]
    command: str

    @property
    def results(self) -> Path:
        """What was found: JSON, and small pictures."""
        return self.folder / "results"

    @property
    def work(self) -> Path:
        """Shards, checkpoints, copies of pictures: all that may be deleted when the results are there."""
        return self.folder / "work"

    @functools.cached_property
    def first(self) -> Preparation:
        """The training pictures of the first step: all, or a sample."""
        whole = recipes.at(RECIPES[self.plan.chain[0]].training, self.data)
        return whole if self.plan.pictures is None else sample(whole, self.plan.pictures, self.work / "pictures")

    @functools.cached_property
    def validation(self) -> list[Path]:
        """Files of the validation pictures."""
        return plan.files_of(recipes.at(RECIPES[self.plan.chain[2]].training, self.data))

    @functools.cached_property
    def shown(self) -> Path:
        """A folder with a few validation pictures, chosen evenly by name."""
        folder = self.work / "shown"
        folder.mkdir(parents=True, exist_ok=True)
        for path in plan.spread(self.validation, SHOWN):
            _copy(path.read_bytes(), folder / path.name)
        return folder

    @property
    def checkpoints(self) -> list[Path]:
        """The last state of each step of the chain."""
        return [self.work / "runs" / "chain" / name / "last.safetensors" for name in self.plan.chain]


def reproduce(
    folder: Path,
    data_folder: Path,
    asked: str,
    colorizer: Callable[..., evaluate.Colorizes],
    *,
    vgg: Path | None = None,
    command: str = "",
    tell: Callable[[str], None] = print,
) -> None:
    """Run every experiment that has no result yet; say first what each will cost.

    Args:
        folder: of the report; results go to ``results`` in it, and what may be deleted afterwards to ``work``.
        data_folder: holds ``ILSVRC2012`` and ``DIV2K``, or the stand-ins.
        asked: the budget, as :func:`budget.seconds_of` takes it.
        colorizer: makes what colors from a network's name or path; takes ``as_published`` and ``stride``.
        vgg: checkpoint of VGG-19 for the transferred front; without it that row is not run.
        command: how this was asked for.
        tell: says a line to who waits.

    Raises:
        DataError: no data sets are there, or the folder holds results of another budget, of other data, or of other
            weights of VGG-19.
        ModelError: ``vgg`` is no checkpoint of VGG-19.
        ValueError: ``asked`` is no span of time.
        KeyboardInterrupt: it was asked to stop; the same command goes on.
    """
    bench = Bench(
        data_folder, folder, _planned(folder, data_folder, asked, colorizer, vgg, tell), vgg, colorizer, command
    )
    left = {
        name: bench.plan.shares[name].seconds for name in EXPERIMENTS if not (bench.results / f"{name}.json").exists()
    }
    for name, seconds in left.items():
        tell(f"{name:15} about {progress.duration(seconds):>12}   {_scope(bench.plan, name)}")
    for name in list(left):
        tell(f"{name}: begins; about {progress.duration(sum(left.values()))} left in all")
        began = time.monotonic()
        found = EXPERIMENTS[name](bench)
        found = {**_circumstances(bench, name), "seconds": time.monotonic() - began, **found}
        evaluate.save_json(found, bench.results / f"{name}.json")
        del left[name]


def _planned(
    folder: Path,
    data_folder: Path,
    asked: str,
    colorizer: Callable[..., evaluate.Colorizes],
    vgg: Path | None,
    tell: Callable[[str], None],
) -> Plan:
    """The plan of a folder: made now, or as it was made before."""
    seconds, chain = budget.seconds_of(asked), plan.chain_of(data_folder)
    if vgg is not None:
        encoders.vgg19_first_two(vgg)
    path = folder / "results" / "plan.json"
    if path.exists():
        made = Plan.read(evaluate.load_json(path))
        if (made.budget, made.chain, made.vgg) != (asked, chain, vgg is not None):
            weights = "with" if made.vgg else "without"
            raise DataError(
                f"{folder} holds results of --budget {made.budget} on {made.chain[0]}, {weights} --vgg: "
                "ask for these, or give another --out"
            )
        return made
    tell("measuring what steps and scores cost here")
    some = plan.files_of(recipes.at(RECIPES[chain[2]].training, data_folder))[0]
    score = plan.measured_score(colorizer(SHIPPED, as_published=True), some)
    made = plan.make(asked, seconds, data_folder, plan.Costs(budget.measure, score), vgg=vgg is not None)
    path.parent.mkdir(parents=True, exist_ok=True)
    evaluate.save_json(asdict(made), path)
    return made


def _scope(made: Plan, name: str) -> str:
    share, chosen = made.shares[name], {"table-1": made.scored, "open-questions": made.compared}
    if name in ("parameters", "scale"):
        return ""
    if name in chosen:
        return "all validation pictures" if chosen[name] is None else f"{chosen[name]} validation pictures"
    seeds = "1 seed" if name == "chain" or made.seeds == 1 else f"{made.seeds} seeds"
    epochs = "+".join(map(str, made.chain_epochs)) if name == "chain" else made.epochs
    patch = "every patch" if share.every == 1 else f"1 patch in {share.every}"
    return f"{patch}, batch {share.batch}, {epochs} epochs, {seeds}"


def _circumstances(bench: Bench, name: str) -> Result:
    cpu = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", cpu.read_text()) if cpu.exists() else []
    packages = ("colorcapsnet", "torch", "numpy", "onnxruntime", "opencv-python-headless")
    return {
        "experiment": name,
        "command": bench.command,
        "budget": bench.plan.budget,
        "chain": list(bench.plan.chain),
        "versions": {"python": platform.python_version()} | {one: importlib.metadata.version(one) for one in packages},
        "machine": {
            "processor": models[0] if models else platform.processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
    }


def sample(preparation: Preparation, count: int, folder: Path) -> Preparation:
    """Copy some pictures that may be learnt from, by chance but always the same, and prepare these instead."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [(source, one_in) for spec, one_in in preparation.sources for source in data.open_set(spec)]
    found.sort(key=lambda one: data.sha256(one[0].name.encode()))
    for source, one_in in found[:count]:
        content = source.read()
        if not data.is_held(source, content, one_in):
            _copy(content, folder / f"{data.sha256(content)[:20]}{Path(source.name).suffix}")
    return replace(preparation, sources=((f"folder:{folder}", 0),))


def _copy(content: bytes, path: Path) -> None:
    if not path.exists():
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_bytes(content)
        temporary.replace(path)


# Parameters (section 3.2 and Figure 4a)


def parameters(bench: Bench) -> Result:
    """Parameters of every variant, from networks that are built, and the smallest patch that one can be built for."""
    variants = [*plan.fronts(bench.vgg is not None), *plan.sides()]
    counts = {variant.label: plan.parameters_of(variant.config) for variant in variants}
    ten, six = PaperConfig(32, capsules=10), PaperConfig(32)
    return {
        "counts": counts,
        "front": counts["VGG front, random"] - counts["original front"],
        "capsules": plan.parameters_of(six) - plan.parameters_of(ten),
        "smallest_patch": next(side for side in itertools.count(1) if _can_be_built(side)),
    }


def _can_be_built(side: int) -> bool:
    try:
        PaperConfig(side).build()
    except ValueError:
        return False
    return True


# Comparisons (Figure 4)


def figure_4a(bench: Bench) -> Result:
    """Training loss of the fronts, with batch norm, with fewer capsules."""
    return compare(bench, "figure-4a", plan.fronts(bench.vgg is not None))


def figure_4b(bench: Bench) -> Result:
    """Training loss and time of 1 to 5 iterations of routing."""
    found = compare(bench, "figure-4b", plan.routings(bench.plan.side))
    for row in found["variants"]:
        row["step_seconds"] = []
    for _, row in itertools.product(range(TIMED), found["variants"]):  # in turns: a busy machine slows all alike
        row["step_seconds"].append(budget.measure(PaperConfig(**row["config"])).of(found["batch"]))
    return found


def figure_4c(bench: Bench) -> Result:
    """Training loss on patches of three sizes, cut from the same pictures."""
    return compare(bench, "figure-4c", plan.sides())


def compare(bench: Bench, name: str, variants: Sequence[Variant]) -> Result:
    """Train every variant with every seed, all on patches of the same pictures.

    Args:
        bench: what there is to work with.
        name: of the experiment, whose share of the budget it takes.
        variants: which networks.
    """
    share, rows = bench.plan.shares[name], []
    for variant in variants:
        row: Result = {
            "label": variant.label,
            "config": asdict(variant.config),
            "begins": variant.begins,
            "parameters": plan.parameters_of(variant.config),
        }
        rows.append(row)
        if variant.begins == "vgg" and bench.vgg is None:
            row["not_run"] = "weights not given"
            continue
        shards = _thinned(bench, bench.first, variant.config.patch, share.every, f"first-{variant.config.patch}")
        row["data"] = _described(shards)
        if variant.begins == "distilled":
            row["distilled"] = _distilled(bench, shards)
        weights = _weights(bench, variant)
        row["runs"] = [learn(bench, name, variant, seed, shards, weights) for seed in range(bench.plan.seeds)]
    runs = [run for row in rows for run in row.get("runs", [])]
    return {
        "seconds": sum(run["seconds"] or 0 for run in runs),
        "every": share.every,
        "batch": share.batch,
        "epochs": bench.plan.epochs,
        "variants": rows,
    }


def _thinned(bench: Bench, pictures_of: Preparation, side: int, every: int, name: str) -> Shards:
    own = plan.sampling_of(pictures_of)
    cut = replace(own, patch=side, every=own.every * every)
    return prepare(replace(pictures_of, sampling=cut), bench.work / "shards" / f"{name}-{cut.every}")


def _described(shards: Shards) -> Result:
    sampling = shards.manifest["sampling"]
    kept = shards.manifest["pictures"].get("kept", 0)
    return {"sha256": shards.sha256, "pictures": kept, "patches": shards.patches, "every": sampling["every"]}


def _weights(bench: Bench, variant: Variant) -> dict[str, Tensor] | None:
    if variant.begins == "vgg" and bench.vgg is not None:
        return encoders.vgg19_first_two(bench.vgg)
    return load_file(bench.work / "distilled.safetensors") if variant.begins == "distilled" else None


def learn(
    bench: Bench, name: str, variant: Variant, seed: int, shards: Shards, weights: dict[str, Tensor] | None
) -> Result:
    """One run of a variant, or what an earlier process found: loss of every epoch, steps, seconds.

    Seconds are None where a process ended between its last step and its result.
    """
    folder = _run_folder(bench, name, variant, seed)
    if (folder / "run.json").exists():
        return cast(Result, evaluate.load_json(folder / "run.json"))
    share = bench.plan.shares[name]
    schedule = Schedule(bench.plan.epochs, share.batch, bf16=True, seed=seed)
    end, seconds = _timed(
        f"{name}, {variant.label}, seed {seed}", variant.config, schedule, shards, folder, vgg=weights
    )
    steps = Batches(shards, share.batch, seed).per_epoch * schedule.epochs
    found = {"seed": seed, "loss": [entry["loss"] for entry in end.history], "steps": steps, "seconds": seconds}
    checkpoints.save(replace(end, adam={}), folder / "network.safetensors")
    evaluate.save_json(found, folder / "run.json")
    (folder / "last.safetensors").unlink()
    return found


def _run_folder(bench: Bench, name: str, variant: Variant, seed: int) -> Path:
    words = re.sub(r"[^a-z0-9]+", "-", variant.label.lower().replace("×", "x")).strip("-")
    return bench.work / "runs" / name / f"{words}-seed-{seed}"


def _timed(
    name: str,
    config: PaperConfig,
    schedule: Schedule,
    shards: Shards,
    folder: Path,
    **more: Any,  # noqa: ANN401
) -> tuple[Checkpoint, float | None]:
    """Train, and say how long all of it takes, also if an earlier process did a part; None if that did everything."""
    saved, before = folder / "last.safetensors", 0
    of_epoch = Batches(shards, schedule.batch, schedule.seed).per_epoch
    if saved.exists():
        loop = checkpoints.load(saved).loop
        before = min(loop["epoch"], schedule.epochs) * of_epoch + loop["batch"]
    began = time.monotonic()
    end = train(name, config, schedule, shards, more.pop("validation", None), folder, **more)
    done = schedule.epochs * of_epoch - before
    return end, (time.monotonic() - began) * schedule.epochs * of_epoch / done if done > 0 else None


def _distilled(bench: Bench, shards: Shards) -> Result:
    """Distill the stand-in for VGG-19's weights, or read what an earlier process did of it."""
    told = bench.work / "distilled.json"
    if not told.exists():
        steps = DISTILLED_STEPS * bench.plan.epochs
        seen = to_tensors(_patches_of(bench.shown, shards.patch, LOOKED_AT))[0]
        weights, explained = probe.distill(Batches(shards, min(DISTILLED_BATCH, shards.patches)), steps, seen)
        save_file(weights, bench.work / "distilled.safetensors")
        found = {"teacher": "EfficientNet-lite0's first stage", "explained": explained, "steps": steps}
        evaluate.save_json(found, told)
    return cast(Result, evaluate.load_json(told))


def _patches_of(folder: Path, side: int, most: int | None = None) -> Pixels:
    """Patches ``(N, n, n, 4)`` of a folder's pictures: gray, L, a, b; evenly chosen where there are more."""
    coded = [data.coded(pictures.read(path).array) for path in sorted(folder.iterdir())]
    cut = np.concatenate([patches.cut_full(one, side) for one in coded])
    return cut if most is None or len(cut) <= most else cut[np.linspace(0, len(cut) - 1, most).astype(int)]


# The chain of three steps (Figures 5 and 7)


def chain(bench: Bench) -> Result:
    """Losses of the three steps, and PSNR and SSIM of a few validation pictures after every epoch of the first two.

    The third step learns from these pictures, and is not scored on them.
    """
    share, begin_from = bench.plan.shares["chain"], None
    steps: list[Result] = []
    for number, (name, epochs) in enumerate(zip(bench.plan.chain, bench.plan.chain_epochs, strict=True)):
        recipe = RECIPES[name]
        training = _thinned(
            bench, bench.first if number == 0 else recipes.at(recipe.training, bench.data), 9, share.every, name
        )
        judged_by = None
        if recipe.validation is not None:
            judged_by = _thinned(bench, recipes.at(recipe.validation, bench.data), 9, share.every, "validation")
        schedule = replace(recipe.schedule, batch=share.batch)
        folder = bench.work / "runs" / "chain" / name
        found = []
        for epoch in range(1, epochs + 1):
            noted = folder / f"epoch-{epoch:02}.json"
            if not noted.exists():
                until = replace(schedule, epochs=epoch)
                end, seconds = _timed(
                    name, recipe.model, until, training, folder, validation=judged_by, begin_from=begin_from
                )
                entry = {**end.history[-1], "seconds": seconds and seconds / epoch}
                if judged_by is not None:
                    kept = bench.results / "pictures" / "figure-7" if epoch in _kept_epochs(epochs) else None
                    prefix = f"step-{number + 1}-epoch-{epoch:02}"
                    entry["pictures"] = _look(network_of(end), bench.shown, kept, prefix)
                evaluate.save_json(entry, noted)
            found.append(evaluate.load_json(noted))
        steps.append(
            {"recipe": name, "doc": recipe.doc, "data": _described(training), "batch": share.batch, "epochs": found}
        )
        begin_from = folder / "last.safetensors"
    seconds = sum(entry["seconds"] or 0 for step in steps for entry in step["epochs"])
    return {
        "seconds": seconds,
        "steps": steps,
        "every": share.every,
        "kept": list(map(_kept_epochs, bench.plan.chain_epochs)),
    }


def _kept_epochs(epochs: int) -> list[int]:
    return sorted({1, (epochs + 1) // 2, epochs})


def network_of(saved: Checkpoint) -> ColorCapsNet:
    """The network of a checkpoint, for prediction."""
    network = PaperConfig(**saved.config).build()
    network.load_state_dict(saved.model)
    return network.eval()


def _look(network: ColorCapsNet, folder: Path, kept: Path | None, prefix: str) -> Result:
    """PSNR and SSIM of each picture in a folder, colored as published, and the pictures themselves if asked for."""
    scores = {}
    for path in sorted(folder.iterdir()):
        truth = evaluate.read(path)
        colored = painted(network, cast(Pixels, color.gray(truth)))
        scores[path.name] = {"psnr": metrics.psnr(truth, colored), "ssim": metrics.ssim(truth, colored)}
        if kept is not None:
            _keep(colored, kept / f"{prefix}-{path.stem}.jpg")
            _keep(truth, kept / f"truth-{path.stem}.jpg")
    return scores


@torch.no_grad()
def painted(network: ColorCapsNet, gray: Pixels) -> Pixels:
    """Color as the paper does: patches side by side, zeros beyond the border, lightness redrawn, all in 8 bits.

    Args:
        network: in evaluation mode.
        gray: ``(H, W)`` uint8.

    Returns:
        ``(H, W, 3)`` uint8 sRGB.
    """
    (height, width), n = gray.shape, network.config.patch
    cut = patches.cut(gray, n, n, 0, len(patches.starts(height, n, n)))
    flat = torch.from_numpy(cut.reshape(-1, n, n).astype(np.float32) / 255)
    code = torch.cat([network(part) for part in torch.split(flat, 512)]).numpy().reshape(*cut.shape, 3) * np.float32(
        255
    )
    whole = np.concatenate([rows for _, rows in patches.join([code], height, width, n, n)])
    return cast(Pixels, color.quantize(color.lab_to_srgb(color.decode(np.rint(whole)))))


def _keep(picture: Pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = scale.shrink(picture, max(1.0, picture.shape[1] / SHOWN_WIDTH))
    pictures.write(pictures.Picture.from_array(small), path, quality=88, overwrite=True)


# Scores (Table 1 and Figure 6)


def table_1(bench: Bench) -> Result:
    """Scores on validation by what learnt from train only, and in the manner of the test, which learns from both."""
    second, third = (exported(bench, number) for number in (1, 2))
    held = _test_pictures(bench)
    found: Result = {
        "validation": _scored(bench, bench.validation, {"step 2": str(second)}),
        "test": _scored(bench, held, {"step 3": str(third)}) if held else {"not_run": "no test pictures in color here"},
        "figure-6": None,
    }
    name, network = judged(bench)
    found["figure-6"] = _grid(bench, found["validation"], f"{name}, as published", network)
    return found


def exported(bench: Bench, number: int) -> Path:
    """The network of a step of the chain, as an ONNX file that a colorizer takes."""
    path = bench.work / "networks" / f"step-{number + 1}.onnx"
    if not path.exists():
        export(bench.checkpoints[number], path.parent, path.stem, bench.shown)
    return path


def judged(bench: Bench) -> tuple[str, str]:
    """Whose pictures are shown and taken apart: our second step's in full, else what ships, which learnt for longer."""
    if bench.plan.budget == "full":
        return "step 2", str(exported(bench, 1))
    return "shipped", SHIPPED


def _test_pictures(bench: Bench) -> list[Path]:
    """Pictures that no step learnt from: DIV2K's test set, or what the stand-ins hold out of ILSVRC."""
    if bench.plan.chain == plan.PUBLISHED:
        folders = sorted((bench.data / "DIV2K").glob("*test*HR*"))
        return [source.path for folder in folders for source in data.open_set(f"folder:{folder}")]
    folder = bench.work / "test"
    spec, one_in = RECIPES[bench.plan.chain[0]].training.sources[1]
    count = data.write_held(spec.replace("{data}", str(bench.data)), one_in, folder)
    return [source.path for source in data.open_set(f"folder:{folder}")] if count else []


def _scored(bench: Bench, files: Sequence[Path], networks: dict[str, str]) -> Result:
    models = {}
    for name, network in {**networks, "shipped": SHIPPED}.items():
        models[f"{name}, as published"] = bench.colorizer(network, as_published=True)
        models[f"{name}, lightness kept"] = bench.colorizer(network)
    chosen = plan.spread(files, bench.plan.scored)
    found = evaluate.evaluate_models(chosen, models, jobs=os.cpu_count() or 1, command=bench.command)
    by_row: dict[str, dict[str, list[float]]] = {}
    for row in found.pop("rows"):
        by_row.setdefault(row["model"], {})[row["picture"]] = [round(row["psnr"], 4), round(row["ssim"], 5)]
    return found | {"of": len(files), "pictures": by_row}


def _grid(bench: Bench, scored: Result, row: str, network: str) -> Result:
    """Figure 6: the two best, the two worst, and two others by chance, colored in both manners."""
    by_psnr = sorted(scored["pictures"][row], key=lambda name: scored["pictures"][row][name][0])
    best, worst = by_psnr[:1:-1][:2], by_psnr[:2]
    others = [name for name in by_psnr if name not in (*best, *worst)]
    chance = [str(name) for name in np.random.default_rng(0).permutation(others)[:2]]
    files = {path.name: path for path in bench.validation}
    folder, rows = bench.results / "pictures" / "figure-6", []
    published, kept = bench.colorizer(network, as_published=True), bench.colorizer(network)
    chosen = [*(("best", name) for name in best), *(("worst", name) for name in worst)]
    for why, name in [*chosen, *(("chance", name) for name in chance)]:
        truth = evaluate.read(files[Path(name).name])
        gray = cast(Pixels, color.gray(truth))
        shown = {"gray": np.dstack([gray] * 3), "published": published.colorize(gray), "kept": kept.colorize(gray)}
        for way, picture in {**shown, "truth": truth}.items():
            _keep(picture, folder / f"{Path(name).stem}-{way}.jpg")
        psnr = {way: metrics.psnr(truth, picture) for way, picture in shown.items()}
        ssim = {way: metrics.ssim(truth, picture) for way, picture in shown.items()}
        rows.append({"why": why, "picture": Path(name).stem, "psnr": psnr, "ssim": ssim})
    return {"row": row, "rows": rows}


# What the paper leaves open


def open_questions(bench: Bench) -> Result:
    """What redrawn lightness, tile borders, the kind of gray and 8 bits cost; couplings; what capsules stand for."""
    name, network = judged(bench)
    second = network_of(checkpoints.load(bench.checkpoints[1]))
    return {"network": name, "scores": _manners(bench, network), "routing": _couplings(bench)} | {
        "capsules": probe.specialization(second, _patches_of(bench.shown, 9))
    }


def _manners(bench: Bench, network: str) -> Result:
    """Scores of one network in several manners, and the differences between them, picture by picture."""
    published = "lightness redrawn, stride 9"
    kept = {stride: f"lightness kept, stride {stride}" for stride in (9, 3, 1)}
    ways = {published: bench.colorizer(network, as_published=True)}
    ways |= {way: bench.colorizer(network, stride=stride) for stride, way in kept.items()}

    def scored(pictures_of: int | None, gray: Literal["rec601", "l"], *names: str) -> Result:
        chosen = plan.spread(bench.validation, pictures_of)
        rules, jobs = evaluate.Protocol(gray=gray), os.cpu_count() or 1
        return evaluate.evaluate_models(
            chosen, {name: ways[name] for name in names}, rules, jobs=jobs, command=bench.command
        )

    usual = scored(bench.plan.compared, "rec601", published, kept[9], kept[3])
    easier = scored(bench.plan.compared, "l", published, kept[9])
    densest = scored(bench.plan.densest, "rec601", kept[9], kept[1])
    pairs = {
        "lightness kept instead of redrawn": ((usual, kept[9]), (usual, published)),
        "stride 3, blended, instead of 9": ((usual, kept[3]), (usual, kept[9])),
        "stride 1, blended, instead of 9": ((densest, kept[1]), (densest, kept[9])),
        "the truth's own L instead of Rec.601, as published": ((easier, published), (usual, published)),
        "the truth's own L instead of Rec.601, lightness kept": ((easier, kept[9]), (usual, kept[9])),
    }
    shown = {row: usual["summary"][row] for row in usual["summary"]}
    shown |= {f"{row}, given L": easier["summary"][row] for row in (published, kept[9])}
    return {
        "set": usual["set"],
        "rows": {row: {score: summary[score] for score in ("psnr", "ssim")} for row, summary in shown.items()},
        "differences": {
            what: {"pictures": one[0]["set"]["pictures"]}
            | {score: evaluate.interval(_column(one, score) - _column(other, score)) for score in ("psnr", "ssim")}
            for what, (one, other) in pairs.items()
        },
    }


def _column(row_of: tuple[Result, str], score: str) -> NDArray[np.float64]:
    scored, name = row_of
    return np.array([row[score] for row in scored["rows"] if row["model"] == name])


def _couplings(bench: Bench) -> list[Result]:
    """Entropy of the couplings after 1 to 5 iterations, in networks that learnt with one, and with as many."""
    rows = []
    variants = [("figure-4c", variant) for variant in plan.sides()]
    variants += [("figure-4b", variant) for variant in plan.routings(bench.plan.side)]
    for name, variant in variants:
        network = network_of(checkpoints.load(_run_folder(bench, name, variant, 0) / "network.safetensors"))
        cut = _patches_of(bench.shown, variant.config.patch, LOOKED_AT)
        gray = torch.from_numpy(cut[..., 0]).float() / 255
        iterations = ITERATIONS if name == "figure-4c" else (variant.config.routings,)
        rows.append(
            {
                "patch": variant.config.patch,
                "learnt_with": variant.config.routings,
                "iterations": list(iterations),
                "entropy": [probe.coupling_entropy(network, gray, count) for count in iterations],
            }
        )
    return rows


# The paper's own scale


def paper_scale(bench: Bench) -> Result:
    """What the paper's first step would take: measured rates times its patches and epochs."""
    return scaling.costs(4 + 2 * bench.plan.epochs)


EXPERIMENTS: dict[str, Callable[[Bench], Result]] = {
    "parameters": parameters,
    "figure-4a": figure_4a,
    "figure-4b": figure_4b,
    "figure-4c": figure_4c,
    "chain": chain,
    "table-1": table_1,
    "open-questions": open_questions,
    "scale": paper_scale,
}
"""Name of the result -> what finds it, in the order in which they are run."""
