"""Results of the paper's experiments, made up: small enough to know every number that a page should show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from colorcapsnet import pictures

CHAIN = ["standin-1-ilsvrc", "standin-2-bsds", "standin-3-bsds-val"]
CIRCUMSTANCES = {
    "command": "colorcapsnet report paper",
    "budget": "10m",
    "chain": CHAIN,
    "versions": {"python": "3.13.0", "torch": "2.9.0"},
    "machine": {"processor": "a processor", "cores": 2, "threads": 2},
    "seconds": 60.0,
}
DATA = {"sha256": "0123456789abcdef", "pictures": 40, "patches": 1234, "every": 7}


def plan(**changes: Any) -> dict[str, Any]:
    share = {"every": 7, "batch": 32, "seconds": 60.0, "enough": True}
    names = ("parameters", "figure-4a", "figure-4b", "figure-4c", "chain", "table-1", "open-questions", "scale")
    made = {
        "budget": "10m",
        "chain": CHAIN,
        "vgg": False,
        "seeds": 2,
        "epochs": 2,
        "chain_epochs": [2, 2, 1],
        "pictures": None,
        "side": 16,
        "scored": 2,
        "compared": 2,
        "densest": 2,
        "shares": dict.fromkeys(names, share),
    }
    return made | changes


def interval(value: float, spread: float = 0.5) -> dict[str, float]:
    return {"value": value, "low": value - spread, "high": value + spread}


def variant(label: str, *last: float, **changes: Any) -> dict[str, Any]:
    """A variant whose seeds end with these losses."""
    config = {"patch": 32, "front": "vgg", "batch_norm": True, "capsules": 6, "routings": 1}
    runs = [{"seed": seed, "loss": [2 * loss, loss], "steps": 40, "seconds": 30.0} for seed, loss in enumerate(last)]
    row = {"label": label, "config": config, "begins": "random", "parameters": 1000, "data": DATA, "runs": runs}
    return row | changes


def comparison(*variants: dict[str, Any]) -> dict[str, Any]:
    return CIRCUMSTANCES | {"every": 7, "batch": 32, "epochs": 2, "variants": list(variants)}


def figure_4a() -> dict[str, Any]:
    vgg = "VGG front, VGG-19's weights"
    original = {"config": {"patch": 32, "front": "original", "batch_norm": False, "capsules": 10, "routings": 1}}
    return comparison(
        variant("original front", 0.0051, 0.0053, **original),
        variant("VGG front, random", 0.0050, 0.0052),
        {key: value for key, value in variant(vgg).items() if key not in ("runs", "data")}
        | {"begins": "vgg", "not_run": "weights not given"},
        variant(
            "VGG front, distilled (stand-in)",
            0.0041,
            0.0042,
            begins="distilled",
            distilled={"teacher": "a teacher", "explained": 0.625, "steps": 20},
        ),
        variant("with batch norm", 0.0039, 0.0040),
        variant("with 6 capsules", 0.0030, 0.0031),
    )


def figure_4b() -> dict[str, Any]:
    rows = [variant(f"{n} routing{'s' if n > 1 else ''}", 0.004, 0.005) for n in (1, 2, 3, 4, 5)]
    for number, row in enumerate(rows, start=1):
        row["config"] = row["config"] | {"routings": number}
        row["step_seconds"] = [0.010 * number, 0.011 * number, 0.012 * number]
    return comparison(*rows)


def figure_4c() -> dict[str, Any]:
    return comparison(variant("9×9", 0.002, 0.003), variant("16×16", 0.004, 0.005), variant("32×32", 0.0025, 0.006))


def chain() -> dict[str, Any]:
    def look(epoch: int) -> dict[str, Any]:
        return {name: {"psnr": 20.0 + epoch, "ssim": 0.8 + 0.01 * epoch} for name in ("a.jpg", "b.jpg")}

    steps = []
    for number, (recipe, losses) in enumerate(zip(CHAIN, ([0.009, 0.005], [0.0048, 0.004], [0.003]), strict=True)):
        epochs = [{"epoch": epoch, "loss": loss, "seconds": 6.0} for epoch, loss in enumerate(losses, start=1)]
        if number < 2:
            epochs = [
                entry | {"validation": 0.006, "pictures": look(2 * number + int(entry["epoch"]))} for entry in epochs
            ]
        steps.append({"recipe": recipe, "doc": f"step {number + 1}", "data": DATA, "batch": 32, "epochs": epochs})
    return CIRCUMSTANCES | {"steps": steps, "every": 7, "kept": [[1, 2], [1, 2], [1]]}


def summary(psnr: float) -> dict[str, Any]:
    return {
        "psnr": interval(psnr),
        "ssim": interval(0.9, 0.01),
        "skill": interval(psnr - 22),
        "over_tint": interval(psnr - 23),
    }


def table_1() -> dict[str, Any]:
    names = {"gray": 22.0, "tint": 23.0, "round trip step 2, as published": 52.0, "step 2, as published": 21.0}
    names |= {"shipped, as published": 24.0, "shipped, lightness kept": 24.6}
    scored = {"set": {"pictures": 2}, "of": 100, "summary": {name: summary(psnr) for name, psnr in names.items()}}
    scores = {"gray": 22.0, "published": 24.0, "kept": 24.5}
    grid = [
        {"why": why, "picture": name, "psnr": scores, "ssim": dict.fromkeys(scores, 0.9)}
        for why, name in (("best", "a"), ("worst", "b"))
    ]
    figure_6 = {"row": "shipped, as published", "rows": grid}
    return CIRCUMSTANCES | {"validation": scored, "test": {"not_run": "no test pictures"}, "figure-6": figure_6}


def open_questions() -> dict[str, Any]:
    rows = ("gray", "tint", "lightness redrawn, stride 9", "lightness kept, stride 3")
    both = {"psnr": interval(24.0), "ssim": interval(0.9, 0.01)}
    change = {"pictures": 2, "psnr": interval(0.75, 0.25), "ssim": interval(0.03, 0.01)}
    scores = {
        "set": {"pictures": 2},
        "rows": dict.fromkeys((*rows, "round trip lightness redrawn, stride 9"), both),
        "differences": {"lightness kept instead of redrawn": change},
    }
    routing = [
        {"patch": 9, "learnt_with": 1, "iterations": [1, 2, 3], "entropy": [1.0, 0.9, 0.8]},
        {"patch": 16, "learnt_with": 2, "iterations": [2], "entropy": [0.99]},
    ]
    capsules = {
        "hues": ["pale", "red"],
        "patches": [12, 0],
        "length": [[0.123, None], [0.456, None]],
        "by_hue": [0.25, 0.5],
        "by_gray": [0.75, 0.125],
    }
    return CIRCUMSTANCES | {"network": "shipped", "scores": scores, "routing": routing, "capsules": capsules}


def scale() -> dict[str, Any]:
    rows = [
        {"what": "this machine", "step": 0.0365, "rate": 3507.0, "hours": 105.1, "known": "measured"},
        {"what": "one GPU", "step": None, "rate": None, "hours": None, "known": "unmeasured: no GPU here"},
    ]
    return CIRCUMSTANCES | {
        "rows": rows,
        "assumptions": ["it is so"],
        "patches": 26_536_446,
        "epochs": 50,
        "batch": 128,
    }


def parameters() -> dict[str, Any]:
    return CIRCUMSTANCES | {"counts": {}, "front": -728_256, "capsules": -2_392_064, "smallest_patch": 9}


def everything() -> dict[str, Any]:
    return {
        "parameters": parameters(),
        "figure-4a": figure_4a(),
        "figure-4b": figure_4b(),
        "figure-4c": figure_4c(),
        "chain": chain(),
        "table-1": table_1(),
        "open-questions": open_questions(),
        "scale": scale(),
    }


def write(folder: Path, results: dict[str, Any], **changes: Any) -> Path:
    """A folder as ``colorcapsnet report paper`` leaves it."""
    (folder / "results").mkdir(parents=True)
    for name, content in {"plan": plan(**changes), **results}.items():
        (folder / "results" / f"{name}.json").write_text(json.dumps(content))
    shown = [f"figure-6/{name}-{way}" for name in "ab" for way in ("gray", "published", "kept", "truth")]
    shown += [f"figure-7/truth-{name}" for name in "ab"]
    shown += [f"figure-7/step-{step}-epoch-0{epoch}-{name}" for step in (1, 2) for epoch in (1, 2) for name in "ab"]
    for name in shown:
        path = folder / "results" / "pictures" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures.write(pictures.Picture.from_array(np.full((30, 40, 3), 128, np.uint8)), path)
    return folder
