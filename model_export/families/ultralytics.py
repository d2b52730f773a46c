"""The detectors that Ultralytics exports, and those of YOLOv5 and YOLOv7, whose heads came before them.

One output, boxes in pixels of the input, scores with their sigmoid done. Shape and values say which of three it is:

- [B, 4 + classes, N], YOLOv5u, v8, v9, v11, v12: centre and size, a score per class; N is the cells of the grids.
- [B, N, 6], end to end (YOLOv10, v26, or exported with `nms=True`): x1 y1 x2 y2, score, class. Nothing overlaps.
- [B, 3 N, 5 + classes], YOLOv5 and v7: three anchors a cell; centre and size, objectness, a score per class. Of one
  class, that score rounds to 1 and looks like a class; but its rows stand as the grid has them, not the best first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from model_export.errors import ImportRefused
from model_export.families.family import Array, Reading, Told, is_share, shapes_of
from model_export.graph import Graph
from model_export.heads import best_class, cell_count, corners, ranked, ranked_rows, rows_of, take
from model_export.manifest import FrameInput, Resize, Suppression, Task, TensorSpec
from model_export.preprocessing import Colour, Preprocessing

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
ANCHORS = 3

_OTHER_TASKS = "Heads for segments, poses or turned boxes are not read; a detector is exported from task detect."


@dataclass(frozen=True, slots=True)
class CentreHead:
    """Centre, size and scores of every candidate.

    Attributes:
        output: its name.
        candidates: how many a picture.
        columns: numbers a candidate.
        upright: they stand below each other, [B, columns, candidates].
        objectness: stands before the scores, which it is to be multiplied with.
    """

    output: str
    candidates: int
    columns: int
    upright: bool
    objectness: bool

    def append(self, graph: Graph) -> tuple[TensorSpec, ...]:
        raw = graph.result(self.output)
        if self.upright:
            raw = graph.add("Transpose", [raw], perm=[0, 2, 1])
        boxes = corners(graph, take(graph, raw, 0, 2), take(graph, raw, 2, 4))
        scores, classes = best_class(graph, take(graph, raw, 5 if self.objectness else 4, self.columns))
        if self.objectness:
            scores = graph.add("Mul", [take(graph, raw, 4, 5), scores])
        return ranked(graph, boxes, scores, classes, rows_of(self.candidates))

    def decode(self, raw: Mapping[str, Array]) -> dict[str, Array]:
        values = raw[self.output].astype(np.float32)
        if self.upright:
            values = values.transpose(0, 2, 1)
        centres, half = values[..., 0:2], values[..., 2:4] / 2
        scores = values[..., 4:5] * values[..., 5:] if self.objectness else values[..., 4:]
        boxes = np.concatenate([centres - half, centres + half], axis=2)
        return ranked_rows(boxes, scores.max(axis=2), scores.argmax(axis=2), rows_of(self.candidates))


@dataclass(frozen=True, slots=True)
class EndToEndHead:
    """What is found already: x1 y1 x2 y2, score, class; rows of zeros where there is no more."""

    output: str
    candidates: int

    def append(self, graph: Graph) -> tuple[TensorSpec, ...]:
        raw = graph.result(self.output)
        classes = graph.add("Cast", [take(graph, raw, 5, 6)], to=TensorProto.INT64)
        rows = rows_of(self.candidates, suppressed=True)
        return ranked(graph, take(graph, raw, 0, 4), take(graph, raw, 4, 5), classes, rows)

    def decode(self, raw: Mapping[str, Array]) -> dict[str, Array]:
        values = raw[self.output].astype(np.float32)
        rows = rows_of(self.candidates, suppressed=True)
        return ranked_rows(values[..., :4], values[..., 4], values[..., 5].astype(np.int64), rows)


class Ultralytics:
    """The family."""

    task = Task.DETECT
    window = None
    geometry = FrameInput(width=640, height=640, resize=Resize.LETTERBOX, pad=114, align="center")
    preprocessing = Preprocessing(colour=Colour.RGB, std=(255.0, 255.0, 255.0))

    def read(self, raw: Mapping[str, Array], spec: FrameInput, told: Told) -> Reading:
        name, values = next(iter(raw.items()))
        if len(raw) == 1 and values.ndim == 3:
            _, rows, columns = values.shape
            cells = {cell_count(spec, strides) for strides in STRIDES}
            anchored = rows in {ANCHORS * count for count in cells} and columns > 5
            if columns == 6 and _is_end_to_end(values) and (_descends(values[..., 4]) or not anchored):
                return _end_to_end(name, values, told)
            if columns in cells and rows > 4:
                head = CentreHead(name, columns, rows, upright=True, objectness=False)
                return _centres(head, values.transpose(0, 2, 1), told)
            if anchored:
                head = CentreHead(name, rows, columns, upright=False, objectness=True)
                return _centres(head, values, told)
        raise _refusal(raw, spec)


def _centres(head: CentreHead, values: Array, told: Told) -> Reading:
    """Judge the numbers [B, candidates, columns] of a shape that fits."""
    if not is_share(values[..., 4:]):
        raise ImportRefused(
            f"Of the {head.columns} numbers a box, those after the first 4 are scores in 0…1; this model's are not.",
            hint=_OTHER_TASKS,
        )
    classes = head.columns - (5 if head.objectness else 4)
    if told.labels and len(told.labels) != classes:
        raise ImportRefused(
            f"With {len(told.labels)} labels there would be {head.columns - classes + len(told.labels)} numbers a box, "
            f"this model answers {head.columns}.",
            hint=f"Give as many labels as it has classes. {_OTHER_TASKS}",
        )
    _refuse_shares(values[..., :4])
    # What Ultralytics itself suppresses by, then and now.
    return Reading(head, classes, suppression=Suppression(iou=0.45 if head.objectness else 0.7))


def _end_to_end(name: str, values: Array, told: Told) -> Reading:
    found = values[values[..., 4] > 0]
    highest = int(found[:, 5].max(initial=0))
    if told.labels and highest >= len(told.labels):
        raise ImportRefused(
            f"The model found class {highest} on a drawn picture, and the last of {len(told.labels)} labels is of "
            f"class {len(told.labels) - 1}.",
            hint="Write one label a line, in the order of the model's classes.",
        )
    if len(found):
        _refuse_shares(found[:, :4])
    return Reading(EndToEndHead(name, values.shape[1]), None, remark="It is end to end: no suppression is due.")


def _refuse_shares(boxes: Array) -> None:
    if np.abs(boxes).max() <= 2:
        raise ImportRefused(
            "The boxes are not in pixels of the input: none lies beyond 2.", hint="Export it without normalised boxes."
        )


def _refusal(raw: Mapping[str, Array], spec: FrameInput) -> ImportRefused:
    """Why no form fits."""
    cells = [cell_count(spec, strides) for strides in STRIDES]
    message = (
        f"At {spec.width}x{spec.height} this family answers one output [4 + classes, {cells[0]}], "
        f"[{ANCHORS * cells[0]}, 5 + classes], or [boxes, 6] end to end; this model answers {shapes_of(raw)}."
    )
    first = next(iter(raw.values()))
    if len(raw) > 1 or first.ndim != 3:
        return ImportRefused(message, hint=f"{_OTHER_TASKS} Nor are models without their last, decoding layer.")
    if first.shape[1] in cells:
        return ImportRefused(
            message, hint="The axes are swapped: export it without that Transpose, or try --family yolox."
        )
    if 6 < first.shape[2] < first.shape[1] <= 1000:
        return ImportRefused(message, hint=f"More than 6 numbers a box are not only a box. {_OTHER_TASKS}")
    return ImportRefused(message, hint="Say the size that it was exported for with --input, or take another --family.")


def _is_end_to_end(values: Array) -> bool:
    """Whether of [B, N, 6] the fifth may be a score and the sixth a class."""
    kinds = values[..., 5]
    return is_share(values[..., 4]) and bool((kinds >= 0).all() and (kinds == np.round(kinds)).all())


def _descends(scores: Array) -> bool:
    """Whether the best of each picture, [B, N], stand first."""
    return bool((scores[:, 1:] <= scores[:, :-1]).all())


FAMILY = Ultralytics()
