"""What a job has said so far, from its files: for who wants all of it, and for who missed some."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable, Iterator

from server.events.filter import Filter
from server.events.item import JOB_EPOCH, Item, Kind, OwnerKind, tagged
from server.events.order import in_order
from server.storage.media import Media

_PAGE = 500
"""Results and events that are read in one go, in a thread."""


class JobReplay:
    """Reads one job's files for one subscriber."""

    def __init__(self, media: Media, job_id: str, filter: Filter) -> None:
        self._media = media
        self._job = job_id
        self._filter = filter

    async def count(self) -> int:
        """How many results and events there are."""
        return await asyncio.to_thread(self._media.count, self._job)

    async def after(self, place: int, *, until: int | None = None) -> AsyncIterator[tuple[bytes, int]]:
        """Frames of what passes the filter after a place, in pieces, each with the place that it leads to.

        Args:
            until: the last place that is wanted; None: all that is there.
        """
        wanted = await asyncio.to_thread(self._open, place, until)
        while True:
            page = await asyncio.to_thread(self._page, wanted, place)
            if page is None:
                return
            yield page
            place = page[1]

    def _open(self, place: int, until: int | None) -> Iterator[tuple[Kind, bytes]]:
        events = _lines(self._media.read_events(self._job))
        # Opened first: every event that is found belongs to a row that is found.
        first = list(itertools.islice(events, 1))
        rows = _lines(self._media.read_rows(self._job))
        return itertools.islice(in_order(rows, itertools.chain(first, events)), place, until)

    def _page(self, said: Iterator[tuple[Kind, bytes]], place: int) -> tuple[bytes, int] | None:
        frames = []
        read = 0
        for kind, data in itertools.islice(said, _PAGE):
            read += 1
            told = tagged(OwnerKind.JOB, self._job, data) if kind is Kind.RESULT else data
            item = Item(self._job, kind, told, epoch=JOB_EPOCH, seq=place + read, place=place + read)
            if self._filter.passes(item):
                frames.append(item.sse_of_job)
        return (b"".join(frames), place + read) if read else None


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield from chunk.splitlines()
