"""Small ONNX models and bundles, built in the test that needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model_export import golden
from model_export.bundle import Bundle
from model_export.manifest import FrameInput, Manifest, Provenance, Suppression, Task, TensorSpec

SIDE = 64
CLASSES = 3
PICTURE = 32
"""Of the classifiers."""
CELLS = 64 + 16 + 4
"""Of the grids for strides 8, 16 and 32 on 64 × 64 pixels."""


def model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[Any]],
    outputs: dict[str, list[Any]],
    constants: dict[str, Any] | None = None,
    *,
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
    ir_version: int = 8,
    constants_are_inputs: bool = False,
) -> onnx.ModelProto:
    """A model; `inputs` and `outputs` are name → shape."""
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    values = [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()]
    if constants_are_inputs:
        values += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    graph = helper.make_graph(nodes, "test", values, results, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def yolox_like(
    *,
    batch: Any = 1,
    opset: int = 11,
    sigmoid: bool = True,
    stuck: bool = False,
    decoded: bool = False,
    dtype: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """Random weights in the shape of YOLOX, for pictures of 64 × 64: output [batch, 84, 8], three classes.

    Its reshapes hold the size of the batch as constants, its constants stand among the inputs as old exporters had it.

    Args:
        stuck: it also joins a constant that has the batch's size, so that it runs at that size alone.
        decoded: its boxes are already in pixels.
    """
    random = np.random.default_rng(7)
    rows = batch if isinstance(batch, int) else 1
    columns = 5 + CLASSES
    nodes, constants, parts = [], {"shape": np.array([rows, columns, -1])}, []
    numbers = helper.tensor_dtype_to_np_dtype(dtype)
    for stride in (8, 16, 32):
        weights = random.normal(0, 0.0005 * 8 / stride, (columns, 3, stride, stride))
        weights -= weights.mean(axis=(1, 2, 3), keepdims=True)
        constants[f"w{stride}"] = weights.astype(numbers)
        constants[f"b{stride}"] = random.normal(-0.3, 0.7, columns).astype(numbers)
        nodes += [
            helper.make_node("Conv", ["images", f"w{stride}", f"b{stride}"], [f"c{stride}"], strides=[stride, stride]),
            helper.make_node("Reshape", [f"c{stride}", "shape"], [f"r{stride}"], name=f"reshape{stride}"),
        ]
        parts.append(f"r{stride}")
    nodes += [
        helper.make_node("Concat", parts, ["joined"], axis=2),
        helper.make_node("Transpose", ["joined"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("Slice", ["rows", "zero", "four", "two"], ["shift"]),
        helper.make_node("Slice", ["rows", "four", "end", "two"], ["logits"]),
        helper.make_node("Sigmoid" if sigmoid else "Identity", ["logits"], ["scores"]),
        *(_decoding(constants, numbers) if decoded else [helper.make_node("Identity", ["shift"], ["boxes"])]),
        helper.make_node("Concat", ["boxes", "scores"], ["output"], axis=2),
    ]
    constants |= {"zero": np.array([0]), "four": np.array([4]), "two": np.array([2]), "end": np.array([columns])}
    if stuck:
        constants["rest"] = np.zeros((rows, CELLS, 1), numbers)
        nodes[-1].output[0] = "almost"
        nodes += [
            helper.make_node("Concat", ["almost", "rest"], ["wide"], axis=2),
            helper.make_node("Slice", ["wide", "zero", "end", "two"], ["output"]),
        ]
    built = model(
        nodes,
        {"images": [batch, 3, SIDE, SIDE]},
        {"output": [batch, CELLS, columns]},
        constants,
        opset=opset,
        dtype=dtype,
        ir_version=7,
        constants_are_inputs=True,
    )
    built.graph.output[0].type.tensor_type.elem_type = dtype
    return built


def yolox_grid() -> tuple[np.ndarray, np.ndarray]:
    """x and y of each cell [84, 2], and its stride [84, 1]."""
    grids = [(stride, np.mgrid[: SIDE // stride, : SIDE // stride]) for stride in (8, 16, 32)]
    cells = np.concatenate([np.stack([x.ravel(), y.ravel()], axis=1) for _, (y, x) in grids])
    return cells, np.concatenate([np.full((x.size, 1), stride) for stride, (_, x) in grids])


def _decoding(constants: dict[str, Any], numbers: Any) -> list[onnx.NodeProto]:
    """From `shift`, offsets in strides and logarithms of sizes, to `boxes` in pixels."""
    cells, strides = yolox_grid()
    constants |= {"cells": cells.astype(numbers), "strides": strides.astype(numbers)}
    return [
        helper.make_node("Split", ["shift"], ["offsets", "logs"], axis=2, split=[2, 2]),
        helper.make_node("Add", ["offsets", "cells"], ["places"]),
        helper.make_node("Mul", ["places", "strides"], ["centres"]),
        helper.make_node("Exp", ["logs"], ["grown"]),
        helper.make_node("Mul", ["grown", "strides"], ["sizes"]),
        helper.make_node("Concat", ["centres", "sizes"], ["boxes"], axis=2),
    ]


def classifier_like(
    last: str = "Identity",
    *,
    batch: Any = 1,
    classes: int = 4,
    maps: bool = False,
    stuck: bool = False,
    dtype: int = TensorProto.FLOAT,
    shift: float = 0.0,
) -> onnx.ModelProto:
    """Two convolutions, a mean and random weights, for pictures of 32 × 32; ends in the operator `last`.

    Args:
        maps: answers [batch, classes, 1, 1].
        stuck: it also adds a constant that has the batch's size, so that it runs at that size alone.
        shift: is added to all logits.
    """
    random = np.random.default_rng(23)
    numbers = helper.tensor_dtype_to_np_dtype(dtype)
    constants: dict[str, Any] = {
        "w1": random.normal(0, 0.25, (8, 3, 4, 4)).astype(numbers),
        "w2": random.normal(0, 0.3, (classes, 8, 3, 3)).astype(numbers),
        "gain": np.array(6.0, numbers),
        "shift": np.array(shift, numbers),
        "rest": np.zeros((batch if stuck else 1, 1, 1, 1), numbers),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], strides=[4, 4]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c2"], ["means"]),
        helper.make_node("Mul", ["means", "gain"], ["large"]),
        helper.make_node("Add", ["large", "shift"], ["moved"]),
        helper.make_node("Add", ["moved", "rest"], ["logits"]),
    ]
    axis = {"axis": 1} if last.endswith("Softmax") else {}
    if maps:
        nodes.append(helper.make_node(last, ["logits"], ["y"], **axis))
    else:
        nodes += [
            helper.make_node("Flatten", ["logits"], ["flat"]),
            helper.make_node(last, ["flat"], ["y"], **axis),
        ]
    shape = [batch, classes, 1, 1] if maps else [batch, classes]
    built = model(nodes, {"x": [batch, 3, PICTURE, PICTURE]}, {"y": shape}, constants, dtype=dtype)
    built.graph.output[0].type.tensor_type.elem_type = dtype
    return built


def found(*rows: tuple[float, float, int]) -> dict[str, np.ndarray]:
    """One frame's standard detections from rows of (left edge, score, class)."""
    return {
        "boxes": np.array([[[x, 0, x + 10, 10] for x, _, _ in rows]], np.float32),
        "scores": np.array([[score for _, score, _ in rows]], np.float32),
        "class_ids": np.array([[kind for _, _, kind in rows]], np.int64),
    }


