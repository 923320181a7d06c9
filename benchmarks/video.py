"""How steady the colors of films are, and how fast a film of 720p is colored beside what its stages allow.

Steadiness: frames are made gray and colored, alone and steadily. Chroma of each frame is taken along to the next by the
flow of true gray (dense inverse search at the size that the network sees, both ways; where these disagree by more than
a pixel, or gray by more than 12 codes, nothing is compared), and the mean distance in ab is printed: what is left is
flicker. Beside it, the same of the true colors, mean chroma, and the distance to the true ab. Shots are made from
photographs: the camera moves and comes nearer, exposure breathes, grain changes from frame to frame. ``--films`` adds
films in color.

Speed: such shots at 1280×720 are written as H.264. In each round the stages are done one after the other, on one
thread, and the processor's time is counted: decode, network (with flow and what is carried), merge, encode. Cores that
did this and nothing else would color ``cores / sum`` frames a second; printed is how much of this is reached by the
whole verb, and how much of the cores there was to have beside whatever else the machine did.

Command: ``python -m benchmarks.video [--films FILE …] [--photographs FOLDER]`` (five minutes).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.measure import beside_stages, commit, free, processor, spread
from colorcapsnet import Colorizer, color, pictures, scale, video
from colorcapsnet.steady import Steady

SAMPLES = Path(__file__).parents[1] / "samples"
FRAMES = 50  # of a shot
ROUNDS = 3
SHOTS = 6
STAGES = ("decode", "network", "merge", "encode")


def shot(photograph, size, seed, frames=FRAMES) -> Iterator[np.ndarray]:
    """A film over a photograph: the camera moves and comes nearer, exposure breathes, grain is new in each frame."""
    rng = np.random.default_rng(seed)
    height, width = photograph.shape[:2]
    fitting = min(height / size[0], width / size[1]) * 0.75
    for number in range(frames):
        t = number / frames
        near = fitting * (1 - 0.2 * t)
        room = np.array([width - near * size[1], height - near * size[0]])
        left, top = room * (0.5 + 0.4 * np.sin(np.array([2, 3]) * (t + seed)))
        window = np.array([[near, 0, left], [0, near, top]])
        frame = cv2.warpAffine(photograph, window, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        gain = 1 + 0.06 * np.sin(number / 5)
        grain = cv2.GaussianBlur(rng.normal(0, 12, size).astype(np.float32), (3, 3), 0)
        yield np.clip(frame * gain + grain[..., None], 0, 255).astype(np.uint8)


def film_of(path, most=FRAMES * 3) -> list[np.ndarray]:
    """The first frames of a film in color, at 640×360 or so."""
    with av.open(str(path)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in islice(film.decode(video=0), most)]
    height, width = frames[0].shape[:2]
    factor = max(1, (height * width / (640 * 360)) ** 0.5)
    return [scale.fit(frame, round(height / factor), round(width / factor)) for frame in frames]


def flows(frames):
    """Between neighbors: where a pixel came from, and whether that can be relied on."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grays = [color.gray(frame) for frame in frames]
    for before, after in pairwise(grays):
        there = search.calc(after, before, None)
        back = cv2.remap(search.calc(before, after, None), *_where(there), cv2.INTER_LINEAR)
        carried = cv2.remap(before, *_where(there), cv2.INTER_LINEAR, borderValue=-1)
        apart = np.abs(carried.astype(np.int16) - after)
        apart = np.abs(apart - np.median(apart))
        yield there, (np.hypot(*(there + back).transpose(2, 0, 1)) < 1) & (apart < 12)


def _where(flow):
    rows, columns = np.indices(flow.shape[:2], np.float32)
    return (columns + flow[..., 0]).astype(np.float32), (rows + flow[..., 1]).astype(np.float32)


def flicker(abs_, between):
    """Mean distance in ab of what should be the same, in frames that have most of a frame in common."""
    found = []
    for (before, after), (there, sure) in zip(pairwise(abs_), between, strict=True):
        if sure.mean() > 0.3:
            carried = cv2.remap(before, *_where(there), cv2.INTER_LINEAR)
            found.append(np.hypot(*(after - carried).transpose(2, 0, 1))[sure].mean())
    return float(np.mean(found))


