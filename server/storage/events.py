"""The history of events in the database: what happened, newest first. Every method blocks: call them in a thread."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from server.core.errors import EventNotFound, FieldProblem, FieldsInvalid
from server.domain.event import Event
from server.storage.database import Database
from server.storage.tables import EventRow, JobRow

CURSOR_PATTERN = r"e[0-9]{1,18}"
"""What a cursor of the list looks like; clients send it back as it came and read nothing in it."""

_SLICE = 5000
"""Events deleted in one transaction: nobody else can write meanwhile."""


@dataclass(frozen=True)
class Wanted:
    """Which events; None: any.

    Attributes:
        since, until: moments with a time zone; the first is included, the second not.
    """

    stream: str | None = None
    job: str | None = None
    type: str | None = None
    label: str | None = None
    track_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None


class EventStore:
    """The table of events.

    Args:
        keep_days, most: events that are older, or beyond so many, are removed by `trim`.
    """

    def __init__(self, database: Database, *, keep_days: float, most: int) -> None:
        self._database = database
        self._keep = timedelta(days=keep_days)
        self._most = most

    def add(self, events: Sequence[Event]) -> None:
        """Keep events; each says `at`. One that is known already, by its id, stays as it is.

        Raises:
            StorageFull: no space is left; none was kept.
            StorageBusy: another process wrote for too long.
        """
        if not events:
            return
        with self._database.write() as session:
            session.execute(insert(EventRow).on_conflict_do_nothing(), [_columns(event) for event in events])

    def get(self, event_id: str) -> bytes:
        """An event as JSON.

        Raises:
            EventNotFound: none has this id.
        """
        with self._database.read() as session:
            found = session.scalar(select(EventRow.data).where(EventRow.id == event_id))
        if found is None:
            raise EventNotFound(
                f"There is no event {event_id[:100]!r}.",
                hint="GET /v1/events lists those there are; old ones go, as `[events] keep_days` says.",
            )
        return found.encode()

    def page(self, wanted: Wanted, *, limit: int, cursor: str | None) -> tuple[list[bytes], str | None]:
        """A page of events as JSON, newest first, and the cursor of the next page (None: this is the last).

        Raises:
            FieldsInvalid: the cursor is not one that this method gave.
        """
        conditions = _conditions(wanted)
        if cursor is not None:
            conditions.append(EventRow.number < _number(cursor))
        with self._database.read() as session:
            newest = select(EventRow.number, EventRow.data).where(*conditions).order_by(EventRow.number.desc())
            rows = session.execute(newest.limit(limit + 1)).all()
        more = f"e{rows[limit - 1].number}" if len(rows) > limit else None
        return [row.data.encode() for row in rows[:limit]], more

    def forget(self, owners: Collection[str]) -> None:
        """Remove the events of jobs and streams that were deleted."""
        theirs = EventRow.job.in_(owners) | EventRow.stream.in_(owners)
        while self._delete(theirs):
            pass

    def forget_the_lost(self) -> None:
        """Remove the events of jobs that are gone: the server ended before it could."""
        while self._delete(EventRow.job.is_not(None) & EventRow.job.not_in(select(JobRow.id))):
            pass

    def trim(self) -> None:
        """Remove what is too old or too much."""
        while self._delete(EventRow.at < datetime.now(UTC) - self._keep):
            pass
        with self._database.read() as session:
            newest = session.scalar(select(func.max(EventRow.number))) or 0
        while self._delete(EventRow.number <= newest - self._most):
            pass

    def _delete(self, condition: ColumnElement[bool]) -> bool:
        """Delete some that meet a condition; True: there may be more."""
        some = select(EventRow.number).where(condition).limit(_SLICE)
        with self._database.write() as session:
            gone = session.execute(delete(EventRow).where(EventRow.number.in_(some)).returning(EventRow.number)).all()
        return len(gone) == _SLICE


def _columns(event: Event) -> dict[str, object]:
    return {
        "id": event.id,
        "type": event.type.value,
        "stream": _or_none(event.stream),
        "job": _or_none(event.job),
        "track_id": _or_none(event.track_id),
        "label": _or_none(event.label),
        "at": datetime.fromisoformat(str(event.at)),
        "data": msgspec.json.encode(event).decode(),
    }


def _or_none(value: str | int | UnsetType) -> str | int | None:
    return None if value is UNSET else value


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    equal = {
        EventRow.stream: wanted.stream,
        EventRow.job: wanted.job,
        EventRow.type: wanted.type,
        EventRow.label: wanted.label,
        EventRow.track_id: wanted.track_id,
    }
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal.items() if value is not None]
    if wanted.since is not None:
        conditions.append(EventRow.at >= wanted.since)
    if wanted.until is not None:
        conditions.append(EventRow.at < wanted.until)
    return conditions


def _number(cursor: str) -> int:
    if re.fullmatch(CURSOR_PATTERN, cursor):
        return int(cursor[1:])
    raise FieldsInvalid(
        FieldProblem("cursor", "it is not a cursor of this list."),
        hint="Send `next_cursor` of the last answer as it came.",
    )
