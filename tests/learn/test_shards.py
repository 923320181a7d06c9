"""Prepared sets: what is in them, that they end the same however they were made, and how they are read again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from skimage.color import rgb2lab

from colorcapsnet.errors import DataError, OutputError
from colorcapsnet.learn import shards
from colorcapsnet.learn.data import Sampling, Whole
from colorcapsnet.learn.shards import Batches, Preparation, Shards, prepare
from tests.learn import write_pictures


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "PICTURES_PER_SHARD", 4)


def folder_of(root: Path, count: int = 10, **how) -> Preparation:
    if not root.exists():
        write_pictures(root, [f"{number}.png" for number in range(count)])
    return Preparation(((str(root), how.pop("one_in", 0)),), **how)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def members(folder: Path) -> list[np.ndarray]:
    arrays = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as archive:
            arrays += [np.load(io.BytesIO(archive.extractfile(member).read())) for member in archive]
    return arrays


def slow_patches(path: Path, n: int, every: int) -> np.ndarray:
    """Gray and 8-bit Lab patches of a picture by other libraries and a plain loop."""
    image = PIL.Image.open(path).convert("RGB")
    lab = rgb2lab(np.asarray(image)) * [2.55, 1, 1] + [0, 128, 128]
    whole = np.dstack([np.asarray(image.convert("L")), lab])
    cut = [
        whole[top : top + n, left : left + n]
        for top in range(0, whole.shape[0] - n + 1, n)
        for left in range(0, whole.shape[1] - n + 1, n)
    ]
    return np.array(cut)[int(hashlib.sha256(path.read_bytes()).hexdigest(), 16) % every :: every]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(patch=5, every=3)])
def test_members_are_what_pillow_scikit_image_and_a_loop_make_of_the_pictures(tmp_path, small_shards, sampling):
    prepare(folder_of(tmp_path / "p", sampling=sampling), tmp_path / "s", jobs=1)
    order = sorted((f"{number}.png" for number in range(10)), key=lambda name: hashlib.sha256(name.encode()).digest())
    assert [row["name"] for row in rows(tmp_path / "s")] == order
    for name, array in zip(order, members(tmp_path / "s"), strict=True):
        slow = slow_patches(tmp_path / "p" / name, sampling.patch, sampling.every)
        assert array.dtype == np.uint8
        assert array.shape == slow.shape
        assert np.abs(array - slow)[..., 0].max() <= 1  # libraries round halves of gray in their own ways
        assert np.abs(array - slow)[..., 1:].max() < 0.55


def test_a_halved_picture_is_the_mean_of_two_by_two(tmp_path):
    prepare(folder_of(tmp_path / "p", 1), tmp_path / "whole", jobs=1)
    prepare(folder_of(tmp_path / "p", 1, sampling=Sampling(patch=2)), tmp_path / "twos", jobs=1)
    prepare(folder_of(tmp_path / "p", 1, sampling=Sampling(patch=1, shrink=2)), tmp_path / "half", jobs=1)
    (twos,), (half,) = members(tmp_path / "twos"), members(tmp_path / "half")
    assert np.abs(twos.mean(axis=(1, 2)) - half[:, 0, 0]).max() <= 0.5


def make_one_of_each_fate(root: Path) -> Preparation:
    write_pictures(root / "many", [f"{number}.png" for number in range(30)])
    write_pictures(root / "odd", ["small.png"], size=(8, 30))
    cv2.imwrite(str(root / "odd/gray.png"), np.full((20, 20, 3), 90, np.uint8))
    (root / "odd/broken.png").write_bytes((root / "many/0.png").read_bytes()[:300])
    write_pictures(root / "validation", ["photograph.png"], size=(240, 300))
    photograph = cv2.imread(str(root / "validation/photograph.png"))
    cv2.imwrite(str(root / "odd/duplicate.jpg"), cv2.resize(photograph, (150, 120)))
    return Preparation(((str(root / "many"), 4), (str(root / "odd"), 0)), avoid=(str(root / "validation"),))


def test_every_picture_has_its_fate_and_what_is_left_out_is_named(tmp_path, small_shards):
    manifest = prepare(make_one_of_each_fate(tmp_path), tmp_path / "s", jobs=1).manifest
    fate = {row["name"]: row["fate"] for row in rows(tmp_path / "s")}
    for name in ("gray.png", "broken.png", "small.png", "duplicate.jpg"):
        assert fate[name] == name.split(".")[0]
    for number in range(30):
        digest = hashlib.sha256((tmp_path / f"many/{number}.png").read_bytes()).hexdigest()
        assert fate[f"{number}.png"] == ("held" if int(digest, 16) % 4 == 0 else "kept")
    assert list(manifest["pictures"]) == ["broken", "duplicate", "gray", "held", "kept", "small"]
    assert manifest["pictures"] == Counter(fate.values())
    assert sum(row["patches"] for row in rows(tmp_path / "s")) == manifest["patches"]
    assert manifest["patches"] == 6 * manifest["pictures"]["kept"]
    assert manifest["left_out"]["gray"] == ["gray.png"]
    assert manifest["left_out"]["duplicate"] == ["duplicate.jpg"]
    (broken,) = manifest["left_out"]["broken"]
    assert broken.startswith("broken.png: ")
    assert "damaged" in broken


def test_the_held_part_and_the_training_part_share_no_picture_and_leave_none_out(tmp_path, small_shards):
    prepare(folder_of(tmp_path / "p", 40, one_in=4), tmp_path / "training", jobs=1)
    prepare(folder_of(tmp_path / "p", one_in=4, part="held"), tmp_path / "held", jobs=1)
    training, held = (
        {row["name"] for row in rows(tmp_path / part) if row["fate"] == "kept"} for part in ("training", "held")
    )
    assert not training & held
    assert len(training | held) == 40
    for name in held:
        assert int(hashlib.sha256((tmp_path / "p" / name).read_bytes()).hexdigest(), 16) % 4 == 0
    assert {row["fate"] for row in rows(tmp_path / "held")} == {"kept", "training"}


def test_shards_know_their_hashes_and_their_counts(tmp_path, small_shards):
    opened = prepare(folder_of(tmp_path / "p"), tmp_path / "s", jobs=1)
    assert opened.patch == 9
    assert opened.patches == 10 * 6
    for shard in opened.manifest["shards"]:
        assert hashlib.sha256((tmp_path / "s" / shard["file"]).read_bytes()).hexdigest() == shard["sha256"]
        assert len(opened.read(shard)) == shard["patches"]
    assert np.array_equal(np.concatenate(members(tmp_path / "s")), opened.read_all(opened.manifest["shards"]))


def test_another_picture_gives_another_hash_of_the_set(tmp_path):
    first = prepare(folder_of(tmp_path / "a", 3), tmp_path / "first", jobs=1)
    again = prepare(folder_of(tmp_path / "a", 3), tmp_path / "again", jobs=1)
    other = prepare(folder_of(tmp_path / "b", 4), tmp_path / "other", jobs=1)
    assert first.sha256 == again.sha256 != other.sha256


def test_two_processes_write_the_same_bytes_as_one(tmp_path, small_shards):
    prepare(folder_of(tmp_path / "p"), tmp_path / "one", jobs=1)
    prepare(folder_of(tmp_path / "p"), tmp_path / "two", jobs=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")


LOST = pytest.mark.parametrize(
    "lost",
    [
        ["manifest.json", "shard-000001.jsonl"],
        ["manifest.json", "shard-000000.jsonl", "shard-000000.tar", "shard-000002.jsonl", "shard-000002.tar"],
        ["manifest.json", "shard-000001.tar"],
        ["shard-000001.tar"],
        ["manifest.json"],
    ],
)


@LOST
@pytest.mark.parametrize("sampling", [Sampling(), Whole(16)], ids=["patches", "whole"])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(tmp_path, small_shards, monkeypatch, lost, sampling):
    preparation = folder_of(tmp_path / "p", sampling=sampling)
    prepare(preparation, tmp_path / "s", jobs=1)
    whole = files(tmp_path / "s")
    for name in lost:
        (tmp_path / "s" / name).unlink()
    for name in {Path(name).stem for name in lost if name.startswith("shard")}:
        (tmp_path / "s" / f"{name}.tmp").write_bytes(b"half a shard")
    made = []
    write_part = shards._write_part
    monkeypatch.setattr(
        shards, "_write_part", lambda part, avoid: made.append(part.tar.stem) or write_part(part, avoid)
    )
    prepare(preparation, tmp_path / "s", jobs=1)
    assert files(tmp_path / "s") == whole
    assert set(made) == {Path(name).stem for name in lost if name.startswith("shard")}


def test_a_finished_set_is_only_opened(tmp_path, small_shards, monkeypatch):
    preparation = folder_of(tmp_path / "p")
    first = prepare(preparation, tmp_path / "s", jobs=1)
    monkeypatch.setattr(shards, "_write_part", None)
    monkeypatch.setattr(shards, "_write_manifest", None)
    assert prepare(preparation, tmp_path / "s", jobs=1) == first


def test_who_prepares_the_same_set_at_the_same_time_waits_for_the_first(tmp_path, small_shards, monkeypatch):
    preparation = folder_of(tmp_path / "p")
    made = []
    write = shards._write_part
    monkeypatch.setattr(shards, "_write_part", lambda part, avoid: made.append(part.tar.stem) or write(part, avoid))
    with ThreadPoolExecutor(3) as pool:
        opened = list(pool.map(lambda _: prepare(preparation, tmp_path / "s", jobs=1), range(3)))
    assert sorted(made) == ["shard-000000", "shard-000001", "shard-000002"]
    assert opened[0] == opened[1] == opened[2]


def test_a_shard_that_was_damaged_later_is_made_again(tmp_path, small_shards):
    preparation = folder_of(tmp_path / "p")
    prepare(preparation, tmp_path / "s", jobs=1)
    whole = files(tmp_path / "s")
    flip_a_byte(tmp_path / "s/shard-000001.tar")
    prepare(preparation, tmp_path / "s", jobs=1)
    assert files(tmp_path / "s") == whole


def test_a_damaged_manifest_is_written_again(tmp_path, small_shards):
    preparation = folder_of(tmp_path / "p")
    prepare(preparation, tmp_path / "s", jobs=1)
    whole = files(tmp_path / "s")
    (tmp_path / "s/manifest.json").write_bytes(whole["manifest.json"][:200])
    prepare(preparation, tmp_path / "s", jobs=1)
    assert files(tmp_path / "s") == whole


OTHERS = [{"sampling": Sampling(every=2)}, {"sampling": Whole()}, {"part": "held"}, {"one_in": 20}]


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_another_preparation_in_the_same_folder_is_refused(tmp_path, other):
    prepare(folder_of(tmp_path / "p"), tmp_path / "s", jobs=1)
    whole = files(tmp_path / "s")
    with pytest.raises(DataError, match=r"s holds a set prepared from other pictures or with other settings"):
        prepare(folder_of(tmp_path / "p", **other), tmp_path / "s", jobs=1)
    assert files(tmp_path / "s") == whole


def test_other_pictures_to_keep_away_from_are_another_preparation(tmp_path):
    write_pictures(tmp_path / "validation", ["a.png"])
    preparation = folder_of(tmp_path / "p", avoid=(str(tmp_path / "validation"),))
    prepare(preparation, tmp_path / "s", jobs=1)
    write_pictures(tmp_path / "validation", ["b.png"])
    with pytest.raises(DataError, match="other pictures or with other settings"):
        prepare(preparation, tmp_path / "s", jobs=1)


def test_whole_photographs_are_one_to_a_picture_and_no_patches(tmp_path, small_shards):
    opened = prepare(folder_of(tmp_path / "p", sampling=Whole(16)), tmp_path / "s", jobs=1)
    assert [array.shape for array in members(tmp_path / "s")] == [(1, 16, 20, 3)] * 10
    assert opened.manifest["patches"] == 10
    with pytest.raises(DataError, match="s holds whole photographs, not patches"):
        Batches(opened).per_epoch  # noqa: B018


def test_another_list_of_pictures_in_the_same_folder_is_refused(tmp_path):
    preparation = folder_of(tmp_path / "p")
    prepare(preparation, tmp_path / "s", jobs=1)
    (tmp_path / "p/3.png").unlink()
    with pytest.raises(DataError, match="other pictures"):
        prepare(preparation, tmp_path / "s", jobs=1)


def test_shards_that_nobody_knows_are_not_touched(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/shard-000000.tar").write_bytes(b"mine")
    with pytest.raises(DataError, match="unknown preparation; give an empty folder"):
        prepare(folder_of(tmp_path / "p"), tmp_path / "s", jobs=1)
    assert (tmp_path / "s/shard-000000.tar").read_bytes() == b"mine"


def test_a_missing_source_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist"):
        prepare(Preparation(((str(tmp_path / "nowhere"), 0),)), tmp_path / "s", jobs=1)
    assert not (tmp_path / "s").exists()


def test_a_set_of_nothing_useful_is_a_set_of_no_patches(tmp_path):
    write_pictures(tmp_path / "p", ["a.png", "b.png"], size=(5, 5))
    opened = prepare(folder_of(tmp_path / "p"), tmp_path / "s", jobs=1)
    assert opened.patches == 0
    assert opened.manifest["pictures"] == {"small": 2}
    assert opened.read(opened.manifest["shards"][0]).shape == (0, 9, 9, 4)


def test_a_broken_picture_among_those_to_avoid_is_passed_over(tmp_path):
    preparation = make_one_of_each_fate(tmp_path)
    (tmp_path / "validation/broken.png").write_bytes(b"no picture")
    assert prepare(preparation, tmp_path / "s", jobs=1).manifest["left_out"]["duplicate"] == ["duplicate.jpg"]


@contextmanager
def no_file_above(size: int):
    """A disk that fills up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_is_told_in_one_line_and_the_next_run_goes_on(tmp_path, small_shards, jobs):
    preparation = folder_of(tmp_path / "p")
    with (
        no_file_above(5000),
        pytest.raises(OutputError, match=r"shard-00000\d\.tar cannot be written \(File too large\); make room"),
    ):
        prepare(preparation, tmp_path / "s", jobs=jobs)
    assert not [*(tmp_path / "s").glob("*.tar"), *(tmp_path / "s").glob("*.json*")]
    prepare(preparation, tmp_path / "s", jobs=1)
    prepare(preparation, tmp_path / "whole", jobs=1)
    assert files(tmp_path / "s") == files(tmp_path / "whole")


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def damage(folder: Path, how: str) -> None:
    manifest, shard = folder / "manifest.json", folder / "shard-000001.tar"
    if how == "no manifest":
        manifest.unlink()
    elif how == "half a manifest":
        manifest.write_bytes(manifest.read_bytes()[:300])
    elif how == "another json":
        manifest.write_text("[1, 2]")
    elif how == "another count":
        manifest.write_text(manifest.read_text().replace('"patches": 24', '"patches": 23'))
    elif how == "another version":
        manifest.write_text(manifest.read_text().replace('"version": 2', '"version": 7'))
    else:
        shard.unlink()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no manifest", "s has no manifest.json: prepare it first"),
        ("half a manifest", r"s.manifest\.json is damaged .*prepare the set again"),
        ("another json", r"s.manifest\.json is damaged .*prepare the set again"),
        ("another count", r"s.manifest\.json is damaged \(its hash differs\)"),
        ("another version", r"s.manifest\.json is of version 7, this package reads version 2"),
        ("no shard", r"s.shard-000001\.tar is missing; prepare the set again"),
    ],
)
def test_a_damaged_set_is_refused_by_name_when_it_is_opened(tmp_path, small_shards, how, message):
    prepare(folder_of(tmp_path / "p"), tmp_path / "s", jobs=1)
    damage(tmp_path / "s", how)
    with pytest.raises(DataError, match=message):
        Shards.open(tmp_path / "s")


