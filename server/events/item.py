"""What subscribers are given: one result, event, state or progress of an owner, framed once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import cached_property

import msgspec


class OwnerKind(StrEnum):
    """What the results and events of the server belong to."""

    STREAM = "stream"
    JOB = "job"


class Kind(StrEnum):
    """The sorts of news, which are also the names of the events that a client listens for."""

    RESULT = "result"
    EVENT = "event"
    STATE = "state"
    PROGRESS = "progress"


Owner = tuple[OwnerKind, str]
JOB_EPOCH = "0"
"""Of the ids of a job's own subscription. They count what it has said, which its files know after every restart."""


class _Labelled(msgspec.Struct):
    label: str = ""


class _Facts(msgspec.Struct):
    """What filters look at."""

    type: str = ""
    label: str = ""
    objects: Sequence[_Labelled] = ()
    classes: Sequence[_Labelled] = ()


_facts = msgspec.json.Decoder(_Facts)


class Item:
    """News on their way. All that is derived from the data is made once, when it is first wanted.

    Attributes:
        seq: of the bus, rising over all owners.
        id: `<epoch>-<seq>`; what a client names to go on after it.
        place: of a job's results and events, how many of them there are up to this one: the same after a restart.
        data: one JSON object without newlines.
        last: nothing follows of this owner.
    """

    def __init__(
        self, owner: str, kind: Kind, data: bytes, *, epoch: str, seq: int, place: int | None = None, last: bool = False
    ) -> None:
        self.owner = owner
        self.kind = kind
        self.data = data
        self.seq = seq
        self.id = f"{epoch}-{seq}"
        self.place = place
        self.last = last

    @cached_property
    def sse(self) -> bytes:
        """As a Server-Sent Event."""
        return sse(self.kind, self.data, self.id)

    @cached_property
    def sse_of_job(self) -> bytes:
        """As a Server-Sent Event of a subscription to this job alone."""
        return sse(self.kind, self.data, f"{JOB_EPOCH}-{self.place}" if self.place is not None else None)

    @cached_property
    def text(self) -> str:
        """As a WebSocket message."""
        return text(self.kind, self.data, self.id)

    @cached_property
    def type(self) -> str:
        """Of an event or a state, its type."""
        return self._facts.type

    @cached_property
    def labels(self) -> frozenset[str]:
        """The labels that it speaks of."""
        facts = self._facts
        found = {one.label for one in (*facts.objects, *facts.classes)}
        return frozenset(found | {facts.label} if facts.label else found)

    @cached_property
    def _facts(self) -> _Facts:
        try:
            return _facts.decode(self.data)
        except msgspec.MsgspecError:
            return _Facts()


class Notice:
    """What a subscriber is told of its subscription itself. It has no id, since it is nobody else's.

    Attributes:
        value: of a gap, how many items it stands for.
    """

    def __init__(self, name: str, data: bytes, *, value: int = 0) -> None:
        self.name = name
        self.data = data
        self.value = value

    @property
    def sse(self) -> bytes:
        return sse(self.name, self.data)

    @property
    def text(self) -> str:
        return text(self.name, self.data)


GAP = "gap"
CLOSED = "closed"


def gap(reason: str, owner: Owner | None = None, value: int = 0) -> Notice:
    """Something is missing here: items of an owner (None: of all), so many of them (0: nobody knows)."""
    return Notice(GAP, _about(GAP, reason, owner, value), value=value)


def closed(reason: str, owner: Owner | None = None) -> Notice:
    """Nothing more comes of an owner (None: of anybody)."""
    return Notice(CLOSED, _about(CLOSED, reason, owner))


def _about(name: str, reason: str, owner: Owner | None, value: int = 0) -> bytes:
    said: dict[str, str | int] = {"type": name, "reason": reason}
    if owner is not None:
        said[owner[0]] = owner[1]
    if value:
        said["value"] = value
    return msgspec.json.encode(said)


def tagged(kind: OwnerKind, owner: str, data: bytes) -> bytes:
    """A JSON object with whose it is as its first field."""
    rest = data[1:] if data[1:2] == b"}" else b"," + data[1:]
    return b'{"%s":%s%s' % (kind.encode(), msgspec.json.encode(owner), rest)


def sse(name: str, data: bytes, id: str | None = None) -> bytes:
    """A Server-Sent Event; without an id a client keeps the one before."""
    return b"%sevent: %s\ndata: %s\n\n" % (f"id: {id}\n".encode() if id else b"", name.encode(), data)


def text(name: str, data: bytes, id: str | None = None) -> str:
    """A WebSocket message."""
    head = f'{{"id":"{id}",' if id else "{"
    return f'{head}"event":"{name}","data":{data.decode()}}}'
