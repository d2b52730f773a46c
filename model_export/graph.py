"""Surgery on ONNX graphs: convert, put the `uint8` frames in front, append, and seal.

Imports onnx; only the command line, the exporter and short-lived child processes import this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, inliner, numpy_helper, shape_inference, version_converter

from model_export.errors import ImportRefused
from model_export.manifest import FrameInput, TensorSpec
from model_export.onnx_file import Shape, declared_shape, inner_graphs, opset, spec_of
from model_export.preprocessing import Colour, Preprocessing

OPSET = 17
IR_VERSION = 8
"""What opset 17 came with; higher ones of newer models stay."""
BATCH = "batch"
_PREFIX = "net/"
_NUMBERS = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
"""Attributes of a `Constant`, and the type that they stand for."""


class Graph:
    """A graph under surgery. Its own names are prefixed, so that nothing that is added collides with them.

    Attributes:
        model: converted to opset 17 or newer, without initialisers among the inputs, constants as initialisers, nodes
            in the order of computation.
        source: the one input of the untouched model.
        results: the outputs of the untouched model, with the names they had.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        """Take a copy of a model, and bring it up to date.

        Raises:
            ImportRefused: it has not one input, or cannot be converted.
        """
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        graph = self.model.graph
        names = {tensor.name for tensor in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
        set_all(graph.input, [value for value in graph.input if value.name not in names])
        if len(graph.input) != 1:
            listed = ", ".join(repr(value.name) for value in graph.input) or "none"
            raise ImportRefused(
                f"The model has {len(graph.input)} inputs ({listed}); this family takes one, the picture.",
                hint="Import it with --family raw to serve its tensors as they are.",
            )
        set_all(graph.node, in_order(graph.node))
        self.source = spec_of(graph.input[0])
        self.results = tuple(spec_of(value) for value in graph.output)
        self._modernise()
        self.model = onnx.compose.add_prefix(self.model, _PREFIX)
        self._constants_to_initialisers()
        self._taken = 0

    def _modernise(self) -> None:
        # Before IR 4 every initialiser had to be an input; the converter would ask for that.
        self.model.ir_version = max(self.model.ir_version, IR_VERSION)
        version = opset(self.model)
        if version >= OPSET:
            return
        try:
            if self.model.functions:
                # The converter would lose them.
                self.model = inliner.inline_local_functions(self.model, convert_version=True)
            self.model = version_converter.convert_version(self.model, OPSET)
        except (RuntimeError, ValueError, version_converter.ConvertError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ImportRefused(
                f"The model's opset {version} cannot be converted to {OPSET}: {reason}.",
                hint=f"Export it again with opset {OPSET} or newer.",
            ) from error

    def _constants_to_initialisers(self) -> None:
        graph, kept = self.model.graph, []
        for node in graph.node:
            value = _value_of(node) if node.op_type == "Constant" else None
            if value is None:
                kept.append(node)
                continue
            tensor = graph.initializer.add()
            tensor.CopyFrom(value)
            tensor.name = node.output[0]
        set_all(graph.node, kept)

    def result(self, name: str) -> str:
        """What the untouched model called `name`, as float32."""
        dtype = next(spec.dtype for spec in self.results if spec.name == name)
        inner = _PREFIX + name
        return inner if dtype == "float32" else self.add("Cast", [inner], to=TensorProto.FLOAT)

    def initialisers(self) -> dict[str, TensorProto]:
        """Constants by name."""
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """Add a constant; returns its name."""
        self._taken += 1
        name = f"vidserve/constant_{self._taken}"
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, op: str, inputs: Sequence[str], *, output: str | None = None, **attributes: Any) -> str:
        """Append a node with one output; returns the output's name."""
        return self.add_many(op, inputs, (output,), **attributes)[0]

    def add_many(
        self, op: str, inputs: Sequence[str], outputs: Iterable[str | None], **attributes: Any
    ) -> tuple[str, ...]:
        """Append a node; an output without a name is given one. Returns the outputs' names."""
        self._taken += 1
        place = f"vidserve/{op.lower()}_{self._taken}"
        names = tuple(name or f"{place}_{index}" for index, name in enumerate(outputs))
        self.model.graph.node.append(helper.make_node(op, list(inputs), list(names), name=place, **attributes))
        return names

    def shapes(self, batch: int, row: tuple[int, ...]) -> dict[str, Shape]:
        """The shape of every tensor for `batch` rows of that shape at the input, as far as it can be inferred.

        Raises:
            ImportRefused: the sizes contradict each other.
        """
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        del model.graph.value_info[:]
        _set_shape(model.graph.input[0], (batch, *row))
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")
        try:
            model = shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
        except shape_inference.InferenceError as error:
            raise ImportRefused(f"The model's shapes contradict each other: {str(error).splitlines()[0]}.") from error
        every = [*model.graph.input, *model.graph.value_info, *model.graph.output]
        found = {value.name: shape for value in every if (shape := declared_shape(value)) is not None}
        return found | {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}

    def put_frames_in_front(
        self, spec: FrameInput, how: Preprocessing, fixed: int | None, window: int | None = None
    ) -> None:
        """Make `uint8` frames [B, height, width, 3], BGR, the graph's input, or clips [B, window, height, width, 3];
        `fixed` is B, None leaves it free.
        """
        graph = self.model.graph
        inner, own = graph.input[0].name, len(graph.node)
        clip = () if window is None else (window,)
        frames = helper.make_tensor_value_info(
            spec.name, TensorProto.UINT8, [fixed or BATCH, *clip, spec.height, spec.width, 3]
        )
        set_all(graph.input, [frames])
        planes, axis, order = spec.name, how.layout.value.index("c"), how.layout.permutation
        # Bytes are moved while they are bytes: four times less to move than floats.
        if list(order) != sorted(order):
            planes = self.add("Transpose", [planes], perm=list(order))
        if how.colour is Colour.RGB:
            planes = self.add("Gather", [planes, self.constant([2, 1, 0], np.int64)], axis=axis)
        if how.dtype != "uint8":
            shape = [1] * len(order)
            shape[axis] = 3
            planes = self.add("Cast", [planes], to=TensorProto.FLOAT)
            if any(how.mean):
                planes = self.add("Sub", [planes, self.constant(np.reshape(how.mean, shape), np.float32)])
            if any(value != 1 for value in how.std):
                planes = self.add("Div", [planes, self.constant(np.reshape(how.std, shape), np.float32)])
            if how.dtype != "float32":
                planes = self.add("Cast", [planes], to=helper.np_dtype_to_tensor_dtype(np.dtype(how.dtype)))
        self.add("Identity", [planes], output=inner)
        nodes = list(graph.node)
        set_all(graph.node, [*nodes[own:], *nodes[:own]])

    def seal(self, outputs: Sequence[TensorSpec]) -> bytes:
        """The finished model with these outputs, its intermediate shapes inferred anew.

        Raises:
            ImportRefused: what came out is not a valid graph.
        """
        graph = self.model.graph
        set_all(
            graph.output,
            [
                helper.make_tensor_value_info(
                    spec.name,
                    helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)),
                    [BATCH if size is None else size for size in spec.shape],
                )
                for spec in outputs
            ],
        )
        del graph.value_info[:]
        used = {name for node in _nodes(graph) for name in node.input} | {spec.name for spec in outputs}
        set_all(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in used])
        return finished(self.model)


