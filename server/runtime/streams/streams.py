"""Streams as the API and the settings file ask for them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Collection, Mapping, Sequence

from server.core.errors import (
    Stopping,
    StreamDeclared,
    StreamExists,
    StreamsFull,
)
from server.core.metrics import StreamRow
from server.core.missing import no_stream
from server.domain.stream import (
    DECLARED_PREFIX,
    KeptStream,
    ManagedBy,
    NewStream,
    ProbeResult,
    ProbeSource,
    Stream,
    StreamChange,
    StreamState,
)
from server.runtime.models.analyses import check_analysis
from server.runtime.models.models import Models
from server.runtime.streams.case import StreamCase
from server.runtime.streams.changes import changed, declared, made
from server.runtime.streams.dispatcher import StreamDispatcher
from server.runtime.streams.news import StreamNews, present_state
from server.runtime.streams.pages import page
from server.runtime.streams.probes import Probes
from server.runtime.streams.room import StreamRoom
from server.runtime.streams.rows import StreamRows
from server.runtime.streams.sources import SourcePolicy
from server.storage.streams import StreamStore

_log = logging.getLogger(__name__)


class Streams:
    """Makes, shows, changes and deletes streams. One change at a time.

    Args:
        most: how many there may be.
    """

    def __init__(
        self,
        store: StreamStore,
        rows: StreamRows,
        models: Models,
        dispatcher: StreamDispatcher,
        room: StreamRoom,
        policy: SourcePolicy,
        probes: Probes,
        news: StreamNews,
        *,
        most: int,
    ) -> None:
        self._store = store
        self._rows = rows
        self._models = models
        self._dispatcher = dispatcher
        self._room = room
        self._policy = policy
        self._probes = probes
        self._news = news
        self._most = most
        self._cases: dict[str, StreamCase] = {}
        self._changing = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    async def restart(self, declarations: Mapping[str, NewStream]) -> None:
        """Start what an earlier run of the server kept, and what the settings file declares.

        Raises:
            SourceUrlInvalid: a declaration has a URL that cannot be read.
        """
        for kept in await asyncio.to_thread(self._store.load):
            if len(self._cases) < self._rows.most:
                self._begin(kept)
            else:
                _log.error("stream %s is left out: there are %d already", kept.id, len(self._cases))
        await self.declare(declarations)
        self._dispatcher.watch()

    async def declare(self, declarations: Mapping[str, NewStream]) -> None:
        """Have those streams that the settings file declares, by name, and no other ones of it.

        Raises:
            SourceUrlInvalid: one has a URL that cannot be read; nothing has changed.
            StreamsFull: they are too many; nothing has changed.
        """
        wanted = {stream.id: stream for stream in (declared(name, new) for name, new in declarations.items())}
        async with self._changing:
            others = [case for case in self._cases.values() if case.kept.managed_by is ManagedBy.API]
            if len(others) + len(wanted) > self._most:
                raise self._full()
            for case in list(self._cases.values()):
                if case.kept.managed_by is ManagedBy.CONFIG and case.id not in wanted:
                    _log.info("stream %s is no longer declared", case.id)
                    await self._end(case)
            for kept in wanted.values():
                known = self._cases.get(kept.id)
                if known is None:
                    self._begin(kept)
                else:
                    await self._apply(known, kept.model_copy(update={"created_at": known.kept.created_at}))
                if any(case.kept.name == kept.name for case in others):
                    _log.warning("two streams are called %r, %s among them", kept.name, kept.id)

    async def create(self, new: NewStream, *, force: bool) -> Stream:
        """Add a stream.

        Args:
            force: although the models cannot do as much.

        Raises:
            SourceNotAllowed: its source must not be opened.
            StreamExists: another one has its name.
            StreamsFull: there are as many as there may be.
            ModelNotFound, TaskNotForVideo, FieldsInvalid: its analysis cannot be done.
            CapacityExceeded: the models cannot do as much.
            StorageFull: no space is left.
        """
        async with self._changing:
            self._check_open()
            if len(self._cases) >= self._most:
                raise self._full()
            names = {case.kept.name for case in self._cases.values()}
            kept = made(secrets.token_hex(8), new, names)
            await self._check(kept, None, force=force)
            await asyncio.to_thread(self._store.create, kept)
            return self._view(self._begin(kept))

    async def get(self, stream_id: str) -> Stream:
        """
        Raises:
            StreamNotFound: no stream has this id.
        """
        return self._view(self.find(stream_id))

    async def list(
        self, *, state: StreamState | None, name: str | None, limit: int, cursor: str | None
    ) -> tuple[Sequence[Stream], str | None]:
        """A page of streams by name, and the cursor of the next page.

        Raises:
            FieldsInvalid: the cursor is not one that this method gave.
        """
        cases, more = page(self._cases.values(), state=state, name=name, limit=limit, cursor=cursor)
        return [self._view(case) for case in cases], more

    async def change(self, stream_id: str, change: StreamChange, *, force: bool) -> Stream:
        """Change a stream; it is opened anew only where its source is another one.

        Raises:
            StreamNotFound: no stream has this id.
            StreamDeclared: it stands in the settings file.
            StreamExists, SourceNotAllowed, CapacityExceeded and so on: as `create`.
        """
        async with self._changing:
            self._check_open()
            case = self._find_own(stream_id)
            kept = changed(case.kept, change)
            await self._check(kept, case, force=force)
            await asyncio.to_thread(self._store.update, kept)
            await self._apply(case, kept)
            return self._view(case)

    async def delete(self, stream_id: str) -> None:
        """Remove a stream and its metrics.

        Raises:
            StreamNotFound: no stream has this id.
            StreamDeclared: it stands in the settings file.
        """
        async with self._changing:
            case = self._find_own(stream_id)
            await asyncio.to_thread(self._store.delete, stream_id)
            await self._end(case)

    async def probe(self, probe: ProbeSource) -> ProbeResult:
        """Try a source.

        Raises:
            SourceNotAllowed: it must not be opened.
        """
        return await self._probes.probe(probe)

    def find(self, stream_id: str) -> StreamCase:
        """
        Raises:
            StreamNotFound: no stream has this id.
        """
        case = self._cases.get(stream_id)
        if case is None:
            raise no_stream(stream_id)
        return case

    def present(self, streams: Collection[str]) -> Sequence[bytes]:
        """What state these streams are in, as who begins to follow them is told; none named: all."""
        cases = self._cases
        return [present_state(cases[id]) for id in (streams or cases) if id in cases]

    async def pinned(self) -> set[str]:
        """The models (`name@version`) that streams need; those that are paused, if they name the version."""
        needed: set[str] = set()
        for case in self._cases.values():
            if not case.kept.paused:
                needed |= set(case.models)
            if "@" in (case.kept.analysis.model or ""):
                needed.add(case.kept.analysis.model or "")
        return needed

    async def close(self) -> None:
        """Follow none any more; they start again with the server."""
        self._closed = True
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, kept: KeptStream) -> StreamCase:
        known = StreamRow(kept.id, kept.name, StreamState.STARTING)
        case = StreamCase(kept, self._rows.take(known), known, self._news.state)
        self._cases[kept.id] = case
        self._news.open(kept.id)
        if kept.paused:
            case.become(StreamState.PAUSED)
        else:
            self._dispatcher.start(case)
        return case

    async def _apply(self, case: StreamCase, kept: KeptStream) -> None:
        """Have a stream be what it shall be from now on."""
        before, case.kept = case.kept, kept
        case.known.name = kept.name
        if kept.paused:
            await self._dispatcher.stop(case)
            case.become(StreamState.PAUSED)
        elif before.paused or _source(before) != _source(kept) or case.waits_to_be_changed:
            await self._dispatcher.stop(case)
            self._dispatcher.start(case)
        elif before.analysis != kept.analysis:
            self._dispatcher.change(case)

    async def _end(self, case: StreamCase) -> None:
        """Forget a stream; its row of the metrics page is free once no worker writes there."""
        del self._cases[case.id]
        self._rows.forget(case.row)
        self._news.deleted(case.id)
        await self._dispatcher.stop(case)
        task = asyncio.create_task(self._free(case))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _free(self, case: StreamCase) -> None:
        await case.quiet.wait()
        self._rows.free(case.row)

    async def _check(self, kept: KeptStream, case: StreamCase | None, *, force: bool) -> None:
        """See that a stream may be as it shall be; `case` is what it is now."""
        for other in self._cases.values():
            if other is not case and other.kept.name == kept.name:
                raise StreamExists(
                    f"Stream {other.id} is called {kept.name!r}.", hint="Take another name, or PATCH that stream."
                )
        if case is None or _source(case.kept) != _source(kept):
            await asyncio.to_thread(self._policy.source, kept)
        if case is None or case.kept.analysis != kept.analysis:
            await check_analysis(self._models, kept.analysis)
        if not kept.paused and not force:
            await self._room.check(kept, case, self._cases.values())

    def _view(self, case: StreamCase) -> Stream:
        return case.view(self._rows.frames(case.row))

    def _find_own(self, stream_id: str) -> StreamCase:
        """A stream that the API may change."""
        case = self.find(stream_id)
        if case.kept.managed_by is ManagedBy.CONFIG:
            name = stream_id.removeprefix(DECLARED_PREFIX)
            raise StreamDeclared(
                f"Stream {stream_id} stands in the settings file, and is changed there.",
                hint=f"Change `[streams.{name}]`, and send the server SIGHUP (kill -HUP).",
            )
        return case

    def _full(self) -> StreamsFull:
        return StreamsFull(
            f"There may be {self._most} streams, and no more.", hint="Delete one, or raise `[limits] streams`."
        )

    def _check_open(self) -> None:
        if self._closed:
            raise Stopping("The server is stopping.", hint="Ask again when it is back.")


def _source(kept: KeptStream) -> tuple[object, ...]:
    """What a source is opened with: where it differs, the source is opened anew."""
    return kept.url, kept.username, kept.password, kept.transport, kept.loop
