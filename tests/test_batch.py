"""Many pictures: every output is named before the first is colored, nothing is lost, and a second run goes on."""

from __future__ import annotations

import os
import pickle
import tempfile
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorcapsnet import batch, pictures, progress
from colorcapsnet.batch import Job, Outcome
from colorcapsnet.errors import HintError, OutputError, PictureError
from colorcapsnet.pictures import FORMATS, SUFFIXES, Picture


class Sepia:
    """Tints pictures, and remembers which."""

    def __init__(self):
        self.seen = []

    def colorize(self, picture, advance=None, strength=1.0):
        self.seen.append(picture.name)
        return picture.with_color(np.dstack([picture.gray, picture.gray // 2, picture.gray // 4]))


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def gray(path, size=(6, 8)):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(path))).integers(0, 256, size, np.uint8)
    name = path.with_suffix(".png") if path.suffix == ".gif" else path
    pictures.write(Picture(pixels), name)
    if path.suffix == ".gif":
        name.rename(path)
    return path


def grays(*paths):
    return [gray(path) for path in paths]


def targets(jobs):
    return [job.target.as_posix() for job in jobs]


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


# Names


def test_a_picture_without_an_output_gets_one_beside_it():
    grays("old/aunt.jpg", "old/boat.tif")
    assert targets(batch.plan([Path("old/aunt.jpg")])) == ["old/aunt-color.jpg"]
    assert targets(batch.plan([Path("old/aunt.jpg"), Path("old/boat.tif")])) == [
        "old/aunt-color.jpg",
        "old/boat-color.tif",
    ]


def test_a_picture_goes_to_the_file_that_is_named():
    gray("aunt.jpg")
    assert targets(batch.plan([Path("aunt.jpg")], Path("new/place/anna.png"))) == ["new/place/anna.png"]
    assert targets(batch.plan([Path("aunt.jpg")], Path("anna.JPEG"), format="jpg")) == ["anna.JPEG"]


def test_a_picture_goes_into_the_folder_that_is_named():
    gray("aunt.jpg")
    Path("scans.2024").mkdir()
    assert targets(batch.plan([Path("aunt.jpg")], Path("out"))) == ["out/aunt.jpg"]
    assert targets(batch.plan([Path("aunt.jpg")], Path("scans.2024"))) == ["scans.2024/aunt.jpg"]


def test_a_folder_without_an_output_gets_one_beside_it():
    gray("album/1.jpg")
    assert targets(batch.plan([Path("album")])) == ["album-color/1.jpg"]
    os.chdir("album")
    beside = Path.cwd().with_name("album-color") / "1.jpg"
    assert targets(batch.plan([Path()])) == [beside.as_posix()]
    Path("deeper").mkdir()
    os.chdir("deeper")
    assert targets(batch.plan([Path("..")])) == [beside.as_posix()]


def test_what_has_no_place_beside_it_needs_an_output():
    with pytest.raises(OutputError, match="/ has nothing beside it: name an output folder"):
        batch.plan([Path("/")])


def test_files_and_folders_may_be_mixed_and_keep_their_order():
    grays("z.png", "album/b/2.png", "album/a/3.png", "album/1.png", "c.png")
    jobs = batch.plan([Path("z.png"), Path("album"), Path("c.png")], Path("out"))
    assert targets(jobs) == ["out/z.png", "out/1.png", "out/a/3.png", "out/b/2.png", "out/c.png"]


def test_a_picture_that_is_given_twice_is_colored_once():
    grays("album/1.png", "album/2.png")
    jobs = batch.plan([Path("album"), Path("album/1.png"), Path("album")], Path("out"))
    assert targets(jobs) == ["out/1.png", "out/2.png"]


@pytest.mark.parametrize(
    ("source", "format", "target"),
    [
        ("1.JPG", None, "1.JPG"),
        ("1.jpeg", "jpg", "1.jpeg"),
        ("1.jpeg", "png", "1.png"),
        ("1.tif", "tiff", "1.tif"),
        ("1.png", "tiff", "1.tif"),
        ("1.gif", None, "1.png"),
        ("1.gif", "webp", "1.webp"),
        ("1.avif", None, "1.avif"),
        ("1.HEIC", None, "1.png"),
        ("1.heif", "avif", "1.avif"),
        ("a.b.png", "jpg", "a.b.jpg"),
        ("scan.001", None, "scan.001.png"),
        ("scan", "jpg", "scan.jpg"),
    ],
)
def test_the_format_is_the_inputs_or_the_one_asked_for_or_png(source, format, target):
    Path(source).touch()
    assert targets(batch.plan([Path(source)], Path("out"), format=format)) == [f"out/{target}"]
    assert targets(batch.plan([Path(source)], format=format)) == [f"{Path(target).stem}-color{Path(target).suffix}"]


parts = st.sampled_from(["a", "A", "b c", "ä", "x.y", "é́", "-", ".hidden", "日本", "a-color"])
suffixes = st.sampled_from([*SUFFIXES, ".JPG", ".txt", ""])
trees = st.sets(
    st.builds(lambda folders, name, suffix: (*folders, name + suffix), st.lists(parts, max_size=2), parts, suffixes)
)


@given(trees, st.sampled_from([None, *FORMATS]), st.sampled_from(["out", "album/out", "album/b c"]))
def test_any_tree_is_kept_below_the_output_without_two_pictures_in_one_place(tree, format, output):
    with tempfile.TemporaryDirectory() as place:
        album, output = Path(place, "album"), Path(place, output)
        album.mkdir()
        for parts in tree:
            if not any(Path(album, *parts[:depth]).is_file() for depth in range(1, len(parts) + 1)):
                Path(album, *parts[:-1]).mkdir(parents=True, exist_ok=True)
                if not Path(album, *parts).exists():
                    Path(album, *parts).touch()
        wanted = {
            path
            for path in album.rglob("*")
            if path.is_file()
            and path.suffix.lower() in SUFFIXES
            and not any(part.startswith(".") for part in path.relative_to(album).parts)
            and not path.is_relative_to(output)
        }
        try:
            jobs = batch.plan([album], output, format=format)
        except PictureError:
            assert not wanted
            return
        except OutputError as refused:
            stems = [path.with_suffix("") for path in wanted]
            meeting = len(set(stems)) < len(stems) and (
                format or any(SUFFIXES[path.suffix.lower()] not in FORMATS for path in wanted)
            )
            assert meeting or any(path.is_file() for path in [output, *output.rglob("*")]), refused
            return
        assert {job.source for job in jobs} == wanted
        assert len({job.target for job in jobs}) == len(jobs)
        assert not {job.target for job in jobs} & wanted
        for job in jobs:
            below, own = job.target.relative_to(output), SUFFIXES[job.source.suffix.lower()]
            assert below.with_suffix("") == job.source.relative_to(album).with_suffix("")
            assert SUFFIXES[job.target.suffix.lower()] == (format or (own if own in FORMATS else "png"))


def test_ten_thousand_pictures_are_planned_in_the_order_of_their_names():
    Path("album").mkdir()
    for number in range(10_000):
        Path(f"album/{number:05}.png").touch()
    jobs = batch.plan([Path("album")], Path("out"))
    assert targets(jobs) == [f"out/{number:05}.png" for number in range(10_000)]


@pytest.mark.parametrize(
    ("only", "skip", "left"),
    [
        (["*_master.tif"], [], ["1_master.tif", "box1/2_master.TIF", "box1/deep/3_master.tif"]),
        (["*_MASTER.tif"], ["box1/*"], ["1_master.tif"]),
        (["box1/*"], [], ["box1/2.jpg", "box1/2_master.TIF", "box1/deep/3_master.tif"]),
        (["[13]_*", "2.*"], [], ["1_master.tif", "box1/2.jpg", "box1/deep/3_master.tif"]),
        ([], ["*_master.tif"], ["1.jpg", "box1/2.jpg"]),
        (["*/deep/?_*"], [], ["box1/deep/3_master.tif"]),
    ],
)
def test_patterns_choose_by_name_and_with_a_slash_by_the_path_below_the_folder(only, skip, left):
    grays(*(f"box1/{name}" for name in ["1_master.tif", "1.jpg", "box1/2.jpg", "box1/2_master.TIF"]))
    gray("box1/box1/deep/3_master.tif")
    jobs = batch.plan([Path("box1")], Path("out"), only=only, skip=skip)
    assert sorted(targets(jobs)) == sorted(f"out/{name}" for name in left)


def test_patterns_hold_for_files_that_are_named_too():
    grays("a/1_master.png", "a/1.png", "b/2.png")
    jobs = batch.plan([Path("a/1_master.png"), Path("a/1.png"), Path("b")], Path("out"), only=["1_*", "2*"])
    assert targets(jobs) == ["out/1_master.png", "out/2.png"]


def test_what_patterns_leave_out_cannot_clash():
    grays("album/x.png", "album/x.jpg")
    assert targets(batch.plan([Path("album")], Path("out"), format="png", skip=["*.jpg"])) == ["out/x.png"]


# What is refused before the first picture


def refused(inputs, output=None, **options):
    before = files_below(".")
    with pytest.raises((OutputError, PictureError)) as problem:
        batch.plan([Path(given) for given in inputs], None if output is None else Path(output), **options)
    assert files_below(".") == before
    assert "\n" not in str(problem.value)
    return f"{type(problem.value).__name__}: {problem.value}"


def test_two_pictures_with_one_target_are_refused_by_name():
    grays("a/1.jpg", "b/1.jpg", "album/x.png", "album/x.jpg")
    both = "would both become out/{}: rename one, or color them into different folders"
    assert refused(["a/1.jpg", "b/1.jpg"], "out") == f"OutputError: a/1.jpg and b/1.jpg {both.format('1.jpg')}"
    assert refused(["a", "b"], "out") == f"OutputError: a/1.jpg and b/1.jpg {both.format('1.jpg')}"
    assert refused(["album"], "out", format="png") == (
        f"OutputError: album/x.jpg and album/x.png {both.format('x.png')}"
    )
    assert len(batch.plan([Path("album")], Path("out"))) == 2


def test_one_target_by_two_ways_is_one_target():
    grays("a/1.jpg", "b/deep/1.jpg")
    Path("out").mkdir()
    Path("out/deep").symlink_to(".")
    assert "would both become out/deep/1.jpg" in refused(["a", "b"], "out")


def test_names_that_differ_in_case_only_are_two_pictures():
    grays("album/x.png", "album/X.png")
    if len(files_below("album")) == 1:
        pytest.skip("this file system does not tell them apart")
    assert targets(batch.plan([Path("album")], Path("out"))) == ["out/X.png", "out/x.png"]


def test_an_input_is_never_replaced():
    grays("album/1.jpg", "album/1-color.jpg")
    message = "OutputError: {} is an input, and {} in color would replace it: name another output"
    own = message.format("album/1.jpg", "album/1.jpg")
    assert refused(["album/1.jpg"], "album/1.jpg", overwrite=True) == own
    assert refused(["album/1.jpg"], "album", overwrite=True) == own
    assert refused(["album/1.jpg", "album/1-color.jpg"], overwrite=True) == message.format(
        "album/1-color.jpg", "album/1.jpg"
    )
    Path("alias").symlink_to("album")
    assert refused(["album"], "alias", overwrite=True) == message.format("alias/1-color.jpg", "album/1-color.jpg")
    Path("link.jpg").symlink_to("album/1.jpg")
    assert refused(["link.jpg"], "album/1.jpg", overwrite=True) == message.format("album/1.jpg", "link.jpg")


def test_an_only_picture_that_is_there_already_is_refused_without_force():
    grays("1.png", "out/1.png", "1-color.png")
    ending = "is there already: choose another output, or replace it with --force"
    assert refused(["1.png"], "out/1.png") == f"OutputError: out/1.png {ending}"
    assert refused(["1.png"], "out") == f"OutputError: out/1.png {ending}"
    assert refused(["1.png"]) == f"OutputError: 1-color.png {ending}"
    assert targets(batch.plan([Path("1.png")], Path("out"), overwrite=True)) == ["out/1.png"]


def test_a_missing_input_is_refused_by_name():
    gray("here.png")
    Path("nowhere.png").symlink_to("gone.png")
    assert refused(["here.png", "gone.png"], "out") == "PictureError: gone.png does not exist: check the name"
    assert refused(["nowhere.png"]) == "PictureError: nowhere.png does not exist: check the name"
    assert refused(["n" * 300 + ".png"]).endswith("does not exist: check the name")


def test_a_folder_without_pictures_says_what_it_looked_for():
    Path("album/.thumbnails").mkdir(parents=True)
    Path("album/.thumbnails/1.png").touch()
    Path("album/notes.txt").touch()
    assert refused(["album"]) == (
        "PictureError: album holds no pictures: "
        "their names end in .avif, .gif, .heic, .heif, .jfif, .jpe, .jpeg, .jpg, .png, .tif, .tiff, .webp"
    )


def test_patterns_that_leave_nothing_are_said_with_a_name_that_they_were_held_against():
    grays("album/box/1.tif", "album/2.tif")
    assert refused(["album"], only=["*_master.tif"], skip=["b c"]) == (
        "PictureError: none of 2 pictures is left by --only '*_master.tif' --skip 'b c' (the first is 2.tif): "
        "a pattern is held against names, or with a slash against paths below the folder"
    )


def test_a_folder_that_cannot_be_read_is_refused_not_left_out(monkeypatch):
    grays("album/1.png", "album/locked/2.png")
    scan = os.scandir

    def guarded(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(PictureError, match=r"album/locked cannot be read \(Permission denied\): nothing was colored"):
        batch.plan([Path("album")])


def test_an_output_that_cannot_be_is_refused():
    grays("1.png", "2.png", "album/deep/3.png")
    Path("taken.txt").touch()
    Path("broken").symlink_to("nowhere")
    Path("out").mkdir()
    Path("out/deep").touch()
    assert refused(["1.png", "2.png"], "taken.txt") == "OutputError: taken.txt is not a folder: name another output"
    assert refused(["1.png", "2.png"], "broken") == "OutputError: broken is not a folder: name another output"
    assert refused(["album"], "out") == "OutputError: out/deep is not a folder: name another output"
    assert refused(["1.png", "2.png"], "both.png") == (
        "OutputError: both.png is the name of one picture, and there may be more: name a folder"
    )
    assert refused(["album"], "both.png").startswith("OutputError: both.png is the name of one picture")


def test_an_output_that_may_not_be_written_is_refused(monkeypatch):
    gray("1.png")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != Path())
    assert refused(["1.png"], "new/out") == (
        "OutputError: the folder . may not be written: name another output, or give yourself the right"
    )


def test_a_format_that_cannot_be_written_is_refused():
    gray("1.png")
    known = "one of jpg, png, tiff, webp, avif"
    assert refused(["1.png"], format="bmp") == f"OutputError: the format bmp cannot be written: choose {known}"
    assert refused(["1.png"], "2.gif") == (
        f"OutputError: 2.gif does not say a format that can be written: end it in {known}, or make the folder first"
    )
    assert refused(["1.png"], "2.jpg", format="png") == (
        "OutputError: 2.jpg ends in .jpg, but the format is png: make them agree"
    )


# What a folder's walk enters


def test_the_output_folder_is_not_an_input():
    grays("album/1.png", "album/out/1.png", "album/other/1.png")
    assert targets(batch.plan([Path("album")], Path("album/out"))) == ["album/out/1.png", "album/out/other/1.png"]
    Path("elsewhere").symlink_to("album/out")
    assert len(batch.plan([Path("album")], Path("elsewhere"))) == 2


def test_links_in_a_loop_end():
    grays("album/1.png", "album/deep/2.png")
    Path("album/deep/up").symlink_to("..")
    Path("album/self.png").symlink_to("self.png")
    Path("entry").symlink_to("album")
    jobs = batch.plan([Path("entry")], Path("out"))
    assert targets(jobs) == ["out/1.png", "out/self.png", "out/deep/2.png"]
    first, loop, second = batch.colorize_all(jobs, Sepia())
    assert (first.status, second.status) == ("done", "done")
    assert (loop.status, loop.message.split(" (")[0]) == ("failed", "entry/self.png cannot be opened")


# Coloring


def test_a_folder_comes_out_in_color_with_its_tree():
    grays("album/1.png", "album/deep/er/2.tif", "album/ünï 日本.webp", "album/3.gif")
    outcomes = batch.colorize_all(batch.plan([Path("album")], Path("out")), Sepia())
    assert [outcome.status for outcome in outcomes] == ["done"] * 4
    assert files_below("out") == ["1.png", "3.png", "deep/er/2.tif", "ünï 日本.webp"]
    source, result = pictures.read("album/deep/er/2.tif"), pictures.read("out/deep/er/2.tif")
    assert np.array_equal(result.array, Sepia().colorize(source).array)


def test_outcomes_are_in_the_order_of_the_jobs_even_if_the_first_takes_longest():
    jobs = batch.plan(grays(*(f"{number}.png" for number in range(8))), Path("out"))
    others = threading.Event()

    class FirstWaits(Sepia):
        def colorize(self, picture, advance=None, strength=1.0):
            if picture.name == "0.png":
                assert others.wait(30)
            elif picture.name == "7.png":
                others.set()
            return super().colorize(picture, advance)

    outcomes = batch.colorize_all(jobs, FirstWaits())
    assert [(outcome.job, outcome.status) for outcome in outcomes] == [(job, "done") for job in jobs]


def test_one_broken_file_never_stops_the_rest():
    grays("album/1.png", "album/5.png")
    Path("album/2.png").touch()
    Path("album/3.png").write_bytes(Path("album/1.png").read_bytes()[:60])
    Path("album/4.png").write_text("not a picture")
    outcomes = batch.colorize_all(batch.plan([Path("album")], Path("out")), Sepia())
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "failed", "failed", "done"]
    assert files_below("out") == ["1.png", "5.png"]
    assert batch.summary(outcomes).splitlines() == [
        "2 colored, 3 failed:",
        "  album/2.png is empty: get another copy of the file",
        "  album/3.png is damaged, cut short, or of an unusual kind (png): get another copy of the file",
        "  album/4.png is not a JPEG, PNG, TIFF, WebP, AVIF, HEIC or GIF picture: convert it to one of these",
    ]


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (MemoryError(), "MemoryError"),
        (MemoryError("no 9 GB"), "MemoryError: no 9 GB"),
        (RuntimeError("two\n  lines"), "RuntimeError: two lines"),
        (PictureError("too dark: scan it again"), "too dark: scan it again"),
    ],
)
def test_whatever_goes_wrong_with_a_picture_is_one_line_of_its_outcome(problem, message):
    job = Job(gray("1.png"), Path("out/1.png"))

    class Broken:
        def colorize(self, picture, advance=None, strength=1.0):
            raise problem

    outcome = batch.colorize_one(job, Broken())
    assert (outcome.job, outcome.status, outcome.message) == (job, "failed", message)
    assert batch.summary([outcome]) == f"0 colored, 1 failed:\n  1.png: {message}"
    assert not Path("out").exists()


