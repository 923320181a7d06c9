"""What the paper claims, judged by stated rules from what was measured.

A verdict is about the data and the time of one report: it holds, it does not, or it cannot be tested there. The paper
shows one run of each variant; a difference counts here only if every seed of one side lies beyond every seed of the
other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from colorcapsnet.errors import DataError
from colorcapsnet.evaluate import load_json

Result: TypeAlias = Mapping[str, Any]

RESULTS = ("parameters", "figure-4a", "figure-4b", "figure-4c", "chain", "table-1", "open-questions", "scale")
PUBLISHED_FRONT = -720_000  # "approximately", of the VGG front over the original one
PUBLISHED_CAPSULES = -2_390_000  # "approximately", of 6 capsules over 10
APPROXIMATELY = 0.02  # how far a count may be from one that is stated as approximate
PUBLISHED_VALIDATION, PUBLISHED_TEST = (22.20, 0.88), (21.08, 0.85)  # Table 1: PSNR in dB, SSIM
ROUNDED = 0.005  # half a step of their last digit
HOLDS, FAILS, UNTESTED = "holds", "does not", "cannot be tested here"


@dataclass(frozen=True)
class Found:
    """What was found so far.

    Attributes:
        folder: of the report.
        plan: what the budget afforded.
        results: experiment -> its file; an experiment without a result is missing.
        curves: losses of a chain that was trained for longer, recipe -> epochs; empty where none were given.
    """

    folder: Path
    plan: Result
    results: Mapping[str, Result]
    curves: Mapping[str, Result]

    @classmethod
    def read(cls, folder: Path, curves: Path | None = None) -> Found:
        """Gather the results below a folder.

        Args:
            folder: of the report.
            curves: a JSON file, recipe -> ``epochs``, a list of ``epoch``, ``loss`` and perhaps ``validation``.

        Raises:
            DataError: there are none, or a file is damaged.
        """
        path = folder / "results" / "plan.json"
        if not path.exists():
            raise DataError(f"{folder} holds no results: run `colorcapsnet report paper` with --data first")
        files = {name: folder / "results" / f"{name}.json" for name in RESULTS}
        results = {name: load_json(file) for name, file in files.items() if file.exists()}
        told = {} if curves is None else load_json(curves)
        for name, chain in told.items():
            if not isinstance(chain, dict) or not all("loss" in entry for entry in chain.get("epochs", [{}])):
                raise DataError(f"{curves} gives no losses by epoch for {name}: give recipe -> epochs -> loss")
        return cls(folder, load_json(path), results, told)

    @property
    def standin(self) -> bool:
        """Whether the data are not the paper's."""
        return not self.plan["chain"][0].startswith("paper")

    def variants(self, experiment: str) -> dict[str, Result]:
        """The rows of a comparison by label; none where it was not run."""
        rows: Sequence[Result] = self.results.get(experiment, {}).get("variants", [])
        return {row["label"]: row for row in rows}

    def last(self, experiment: str, label: str) -> list[float]:
        """The last epoch's loss of every seed; none where it was not run."""
        return [run["loss"][-1] for run in self.variants(experiment).get(label, {}).get("runs", [])]


@dataclass(frozen=True)
class Verdict:
    """What was measured of a claim, what follows by its rule, and why if nothing does."""

    measured: str
    said: str
    why: str = ""


@dataclass(frozen=True)
class Claim:
    """Something that the paper says.

    Attributes:
        text: the claim.
        where: it stands.
        rule: by which it is judged.
        judge: the rule.
    """

    text: str
    where: str
    rule: str
    judge: Callable[[Found], Verdict]


def apart(one: Sequence[float], other: Sequence[float]) -> int:
    """-1 if all of one lie below all of the other, 1 if above, 0 if they overlap."""
    return -1 if max(one) < min(other) else 1 if min(one) > max(other) else 0


def lower(experiment: str, label: str, others: Sequence[str]) -> Callable[[Found], Verdict]:
    """A claim that a variant's loss is lower than that of others: every seed below every seed of each."""

    def judge(found: Found) -> Verdict:
        names = [label, *others]
        losses = {name: found.last(experiment, name) for name in names}
        for name in names:
            if not losses[name]:
                why = found.variants(experiment).get(name, {}).get("not_run", "not run yet")
                return Verdict("–", UNTESTED, f"{name}: {why}")
        measured = "; ".join(f"{name} {spread(losses[name])}" for name in names)
        if len(losses[label]) < 2:
            return Verdict(measured, UNTESTED, "one seed has no spread")
        found_apart = [apart(losses[label], losses[name]) for name in others]
        if all(side == -1 for side in found_apart):
            return Verdict(measured, HOLDS)
        return (
            Verdict(measured, FAILS) if 1 in found_apart else Verdict(measured, UNTESTED, "inside the spread of seeds")
        )

    return judge


