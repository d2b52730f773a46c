"""Areas of boxes, x1 y1 x2 y2."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model_export.boxes import intersection

F32 = npt.NDArray[np.float32]


def shared_areas(first: F32, second: F32) -> F32:
    """The area that boxes [N, 4] and [M, 4] have in common, [N, M]."""
    return intersection(first.T, second.T)


def areas(boxes: F32) -> F32:
    """The area of each box, [N]; one without a side counts as a thousandth of a pixel wide."""
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    return np.asarray(size[:, 0] * size[:, 1], np.float32)