def test_a_target_that_cannot_be_written_fails_alone():
    long = "n" * 300
    jobs = [
        Job(gray("1.png"), Path("out") / long / "1.png"),
        Job(gray("2.png"), Path("out") / f"{long}.png"),
        Job(gray("3.png"), Path("out/3.png")),
    ]
    folder, file, fine = batch.colorize_all(jobs, Sepia())
    assert (folder.status, file.status, fine.status) == ("failed", "failed", "done")
    assert folder.message == f"the folder out/{long} cannot be made (File name too long): name another output"
    assert f"{long}.png" in file.message and "File name too long" in file.message
    assert files_below("out") == ["3.png"]


def test_an_interrupt_comes_through_and_nothing_new_is_begun():
    jobs = batch.plan(grays(*(f"{number:02}.png" for number in range(40))), Path("out"))

    class Interrupted(Sepia):
        def colorize(self, picture, advance=None, strength=1.0):
            if picture.name == "03.png":
                raise KeyboardInterrupt
            time.sleep(0.05 if picture.name > "03.png" else 0)
            return super().colorize(picture, advance)

    with pytest.raises(KeyboardInterrupt):
        batch.colorize_one(jobs[3], Interrupted())
    with pytest.raises(KeyboardInterrupt):
        batch.colorize_all(jobs, Interrupted())
    done = files_below("out")
    assert "03.png" not in done and len(done) < 39
    again = batch.colorize_all(jobs, Sepia())
    assert [outcome.status for outcome in again].count("skipped") == len(done)
    assert files_below("out") == [f"{number:02}.png" for number in range(40)]


