"""From ids per frame to what happened to them: a track starts when its id first appears, and ends when it has not been
seen for so long that the tracker has forgotten it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from server.analytics.tracker import PATIENCE_S
from server.domain.event import EventType

# The tracker adds up its times, we subtract ours: a track must not end here that may still go on there.
_ROUNDING_S = 0.01


@dataclass(frozen=True, slots=True)
class TrackChange:
    """A track started or ended.

    Attributes:
        label: of the track's first sighting.
        confidence: of the first sighting (`track_started`), the highest of all (`track_ended`).
        pts_s: media time of the first or of the last sighting, in seconds.
        value: seconds from the first to the last sighting; None for `track_started`.
    """

    type: EventType
    track_id: int
    label: str
    confidence: float
    pts_s: float
    value: float | None = None


class _Seen(msgspec.Struct):
    label: str
    confidence: float
    first_s: float
    last_s: float


_decoder = msgspec.msgpack.Decoder(dict[int, _Seen])


class Tracks:
    """Who is there."""

    def __init__(self) -> None:
        self._tracks: dict[int, _Seen] = {}

    def update(
        self,
        ids: Sequence[int],
        labels: Sequence[str],
        confidences: Sequence[float],
        pts_s: float,
        patience_s: float = PATIENCE_S,
    ) -> list[TrackChange]:
        """What one frame changes: first the tracks that ended, then those that started, each by id.

        Args:
            ids: track id of each object of the frame, -1 for none.
            labels, confidences: of the same objects.
            pts_s: media time of the frame in seconds.
            patience_s: seconds of media time after which a track that was not seen has ended; at least the tracker's.
        """
        started: list[TrackChange] = []
        for track_id, label, confidence in zip(ids, labels, confidences, strict=True):
            if track_id < 0:
                continue
            seen = self._tracks.get(track_id)
            if seen is None:
                self._tracks[track_id] = _Seen(label, confidence, pts_s, pts_s)
                started.append(TrackChange(EventType.TRACK_STARTED, track_id, label, confidence, pts_s))
            else:
                seen.last_s = pts_s
                seen.confidence = max(seen.confidence, confidence)
        limit = pts_s - patience_s - _ROUNDING_S
        gone = [track_id for track_id, seen in self._tracks.items() if seen.last_s < limit]
        return self._ended(gone) + sorted(started, key=lambda change: change.track_id)

    def end(self) -> list[TrackChange]:
        """The video is over: every track that is left ends, by id."""
        return self._ended(list(self._tracks))

    def state(self) -> bytes:
        """All that it remembers."""
        return msgspec.msgpack.encode(self._tracks)

    def restore(self, state: bytes) -> None:
        """Go on from another one's `state()`."""
        self._tracks = _decoder.decode(state)

    def _ended(self, gone: list[int]) -> list[TrackChange]:
        changes = []
        for track_id in sorted(gone):
            seen = self._tracks.pop(track_id)
            lasted_s = round(seen.last_s - seen.first_s, 6)
            changes.append(
                TrackChange(EventType.TRACK_ENDED, track_id, seen.label, seen.confidence, seen.last_s, lasted_s)
            )
        return changes
