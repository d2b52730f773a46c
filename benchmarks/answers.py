"""A model that knows a video by heart: the answers of another one, looked up by the frame.

The server does all that it does for the real model, down to the same rows, but ONNX Runtime has next to nothing to do.
So what the server costs beside it can be told from what the model costs, which varies by more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.plain import Frame, open_session
from model_export.bundle import Bundle
from model_export.manifest import Batch, Manifest, Provenance

_EVERY = 8
"""A frame is known by every eighth pixel of every eighth row."""


def by_heart(bundle: Bundle, frames: Sequence[Frame], to: Path, name: str) -> Bundle:
    """The bundle of a model that answers as `bundle` does, to these frames alone.

    Args:
        frames: each uint8 [1, height, width, 3].
        to: the repository's folder.
    """
    session = open_session(bundle.model, 1, spinning=False)
    outputs = [spec.name for spec in bundle.manifest.outputs]
    takes = bundle.manifest.inputs[0].name
    answers = [session.run(outputs, {takes: frame}) for frame in frames]
    tables = {name: np.concatenate([answer[n] for answer in answers]) for n, name in enumerate(outputs)}
    manifest = bundle.manifest.model_copy(
        update={
            "name": name,
            "version": 1,
            "batch": Batch(fixed=1),
            "files": {},
            "provenance": Provenance(tool="benchmarks"),
        }
    )
    model = _graph(manifest, frames, tables).SerializeToString()
    return Bundle.write(to / name / "1", manifest, {"model.onnx": model})


def _graph(manifest: Manifest, frames: Sequence[Frame], tables: dict[str, npt.NDArray[Any]]) -> onnx.ModelProto:
    """frames → Σ weight · pixel → where that stands in `keys` → the rows of the tables."""
    weights = np.random.default_rng(0).integers(1, 1 << 16, frames[0][:, ::_EVERY, ::_EVERY].shape).astype(np.int32)
    keys = np.array([(frame[:, ::_EVERY, ::_EVERY] * weights.astype(np.int64)).sum() for frame in frames], np.int64)
    nodes = [
        helper.make_node("Slice", ["frames", "start", "end", "axes", "steps"], ["some"]),
        helper.make_node("Cast", ["some"], ["pixels"], to=TensorProto.INT64),
        helper.make_node("Mul", ["pixels", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "all"], ["key"], keepdims=0),
        helper.make_node("Unsqueeze", ["key", "last"], ["column"]),
        helper.make_node("Equal", ["column", "keys"], ["here"]),
        helper.make_node("Cast", ["here"], ["found"], to=TensorProto.UINT8),
        helper.make_node("ArgMax", ["found"], ["row"], axis=1, keepdims=0),
        *(helper.make_node("Gather", [f"{name}_table", "row"], [name], axis=0) for name in tables),
    ]
    constants = {
        "start": np.array([0, 0], np.int64),
        "end": np.array([1 << 30, 1 << 30], np.int64),
        "axes": np.array([1, 2], np.int64),
        "steps": np.array([_EVERY, _EVERY], np.int64),
        "weights": weights.astype(np.int64),
        "all": np.array([1, 2, 3], np.int64),
        "last": np.array([1], np.int64),
        "keys": keys[None],
        **{f"{name}_table": table for name, table in tables.items()},
    }
    _, height, width, _ = frames[0].shape
    graph = helper.make_graph(
        nodes,
        "by_heart",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["B", height, width, 3])],
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(table.dtype), ["B", *table.shape[1:]])
            for name, table in tables.items()
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