def test_only_a_few_pictures_are_in_memory_whatever_the_number(monkeypatch):
    jobs = batch.plan(grays(*(f"{number}.png" for number in range(30))), Path("out"))
    alive, most = weakref.WeakSet(), []
    read = pictures.read

    def watched(source):
        picture = read(source)
        alive.add(picture)
        most.append(len(alive))
        return picture

    monkeypatch.setattr(pictures, "read", watched)
    batch.colorize_all(jobs, Sepia())
    assert len(most) == 30
    assert max(most) <= batch.PICTURES_AT_ONCE


def test_large_pictures_wait_for_room_and_one_that_is_larger_than_all_of_it_is_alone(monkeypatch):
    monkeypatch.setattr(batch, "PIXELS_AT_ONCE", 1000)
    sizes = [(10, 10), (20, 20), (10, 10), (50, 40), (20, 20), (20, 20), (10, 10), (40, 50), (10, 10)] * 3
    for number, size in enumerate(sizes):
        gray(f"in/{number}.png", size)
    under_way, lock, seen = [], threading.Lock(), []

    class Watched(Sepia):
        def colorize(self, picture, advance=None, strength=1.0):
            with lock:
                under_way.append(picture.gray.size)
                seen.append(list(under_way))
            time.sleep(0.005)
            with lock:
                under_way.remove(picture.gray.size)
            return super().colorize(picture)

    outcomes = batch.colorize_all(batch.plan([Path("in")], Path("out")), Watched(), at_once=6)
    assert [outcome.status for outcome in outcomes] == ["done"] * len(sizes)
    assert all(sum(together) <= 1000 or len(together) == 1 for together in seen)
    assert max(map(len, seen)) > 1


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(1, 30))
def test_room_is_given_back_whatever_happens(sizes, pixels):
    room = batch.Room(pixels)
    for size in sizes:
        with pytest.raises(KeyError), room.taken(size):
            raise KeyError
    with room.taken(pixels):
        pass


