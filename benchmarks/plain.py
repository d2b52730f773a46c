"""What one writes first: read, letterbox, one session, decode the head in NumPy, suppress.

The rival runs the same steps in an environment of its own, so this imports nothing of ours.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

SIDE = 416
CONFIDENCE, IOU = 0.25, 0.45

Frame = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


def open_session(model: Path, threads: int, *, spinning: bool) -> Any:
    """An ONNX Runtime session on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def letterbox(frame: Frame) -> tuple[Frame, float]:
    """A frame at the model's size, uint8 [416, 416, 3], and the scale it was brought to."""
    height, width = frame.shape[:2]
    scale = min(SIDE / width, SIDE / height)
    out = np.full((SIDE, SIDE, 3), 114, np.uint8)
    small = cv2.resize(frame, (round(width * scale), round(height * scale)))
    out[: small.shape[0], : small.shape[1]] = small
    return out, scale


class Yolox:
    """YOLOX-Nano as it was published, one frame at a time.

    Args:
        model: the original ONNX file: f32 [1, 3, 416, 416] in, the raw head f32 [1, 3549, 85] out.
    """

    def __init__(self, model: Path, threads: int, *, spinning: bool) -> None:
        self._session = open_session(model, threads, spinning=spinning)
        self._grid, self._stride = _cells()

    def find(self, frame: Frame) -> tuple[F32, F32, I64]:
        """Boxes f32 [N, 4] x1 y1 x2 y2 in pixels of the frame, scores f32 [N], classes i64 [N]."""
        fitted, scale = letterbox(frame)
        raw = self._session.run(None, {"images": fitted.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
        likely = raw[:, 4] > CONFIDENCE  # no class can score more than the cell's objectness
        raw, grid, stride = raw[likely], self._grid[likely], self._stride[likely]
        scores = raw[:, 4:5] * raw[:, 5:]
        best, classes = scores.max(1), scores.argmax(1)
        centre, size = (raw[:, :2] + grid) * stride, np.exp(raw[:, 2:4]) * stride
        boxes = np.concatenate([centre - size / 2, size], 1)  # x y width height
        kept = cv2.dnn.NMSBoxesBatched(boxes.tolist(), best.tolist(), classes.tolist(), CONFIDENCE, IOU)
        index = np.asarray(kept, np.intp).reshape(-1)
        boxes[:, 2:] += boxes[:, :2]
        return (boxes[index] / scale).astype(np.float32), best[index], classes[index]


def plain(model: Path, video: Path, threads: int) -> float:
    """Frames a second of the loop."""
    yolox = Yolox(model, threads, spinning=False)
    capture = cv2.VideoCapture(str(video))
    frames = 0
    start = time.perf_counter()
    while True:
        found, frame = capture.read()
        if not found:
            return frames / (time.perf_counter() - start)
        yolox.find(np.asarray(frame, np.uint8))
        frames += 1


def _cells() -> tuple[F32, F32]:
    """Column and row of each cell of the head, f32 [3549, 2], and its stride in pixels, f32 [3549, 1]."""
    grids, strides = [], []
    for stride in (8, 16, 32):
        side = SIDE // stride
        rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
        grids.append(np.stack([columns, rows], 2).reshape(-1, 2))
        strides.append(np.full((side * side, 1), stride))
    return np.concatenate(grids).astype(np.float32), np.concatenate(strides).astype(np.float32)
