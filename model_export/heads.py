"""From what a detector's head says to standard detections: as nodes of a graph, and the same in plain NumPy.

The NumPy side is what parity is judged by, so it shares nothing with the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model_export.graph import Graph
from model_export.manifest import FrameInput, TensorSpec
from model_export.predictions import MAX_DETECTIONS

MAX_CANDIDATES = 1000
"""Rows that are handed on where suppression is still due; overlapping ones die there."""

Array = npt.NDArray[Any]


def cell_count(spec: FrameInput, strides: Sequence[int]) -> int:
    """Cells of the grids that lie over an input with these strides."""
    return sum((spec.width // stride) * (spec.height // stride) for stride in strides)


def rows_of(candidates: int, *, suppressed: bool = False) -> int:
    """How many of so many candidates a picture are handed on; fewer where nothing overlaps any more."""
    return min(candidates, MAX_DETECTIONS if suppressed else MAX_CANDIDATES)


def detections(rows: int) -> tuple[TensorSpec, ...]:
    """The standard outputs of task `detect` for so many rows a picture."""
    return (
        TensorSpec(name="boxes", dtype="float32", shape=(None, rows, 4)),
        TensorSpec(name="scores", dtype="float32", shape=(None, rows)),
        TensorSpec(name="class_ids", dtype="int64", shape=(None, rows)),
    )


def take(graph: Graph, tensor: str, start: int, end: int) -> str:
    """Columns `start` to `end` of [B, N, C]."""
    bounds = [graph.constant([value], np.int64) for value in (start, end, 2)]
    return graph.add("Slice", [tensor, *bounds])


def corners(graph: Graph, centres: str, sizes: str) -> str:
    """Centres [B, N, 2] and sizes [B, N, 2] as x1 y1 x2 y2 [B, N, 4]."""
    half = graph.add("Mul", [sizes, graph.constant(0.5, np.float32)])
    return graph.add("Concat", [graph.add("Sub", [centres, half]), graph.add("Add", [centres, half])], axis=2)


def best_class(graph: Graph, scores: str) -> tuple[str, str]:
    """The highest of the scores [B, N, C] and its class, the lower one of equals; both [B, N, 1]."""
    values, classes = graph.add_many("TopK", [scores, graph.constant([1], np.int64)], (None, None), axis=2)
    return values, classes


def ranked(graph: Graph, boxes: str, scores: str, classes: str, rows: int) -> tuple[TensorSpec, ...]:
    """End the graph in standard detections: the best candidates, scores descending.

    Args:
        graph: is appended to.
        boxes: [B, N, 4], x1 y1 x2 y2 in input pixels.
        scores: f32 [B, N, 1]; classes: i64 [B, N, 1].
        rows: how many are handed on, at most N.
    """
    last = graph.constant([2], np.int64)
    flat = graph.add("Squeeze", [scores, last])
    _, best = graph.add_many("TopK", [flat, graph.constant([rows], np.int64)], ("scores", None), axis=1)
    four = graph.constant([1, 1, 4], np.int64)
    spread = graph.add("Expand", [graph.add("Unsqueeze", [best, last]), four])
    graph.add("GatherElements", [boxes, spread], output="boxes", axis=1)
    flat_classes = graph.add("Squeeze", [classes, last])
    graph.add("GatherElements", [flat_classes, best], output="class_ids", axis=1)
    return detections(rows)


def ranked_rows(boxes: Array, scores: Array, classes: Array, rows: int) -> dict[str, Array]:
    """Standard detections in plain NumPy, from boxes [B, N, 4] (x1 y1 x2 y2), scores and classes [B, N]."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :rows]
    return {
        "boxes": np.take_along_axis(boxes, order[..., None], axis=1).astype(np.float32),
        "scores": np.take_along_axis(scores, order, axis=1).astype(np.float32),
        "class_ids": np.take_along_axis(classes, order, axis=1).astype(np.int64),
    }
