"""Tiny networks for tests that need one: a patch model and a photograph model that color by fixed rules."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from onnx import GraphProto, TensorProto, helper, numpy_helper

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
    return _write(graph, folder, name, "patch", n)


def write_photograph_model(
    folder: Path, name: str = "tiny-photo", size: int = 64, paint: dict[str, Any] | None = None
) -> Path:
    """Three entities, of two modes each: dark is brown or red, middle green or ocher, bright blue or pink.

    A cell is shared out by its mean gray, mode weights move a little with the picture's mean gray, and what is
    brighter than middle gray is a little bluer and greener, by the local term.
    """
    constants = {
        "channel": np.array([1]),
        "slope": np.array([-12, 0, 12], np.float32).reshape(3, 1, 1),
        "lift": np.array([3, 0, -9], np.float32).reshape(3, 1, 1),
        "odds": np.array([[0.6, -0.2], [0.5, -0.3], [0.9, 0.0]], np.float32),
        "lean": np.array([[0.2, 0], [0, 0.3], [0, 0.2]], np.float32),
        "colors": np.array([[[12, 18], [40, 20]], [[-18, 25], [8, 40]], [[-4, -30], [24, 4]]], np.float32) / 50,
        "spread": np.array([[0.2, 0.3], [0.15, 0.25], [0.2, 0.4]], np.float32),
        "both": np.array([1, 2]),
        "middle": np.array(0.5, np.float32),
        "features": np.array([1, -2], np.float32).reshape(2, 1, 1),
        "local": np.array([[[0.02, 0.05], [-0.1, 0.02]]] * 3, np.float32),
        "of_modes": np.array([3, 2]),
        "of_colors": np.array([3, 2, 2]),
    }
    nodes = [
        helper.make_node("Unsqueeze", ["gray", "channel"], ["picture"]),
        helper.make_node("AveragePool", ["picture"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Mul", ["cells", "slope"], ["sloped"]),
        helper.make_node("Add", ["sloped", "lift"], ["belongs"]),
        helper.make_node("Softmax", ["belongs"], ["coupling"], axis=1),
        helper.make_node("ReduceMean", ["gray", "both"], ["bright"]),
        helper.make_node("Mul", ["bright", "lean"], ["leaning"]),
        helper.make_node("Add", ["leaning", "odds"], ["likely"]),
        helper.make_node("Softmax", ["likely"], ["weight"], axis=2),
        helper.make_node("Shape", ["gray"], ["pictures"], start=0, end=1),
        helper.make_node("Concat", ["pictures", "of_modes"], ["modes"], axis=0),
        helper.make_node("Concat", ["pictures", "of_colors"], ["modes_ab"], axis=0),
        helper.make_node("Expand", ["colors", "modes_ab"], ["mean"]),
        helper.make_node("Expand", ["spread", "modes"], ["scale"]),
        helper.make_node("Expand", ["local", "modes_ab"], ["mix"]),
        helper.make_node("Sub", ["cells", "middle"], ["centered"]),
        helper.make_node("Mul", ["centered", "features"], ["basis"]),
    ]
    cells, modes, pairs = ["N", 3, "h", "w"], ["N", 3, 2], ["N", 3, 2, 2]
    outputs = {"coupling": cells, "weight": modes, "mean": pairs, "scale": modes, "basis": ["N", 2, "h", "w"]}
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("gray", TensorProto.FLOAT, ["N", "H", "W"])],
        [
            helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
            for output, shape in (outputs | {"mix": pairs}).items()
        ],
        [numpy_helper.from_array(array, constant) for constant, array in constants.items()],
    )
    return _write(graph, folder, name, "photograph", size, paint or {})


def _write(
    graph: GraphProto, folder: Path, name: str, kind: str, size: int, paint: dict[str, Any] | None = None
) -> Path:
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    path = folder / f"{name}.onnx"
    path.write_bytes(content)
    Card(
        name=name,
        kind=kind,
        size=size,
        sha256=hashlib.sha256(content).hexdigest(),
        parameters=sum(numpy_helper.to_array(array).size for array in graph.initializer),
        trained_on=["nothing"],
        data="",
        command="tests",
        parity=0.0,
        license="Apache-2.0",
        limits="a test",
        paint=paint or {},
    ).save(path.with_suffix(".json"))
    return path
