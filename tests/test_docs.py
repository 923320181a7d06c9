"""Documents say what the program does: every verb, recipe and model has a line, and what can run is run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from colorcapsnet import color, hints, pictures, zoo
from colorcapsnet.cli import main
from tests.test_video import write_film

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), ROOT / "samples" / "README.md"]


def run(*command, cwd):
    done = subprocess.run([sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_verb_is_in_the_readme():
    for verb in set(main.commands) - {"report", "models", "prepare"}:
        assert f"colorcapsnet {verb}" in README


def test_verbs_in_the_documents_exist():
    for path in DOCUMENTS:
        for verb in re.findall(r"^ *colorcapsnet ([a-z-]+)", path.read_text(), re.MULTILINE):
            assert verb in main.commands, f"{path.name}: {verb}"


def test_options_in_the_readme_exist():
    known = {option for verb in main.commands.values() for parameter in verb.params for option in parameter.opts}
    known |= {"--nproc-per-node"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) <= known


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!http)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_every_room_is_in_the_readmes_tree():
    hidden = {"__init__", "__main__", "errors", "progress", "exif", "scale", "paint"}
    for path in (ROOT / "colorcapsnet").glob("*.py"):
        assert path.stem in hidden or f"colorcapsnet/{path.name}" in README


def test_every_page_is_on_the_site_and_every_room_in_its_api():
    """Each in a toctree of docs/index.md; what has docstrings in docs/api.md or docs/api-learn.md."""
    listed = re.findall(r"^[a-z/-]+$", (ROOT / "docs/index.md").read_text(), re.MULTILINE)
    pages = [path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted({*pages} - {"index"})
    api = "".join((ROOT / "docs" / name).read_text() for name in ("api.md", "api-learn.md"))
    documented = set(re.findall(r"automodule:: colorcapsnet\.([\w.]+)", api))
    rooms = [path.relative_to(ROOT / "colorcapsnet") for path in (ROOT / "colorcapsnet").rglob("*.py")]
    there = {".".join(path.with_suffix("").parts) for path in rooms if not path.stem.startswith("__")}
    assert documented == there - {"cli"}


def test_pages_that_the_program_writes_say_what_it_says_now():
    run(ROOT / "docs/generate.py", "--check", cwd=ROOT)


def test_the_version_is_the_same_wherever_it_stands():
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_package_that_coloring_needs_is_in_the_licenses():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    users = {name: needed for name, needed in project["optional-dependencies"].items() if name not in ("dev", "docs")}
    page = (ROOT / "docs/licenses.md").read_text().lower().replace("_", "-")
    assert all(f"## `[{extra}]` adds" in page for extra in users)
    for line in [*project["dependencies"], *(line for needed in users.values() for line in needed)]:
        assert f"| {re.split('[><=[]', line)[0].lower().replace('_', '-')} |" in page, line


@pytest.mark.medium
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="pip install 'colorcapsnet[docs]'")
    run("-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", ROOT / "docs", tmp_path, cwd=ROOT)
    for page in ("index", "cli", "models", "api", "paper/paper"):
        assert (tmp_path / f"{page}.html").exists()
    for page in tmp_path.rglob("*.html"):
        for target in re.findall(r'href="([^":#?]+\.html)', page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def python_blocks(path):
    return re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)


def test_the_readmes_python_runs(tmp_path):
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    for block in python_blocks(ROOT / "README.md"):
        run("-c", block, cwd=tmp_path)
    assert pictures.read(tmp_path / "chelsea-color.png").array.shape == (300, 451, 3)
    assert pictures.read(tmp_path / "navy.jpg").array.shape == (600, 512, 3)
    assert pictures.read(tmp_path / "coffee-hinted.png").array.shape == (400, 600, 3)


def test_the_python_of_docs_deep_runs(tmp_path):
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    (block,) = python_blocks(ROOT / "docs/deep.md")
    told = run("-c", block + "print(len(others), sure.shape == hinted.shape[:2], red.array.shape)", cwd=tmp_path)
    assert told.split("(")[0].split() == ["3", "True"]


def test_the_python_of_docs_stills_runs(tmp_path):
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    block = next(block for block in python_blocks(ROOT / "docs/stills.md") if "minutes" not in block)
    assert run("-c", block + "print(chroma.shape)", cwd=tmp_path) == "(300, 451, 2)\n"
    assert pictures.read(tmp_path / "chelsea-layer.png").array.dtype == np.uint16


def test_the_python_and_the_json_of_docs_decide_run(tmp_path):
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    (block,) = python_blocks(ROOT / "docs/decide.md")
    told = run("-c", block + "print(numbers.shape, sure.shape, len(others), len(where))", cwd=tmp_path)
    assert told.split("\n")[0] == "(512, 512, 3) (512, 512) 4 5"
    (text,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs/decide.md").read_text(), re.DOTALL)
    assert len(hints.from_json(text).given) == 1


def test_the_python_of_docs_stills_colors_every_page(tmp_path):
    gray = pictures.read(ROOT / "samples/chelsea.png").gray
    pages = [pictures.Picture(gray[:60, :80].copy()), pictures.Picture(gray[60:90, :50].copy())]
    pictures.write_pages(pages, tmp_path / "minutes.tif")
    block = next(block for block in python_blocks(ROOT / "docs/stills.md") if "minutes" in block)
    run("-c", block, cwd=tmp_path)
    shapes = [page.array.shape for page in pictures.read_pages(tmp_path / "minutes-color.tif")]
    assert shapes == [(60, 80, 3), (30, 50, 3)]


@pytest.mark.medium
def test_the_commands_of_docs_decide_run(tmp_path):
    """Line by line, in a folder with the samples."""
    for name in ("astronaut.png", "rocket.jpg"):
        (tmp_path / name).write_bytes((ROOT / "samples" / name).read_bytes())
    lines = re.findall(r"^colorcapsnet (.*)$", (ROOT / "docs/decide.md").read_text(), re.MULTILINE)
    assert len(lines) == 6
    for line in lines:
        run("-m", "colorcapsnet", *shlex.split(re.sub(r" +# .*", "", line)), cwd=tmp_path)
        if "suggest-hints" in line:
            asked = tmp_path / "astronaut.json"
            asked.write_text(asked.read_text().replace("null", '"#d06010"', 1))
    made = {path.name for path in tmp_path.iterdir()}
    assert {"map.png", "third.png", "points.png", "astronaut-color.png", "rocket-color-sheet.jpg"} <= made


def test_the_readmes_table_is_the_shipped_models_own():
    """Each row of the cards stands in the README with the same PSNR."""
    for model in ("paper", "deep"):
        rows = zoo.Card.load(zoo.find(model).with_suffix(".json")).scores["bsds500/val"]["rows"]
        for name, row in rows.items():
            assert re.search(rf"^\| {re.escape(name)} \| {row['psnr']['value']:.2f} ", README, re.MULTILINE), name


def test_the_python_of_docs_start_runs(tmp_path):
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    (block,) = python_blocks(ROOT / "docs/start.md")
    run("-c", block, cwd=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"samples", "chelsea-color.png", "evening.jpg"}


def test_example_of_one_picture_keeps_every_gray_code(tmp_path):
    told = run(ROOT / "examples/one_picture.py", ROOT / "samples/chelsea.png", "out.png", cwd=tmp_path)
    assert "every gray code kept: True" in told


def test_example_of_a_folder_goes_on_where_it_was(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes((ROOT / "samples/chelsea.png").read_bytes())
    assert "1 colored" in run(ROOT / "examples/folder.py", "in", "out", cwd=tmp_path)
    assert "1 skipped" in run(ROOT / "examples/folder.py", "in", "out", cwd=tmp_path)


def test_example_of_hints_puts_the_color_where_it_was_given_and_asks_for_another_place(tmp_path):
    told = run(ROOT / "examples/hints.py", ROOT / "samples/astronaut.png", "a.png", "100,300=#d06010", cwd=tmp_path)
    x, y = map(int, re.findall(r"a color at (\d+),(\d+)", told)[0])
    assert np.hypot(x - 100, y - 300) > 30
    _, a, b = color.srgb_to_lab(pictures.read(tmp_path / "a.png").array)[300, 100]
    _, wanted_a, wanted_b = color.srgb_to_lab(np.array([[[0xD0, 0x60, 0x10]]], np.uint8))[0, 0]
    assert abs(np.arctan2(b, a) - np.arctan2(wanted_b, wanted_a)) < 0.1  # the hue; chroma gives way to the gamut


def test_example_of_decisions_draws_the_pictures_of_its_page(tmp_path):
    run(ROOT / "examples/decide.py", ROOT / "samples", tmp_path, cwd=tmp_path)
    for name in ("decide.jpg", "decide-hints.jpg"):
        shown, drawn = pictures.read(ROOT / "docs" / name).array, pictures.read(tmp_path / name).array
        assert shown.shape == drawn.shape
        assert np.abs(shown.astype(int) - drawn).mean() < 2


def test_the_python_and_the_json_of_docs_video_run(tmp_path):
    (block,) = python_blocks(ROOT / "docs/video.md")
    assert run("-c", block, cwd=tmp_path) == "(90, 160, 3)\n" * 5
    (text,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs/video.md").read_text(), re.DOTALL)
    assert hints.from_json(text).time == 12.5


def test_example_of_a_film_is_steadier_than_its_frames_alone(tmp_path):
    rng, gray = np.random.default_rng(0), pictures.read(ROOT / "samples/chelsea.png").gray[:96, :128]
    frames = [np.clip(gray + rng.normal(0, 6, gray.shape), 0, 255).astype(np.uint8) for _ in range(12)]
    write_film(tmp_path / "film.mkv", frames)
    told = run(ROOT / "examples/video.py", "film.mkv", "out.mp4", cwd=tmp_path)
    steady, alone = map(float, re.findall(r"changes by ([\d.]+)", told))
    assert 0 < steady < alone / 2
    assert (tmp_path / "out.mp4").stat().st_size > 1000


@pytest.mark.medium
def test_example_of_training_learns(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes((ROOT / "samples/chelsea.png").read_bytes())
    losses = re.findall(r"loss ([\d.]+)", run(ROOT / "examples/train_eight_pictures.py", "in", "run", cwd=tmp_path))
    assert len(losses) == 3
    assert float(losses[-1]) < float(losses[0])