def steadiness(name, frames, colorizer):
    """Print a line for a film, and return what was measured: flicker of truth, alone, steady; chroma; errors."""
    size = scale.working_shape(*frames[0].shape[:2], colorizer.card.size)
    fitted = [scale.fit(frame, *size) for frame in frames]
    between = list(flows(fitted))
    truth = [color.srgb_to_lab(frame)[..., 1:] for frame in fitted]
    grays = [color.gray(frame) for frame in frames]
    alone = [_ab(colorizer.colorize(gray), size) for gray in grays]
    steady = [_ab(rgb, size) for rgb, _ in Steady(colorizer).frames(grays)]
    chroma = [float(np.mean([np.hypot(*ab.transpose(2, 0, 1)).mean() for ab in abs_])) for abs_ in (alone, steady)]
    error = [
        float(np.mean([np.hypot(*(ab - true).transpose(2, 0, 1)).mean() for ab, true in zip(abs_, truth, strict=True)]))
        for abs_ in (alone, steady)
    ]
    left = [flicker(abs_, between) for abs_ in (truth, alone, steady)]
    print(
        f"  {name:24} {len(frames):4} {left[0]:7.3f} {left[1]:7.3f} {left[2]:7.3f} {left[2] / left[1]:6.2f} "
        f"{chroma[1] / chroma[0]:6.3f} {error[0]:7.2f} {error[1]:7.2f}",
        flush=True,
    )
    return [*left, chroma[1] / chroma[0], *error]


def _ab(rgb, size):
    return color.srgb_to_lab(scale.fit(rgb, *size))[..., 1:]


def write(path, frames):
    """A film in H.264, gray, as newsreels are kept."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(25), options={"crf": "18", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(color.gray(frame), format="gray")))
        out.mux(stream.encode(None))


def stages(path, colorizer, count=FRAMES):
    """Milliseconds of the processor for a frame, in each stage, all on one thread."""
    total = np.zeros(len(STAGES))
    steady, carried, before = Steady(colorizer), None, None
    with video.Film(path, threads=1) as film, tempfile.TemporaryFile() as file, av.open(file, "w", format="nut") as out:
        stream = video.stream_for(out, film, lossless=False)
        stream.codec_context.thread_count = 1
        frames = film.frames()
        for number in range(count):
            moments = [time.process_time()]
            _, gray = next(frames)
            moments.append(time.process_time())
            small = steady.small(gray)
            seen = steady.look(gray, small, before)
            carried = steady.follow(carried, seen)
            before = small
            moments.append(time.process_time())
            rgb = seen.canvas.render(carried.ab).array
            moments.append(time.process_time())
            frame = video.frame_of(rgb, "yuv420p", lossless=False)
            frame.pts, frame.time_base = number * film.step, film.time_base
            out.mux(stream.encode(frame))
            if number == count - 1:
                out.mux(stream.encode(None))
            moments.append(time.process_time())
            total += [after - start for start, after in pairwise(moments)]
    return (1000 * total / count).tolist()


def speed(path, colorizer, count, cores):
    """Print the share of each stage, and the rate beside what the stages allow."""
    took, rates, shares = [], [], []
    stages(path, colorizer, 5)
    for number in range(ROUNDS):
        took.append(stages(path, colorizer))
        before = free(cores)
        began = time.perf_counter()
        video.colorize_video(path, path.with_name(f"{number}.mp4"), colorizer)
        rates.append(count / (time.perf_counter() - began))
        shares.append((before + free(cores)) / 2)
    beside_stages(STAGES, took, rates, shares, cores, "frame", 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--photographs", type=Path, default=SAMPLES, metavar="FOLDER")
    told = parser.parse_args()
    print(f"commit    {commit()}")
    print(f"hardware  {processor()}")
    colorizer = Colorizer(threads=1)
    paths = sorted(path for path in told.photographs.iterdir() if path.suffix in pictures.SUFFIXES)
    photographs = [array for path in paths[:SHOTS] if (array := pictures.read(path).array).ndim == 3]
    print("  film                   frames   truth   alone  steady  ratio chroma   error  steady")
    rows = [steadiness(paths[n].name, list(shot(each, (360, 480), n)), colorizer) for n, each in enumerate(photographs)]
    rows += [steadiness(path.name, film_of(path), colorizer) for path in told.films]
    print(f"flicker   {spread([row[2] / row[1] for row in rows], 2)} of that of frames alone")
    print(f"chroma    {spread([row[3] for row in rows], 3)} of that of frames alone")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "film.mp4")
        frames = [frame for n in range(4) for frame in shot(photographs[n % len(photographs)], (720, 1280), n)]
        write(path, frames)
        speed(path, colorizer, len(frames), os.cpu_count() or 1)


if __name__ == "__main__":
    main()
