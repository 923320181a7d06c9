"""Pictures by URL: planned as paths are, fetched, brought away whole, and a path of this machine is left alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path, PurePosixPath

import click.testing
import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from colorcapsnet import batch, pictures, remote
from colorcapsnet.cli import main
from colorcapsnet.errors import MissingExtra, OutputError, PictureError, PlaceError
from colorcapsnet.pictures import Picture
from colorcapsnet.remote import Url, place
from tests.test_batch import Sepia
from tests.tiny import write_photograph_model

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)
NAMES = ["1.png", "box [1]/2.png", "box [1]/3.jpg"]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(params=["memory://{}", "file://{here}/{}", "dir://{}::file://{here}"])
def at(request, tmp_path):
    """Name of a folder -> its URL, in one kind of file system after another."""
    return lambda name: place(request.param.format(name, here=tmp_path))


def put(url, content):
    system, path = fsspec.url_to_fs(str(url))
    system.makedirs(path.rpartition("/")[0] or "/", exist_ok=True)
    system.pipe_file(path, content)


def get(url):
    system, path = fsspec.url_to_fs(str(url))
    return system.cat_file(path)


def names(url):
    """Every file below, hidden ones too."""
    system, path = fsspec.url_to_fs(str(url))
    return sorted(name.removeprefix(path).lstrip("/") for name in system.find(path))


def album(folder):
    for name in NAMES:
        put(folder / name, pictures.encode(Picture(PIXELS), name[-3:]))
    put(folder / "notes.txt", b"no picture")
    put(folder / ".thumbnails/1.png", b"")
    return folder


def colorize(inputs, output, **options):
    return batch.colorize_all(batch.plan(inputs, output, **options), Sepia())


# Names


@pytest.mark.parametrize("text", ["a.png", "a/b", "C:/a.png", "a::b", "/a", "-", "1://x", "x:/y"])
def test_what_is_no_url_is_a_path(text):
    assert place(text) == Path(text)


parts = st.lists(st.sampled_from(["a", "x.y.png", ".hidden", "b c", "ä", "é::"[:1]]), min_size=1, max_size=4)


@given(parts, st.sampled_from(["s3", "dir", "memory"]), st.sampled_from(["", "::file:///tmp", "::s3://b/x.zip"]))
def test_parts_of_urls_are_those_of_posix_paths(parts, scheme, chain):
    path = PurePosixPath(*parts)
    url = place(f"{scheme}://{path}{chain}")
    assert str(url) == f"{scheme}://{path}{chain}"
    assert (url.name, url.stem, url.suffix) == (path.name, path.stem, path.suffix)
    assert url.parent / url.name == url
    assert url.with_name("z.tif").path == str(path.with_name("z.tif"))
    assert (url / "q/r.png").path == str(path / "q/r.png")


# Folders


def test_a_folder_comes_out_in_color_with_its_tree(at):
    outcomes = colorize([album(at("scans"))], at("colored"))
    assert [outcome.status for outcome in outcomes] == ["done"] * 3, batch.summary(outcomes)
    assert names(at("colored")) == NAMES
    for name in NAMES[:2]:
        assert np.array_equal(pictures.read(get(at("colored") / name)).array[..., 0], PIXELS)
    assert pictures.read(get(at("colored") / NAMES[2])).array.shape == (40, 50, 3)


def test_a_second_run_colors_only_what_is_not_there(at):
    colorize([album(at("scans"))], at("colored"), only=["1.*"])
    before = get(at("colored") / "1.png")
    put(at("colored") / "box [1]/2.png", b"")
    again = Sepia()
    jobs = batch.plan([at("scans")], at("colored"))
    outcomes = batch.colorize_all(jobs, again)
    assert [outcome.status for outcome in outcomes] == ["skipped", "failed", "done"]
    assert outcomes[1].message.startswith(f"{at('colored') / NAMES[1]} is there already")
    assert len(again.seen) == 2
    assert get(at("colored") / "1.png") == before
    outcomes = batch.colorize_all(batch.plan([at("scans")], at("colored"), overwrite=True), again, overwrite=True)
    assert [outcome.status for outcome in outcomes] == ["done"] * 3
    assert names(at("colored")) == NAMES


def test_from_there_to_here_and_from_here_to_there(at):
    colorize([album(at("scans"))], Path("here"))
    made = sorted(path.relative_to("here").as_posix() for path in Path("here").rglob("*.*"))
    assert made == NAMES
    colorize([Path("here")], at("there"))
    assert names(at("there")) == NAMES


def test_without_an_output_results_lie_beside(at):
    album(at("in/scans"))
    (job, *_) = batch.plan([at("in/scans")])
    assert job.target == at("in/scans-color") / "1.png"
    (job,) = batch.plan([at("in/scans") / "1.png"])
    assert job.target == at("in/scans") / "1-color.png"


def test_nothing_lies_beside_a_bucket():
    put(Url("memory", "bucket/1.png"), b"")
    with pytest.raises(OutputError, match="memory://bucket has nothing beside it: name an output folder"):
        batch.plan([place("memory://bucket")])


def test_the_output_folder_is_not_an_input(at):
    colorize([album(at("scans"))], at("scans/out"))
    assert {outcome.status for outcome in colorize([at("scans")], at("scans/out"))} == {"skipped"}


def test_a_broken_picture_is_named_by_its_url_and_stops_nothing(at):
    put(album(at("scans")) / "1.png", b"no picture")
    outcomes = colorize([at("scans")], at("colored"))
    assert [outcome.status for outcome in outcomes] == ["failed", "done", "done"]
    assert str(at("scans") / "1.png") in outcomes[0].message
    assert "/colorcapsnet-" not in outcomes[0].message
    assert names(at("colored")) == NAMES[1:]


@pytest.mark.parametrize("dies", ["pipe_file", "mv"])
def test_nothing_half_written_ever_has_a_name(dies, tmp_path, monkeypatch):
    """A file system breaks down while a result is brought away: before, nothing has the name, or what was there."""

    def broken(self, path, *_, **__):
        Path(path).write_bytes(b"half")
        raise OSError(28, "no space")

    folder, out = album(place(f"file://{tmp_path}/scans")), place(f"file://{tmp_path}/colored")
    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, dies, broken)
        outcomes = colorize([folder], out)
    assert [outcome.status for outcome in outcomes] == ["failed"] * 3
    assert "no space" in outcomes[0].message
    assert names(out) == []
    assert [outcome.status for outcome in colorize([folder], out)] == ["done"] * 3
    assert names(out) == NAMES


def test_a_store_without_renaming_takes_a_picture_in_one_call(monkeypatch):
    calls = []
    whole = MemoryFileSystem.pipe_file
    folder = album(place("memory://scans"))
    monkeypatch.setattr(
        MemoryFileSystem, "pipe_file", lambda self, path, *rest, **named: (calls.append(path), whole(self, path, *rest))
    )
    colorize([folder], place("memory://colored"))
    assert sorted(calls) == [f"/colored/{name}" for name in NAMES]


def test_local_paths_never_meet_fsspec(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    pictures.write(Picture(PIXELS), Path("a.png"))
    assert [outcome.status for outcome in colorize([Path("a.png")], Path("b.png"))] == ["done"]


# What is refused


def refused(problem, inputs, output=None, **options):
    with pytest.raises(problem) as told:
        batch.plan([place(given) for given in inputs], output and place(output), **options)
    return str(told.value)


def test_what_is_not_there_is_refused():
    assert refused(PictureError, ["memory://none"]) == "memory://none does not exist: check the name"
    put(Url("memory", "box/notes.txt"), b"")
    assert refused(PictureError, ["memory://box"], "memory://out").startswith("memory://box holds no pictures")


def test_what_is_not_installed_gives_its_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert refused(MissingExtra, ["s3://bucket/scans"]).endswith("pip install 'fsspec[s3]'")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert refused(MissingExtra, ["s3://bucket/scans"]).endswith("pip install 'colorcapsnet[cluster]'")


def test_a_kind_of_url_that_nobody_knows_is_said():
    assert "nope://x cannot be reached (Protocol not known: nope)" in refused(PlaceError, ["nope://x"])


# As a person types


def run(*arguments, code=0):
    done = click.testing.CliRunner().invoke(main, [str(each) for each in arguments])
    assert done.exit_code == code, done.output
    return done


def test_urls_on_the_command_line(at, tmp_path):
    model = write_photograph_model(tmp_path)
    folder, out, report = album(at("scans")), at("colored"), at("told/report.json")
    chosen = ["colorize", folder, "-o", out, "--only", "*.png", "--model", model]
    assert run(*chosen, "--dry-run").stdout.splitlines() == [f"{folder / n} -> {out / n}" for n in NAMES[:2]]
    assert run(*chosen, "--vivid", "--report", report).stdout.splitlines() == [str(out / name) for name in NAMES[:2]]
    assert names(out) == NAMES[:2]
    rows = json.loads(get(report))["pictures"]
    assert [(row["target"], row["status"]) for row in rows] == [(str(out / name), "done") for name in NAMES[:2]]
    one = [folder / "1.png", "-o", out / "one.tif", "--model", model]
    run("colorize", *one, "--recolor", "10,10=#a03020")
    assert "there already" in run("colorize", *one, code=1).output
    assert "for files of this machine" in run("colorize", *one, "--force", "--candidates", 2, code=1).output
    run("colorize", folder / "1.png", "-o", out / "layer.png", "--model", model, "--chroma-only", "layer")
    assert pictures.read(get(out / "layer.png")).array.dtype == np.uint16
    through = run("colorize", folder / "1.png", "-o", "-", "--model", model)
    assert pictures.read(through.stdout_bytes).array.shape == (40, 50, 3)


def test_reading_and_writing_leave_paths_of_this_machine_as_they_are():
    with remote.reading(Path("a")) as source, remote.writing(Path("b")) as target:
        assert (source, target) == (Path("a"), Path("b"))
    assert not list(Path().iterdir())