def three_pages():
    shapes = (((4, 4), np.uint8), ((9, 5), np.uint16), ((3, 7), np.uint8))
    pages = [Picture(np.full(shape, 90, kind), name=str(shape)) for shape, kind in shapes]
    pictures.write_pages(pages, "scan.tif")
    return pages


def test_every_page_of_a_tiff_is_colored_and_counts_as_one_picture():
    pages, shares = three_pages(), []
    (job,) = batch.plan([Path("scan.tif")], Path("out"))

    class Counting(Sepia):
        def colorize(self, picture, advance=None, strength=1.0):
            advance(1.0)
            return super().colorize(picture, advance)

    outcome = batch.colorize_one(job, Counting(), told={"model": "sepia"}, advance=shares.append)
    assert (outcome.status, outcome.message) == ("done", "")
    assert shares == [pytest.approx(1 / 3)] * 3
    found = list(pictures.read_pages("out/scan.tif"))
    for page, back in zip(pages, found, strict=True):
        assert np.array_equal(back.array, Sepia().colorize(page).array)
        assert b"<colorcapsnet:model>sepia" in back.metadata.xmp


def test_pages_that_were_left_behind_are_said():
    three_pages()
    outcomes = batch.colorize_all(batch.plan([Path("scan.tif")], Path("out"), format="png"), Sepia())
    assert outcomes[0].status == "done"
    assert batch.summary(outcomes) == "1 colored:\n  scan.tif: only the first of its 3 pages"


