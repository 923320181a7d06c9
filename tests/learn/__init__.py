from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the photographs of ../shared/data are not here")


def write_pictures(root: Path, names: list[str], *, gray: bool = False, size: tuple[int, int] = (24, 30)) -> None:
    """Small colorful pictures, each different."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(sum(name.encode()) + number)
        coarse = rng.integers(0, 256, (4, 5) if gray else (4, 5, 3)).astype(np.uint8)
        done, content = cv2.imencode(path.suffix, cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC))
        assert done
        path.write_bytes(content.tobytes())


def begin_chain(path: Path, recipe: str) -> None:
    """A checkpoint of an untrained published network, as if ``recipe`` had made it."""
    from dataclasses import asdict

    from colorcapsnet.learn.checkpoints import Checkpoint, save
    from colorcapsnet.learn.paper import PaperConfig

    path.parent.mkdir(parents=True)
    config, loop = PaperConfig(), {"epoch": 1, "schedule": {"epochs": 1}}
    weights = config.build().state_dict()
    save(Checkpoint(weights, kind="paper", config=asdict(config), recipe=recipe, data="", loop=loop), path)
