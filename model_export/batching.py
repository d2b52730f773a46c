"""Making the batch axis free in a graph that was exported for one size of batch.

Declaring another shape is not enough. Exporters write sizes into constants: a `Reshape` to (1, 85, -1) given four
pictures folds them into one and answers without complaint. So each such constant is rewritten from the shapes that the
data has at two sizes of batch: the axis of the result that must grow is the one that as many elements lie before as
lie before the batch axis of what is reshaped, because reshaping keeps the order of elements.
"""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

from model_export.graph import Graph
from model_export.onnx_file import Shape


def free_batch(graph: Graph, given: int, row: tuple[int, ...]) -> int:
    """Rewrite the constants that hold the size of the batch; returns how many there were.

    What cannot be decided is left as it was; the proof of parity finds what went wrong by it.

    Args:
        graph: before frames are put in front.
        given: the size of batch that it was exported for.
        row: the shape of the input without the batch.

    Raises:
        ImportRefused: the shapes contradict each other.
    """
    before = graph.shapes(given, row)
    after = graph.shapes(2 * given, row)
    rewritten = 0
    # Nodes stand in the order of computation: once a node is right, the shapes behind it can be inferred.
    for node in list(graph.model.graph.node):
        if _rewrite(graph, node, before, after, given):
            after = graph.shapes(2 * given, row)
            rewritten += 1
    return rewritten


def _rewrite(graph: Graph, node: onnx.NodeProto, before: dict[str, Shape], after: dict[str, Shape], given: int) -> bool:
    if node.op_type not in ("Reshape", "Resize") or not all(name in before for name in (node.input[0], node.output[0])):
        return False
    axis = _grown_axis(before[node.input[0]], after.get(node.input[0]))
    if axis is None:
        return False
    if node.op_type == "Resize":
        return _rewrite_sizes(graph, node, axis)
    constant = graph.initialisers().get(node.input[1])
    result = before[node.output[0]]
    if constant is None or any(extent is None for extent in result):
        return False
    target = _target_axis(prod(extent or 0 for extent in before[node.input[0]][:axis]), result, given)
    if target is None:
        return False
    wanted = [-1 if index == target else int(extent or 0) for index, extent in enumerate(result)]
    if numpy_helper.to_array(constant).tolist() == wanted:
        return False
    # Others may share the constant, so the node gets its own.
    node.input[1] = graph.constant(wanted, np.int64)
    return True


def _rewrite_sizes(graph: Graph, node: onnx.NodeProto, axis: int) -> bool:
    """A `Resize` to constant sizes takes the batch's from its data."""
    constant = graph.initialisers().get(node.input[3]) if len(node.input) > 3 else None
    if constant is None or axis != 0 or any(attribute.name == "axes" for attribute in node.attribute):
        return False
    sizes = numpy_helper.to_array(constant).tolist()
    nodes = graph.model.graph.node
    place = next(index for index, other in enumerate(nodes) if other.output[0] == node.output[0])
    held = len(nodes)
    shape = graph.add("Shape", [node.input[0]], start=0, end=1)
    joined = graph.add("Concat", [shape, graph.constant(sizes[1:], np.int64)], axis=0)
    added = [nodes.pop() for _ in range(len(nodes) - held)]
    node.input[3] = joined
    for new in added:
        nodes.insert(place, new)
    return True


def _grown_axis(before: Shape, after: Shape | None) -> int | None:
    """The one axis that grew with the batch; None where there is not exactly one, or a size is not known."""
    if after is None or len(before) != len(after) or None in before or None in after:
        return None
    grown = [index for index, (one, two) in enumerate(zip(before, after, strict=True)) if one != two]
    return grown[0] if len(grown) == 1 else None


def _target_axis(in_front: int, result: Shape, given: int) -> int | None:
    """The axis of a reshaped tensor that the batch axis became, with `in_front` elements before it."""
    # Axes of size one in front of the same element are alike but for their meaning; the first is the batch.
    merged: int | None = None
    for index, extent in enumerate(result):
        before = prod(size or 0 for size in result[:index])
        if before == in_front and (extent or 0) % given == 0:
            return index
        if merged is None and in_front % before == 0 and before * (extent or 0) % (in_front * given) == 0:
            merged = index
    return merged
