"""Films: a file in, a file with its sound out; and frames through a pipe.

A film is colored in pieces of a few hundred frames, each a file of its own in ``OUT.parts`` beside the output, with all
that the next piece needs to know. A run that was stopped or killed goes on after its last piece. In the end the pieces
are joined as they are, with the sound and subtitles of the source as they are, and take the output's name in one step.
What is in memory does not depend on the length.
"""

from __future__ import annotations

import contextlib
import heapq
import io
import json
import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from colorcapsnet import progress
from colorcapsnet.batch import refuse_unwritable
from colorcapsnet.color import Codes
from colorcapsnet.colorizer import Colorizer
from colorcapsnet.errors import OutputError, PictureError, need
from colorcapsnet.hints import NOTHING, Hints
from colorcapsnet.provenance import NOTE
from colorcapsnet.steady import Shot, Steady, beginnings

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
PIECE = 250  # frames of a piece: what a killed run may lose

_H264 = {"crf": "18", "preset": "fast", "bf": "0"}  # without B-frames pieces join whatever their frame times
_FFV1 = {"level": "3", "g": "1", "slices": "4", "slicecrc": "1"}
_FIELDS = {2: "tff=1", 3: "bff=1", 4: "tff=1", 5: "bff=1"}  # AVFieldOrder
_BT709, _LIMITED = 1, 1


@dataclass(frozen=True)
class Done:
    """What became of a film.

    Attributes:
        frames: of it, all of them colored.
        before: how many of these an earlier run had done.
        damaged: frames that are damaged, or were left out because they could not be read.
        note: what the output cannot hold of the film, or nothing.
    """

    frames: int
    before: int
    damaged: int
    note: str

    def __str__(self) -> str:
        """One line for a person."""
        parts = [f"{self.frames:,} frame{'s' * (self.frames != 1)} colored"]
        if self.before:
            parts.append(f"{self.before:,} of them by an earlier run")
        if self.damaged:
            parts.append(f"{self.damaged:,} of the file's are damaged or lost")
        return ", ".join(parts + ([self.note] if self.note else []))


