"""Films as a person has them: sound, frame times and proportions come along, and what is wrong is said."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from colorcapsnet import color, pictures, video
from colorcapsnet.colorizer import Colorizer
from colorcapsnet.errors import OutputError
from colorcapsnet.pictures import Picture
from tests.memory import PEAK
from tests.tiny import write_model, write_photograph_model

av = pytest.importorskip("av")

pytestmark = pytest.mark.medium

RATE = Fraction(24000, 1001)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_photograph_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def colorizer(model):
    return Colorizer(str(model), threads=1)


@pytest.fixture
def run(tmp_path, model):
    """The verb, in an empty folder, with the tiny network."""

    def run(*arguments, code=0, given=None):
        command = [sys.executable, "-m", "colorcapsnet", "video", *map(str, arguments), "--model", str(model)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, input=given, timeout=300)
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
        return done

    return run


def grays(count, size=(48, 64), seed=0):
    """Frames of a scene that moves."""
    ramp = np.add.outer(np.arange(size[0]) * 2, np.arange(size[1] + 4 * count))
    wave = 110 + 60 * np.sin(ramp / 9 + seed) + 30 * np.cos(ramp / 31)
    return [np.ascontiguousarray(wave[:, 2 * n : 2 * n + size[1]]).astype(np.uint8) for n in range(count)]


def write_film(
    path, frames, codec="ffv1", pixels="gray", times=None, sound=None, shape=None, turned=0, options=None, base=None
):
    """A film with a tone, as FFmpeg's own encoders make it."""
    base = base or 1 / RATE
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=RATE, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = base
        if shape:
            stream.codec_context.sample_aspect_ratio = shape
        if turned:
            stream.set_display_rotation(turned)
        audio = out.add_stream(sound, rate=48000, layout="mono") if sound else None
        for number, gray in enumerate(frames):
            kind = {"uint8": "gray", "uint16": "gray16le"}[gray.dtype.name]
            frame = av.VideoFrame.from_ndarray(gray, format=kind).reformat(format=pixels)
            frame.pts, frame.time_base = times[number] if times else number, base
            out.mux(stream.encode(frame))
        if audio:
            tone = np.sin(np.arange(0, float(48000 * len(frames) / RATE)) / 20)
            for first in range(0, len(tone), 1024):
                part = av.AudioFrame.from_ndarray(
                    (tone[None, first : first + 1024] * 9000).astype(np.int16), "s16", "mono"
                )
                part.rate, part.pts = 48000, first
                out.mux(audio.encode(part))
            out.mux(audio.encode(None))
        out.mux(stream.encode(None))
    return path


def frames_of(path, kind="rgb24"):
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format=kind) for frame in film.decode(video=0)]


def times_of(path):
    with av.open(str(path)) as film:
        return [frame.pts * frame.time_base for frame in film.decode(video=0)]


def sound_of(path):
    with av.open(str(path)) as film:
        return [bytes(packet) for packet in film.demux(audio=0) if packet.size]


# What comes along


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "aac"), ("mkv", "pcm_s16le"), ("mov", "pcm_s16le")])
def test_sound_is_copied_packet_by_packet(run, tmp_path, suffix, codec):
    write_film(tmp_path / "in.mkv", grays(30), sound=codec)
    run("in.mkv", "-o", f"out.{suffix}")
    sound = sound_of(tmp_path / "in.mkv")
    assert len(sound) > 10
    assert sound_of(tmp_path / f"out.{suffix}") == sound


def test_lightness_of_every_frame_is_kept_bit_for_bit_without_loss(run, tmp_path):
    write_film(tmp_path / "in.mkv", grays(9))
    run("in.mkv", "-o", "out.mkv", "--lossless")
    for gray, rgb in zip(grays(9), frames_of(tmp_path / "out.mkv"), strict=True):
        assert np.array_equal(color.gray_of(rgb), gray)
        assert np.ptp(rgb, axis=2).max() > 10