@pytest.mark.parametrize("how", [flip_a_byte, lambda path: os.truncate(path, 100)])
def test_a_damaged_shard_is_refused_by_name_before_a_patch_of_its_group_is_given(tmp_path, small_shards, how):
    opened = prepare(folder_of(tmp_path / "p"), tmp_path / "s", jobs=1)
    how(tmp_path / "s/shard-000001.tar")
    with pytest.raises(DataError, match=r"s.shard-000001\.tar is damaged \(its hash differs\); prepare the set again"):
        next(Batches(opened, size=8).epoch(0))


def test_a_shard_that_vanishes_while_it_is_needed_is_named(tmp_path, small_shards):
    opened = prepare(folder_of(tmp_path / "p"), tmp_path / "s", jobs=1)
    (tmp_path / "s/shard-000002.tar").unlink()
    with pytest.raises(DataError, match=r"shard-000002\.tar cannot be read \(No such file or directory\)"):
        next(Batches(opened, size=8).epoch(0))


def counted(batches) -> Counter[bytes]:
    return Counter(patch.tobytes() for batch in batches for patch in batch)


@pytest.fixture
def prepared(tmp_path, small_shards) -> Shards:
    """20 pictures in 5 shards, 120 patches, all different."""
    opened = prepare(folder_of(tmp_path / "p", 20), tmp_path / "s", jobs=1)
    assert len(counted([opened.read_all(opened.manifest["shards"])])) == opened.patches == 120
    return opened