class Film:
    """A film that is read, upright and gray; a context manager.

    Args:
        source: a path, or a file that is read from front to back.
        threads: that decode; None for as many as there are cores.

    Attributes:
        width, height: of the upright frames.
        rate: frames a second, as far as a film has one.
        step: duration of a frame at this rate, in units of the time base.
        shape: of the pixels, width to height.
        deep: whether it has more than 8 bits; frames are uint16 then.
        fields: what x264 is told of interlaced films, or None.
        count: number of frames as the file tells it, or None.
        damaged: frames that are, or could not be read, so far.

    Raises:
        PictureError: it cannot be read, or holds no moving pictures.
        MissingExtra: PyAV is not installed.
    """

    def __init__(self, source: Path | BinaryIO, threads: int | None = None) -> None:
        self.name = str(source) if isinstance(source, Path) else "what comes through the pipe"
        self._av = need("av", "video")
        self._container = _opened(source, self.name)
        self._stream = _video_of(self._container, self.name)
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = threads or 0
        self.damaged = 0
        self._decoded = self._decode()
        first = next(self._decoded, None)
        if first is None:
            raise PictureError(f"{self.name} holds no frame that can be read: get another copy of the file")
        self._decoded = chain([first], self._decoded)
        self._size = first.width, first.height
        self._turns = round(first.rotation / 90) % 4
        self.width, self.height = self._size if self._turns % 2 == 0 else self._size[::-1]
        self.time_base = cast(Fraction, self._stream.time_base)
        self.rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        self.step = max(1, round(1 / self.rate / self.time_base))
        shape = self._stream.sample_aspect_ratio or self._stream.codec_context.sample_aspect_ratio or Fraction(1)
        self.shape = 1 / shape if self._turns % 2 else shape
        self.deep = any(component.bits > 8 for component in first.format.components)
        self.fields = _FIELDS.get(int(self._stream.codec_context.field_order)) if self._turns == 0 else None
        self.count = self._stream.frames or None
        self.began = max(0, self._container.start_time or 0)

    def __enter__(self) -> Film:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def frames(self) -> Iterator[tuple[int, Codes]]:
        """When a frame is shown, in units of the time base from the beginning of the film, and the frame; once.

        Raises:
            PictureError: the film changes its size.
        """
        offset = round(Fraction(self.began, 1_000_000) / self.time_base)
        last = -1
        for frame in self._decoded:
            if (frame.width, frame.height) != self._size:
                raise PictureError(
                    f"{self.name} changes from {self._size[0]}×{self._size[1]} to {frame.width}×{frame.height}: "
                    "cut it there, and color the parts"
                )
            last = max(last + 1, last + self.step if frame.pts is None else frame.pts - offset)
            gray = frame.to_ndarray(format="gray16le" if self.deep else "gray")
            yield last, cast(Codes, np.ascontiguousarray(np.rot90(gray, self._turns)))

    def _decode(self) -> Iterator[VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                for frame in next(packets).decode():
                    self.damaged += frame.is_corrupt
                    yield frame
            except (StopIteration, EOFError):
                return
            except self._av.FFmpegError:
                self.damaged += 1
                if self.damaged > 1000:
                    return


def _opened(source: Path | BinaryIO, name: str) -> Any:  # noqa: ANN401
    av = need("av", "video")
    try:
        if isinstance(source, Path) and source.is_dir():
            raise PictureError(f"{name} is a folder: give a film")
        container = av.open(str(source) if isinstance(source, Path) else source)
    except FileNotFoundError:
        raise PictureError(f"{name} does not exist: check the name") from None
    except (av.FFmpegError, OSError) as problem:
        why = (getattr(problem, "strerror", None) or str(problem)).lower()
        raise PictureError(f"{name} is not a film that can be read ({why}), or is damaged: get another copy") from None
    if isinstance(source, Path) and (container.format.name == "image2" or container.format.name.endswith("_pipe")):
        raise PictureError(f"{name} is a picture, not a film: color it with `colorcapsnet colorize`")
    return container


def _video_of(container: Any, name: str) -> VideoStream:  # noqa: ANN401
    covers = {"attached_pic", "timed_thumbnails", "still_image"}
    for stream in container.streams.video:
        if not covers & {flag.name for flag in stream.disposition} and container.format.name != "tty":
            return cast("VideoStream", stream)
    kinds = ", ".join(stream.type for stream in container.streams) or "nothing"
    raise PictureError(f"{name} holds no moving pictures ({kinds}): there is nothing to color")


# File to file


def beside(source: Path) -> Path:
    """FILM-color beside a film, with its own suffix if that can be written, else .mkv.

    >>> beside(Path("a/newsreel.mp4")).name, beside(Path("newsreel.avi")).name
    ('newsreel-color.mp4', 'newsreel-color.mkv')
    """
    suffix = source.suffix if source.suffix.lower() in FORMATS else ".mkv"
    return source.with_name(f"{source.stem}-color{suffix}")


def colorize_video(
    source: Path,
    target: Path,
    colorizer: Colorizer,
    *,
    hints: Hints = NOTHING,
    timed: Sequence[Hints] = (),
    lossless: bool = False,
    overwrite: bool = False,
    told: Mapping[str, str] | None = None,
) -> Done:
    """Color a film, in colors that hold through a shot; with its sound, frame times, proportions and bits.

    Frames are colored in CIE L as they are, and then encoded: as H.264 (CRF 18), 4:2:0, of 8 or 10 bits, or without
    loss as FFV1. A film that has to be turned to stand upright is turned.

    Args:
        source: any film that FFmpeg reads.
        target: ends in .mp4, .m4v, .mov or .mkv.
        colorizer: with a network that sees whole photographs; best made with ``threads=1``.
        hints: what holds for the whole film; no places.
        timed: hints with a time: each holds for the shot that is seen then.
        lossless: FFV1 in RGB, for .mkv.
        overwrite: replace a target that is there, and begin anew what was begun in another way.
        told: provenance, written into the comment of the film.

    Raises:
        PictureError: the film cannot be read.
        OutputError: the target is there, cannot be written, or cannot hold the sound; or another run began there.
        HintError: hints do not fit the film.
        ModelError: the network sees patches.
    """
    _check_target(source, target, lossless, overwrite)
    with Film(source) as film:
        _refuse_tracks(source, target)
        job = _job(source, colorizer, hints, timed, lossless)
        work = target.with_name(f"{target.name}.parts")
        given = _given(source, timed, colorizer) if timed else {}
        steady = Steady(colorizer, hints, given)
        try:
            shot = _begun(work, job, overwrite)
            before = 0 if shot is None else shot.number + 1
            with progress.bar("coloring", film.count, unit="frames", start=before) as advance:
                for _ in _pieces(film, work, steady, shot, lossless):
                    advance()
            count = _join(work, source, film, target, lossless, told or {})
        except OSError as problem:
            raise OutputError(
                f"{work} cannot be written ({problem.strerror or problem}): make room or give yourself the right; "
                "the same command goes on from there"
            ) from None
    shutil.rmtree(work, ignore_errors=True)
    return Done(count, before, film.damaged, _left_behind(film, lossless))


def _left_behind(film: Film, lossless: bool) -> str:
    if not lossless and (film.width % 2 or film.height % 2):
        return "a row or column repeated, because H.264 has even sides"
    if lossless and film.shape != 1:
        return f"the pixels' shape of {film.shape.numerator}:{film.shape.denominator} is not written with FFV1"
    return ""


def _check_target(source: Path, target: Path, lossless: bool, overwrite: bool) -> None:
    if target.suffix.lower() not in FORMATS:
        raise OutputError(f"{target} does not say a form of film: end it in one of {', '.join(FORMATS)}")
    if lossless and FORMATS[target.suffix.lower()] != "matroska":
        raise OutputError(f"{target} cannot hold FFV1: end it in .mkv to write without loss")
    if os.path.realpath(source) == os.path.realpath(target):
        raise OutputError(f"{target} is the film itself: name another output")
    if os.path.lexists(target) and not overwrite:
        raise OutputError(f"{target} is there already: choose another output, or replace it with --force")
    refuse_unwritable({target.parent})
    target.parent.mkdir(parents=True, exist_ok=True)


def _refuse_tracks(source: Path, target: Path) -> None:
    """Refuse a form of file that cannot hold the sound, before hours of work."""
    av = need("av", "video")
    kind = FORMATS[target.suffix.lower()]
    with av.open(str(source)) as original:
        trial = av.open(io.BytesIO(), "w", format=kind)
        for stream in _tracks(original):
            try:
                trial.add_stream_from_template(stream)
            except (ValueError, av.FFmpegError):
                codec = stream.codec_context.name
                raise OutputError(f"{target} cannot hold {stream.type} in {codec}: end it in .mkv, which can") from None


def _tracks(container: Any) -> list[Any]:  # noqa: ANN401
    return [each for each in container.streams if each.type in ("audio", "subtitle") and each.codec_context]


def _job(
    source: Path, colorizer: Colorizer, hints: Hints, timed: Sequence[Hints], lossless: bool
) -> dict[str, str | int]:
    """What makes two runs the same."""
    status = source.stat()
    return {
        "version": 1,
        "source": source.name,
        "bytes": status.st_size,
        "changed": status.st_mtime_ns,
        "model": colorizer.sha256,
        "hints": "".join(each.to_json() for each in (hints, *timed)),
        "lossless": int(lossless),
    }


def _begun(work: Path, job: Mapping[str, str | int], overwrite: bool) -> Shot | None:
    """Where an earlier run of the same job ended; the folder is made, and freed of what was half done."""
    record = work / "job.json"
    if work.exists():
        try:
            same = json.loads(record.read_text()) == job
        except (OSError, ValueError):
            same = not any(work.glob("*.piece"))
        if not same and not overwrite:
            raise OutputError(
                f"{work} holds the work of another run (the film, network, hints or form differ): "
                "repeat that, delete the folder, or begin anew with --force"
            )
        if not same:
            shutil.rmtree(work)
    work.mkdir(exist_ok=True)
    record.write_text(json.dumps(job))
    pieces = _finished(work)
    for path in work.iterdir():
        if path != record and path not in pieces and path.with_suffix(".piece") not in pieces[-1:]:
            path.unlink()
    return Shot.from_bytes(pieces[-1].with_suffix(".shot").read_bytes()) if pieces else None


def _finished(work: Path) -> list[Path]:
    return sorted(work.glob("*-*.piece"))


def _given(source: Path, timed: Sequence[Hints], colorizer: Colorizer) -> dict[int, Hints]:
    with Film(source) as film:
        seconds = ((float(pts * film.time_base), gray) for pts, gray in film.frames())
        return beginnings(seconds, timed, colorizer.card.size)


def _pieces(film: Film, work: Path, steady: Steady, shot: Shot | None, lossless: bool) -> Iterator[Shot]:
    """Write what is still to be done, piece by piece; what is carried on after each frame that was written."""
    done = 0 if shot is None else shot.number + 1
    times: deque[int] = deque()

    def grays() -> Iterator[Codes]:
        for pts, gray in islice(film.frames(), done, None):
            times.append(pts)
            yield gray

    colored = steady.frames(grays(), shot)
    while first := next(colored, None):
        name = f"{done:08}-{times[0]}"
        temporary = work / "unfinished"
        last = first[1]
        try:
            with temporary.open("wb") as file:
                for last in _encoded(file, film, lossless, chain([first], islice(colored, PIECE - 1)), times):
                    yield last
                os.fsync(file.fileno())
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        (work / f"{name}.shot").write_bytes(last.to_bytes())
        temporary.rename(work / f"{name}.piece")
        for old in work.glob("*.shot"):
            if old.stem != name:
                old.unlink()
        done = last.number + 1


def _encoded(
    file: BinaryIO, film: Film, lossless: bool, colored: Iterable[tuple[Codes, Shot]], times: deque[int]
) -> Iterator[Shot]:
    """Encode frames into a file; what is carried on after each."""
    av = need("av", "video")
    with av.open(file, "w", format="nut") as out:
        stream = stream_for(out, film, lossless)
        began = times[0]
        for rgb, shot in colored:
            frame = frame_of(rgb, str(stream.pix_fmt), lossless)
            frame.pts, frame.time_base = times.popleft() - began, film.time_base
            out.mux(stream.encode(frame))
            yield shot
        out.mux(stream.encode(None))


def stream_for(out: OutputContainer, film: Film, lossless: bool) -> VideoStream:
    """A stream in which a film is written: two of one film are alike, so that packets of one fit the other."""
    codec, options = ("ffv1", _FFV1) if lossless else ("libx264", _H264)
    if film.fields and not lossless:
        options = options | {"x264-params": film.fields}
    stream = cast("VideoStream", out.add_stream(codec, rate=film.rate, options=options))
    padding = 0 if lossless else 1
    stream.width, stream.height = (side + side % 2 * padding for side in (film.width, film.height))
    if lossless:
        stream.pix_fmt = "gbrp16le" if film.deep else "bgr0"
    else:
        stream.pix_fmt = "yuv420p10le" if film.deep else "yuv420p"
    context: VideoCodecContext = stream.codec_context
    context.time_base = film.time_base
    context.sample_aspect_ratio = film.shape
    context.color_primaries = context.color_trc = _BT709
    if not lossless:
        context.colorspace, context.color_range = _BT709, _LIMITED
    return stream


def frame_of(rgb: Codes, kind: str, lossless: bool) -> VideoFrame:
    """A frame to encode, ``(H, W, 3)``, in pixels of a kind that FFmpeg names, with even sides unless lossless."""
    av = need("av", "video")
    if lossless:
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24" if rgb.dtype == np.uint8 else "rgb48le")
        return cast("VideoFrame", frame.reformat(format=kind))
    height, width = rgb.shape[:2]
    if height % 2 or width % 2:
        rgb = cast(Codes, np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))
    return _yuv(rgb, kind, "ITU709")


