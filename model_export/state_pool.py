"""A graph with state that finds its streams' rows in a pool and puts them back there, so that they stay on a device.

Instead of an input and an output with the rows of a batch there is, of every state, the pool, in and out. Two inputs
more say which rows: `FROM` those that a batch begins with, `TO` those where it ends. They are two, since a stream that
begins takes the row with the initial value, and keeps another one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model_export.graph import set_all
from model_export.manifest import State

FROM, TO = "pool_from", "pool_to"
"""Inputs i64 [B, 1]."""
_PIECE = 16


def pool_input(state: State) -> str:
    """The name of the input that is the pool of a state."""
    return f"pool_{state.input}"


def pool_output(state: State) -> str:
    """The name of the output that is the pool after a run; it may be the same memory."""
    return f"pool_{state.output}"


def pieces(state: State) -> tuple[int, int]:
    """In how many pieces of how many elements a row lies in its pool, [rows * pieces, elements].

    A device copies each piece by a thread of its own, one element after the other.
    """
    elements = math.prod(state.shape)
    size = next(size for size in range(min(_PIECE, elements), 0, -1) if elements % size == 0)
    return elements // size, size


def with_pools(model: onnx.ModelProto, states: Sequence[State]) -> onnx.ModelProto:
    """The same graph with its state in pools; the model that is given is changed."""
    graph = model.graph
    for state in states:
        graph.initializer.extend(_constants(state))
    read = [node for state in states for node in _reading(state)]
    written = [node for state in states for node in _writing(state)]
    set_all(graph.node, [*read, *graph.node, *written])
    _replace(graph.input, {state.input: _pool(pool_input(state), state) for state in states})
    _replace(graph.output, {state.output: _pool(pool_output(state), state) for state in states})
    graph.input.extend([_rows(FROM), _rows(TO)])
    return model


def reader(states: Sequence[State]) -> onnx.ModelProto:
    """A graph that takes pools and `FROM`, and gives rows by the names of the state inputs."""
    pools = [_pool(pool_input(state), state) for state in states]
    nodes = [node for state in states for node in _reading(state)]
    return _graph(states, nodes, [*pools, _rows(FROM)], [_value(state.input, state) for state in states])


def writer(states: Sequence[State]) -> onnx.ModelProto:
    """A graph that takes pools, `TO` and rows by the names of the state outputs, and gives the pools."""
    pools = [_pool(pool_input(state), state) for state in states]
    nodes = [node for state in states for node in _writing(state)]
    rows = [_value(state.output, state) for state in states]
    return _graph(states, nodes, [*pools, _rows(TO), *rows], [_pool(pool_output(state), state) for state in states])


def _graph(
    states: Sequence[State],
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    constants = [constant for state in states for constant in _constants(state)]
    graph = helper.make_graph(nodes, "state", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _constants(state: State) -> Iterator[onnx.TensorProto]:
    count, size = pieces(state)
    constants = {
        "count": np.array([count]),
        "each": np.arange(count)[None],
        "row": np.array([-1, *state.shape]),
        "from": np.array([-1]),
        "to": np.array([-1, 1]),
        "piece": np.array([-1, size]),
    }
    for key, value in constants.items():
        yield numpy_helper.from_array(value, f"{pool_input(state)}/{key}")


def _reading(state: State) -> Iterator[onnx.NodeProto]:
    """From the pool to the state's input."""
    name = pool_input(state)
    yield from _places(name, FROM, "from")
    yield helper.make_node("Gather", [name, f"{name}/from/places"], [f"{name}/taken"], axis=0)
    yield helper.make_node("Reshape", [f"{name}/taken", f"{name}/row"], [state.input])


def _writing(state: State) -> Iterator[onnx.NodeProto]:
    """From the state's output to the pool."""
    name = pool_input(state)
    yield from _places(name, TO, "to")
    yield helper.make_node("Reshape", [state.output, f"{name}/piece"], [f"{name}/given"])
    yield helper.make_node("ScatterND", [name, f"{name}/to/places", f"{name}/given"], [pool_output(state)])


def _places(pool: str, rows: str, which: str) -> list[onnx.NodeProto]:
    """Where the pieces of rows lie in a pool."""
    return [
        helper.make_node("Mul", [rows, f"{pool}/count"], [f"{pool}/{which}/first"]),
        helper.make_node("Add", [f"{pool}/{which}/first", f"{pool}/each"], [f"{pool}/{which}/all"]),
        helper.make_node("Reshape", [f"{pool}/{which}/all", f"{pool}/{which}"], [f"{pool}/{which}/places"]),
    ]


def _replace(values: Any, by: Mapping[str, onnx.ValueInfoProto]) -> None:
    set_all(values, [by.get(value.name, value) for value in values])


def _pool(name: str, state: State) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _kind(state), [f"pieces_of_{state.input}", pieces(state)[1]])


def _value(name: str, state: State) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _kind(state), ["batch", *state.shape])


def _rows(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", 1])


def _kind(state: State) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(state.dtype))
