"""Write the licenses of all that is installed along: python docs/licenses.py; with --check, say whether they drifted.

Needs an environment with every extra, from the versions in constraints.txt.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

PAGE = Path(__file__).parent / "licenses.md"
LONGEST = 60
NOT_FOR_USERS = {"dev", "docs"}
INSIDE = {
    "av": "FFmpeg with x264 and x265 in the wheel: GPL-2.0-or-later",
    "opencv-python-headless": "FFmpeg in the wheel: LGPL-2.1",
    "pi_heif": "libheif and libde265 in the wheel: LGPL-3.0",
    "pyvips-binary": "libvips and what it needs in the wheel: LGPL-2.1 or later, and MIT, BSD, …",
}


def requirements(name: str, extra: str) -> Iterator[Requirement]:
    """What a distribution asks for, here, under one of its extras ("" for none)."""
    for line in metadata.requires(name) or []:
        asked = Requirement(line)
        if asked.marker is None or asked.marker.evaluate({"extra": extra}):
            yield asked


def closure(asked: Iterator[Requirement], found: dict[str, str]) -> dict[str, str]:
    """Distribution -> license, of all that ``asked`` brings."""
    for each in asked:
        told = metadata.metadata(each.name)
        name = told["Name"]
        if name.lower() != "colorcapsnet" and name not in found:
            found[name] = license_of(told)
            for extra in ("", *each.extras):
                closure(requirements(name, extra), found)
    return found


def license_of(told: metadata.PackageMetadata) -> str:
    """As it says itself: an SPDX expression, else classifiers, else a line of text."""
    classified = [line.split(" :: ")[-1] for line in told.get_all("Classifier", []) if line.startswith("License :: ")]
    named = ", ".join(name for name in classified if name != "OSI Approved")
    text = str(told.get("License", "")).strip().partition("\n")[0]
    short = text if text != "UNKNOWN" and len(text) <= LONGEST else ""
    return told.get("License-Expression") or named or short or "not said"


def page() -> str:
    """The light half first, then what each extra adds to it."""
    parts = [
        "# Licenses of what is installed along",
        "The code of colorcapsnet is Apache-2.0; the weights that ship are for research only ([models.md](models.md)). "
        "As the packages say themselves, on Linux.",
    ]
    light = closure(requirements("colorcapsnet", ""), {})
    parts += ["## To color pictures", table(light)]
    for extra in metadata.metadata("colorcapsnet").get_all("Provides-Extra", []):
        more = closure(requirements("colorcapsnet", extra), {})
        if extra not in NOT_FOR_USERS:
            parts += [f"## `[{extra}]` adds", table({name: more[name] for name in more.keys() - light.keys()})]
    return "\n\n".join(parts) + "\n"


def table(found: dict[str, str]) -> str:
    """One line a distribution."""
    lines = ["| package | license | besides |", "|---|---|---|"]
    for name in sorted(found, key=str.lower):
        lines.append(f"| {name} | {found[name]} | {INSIDE.get(name, '–')} |")
    return "\n".join(lines)


if __name__ == "__main__":
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{PAGE.name} drifted from what is installed: python docs/licenses.py")
