"""Networks that color: where they lie, what their cards say, and how they are loaded.

A network is two files: ``NAME.onnx`` and its card ``NAME.json``. They are looked for, in this order, at the path
given, in the package (``colorcapsnet/models``), and in the user's folder (``$COLORCAPSNET_HOME/models``, by default
``~/.local/share/colorcapsnet/models``).
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colorcapsnet.errors import ModelError
from colorcapsnet.paint import Known

CARD_VERSION = 1
DEFAULT = "deep"

_OUTPUTS = {"patch": ("code",), "photograph": ("coupling", "weight", "mean", "scale", "basis", "mix")}
VIVID = ("anneal", "bold", "gain")
_PAINT = {*VIVID, "curve", "kernel"}


@dataclass(frozen=True)
class Card:
    """What is known about a network; everything that makes it differ from another one.

    Attributes:
        name: what ``--model`` takes.
        kind: ``"patch"``: gray patches ``(N, n, n)`` in 0..1 -> Lab code ``(N, n, n, 3)`` in 0..1 (8-bit code / 255);
            ``"photograph"``: whole gray pictures ``(N, h, w)`` in 0..1, sides multiples of 32 -> the arrays of
            :class:`paint.Known` with a leading N, a cell for every 4×4 pixels.
        size: side n of the patch; of a photograph model the working size, the side of a square of as many pixels as
            it looks at.
        sha256: of the ONNX file.
        parameters: how many numbers were learnt.
        trained_on: the sets it learnt from.
        data: SHA-256 of the last prepared set.
        command: what made it.
        parity: difference of the ONNX graph to the trained network over real pictures, in 0..1: the largest of any
            code for patches, the largest root mean square of a picture's ab / 255 for photographs.
        license: of the weights.
        limits: what it gets wrong, and what it must not be used for.
        losses: one entry an epoch of its last step of training.
        scores: measured rows, by name of the set; see ``evaluate``.
        paint: what was measured for a photograph model's answers, each with a default: ``anneal``, ``bold`` and
            ``gain`` of vivid colors (:func:`paint.color`), ``curve`` of confidence (:func:`paint.confidence`),
            fields of the ``kernel`` of hints (:class:`paint.Kernel`).
        config: of the network that was trained, so that training can go on from the graph's own numbers.
        version: of this form of card.
    """

    name: str
    kind: str
    size: int
    sha256: str
    parameters: int
    trained_on: list[str]
    data: str
    command: str
    parity: float
    license: str
    limits: str
    losses: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    paint: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    version: int = CARD_VERSION

    def save(self, path: Path) -> None:
        """Write the card as JSON."""
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Card:
        """Read a card. What has a default may be missing, so cards from before a field was added are read as well.

        Raises:
            ModelError: it is missing, damaged, of another version, or of a kind that this package does not know.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            version = told.get("version")
        except FileNotFoundError:
            raise ModelError(f"{path} does not exist; a model's card lies beside it, with the same name") from None
        except (OSError, ValueError, AttributeError) as error:
            raise ModelError(f"{path} is damaged ({error}); install or export the model again") from error
        if version != CARD_VERSION:
            raise ModelError(f"{path} is a card of version {version}, this package reads version {CARD_VERSION}")
        known = {each.name for each in fields(cls)}
        needed = {each.name for each in fields(cls) if each.default is each.default_factory is MISSING}
        if not needed <= set(told) <= known or told["kind"] not in _OUTPUTS or not set(told.get("paint", {})) <= _PAINT:
            raise ModelError(f"{path} is no card of this package (kind {told.get('kind')!r}); export the model again")
        return cls(**told)


class Network:
    """A loaded network; may be called from several threads at once.

    Args:
        path: of the ONNX file; its card lies beside it.
        threads: that one call may use; None for all cores.

    Raises:
        ModelError: the file or its card is missing, damaged, or not what the card says.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.card = Card.load(path.with_suffix(".json"))
        content = _verified(path, self.card.sha256)
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads or 0
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that wait leave their core
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base
            raise ModelError(f"{path} cannot be loaded: {error}") from error
        given, expected = {output.name for output in self._session.get_outputs()}, _OUTPUTS[self.card.kind]
        if given != set(expected):
            named = f"{', '.join(sorted(given))}, not {', '.join(expected)}"
            raise ModelError(f"{path} gives {named}: it is no {self.card.kind} model; export it again")

    def __call__(self, gray: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """A patch model's answer: gray patches ``(N, n, n)`` in 0..1 -> Lab code ``(N, n, n, 3)`` in 0..1."""
        (code,) = self._session.run(["code"], {"gray": np.ascontiguousarray(gray, np.float32)})
        return np.asarray(code, np.float32)

    def know(self, gray: NDArray[np.floating[Any]]) -> Known:
        """A photograph model's answer to one picture: gray ``(h, w)`` in 0..1, sides multiples of 32.

        Raises:
            ModelError: what it gives makes no sense.
        """
        arrays = self._session.run(_OUTPUTS["photograph"], {"gray": np.ascontiguousarray(gray, np.float32)[None]})
        return Known(*(array[0] for array in arrays))


def _onnxruntime() -> Any:  # noqa: ANN401
    """ONNX Runtime that keeps to itself: 1.29 and later tell its maker which models run where."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is first imported
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # Windows does not know the variable
    return onnxruntime


@cache
def load(name: str, threads: int | None = None) -> Network:
    """A network by name or path, loaded once.

    Raises:
        ModelError: there is no such network, or its files are damaged.
    """
    return Network(find(name), threads)


def find(name: str) -> Path:
    """The ONNX file of a network.

    Args:
        name: ``paper``, or the path of an ``.onnx`` file.

    Raises:
        ModelError: it is nowhere; the message says where was looked and what there is.
    """
    if name.endswith(".onnx"):
        if not os.path.isfile(name):  # noqa: PTH113 (Path.is_file raises where a name is too long)
            raise ModelError(f"{name} does not exist; give the path of an .onnx file or one of: {', '.join(names())}")
        return Path(name)
    for folder in _folders():
        if os.path.isfile(folder / f"{name}.onnx"):  # noqa: PTH113
            return folder / f"{name}.onnx"
    raise ModelError(f"there is no model {name!r}; give the path of an .onnx file or one of: {', '.join(names())}")


def names() -> list[str]:
    """Names of all networks that are installed."""
    return sorted({path.stem for folder in _folders() if folder.is_dir() for path in folder.glob("*.onnx")})


def own_folder() -> Path:
    """Where a user's own networks are looked for by name."""
    home = os.environ.get("COLORCAPSNET_HOME")
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return (Path(home) if home else Path(data).expanduser() / "colorcapsnet") / "models"


def _folders() -> list[Path]:
    return [Path(__file__).parent / "models", own_folder()]


def _verified(path: Path, sha256: str) -> bytes:
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelError(
            f"{path} is damaged or does not belong to its card (hash {found[:12]}, the card says {sha256[:12]}); "
            "install or export the model again"
        )
    return content