def _yuv(rgb: Codes, kind: str, matrix: str) -> VideoFrame:
    av = need("av", "video")
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24" if rgb.dtype == np.uint8 else "rgb48le")
    return cast("VideoFrame", frame.reformat(format=kind, dst_colorspace=matrix, dst_color_range="MPEG"))


def _join(work: Path, source: Path, film: Film, target: Path, lossless: bool, told: Mapping[str, str]) -> int:
    """Put the pieces and the tracks of the source into one file, and give it its name; the number of frames."""
    av = need("av", "video")
    temporary = work / f"whole{target.suffix.lower()}"
    pieces = _finished(work)
    with (
        temporary.open("wb") as file,
        av.open(file, "w", format=FORMATS[target.suffix.lower()]) as out,
        av.open(str(source)) as original,
    ):
        video = stream_for(out, film, lossless)
        tracks = {each.index: out.add_stream_from_template(each) for each in _tracks(original)}
        out.metadata.update(original.metadata)
        comments = [
            original.metadata.get("comment"),
            NOTE,
            "; ".join(f"{name} {value}" for name, value in told.items()),
        ]
        out.metadata["comment"] = " ".join(comment for comment in comments if comment)
        with contextlib.suppress(ValueError):
            out.set_chapters(original.chapters())
        sound = _sound(original, tracks, film.began)
        count = 0
        for packet in heapq.merge(_joined(pieces, film, video), sound, key=_seconds):
            count += packet.stream is video
            out.mux_one(packet)
    with temporary.open("rb") as written:
        os.fsync(written.fileno())
    temporary.replace(target)
    return count


