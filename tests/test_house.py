"""The house: who may import whom. Imports point down the table, and the light half never reaches for the heavy one."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import colorcapsnet

PACKAGE = Path(colorcapsnet.__file__).parent

FLOOR = ["errors", "progress", "remote"]
LEAVES = ["color", "exif", "maps", "paint", "patches", "scale", "heic", "pictures", "layers", "provenance", "metrics"]
KNOWLEDGE = ["zoo", "hints"]
MAIN_JOB = ["colorizer"]
USES = [
    "batch",
    "cluster",
    "steady",
    "video",
    "verify",
    "report",
    "evaluate",
    "uses",
    "calibrate",
    "decide",
    "claims",
    "paper_report",
    "doctor",
]
TABLE = FLOOR + LEAVES + KNOWLEDGE + MAIN_JOB + USES + ["cli"]
LEARN_MAY_USE = {*FLOOR, *LEAVES, "zoo", "evaluate"}


def imports_of(path):
    """Rooms of this package that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("colorcapsnet"):
            parts = node.module.split(".")[1:]
            found |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("colorcapsnet.")}
    return found - {"__version__", "ColorCapsNetError"}


def test_every_room_of_the_light_half_is_in_the_table():
    assert {path.stem for path in PACKAGE.glob("*.py")} == {*TABLE, "__init__", "__main__"}


@pytest.mark.parametrize("room", TABLE)
def test_imports_point_down_the_table(room):
    below = set(TABLE[: TABLE.index(room)]) | ({"learn", "serve"} if room == "cli" else set())
    assert imports_of(PACKAGE / f"{room}.py") <= below


@pytest.mark.parametrize("path", sorted((PACKAGE / "serve").glob("*.py")), ids=lambda path: path.stem)
def test_the_page_is_a_door_that_knows_everything_but_the_command_and_the_heavy_half(path):
    assert imports_of(path) <= {*TABLE, "serve"} - {"cli"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "learn").glob("*.py")), ids=lambda path: path.stem)
def test_the_heavy_half_uses_leaves_cards_and_the_floor(path):
    assert imports_of(path) - {"learn"} <= LEARN_MAY_USE


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_coloring_imports_no_torch():
    code = "import sys, colorcapsnet.decide, colorcapsnet.uses; print(*sys.modules)"
    assert not {"torch", "scipy", "skimage", "tensorboard"} & set(run(code))


def test_help_imports_neither_onnxruntime_nor_torch_nor_the_picture_libraries():
    code = (
        "import sys, click.testing; from colorcapsnet.cli import main;"
        "assert click.testing.CliRunner().invoke(main, ['--help']).exit_code == 0; print(*sys.modules)"
    )
    assert not {"torch", "onnxruntime", "numpy", "cv2", "pyvips"} & set(run(code))


def test_the_public_face_is_exactly_all():
    assert sorted(name for name in dir(colorcapsnet) if not name.startswith("_") or name == "__version__") == sorted(
        colorcapsnet.__all__
    )
    assert all(getattr(colorcapsnet, name) is not None for name in colorcapsnet.__all__)
    with pytest.raises(AttributeError, match="no attribute 'colorise'"):
        colorcapsnet.colorise  # noqa: B018
