"""A graph with state that finds its streams' rows in a pool and puts them back there, so that they stay on a device.

Instead of an input and an output with the rows of a batch there is, of every state, the pool, in and out. Two inputs
more say which rows: `FROM` those that a batch begins with, `TO` those where it ends. They are two, since a stream that
begins takes the row with the initial value, and keeps another one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
    read: list[onnx.NodeProto] = []
    written: list[onnx.NodeProto] = []
    for state in states:
        count, size = pieces(state)
        name = pool_input(state)
        constants = {
            "count": np.array([count]),
            "each": np.arange(count)[None],
            "row": np.array([-1, *state.shape]),
            "from": np.array([-1]),
            "to": np.array([-1, 1]),
            "piece": np.array([-1, size]),
        }
        graph.initializer.extend(numpy_helper.from_array(value, f"{name}/{key}") for key, value in constants.items())
        read += [
            *_places(name, FROM, "from"),
            helper.make_node("Gather", [name, f"{name}/from/places"], [f"{name}/taken"], axis=0),
            helper.make_node("Reshape", [f"{name}/taken", f"{name}/row"], [state.input]),
        ]
        written += [
            *_places(name, TO, "to"),
            helper.make_node("Reshape", [state.output, f"{name}/piece"], [f"{name}/given"]),
            helper.make_node("ScatterND", [name, f"{name}/to/places", f"{name}/given"], [pool_output(state)]),
        ]
    set_all(graph.node, [*read, *graph.node, *written])
    _replace(graph.input, {state.input: _pool(pool_input(state), state) for state in states})
    _replace(graph.output, {state.output: _pool(pool_output(state), state) for state in states})
    for name in (FROM, TO):
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", 1]))
    return model


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
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(state.dtype))
    return helper.make_tensor_value_info(name, kind, [f"pieces_of_{state.input}", pieces(state)[1]])