def _not_worse(experiment: str, label: str, others: Callable[[Found], Sequence[str]]) -> Callable[[Found], Verdict]:
    """A claim that no other variant's loss is lower: none has every seed below every seed of this one."""

    def judge(found: Found) -> Verdict:
        mine = found.last(experiment, label)
        theirs = {name: found.last(experiment, name) for name in others(found)}
        if not mine or not theirs or not all(theirs.values()):
            return Verdict("–", UNTESTED, "not run yet")
        measured = "; ".join(f"{name} {spread(losses)}" for name, losses in {label: mine, **theirs}.items())
        if len(mine) < 2:
            return Verdict(measured, UNTESTED, "one seed has no spread")
        better = [name for name, losses in theirs.items() if apart(losses, mine) == -1]
        return Verdict(measured, FAILS, f"lower: {', '.join(better)}") if better else Verdict(measured, HOLDS)

    return judge


def _difference(name: str, published: int) -> Callable[[Found], Verdict]:
    def judge(found: Found) -> Verdict:
        if "parameters" not in found.results:
            return Verdict("–", UNTESTED, "not run yet")
        count = found.results["parameters"][name]
        near = abs(count - published) <= APPROXIMATELY * abs(published)
        return Verdict(f"{count:+,}", HOLDS if near else FAILS)

    return judge


def _smallest(found: Found) -> Verdict:
    if "parameters" not in found.results:
        return Verdict("–", UNTESTED, "not run yet")
    side = found.results["parameters"]["smallest_patch"]
    return Verdict(f"smallest that can be built: {side}×{side}", HOLDS if side == 9 else FAILS)


def _slower(found: Found) -> Verdict:
    rows = list(found.variants("figure-4b").values())
    if not rows:
        return Verdict("–", UNTESTED, "not run yet")
    one, most = rows[0]["step_seconds"], rows[-1]["step_seconds"]
    measured = f"{milliseconds(one)} with {rows[0]['label']}, {milliseconds(most)} with {rows[-1]['label']}"
    side = apart(one, most)
    return Verdict(measured, {-1: HOLDS, 1: FAILS, 0: UNTESTED}[side], "" if side else "inside the spread")


def _falling(found: Found) -> Verdict:
    if "chain" not in found.results:
        return Verdict("–", UNTESTED, "not run yet")
    last = [step["epochs"][-1]["loss"] for step in found.results["chain"]["steps"]]
    falls = all(after < before for before, after in itertools.pairwise(last))
    return Verdict(" -> ".join(f"{loss:.5f}" for loss in last), HOLDS if falls else FAILS, "one run")


def _rising(found: Found) -> Verdict:
    if "chain" not in found.results:
        return Verdict("–", UNTESTED, "not run yet")
    looks = [
        entry["pictures"] for step in found.results["chain"]["steps"] for entry in step["epochs"] if "pictures" in entry
    ]
    risen = {
        score: sum(looks[-1][name][score] > looks[0][name][score] for name in looks[0]) for score in ("psnr", "ssim")
    }
    measured = f"higher after the last epoch than after the first: PSNR of {risen['psnr']} and SSIM of {risen['ssim']}"
    return Verdict(f"{measured} of {len(looks[0])} pictures", HOLDS if min(risen.values()) == len(looks[0]) else FAILS)


def _score(place: str, network: str, published: tuple[float, float]) -> Callable[[Found], Verdict]:
    def judge(found: Found) -> Verdict:
        scored = found.results.get("table-1", {}).get(place, {})
        if "summary" not in scored:
            return Verdict("–", UNTESTED, scored.get("not_run", "not run yet"))
        row = scored["summary"][f"{network}, as published"]
        measured = f"{interval(row['psnr'], 2)} dB, {interval(row['ssim'], 3)}"
        if found.standin:
            return Verdict(measured, UNTESTED, "other pictures")
        wanted = dict(zip(("psnr", "ssim"), published, strict=True))
        inside = all(row[score]["low"] - ROUNDED <= value <= row[score]["high"] + ROUNDED
                     for score, value in wanted.items())  # fmt: skip
        return Verdict(measured, HOLDS if inside else FAILS)

    return judge


def _promising(found: Found) -> Verdict:
    if "table-1" not in found.results:
        return Verdict("–", UNTESTED, "not run yet")
    scores = found.results["table-1"]
    row = scores["validation"]["summary"][scores["figure-6"]["row"]]
    over = {"gray": row["skill"], "one tint": row["over_tint"]}
    apart_from = "; ".join(f"{interval(each, 2, '+')} dB over {name}" for name, each in over.items())
    measured = f"{scores['figure-6']['row']}: {apart_from}"
    if all(each["low"] > 0 for each in over.values()):
        return Verdict(measured, HOLDS)
    if any(each["high"] < 0 for each in over.values()):
        return Verdict(measured, FAILS)
    return Verdict(measured, UNTESTED, "an interval holds 0: no difference shown")


