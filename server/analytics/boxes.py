"""Areas of boxes, x1 y1 x2 y2."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]


def shared_areas(first: F32, second: F32) -> F32:
    """The area that boxes [N, 4] and [M, 4] have in common, [N, M]."""
    width = np.minimum(first[:, None, 2], second[:, 2]) - np.maximum(first[:, None, 0], second[:, 0])
    height = np.minimum(first[:, None, 3], second[:, 3]) - np.maximum(first[:, None, 1], second[:, 1])
    return np.asarray(np.maximum(width, 0) * np.maximum(height, 0), np.float32)


def areas(boxes: F32) -> F32:
    """The area of each box, [N]; one without a side counts as a thousandth of a pixel wide."""
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    return np.asarray(size[:, 0] * size[:, 1], np.float32)
