"""Detections from plain lists, and a loop that is as small as one can be: frames, model, scene."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

from model_export.bundle import Bundle
from model_export.geometry import fit
from model_export.predictions import Detections
from server.analytics.scene import Moment, Scene
from server.domain.analysis import Analysis
from server.domain.event import Event

MOVING_OBJECTS = Path(__file__).parents[2] / "server" / "models" / "moving-objects" / "1"

Tracks = dict[int, dict[int, tuple[float, float, float, float]]]
"""Track id → frame → box."""


def found(
    *boxes: tuple[float, float, float, float], scores: list[float] | None = None, classes: list[int] | None = None
):
    """Detections with score 0.8 and class 0 unless said otherwise."""
    n = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(n, 4),
        np.array(scores if scores is not None else [0.8] * n, np.float32),
        np.array(classes if classes is not None else [0] * n, np.int64),
    )


def box(x: float, y: float = 100.0, width: float = 40.0, height: float = 80.0) -> tuple[float, float, float, float]:
    return (x, y, x + width, y + height)


def video(path: Path) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    while True:
        there, frame = capture.read()
        if not there:
            return
        yield frame


def watch(frames: Iterable[np.ndarray], fps: float) -> tuple[Tracks, list[Event]]:
    """What moving-objects and a scene make of frames, as tracks and events."""
    bundle = Bundle.open(MOVING_OBJECTS)
    manifest = bundle.manifest
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(bundle.model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    state = {one.input: np.full((1, *one.shape), one.initial, one.dtype) for one in manifest.state}
    scene = Scene(manifest, Analysis(), owner="job")
    tracks: Tracks = {}
    events: list[Event] = []
    for index, frame in enumerate(frames):
        outputs = dict(
            zip(names, session.run(names, {"frames": fit(frame, manifest.input)[None], **state}), strict=True)
        )
        state = {one.input: outputs[one.output] for one in manifest.state}
        height, width = frame.shape[:2]
        row, raised = scene.see(
            Moment(index, index / fps, width, height), scene.read({"foreground": outputs["foreground"][0]})
        )
        events += raised
        for one in row.objects:
            if isinstance(one.track_id, int):
                tracks.setdefault(one.track_id, {})[index] = one.box
    return tracks, events + scene.end()