def finished(model: onnx.ModelProto) -> bytes:
    """The file of a model, its intermediate shapes inferred.

    Raises:
        ImportRefused: it is not a valid graph.
    """
    try:
        inferred = shape_inference.infer_shapes(model, strict_mode=False)
        onnx.checker.check_model(inferred)
    except (shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ImportRefused(f"The converted model is not valid: {str(error).splitlines()[0]}.") from error
    content: bytes = inferred.SerializeToString(deterministic=True)
    return content


def _value_of(constant: onnx.NodeProto) -> TensorProto | None:
    """What a `Constant` holds; None: no numbers, or a sparse tensor."""
    said = constant.attribute[0]
    if said.name in _NUMBERS:
        return numpy_helper.from_array(np.array(helper.get_attribute_value(said), _NUMBERS[said.name]))
    tensor: TensorProto | None = said.t if said.name == "value" else None
    return tensor


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node of a graph, those of its inner graphs included."""
    for node in graph.node:
        yield node
        yield from _inner_nodes(node)


def _inner_nodes(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    for graph in inner_graphs(node):
        yield from _nodes(graph)


def in_order(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Each node behind those that it takes from, as ONNX demands and not every converter has it; else as they stood.

    Raises:
        ImportRefused: they go round in a circle.
    """
    makers = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    sorter: TopologicalSorter[int] = TopologicalSorter()
    for index, node in enumerate(nodes):
        taken = {name for inner in (node, *_inner_nodes(node)) for name in inner.input}
        sorter.add(index, *(makers[name] for name in sorted(taken & makers.keys())))
    try:
        sorter.prepare()
    except CycleError as error:
        raise ImportRefused("The model's nodes take from each other in a circle.") from error
    ready, order = list(sorter.get_ready()), list[int]()
    heapify(ready)
    while ready:
        order.append(heappop(ready))
        sorter.done(order[-1])
        for index in sorter.get_ready():
            heappush(ready, index)
    return [nodes[index] for index in order]


def _set_shape(value: onnx.ValueInfoProto, dims: Sequence[int]) -> None:
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for size in dims:
        shape.dim.add().dim_value = size


def set_all(field: Any, values: Sequence[Any]) -> None:
    """Give a repeated protobuf field other elements."""
    kept = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(kept)