def _seconds(packet: Packet[Any]) -> float:
    return float((packet.dts or 0) * packet.time_base)


def _joined(pieces: Sequence[Path], film: Film, video: VideoStream) -> Iterator[Packet[Any]]:
    av = need("av", "video")
    for path in pieces:
        began = int(path.stem.partition("-")[2])
        with av.open(str(path)) as piece:
            for packet in piece.demux(video=0):
                if packet.pts is None:
                    continue
                packet.pts = packet.dts = began + round(packet.pts * packet.time_base / film.time_base)
                packet.duration = round(packet.duration * packet.time_base / film.time_base)
                packet.time_base = film.time_base
                packet.stream = video
                yield packet


def _sound(original: Any, tracks: Mapping[int, Any], began: int) -> Iterator[Packet[Any]]:  # noqa: ANN401
    """Packets of the tracks that come along, as they are, from the beginning of the film on."""
    av = need("av", "video")
    streams = [each for each in original.streams if each.index in tracks]
    packets = original.demux(streams) if streams else iter(())
    last: dict[int, int] = {}
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            return
        if packet.dts is None:
            continue
        offset = round(Fraction(began, 1_000_000) / packet.time_base)
        packet.dts -= offset
        packet.pts = packet.dts if packet.pts is None else packet.pts - offset
        before = last.get(packet.stream.index, packet.dts)
        packet.duration = packet.duration or packet.dts - before  # the last one counts for nothing without
        last[packet.stream.index] = packet.dts
        packet.stream = tracks[packet.stream.index]
        yield packet


