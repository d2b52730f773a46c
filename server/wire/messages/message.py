"""What all messages are made of: who sends them, where arrays lie, and the two that every process knows."""

from __future__ import annotations

from enum import IntEnum

import msgspec

PROTOCOL = 2
INLINE_OUTPUT_BYTES = 256 * 1024


class Header(msgspec.Struct, frozen=True, array_like=True):
    """First frame of every message. What an older incarnation of a process sent is dropped and counted."""

    protocol: int
    sender: str
    incarnation: int


class FrameRef(msgspec.Struct, frozen=True, array_like=True):
    """Where an array lies. Only `wire.slots` resolves it.

    Attributes:
        kind: of memory; `shm` is all there is.
        owner: name of the segment.
        slot: index in the segment.
        generation: of the slot's content; a reader that finds another one must not believe what it read.
        shape, dtype: of the array, C order.
    """

    kind: str
    owner: str
    slot: int
    generation: int
    shape: tuple[int, ...]
    dtype: str


class TensorMeta(msgspec.Struct, frozen=True, array_like=True):
    """An output that follows, in C order."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Priority(IntEnum):
    """Lower goes first."""

    LIVE = 0
    JOB = 1


class Message(msgspec.Struct, frozen=True, tag=True):
    """Base of all that travels; the tag is the class's name."""


class Stop(Message, frozen=True, tag=True):
    """End in order: finish what runs, close, exit 0."""


class Heartbeat(Message, frozen=True, tag=True):
    """The process lives."""
