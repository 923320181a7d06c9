"""Color a film and say how much its colors change from frame to frame: python examples/video.py FILM OUTPUT.mp4"""

import sys
from pathlib import Path

import numpy as np

from colorcapsnet import Colorizer, color, video

source, target = Path(sys.argv[1]), Path(sys.argv[2])
colorizer = Colorizer(threads=1)
print(f"{target}: {video.colorize_video(source, target, colorizer)}")

with video.Film(source) as film:
    frames = [gray for _, gray in film.frames()]
    steady = video.Steady(colorizer).frames(frames)
    together = np.array([color.srgb_to_lab(rgb)[..., 1:] for rgb, _ in steady])
    alone = np.array([color.srgb_to_lab(colorizer.colorize(gray))[..., 1:] for gray in frames])
for name, ab in (("steady", together), ("alone", alone)):
    print(f"{name}: ab changes by {np.abs(np.diff(ab, axis=0)).mean():.3f} a frame")
