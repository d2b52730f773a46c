"""Detectors in the shapes that Ultralytics exports, with random weights; built in the test that needs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from model_builders import CELLS, CLASSES, SIDE, model
from onnx import TensorProto, helper

STRIDES = (8, 16, 32)
END_ROWS = 20
"""That the end-to-end form answers."""

Nodes = list[onnx.NodeProto]


def yolo_like(
    form: str = "cells",
    *,
    batch: Any = 1,
    dtype: int = TensorProto.FLOAT,
    free_size: bool = False,
    stuck: bool = False,
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """For pictures of 64 × 64 in 0…1, three classes.

    Args:
        form: `cells` [batch, 7, 84] · `anchors` [batch, 252, 8] · `end` [batch, 20, 6].
        batch: written into the reshapes, where it is a number.
        free_size: height and width are not declared.
        stuck: it also adds a constant that has the batch's size, so that it runs at that size alone.
        metadata: properties of the file.
    """
    random = np.random.default_rng(11)
    numbers = helper.tensor_dtype_to_np_dtype(dtype)
    anchors = 3 if form == "anchors" else 1
    columns = (5 if form == "anchors" else 4) + CLASSES
    rows = batch if isinstance(batch, int) else 0
    nodes: Nodes = []
    constants: dict[str, Any] = {
        "zero": np.array([0]),
        "two": np.array([2]),
        "four": np.array([4]),
        "end": np.array([columns]),
        "axis": np.array([1]),
        "half": np.array(0.5, numbers),
    }
    cells, steps, parts = [], [], []
    for stride in STRIDES:
        side = SIDE // stride
        weights = random.normal(0, 0.06 * 8 / stride, (anchors, columns, 3, stride, stride))
        weights -= weights.mean(axis=(2, 3, 4), keepdims=True)
        weights[:, 4:] *= 8
        constants[f"w{stride}"] = weights.reshape(-1, 3, stride, stride).astype(numbers)
        constants[f"b{stride}"] = random.normal(-0.3, 0.7, anchors * columns).astype(numbers)
        # Anchors come one grid after the other: [batch, columns, 3 · cells].
        constants[f"s{stride}"] = np.array([rows, anchors, columns, side * side])
        constants[f"t{stride}"] = np.array([rows, columns, anchors * side * side])
        nodes += [
            helper.make_node("Conv", ["images", f"w{stride}", f"b{stride}"], [f"c{stride}"], strides=[stride, stride]),
            helper.make_node("Reshape", [f"c{stride}", f"s{stride}"], [f"r{stride}"]),
            helper.make_node("Transpose", [f"r{stride}"], [f"p{stride}"], perm=[0, 2, 1, 3]),
            helper.make_node("Reshape", [f"p{stride}", f"t{stride}"], [f"f{stride}"]),
        ]
        parts.append(f"f{stride}")
        y, x = np.mgrid[0:side, 0:side] + 0.5
        cells += [np.stack([x.ravel(), y.ravel()])] * anchors
        steps += [np.full(side * side * anchors, stride)]
    constants["grid"] = np.concatenate(cells, axis=1)[None].astype(numbers)
    constants["steps"] = np.concatenate(steps)[None, None].astype(numbers)
    nodes += [
        helper.make_node("Concat", parts, ["all"], axis=2),
        helper.make_node("Slice", ["all", "zero", "two", "axis"], ["shift"]),
        helper.make_node("Slice", ["all", "two", "four", "axis"], ["grow"]),
        helper.make_node("Slice", ["all", "four", "end", "axis"], ["logits"]),
        helper.make_node("Tanh", ["shift"], ["moved"]),
        helper.make_node("Add", ["moved", "grid"], ["places"]),
        helper.make_node("Mul", ["places", "steps"], ["centres"]),
        helper.make_node("Exp", ["grow"], ["grown"]),
        helper.make_node("Mul", ["grown", "steps"], ["sizes"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
    ]
    last, shape = {
        "cells": (_cells, [batch, columns, CELLS]),
        "anchors": (_anchors, [batch, 3 * CELLS, columns]),
        "end": (_end_to_end, [batch, END_ROWS, 6]),
    }[form]
    nodes += last(constants)
    if stuck:
        nodes[-1].output[0] = "almost"
        constants["nothing"] = np.zeros((batch, 1, 1), numbers)
        nodes.append(helper.make_node("Add", ["almost", "nothing"], ["output0"]))
    side = ["height", "width"] if free_size else [SIDE, SIDE]
    built = model(nodes, {"images": [batch, 3, *side]}, {"output0": shape}, constants, dtype=dtype)
    built.graph.output[0].type.tensor_type.elem_type = dtype
    helper.set_model_props(built, metadata or {})
    return built


def _cells(constants: dict[str, Any]) -> Nodes:
    return [helper.make_node("Concat", ["centres", "sizes", "scores"], ["output0"], axis=1)]


def _anchors(constants: dict[str, Any]) -> Nodes:
    return [
        helper.make_node("Concat", ["centres", "sizes", "scores"], ["upright"], axis=1),
        helper.make_node("Transpose", ["upright"], ["output0"], perm=[0, 2, 1]),
    ]


def _end_to_end(constants: dict[str, Any]) -> Nodes:
    """The best by any class, their corners, score and class."""
    constants |= {"rows": np.array([END_ROWS]), "six": np.array([1, 6, 1])}
    return [
        helper.make_node("Mul", ["sizes", "half"], ["halves"]),
        helper.make_node("Sub", ["centres", "halves"], ["near"]),
        helper.make_node("Add", ["centres", "halves"], ["far"]),
        helper.make_node("ReduceMax", ["scores"], ["best"], axes=[1], keepdims=1),
        helper.make_node("ArgMax", ["scores"], ["which"], axis=1, keepdims=1),
        helper.make_node("Cast", ["which"], ["kind"], to=helper.np_dtype_to_tensor_dtype(constants["half"].dtype)),
        helper.make_node("Concat", ["near", "far", "best", "kind"], ["rows_of_all"], axis=1),
        helper.make_node("TopK", ["best", "rows"], ["top", "places_of_top"], axis=2),
        helper.make_node("Tile", ["places_of_top", "six"], ["where"]),
        helper.make_node("GatherElements", ["rows_of_all", "where"], ["upright"], axis=2),
        helper.make_node("Transpose", ["upright"], ["output0"], perm=[0, 2, 1]),
    ]
