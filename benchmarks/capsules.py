"""What capsules are for, network beside network: the ablation, and the uses of the one that ships.

Each checkpoint is exported to a temporary graph, scored by :mod:`colorcapsnet.evaluate`, and measured by
:mod:`colorcapsnet.uses` on photographs with human segmentations; regions stand beside k-means of the very pyramid
features that couplings are made from, with as many clusters, and beside SLIC. A network without capsules takes part as
one entity whose local features are its colors. Networks that route by agreement are scored with other numbers of steps
than they learnt with, too.

Command: ``python -m benchmarks.capsules NAME=RUN/last.safetensors ... --data FOLDER --segments TAR --json OUT.json``
(about 4 s a photograph and network on one core). With ``--fd FOLDER``, of 3,000 photographs and more, the Fréchet
distances of the networks are measured instead (about 0.1 s a photograph and network).
"""

from __future__ import annotations

import argparse
import hashlib
import math
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.segmentation import slic

from benchmarks.measure import commit, processor, seconds, spread
from colorcapsnet import color, evaluate, report, scale, uses
from colorcapsnet.colorizer import Colorizer
from colorcapsnet.evaluate import AtStrength
from colorcapsnet.learn import checkpoints, deep_recipes, encoders, train_photographs
from colorcapsnet.learn import export as exporting
from colorcapsnet.learn.checkpoints import Checkpoint
from colorcapsnet.learn.deep import DeepConfig
from colorcapsnet.metrics import bootstrap
from colorcapsnet.zoo import Card

STEPS = (1, 2, 3, 5)
"""Numbers of routing steps that a network which agrees is scored with."""
SIDE, ROUNDS = 256, 9
"""Of the picture that networks are timed on, and how often."""


@dataclass(frozen=True)
class Graphs:
    """Checkpoints as colorizers: graphs below a folder, not compared with their networks, with a card's calibration."""

    folder: Path
    paint: dict[str, Any]

    def __call__(self, saved: Checkpoint, name: str) -> Colorizer:
        """One of them."""
        made, path = exporting._whole(saved), self.folder / f"{name}.onnx"
        made.write(path)
        Card(
            name=name,
            kind=made.kind,
            size=made.size,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            parameters=made.parameters,
            trained_on=made.trained_on,
            data=saved.data,
            command=made.command,
            parity=math.nan,
            license=exporting.LICENSE,
            limits=exporting.LIMITS[made.kind],
            paint=self.paint,
        ).save(path.with_suffix(".json"))
        return Colorizer(str(path))

    def with_steps(self, saved: Checkpoint, name: str) -> dict[str, Colorizer]:
        """A network with other numbers of routing steps, if it has any: row name -> colorizer."""
        if (saved.config["head"], saved.config["routing"]) != ("entities", "agreement"):
            return {}
        changed = {steps: replace(saved, config=saved.config | {"steps": steps}) for steps in STEPS}
        return {f"{name}, steps: {steps}": self(one, f"{name}-{steps}") for steps, one in changed.items()}


class Pyramid:
    """Pyramid features of a checkpoint at stride 4, of equal variance: gray ``(H, W)`` uint8 -> ``(h, w, 64)``."""

    def __init__(self, saved: Checkpoint) -> None:
        self.model = train_photographs.load(DeepConfig(**saved.config), saved.model | saved.averaged)

    @torch.no_grad()
    def __call__(self, gray: np.ndarray) -> np.ndarray:
        """Of one picture."""
        small = scale.fit(gray, *scale.working_shape(*gray.shape, deep_recipes.WORKING_SIZE))
        picture = torch.from_numpy(small)[None].float() / 255
        fine = self.model.pyramid(self.model.encoder(picture))[1][0].permute(1, 2, 0).numpy()
        return fine / (fine.std(axis=(0, 1)) + 1e-3)


def superpixels(gray: np.ndarray, count: int) -> np.ndarray:
    """SLIC on lightness."""
    return slic(color.lightness(gray), n_segments=count, compactness=10, channel_axis=None, start_label=0)


def seen_by_imagenet() -> Any:
    """sRGB ``(H, W, 3)`` uint8 -> efficientnet-lite0's 320 features, pooled, at 224×224."""
    encoder, _ = encoders.efficientnet("lite0", channels=3)
    encoders.fold_batch_norm(encoder)
    encoder = encoder.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def features(rgb: np.ndarray) -> np.ndarray:
        picture = torch.from_numpy(scale.fit(rgb, 224, 224)).permute(2, 0, 1)[None].float() / 255
        return encoder(picture)[4].mean(dim=(2, 3))[0].numpy()

    return features


COMPARED = {
    "skill, dB": lambda row: row["psnr"] - row["gray_psnr"],
    "gain of 10 points, dB": lambda row: row["hints"]["tool"]["psnr"][3] - row["hints"]["tool"]["psnr"][0],
    "best of 5 candidates, ΔE": lambda row: min(row["best_of_5"]["candidates"]),
    "regions, adjusted Rand index": lambda row: row["regions"]["entities"] if "regions" in row else None,
    "leak of a recolor": lambda row: row["leak"]["recolor"] if "leak" in row else None,
    "steadiness, noisy, ab": lambda row: row["steadiness"]["noisy"],
}