def test_of_a_hundred_pages_only_a_few_are_in_memory(monkeypatch):
    pictures.write_pages((Picture(np.full((4, 4), level, np.uint8)) for level in range(100)), "scan.tif")
    alive, most, read = weakref.WeakSet(), [], pictures.read

    def watched(*source, **page):
        picture = read(*source, **page)
        alive.add(picture)
        most.append(len(alive))
        return picture

    monkeypatch.setattr(pictures, "read", watched)
    assert batch.colorize_one(Job(Path("scan.tif"), Path("out.tif")), Sepia()).status == "done"
    assert (len(most), max(most) <= 3) == (100, True)


def test_a_page_that_cannot_be_colored_fails_the_file_and_leaves_nothing():
    three_pages()

    class AfraidOfPages(Sepia):
        def colorize(self, picture, advance=None, strength=1.0):
            if picture.page == 1:
                raise HintError("no hints for this page")
            return super().colorize(picture, advance)

    (job,) = batch.plan([Path("scan.tif")], Path("out"))
    outcome = batch.colorize_one(job, AfraidOfPages())
    assert (outcome.status, outcome.message) == ("failed", "no hints for this page")
    assert files_below("out") == []


# A second run


def test_a_second_run_colors_only_what_is_not_there():
    jobs = batch.plan(grays("album/1.png", "album/2.png", "album/deep/3.png"), Path("out"))
    first = batch.colorize_all(jobs[:2], Sepia())
    before = {job.target: job.target.stat().st_mtime_ns for job in jobs[:2]}
    sepia = Sepia()
    second = batch.colorize_all(jobs, sepia)
    assert batch.summary(first) == "2 colored"
    assert batch.summary(second) == "1 colored, 2 skipped (already there)"
    assert [outcome.message for outcome in second] == ["already there", "already there", ""]
    assert sepia.seen == ["album/deep/3.png"]
    assert {target: target.stat().st_mtime_ns for target in before} == before


