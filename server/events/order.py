"""The one order of a job's results and events: each result, then what was raised at its frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from server.events.item import Kind

_SIGN = b'"events":['


class _Raised(msgspec.Struct):
    events: Sequence[int] = ()


_raised = msgspec.json.Decoder(_Raised)


def in_order(rows: Iterable[bytes], events: Iterable[bytes]) -> Iterator[tuple[Kind, bytes]]:
    """Lines of results and of events, both in the order they were written, as one sequence.

    A row whose events are not all there ends it: they are still being written. Events that no row names come last.
    """
    waiting = iter(events)
    for row in rows:
        raised = _count(row)
        mine = [event for _, event in zip(range(raised), waiting, strict=False)]
        if len(mine) < raised:
            return
        yield Kind.RESULT, row
        for event in mine:
            yield Kind.EVENT, event
    for event in waiting:
        yield Kind.EVENT, event


def _count(row: bytes) -> int:
    return len(_raised.decode(row).events) if _SIGN in row else 0
