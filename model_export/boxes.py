"""Areas of boxes, each of some with each of others, in px². Boxes are columns [4, N]: x1, y1, x2, y2."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Boxes = TypeVar("Boxes", npt.NDArray[np.float32], npt.NDArray[np.float64])


def intersection(first: Boxes, second: Boxes) -> Boxes:
    """What boxes [4, N] and [4, M] share, [N, M]; nothing where one ends before it begins."""
    low, high = np.maximum(first[:2, :, None], second[:2, None]), np.minimum(first[2:, :, None], second[2:, None])
    return _product(high - low)


def intersection_and_union(first: Boxes, second: Boxes) -> tuple[Boxes, Boxes]:
    """What boxes [4, N] and [4, M] share, and what they cover together, [N, M] each."""
    shared = intersection(first, second)
    return shared, _product(first[2:] - first[:2])[:, None] + _product(second[2:] - second[:2]) - shared


def _product(sides: Boxes) -> Boxes:
    """Areas [...] of sides [2, ...]."""
    width, height = np.maximum(sides, 0)
    area: Boxes = width * height
    return area