def test_with_overwrite_everything_is_colored_again():
    jobs = batch.plan(grays("1.png", "2.png"), Path("out"))
    batch.colorize_all(jobs[:1], Sepia())
    first = jobs[0].target.read_bytes()
    jobs[0].target.write_bytes(b"something else")
    sepia = Sepia()
    assert batch.summary(batch.colorize_all(jobs, sepia, overwrite=True)) == "2 colored"
    assert sorted(sepia.seen) == ["1.png", "2.png"]
    assert jobs[0].target.read_bytes() == first


def test_a_failed_picture_is_tried_again_and_a_failed_replacement_leaves_what_was_there():
    source, target = gray("1.png"), Path("out/1.png")
    batch.colorize_one(Job(source, target), Sepia())
    first, whole = target.read_bytes(), source.read_bytes()
    source.write_bytes(whole[:50])
    assert batch.colorize_one(Job(source, target), Sepia(), overwrite=True).status == "failed"
    assert target.read_bytes() == first
    assert batch.colorize_one(Job(source, Path("out/2.png")), Sepia()).status == "failed"
    source.write_bytes(whole)
    assert batch.colorize_one(Job(source, Path("out/2.png")), Sepia()).status == "done"


def test_an_empty_file_or_a_folder_in_the_way_is_no_result():
    jobs = batch.plan(grays("1.png", "2.png"), Path("out"))
    Path("out/2.png").mkdir(parents=True)
    Path("out/1.png").touch()
    outcomes = batch.colorize_all(jobs, Sepia())
    assert [outcome.status for outcome in outcomes] == ["failed", "failed"]
    assert all(f"{outcome.job.target} is there already" in outcome.message for outcome in outcomes)
    assert files_below("out") == ["1.png"]