def doubling(batch: Any = "batch") -> onnx.ModelProto:
    """Two tensors in, their names kept: y = 2 x, z = x + w."""
    nodes = [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Add", ["x", "w"], ["z"])]
    return model(nodes, {"x": [batch, 4], "w": [batch, 4]}, {"y": [batch, 4], "z": [batch, 4]})


def saved(proto: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    """Write a model to a file."""
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


def detect_manifest(*, name: str = "tiny", version: int = 1, suppression: Suppression | None = None) -> Manifest:
    """Of a detector for 8 × 8 pixels with three candidates."""
    return Manifest(
        name=name,
        version=version,
        task=Task.DETECT,
        family="test",
        input=FrameInput(width=8, height=8),
        inputs=(TensorSpec(name="frames", dtype="uint8", shape=(None, 8, 8, 3)),),
        outputs=(
            TensorSpec(name="boxes", dtype="float32", shape=(None, 3, 4)),
            TensorSpec(name="scores", dtype="float32", shape=(None, 3)),
            TensorSpec(name="class_ids", dtype="int64", shape=(None, 3)),
        ),
        labels=("car", "person"),
        suppression=suppression,
        provenance=Provenance(tool="test"),
    )


def written(
    root: Path, *, name: str = "tiny", version: int = 1, content: bytes = b"graph", task: Task = Task.DETECT
) -> Bundle:
    """A bundle in a repository's folder, with a file that is no model but has its name."""
    manifest = detect_manifest(name=name, version=version)
    said = {"task": task, "input": None if task is Task.TENSOR else manifest.input}
    sample = golden.encode({"frames": np.zeros((1, 8, 8, 3), np.uint8)}, {"scores": np.zeros((1, 3), np.float32)})
    files: dict[str, bytes | Path] = {"model.onnx": content, "golden.npz": sample}
    return Bundle.write(root / name / str(version), manifest.model_copy(update=said), files)
