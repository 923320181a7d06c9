"""What time and cameras did to a gray photograph: exposure, fading, blur, grain, scratches, dust, JPEG.

Only the gray that a network is given is aged; the colors that it should find stay those of the day.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def age(gray: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A gray picture ``(H, W)`` uint8, aged in some of the ways of this module, in the order in which they happen."""
    light = gray.astype(np.float32) / np.float32(255)
    for change, chance in ((soften, 0.35), (expose, 0.8), (fade, 0.3), (grain, 0.4), (damage, 0.15)):
        if rng.random() < chance:
            light = change(light, rng)
    aged = np.rint(light.clip(0, 1) * 255).astype(np.uint8)
    return compress(aged, rng) if rng.random() < 0.3 else aged


def soften(light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Blur of lens, motion or paper: a Gaussian of 0.4 to 1.6 pixels."""
    sigma = float(rng.uniform(0.4, 1.6))
    return np.asarray(cv2.GaussianBlur(light, (0, 0), sigma), np.float32)


def expose(light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Exposure and contrast of film: a gamma of 0.6 to 1.7 and a contrast of 0.7 to 1.4 around the middle."""
    curve = light ** np.float32(np.exp(rng.uniform(-0.5, 0.5)))
    return (curve - np.float32(0.5)) * np.float32(np.exp(rng.uniform(-0.35, 0.35))) + np.float32(0.5)


def fade(light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Blacks that rise and whites that sink, unevenly over the picture where light fell on it."""
    black, white = rng.uniform(0, 0.3), rng.uniform(0.7, 1)
    corners = rng.uniform(0.85, 1.0, (2, 2)).astype(np.float32)
    uneven = cv2.resize(corners, light.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return (np.float32(black) + light * np.float32(white - black)) * uneven


def grain(light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Film grain: noise of deviation 0.01 to 0.06, or coarser and 0.7 of that, strongest in the middle tones."""
    noise = rng.standard_normal(light.shape, np.float32)
    if rng.random() < 0.5:
        noise = np.float32(2) * np.asarray(cv2.GaussianBlur(noise, (0, 0), 0.8), np.float32)
    middle = np.float32(0.4) + np.float32(2.4) * light.clip(0, 1) * (1 - light.clip(0, 1))
    return np.asarray(light + np.float32(rng.uniform(0.01, 0.06)) * middle * noise, np.float32)


def damage(light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Scratches and dust, lighter or darker than the picture."""
    height, width = light.shape
    hurt = light.copy()
    for _ in range(int(rng.integers(1, 6))):
        begin, end = ((int(rng.integers(width)), int(rng.integers(height))) for _ in range(2))
        cv2.line(hurt, begin, end, float(rng.choice((0.1, 0.9))), 1, cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 20))):
        at = int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(hurt, at, int(rng.integers(1, 3)), float(rng.uniform(0, 1)), -1, cv2.LINE_AA)
    return hurt


def compress(gray: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """JPEG of quality 30 to 90."""
    _, coded = cv2.imencode(".jpg", gray, (cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 91))))
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)
