"""What becomes of streams, said on the bus: states, results, events."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from server.domain.event import EventType
from server.events.bus import Bus
from server.events.item import Kind, OwnerKind
from server.events.states import States, rfc3339
from server.runtime.streams.case import StreamCase


class StreamNews:
    """Speaks for all streams. Its methods return at once and never fail.

    Args:
        count: called with the type of each event that is raised here.
    """

    def __init__(self, bus: Bus, states: States, count: Callable[[EventType], None]) -> None:
        self._bus = bus
        self._states = states
        self._count = count

    def open(self, stream: str) -> None:
        """The stream can be followed from now on."""
        self._bus.open(stream, OwnerKind.STREAM)

    def state(self, case: StreamCase, code: str, message: str) -> None:
        """A stream has come to a state."""
        self._count(EventType.STREAM_STATE)
        said = self._states.event(OwnerKind.STREAM, case.id, case.known.state, code=code, message=message)
        self._bus.publish(case.id, Kind.STATE, said)

    def rows(self, stream: str, rows: bytes, events: bytes, lost: int) -> None:
        """Results and events, whole lines both; so many results before them were lost."""
        self._bus.lost(stream, lost)
        for line in rows.splitlines():
            self._bus.publish(stream, Kind.RESULT, line)
        for line in events.splitlines():
            self._bus.publish(stream, Kind.EVENT, line)

    def deleted(self, stream: str) -> None:
        self._bus.close(stream)


def present_state(case: StreamCase) -> bytes:
    """What state a stream is in, for who begins to follow it. It is no event: nothing happened, so it has no id."""
    said = {"type": EventType.STREAM_STATE, "stream": case.id, "at": rfc3339(case.since), "state": case.known.state}
    code, message = case.trouble
    return msgspec.json.encode(said | ({"code": code, "message": message} if code else {}))
