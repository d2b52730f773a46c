"""What a model says about one frame. Struct-of-arrays values, one row of a batch each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_export.manifest import Manifest, Suppression, Task

MAX_DETECTIONS = 300
_LEAST_SCORE = float(np.finfo(np.float32).tiny)

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Detections:
    """Boxes found in one frame.

    Attributes:
        xyxy: f32 [N, 4], x1 y1 x2 y2 in pixels (of the model's input, or of the source once mapped back).
        scores: f32 [N], 0…1, descending.
        class_ids: i64 [N].
    """

    xyxy: F32
    scores: F32
    class_ids: I64

    def __len__(self) -> int:
        return len(self.scores)

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.xyxy.shape != (n, 4) or self.class_ids.shape != (n,):
            raise ValueError(f"boxes {self.xyxy.shape}, scores {self.scores.shape}, classes {self.class_ids.shape}")

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Detections:
        """Those at `index` (positions or a mask)."""
        return Detections(self.xyxy[index], self.scores[index], self.class_ids[index])

    def with_boxes(self, xyxy: F32) -> Detections:
        """The same objects with other boxes."""
        return Detections(xyxy, self.scores, self.class_ids)


@dataclass(frozen=True, slots=True)
class Classes:
    """Probabilities f32 [C] of the manifest's labels."""

    probabilities: F32


@dataclass(frozen=True, slots=True)
class Foreground:
    """What moves: u8 [h, w], 0 or 255, at the model's own resolution."""

    mask: U8


Prediction = Detections | Classes | Foreground


def suppress(detections: Detections, rule: Suppression) -> Detections:
    """Greedy non-maximum suppression; keeps the order of scores.

    Boxes of one class (or of all, if class-agnostic) that overlap a better one by more than `rule.iou` go.
    Expects scores in descending order.
    """
    n = len(detections)
    if n < 2:
        return detections
    boxes = detections.xyxy.astype(np.float64)
    if not rule.class_agnostic:
        # Classes are moved apart so that boxes of different ones never meet.
        span = float(boxes.max() - boxes.min()) + 1.0
        boxes = boxes + (detections.class_ids * span)[:, None]
    x1, y1, x2, y2 = boxes.T
    area = np.maximum(x2 - x1, 0.0) * np.maximum(y2 - y1, 0.0)
    width = np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1)
    height = np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1)
    shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    union = area[:, None] + area - shared
    overlaps = shared > rule.iou * union
    overlaps = np.triu(overlaps, 1)
    alive = np.ones(n, np.bool_)
    for i in np.flatnonzero(overlaps.any(axis=1)).tolist():
        if alive[i]:
            alive &= ~overlaps[i]
    return detections if alive.all() else detections.take(alive)


def read_outputs(
    manifest: Manifest, outputs: Mapping[str, npt.NDArray[np.generic]], *, confidence: float | None = None
) -> Prediction:
    """One row of a model's standard outputs (without the batch axis) as a prediction.

    Args:
        manifest: the model's.
        outputs: output name → array of one frame.
        confidence: what counts as found; None takes the manifest's threshold.

    Raises:
        ValueError: the task has no reading here.
    """
    if manifest.task is Task.DETECT:
        threshold = manifest.thresholds.confidence if confidence is None else confidence
        scores = np.asarray(outputs["scores"], np.float32)
        # Descending, padded with 0: what is found is a prefix, and a score of 0 is padding whatever the threshold.
        found = int(np.count_nonzero(scores >= max(threshold, _LEAST_SCORE)))
        if not found:
            return Detections.empty()
        detections = Detections(
            np.asarray(outputs["boxes"], np.float32)[:found],
            scores[:found],
            np.asarray(outputs["class_ids"], np.int64)[:found],
        )
        if manifest.suppression is not None:
            detections = suppress(detections, manifest.suppression)
        if len(detections) > MAX_DETECTIONS:
            detections = detections.take(np.arange(MAX_DETECTIONS))
        return detections
    if manifest.task is Task.CLASSIFY:
        return Classes(np.asarray(outputs["probabilities"], np.float32))
    if manifest.task is Task.MOTION:
        return Foreground(np.asarray(outputs["foreground"], np.uint8))
    raise ValueError(f"task {manifest.task} has no reading")
