"""Occlusion: how far a class's score falls when a place is covered. Needs answers alone, so any model can be asked.

Source: Zeiler, Fergus, "Visualizing and understanding convolutional networks", 2014.

Legend: T time, H height, W width, C channels.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from training.evaluation.predictor import Predictor

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

_CELLS = 8
"""Places along each side; a patch covers two by two of them."""
_SPANS = 4
"""Parts of a clip that are covered one after the other."""
_BATCH = 16


def occlusion(predictor: Predictor, frames: U8, label: int) -> F32:
    """The map of each frame.

    Args:
        frames: of one clip, uint8 [T, H, W, C].
        label: whose score is explained.

    Returns:
        float32 [T, H, W], from 0 to 1; 1 is the place and the part of the clip without which the score falls most.
        All 0 where it never falls.
    """
    time, height, width = frames.shape[:3]
    rows, columns = np.linspace(0, height, _CELLS + 1).astype(int), np.linspace(0, width, _CELLS + 1).astype(int)
    spans = np.array_split(np.arange(time), min(_SPANS, time))
    grey = np.round(frames.mean(axis=(0, 1, 2))).astype(np.uint8)
    before = float(predictor.predict(frames[None])[0, label])
    covered = [
        (span, row, column) for span in range(len(spans)) for row in range(_CELLS - 1) for column in range(_CELLS - 1)
    ]
    fall = np.zeros((len(spans), _CELLS, _CELLS), np.float32)
    for start in range(0, len(covered), _BATCH):
        part = covered[start : start + _BATCH]
        clips = np.repeat(frames[None], len(part), axis=0)
        for clip, (span, row, column) in zip(clips, part, strict=True):
            clip[spans[span], rows[row] : rows[row + 2], columns[column] : columns[column + 2]] = grey
        for said, place in zip(predictor.predict(clips), part, strict=True):
            span, row, column = place
            fall[span, row : row + 2, column : column + 2] += max(before - float(said[label]), 0.0)
    # A cell's fall is the mean over the patches that covered it: four, at the edges two, in the corners one.
    times = np.array([1, *[2] * (_CELLS - 2), 1])
    fall /= times[:, None] * times
    large = np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in fall]).astype(
        np.float32
    )
    strongest = float(large.max())
    relative: F32 = large / strongest if strongest > 0 else large
    return relative[[at for at, span in enumerate(spans) for _ in span]]
