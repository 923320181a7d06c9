"""A trained network -> an ONNX graph and its card.

The graph does not pay for what algebra removes: the three equal input channels are one, batch norm is folded into the
convolutions, and one iteration of routing is a matrix product. That of the whole photograph keeps its numbers in 16
bits, under the network's own parameter names. It must agree with the trained network over real
pictures, or nothing is written.
"""

from __future__ import annotations

import copy
import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from colorcapsnet import color, paint, patches, pictures, scale
from colorcapsnet.errors import ModelError
from colorcapsnet.learn import checkpoints, deep, deep_recipes, recipes, train_photographs
from colorcapsnet.learn.checkpoints import Checkpoint
from colorcapsnet.learn.data import open_set
from colorcapsnet.learn.deep import DeepColorCapsNet, DeepConfig
from colorcapsnet.learn.encoders import fold_batch_norm
from colorcapsnet.learn.paper import ColorCapsNet, PaperConfig, VggFront
from colorcapsnet.zoo import Card, Network

TOLERANCE = {"patch": 1e-4, "photograph": 2e-3}
"""Of a code in 0..1, a 40th of one step of 8 bits; of ab / 255, where weights are rounded to 16 bits, half a step."""
LICENSE = "research only: its training photographs are for research, mostly non-commercial"
LIMITS = {
    "patch": "It sees 9x9 pixels at a time and knows no objects: it colors by brightness and texture. Its colors are "
    "plausible at best, muted, and never evidence of what was there.",
    "photograph": "Its colors are plausible, never evidence of what was there. It is timid with clothes, paint and "
    "flowers, whose color gray does not tell, takes indoor light for daylight, and has learnt skin from faces that are "
    "mostly light.",
}


@dataclass(frozen=True)
class _Made:
    """What one kind of network brings to its export."""

    kind: str
    size: int
    parameters: int
    trained_on: list[str]
    command: str
    write: Callable[[Path], None]
    parity: Callable[[Network, Path], float]


def export(checkpoint: Path, folder: Path, name: str, photographs: Path) -> Path:
    """Write ``NAME.onnx`` and ``NAME.json`` from a checkpoint.

    Args:
        checkpoint: of a run.
        folder: where to; it is made.
        name: of the model.
        photographs: folder of real pictures to compare the graph with the network on.

    Returns:
        The ONNX file.

    Raises:
        ModelError: the checkpoint is damaged, or the graph differs from the network by more than ``TOLERANCE``.
    """
    saved = checkpoints.load(checkpoint)
    made = {"paper": _published, "deep": _whole}[saved.kind](saved)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.onnx"
    temporary = folder / f".{name}-{os.getpid()}.onnx"
    try:
        made.write(temporary)
        card = Card(
            name=name,
            kind=made.kind,
            size=made.size,
            sha256=hashlib.sha256(temporary.read_bytes()).hexdigest(),
            parameters=made.parameters,
            trained_on=made.trained_on,
            data=saved.data,
            command=made.command,
            parity=0.0,
            license=LICENSE,
            limits=LIMITS[made.kind],
            losses=saved.history,
            config=saved.config,
        )
        card.save(temporary.with_suffix(".json"))
        difference = made.parity(Network(temporary), photographs)
        if not difference <= TOLERANCE[made.kind]:
            raise ModelError(
                f"the graph of {checkpoint} differs from the network by {difference:.2g}, over {TOLERANCE[made.kind]:g}"
            )
        replace(card, parity=difference).save(target.with_suffix(".json"))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
        temporary.with_suffix(".json").unlink(missing_ok=True)
    return target


def _published(saved: Checkpoint) -> _Made:
    model = PaperConfig(**saved.config).build()
    model.load_state_dict(saved.model)
    model.eval()
    steps = recipes.lineage(saved.recipe)
    return _Made(
        kind="patch",
        size=model.config.patch,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trained_on=[step.doc.partition(";")[0] for step in steps],
        command=" && ".join(step.command for step in steps),
        write=partial(_write_graph, lean(model)),
        parity=partial(parity, model),
    )


def _whole(saved: Checkpoint) -> _Made:
    model = train_photographs.load(DeepConfig(**saved.config), saved.model | saved.averaged)
    known = saved.recipe in deep_recipes.RECIPES
    steps = deep_recipes.lineage(saved.recipe) if known else []
    return _Made(
        kind="photograph",
        size=deep_recipes.WORKING_SIZE,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trained_on=[deep_recipes.TRAINED_ON] if known else [],
        command=" && ".join(step.command for step in steps),
        write=partial(_write_photograph_graph, folded(model)),
        parity=partial(photograph_parity, model),
    )


def parity(model: ColorCapsNet, network: Network, photographs: Path) -> float:
    """Largest difference, in 0..1, between the network and its graph over all full patches of a folder's pictures."""
    differences = []
    for source in open_set(str(photographs)):
        gray = patches.cut_full(pictures.read(source.path).gray, model.config.patch).astype(np.float32) / 255
        with torch.no_grad():
            expected = torch.cat([model(part) for part in torch.split(torch.from_numpy(gray), 512)]).numpy()
        differences.append(float(np.abs(network(gray) - expected).max()))
    return max(differences)


def lean(model: ColorCapsNet) -> ColorCapsNet:
    """The same function with batch norm folded away and a single input channel; the model itself is unchanged."""
    light = copy.deepcopy(model).eval()
    for module in list(light.modules()):
        pairs = [(a, b) for a, b in _CONV_AND_NORM if isinstance(getattr(module, b, None), nn.BatchNorm2d)]
        for conv_name, norm_name in pairs:
            conv, norm = getattr(module, conv_name), getattr(module, norm_name)
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            setattr(module, norm_name, nn.Identity())
    first = light.front.conv1_1 if isinstance(light.front, VggFront) else light.front.conv
    first.weight = nn.Parameter(first.weight.sum(dim=1, keepdim=True))
    return light


