from __future__ import annotations

from pathlib import Path

SAMPLES = Path(__file__).parents[2] / "samples"
