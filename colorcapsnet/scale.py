"""Change the size of pictures."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def shrink(picture: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """A picture ``factor`` times smaller on each side, by area averaging.

    Args:
        picture: ``(H, W)`` or ``(H, W, C)`` uint8.
        factor: 1 or more; 1 returns the picture itself.
    """
    if factor == 1:
        return picture
    height, width = (max(1, round(side / factor)) for side in picture.shape[:2])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
