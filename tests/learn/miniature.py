"""The stand-ins' folders with a few small pictures each, large enough for patches of 32."""

from __future__ import annotations

import tarfile
from pathlib import Path

from tests.learn import write_pictures


def miniature_sets(root: Path, pictures: int = 16) -> Path:
    """``bsds500/train``, ``bsds500/val``, ``ilsvrc_small.tar`` and ``ilsvrc_photos.tar`` below a folder."""
    write_pictures(root, [f"bsds500/train/{number}.jpg" for number in range(100, 106)], size=(70, 80))
    write_pictures(root, [f"bsds500/val/{number}.jpg" for number in range(300, 305)], size=(70, 80))
    for name, first in (("ilsvrc_small", 5000), ("ilsvrc_photos", 7000)):
        write_pictures(root / name, [f"{number}.png" for number in range(first, first + pictures)], size=(70, 80))
        with tarfile.open(root / f"{name}.tar", "w") as archive:
            archive.add(root / name, name)
    return root
