"""Something that happened, at one moment of a job or stream."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import UNSET, UnsetType


class EventType(StrEnum):
    TRACK_STARTED = "track_started"
    TRACK_ENDED = "track_ended"
    STREAM_STATE = "stream_state"
    JOB_STATE = "job_state"
    GAP = "gap"


EVENT_TYPES: tuple[EventType, ...] = tuple(EventType)


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What does not apply is left out.

    Attributes:
        id: `<owner>-<seq>`; the owner is the job or stream. Of a change of state `<owner>-s<seq>`.
        seq: from 1, in the order of raising. Of a change of state Unix milliseconds, made to rise.
        value: seconds the track lasted (`track_ended`).
        pts_s: media time of the moment, in seconds.
        captured_at: RFC 3339 (UTC) of the moment in a live source.
        at: RFC 3339 (UTC) of when the server learned of it; of a live source, of the moment itself.
        state: that the job or stream has come to (`job_state`, `stream_state`).
        code, message: why, where something went wrong.
    """

    id: str
    seq: int
    type: EventType
    job: str | UnsetType = UNSET
    stream: str | UnsetType = UNSET
    track_id: int | UnsetType = UNSET
    label: str | UnsetType = UNSET
    confidence: float | UnsetType = UNSET
    value: float | UnsetType = UNSET
    pts_s: float | UnsetType = UNSET
    captured_at: str | UnsetType = UNSET
    at: str | UnsetType = UNSET
    state: str | UnsetType = UNSET
    code: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
