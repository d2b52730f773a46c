"""Models that are asked over /v2, as files and as bundles of a repository."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from model_export.importer import import_model
from model_export.repository import Repository

SIDE = 16


def pictures(batch: Any = "batch") -> onnx.ModelProto:
    """FP32 NCHW pictures in, as many frameworks have it: two convolutions and logits [batch, 5]."""
    random = np.random.default_rng(3)
    constants = {
        "w1": random.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32),
        "w2": random.normal(0, 0.2, (5, 8, 3, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["images", "w1"], ["c1"], strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"]),
        helper.make_node("GlobalAveragePool", ["c2"], ["means"]),
        helper.make_node("Flatten", ["means"], ["logits"]),
    ]
    return model(
        nodes, {"images": (np.float32, [batch, 3, SIDE, SIDE])}, {"logits": (np.float32, [batch, 5])}, constants
    )


def every_type() -> onnx.ModelProto:
    """A tensor of each type of ONNX that the protocol has, and back as it came: `X` in, `X_out` out."""
    dtypes = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32")
    named = {dtype: (np.dtype(dtype), ["batch", 2]) for dtype in (*dtypes, "float64")}
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in named]
    return model(nodes, named, {f"{name}_out": value for name, value in named.items()})


def free_size() -> onnx.ModelProto:
    """Pictures of any size [batch, 1, h, w], and all of it back doubled: how much it answers is not declared."""
    nodes = [helper.make_node("Add", ["x", "x"], ["y"])]
    shape = ["batch", 1, "h", "w"]
    return model(nodes, {"x": (np.float32, shape)}, {"y": (np.float32, shape)})


def whole() -> onnx.ModelProto:
    """Points [n, 2] in, their mean [2] out: rows belong together, so no two requests may share a run."""
    nodes = [helper.make_node("ReduceMean", ["points"], ["mean"], axes=[0], keepdims=0)]
    return model(nodes, {"points": (np.float32, ["n", 2])}, {"mean": (np.float32, [2])})


def picking() -> onnx.ModelProto:
    """The rows of a table that `index` names; a number that is too large cannot be run."""
    nodes = [helper.make_node("Gather", ["table", "index"], ["rows"])]
    table = {"table": np.arange(12, dtype=np.float32).reshape(4, 3)}
    return model(nodes, {"index": (np.int64, ["batch"])}, {"rows": (np.float32, ["batch", 3])}, table)


def model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[Any, list[Any]]],
    outputs: dict[str, tuple[Any, list[Any]]],
    constants: dict[str, np.ndarray] | None = None,
) -> onnx.ModelProto:
    """Inputs and outputs are name → dtype and shape."""

    def values(specs: dict[str, tuple[Any, list[Any]]]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
            for name, (dtype, shape) in specs.items()
        ]

    tensors = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "test", values(inputs), values(outputs), tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def brought_in(server: Any, name: str, proto: onnx.ModelProto) -> bytes:
    """A model of family `raw`, put into the server's repository and loaded; its file."""
    content = proto.SerializeToString()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.onnx"
        file.write_bytes(content)
        import_model(file, family="raw", name=name, repository=Repository(server.data / "models"))
    server.client.post(f"/v2/repository/models/{name}/load").raise_for_status()
    return content
