"""The list of streams, by name, in pages."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable

from server.core.errors import FieldProblem, FieldsInvalid
from server.domain.stream import StreamState
from server.runtime.streams.case import StreamCase

CURSOR_PATTERN = r"[A-Za-z0-9_-]{1,1024}"
"""What a cursor looks like; clients send it back as it came and read nothing in it."""


def page(
    cases: Iterable[StreamCase],
    *,
    state: StreamState | None,
    name: str | None,
    limit: int,
    cursor: str | None,
) -> tuple[list[StreamCase], str | None]:
    """A page, and the cursor of the next page (None: this is the last).

    Raises:
        FieldsInvalid: the cursor is not one that this function gave.
    """
    after = ("", "") if cursor is None else _place(cursor)
    wanted = (case for case in cases if state in (None, case.known.state) and name in (None, case.kept.name))
    rest = [case for case in sorted(wanted, key=_order) if _order(case) > after]
    found = rest[:limit]
    return found, _cursor(found[-1]) if len(rest) > limit else None


def _order(case: StreamCase) -> tuple[str, str]:
    return case.kept.name.casefold(), case.id


def _cursor(case: StreamCase) -> str:
    return base64.urlsafe_b64encode(json.dumps(_order(case)).encode()).decode().rstrip("=")


def _place(cursor: str) -> tuple[str, str]:
    try:
        name, id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return str(name), str(id)
    except (ValueError, TypeError, binascii.Error):
        raise FieldsInvalid(
            FieldProblem("cursor", "it is not a cursor of this list."),
            hint="Send `next_cursor` of the last answer as it came.",
        ) from None
