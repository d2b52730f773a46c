"""What a job has said so far, from its files: for who wants all of it, and for who missed some."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

from server.events.filter import Filter
from server.events.item import JOB_EPOCH, Item, Kind, OwnerKind, tagged
from server.events.order import in_order
from server.storage.media import Media

_PAGE = 500
"""Results and events that are read in one go, in a thread."""


@dataclass(frozen=True)
class _Mark:
    """So far the files are read."""

    place: int = 0
    rows_bytes: int = 0
    events_bytes: int = 0

    def after(self, kind: Kind, line: bytes) -> _Mark:
        rows, events = (len(line) + 1, 0) if kind is Kind.RESULT else (0, len(line) + 1)
        return _Mark(self.place + 1, self.rows_bytes + rows, self.events_bytes + events)


class JobReplay:
    """Reads one job's files for one subscriber; one who is slow again and again does not have them read from the start
    each time.
    """

    def __init__(self, media: Media, job_id: str, filter: Filter) -> None:
        self._media = media
        self._job = job_id
        self._filter = filter
        self._mark = _Mark()
        # Where reading can begin anew: the events of a row are found only by who reads the row.
        self._row = _Mark()

    async def count(self) -> int:
        """How many results and events there are."""
        return await asyncio.to_thread(self._media.count, self._job)

    async def after(self, place: int, *, until: int | None = None) -> AsyncIterator[tuple[bytes, int]]:
        """Frames of what passes the filter after a place, in pieces, each with the place that it leads to.

        Args:
            until: the last place that is wanted; None: all that is there.
        """
        self._mark = self._row = self._row if place >= self._row.place else _Mark()
        said = await asyncio.to_thread(self._open)
        while until is None or self._mark.place < until:
            most = _PAGE if until is None else min(_PAGE, until - self._mark.place)
            before = self._mark.place
            frames = await asyncio.to_thread(self._page, said, most, place)
            if self._mark.place == before:
                return
            if self._mark.place > place:
                yield frames, self._mark.place

    def _open(self) -> Iterator[tuple[Kind, bytes]]:
        events = _lines(self._media.read_events(self._job, after=self._mark.events_bytes))
        # Opened first: every event that is found belongs to a row that is found.
        first = list(itertools.islice(events, 1))
        rows = _lines(self._media.read_rows(self._job, after=self._mark.rows_bytes))
        return in_order(rows, itertools.chain(first, events))

    def _page(self, said: Iterator[tuple[Kind, bytes]], most: int, after: int) -> bytes:
        """The frames of so many, but of none up to a place."""
        frames = []
        for kind, data in itertools.islice(said, most):
            if kind is Kind.RESULT:
                self._row = self._mark
            self._mark = self._mark.after(kind, data)
            place = self._mark.place
            if place <= after:
                continue
            told = tagged(OwnerKind.JOB, self._job, data) if kind is Kind.RESULT else data
            item = Item(self._job, kind, told, epoch=JOB_EPOCH, seq=place, place=place)
            if self._filter.passes(item):
                frames.append(item.sse_of_job)
        return b"".join(frames)


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield from chunk.splitlines()
