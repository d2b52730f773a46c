"""Changes of state as events. The API process raises them itself, so they have numbers of their own."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from msgspec import UNSET

from server.domain.event import Event, EventType
from server.events.item import OwnerKind

_TYPES = {OwnerKind.JOB: EventType.JOB_STATE, OwnerKind.STREAM: EventType.STREAM_STATE}


class States:
    """Makes events of states. Numbers are times, so that they rise over restarts with nothing remembered."""

    def __init__(self) -> None:
        self._last = 0

    def event(self, kind: OwnerKind, owner: str, state: str, *, code: str = "", message: str = "") -> bytes:
        """The event that an owner has come to a state, as JSON."""
        now = datetime.now(UTC)
        self._last = max(self._last + 1, int(now.timestamp() * 1000))
        event = Event(
            id=f"{owner}-s{self._last}",
            seq=self._last,
            type=_TYPES[kind],
            job=owner if kind is OwnerKind.JOB else UNSET,
            stream=owner if kind is OwnerKind.STREAM else UNSET,
            at=rfc3339(now),
            state=state,
            code=code or UNSET,
            message=message or UNSET,
        )
        return msgspec.json.encode(event)


def rfc3339(moment: datetime) -> str:
    """A moment in UTC, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
