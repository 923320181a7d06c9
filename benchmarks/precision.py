"""What the numbers of a network of whole photographs may be kept in: 32, 16 or 8 bits; size, speed and skill of each.

Every form is written from one checkpoint. 16 bits is what ``colorcapsnet export`` writes: kept in 16, computed in 32.
8 bits is ONNX Runtime's static quantization of the convolutions, by channel, calibrated on training photographs.
The network alone is timed, in turns. Command::

    python -m benchmarks.precision CHECKPOINT --data FOLDER/bsds500/val --taught FOLDER/bsds500/train
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.measure import commit, processor, seconds, spread
from colorcapsnet import color, evaluate, pictures, scale, zoo
from colorcapsnet.colorizer import Colorizer
from colorcapsnet.learn import export
from colorcapsnet.learn.train_photographs import of_checkpoint
from colorcapsnet.zoo import Card, Network

TAUGHT = 64  # photographs that say how far activations reach
ROUNDS, CALLS = 9, 10
SHAPE = (192, 256)  # of the picture that is timed


class Photographs(CalibrationDataReader):
    """Gray photographs at working size, one after another."""

    def __init__(self, folder: Path, size: int) -> None:
        self.left = self._each(evaluate.photographs(folder), size)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next one, or None."""
        return next(self.left, None)

    def _each(self, named: dict[str, Path], size: int) -> Iterator[dict[str, np.ndarray]]:
        for path in list(named.values())[:TAUGHT]:
            gray = color.eight_bits(pictures.read(path).gray)
            small = scale.fit(gray, *scale.working_shape(*gray.shape, size))
            yield {"gray": small[None].astype(np.float32) / 255}


def forms(checkpoint: Path, card: Card, taught: Path, folder: Path) -> dict[str, Path]:
    """Write every form, each with a card."""
    paths = {f"{bits} bits": folder / f"deep-{bits}.onnx" for bits in (32, 16, 8)}
    full, half, byte = paths.values()
    export.write_in_full(export.folded(of_checkpoint(checkpoint)[0]), full)
    graph = onnx.load(full)
    export.halve(graph)
    onnx.save(graph, half)
    simple = folder / "simple.onnx"
    quant_pre_process(str(full), str(simple), skip_symbolic_shape=True)
    quantize_static(
        str(simple),
        str(byte),
        Photographs(taught, card.size),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    for path in paths.values():
        kept = replace(card, name=path.stem, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        kept.save(path.with_suffix(".json"))
    return paths


def main() -> None:
    """Measure, and print one line a form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="photographs to score on")
    parser.add_argument("--taught", type=Path, required=True, help="photographs to calibrate 8 bits on")
    asked = parser.parse_args()
    card = Card.load(zoo.find(zoo.DEFAULT).with_suffix(".json"))
    with tempfile.TemporaryDirectory() as folder:
        paths = forms(asked.checkpoint, card, asked.taught, Path(folder))
        networks = {name: Network(path) for name, path in paths.items()}
        gray = np.random.default_rng(0).random(SHAPE, np.float32)
        took: dict[str, list[float]] = {name: [] for name in networks}
        for _ in range(ROUNDS):
            for name, network in networks.items():
                took[name].append(1000 * seconds(lambda network=network: network.know(gray), CALLS))
        rows = {path.stem: Colorizer(str(path)) for path in paths.values()}
        scores = evaluate.evaluate_models(asked.data, rows)
        print(f"commit {commit()}; {processor()}; {scores['set']['pictures']} photographs")
        print("form       MB    ms of the network              skill, dB   to 32 bits [95%]")
        for name, path in paths.items():
            skill = scores["summary"][path.stem]["skill"]["value"]
            paired = evaluate.difference(scores, path.stem, "deep-32")
            print(
                f"{name:8} {path.stat().st_size / 1e6:5.1f} {spread(took[name], 1)}  {skill:+.3f}   "
                f"{paired.value:+.3f} [{paired.low:+.3f}, {paired.high:+.3f}]"
            )


if __name__ == "__main__":
    main()
