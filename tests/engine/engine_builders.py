"""Small models as bundles, and requests, for tests of the engine."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model_export import golden
from model_export.bundle import Bundle
from model_export.manifest import Batch, FrameInput, Manifest, Provenance, State, Task, TensorSpec
from server.engine.batcher import Key, Request
from server.wire.messages import FrameRef, Infer, Priority

SIDE = 4
_numbers = itertools.count(1)


def key(stream: str) -> Key:
    return b"w", stream


def request(
    stream: str,
    seq: int = 0,
    *,
    live: bool = False,
    deadline: float | None = None,
    at: float = 0.0,
    model: str = "m@1",
    peer: bytes = b"w",
) -> Request:
    ref = FrameRef("shm", "vidserve.none", 0, 0, (SIDE, SIDE, 3), "uint8")
    priority = Priority.LIVE if live else Priority.JOB
    return Request(peer, Infer(stream, seq or next(_numbers), model, ref, priority, deadline=deadline), at)


def mean_graph() -> onnx.ModelProto:
    """probabilities [B, 3]: the mean of each channel, 0…1."""
    nodes = [
        helper.make_node("Cast", ["frames"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("Div", ["means", "white"], ["probabilities"]),
    ]
    return _graph(nodes, [_frames()], [_floats("probabilities", ["B", 3])])


def sum_graph() -> onnx.ModelProto:
    """A recurrent model: `total` [B, 3] is the sum of the channels' means over all frames of a stream."""
    nodes = [
        helper.make_node("Cast", ["frames"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("Add", ["means", "total_in"], ["total_out"]),
        helper.make_node("Div", ["total_out", "white"], ["probabilities"]),
    ]
    return _graph(
        nodes,
        [_frames(), _floats("total_in", ["B", 3])],
        [_floats("probabilities", ["B", 3]), _floats("total_out", ["B", 3])],
    )


def failing_graph() -> onnx.ModelProto:
    """probabilities [B, 3], but the run fails for a batch with a black frame: an index is out of range."""
    nodes = [
        helper.make_node("Cast", ["frames"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("Div", ["means", "white"], ["shares"]),
        helper.make_node("ReduceMin", ["means"], ["darkest"], keepdims=0),
        helper.make_node("Equal", ["darkest", "zero"], ["black"]),
        helper.make_node("Cast", ["black"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["one", "index"], ["factor"]),
        helper.make_node("Mul", ["shares", "factor"], ["probabilities"]),
    ]
    return _graph(nodes, [_frames()], [_floats("probabilities", ["B", 3])])


def bundle(folder: Path, graph: onnx.ModelProto, *, recurrent: bool = False, batch: Batch | None = None) -> Bundle:
    """A bundle `name@1` in `folder/name/1`, with golden samples of its own graph if it has no state."""
    outputs = [("probabilities", (None, 3))] + ([("total_out", (None, 3))] if recurrent else [])
    inputs = [TensorSpec(name="frames", dtype="uint8", shape=(None, SIDE, SIDE, 3))]
    if recurrent:
        inputs.append(TensorSpec(name="total_in", dtype="float32", shape=(None, 3)))
    manifest = Manifest(
        name=folder.name,
        version=1,
        task=Task.CLASSIFY,
        family="test",
        input=FrameInput(width=SIDE, height=SIDE),
        inputs=tuple(inputs),
        outputs=tuple(TensorSpec(name=name, dtype="float32", shape=shape) for name, shape in outputs),
        labels=("blue", "green", "red"),
        state=(State(input="total_in", output="total_out", dtype="float32", shape=(3,)),) if recurrent else (),
        batch=batch or Batch(),
        provenance=Provenance(tool="test"),
    )
    files: dict[str, bytes | Path] = {"model.onnx": graph.SerializeToString()}
    if not recurrent:
        white = np.full((1, SIDE, SIDE, 3), 255, np.uint8)
        files["golden.npz"] = golden.encode({"frames": white}, {"probabilities": np.ones((1, 3), np.float32)})
    return Bundle.write(folder / "1", manifest, files)


def _graph(nodes: list[onnx.NodeProto], inputs: list, outputs: list) -> onnx.ModelProto:
    constants = [
        numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
        numpy_helper.from_array(np.array(255, np.float32), "white"),
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
        numpy_helper.from_array(np.array([1], np.float32), "one"),
    ]
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(nodes, "test", inputs, outputs, [c for c in constants if c.name in used])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _frames() -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("frames", TensorProto.UINT8, ["B", SIDE, SIDE, 3])


def _floats(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
