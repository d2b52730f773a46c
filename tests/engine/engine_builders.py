"""Small models as bundles, and requests, for tests of the engine."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model_export import golden
from model_export.bundle import Bundle
from model_export.manifest import Batch, FrameInput, Manifest, Precision, Provenance, State, Task, TensorSpec, Variant
from server.engine.batcher import Key, Request
from server.engine.running import Running
from server.wire.memory import PREFIX
from server.wire.messages import FrameRef, Infer, Priority, TensorMeta
from server.wire.slots import Segment, SizeClass, Slots
from server.wire.tensors import tensors_bytes, tensors_in

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
    reset: bool = False,
    together: int = 1,
    rows: int = 1,
    kind: str | None = None,
) -> Request:
    ref = FrameRef("shm", "vidserve.none", 0, 0, (SIDE, SIDE, 3), "uint8")
    priority = Priority.LIVE if live else Priority.JOB
    ask = Infer(stream, seq or next(_numbers), model, ref, priority, deadline, reset, together=together)
    return Request(peer, ask, at, rows, kind)


def mean_graph() -> onnx.ModelProto:
    """probabilities [B, 3]: the mean of each channel, 0…1."""
    nodes = [
        helper.make_node("Cast", ["frames"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("Div", ["means", "white"], ["probabilities"]),
    ]
    return _graph(nodes, [_frames()], [_floats("probabilities", ["B", 3])])


def fixed_graph(size: int) -> onnx.ModelProto:
    """probabilities [size, 3] like `mean_graph`, written for one size of batch: any other one fails."""
    graph = mean_graph()
    graph.graph.node[-1].output[0] = "shares"
    graph.graph.node.append(helper.make_node("Add", ["shares", "nothing"], ["probabilities"]))
    graph.graph.initializer.append(numpy_helper.from_array(np.zeros((size, 3), np.float32), "nothing"))
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = size
    return graph


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


def heavy_graph(megabytes: int) -> onnx.ModelProto:
    """probabilities [B, 3] like `mean_graph`, behind weights that take so much memory."""
    wide = megabytes * 2**20 // 4 // 3
    weights = np.random.default_rng(0).random((3, wide), np.float32)
    nodes = [
        helper.make_node("Cast", ["frames"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["many"]),
        helper.make_node("ReduceMean", ["many", "last"], ["one_mean"], keepdims=1),
        helper.make_node("Sub", ["one_mean", "one_mean"], ["nothing"]),
        helper.make_node("Add", ["means", "nothing"], ["sums"]),
        helper.make_node("Div", ["sums", "white"], ["probabilities"]),
    ]
    graph = _graph(nodes, [_frames()], [_floats("probabilities", ["B", 3])])
    graph.graph.initializer.append(numpy_helper.from_array(weights, "weights"))
    return graph


def slow_graph(side: int = 1024, rounds: int = 8) -> onnx.ModelProto:
    """probabilities [B, 3] like `mean_graph`, after multiplying large matrices for a tenth of a second or more."""
    nodes = [
        helper.make_node("Cast", ["frames"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        # What follows depends on the frame, or it would be computed once and for all.
        helper.make_node("ReduceMean", ["means"], ["level"], keepdims=0),
        helper.make_node("Add", ["matrix", "level"], ["product 0"]),
        *(helper.make_node("MatMul", [f"product {n}", "matrix"], [f"product {n + 1}"]) for n in range(rounds)),
        helper.make_node("ReduceMin", [f"product {rounds}"], ["least"], keepdims=0),
        helper.make_node("Sub", ["least", "least"], ["nothing"]),
        helper.make_node("Add", ["means", "nothing"], ["sums"]),
        helper.make_node("Div", ["sums", "white"], ["probabilities"]),
    ]
    graph = _graph(nodes, [_frames()], [_floats("probabilities", ["B", 3])])
    matrix = np.random.default_rng(0).random((side, side), np.float32) / side
    graph.graph.initializer.append(numpy_helper.from_array(matrix, "matrix"))
    return graph


def wide_graph(floats: int) -> onnx.ModelProto:
    """probabilities [B, floats]: the mean of the frame again and again."""
    nodes = [
        helper.make_node("Cast", ["frames"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers", "all"], ["means"], keepdims=0),
        helper.make_node("Reshape", ["means", "column"], ["columns"]),
        helper.make_node("Tile", ["columns", "repeats"], ["probabilities"]),
    ]
    graph = _graph(nodes, [_frames()], [_floats("probabilities", ["B", floats])])
    graph.graph.initializer.append(numpy_helper.from_array(np.array([1, floats], np.int64), "repeats"))
    return graph


def bundle(
    folder: Path,
    graph: onnx.ModelProto,
    *,
    recurrent: bool = False,
    batch: Batch | None = None,
    probabilities: int = 3,
    precision: Precision = Precision.FP32,
) -> Bundle:
    """A bundle `name@1` in `folder/name/1`, with golden samples of its own graph if it has no state."""
    outputs = [("probabilities", (None, probabilities))] + ([("total_out", (None, 3))] if recurrent else [])
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
        precision=precision,
        provenance=Provenance(tool="test"),
    )
    files: dict[str, bytes | Path] = {"model.onnx": graph.SerializeToString()}
    if not recurrent and probabilities == 3:
        rows = graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
        white = np.full((rows, SIDE, SIDE, 3), 255, np.uint8)
        files["golden.npz"] = golden.encode({"frames": white}, {"probabilities": np.ones((rows, 3), np.float32)})
    return Bundle.write(folder / "1", manifest, files)


def scaled_graph(by: float) -> onnx.ModelProto:
    """`mean_graph`, whose answers are so many times as large."""
    graph = mean_graph()
    white = next(one for one in graph.graph.initializer if one.name == "white")
    white.CopyFrom(numpy_helper.from_array(np.array(255 / by, np.float32), "white"))
    return graph


def with_variant(
    folder: Path, own: onnx.ModelProto, other: onnx.ModelProto, *, tolerance: float = 0.1, batch: Batch | None = None
) -> Bundle:
    """`bundle` with a variant `int8` beside its own graph."""
    plain = bundle(folder / "plain" / folder.name, own)
    variant = Variant(
        precision=Precision.INT8, metric="accuracy", value=0.9, lost=0.5, tolerance=tolerance, batch=batch or Batch()
    )
    files: dict[str, bytes | Path] = {name: plain.folder / name for name in plain.manifest.files}
    files["model.int8.onnx"] = other.SerializeToString()
    return Bundle.write(folder / "1", plain.manifest.model_copy(update={"variants": {"int8": variant}}), files)


def _graph(nodes: list[onnx.NodeProto], inputs: list, outputs: list) -> onnx.ModelProto:
    constants = [
        numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
        numpy_helper.from_array(np.array(255, np.float32), "white"),
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
        numpy_helper.from_array(np.array([1], np.float32), "one"),
        numpy_helper.from_array(np.array([1, 2, 3], np.int64), "all"),
        numpy_helper.from_array(np.array([-1], np.int64), "last"),
        numpy_helper.from_array(np.array([-1, 1], np.int64), "column"),
    ]
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(nodes, "test", inputs, outputs, [c for c in constants if c.name in used])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _frames() -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("frames", TensorProto.UINT8, ["B", SIDE, SIDE, 3])


def _floats(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def tensor_bundle(
    folder: Path,
    graph: onnx.ModelProto,
    inputs: dict[str, tuple[int | None, ...]],
    outputs: dict[str, tuple[int | None, ...]],
    *,
    batch: Batch | None = None,
) -> Bundle:
    """A bundle `name@1` of task `tensor`, all of it float32."""

    def specs(shapes: dict[str, tuple[int | None, ...]]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(name=name, dtype="float32", shape=shape) for name, shape in shapes.items())

    manifest = Manifest(
        name=folder.name,
        version=1,
        task=Task.TENSOR,
        family="raw",
        inputs=specs(inputs),
        outputs=specs(outputs),
        batch=batch or Batch(),
        provenance=Provenance(tool="test"),
    )
    return Bundle.write(folder / "1", manifest, {"model.onnx": graph.SerializeToString()})


def adding_graph(width: int | str = 2) -> onnx.ModelProto:
    """sum [B, width] of a and b."""
    values = {name: _floats(name, ["B", width]) for name in ("a", "b", "sum")}
    node = helper.make_node("Add", ["a", "b"], ["sum"])
    return _graph([node], [values["a"], values["b"]], [values["sum"]])


def running(**changes) -> Running:
    """How models run in a test, unless it says otherwise."""
    usual = {
        "provider": "cpu",
        "require_provider": False,
        "sessions": 2,
        "threads": 1,
        "max_batch": 4,
        "max_delay_s": None,
        "cores": 2,
    }
    return Running(**{**usual, **changes})


class Frames:
    """Frames in shared memory, as a worker has them."""

    def __init__(self, name: str, slots: int = 32, slot_bytes: int = 4096) -> None:
        self.segment = Segment.create(f"{PREFIX}test.{os.getpid()}.{name}", [SizeClass(slot_bytes, slots)])
        self.slots = Slots(self.segment)

    def of(self, level: int, shape: tuple[int, ...] = (SIDE, SIDE, 3)) -> FrameRef:
        """A grey frame."""
        ref, array = self.slots.take(shape)
        array[:] = level
        return ref

    def tensors(self, arrays: dict[str, np.ndarray], *, stream: str = "s", seq: int = 0, **options) -> Request:
        """A request for tensors, each with its batch axis."""
        metas = tuple(TensorMeta(name, array.dtype.name, array.shape) for name, array in arrays.items())
        ref, slot = self.slots.take((tensors_bytes(metas),))
        for name, place in tensors_in(slot, metas).items():
            place[...] = arrays[name]
        ask = Infer(stream, seq or next(_numbers), "m@1", ref, Priority.JOB, reply=ref, inputs=metas, **options)
        return Request(b"w", ask, 0.0)

    def ask(self, level: int, *, stream: str = "s", seq: int = 0, peer: bytes = b"w", **options) -> Request:
        """A request for such a frame."""
        shape = options.pop("shape", (SIDE, SIDE, 3))
        frame = self.of(level, shape)
        return Request(peer, Infer(stream, seq or next(_numbers), "m@1", frame, Priority.JOB, **options), 0.0)
