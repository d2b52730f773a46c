"""Lasting ids for objects: ByteTrack (Zhang et al., 2022) by media time.

All tracks are rows of a few arrays, so a frame costs the same for one object as for twenty.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from model_export.predictions import Detections
from server.analytics.assignment import best_pairs

PATIENCE_S = 1.5
"""Seconds of media time for which a track that is not seen is remembered."""

_FPS = 10.0
"""Velocities and noise are per tenth of a second."""
_SURE = 0.35
_SIGHTINGS = 2
_BUFFER = 0.3
_LEAST_OVERLAP = 0.1
_APART_PX = float(1 << 17)
_LEAST_STEP_S = 0.001
_MEASUREMENT = 0.1
_PROCESS = 0.01
_NOMINAL = 0.04
"""A step this near to a tenth of a second counts as one: time stamps are rounded, cameras jitter."""

_F64 = npt.NDArray[np.float64]
_I64 = npt.NDArray[np.int64]


class _State(msgspec.Struct, array_like=True):
    next_id: int
    pts_s: float | None
    ids: bytes
    counts: bytes
    missed_s: bytes
    motion: bytes
    spread: bytes


_decoder = msgspec.msgpack.Decoder(_State)


class Tracker:
    """Gives the objects of successive frames ids that last.

    Boxes are matched by their overlap with where their tracks are expected, both grown by a part of their size
    (buffered IoU; Yang et al., 2023), so that what moves by its own length from frame to frame, as at 5 frames a
    second, is still followed. Scores of 0.35 and more begin a track, lower ones only continue one. An id appears with
    the second sighting in a row and is never changed afterwards. A track keeps its class: an object whose class changes
    becomes another track.

    Each edge of a box moves at a speed of its own, estimated by a Kalman filter (1960). The four edges of a track are
    equally uncertain, so their covariance is one 2 × 2 matrix.

    Args:
        ids_after: an id; the first track gets the next.
    """

    def __init__(self, ids_after: int = 0) -> None:
        self._next_id = ids_after + 1
        self._pts_s: float | None = None
        # A row a track. Its id, or -1; sightings in a row, and frames without one; seconds without one.
        self._ids = np.empty(0, np.int64)
        self._counts = np.empty((0, 2), np.int64)
        self._missed_s = np.empty(0)
        # Its edges x1 y1 x2 y2 and their speeds; variance of an edge, covariance with its speed, variance of that.
        self._motion = np.empty((0, 2, 4))
        self._spread = np.empty((0, 3))

    def update(self, detections: Detections, pts_s: float) -> _I64:
        """Follow one frame's objects.

        Args:
            detections: boxes in pixels of one and the same frame of reference throughout.
            pts_s: media time in seconds. A frame that is not later than the one before counts as a millisecond later.

        Returns:
            i64 [N], the track id of each detection, above `ids_after`; -1 where there is none (yet).
        """
        step_s = 1.0 / _FPS if self._pts_s is None else max(pts_s - self._pts_s, _LEAST_STEP_S)
        self._pts_s = pts_s
        ids = np.full(len(detections), -1, np.int64)
        if not len(detections) and not len(self._ids):
            return ids
        self._predict(step_s)
        # Classes lie far apart, so that no box is matched with a track of another class.
        boxes = detections.xyxy + detections.class_ids[:, None] * np.array([_APART_PX, 0.0, _APART_PX, 0.0])
        sure = detections.scores >= _SURE
        free = np.arange(len(self._ids))
        for which in (sure, ~sure):
            mine = which.nonzero()[0]
            if len(mine) and len(free):
                tracks, seen = best_pairs(overlap(self._motion[free, 0], boxes[mine]), _LEAST_OVERLAP)
                self._see(free[tracks], boxes[mine[seen]])
                ids[mine[seen]] = self._ids[free[tracks]]
                sure[mine[seen]] = False
                free = np.delete(free, tracks)
        self._keep((self._counts[:, 1] == 0) | (self._ids > 0))
        self._begin(boxes[sure])
        return ids

    def forget(self) -> None:
        """Follow nothing of what was seen so far any more; ids are not given again."""
        self._keep(np.zeros(len(self._ids), np.bool_))

    @property
    def last_id(self) -> int:
        """The highest id that was given."""
        return self._next_id - 1

    def expected(self, pts_s: float) -> tuple[list[int], npt.NDArray[np.float32]]:
        """Where tracks should be at a moment after the last update.

        Returns:
            Ids and boxes, f32 [T, 4], x1 y1 x2 y2, of the tracks that have an id and were seen in the last frame.
        """
        later_s = 0.0 if self._pts_s is None else max(pts_s - self._pts_s, _LEAST_STEP_S)
        seen = (self._ids > 0) & (self._counts[:, 1] == 0)
        motion = self._motion[seen]
        return self._ids[seen].tolist(), (motion[:, 0] + motion[:, 1] * (later_s * _FPS)).astype(np.float32)

    def state(self) -> bytes:
        """All that it remembers."""
        arrays = self._ids, self._counts, self._missed_s, self._motion, self._spread
        return msgspec.msgpack.encode(_State(self._next_id, self._pts_s, *(array.tobytes() for array in arrays)))

    def restore(self, state: bytes) -> None:
        """Go on from another one's `state()`; the answers are the same, bit for bit."""
        saved = _decoder.decode(state)
        self._next_id = saved.next_id
        self._pts_s = saved.pts_s
        self._ids = np.frombuffer(saved.ids, np.int64).copy()
        self._counts = np.frombuffer(saved.counts, np.int64).reshape(-1, 2).copy()
        self._missed_s = np.frombuffer(saved.missed_s).copy()
        self._motion = np.frombuffer(saved.motion).reshape(-1, 2, 4).copy()
        self._spread = np.frombuffer(saved.spread).reshape(-1, 3).copy()

    def _predict(self, step_s: float) -> None:
        """Move every track on, as if none were seen; those not seen for too long are forgotten."""
        self._counts[self._counts[:, 1] > 0, 0] = 0
        self._counts[:, 1] += 1
        self._missed_s += step_s
        self._keep(self._missed_s <= PATIENCE_S)
        step = step_s * _FPS
        self._motion[:, 0] += step * self._motion[:, 1]
        edge, both, speed = self._spread.T
        # Discrete white noise acceleration, but for a nominal step noise of its own for edge and speed.
        nominal = abs(step - 1.0) <= _NOMINAL
        noise = (1.0, 0.0, 1.0) if nominal else (step**4 / 4, step**3 / 2, step**2)
        edge += step * (2 * both + step * speed) + _PROCESS * noise[0]
        both += step * speed + _PROCESS * noise[1]
        speed += _PROCESS * noise[2]

    def _see(self, tracks: npt.NDArray[np.intp], boxes: _F64) -> None:
        """Tracks were seen at boxes [N, 4]; with its second sighting in a row a track gets its id."""
        edge, both, speed = self._spread[tracks].T
        gain, gain_speed = edge / (edge + _MEASUREMENT), both / (edge + _MEASUREMENT)
        motion = self._motion[tracks]
        away = boxes - motion[:, 0]
        self._motion[tracks, 0] = motion[:, 0] + gain[:, None] * away
        self._motion[tracks, 1] = motion[:, 1] + gain_speed[:, None] * away
        self._spread[tracks] = np.stack([(1 - gain) * edge, (1 - gain) * both, speed - gain_speed * both], axis=1)
        self._counts[tracks, 0] += 1
        self._counts[tracks, 1] = 0
        self._missed_s[tracks] = 0.0
        for track in tracks[(self._ids[tracks] < 0) & (self._counts[tracks, 0] >= _SIGHTINGS)].tolist():
            self._ids[track] = self._next_id
            self._next_id += 1

    def _keep(self, tracks: npt.NDArray[np.bool_]) -> None:
        if tracks.all():
            return
        self._ids, self._counts, self._missed_s = self._ids[tracks], self._counts[tracks], self._missed_s[tracks]
        self._motion, self._spread = self._motion[tracks], self._spread[tracks]

    def _begin(self, boxes: _F64) -> None:
        """New tracks, without an id, at boxes [N, 4]."""
        n = len(boxes)
        if not n:
            return
        self._ids = np.concatenate([self._ids, np.full(n, -1, np.int64)])
        self._counts = np.concatenate([self._counts, np.tile(np.array([1, 0]), (n, 1))])
        self._missed_s = np.concatenate([self._missed_s, np.zeros(n)])
        self._motion = np.concatenate([self._motion, np.stack([boxes, np.zeros_like(boxes)], axis=1)])
        self._spread = np.concatenate([self._spread, np.tile(np.array([1.0, 0.0, 1.0]), (n, 1))])


def overlap(first: _F64, second: _F64) -> _F64:
    """Buffered IoU, [N, M], of boxes [N, 4] and [M, 4], x1 y1 x2 y2: each grown by 0.3 of its size on every side."""
    a, b = _grown(first), _grown(second)
    width = np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0])
    height = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1])
    shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    union = _area(a)[:, None] + _area(b) - shared
    # Only a box without area, which the filter may expect after a long gap, has a union of nothing.
    result: _F64 = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return result


def _grown(boxes: _F64) -> _F64:
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0) * _BUFFER
    return np.concatenate([boxes[:, :2] - size, boxes[:, 2:] + size], axis=1)


def _area(boxes: _F64) -> _F64:
    result: _F64 = np.maximum(boxes[:, 2] - boxes[:, 0], 0.0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0.0)
    return result
