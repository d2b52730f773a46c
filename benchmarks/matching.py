"""Which tracks of one run another run of the same video has as well.

A track counts when its first and its last sighting lie more than a second apart. It is found if the other run's tracks
of its label lie on at least half of its boxes, and one lies on a box if at the box's moment their IoU is at least 0.3.
Where the other track has no sighting at that very moment, but earlier and later ones, its box is taken from the line
between them. Several other tracks may share in finding one: an id that changes is not an object that is lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LONG_S = 1.0
LEAST_IOU = 0.3
LEAST_SHARE = 0.5

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Track:
    """Sightings of one object.

    Attributes:
        times: f64 [N], media time in seconds, rising.
        boxes: f64 [N, 4], x1 y1 x2 y2 in pixels of the source.
    """

    label: str
    times: F64
    boxes: F64

    @property
    def seconds(self) -> float:
        return float(self.times[-1] - self.times[0])

    def at(self, times: F64) -> F64:
        """Boxes f64 [M, 4] at other moments; NaN before the first sighting and after the last."""
        return np.stack([np.interp(times, self.times, side, np.nan, np.nan) for side in self.boxes.T], 1)


def tracks(rows: Iterable[Mapping[str, Any]]) -> list[Track]:
    """Every track of a job's result rows."""
    sightings: defaultdict[tuple[int, str], list[tuple[float, list[float]]]] = defaultdict(list)
    for row in rows:
        for thing in row.get("objects", ()):
            if "track_id" in thing:
                sightings[thing["track_id"], thing["label"]].append((row["pts_s"], thing["box"]))
    return [
        Track(label, np.array([time for time, _ in seen], np.float64), np.array([box for _, box in seen], np.float64))
        for (_, label), seen in sightings.items()
    ]


def long(found: Iterable[Track]) -> list[Track]:
    """Those that count."""
    return [track for track in found if track.seconds > LONG_S]


def lost(reference: Iterable[Track], other: Iterable[Track]) -> list[Track]:
    """The tracks of `reference` that count and that `other` does not have."""
    others = list(other)
    return [track for track in long(reference) if share(track, others) < LEAST_SHARE]


def share(track: Track, others: Iterable[Track]) -> float:
    """How much of a track's boxes others of its label lie on, 0…1."""
    covered = np.zeros(len(track.times), np.bool_)
    for candidate in others:
        if candidate.label == track.label:
            # NaN, where the other is not, compares as false.
            covered |= iou(track.boxes, candidate.at(track.times)) >= LEAST_IOU
    return float(covered.mean())


def iou(first: F64, second: F64) -> F64:
    """Of boxes [N, 4] and [N, 4], pair by pair: f64 [N]."""
    near, far = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    shared = np.maximum(far - near, 0.0).prod(1)
    union = (first[:, 2:] - first[:, :2]).prod(1) + (second[:, 2:] - second[:, :2]).prod(1) - shared
    result: F64 = np.divide(shared, union, out=np.zeros_like(shared), where=union != 0)
    return result