# Through a pipe


def through_pipe(
    source: Path | BinaryIO,
    sink: BinaryIO,
    colorizer: Colorizer,
    *,
    hints: Hints = NOTHING,
    timed: Sequence[Hints] = (),
) -> int:
    """Color a film as it comes, and write YUV4MPEG2 in 4:4:4, which says size and rate itself; no sound.

    Args:
        source: a path, or a file that is read from front to back: YUV4MPEG2, or any film that can be read so.
        sink: what is written to.
        colorizer: with a network that sees whole photographs.
        hints: what holds for the whole film; no places.
        timed: hints with a time; each holds from then to the end of its shot.

    Returns:
        The number of frames.

    Raises:
        PictureError: what comes is no film.
        HintError: hints do not fit.
        ModelError: the network sees patches.
        BrokenPipeError: nobody reads any more.
    """
    with Film(source) as film:
        given = {-int(-(each.time or 0) * film.rate // 1): each for each in timed}
        steady = Steady(colorizer, hints, given)
        kind, form = ("yuv444p10le", "C444p10") if film.deep else ("yuv444p", "C444")
        rate, shape = film.rate, film.shape
        sink.write(
            f"YUV4MPEG2 W{film.width} H{film.height} F{rate.numerator}:{rate.denominator} Ip "
            f"A{shape.numerator}:{shape.denominator} {form} XCOLORRANGE=LIMITED\n".encode()
        )
        count = 0
        with progress.bar("coloring", film.count, unit="frames") as advance:
            for rgb, _ in steady.frames(gray for _, gray in film.frames()):
                frame = _yuv(rgb, kind, "ITU601")
                sink.write(b"FRAME\n")
                for plane in frame.planes:
                    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
                    sink.write(rows[: film.height, : film.width * (2 if film.deep else 1)].tobytes())
                sink.flush()
                advance()
                count += 1
    return count