CLAIMS = (
    Claim(
        "the VGG front has approximately 720,000 parameters fewer than the original one",
        "3.2",
        "the counted difference is within 2% of it",
        _difference("front", PUBLISHED_FRONT),
    ),
    Claim(
        "6 capsules instead of 10 save approximately 2,390,000 parameters",
        "Figure 4a",
        "the counted difference is within 2% of it",
        _difference("capsules", PUBLISHED_CAPSULES),
    ),
    Claim(
        "the front with VGG-19's weights learns to a lower loss than the original one",
        "3.2, Figure 4a",
        "every seed's last loss is below every seed's of the other",
        lower("figure-4a", "VGG front, VGG-19's weights", ["original front"]),
    ),
    Claim(
        "(stand-in) so does one with other filters learnt from ImageNet",
        "3.2, Figure 4a",
        "likewise",
        lower("figure-4a", "VGG front, distilled (stand-in)", ["original front"]),
    ),
    Claim(
        "transferred filters are what helps, not the layers alone (stand-in)",
        "3.2, Figure 4a",
        "likewise, against the same front from random weights",
        lower("figure-4a", "VGG front, distilled (stand-in)", ["VGG front, random"]),
    ),
    Claim(
        "batch norm lowers the loss",
        "Figure 4a",
        "likewise, against the same front without",
        lambda found: lower("figure-4a", "with batch norm", [_without_norm(found)])(found),
    ),
    Claim(
        "6 capsules do as well as 10",
        "Figure 4a",
        "10 capsules do not have every seed below every seed of 6",
        _not_worse("figure-4a", "with 6 capsules", lambda _: ["with batch norm"]),
    ),
    Claim(
        "one routing is enough",
        "Figure 4b",
        "no larger number has every seed below every seed of one",
        _not_worse("figure-4b", "1 routing", lambda found: list(found.variants("figure-4b"))[1:]),
    ),
    Claim(
        "more routings cost time",
        "Figure 4b",
        "every measured step with 5 is longer than every one with 1",
        _slower,
    ),
    Claim(
        "patches of 9×9 give the lowest loss",
        "Figure 4c",
        "every seed's last loss is below every seed's of 16×16 and of 32×32",
        lower("figure-4c", "9×9", ["16×16", "32×32"]),
    ),
    Claim("9×9 is the smallest possible patch", "Figure 4c", "no smaller network can be built", _smallest),
    Claim(
        "each of the three steps ends with a lower training loss than the one before",
        "4.1, Figure 5",
        "the last epochs' losses fall",
        _falling,
    ),
    Claim(
        "PSNR and SSIM grow with the epochs",
        "Figure 7",
        "they do for every picture shown, from the first epoch to the last before validation is learnt from",
        _rising,
    ),
    Claim(
        "22.20 dB and SSIM 0.88 on DIV2K validation",
        "Table 1",
        "both lie in our 95% intervals on the same pictures",
        _score("validation", "step 2", PUBLISHED_VALIDATION),
    ),
    Claim(
        "21.08 dB and SSIM 0.85 on DIV2K test",
        "Table 1",
        "likewise",
        _score("test", "step 3", PUBLISHED_TEST),
    ),
    Claim(
        "the results are promising",
        "abstract",
        "as published, PSNR is above gray and above one constant tint, with 95% intervals that leave 0 out",
        _promising,
    ),
)
"""What the paper says, and by which rule it is judged; a verdict is about the data and the time of this page."""


def _without_norm(found: Found) -> str:
    begins = found.variants("figure-4a").get("with batch norm", {}).get("begins", "random")
    return "VGG front, VGG-19's weights" if begins == "vgg" else "VGG front, random"


def spread(values: Sequence[float]) -> str:
    """The mean, and the lowest and the highest where there are several."""
    mean = sum(values) / len(values)
    return f"{mean:.5f} [{min(values):.5f}, {max(values):.5f}]" if len(values) > 1 else f"{mean:.5f}"


def interval(interval: Result, digits: int, sign: str = "") -> str:
    """A mean with the ends of its interval."""
    value, low, high = (f"{interval[end]:{sign}.{digits}f}" for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def milliseconds(seconds: Sequence[float]) -> str:
    """From the shortest to the longest."""
    return f"{1000 * min(seconds):.0f} to {1000 * max(seconds):.0f} ms"