def test_ten_bits_stay_ten_bits(run, tmp_path):
    deep = [frame.astype(np.uint16) * 257 for frame in grays(4)]
    write_film(tmp_path / "in.mkv", deep, pixels="gray10le")
    run("in.mkv", "-o", "out.mp4")
    run("in.mkv", "-o", "whole.mkv", "--lossless")
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert film.streams.video[0].codec_context.pix_fmt == "yuv420p10le"
    given = frames_of(tmp_path / "in.mkv", "gray16le")
    for gray, rgb in zip(given, frames_of(tmp_path / "whole.mkv", "rgb48le"), strict=True):
        assert np.array_equal(color.gray_of(rgb), gray)


def test_h264_comes_back_near_the_colors_that_were_encoded(run, tmp_path):
    write_film(tmp_path / "in.mkv", grays(9))
    run("in.mkv", "-o", "out.mkv", "--lossless")
    run("in.mkv", "-o", "out.mp4")
    for exact, near in zip(frames_of(tmp_path / "out.mkv"), frames_of(tmp_path / "out.mp4"), strict=True):
        apart = color.srgb_to_lab(exact) - color.srgb_to_lab(near)
        assert np.abs(apart).mean(axis=(0, 1)).max() < 2


@pytest.mark.parametrize("full", [False, True])
def test_black_and_white_are_black_and_white(run, tmp_path, full):
    frames = [np.full((48, 64), code, np.uint8) for code in (0, 128, 255)]
    write_film(tmp_path / "in.mkv", frames, "mjpeg" if full else "ffv1", "yuvj420p" if full else "yuv420p")
    run("in.mkv", "-o", "out.mkv", "--lossless")
    kept = [np.median(color.gray_of(rgb)) for rgb in frames_of(tmp_path / "out.mkv")]
    assert kept == pytest.approx([0, 128, 255], abs=1)


def test_times_of_frames_are_kept_where_the_rate_varies(run, tmp_path):
    times = np.cumsum([0, *([1001, 1001, 3003, 1001, 500] * 5)]).tolist()
    base = Fraction(1, 24000)
    write_film(tmp_path / "in.mov", grays(26), "libx264", "yuv420p", times=times, base=base)
    assert times_of(tmp_path / "in.mov") == [time * base for time in times]
    run("in.mov", "-o", "out.mp4")
    assert times_of(tmp_path / "out.mp4") == [time * base for time in times]
    run("in.mov", "-o", "out.mkv")
    assert np.array(times_of(tmp_path / "out.mkv"), float) == pytest.approx(np.array(times) / 24000, abs=0.00051)


def test_the_rate_and_the_shape_of_pixels_are_kept(run, tmp_path):
    write_film(tmp_path / "in.mov", grays(9), "libx264", "yuv420p", shape=Fraction(16, 15))
    run("in.mov")
    run("in.mov", "-o", "out.mkv")
    assert b"shape of 16:15 is not written" in run("in.mov", "-o", "whole.mkv", "--lossless").stderr
    for name in ("in-color.mov", "out.mkv"):
        with av.open(str(tmp_path / name)) as film:
            stream = film.streams.video[0]
            assert stream.average_rate == RATE
            assert stream.sample_aspect_ratio == Fraction(16, 15)


