"""Parts of a model's input, in whole cells: where something moved, grown, snapped and joined.

Cells are as large as a detector's coarsest stride. A part that is moved by whole cells meets the model's grids as it
did before, so its answers hardly change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from model_export.geometry import Placement, Rectangle

F32 = npt.NDArray[np.float32]

CELL = 32
"""Pixels of the model's input."""
_MARGIN = 12.0
"""Pixels that are looked at around what moved: it is often larger than what differs from the background."""


def whole(placement: Placement) -> Rectangle:
    """The part that a frame fills."""
    filled = placement.filled
    return _snapped(filled.x, filled.y, filled.x + filled.width, filled.y + filled.height, placement)


def around(boxes: F32, placement: Placement) -> tuple[Rectangle, ...]:
    """The parts in which boxes lie; none overlaps or touches another.

    Args:
        boxes: f32 [N, 4], x1 y1 x2 y2 in pixels of the source frame. Those of which the input shows nothing, as beside
            the middle that `crop` takes, are left out.
    """
    scale, offset, _ = placement.corners
    grown = boxes * scale + offset + np.array([-_MARGIN, -_MARGIN, _MARGIN, _MARGIN])
    filled = placement.filled
    seen = grown.clip([filled.x, filled.y] * 2, [filled.x + filled.width, filled.y + filled.height] * 2)
    return joined(_snapped(x1, y1, x2, y2, placement) for x1, y1, x2, y2 in seen.tolist() if x1 < x2 and y1 < y2)


def joined(parts: Iterable[Rectangle]) -> tuple[Rectangle, ...]:
    """Parts that overlap or touch become the one that holds both, until none do."""
    result: list[Rectangle] = []
    for part in parts:
        while (other := next((one for one in result if _touch(part, one)), None)) is not None:
            result.remove(other)
            part = _hull(part, other)
        result.append(part)
    return tuple(result)


def area(parts: Sequence[Rectangle]) -> int:
    """Pixels of parts that do not overlap."""
    return sum(part.width * part.height for part in parts)


def _snapped(x1: float, y1: float, x2: float, y2: float, placement: Placement) -> Rectangle:
    left, top = math.floor(x1 / CELL) * CELL, math.floor(y1 / CELL) * CELL
    right = min(math.ceil(x2 / CELL) * CELL, placement.width)
    bottom = min(math.ceil(y2 / CELL) * CELL, placement.height)
    return Rectangle(left, top, right - left, bottom - top)


def _touch(a: Rectangle, b: Rectangle) -> bool:
    return a.x <= b.x + b.width and b.x <= a.x + a.width and a.y <= b.y + b.height and b.y <= a.y + a.height


def _hull(a: Rectangle, b: Rectangle) -> Rectangle:
    x, y = min(a.x, b.x), min(a.y, b.y)
    right, bottom = max(a.x + a.width, b.x + b.width), max(a.y + a.height, b.y + b.height)
    return Rectangle(x, y, right - x, bottom - y)
