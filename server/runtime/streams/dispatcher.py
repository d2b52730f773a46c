"""Keeps streams in workers: when one dies in another, and when their model changes without a gap."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import logging
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from model_export.bundle import Bundle
from model_export.errors import VidserveError
from model_export.manifest import check_for_video
from server.core.calls import Seen
from server.core.errors import ModelUnavailable
from server.domain.stream import StreamState
from server.runtime.models.models import Models
from server.runtime.models.place import place
from server.runtime.processes.blame import suspects
from server.runtime.processes.death import Death
from server.runtime.processes.hub import Hub
from server.runtime.processes.quarantine import QUARANTINE
from server.runtime.streams.case import StreamCase
from server.runtime.streams.news import StreamNews
from server.runtime.streams.orders import change_order, start_order
from server.runtime.streams.sources import SourcePolicy
from server.runtime.streams.stint import Change, Ended, Lost, Stint
from server.runtime.streams.suspicion import accuse
from server.runtime.streams.watch import StreamWatch, references, seat
from server.runtime.streams.workers import StreamWorkers
from server.wire.messages import RowsTaken, StopStream, StreamEnded, StreamRows, StreamStatus
from server.wire.sockets import Received

_log = logging.getLogger(__name__)

_ENDED = "source_ended"
_WORKER_LOST = "worker_lost"
_TICK_S = 1.0
_PAUSE_S, _LONGEST_S = 0.5, 30.0
_HOPELESS = frozenset({"source_invalid", "address_refused"})
"""What a worker says of a source that cannot mend itself."""
_HOPELESS_S = 10.0
"""It is tried so often all the same: somebody may bring the model, or the file."""
_LONG_HOPELESS_S = 60.0
_GRACE_S = 2.0
"""A model that was changed for another one may still be at its last frame."""
_LAST_WORD_S = 1.0
"""A worker that was told to let a stream go has as long for its last rows, before the stream begins elsewhere."""


class StreamDispatcher:
    """Each stream has a task that gives it to a worker, follows it there, and does so again.

    Args:
        policy: which sources may be opened.
        stale: called for each message that is dropped because its attempt has been given up.
    """

    def __init__(
        self,
        hub: Hub,
        models: Models,
        workers: StreamWorkers,
        policy: SourcePolicy,
        news: StreamNews,
        *,
        stale: Callable[[], None] = lambda: None,
    ) -> None:
        self._hub = hub
        self._models = models
        self._workers = workers
        self._policy = policy
        self._news = news
        self._stale = stale
        self._numbers = itertools.count(1)
        self._stints: dict[int, Stint] = {}
        """By attempt, also those that were called off and not yet heard of."""
        self._current: dict[StreamCase, Stint] = {}
        self._keepers: dict[StreamCase, asyncio.Task[None]] = {}
        self._alone: set[StreamCase] = set()
        """Streams that want the quarantine worker."""
        self._turn = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        for kind in (StreamStatus, StreamRows, StreamEnded):
            hub.on(kind, self._on_message)

    # ── from outside ─────────────────────────────────────────────────────────────────────────────────────────────

    def watch(self) -> None:
        """From now on see that streams follow their models, and that the workers have about as many each."""
        self._spawn(self._watch())

    def start(self, case: StreamCase) -> None:
        """Keep a stream running from now on."""
        case.forgive()
        case.become(StreamState.STARTING)
        # In a context of its own: what it logs has nothing to do with the request that began it.
        self._keepers[case] = asyncio.create_task(
            self._keep(case), name=f"stream {case.id}", context=contextvars.Context()
        )

    async def stop(self, case: StreamCase) -> None:
        """Keep it no more. Its worker is told, and `case.quiet` is set when that is done with it."""
        task = self._keepers.pop(case, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def change(self, case: StreamCase) -> None:
        """Look at a stream in another way, as `case.kept` says; its source stays open."""
        stint = self._current.get(case)
        if stint is not None:
            stint.put(Change())

    def stint(self, case: StreamCase) -> Stint | None:
        """Where a stream is; None: in no worker."""
        return self._current.get(case)

    def wake(self) -> None:
        """A worker has come up, or the quarantine worker has become free."""
        self._turn.set()
        self._turn = asyncio.Event()

    @property
    def in_quarantine(self) -> bool:
        """Whether a stream has the quarantine worker, or is about to leave it."""
        return any(stint.worker == QUARANTINE for stint in self._stints.values())

    @property
    def waits_for_quarantine(self) -> bool:
        """Whether a stream waits for it."""
        return bool(self._alone)

    def worker_lost(self, worker: str, death: Death, seen: Sequence[Seen]) -> None:
        """Its streams go on elsewhere at once; who is suspected of its death and nobody beside, alone.

        Args:
            seen: what its rows of the page of calls said when it died.
        """
        suspected = suspects(death, seen)
        theirs = [stint for stint in self._stints.values() if stint.worker == worker]
        running = [stint.case for stint in theirs if self._current.get(stint.case) is stint]
        guilty = [case.suspicion for case in running if case.id in suspected]
        accuse(guilty, others=len(suspected) - len(guilty))
        for stint in theirs:
            stint.put(Lost(_WORKER_LOST, f"The process that read it ended ({death.reason})."))
            self._over(stint)

    async def close(self) -> None:
        """Keep none any more; the workers end by themselves."""
        for task in (*self._keepers.values(), *self._tasks):
            task.cancel()
        await asyncio.gather(*self._keepers.values(), *self._tasks, return_exceptions=True)

    # ── one stream ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _keep(self, case: StreamCase) -> None:
        """A stream for as long as it is wanted."""
        failures = 0
        displaced = False
        while True:
            begun = time.monotonic()
            try:
                end = await self._attempt(case, displaced=displaced)
            except ModelUnavailable as error:
                end = Ended(error.code, str(error))
            except VidserveError as error:  # no such model; a source that must not be opened
                case.become(StreamState.FAILED, error.code, str(error))
                await asyncio.sleep(_HOPELESS_S)
                continue
            except Exception:  # the edge of a task: a stream that nobody keeps would be lost
                _log.exception("stream %s", case.id)
                end = Ended("internal_error", "The server made a mistake; its log says which.")
            displaced = isinstance(end, Lost) and end.code == _WORKER_LOST
            if not isinstance(end, Lost):  # else it is no fault of the stream or its source
                failures = 0 if time.monotonic() - begun > _LONGEST_S else failures + 1
            if isinstance(end, Ended) and end.code == _ENDED:
                case.become(StreamState.ENDED)
                return
            hopeless = isinstance(end, Ended) and end.code in _HOPELESS
            case.become(StreamState.FAILED if hopeless else StreamState.STARTING, end.code, end.message)
            pause_s = _LONG_HOPELESS_S if hopeless else _pause_s(case, end, failures)
            _log.debug("stream %s begins again in %.1f s (%s)", case.id, pause_s, end.code)
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))

    async def _attempt(self, case: StreamCase, *, displaced: bool) -> Lost | Ended:
        """The stream in one worker, from finding that to its end there.

        Args:
            displaced: the worker that it had died.

        Raises:
            ModelNotFound, ModelUnavailable: there is nothing to look at it with.
            SourceNotAllowed: it must not be opened.
        """
        source = await asyncio.to_thread(self._policy.source, case.kept)
        bundles = await self._acquire(case)
        held = [bundle.manifest.id for bundle in bundles]
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(case.quiet.wait(), _LAST_WORD_S)
            stint = Stint(case, next(self._numbers), await self._worker(case), held, displaced)
        except BaseException:
            self._release(held)
            raise
        self._stints[stint.number] = self._current[case] = stint
        case.quiet.clear()
        case.looked_at_by(tuple(bundle.manifest for bundle in bundles))
        case.become(StreamState.STARTING)
        engine = place(case.id, held[0], [self._models.engine_address])
        try:
            if not await self._hub.send(stint.worker, start_order(stint, source, bundles, engine)):
                self._over(stint)
                return Lost(_WORKER_LOST, "Its worker is not there.")
            return await self._follow(stint)
        finally:
            if self._current.get(case) is stint:
                del self._current[case]
            order = StopStream(case.id, stint.number)
            if stint.number in self._stints and not await self._hub.send(stint.worker, order):
                self._over(stint)

    async def _follow(self, stint: Stint) -> Lost | Ended:
        while True:
            item = await stint.next()
            if not isinstance(item, Change):
                return item
            if item.models and (list(item.models) == stint.held or not stint.may_try(item.models)):
                continue  # settled while this waited
            try:
                await self._exchange(stint)
            except VidserveError as error:
                stint.refused(item.models)
                stint.case.unchanged(error.code, f"It is looked at as before: {error}")

    async def _exchange(self, stint: Stint) -> None:
        """Have the stream looked at as it is wanted now; models it needs no more are let go a little later."""
        case, before = stint.case, list(stint.held)
        bundles = await self._acquire(case)
        held = [bundle.manifest.id for bundle in bundles]
        if stint.number not in self._stints:  # its worker died meanwhile
            self._release(held)
            return
        stint.held[:] = held
        asyncio.get_running_loop().call_later(_GRACE_S, self._release, before)
        case.looked_at_by(tuple(bundle.manifest for bundle in bundles))
        await self._hub.send(stint.worker, change_order(stint, bundles))

    async def _acquire(self, case: StreamCase) -> list[Bundle]:
        """The stream's model and that of its gate, loaded, for `_release` to let go."""
        bundles: list[Bundle] = []
        try:
            for reference in references(case):
                bundles.append(await self._models.acquire(reference))
                check_for_video(bundles[-1].manifest)
        except BaseException:
            self._release([bundle.manifest.id for bundle in bundles])
            raise
        return bundles

    def _release(self, models: Sequence[str]) -> None:
        for model in models:
            self._models.release(model)

    async def _worker(self, case: StreamCase) -> str:
        """The worker for a stream, as soon as there is one."""
        suspicion = case.suspicion
        if suspicion.alone:
            self._alone.add(case)
        try:
            self._settle()
            while True:
                turn = self._turn
                others = [seat(stint) for stint in self._stints.values() if self._counts(stint)]
                worker = self._workers.choose(others, alone=suspicion.alone, suspect=suspicion.strikes > 0)
                if worker is not None:
                    return worker
                await turn.wait()
        finally:
            self._alone.discard(case)

    def _counts(self, stint: Stint) -> bool:
        """Whether a stint takes a seat; in quarantine one does until its worker's last word."""
        return stint.worker == QUARANTINE or self._current.get(stint.case) is stint

    # ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _over(self, stint: Stint) -> None:
        """Its worker has nothing of the stream any more."""
        if self._stints.pop(stint.number, None) is None:
            return
        if self._current.get(stint.case) is stint:
            del self._current[stint.case]
        self._release(stint.held)
        if all(other.case is not stint.case for other in self._stints.values()):
            stint.case.quiet.set()
        if stint.worker == QUARANTINE:
            self._settle()
            self.wake()

    def _settle(self) -> None:
        """Have a quarantine worker as long as somebody needs it."""
        kept = [case for case, keeper in self._keepers.items() if not keeper.done()]
        self._workers.quarantine(self.in_quarantine or any(case.suspicion.alone for case in kept))

    async def _watch(self) -> None:
        watch = StreamWatch(self._models, self._workers)
        while True:
            await asyncio.sleep(_TICK_S)
            try:
                await watch.look(list(self._current.values()), waiting=bool(self._alone))
            except Exception:  # the edge of a task
                _log.exception("watching the streams")
            self._settle()
            self.wake()  # a job may have left the quarantine worker

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_message(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, StreamStatus | StreamRows | StreamEnded)
        stint = self._stints.get(message.attempt)
        current = stint is not None and self._current.get(stint.case) is stint
        # Called off, and not yet begun elsewhere: these are its last rows, and the ends of its tracks.
        last = stint is not None and stint.case not in self._current
        if isinstance(message, StreamRows):
            self._spawn(self._hub.send(received.peer, RowsTaken(message.stream)))
        if isinstance(message, StreamEnded) and stint is not None:
            stint.put(Ended(message.code, message.message))
            self._over(stint)
        elif stint is None or not (current or (last and isinstance(message, StreamRows))):
            self._stale()
        elif isinstance(message, StreamStatus):
            stint.case.heard(message)
        elif isinstance(message, StreamRows):
            stint.case.come_to(message.reached)
            rows, events = received.payload
            self._news.rows(message.stream, bytes(rows), bytes(events), message.lost)


def _pause_s(case: StreamCase, end: Lost | Ended, failures: int) -> float:
    """Seconds until a stream is tried again: none, where it was at no fault itself."""
    if isinstance(end, Lost):
        return case.suspicion.pause_s
    return min(_LONGEST_S, _PAUSE_S * 2.0 ** min(failures - 1, 10))
