"""A trained network -> an ONNX graph and its card.

The graph does not pay for what algebra removes: the three equal input channels are one, batch norm is folded into the
convolutions, and one iteration of routing is a matrix product. It must agree with the trained network over real
pictures, or nothing is written.
"""

from __future__ import annotations

import copy
import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from colorcapsnet import patches, pictures
from colorcapsnet.errors import ModelError
from colorcapsnet.learn import checkpoints, recipes
from colorcapsnet.learn.data import open_set
from colorcapsnet.learn.paper import ColorCapsNet, PaperConfig, VggFront
from colorcapsnet.zoo import Card, Network

TOLERANCE = 1e-4  # of a code in 0..1; a 40th of one step of 8 bits
LICENSE = "research only: its training photographs are for research, mostly non-commercial"
LIMITS = (
    "It sees 9x9 pixels at a time and knows no objects: it colors by brightness and texture. Its colors are plausible "
    "at best, muted, and never evidence of what was there."
)


def export(checkpoint: Path, folder: Path, name: str, photographs: Path) -> Path:
    """Write ``NAME.onnx`` and ``NAME.json`` from a checkpoint of the published network.

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
    model = PaperConfig(**saved.config).build()
    model.load_state_dict(saved.model)
    model.eval()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.onnx"
    steps = recipes.lineage(saved.recipe)
    temporary = folder / f".{name}-{os.getpid()}.onnx"
    try:
        _write_graph(lean(model), temporary)
        card = Card(
            name=name,
            kind="patch",
            size=model.config.patch,
            sha256=hashlib.sha256(temporary.read_bytes()).hexdigest(),
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            trained_on=[step.doc.partition(";")[0] for step in steps],
            data=saved.data,
            command=" && ".join(step.command for step in steps),
            parity=0.0,
            license=LICENSE,
            limits=LIMITS,
            losses=saved.history,
        )
        card.save(temporary.with_suffix(".json"))
        difference = parity(model, Network(temporary), photographs)
        if not difference <= TOLERANCE:
            raise ModelError(
                f"the graph of {checkpoint} differs from the network by {difference:.2g}, over {TOLERANCE:g}"
            )
        Card(**{**vars(card), "parity": difference}).save(target.with_suffix(".json"))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
        temporary.with_suffix(".json").unlink(missing_ok=True)
    return target


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
