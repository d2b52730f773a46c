"""What a model says about one frame. Struct-of-arrays values, one row of a batch each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_export.boxes import intersection_and_union
from model_export.manifest import FrameInput, Manifest, Suppression, Task

MAX_DETECTIONS = 300
_FAR = 4
"""Larger sides of the input, from its corner: no edge of a box is kept that is farther away."""
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
    edges = detections.xyxy.T.astype(np.float64, order="C")
    if not rule.class_agnostic:
        # Classes are moved apart so that boxes of different ones never meet.
        span = float(edges.max() - edges.min()) + 1.0
        edges += detections.class_ids * span
    shared, union = intersection_and_union(edges, edges)
    overlaps: npt.NDArray[np.bool_] = shared > rule.iou * union
    overlaps.reshape(-1)[:: n + 1] = False  # each with itself
    if not overlaps.any():
        return detections
    alive = np.ones(n, np.bool_)
    for i in np.flatnonzero(overlaps.any(axis=1)).tolist():
        if alive[i]:
            alive[i + 1 :] &= ~overlaps[i, i + 1 :]
    return detections.take(alive)


def readable(manifest: Manifest, outputs: Mapping[str, npt.NDArray[np.generic]]) -> bool:
    """Whether the outputs of a frame mean anything: of probabilities that are no numbers none is the highest."""
    return manifest.task is not Task.CLASSIFY or bool(np.isfinite(outputs["probabilities"]).all())


def _sound(found: Detections, spec: FrameInput | None) -> Detections:
    """Without boxes and scores that are no numbers, as half precision gives where it overflows; boxes that are out of
    all proportion are cut off, or beside them all others would be too small to overlap.
    """
    assert spec is not None
    far = _FAR * max(spec.width, spec.height)
    # Also false for NaN.
    if np.abs(found.xyxy).max() <= far and found.scores.max() < np.inf:
        return found
    found = found.take(np.isfinite(found.xyxy).all(axis=1) & np.isfinite(found.scores))
    return found.with_boxes(found.xyxy.clip(-far, far))


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
        # A score of 0 is padding whatever the threshold. Scores descend, so what is found is a prefix; but NaN is not.
        found = (scores >= max(threshold, _LEAST_SCORE)).nonzero()[0]
        if not len(found):
            return Detections.empty()
        which = slice(len(found)) if found[-1] == len(found) - 1 else found
        detections = _sound(
            Detections(
                np.asarray(outputs["boxes"], np.float32)[which],
                scores[which],
                np.asarray(outputs["class_ids"], np.int64)[which],
            ),
            manifest.input,
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