_CONV_AND_NORM = (("conv", "norm"), ("conv1_1", "norm1_1"), ("conv1_2", "norm1_2"))


def folded(model: DeepColorCapsNet) -> DeepColorCapsNet:
    """The same function with all batch norm folded away; the model itself is unchanged."""
    light = copy.deepcopy(model).eval()
    fold_batch_norm(light)
    return light


def photograph_parity(model: DeepColorCapsNet, network: Network, photographs: Path) -> float:
    """How far the mean colors of a folder's pictures are off, at three working sizes: the largest root mean square of
    a picture, ab / 255."""
    differences = []
    for number, source in enumerate(open_set(str(photographs))):
        gray = pictures.read(source.path).gray
        size = network.card.size * (3 + number % 3) // 4
        small = (
            scale.fit(color.eight_bits(gray), *scale.working_shape(gray.shape[0], gray.shape[1], size)).astype(
                np.float32
            )
            / 255
        )
        with torch.no_grad():
            expected = model.ab(torch.from_numpy(small)[None])[0].numpy() * deep.UNIT
        found = np.moveaxis(paint.color(network.know(small)), -1, 0)
        differences.append(float(np.sqrt(np.square(found - expected).mean())) / 255)
    return max(differences)


class _Outputs(nn.Module):
    """The network with the outputs of a photograph model; deviations are those of the Student kernels."""

    def __init__(self, network: DeepColorCapsNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, gray: Tensor) -> tuple[Tensor, ...]:
        if self.network.entities is None:
            return _as_one_entity(self.network.ab(gray))
        painted = self.network(gray)
        scale = painted.scale * (deep.FREEDOM / (deep.FREEDOM - 2)) ** 0.5
        return painted.coupling, painted.weight, painted.mean, scale, painted.basis, painted.mix


def _as_one_entity(ab: Tensor) -> tuple[Tensor, ...]:
    """Colors ``(N, 2, h, w)`` of a network without capsules: one gray entity whose local features are the colors."""
    one = torch.ones_like(ab[:, :1, 0, 0])
    mix = torch.eye(2).expand(ab.shape[0], 1, 2, 2)
    return (
        torch.ones_like(ab[:, :1]),
        one[..., None],
        torch.zeros_like(ab[:, None, None, :, 0, 0]),
        one[..., None],
        ab,
        mix,
    )


def _write_photograph_graph(model: DeepColorCapsNet, path: Path) -> None:
    write_in_full(model, path)
    graph = onnx.load(path)
    halve(graph)
    onnx.save(graph, path)


def write_in_full(model: DeepColorCapsNet, path: Path) -> None:
    """Write a network, its batch norm :func:`folded` away, as a graph that keeps every number in 32 bits."""
    cells = {0: "pictures", 2: "rows", 3: "columns"}
    axes = {name: cells if name in ("coupling", "basis") else {0: "pictures"} for name in OUTPUTS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as below; what it calls constant are the parities of sides, which are even
        torch.onnx.export(
            _Outputs(model).eval(),
            (torch.rand(1, 160, 224),),
            str(path),
            input_names=["gray"],
            output_names=list(OUTPUTS),
            dynamic_axes={"gray": {0: "pictures", 1: "height", 2: "width"}, **axes},
            do_constant_folding=False,
            dynamo=False,
            opset_version=20,
        )


OUTPUTS = ("coupling", "weight", "mean", "scale", "basis", "mix")
_OURS = "network."
_EXACT = "encoder.stages.0."  # a thousand numbers whose rounding alone would move colors by a quarter ab


def halve(graph: onnx.ModelProto) -> None:
    """Keep a graph's learnt numbers in 16 bits, under the network's own parameter names; it goes on computing in 32.

    A node stands behind each, which ONNX Runtime computes once, when it loads the graph. The first stage of the encoder
    keeps its 32 bits.
    """
    nodes = []
    for tensor in graph.graph.initializer:
        inner = tensor.name
        if tensor.data_type != onnx.TensorProto.FLOAT or not inner.startswith(_OURS):
            continue
        name = inner.removeprefix(_OURS)
        if name.startswith(_EXACT):
            node = onnx.helper.make_node("Identity", [name], [inner])
        else:
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float16)))
            node = onnx.helper.make_node("Cast", [name], [inner], to=onnx.TensorProto.FLOAT)
        tensor.name = name
        nodes.append(node)
    nodes.extend(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def weights_of(path: Path) -> dict[str, Tensor]:
    """What :func:`halve` kept, by parameter name, in 32 bits: training can start from it."""
    graph = onnx.load(path).graph
    kept = {node.input[0] for node in graph.node if node.output[0].startswith(_OURS)}
    return {
        tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).astype(np.float32))
        for tensor in graph.initializer
        if tensor.name in kept
    }


def _write_graph(model: ColorCapsNet, path: Path) -> None:
    example: Tensor = torch.rand(2, model.config.patch, model.config.patch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own future and of sizes that are fixed on purpose
        torch.onnx.export(
            model,
            (example,),
            str(path),
            input_names=["gray"],
            output_names=["code"],
            dynamic_axes={"gray": {0: "patches"}, "code": {0: "patches"}},
            dynamo=False,
            opset_version=20,
        )