def test_a_film_that_lies_on_its_side_is_turned(run, tmp_path):
    frames = grays(5, (48, 64))
    write_film(tmp_path / "in.mov", frames, "libx264", "yuv420p", turned=-90, options={"crf": "1"})
    with av.open(str(tmp_path / "in.mov")) as film:
        assert next(film.decode(video=0)).rotation == -90
    run("in.mov", "-o", "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as film:
        frame = next(film.decode(video=0))
        assert (frame.width, frame.height, frame.rotation) == (48, 64, 0)
        upright = np.rot90(frames[0], -1).astype(float)
        assert np.abs(color.gray_of(frame.to_ndarray(format="rgb24")) - upright).mean() < 4


def test_interlaced_films_stay_interlaced(run, tmp_path):
    write_film(tmp_path / "in.mov", grays(5), "libx264", "yuv420p", options={"x264-params": "bff=1"})
    run("in.mov", "-o", "out.mp4")
    orders = []
    for name in ("in.mov", "out.mp4"):
        with av.open(str(tmp_path / name)) as film:
            orders.append(int(film.streams.video[0].codec_context.field_order))
    assert orders[0] == orders[1] > 1


def test_odd_sides_are_made_even_and_that_is_said(run, tmp_path):
    write_film(tmp_path / "in.mkv", grays(3, (33, 47)))
    assert b"a row or column repeated" in run("in.mkv", "-o", "out.mp4").stderr
    assert frames_of(tmp_path / "out.mp4")[0].shape == (34, 48, 3)
    run("in.mkv", "-o", "out.mkv", "--lossless")
    assert frames_of(tmp_path / "out.mkv")[0].shape == (33, 47, 3)


def test_titles_and_what_colored_the_film_are_in_its_metadata(run, tmp_path):
    write_film(tmp_path / "plain.mkv", grays(2))
    with av.open(str(tmp_path / "plain.mkv")) as given, av.open(str(tmp_path / "in.mkv"), "w") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        out.metadata["title"] = "Harvest, 1931"
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    run("in.mkv", "-o", "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert film.metadata["title"] == "Harvest, 1931"
        assert "plausible, not true" in film.metadata["comment"]
        assert "model tiny-photo" in film.metadata["comment"]


def test_hints_with_a_time_hold_in_their_shot_alone(run, tmp_path):
    rng = np.random.default_rng(0)
    other = [np.clip(frame / 3 + rng.uniform(0, 160, (6, 8)).repeat(8, 0).repeat(8, 1), 0, 255) for frame in grays(9)]
    write_film(tmp_path / "in.mkv", [*grays(9), *(frame.astype(np.uint8) for frame in other)])
    (tmp_path / "h.json").write_text(
        '{"version": 1, "time": 0.2, "points": [{"relative": [0.5, 0.5], "color": [50, 50]}]}'
    )
    run("in.mkv", "-o", "plain.mkv", "--lossless")
    run("in.mkv", "-o", "hinted.mkv", "--lossless", "--hints", "h.json")
    plain, hinted = (frames_of(tmp_path / f"{name}.mkv") for name in ("plain", "hinted"))
    assert [not np.array_equal(a, b) for a, b in zip(plain, hinted, strict=True)] == [True] * 9 + [False] * 9


# Stopped and begun again


def stop(*_):
    raise KeyboardInterrupt


def test_a_run_that_was_stopped_goes_on_and_gives_the_same_film(tmp_path, colorizer, monkeypatch):
    monkeypatch.setattr(video, "PIECE", 10)
    write_film(tmp_path / "in.mkv", grays(45), sound="aac")
    video.colorize_video(tmp_path / "in.mkv", tmp_path / "whole.mp4", colorizer)
    target, work = tmp_path / "out.mp4", tmp_path / "out.mp4.parts"
    fsync = os.fsync
    for pieces in (2, 3, 5):
        left = iter(range(pieces - len(list(work.glob("*.piece")))))
        monkeypatch.setattr(os, "fsync", lambda number, left=left: next(left, None) is not None or stop())
        with pytest.raises(KeyboardInterrupt):
            video.colorize_video(tmp_path / "in.mkv", target, colorizer)
        assert not target.exists()
        assert len(list(work.glob("*.piece"))) == pieces
        assert len(list(work.glob("*.shot"))) == 1
    monkeypatch.setattr(os, "fsync", fsync)
    done = video.colorize_video(tmp_path / "in.mkv", target, colorizer)
    assert (done.frames, done.before, work.exists()) == (45, 45, False)
    assert all(map(np.array_equal, frames_of(target), frames_of(tmp_path / "whole.mp4")))
    assert times_of(target) == times_of(tmp_path / "whole.mp4")


def test_a_run_that_is_killed_goes_on(run, tmp_path, model):
    write_film(tmp_path / "in.mkv", grays(900), sound="aac")
    program = [sys.executable, "-m", "colorcapsnet", "video", "in.mkv", "-o", "out.mp4", "--model", str(model)]
    with subprocess.Popen(program, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        work = tmp_path / "out.mp4.parts"
        while not list(work.glob("*.piece")):
            assert process.poll() is None
        process.kill()
    assert not (tmp_path / "out.mp4").exists()
    done = run("in.mkv", "-o", "out.mp4")
    assert b"900 frames colored" in done.stderr
    assert b"by an earlier run" in done.stderr
    assert len(times_of(tmp_path / "out.mp4")) == 900
    assert sound_of(tmp_path / "out.mp4") == sound_of(tmp_path / "in.mkv")


def test_what_another_run_began_is_not_thrown_away(tmp_path, colorizer, monkeypatch):
    write_film(tmp_path / "in.mkv", grays(5))
    target = tmp_path / "out.mp4"
    with monkeypatch.context() as patched:
        patched.setattr(video, "_join", stop)
        with pytest.raises(KeyboardInterrupt):
            video.colorize_video(tmp_path / "in.mkv", target, colorizer)
    with pytest.raises(OutputError, match="holds the work of another run"):
        video.colorize_video(tmp_path / "in.mkv", target, colorizer, hints=video.Hints(strength=0.5))
    assert list((tmp_path / "out.mp4.parts").glob("*.piece"))
    done = video.colorize_video(tmp_path / "in.mkv", target, colorizer, hints=video.Hints(strength=0.5), overwrite=True)
    assert (done.frames, done.before) == (5, 0)


def test_a_disk_that_is_full_ends_in_one_line_and_the_run_goes_on_when_there_is_room(tmp_path, colorizer, monkeypatch):
    monkeypatch.setattr(video, "PIECE", 10)
    rng = np.random.default_rng(0)
    frames = [*grays(10), *(rng.integers(0, 256, (48, 64), np.uint8) for _ in range(20))]
    write_film(tmp_path / "in.mkv", frames)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (14_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"out.mp4.parts cannot be written .*: make room"):
            video.colorize_video(tmp_path / "in.mkv", tmp_path / "out.mp4", colorizer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "out.mp4").exists()
    assert not (tmp_path / "out.mp4.parts/unfinished").exists()
    done = video.colorize_video(tmp_path / "in.mkv", tmp_path / "out.mp4", colorizer)
    assert (done.frames, done.before) == (30, 10)


# Through a pipe


def test_frames_come_out_of_a_pipe_as_yuv4mpeg2_with_size_and_rate(run, tmp_path):
    write_film(tmp_path / "in.mov", grays(7), "libx264", "yuv420p", shape=Fraction(16, 15), options={"crf": "1"})
    first = run("in.mov", "-o", "-")
    header, _, rest = first.stdout.partition(b"\n")
    assert header == b"YUV4MPEG2 W64 H48 F24000:1001 Ip A16:15 C444 XCOLORRANGE=LIMITED"
    assert len(rest) == 7 * (6 + 3 * 48 * 64)
    (tmp_path / "out.y4m").write_bytes(first.stdout)
    assert times_of(tmp_path / "out.y4m") == [number / RATE for number in range(7)]
    for gray, rgb in zip(grays(7), frames_of(tmp_path / "out.y4m"), strict=True):
        assert np.abs(color.gray_of(rgb).astype(int) - gray).max() <= 6
    again = run("-", "-o", "-", given=first.stdout)
    (tmp_path / "again.y4m").write_bytes(again.stdout)
    assert len(frames_of(tmp_path / "again.y4m")) == 7


def test_matroska_comes_through_a_pipe_as_well(run, tmp_path):
    write_film(tmp_path / "in.mkv", grays(7))
    assert run("-", given=(tmp_path / "in.mkv").read_bytes()).stdout == run("in.mkv", "-o", "-").stdout


def test_a_reader_that_leaves_is_told_of_in_one_line(tmp_path, model):
    write_film(tmp_path / "in.mkv", grays(60))
    command = [sys.executable, "-m", "colorcapsnet", "video", "in.mkv", "-o", "-", "--model", str(model)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read().count(b"\n") == 1
    assert process.returncode == 1


# What is refused


def test_what_is_no_film_is_refused_in_one_line(run, tmp_path):
    (tmp_path / "text.mp4").write_text("This is not a film.\n" * 50)
    (tmp_path / "notes.txt").write_text("This is not a film.\n" * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    with av.open(str(tmp_path / "sound.m4a"), "w") as out:
        stream = out.add_stream("aac", rate=48000, layout="mono")
        part = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), "s16", "mono")
        part.rate = 48000
        out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    pictures.write(Picture(np.zeros((16, 16), np.uint8)), tmp_path / "one.jpg")
    said = {
        "one.jpg": b"is a picture, not a film",
        "text.mp4": b"is not a film",
        "empty.mp4": b"is not a film",
        "none.mp4": b"does not exist",
        ".": b"is a folder",
        "sound.m4a": b"holds no moving pictures (audio)",
        "notes.txt": b"",
    }
    for name, words in said.items():
        done = run(name, "-o", "out.mp4", code=1)
        assert words in done.stderr
        assert done.stderr.count(b"\n") == 1
    assert not list(tmp_path.glob("out*"))
    assert b"is not a film" in run("-", given=b"text" * 100, code=1).stderr


def test_outputs_that_cannot_be_are_refused_before_work_begins(run, tmp_path):
    write_film(tmp_path / "in.mkv", grays(3), sound="pcm_s16le")
    (tmp_path / "there.mp4").write_bytes(b"something")
    said = {
        ("-o", "out.txt"): b"does not say a form of film",
        ("-o", "in.mkv"): b"is the film itself",
        ("-o", "there.mp4"): b"is there already",
        ("-o", "there.mp4/out.mp4"): b"is not a folder",
        ("-o", "out.mp4", "--lossless"): b"cannot hold FFV1",
    }
    for options, words in said.items():
        done = run("in.mkv", *options, code=1)
        assert words in done.stderr
        assert done.stderr.count(b"\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "there.mp4"]
    assert (tmp_path / "there.mp4").read_bytes() == b"something"


def test_a_form_of_file_that_cannot_hold_the_sound_is_refused(run, tmp_path):
    write_film(tmp_path / "in.avi", grays(3), "mpeg4", "yuv420p", sound="pcm_u8")
    done = run("in.avi", "-o", "out.mp4", code=1)
    assert b"cannot hold audio in pcm_u8: end it in .mkv" in done.stderr
    run("in.avi")
    assert sound_of(tmp_path / "in-color.mkv") == sound_of(tmp_path / "in.avi")


def test_of_a_film_that_was_cut_off_what_is_there_is_colored(run, tmp_path):
    write_film(tmp_path / "whole.mkv", grays(60), "libx264", "yuv420p", sound="aac")
    content = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "in.mkv").write_bytes(content[: len(content) * 2 // 3])
    run("in.mkv", "-o", "out.mp4")
    assert 10 < len(times_of(tmp_path / "out.mp4")) < 60


def test_hints_that_need_a_time_or_a_later_film_are_refused(run, tmp_path):
    write_film(tmp_path / "in.mkv", grays(3))
    done = run("in.mkv", "-o", "out.mp4", "--recolor", "3,3=#a03020", code=1)
    assert b'give the hints a "time"' in done.stderr
    (tmp_path / "h.json").write_text('{"version": 1, "time": 9, "strength": 0.5}')
    assert b"there is no frame at 9 seconds" in run("in.mkv", "-o", "out.mp4", "--hints", "h.json", code=1).stderr


def test_a_network_of_patches_is_refused_and_nothing_is_left(tmp_path):
    write_film(tmp_path / "in.mkv", grays(3))
    command = [sys.executable, "-m", "colorcapsnet", "video", "in.mkv", "--model", str(write_model(tmp_path))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "sees patches" in done.stderr
    assert not list(tmp_path.glob("in-color*"))


# Memory


PROGRAM = f"""
import sys
from pathlib import Path
from colorcapsnet import Colorizer, video
video.colorize_video(Path("in.mkv"), Path(sys.argv[2]), Colorizer(sys.argv[1], threads=1))
print({PEAK})
"""


@pytest.mark.slow
def test_five_minutes_take_no_more_memory_than_thirty_seconds(tmp_path, model):
    peaks = []
    for seconds in (30, 300):
        write_film(tmp_path / "in.mkv", grays(50) * (seconds // 2), sound="aac")
        command = [sys.executable, "-c", PROGRAM, str(model), f"{seconds}.mp4"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] * 1.05
    assert Path(tmp_path / "300.mp4").stat().st_size > 10_000
