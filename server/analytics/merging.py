"""Blobs that show more than one object: who passes somebody makes one blob with them for a while."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model_export.predictions import Detections

F32 = npt.NDArray[np.float32]

_INSIDE = 0.5
# A blob shorter than this many objects does not tell who is in front: pinned to its ends, they would swap as they pass.
_APART = 1.5


def separate(found: Detections, expected: F32) -> Detections:
    """Replace each blob in which several tracks are expected by a box for each of them.

    Where objects have met, a mask shows one blob, but their tracks still know how large each of them is and where it
    was going. The boxes stand where the tracks expect them, moved into the blob; where it is longer than they are, the
    outer ones are moved to its ends, which steer them until they part.

    Args:
        found: blobs.
        expected: f32 [T, 4], x1 y1 x2 y2, where the tracks of the frame before should be now; in the same pixels.

    Returns:
        The blobs with one track or none unchanged, and the boxes of the others within their blob and with its score;
        scores descending.
    """
    if not len(found) or len(expected) < 2:
        return found
    inside = _inside(expected, found.xyxy)
    blob = inside.argmax(axis=1)
    blob[inside.max(axis=1) < _INSIDE] = -1
    members = np.bincount(blob[blob >= 0], minlength=len(found))
    if members.max(initial=0) < 2:
        return found
    boxes: list[F32] = [found.xyxy[members < 2]]
    index: list[npt.NDArray[np.intp]] = [np.flatnonzero(members < 2)]
    for one in np.flatnonzero(members >= 2):
        parts = _within(found.xyxy[one], expected[blob == one])
        boxes.append(parts)
        index.append(np.full(len(parts), one))
    source = np.concatenate(index)
    scores = found.scores[source]
    order = np.argsort(-scores, kind="stable")
    return Detections(np.concatenate(boxes)[order], scores[order], found.class_ids[source][order])


def _inside(boxes: F32, blobs: F32) -> F32:
    """The part of each box that lies in each blob, [T, N]."""
    width = np.minimum(boxes[:, None, 2], blobs[:, 2]) - np.maximum(boxes[:, None, 0], blobs[:, 0])
    height = np.minimum(boxes[:, None, 3], blobs[:, 3]) - np.maximum(boxes[:, None, 1], blobs[:, 1])
    area = np.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 1e-6)
    return np.asarray(np.maximum(width, 0) * np.maximum(height, 0) / area[:, None], np.float32)


def _within(blob: F32, boxes: F32) -> F32:
    """The expected boxes [T, 4] moved and cut to fit their blob [4]."""
    size = boxes[:, 2:] - boxes[:, :2]
    axis = int(np.argmax((blob[2:] - blob[:2]) / size.max(axis=0)))
    parts = boxes.copy()
    order = np.argsort(boxes[:, axis] + boxes[:, axis + 2], kind="stable")
    first, last = order[0], order[-1]
    if blob[axis + 2] - blob[axis] >= _APART * size[:, axis].max():
        parts[first, axis::2] += blob[axis] - parts[first, axis]
        parts[last, axis::2] += blob[axis + 2] - parts[last, axis + 2]
    parts += np.tile(np.maximum(blob[:2] - parts[:, :2], 0), 2)
    parts -= np.tile(np.maximum(parts[:, 2:] - blob[2:], 0), 2)
    parts[:, :2] = np.maximum(parts[:, :2], blob[:2])
    return parts
