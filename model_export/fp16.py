"""A graph in half precision, with the same inputs and outputs.

Half as large, and faster where the provider computes in it (CUDA, Arm); x86 processors compute in single precision all
the same, with the rounded weights. Imports onnx; only the command line and the exporter import this.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import TensorProto, shape_inference
from onnxruntime.transformers.float16 import convert_float_to_float16

from model_export.graph import finished, in_order, set_all
from model_export.loops import in_loops


def halved(content: bytes, carried: Mapping[str, str]) -> bytes:
    """The graph in half precision. What a state goes round in stays in single: half precision counts to 2048.

    Args:
        content: an ONNX file.
        carried: state output → state input.

    Raises:
        ImportRefused: what comes out is not a valid graph.
    """
    model = onnx.load_model_from_string(content)
    converted = convert_float_to_float16(model, keep_io_types=True, node_block_list=sorted(in_loops(model, carried)))
    # The tool puts the casts of inputs at the end, and casts a constant anew for each node in single precision.
    once = {node.output[0]: node for node in reversed(converted.graph.node)}
    set_all(converted.graph.node, in_order(list(once.values())))
    del converted.graph.value_info[:]
    _without_detours(converted)
    return finished(converted)


def _without_detours(model: onnx.ModelProto) -> None:
    """Take out the casts to half precision and back that the tool puts between two nodes in single precision."""
    graph = shape_inference.infer_shapes(model).graph
    dtypes = {one.name: one.type.tensor_type.elem_type for one in (*graph.input, *graph.value_info, *graph.output)}
    graph = model.graph
    origin = {
        node.output[0]: node.input[0]
        for node in graph.node
        if _casts_to(node, TensorProto.FLOAT16) and dtypes.get(node.input[0]) == TensorProto.FLOAT
    }
    back = [node for node in graph.node if _casts_to(node, TensorProto.FLOAT) and node.input[0] in origin]
    single = {node.output[0]: origin[node.input[0]] for node in back}
    for node in graph.node:
        for at, name in enumerate(node.input):
            node.input[at] = single.get(name, name)
    for node in back:  # what is an output of the graph keeps its name
        node.input[0] = single[node.output[0]]
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    set_all(graph.node, [node for node in graph.node if used & set(node.output)])


def _casts_to(node: onnx.NodeProto, dtype: int) -> bool:
    return node.op_type == "Cast" and any(one.name == "to" and one.i == dtype for one in node.attribute)
