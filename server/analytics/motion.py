"""From a foreground mask to boxes."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from model_export.predictions import Detections

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

MOVING = "moving"
"""The one label of task `motion`; class 0."""

_LEAST_AREA = 40
_NEAR = 4
_ALIGNED = 0.5
_MOST = 300


def boxes_of(mask: U8, *, width: int, height: int) -> Detections:
    """The connected parts of a mask as boxes of class 0.

    Parts of fewer than 40 mask pixels are dropped, after those that lie close together, one above the other or side by
    side, were made one: a walker whose coat has the colour of the wall falls into two.

    Args:
        mask: u8 [h, w]; not zero is foreground.
        width, height: of the model's input, in pixels.

    Returns:
        Boxes in pixels of the model's input. A score is not a probability: it is the part of its box that a part
        fills, times how far its area is above the least (none at 0, 1 − 1/e at 80 pixels), so that ragged and tiny
        parts score low. At most 300, the best.
    """
    h, w = mask.shape
    parts = _parts(mask)
    parts = parts[parts[:, cv2.CC_STAT_AREA] >= _LEAST_AREA // 4]
    if not len(parts):
        return Detections.empty()
    left, top = parts[:, cv2.CC_STAT_LEFT], parts[:, cv2.CC_STAT_TOP]
    boxes = np.stack([left, top, left + parts[:, cv2.CC_STAT_WIDTH], top + parts[:, cv2.CC_STAT_HEIGHT]], axis=1)
    boxes, areas = _merged(boxes.astype(np.float32), parts[:, cv2.CC_STAT_AREA].astype(np.float32))
    large = areas >= _LEAST_AREA
    boxes, areas = boxes[large], areas[large]
    fill = areas / ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    scores = (fill * (1.0 - np.exp(-areas / 80.0))).astype(np.float32)
    order = np.argsort(-scores, kind="stable")[:_MOST]
    scale = np.array([width / w, height / h] * 2, np.float32)
    return Detections((boxes * scale)[order], scores[order], np.zeros(len(order), np.int64))


def _parts(mask: U8) -> npt.NDArray[np.int32]:
    """OpenCV's statistics [N, 5] of the connected parts of a mask."""
    x, y, width, height = cv2.boundingRect(mask)
    if not width:
        return np.empty((0, 5), np.int32)
    # OpenCV numbers parts by blocks of 2 × 2 pixels, so their order depends on where those begin.
    x, width, y, height = x & ~1, width + (x & 1), y & ~1, height + (y & 1)
    # Half of the memory, and so a third of the time; no more parts than blocks.
    few = width * height < 4 * 65535
    seen = mask[y : y + height, x : x + width]
    stats = cv2.connectedComponentsWithStats(seen, connectivity=8, ltype=cv2.CV_16U if few else cv2.CV_32S)[2]
    stats[:, cv2.CC_STAT_LEFT] += x
    stats[:, cv2.CC_STAT_TOP] += y
    return np.asarray(stats[1:], np.int32)


def _merged(boxes: F32, areas: F32) -> tuple[F32, F32]:
    """Join parts that are near and aligned, until none are."""
    while len(boxes) > 1:
        near = _joins(boxes)
        if not near.any():
            break
        count, group = _groups(near)
        joined = np.empty((count, 4), np.float32)
        for axis, join, start in (
            (0, np.minimum, np.inf),
            (1, np.minimum, np.inf),
            (2, np.maximum, 0),
            (3, np.maximum, 0),
        ):
            joined[:, axis] = start
            join.at(joined[:, axis], group, boxes[:, axis])
        areas = np.bincount(group, weights=areas, minlength=count).astype(np.float32)
        boxes = joined
    return boxes, areas


def _joins(boxes: F32) -> npt.NDArray[np.bool_]:
    """Which pairs belong together, [N, N]."""
    x1, y1, x2, y2 = boxes.T
    across = np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1)
    down = np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1)
    wide, tall = np.minimum((x2 - x1)[:, None], x2 - x1), np.minimum((y2 - y1)[:, None], y2 - y1)
    stacked = (down > -_NEAR) & (across >= _ALIGNED * wide)
    beside = (across > -_NEAR) & (down >= _ALIGNED * tall)
    near: npt.NDArray[np.bool_] = (stacked | beside) & ~np.eye(len(boxes), dtype=np.bool_)
    return near


def _groups(near: npt.NDArray[np.bool_]) -> tuple[int, npt.NDArray[np.intp]]:
    """Connected groups of a symmetric relation: their number, and each member's."""
    group = np.full(len(near), -1, np.intp)
    count = 0
    for first in range(len(near)):
        if group[first] >= 0:
            continue
        waiting = [first]
        while waiting:
            member = waiting.pop()
            if group[member] < 0:
                group[member] = count
                waiting.extend(np.flatnonzero(near[member] & (group < 0)).tolist())
        count += 1
    return count, group
