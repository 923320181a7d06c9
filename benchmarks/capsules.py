"""What capsules are for, network beside network: the ablation, and the uses of the one that ships.

Each checkpoint is exported to a temporary graph and measured by :mod:`colorcapsnet.uses` on photographs with human
segmentations; regions stand beside k-means of the very pyramid features that couplings are made from, with as many
clusters, and beside SLIC. A network without capsules takes part as one entity whose local features are its colors.

Command: ``python -m benchmarks.capsules NAME=RUN/last.safetensors ... --data FOLDER --segments TAR --json OUT.json``
(about 4 s a photograph and network). With ``--fd FOLDER``, of 3,000 photographs and more, the Fréchet distances of the
first network are measured instead (about 0.1 s a photograph).
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from skimage.segmentation import slic

from benchmarks.measure import commit
from colorcapsnet import color, evaluate, report, scale, uses
from colorcapsnet.colorizer import Colorizer
from colorcapsnet.learn import deep_recipes, encoders, train_photographs
from colorcapsnet.learn.export import export
from colorcapsnet.metrics import bootstrap
from colorcapsnet.zoo import Card


def opened(checkpoint: Path, name: str, folder: Path, data: Path, paint: dict[str, Any]) -> Colorizer:
    """A checkpoint as a colorizer, with a card's calibration."""
    path = export(checkpoint, folder, name, data)
    card = path.with_suffix(".json")
    replace(Card.load(card), paint=paint).save(card)
    return Colorizer(str(path))


class Pyramid:
    """Pyramid features of a checkpoint at stride 4, of equal variance: gray ``(H, W)`` uint8 -> ``(h, w, 64)``."""

    def __init__(self, checkpoint: Path) -> None:
        self.model, _ = train_photographs.of_checkpoint(checkpoint)

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

    @torch.no_grad()
    def features(rgb: np.ndarray) -> np.ndarray:
        small = cv2.resize(rgb, (224, 224), interpolation=cv2.INTER_AREA)
        picture = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255
        return encoder(picture)[4].mean(dim=(2, 3))[0].numpy()

    return features


COMPARED = {
    "skill, dB": lambda row: row["psnr"] - row["gray_psnr"],
    "gain of 10 points, dB": lambda row: row["hints"]["tool"]["psnr"][3] - row["hints"]["tool"]["psnr"][0],
    "best of 5 candidates, ΔE": lambda row: min(row["best_of_5"]["candidates"]),
    "regions, adjusted Rand index": lambda row: row["regions"]["entities"],
    "leak of a recolor": lambda row: row["leak"]["recolor"],
    "steadiness, noisy, ab": lambda row: row["steadiness"]["noisy"],
}


def differences(measured: dict[str, Any]) -> str:
    """Paired differences of the first network to each other one, as a table."""
    (first, mine), *others = measured.items()
    lines = [f"| {first} less … | {' | '.join(name for name, _ in others)} |", "|---|" + "---:|" * len(others)]
    for what, value in COMPARED.items():
        cells = []
        for _, theirs in others:
            pairs = zip(mine["rows"], theirs["rows"], strict=True)
            apart = [value(a) - value(b) for a, b in pairs if value(a) is not None and value(b) is not None]
            found = bootstrap(apart)
            cells.append(f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]" if found else "–")
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--segments", type=Path)
    parser.add_argument("--paint", type=Path, help="a card whose calibration all networks are given")
    parser.add_argument("--thin", type=int, default=1, help="every so many photographs only")
    parser.add_argument("--fd", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    told = parser.parse_args()
    command = shlex.join(["python", "-m", "benchmarks.capsules", *sys.argv[1:]])
    paint = Card.load(told.paint).paint if told.paint else {}
    files = list(evaluate.photographs(told.data).values())[:: told.thin]
    measured: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, _, checkpoint in (one.partition("=") for one in told.checkpoints):
            model = opened(Path(checkpoint), name, Path(folder), told.data, paint)
            if told.fd:
                distances = uses.frechet(told.fd, model, seen_by_imagenet(), command=command)
                evaluate.save_json({"frechet": {evaluate.set_name(told.fd): {name: distances}}}, told.json)
                print(json.dumps(distances["summary"]))
                return
            measured[name] = uses.measure(
                files,
                model,
                segments=uses.segmentations(told.segments) if told.segments else None,
                features=Pyramid(Path(checkpoint)),
                superpixels=superpixels,
                command=command,
            )
    evaluate.save_json({"uses": {evaluate.set_name(told.data): measured}}, told.json)
    print(f"commit {commit()}, {len(files)} photographs\n\n{report.uses_table(measured)}\n")
    if len(measured) > 1 and told.segments:
        print(differences(measured))


if __name__ == "__main__":
    main()
