"""A tiny network for tests that need one: it has the form of a patch model and colors by a fixed rule."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from colorcapsnet.zoo import Card

COLOR = (150.0, 110.0)  # the code that it gives to every pixel: a = 22, b = -18


def write_model(folder: Path, name: str = "tiny", n: int = 9) -> Path:
    """``code[..., 0] = gray`` and a constant ab, as ONNX and card."""
    scale = numpy_helper.from_array(np.array([1, 0, 0], np.float32), "scale")
    shift = numpy_helper.from_array(np.array([0, *COLOR], np.float32) / 255, "shift")
    last = numpy_helper.from_array(np.array([3]), "last")
    nodes = [
        helper.make_node("Unsqueeze", ["gray", "last"], ["column"]),
        helper.make_node("Mul", ["column", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["code"]),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("gray", TensorProto.FLOAT, ["patches", n, n])],
        [helper.make_tensor_value_info("code", TensorProto.FLOAT, ["patches", n, n, 3])],
        [scale, shift, last],
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    path = folder / f"{name}.onnx"
    path.write_bytes(content)
    Card(
        name=name,
        kind="patch",
        size=n,
        sha256=hashlib.sha256(content).hexdigest(),
        parameters=6,
        trained_on=["nothing"],
        data="",
        command="tests",
        parity=0.0,
        license="Apache-2.0",
        limits="a test",
    ).save(path.with_suffix(".json"))
    return path
