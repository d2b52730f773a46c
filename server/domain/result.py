"""A result row: what was seen in one frame. Encoded once, by the worker, as JSON; field order is the wire's."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

Box = tuple[float, float, float, float]


class Object(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One object. `box` is x1 y1 x2 y2 in pixels of the source frame."""

    track_id: int | UnsetType = UNSET
    label: str
    class_id: int
    confidence: float
    box: Box


class ClassScore(msgspec.Struct, frozen=True):
    """How sure a classifier is of one label."""

    label: str
    confidence: float


class Row(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a task does not say is left out.

    Attributes:
        frame: index of the frame in the source, from 0.
        pts_s: media time in seconds.
        captured_at: RFC 3339 (UTC) of a live frame; null for files.
        width, height: of the source frame, in pixels.
        model: `name@version`.
        events: `seq` of the events raised at this frame.
        gated: nothing moved, so the model was not asked: what was seen there last stands.
    """

    frame: int
    pts_s: float
    captured_at: str | None
    width: int
    height: int
    model: str
    objects: list[Object] | UnsetType = UNSET
    classes: list[ClassScore] | UnsetType = UNSET
    events: list[int] | UnsetType = UNSET
    gated: bool = False
