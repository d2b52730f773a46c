"""The latest results of streams, for who asks instead of following: as many as the bus keeps."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

import msgspec

from server.core.errors import FieldProblem, FieldsInvalid
from server.events.bus import Bus
from server.events.item import Item, Kind

CURSOR_PATTERN = r"[0-9a-z]{1,16}-[0-9]{1,18}"
"""What a cursor looks like; clients send it back as it came and read nothing in it."""


class _Captured(msgspec.Struct):
    captured_at: datetime | None = None


_captured = msgspec.json.Decoder(_Captured)


def latest_results(
    bus: Bus, stream: str, *, since: datetime | None, until: datetime | None, limit: int, cursor: str | None
) -> tuple[list[bytes], str | None]:
    """A page of rows as JSON, newest first, and the cursor of the next page (None: this is the last).

    Args:
        stream: that is there.
        since: of frames captured then or later.
        until: of frames captured before.

    Raises:
        FieldsInvalid: the cursor is not one that this function gave since the server was started.
    """
    before = None if cursor is None else _place(bus, cursor)
    wanted = (
        item
        for item in bus.kept(stream)
        if item.kind is Kind.RESULT and (before is None or item.seq < before) and _between(item, since, until)
    )
    found = list(islice(wanted, limit + 1))
    return [item.data for item in found[:limit]], found[limit - 1].id if len(found) > limit else None


def _between(item: Item, since: datetime | None, until: datetime | None) -> bool:
    if since is None and until is None:
        return True
    at = _captured.decode(item.data).captured_at
    return at is not None and (since is None or at >= since) and (until is None or at < until)


def _place(bus: Bus, cursor: str) -> int:
    epoch, _, number = cursor.partition("-")
    if epoch != bus.epoch or not number.isdigit():
        raise FieldsInvalid(
            FieldProblem("cursor", "it is not a cursor of this list, or of before a restart of the server."),
            hint="Send `next_cursor` of the last answer as it came, or begin again without one.",
        )
    return int(number)