@pytest.mark.parametrize(("memory", "least"), [(1 << 30, 112), (2 * 24 * 324, 112), (1, 80)])
def test_an_epoch_gives_each_patch_once_but_for_what_does_not_fill_a_batch(prepared, memory, least):
    """Batches of 16 from 24 patches a shard: of 5 shards or of 1 at once 8 patches remain, of 2 none."""
    batches = list(Batches(prepared, 16, memory=memory).epoch(0))
    given = counted(batches)
    assert given.total() == len(given) == 16 * len(batches) == least
    assert not given - counted([prepared.read_all(prepared.manifest["shards"])])


@pytest.mark.parametrize("memory", [1 << 30, 2 * 24 * 324, 1])
def test_epochs_differ_and_repeat(prepared, memory):
    stream = Batches(prepared, 16, memory=memory)
    first, second, again = (np.concatenate(list(stream.epoch(number))) for number in (0, 1, 0))
    other = np.concatenate(list(Batches(prepared, 16, seed=1, memory=memory).epoch(0)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert stream.per_epoch == len(first) // 16


@pytest.mark.parametrize("memory", [1 << 30, 2 * 24 * 324, 1])
def test_what_is_left_out_of_one_epoch_comes_in_another(prepared, memory):
    stream = Batches(prepared, 16, memory=memory)
    assert len(sum((counted(stream.epoch(number)) for number in range(8)), Counter())) == 120


@pytest.mark.parametrize("memory", [1 << 30, 2 * 24 * 324, 1])
def test_a_later_start_gives_exactly_the_tail(prepared, memory):
    stream = Batches(prepared, 16, memory=memory)
    whole = list(stream.epoch(3))
    for start in range(len(whole) + 2):
        tail = list(stream.epoch(3, start))
        assert len(tail) == max(0, len(whole) - start)
        assert all(np.array_equal(one, other) for one, other in zip(tail, whole[start:], strict=True))


def test_a_later_start_does_not_read_what_it_leaves_out(prepared):
    stream = Batches(prepared, 24, memory=1)
    first = stream._groups(0)[0][0]["file"]
    (prepared.folder / first).unlink()
    assert len(list(stream.epoch(0, start=1))) == 4


@pytest.mark.parametrize("world", [2, 4])
def test_the_processes_shares_are_disjoint_and_together_the_batch(prepared, world):
    stream = Batches(prepared, 16, memory=2 * 24 * 324)
    shares = [list(stream.epoch(1, rank=rank, world=world)) for rank in range(world)]
    for batch, *parts in zip(stream.epoch(1), *shares, strict=True):
        assert {len(part) for part in parts} == {16 // world}
        assert counted(parts) == counted([batch])


MEASURE = """
import resource, sys
from pathlib import Path
from colorcapsnet.learn.shards import Batches, Preparation, prepare

if __name__ == "__main__":
    opened = prepare(Preparation(((sys.argv[1], 0),)), Path(sys.argv[2]), jobs=1)
    steps = sum(1 for _ in Batches(opened, memory=1 << 23).epoch(0))
    print(opened.patches, steps, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.medium
def test_eight_times_the_pictures_need_no_more_memory(tmp_path):
    """Measured in a process of its own: prepared, and read for an epoch; the patches alone would take 145 MB more."""
    write_pictures(tmp_path / "few", [f"{number}.png" for number in range(512)], size=(100, 100))
    (tmp_path / "many").mkdir()
    for number in range(8):
        for path in (tmp_path / "few").iterdir():
            os.link(path, tmp_path / "many" / f"{number}-{path.name}")
    (tmp_path / "measure.py").write_text(MEASURE)
    peaks = []
    for name, count in (("few", 512), ("many", 4096)):
        command = [sys.executable, str(tmp_path / "measure.py"), str(tmp_path / name), str(tmp_path / f"s-{name}")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        patches, steps, peak = map(int, done.stdout.split())
        assert patches == 121 * count
        assert steps > 0.95 * patches / 128
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 20e6
