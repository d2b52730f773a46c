"""A model of kind `clip`, and an engine that tells which frames a clip held."""

from __future__ import annotations

import numpy as np
from worker_builders import SIDE, Bench, FakeEngine

from model_export.manifest import FrameInput, Manifest, Provenance, Resize, Task, TensorSpec
from server.domain.analysis import Analysis
from server.wire.messages import InferDone, TensorMeta

WINDOW = 4


def clip_manifest(*, fps: float | None = None) -> Manifest:
    """A classifier with a label for each frame of a clip."""
    return Manifest(
        name="clips",
        version=1,
        task=Task.CLASSIFY,
        kind="clip",
        window=WINDOW,
        fps=fps,
        multi_label=True,
        family="test",
        input=FrameInput(width=SIDE, height=SIDE, resize=Resize.STRETCH),
        inputs=(TensorSpec(name="frames", dtype="uint8", shape=(None, WINDOW, SIDE, SIDE, 3)),),
        outputs=(TensorSpec(name="probabilities", dtype="float32", shape=(None, WINDOW)),),
        labels=tuple(f"frame_{place}" for place in range(WINDOW)),
        provenance=Provenance(tool="test"),
    )


class ClipEngine(FakeEngine):
    """Answers with the level of each frame of the clip, in thousandths."""

    def _infer(self, ask):
        clip = self._segments.array(ask.frame)
        if int(clip[-1, 0, 0, 0]) in self._failing:
            return (InferDone(ask.stream, ask.seq, error="run_failed", message="told to fail"),)
        levels = clip[:, 0, 0, 0].astype(np.float32) / 1000
        return InferDone(ask.stream, ask.seq, (TensorMeta("probabilities", "float32", (WINDOW,)),)), [levels.tobytes()]


class ClipBench(Bench):
    engine_kind = ClipEngine

    def __init__(self, folder, *, fps: float | None = None, **options) -> None:
        super().__init__(folder, **options)
        self.manifest = clip_manifest(fps=fps)


def clips_of(rows) -> dict[int, list[int]]:
    """Of each row's frame, the levels that its clip held."""
    return {
        row["frame"]: [
            round(1000 * score["confidence"]) for score in sorted(row["classes"], key=lambda one: one["label"])
        ]
        for row in rows
    }


EVERYTHING = Analysis(confidence=0.0)
"""So that a level of 0 is a row's too."""