# Progress, reports, other machines


class Bar:
    """In place of the bar on the terminal: adds up."""

    def __init__(self):
        self.total = self.start = self.shown = 0.0

    def __call__(self, label, total, unit="pictures", start=0):
        self.total, self.start = total, start
        return self

    def __enter__(self):
        return self.advance

    def __exit__(self, *problem):
        return None

    def advance(self, count=1.0, note=""):
        assert count >= 0
        self.shown += count


def test_the_bar_moves_within_a_picture_and_ends_at_all_of_them(monkeypatch):
    bar = Bar()
    monkeypatch.setattr(progress, "bar", bar)
    jobs = batch.plan(grays(*(f"{number}.png" for number in range(6))), Path("out"))
    batch.colorize_all(jobs[:2], Sepia())
    within = []

    class Slow(Sepia):
        def colorize(self, picture, advance=None, strength=1.0):
            for _ in range(4):
                before = bar.shown
                advance(0.2)
                within.append(bar.shown - before)
            if picture.name == "4.png":
                raise PictureError("4.png is too dark")
            return super().colorize(picture, advance)

    bar.shown = 0.0
    batch.colorize_all(jobs, Slow())
    assert (bar.total, bar.start) == (6, 2)
    assert min(within) > 0.19
    assert bar.shown == pytest.approx(4)


def test_the_summary_counts_and_names_what_failed():
    def outcomes(status, count, message=""):
        return [Outcome(Job(Path(f"{n}.png"), Path("out")), status, message) for n in range(count)]

    assert batch.summary([]) == "0 colored"
    assert batch.summary(outcomes("skipped", 2, "already there")) == "0 colored, 2 skipped (already there)"
    assert batch.summary(outcomes("done", 12_345) + outcomes("failed", 1, "why")) == (
        "12,345 colored, 1 failed:\n  0.png: why"
    )


def test_jobs_and_outcomes_travel_to_other_processes():
    outcome = batch.colorize_one(Job(gray("1.png"), Path("out/1.png")), Sepia())
    assert pickle.loads(pickle.dumps(outcome)) == outcome
    assert outcome.seconds > 0
    assert pickle.loads(pickle.dumps(batch.colorize_one)) is batch.colorize_one


@pytest.mark.parametrize(
    ("count", "at_once", "threads"), [(1, 6, None), (6, 6, None), (7, 6, 1), (9, 2, None), (9, 1, None), (9, 4, 1)]
)
def test_a_picture_has_one_thread_where_others_keep_the_cores_busy_and_else_all(monkeypatch, count, at_once, threads):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert batch.threads(count, at_once) == threads
