"""Lasting ids for objects: ByteTrack (Zhang et al., 2022) of the `trackers` library, by media time.

The library and what it imports take 75 MB and more than a second, so they are imported where a tracker is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from model_export.predictions import Detections

if TYPE_CHECKING:
    from trackers.core.bytetrack.tracker import ByteTrackTracker

PATIENCE_S = 1.5
"""Seconds of media time for which a track that is not seen is remembered."""

_REFERENCE_FPS = 10.0
_SURE = 0.35
_SIGHTINGS = 2
_BUFFER = 0.3
_LEAST_OVERLAP = 0.1
_APART_PX = float(1 << 17)
_LEAST_STEP_S = 0.001

_F64 = npt.NDArray[np.float64]


class _Found:
    """What the library asks of `supervision.Detections`, without the price of making and slicing one."""

    __slots__ = ("confidence", "index", "tracker_id", "xyxy")

    def __init__(self, xyxy: _F64, confidence: npt.NDArray[np.float32], index: npt.NDArray[np.intp]) -> None:
        self.xyxy = xyxy
        self.confidence = confidence
        self.index = index
        self.tracker_id = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: npt.NDArray[np.intp]) -> _Found:
        return _Found(self.xyxy[index], self.confidence[index], self.index[index])


class _Track(msgspec.Struct, array_like=True):
    """A track as the library keeps it; `mean` and `covariance` are float64 bytes, [8, 1] and [8, 8]."""

    tracker_id: int
    age: int
    misses: int
    missed_s: float
    hits: int
    mean: bytes
    covariance: bytes


class _State(msgspec.Struct, array_like=True):
    next_id: int
    pts_s: float | None
    clock_s: float
    tracks: list[_Track]


class Tracker:
    """Gives the objects of successive frames ids that last.

    Boxes are matched by their overlap with where their tracks are expected, both grown by a part of their size
    (buffered IoU; Yang et al., 2023), so that what moves by its own length from frame to frame, as at 5 frames a
    second, is still followed. Scores of 0.35 and more begin a track, lower ones only continue one. An id appears with
    the second sighting in a row and is never changed afterwards. A track keeps its class: an object whose class changes
    becomes another track.
    """

    def __init__(self) -> None:
        from trackers.core.bytetrack.tracker import ByteTrackTracker
        from trackers.utils.iou import BaseIoU

        class Overlap(BaseIoU):
            def _compute(self, boxes_1: _F64, boxes_2: _F64) -> _F64:
                return overlap(boxes_1, boxes_2)

        self._inner: ByteTrackTracker = ByteTrackTracker(
            lost_track_buffer=round(PATIENCE_S * 30),
            frame_rate=_REFERENCE_FPS,
            track_activation_threshold=_SURE,
            high_conf_det_threshold=_SURE,
            minimum_consecutive_frames=_SIGHTINGS,
            minimum_iou_threshold=_LEAST_OVERLAP,
            iou=Overlap(),
        )
        self._pts_s: float | None = None
        self._clock_s = 0.0

    def update(self, detections: Detections, pts_s: float) -> npt.NDArray[np.int64]:
        """Follow one frame's objects.

        Args:
            detections: boxes in pixels of one and the same frame of reference throughout.
            pts_s: media time in seconds. A frame that is not later than the one before counts as a millisecond later.

        Returns:
            i64 [N], the track id of each detection, from 1; -1 where there is none (yet).
        """
        if self._pts_s is not None:
            self._clock_s += max(pts_s - self._pts_s, _LEAST_STEP_S)
        self._pts_s = pts_s
        ids = np.full(len(detections), -1, np.int64)
        if not len(detections) and not self._inner.tracks:
            return ids  # the library takes a while to find that out
        # Classes lie far apart, so that no box is matched with a track of another class.
        apart = detections.class_ids[:, None] * np.array([_APART_PX, 0.0, _APART_PX, 0.0])
        found: Any = _Found(detections.xyxy + apart, detections.scores, np.arange(len(detections)))
        tracked: Any = self._inner.update(found, timestamp=self._clock_s)
        if len(tracked):
            ids[tracked.index] = np.where(tracked.tracker_id < 0, -1, tracked.tracker_id + 1)
        return ids

    def expected(self, pts_s: float) -> tuple[list[int], npt.NDArray[np.float32]]:
        """Where tracks should be at a moment after the last update.

        Returns:
            Ids and boxes, f32 [T, 4], x1 y1 x2 y2, of the tracks that have an id and were seen in the last frame.
        """
        later_s = 0.0 if self._pts_s is None else max(pts_s - self._pts_s, _LEAST_STEP_S)
        steps = later_s * _REFERENCE_FPS
        seen = [track for track in self._inner.tracks if track.tracker_id >= 0 and track.time_since_update == 0]
        boxes = [
            track.state_estimator.kf.state[:4, 0] + track.state_estimator.kf.state[4:, 0] * steps for track in seen
        ]
        return [track.tracker_id + 1 for track in seen], np.array(boxes, np.float32).reshape(-1, 4)

    def state(self) -> bytes:
        """All that it remembers."""
        tracks = [
            _Track(
                track.tracker_id,
                track.age,
                track.time_since_update,
                track.time_since_update_seconds,
                track.number_of_successful_consecutive_updates,
                track.state_estimator.kf.state.tobytes(),
                track.state_estimator.kf.state_covariance.tobytes(),
            )
            for track in self._inner.tracks
        ]
        return msgspec.msgpack.encode(_State(self._inner._next_track_id, self._pts_s, self._clock_s, tracks))

    def restore(self, state: bytes) -> None:
        """Go on from another one's `state()`; the answers are the same, bit for bit."""
        from trackers.core.bytetrack.tracklet import ByteTrackTracklet

        saved = msgspec.msgpack.decode(state, type=_State)
        self._pts_s = saved.pts_s
        self._clock_s = saved.clock_s
        inner: Any = self._inner
        inner.reset()
        inner._next_track_id = saved.next_id
        inner._last_timestamp = None if saved.pts_s is None else saved.clock_s
        for one in saved.tracks:
            # The rest of a filter's matrices is constant, or made anew from the time since the frame before.
            track: Any = ByteTrackTracklet(np.zeros(4))
            track.tracker_id = one.tracker_id
            track.age = one.age
            track.time_since_update = one.misses
            track.time_since_update_seconds = one.missed_s
            track.number_of_successful_consecutive_updates = one.hits
            track.state_estimator.kf.state = np.frombuffer(one.mean).reshape(8, 1).copy()
            track.state_estimator.kf.state_covariance = np.frombuffer(one.covariance).reshape(8, 8).copy()
            inner.tracks.append(track)


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
