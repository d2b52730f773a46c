"""ONNX files as people bring them: read with care, and what they declare."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import prod
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, external_data_helper, helper

from model_export.errors import ImportRefused
from model_export.manifest import Precision, TensorSpec

MAX_BYTES = (2 << 30) - (1 << 20)
"""Just under what a protobuf message can hold."""

Shape = tuple[int | None, ...]

_PRECISIONS: dict[int, Precision] = {
    TensorProto.FLOAT: Precision.FP32,
    TensorProto.FLOAT16: Precision.FP16,
    TensorProto.INT8: Precision.INT8,
    TensorProto.UINT8: Precision.INT8,
}


def read(path: Path) -> onnx.ModelProto:
    """Read a model, its external data included.

    Raises:
        ImportRefused: not an ONNX file, over 2 GB, or its data lies outside its folder.
    """
    model = read_skeleton(path)
    names = external_files(model, path)
    if sum((path.parent / name).stat().st_size for name in names) > MAX_BYTES:
        raise ImportRefused(f"The weights beside {path.name} are over 2 GB.", hint="Bring in a smaller model.")
    if names:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    return model


def read_skeleton(path: Path) -> onnx.ModelProto:
    """Read a model without the weights that lie in other files.

    Raises:
        ImportRefused: not an ONNX file, or over 2 GB.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImportRefused(
                f"{path.name} is over 2 GB.", hint="Bring in a smaller model, or one in half precision."
            )
        model = onnx.load_model(path, load_external_data=False)
    except OSError as error:
        raise ImportRefused(f"{path} cannot be read: {error.strerror}.") from error
    except DecodeError as error:
        raise ImportRefused(f"{path.name} is not an ONNX file.", hint="Export the model to ONNX first.") from error
    if not model.graph.node or not model.opset_import:
        raise ImportRefused(f"{path.name} holds no ONNX graph.", hint="Export the model to ONNX first.")
    return model


def external_files(model: onnx.ModelProto, path: Path) -> tuple[str, ...]:
    """The files with weights that a model refers to, relative to its own.

    Raises:
        ImportRefused: one is absent, or lies (or leads by a link) outside the folder of the model.
    """
    folder = path.parent.resolve()
    found: set[str] = set()
    for tensor in _tensors(model):
        if not external_data_helper.uses_external_data(tensor):
            continue
        name = external_data_helper.ExternalDataInfo(tensor).location
        file = Path(os.path.normpath(folder / name))
        if not name or Path(name).is_absolute() or not file.is_relative_to(folder) or file.resolve() != file:
            raise ImportRefused(
                f"{path.name} takes weights from {name!r}, outside its own folder.",
                hint="Put the file beside the model, or export it with the weights inside.",
            )
        if not file.is_file():
            raise ImportRefused(f"{path.name} takes weights from {name!r}, which is not there.")
        found.add(file.relative_to(folder).as_posix())
    return tuple(sorted(found))


def opset(model: onnx.ModelProto) -> int:
    """The version of the standard operators."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def precision(model: onnx.ModelProto) -> Precision:
    """What most of the weights are kept in, or rounded to before use; of a graph without any, what the input is."""
    rounded = {node.input[0]: to for node in model.graph.node if (to := _rounds_to(node)) is not None}
    counts = dict.fromkeys(Precision, 0)
    for tensor in _tensors(model):
        kind = rounded.get(tensor.name) or _PRECISIONS.get(tensor.data_type)
        if kind is not None:
            counts[kind] += prod(tensor.dims)
    if not any(counts.values()):
        inputs = {value.type.tensor_type.elem_type for value in model.graph.input}
        return Precision.FP16 if TensorProto.FLOAT16 in inputs else Precision.FP32
    return max(counts, key=lambda kind: counts[kind])


def _rounds_to(node: onnx.NodeProto) -> Precision | None:
    if node.op_type == "QuantizeLinear":
        return Precision.INT8
    to_half = node.op_type == "Cast" and any(a.name == "to" and a.i == TensorProto.FLOAT16 for a in node.attribute)
    return Precision.FP16 if to_half else None


def spec_of(value: onnx.ValueInfoProto) -> TensorSpec:
    """A declared input or output.

    Raises:
        ImportRefused: it is a sequence, a map or strings.
    """
    tensor = value.type.tensor_type
    if value.type.WhichOneof("value") != "tensor_type" or tensor.elem_type == TensorProto.STRING:
        raise ImportRefused(f"{value.name!r} is not a tensor of numbers.")
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return TensorSpec(name=value.name, dtype=dtype, shape=declared_shape(value) or ())


def declared_shape(value: onnx.ValueInfoProto) -> Shape | None:
    """The sizes of a declared tensor, None where one is free; None where nothing is declared."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims)


def _tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every constant, those of inner graphs and of functions included."""
    graphs, nodes = [model.graph], [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            nodes += graph.node
            continue
        node = nodes.pop()
        graphs += inner_graphs(node)
        for attribute in node.attribute:
            yield from [attribute.t] if attribute.HasField("t") else attribute.tensors


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that a node holds: the branches of an `If`, the body of a `Loop`."""
    for attribute in node.attribute:
        yield from [attribute.g] if attribute.HasField("g") else attribute.graphs
