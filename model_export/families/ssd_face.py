"""Face detectors like Ultra-Light-Fast-Generic-Face-Detector, whose SSD head is decoded in the export.

Two outputs, in any order and by any name: scores [B, N, 2] (nothing, face), which add up to one, and boxes [B, N, 4],
x1 y1 x2 y2 in 0…1 of the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from model_export.errors import ImportRefused
from model_export.families.family import Array, Reading, Told, is_distribution, shapes_of
from model_export.graph import Graph
from model_export.heads import best_class, ranked, ranked_rows, rows_of, take
from model_export.manifest import FrameInput, Resize, Suppression, Task, TensorSpec
from model_export.preprocessing import Colour, Preprocessing


@dataclass(frozen=True, slots=True)
class FaceHead:
    """Decodes the outputs `scores` and `boxes` of one model for `candidates` boxes a picture."""

    scores: str
    boxes: str
    candidates: int
    width: int
    height: int

    def append(self, graph: Graph) -> tuple[TensorSpec, ...]:
        sides = graph.constant([self.width, self.height] * 2, np.float32)
        boxes = graph.add("Mul", [graph.result(self.boxes), sides])
        # Of one score that of the only class, 0, is the best.
        scores, classes = best_class(graph, take(graph, graph.result(self.scores), 1, 2))
        return ranked(graph, boxes, scores, classes, rows_of(self.candidates))

    def decode(self, raw: Mapping[str, Array]) -> dict[str, Array]:
        scores = raw[self.scores].astype(np.float32)[..., 1]
        boxes = raw[self.boxes].astype(np.float32) * np.array([self.width, self.height] * 2, np.float32)
        return ranked_rows(boxes, scores, np.zeros(scores.shape, np.int64), rows_of(self.candidates))


class SsdFace:
    """The family."""

    task = Task.DETECT
    window = None
    geometry = FrameInput(width=320, height=240, resize=Resize.STRETCH)
    preprocessing = Preprocessing(colour=Colour.RGB, mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))

    def read(self, raw: Mapping[str, Array], spec: FrameInput, told: Told) -> Reading:
        names = {value.shape[2]: name for name, value in raw.items() if value.ndim == 3}
        if len(raw) != 2 or names.keys() != {2, 4} or len({value.shape[1] for value in raw.values()}) != 1:
            raise ImportRefused(
                f"This family answers scores [boxes, 2] and boxes [boxes, 4]; this model answers {shapes_of(raw)}.",
                hint="Take another --family.",
            )
        scores, boxes = raw[names[2]], raw[names[4]]
        if not is_distribution(scores):
            raise ImportRefused(
                "The two scores of a box lie in 0…1 and add up to 1; this model's do not.",
                hint="Export it with the softmax of its head.",
            )
        if not (boxes[..., 2:] >= boxes[..., :2]).all() or np.abs(np.median(boxes)) > 1:
            raise ImportRefused(
                "The boxes are x1 y1 x2 y2 in 0…1; this model's are not.",
                hint="Export it with its boxes decoded to corners.",
            )
        head = FaceHead(names[2], names[4], scores.shape[1], spec.width, spec.height)
        # Both as in its authors' own program.
        return Reading(head, 1, labels=("face",), suppression=Suppression(iou=0.3), confidence=0.7)


FAMILY = SsdFace()