def differences(measured: Mapping[str, Any]) -> str:
    """Paired differences of the first network to each other one, as a table."""
    (first, mine), *others = measured.items()
    lines = [f"| {first} less … [95%] | {' | '.join(name for name, _ in others)} |", "|---|" + "---:|" * len(others)]
    for what, value in COMPARED.items():
        cells = []
        for _, theirs in others:
            pairs = [(value(a), value(b)) for a, b in zip(mine["rows"], theirs["rows"], strict=True)]
            apart = [a - b for a, b in pairs if a is not None and b is not None]
            found = bootstrap(apart) if apart else None
            cells.append(f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]" if found else "–")
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def scored(summary: Mapping[str, Any], names: Sequence[str], took: Mapping[str, list[float]]) -> str:
    """Lines that go below :func:`report.uses_table`: scores of the networks, and their times."""

    def of(row: str, score: str, form: str) -> str:
        value = summary[row][score]
        return form.format(value["value"] if isinstance(value, Mapping) else value)

    lines = {
        "tenth percentile of skill, dB": [of(name, "skill_p10", "{:+.2f}") for name in names],
        "ΔE": [of(name, "delta_e", "{:.2f}") for name in names],
        "colorfulness ratio": [of(name, "colorfulness_ratio", "{:.2f}") for name in names],
        "slope": [of(name, "slope", "{:.2f}") for name in names],
        "vivid: skill, dB": [of(f"{name}, vivid", "skill", "{:+.2f}") for name in names],
        "vivid: colorfulness ratio": [of(f"{name}, vivid", "colorfulness_ratio", "{:.2f}") for name in names],
        f"network at {SIDE}×{SIDE}, ms": [spread(took[name], 1).strip() for name in names],
    }
    return "\n".join(f"| {what} | {' | '.join(cells)} |" for what, cells in lines.items())


def routed(summary: Mapping[str, Any], rows: Sequence[str]) -> str:
    """Skill by numbers of routing steps, as a table."""
    skills = [(row, summary[row]["skill"]) for row in rows]
    lines = [f"| {row} | {s['value']:+.2f} [{s['low']:+.2f}, {s['high']:+.2f}] |" for row, s in skills]
    return "\n".join(["| routing steps after training | skill, dB [95%] |", "|---|---:|", *lines])


def timed(models: Mapping[str, Colorizer]) -> dict[str, list[float]]:
    """Milliseconds of each network on one picture, in turns, so that a busy machine slows all alike."""
    gray = np.random.default_rng(0).random((SIDE, SIDE), np.float32)
    took: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, model in models.items():
            took[name].append(1000 * seconds(lambda model=model: model.network.know(gray), 3))
    return took


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--data", type=Path, help="photographs, with --segments of people")
    parser.add_argument("--segments", type=Path)
    parser.add_argument("--paint", type=Path, help="a card whose calibration all networks are given")
    parser.add_argument("--thin", type=int, default=1, help="every so many photographs only")
    parser.add_argument("--fd", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--md", type=Path)
    told = parser.parse_args()
    if (told.data is None) == (told.fd is None):
        parser.error("give either --data FOLDER or --fd FOLDER")
    command = shlex.join(["python", "-m", "benchmarks.capsules", *sys.argv[1:]])
    paint = Card.load(told.paint).paint if told.paint else {}
    named = {name: file for name, _, file in (one.partition("=") for one in told.checkpoints)}
    saved = {name: checkpoints.load(Path(file)) for name, file in named.items()}
    files = list(evaluate.photographs(told.fd or told.data).values())[:: told.thin]
    with tempfile.TemporaryDirectory() as folder:
        graph = Graphs(Path(folder), paint)
        models = {name: graph(one, name) for name, one in saved.items()}
        if told.fd:
            text, result = distances(files, models, evaluate.set_name(told.fd), command)
        else:
            steps = {row: each for name, one in saved.items() for row, each in graph.with_steps(one, name).items()}
            features = {name: Pyramid(one) for name, one in saved.items()}
            people = uses.segmentations(told.segments) if told.segments else None
            text, result = compared(files, models, steps, features, people, evaluate.set_name(told.data), command)
    text = f"commit {commit()}, {processor()}, {len(files)} photographs\n\n{text}"
    evaluate.save_json(result, told.json)
    if told.md:
        evaluate.write_text(told.md, text)
    print(text)


def distances(files: list[Path], models: Mapping[str, Colorizer], name: str, command: str) -> tuple[str, Any]:
    """Fréchet distances of all networks: a table, and what :func:`report.targets` reads."""
    features = seen_by_imagenet()
    found = {model: uses.frechet(files, one, features, command=command) for model, one in models.items()}
    lines = [
        f"| {model} | {d['gray']:.2f} | {d['mean']:.2f} | {d['vivid']:.2f} |"
        for model, d in ((model, one["summary"]) for model, one in found.items())
    ]
    table = "\n".join(["| Fréchet distance | gray | mean | vivid |", "|---|---:|---:|---:|", *lines])
    return f"{table}\n", {"frechet": {name: found}}


def compared(
    files: list[Path],
    models: Mapping[str, Colorizer],
    steps: Mapping[str, Colorizer],
    features: Mapping[str, Pyramid],
    people: uses.Segments | None,
    name: str,
    command: str,
) -> tuple[str, Any]:
    """Networks side by side: tables, and a dictionary with ``uses`` as :func:`report.targets` reads it."""
    took = timed(models)
    rows = {model: AtStrength(one, 1.0) for model, one in {**models, **steps}.items()}  # without their round trips
    vivid = {f"{model}, vivid": AtStrength(one, 2.0) for model, one in models.items()}
    scores = evaluate.evaluate_models(files, {**rows, **vivid}, command=command)
    measured = {
        model: uses.measure(
            files, one, segments=people, features=features[model], superpixels=superpixels, command=command
        )
        for model, one in models.items()
    }
    parts = [f"{report.uses_table(measured)}\n{scored(scores['summary'], list(models), took)}"]
    if len(models) > 1:
        parts.append(differences(measured))
    if steps:
        parts.append(routed(scores["summary"], list(steps)))
    result = {"uses": {name: measured}, "scores": scores, "milliseconds": took}
    return "\n\n".join(parts) + "\n", result


if __name__ == "__main__":
    main()
