"""Blobs that show more than one object: who passes somebody makes one blob with them for a while."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from model_export.predictions import Detections
from server.analytics.boxes import areas, shared_areas

F32 = npt.NDArray[np.float32]

_INSIDE = 0.5
_COVERED = 0.6
_HIDDEN_S = 3.0
# A blob shorter than this many objects does not tell who is in front: pinned to its ends, they would swap as they pass.
_APART = 1.5


class Passing:
    """Tells apart who passes somebody.

    Where objects have met, a mask shows one blob, but their tracks still know how large each of them is and where it
    was going. So a blob in which several tracks are expected is replaced by a box for each of them: where it is
    expected, moved into the blob; if the blob is longer than they are, the outer ones are moved to its ends, which
    steer them until they part. Who stays hidden behind an older track for more than three seconds is given up.
    """

    def __init__(self) -> None:
        self._hidden_since_s: dict[int, float] = {}

    def separate(self, found: Detections, ids: Sequence[int], expected: F32, pts_s: float) -> Detections:
        """Replace the blobs of one frame that show several tracks.

        Args:
            found: blobs.
            ids: of the tracks of the frame before.
            expected: f32 [T, 4], x1 y1 x2 y2, where they should be now; in the same pixels.
            pts_s: media time in seconds.

        Returns:
            The other blobs unchanged, and the boxes of those with their blob's score; scores descending.
        """
        blob = _blob_of(expected, found.xyxy)
        present = blob >= 0
        if _each_alone(blob[present]):
            self._hidden_since_s.clear()
            return found
        hidden = _hidden(np.asarray(ids), expected, blob)
        self._hidden_since_s = {
            track: self._hidden_since_s.get(track, pts_s)
            for track, is_hidden in zip(ids, hidden, strict=True)
            if is_hidden
        }
        for position, track in enumerate(ids):
            present[position] &= pts_s - self._hidden_since_s.get(track, pts_s) <= _HIDDEN_S
        blob, expected = blob[present], expected[present]
        members = np.bincount(blob, minlength=len(found))
        if members.max(initial=0) < 2:
            return found
        alone = np.flatnonzero(members < 2)
        boxes, index = [found.xyxy[alone]], [alone]
        for one in np.flatnonzero(members >= 2):
            boxes.append(_within(found.xyxy[one], expected[blob == one]))
            index.append(np.full(members[one], one))
        source = np.concatenate(index)
        scores = found.scores[source]
        order = np.argsort(-scores, kind="stable")
        return Detections(np.concatenate(boxes)[order], scores[order], found.class_ids[source][order])

    def state(self) -> bytes:
        """All that it remembers."""
        return msgspec.msgpack.encode(self._hidden_since_s)

    def restore(self, state: bytes) -> None:
        """Go on from another one's `state()`."""
        self._hidden_since_s = msgspec.msgpack.decode(state, type=dict[int, float])


def _blob_of(boxes: F32, blobs: F32) -> npt.NDArray[np.intp]:
    """For each box [T, 4] the blob [N, 4] in which at least half of it lies, or -1."""
    if not len(boxes) or not len(blobs):
        return np.full(len(boxes), -1, np.intp)
    inside = shared_areas(boxes, blobs) / areas(boxes)[:, None]
    return np.where(inside.max(axis=1) >= _INSIDE, inside.argmax(axis=1), -1)


def _each_alone(blobs: npt.NDArray[np.intp]) -> bool:
    """Whether no two tracks are in one blob."""
    return len(set(blobs.tolist())) == len(blobs)


def _hidden(ids: npt.NDArray[np.int64], boxes: F32, blob: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Which boxes lie mostly on that of an older track in the same blob, [T]."""
    area = areas(boxes)
    covered = shared_areas(boxes, boxes) >= _COVERED * np.minimum(area[:, None], area)
    together = (blob[:, None] == blob) & (blob[:, None] >= 0)
    result: npt.NDArray[np.bool_] = (covered & together & (ids < ids[:, None])).any(axis=1)
    return result


def _within(blob: F32, boxes: F32) -> F32:
    """The expected boxes [T, 4] moved and cut to fit their blob [4]."""
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
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
