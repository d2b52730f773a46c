"""Lasting ids for objects: ByteTrack (Zhang et al., 2022) by media time.

All tracks are columns of a few arrays, so a frame costs the same for one object as for twenty. Columns, because then a
step of the arithmetic is one call for all edges, and its numbers lie side by side however many tracks there are.
"""

from __future__ import annotations

import sys

import msgspec
import numpy as np
import numpy.typing as npt

from model_export.boxes import intersection_and_union
from model_export.predictions import Detections
from server.analytics.assignment import best_pairs

PATIENCE_S = 1.5
"""Seconds of media time for which a track that is not seen is remembered, at usual rates."""
_PATIENT_STEPS = 2.5
"""Where frames are rare it is remembered for so many of their steps: one frame without it, as at any rate."""
_STEPS = 5
"""Steps of which the median is the usual one: gaps and bursts do not count."""

_FPS = 10.0
"""Velocities and noise are per tenth of a second."""
_SURE = 0.35
_SIGHTINGS = 2
_BUFFER = 0.3
_LEAST_OVERLAP = 0.1
_APART = np.array([[float(1 << 17)], [0.0], [float(1 << 17)], [0.0]])
"""Pixels between what is of one class and of the next: no box is matched with a track of another class."""
_LEAST_AREA = sys.float_info.min
_LEAST_STEP_S = 0.001
_MEASUREMENT = 0.1
_PROCESS = 0.01
_SPREAD = np.array([[1.0], [0.0], [1.0]])
"""Variances and covariance of a track that begins."""
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
    steps_s: tuple[float, ...] = ()


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

    Attributes:
        patience_s: for how long a track is remembered that is not seen, in seconds of media time.
    """

    def __init__(self, ids_after: int = 0) -> None:
        self.patience_s = PATIENCE_S
        self._next_id = ids_after + 1
        self._pts_s: float | None = None
        self._steps_s: tuple[float, ...] = ()
        # Of each track its id, or -1; sightings in a row; frames without one since, and seconds.
        self._ids = np.empty(0, np.int64)
        self._sightings = np.empty(0, np.int64)
        self._unseen = np.empty(0, np.int64)
        self._missed_s = np.empty(0)
        # Its edges x1 y1 x2 y2 and their speeds; variance of an edge, covariance with its speed, variance of that.
        self._motion = np.empty((2, 4, 0))
        self._spread = np.empty((3, 0))

    def update(self, detections: Detections, pts_s: float) -> _I64:
        """Follow one frame's objects.

        Args:
            detections: boxes in pixels of one and the same frame of reference throughout.
            pts_s: media time in seconds. A frame that is not later than the one before counts as a millisecond later.

        Returns:
            i64 [N], the track id of each detection, above `ids_after`; -1 where there is none (yet).
        """
        step_s = 1.0 / _FPS
        if self._pts_s is not None:
            step_s = max(pts_s - self._pts_s, _LEAST_STEP_S)
            self._know((*self._steps_s[1 - _STEPS :], step_s))
        self._pts_s = pts_s
        ids = np.full(len(detections), -1, np.int64)
        if not len(detections) and not len(self._ids):
            return ids
        self._predict(step_s)
        boxes = detections.xyxy.T + detections.class_ids * _APART
        sure = detections.scores >= _SURE
        for which in (sure, ~sure):
            mine = which.nonzero()[0]
            free = self._unseen.nonzero()[0]
            if len(mine) and len(free):
                expected, there = self._motion[0].take(free, axis=1), boxes.take(mine, axis=1)
                tracks, seen = best_pairs(overlap(expected, there), _LEAST_OVERLAP)
                tracks, seen = free[tracks], mine[seen]
                self._see(tracks, boxes.take(seen, axis=1))
                ids[seen] = self._ids[tracks]
                sure[seen] = False
        self._keep((self._unseen == 0) | (self._ids > 0))
        self._begin(boxes.compress(sure, axis=1))
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
        seen = (self._ids > 0) & (self._unseen == 0)
        edges, speeds = self._motion.compress(seen, axis=2)
        return self._ids[seen].tolist(), (edges + speeds * (later_s * _FPS)).T.astype(np.float32, order="C")

    def state(self) -> bytes:
        """All that it remembers."""
        # There a row is a track's.
        counts = np.stack([self._sightings, self._unseen], axis=1)
        arrays = self._ids, counts, self._missed_s, self._motion.transpose(2, 0, 1), self._spread.T
        ids, seen, missed_s, motion, spread = (array.tobytes() for array in arrays)
        return msgspec.msgpack.encode(
            _State(self._next_id, self._pts_s, ids, seen, missed_s, motion, spread, self._steps_s)
        )

    def restore(self, state: bytes) -> None:
        """Go on from another one's `state()`; the answers are the same, bit for bit."""
        saved = _decoder.decode(state)
        self._next_id = saved.next_id
        self._pts_s = saved.pts_s
        self._know(saved.steps_s)
        self._ids = np.frombuffer(saved.ids, np.int64).copy()
        self._sightings, self._unseen = np.frombuffer(saved.counts, np.int64).reshape(-1, 2).T.copy()
        self._missed_s = np.frombuffer(saved.missed_s).copy()
        self._motion = np.frombuffer(saved.motion).reshape(-1, 2, 4).transpose(1, 2, 0).copy()
        self._spread = np.frombuffer(saved.spread).reshape(-1, 3).T.copy()

    def _know(self, steps_s: tuple[float, ...]) -> None:
        """How rare frames are, by their last steps."""
        self._steps_s = steps_s
        usual_s = sorted(steps_s)[(len(steps_s) - 1) // 2] if steps_s else 0.0
        self.patience_s = max(PATIENCE_S, _PATIENT_STEPS * usual_s)

    def _predict(self, step_s: float) -> None:
        """Move every track on, as if none were seen; those not seen for too long are forgotten."""
        self._sightings *= self._unseen == 0
        self._unseen += 1
        self._missed_s += step_s
        self._keep(self._missed_s <= self.patience_s)
        step = step_s * _FPS
        edges, speeds = self._motion
        edges += step * speeds
        # Discrete white noise acceleration, but for a nominal step noise of its own for edge and speed.
        nominal = abs(step - 1.0) <= _NOMINAL
        noise = (1.0, 0.0, 1.0) if nominal else (step**4 / 4, step**3 / 2, step**2)
        edge, both, speed = self._spread
        gone = step * speed
        edge += step * (2.0 * both + gone) + _PROCESS * noise[0]
        both += gone + _PROCESS * noise[1]
        speed += _PROCESS * noise[2]

    def _see(self, tracks: npt.NDArray[np.intp], boxes: _F64) -> None:
        """Tracks were seen at boxes [4, N]; with its second sighting in a row a track gets its id."""
        spread = self._spread.take(tracks, axis=1)
        # Of an edge and of its speed.
        gain = spread[:2] / (spread[0] + _MEASUREMENT)
        motion = self._motion.take(tracks, axis=2)
        self._motion[:, :, tracks] = motion + gain[:, None] * (boxes - motion[0])
        spread[2] -= gain[1] * spread[1]
        spread[:2] *= 1.0 - gain[0]
        self._spread[:, tracks] = spread
        self._sightings[tracks] += 1
        self._unseen[tracks] = 0
        self._missed_s[tracks] = 0.0
        for track in tracks[self._ids[tracks] < 0].tolist():
            if self._sightings[track] >= _SIGHTINGS:
                self._ids[track] = self._next_id
                self._next_id += 1

    def _keep(self, tracks: npt.NDArray[np.bool_]) -> None:
        if tracks.all():
            return
        self._ids, self._sightings, self._unseen = self._ids[tracks], self._sightings[tracks], self._unseen[tracks]
        self._missed_s = self._missed_s[tracks]
        self._motion, self._spread = self._motion.compress(tracks, axis=2), self._spread.compress(tracks, axis=1)

    def _begin(self, boxes: _F64) -> None:
        """New tracks, without an id, at boxes [4, N]."""
        n = boxes.shape[1]
        if not n:
            return
        self._ids = np.concatenate([self._ids, np.full(n, -1, np.int64)])
        self._sightings = np.concatenate([self._sightings, np.ones(n, np.int64)])
        self._unseen = np.concatenate([self._unseen, np.zeros(n, np.int64)])
        self._missed_s = np.concatenate([self._missed_s, np.zeros(n)])
        self._motion = np.concatenate([self._motion, np.stack([boxes, np.zeros_like(boxes)])], axis=2)
        self._spread = np.concatenate([self._spread, np.tile(_SPREAD, n)], axis=1)


def overlap(first: _F64, second: _F64) -> _F64:
    """Buffered IoU, [N, M], of boxes [4, N] and [4, M], a column each: each grown by 0.3 of its size on every side."""
    shared, union = intersection_and_union(_grown(first), _grown(second))
    # Only a box without area, which the filter may expect after a long gap, has a union of nothing.
    result: _F64 = shared / np.maximum(union, _LEAST_AREA)
    return result


def _grown(boxes: _F64) -> _F64:
    low, high = boxes[:2], boxes[2:]
    size = np.maximum(high - low, 0.0) * _BUFFER
    return np.concatenate([low - size, high + size])
