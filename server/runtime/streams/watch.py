"""What is looked at every second while streams run: their models, their good conduct, the balance of the workers."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from model_export.errors import VidserveError
from server.domain.analysis import GATE_MODEL
from server.runtime.models.models import Models
from server.runtime.processes.quarantine import QUARANTINE
from server.runtime.streams.case import StreamCase
from server.runtime.streams.stint import Change, Lost, Stint
from server.runtime.streams.suspicion import CLEARED_S
from server.runtime.streams.workers import Seat, StreamWorkers

_log = logging.getLogger(__name__)

_SETTLED_S = 30.0
"""A stream that has run for so long may be moved to balance the workers."""
_DISPLACED_S = 5.0
"""One that was begun anew because its worker died may be moved after this time: its tracks have only just begun."""
_MOVE_S = 5.0
_MOVED = Lost("moved", "")


class StreamWatch:
    """Tells stints what to do about what it sees."""

    def __init__(self, models: Models, workers: StreamWorkers) -> None:
        self._models = models
        self._workers = workers
        self._moved_at = 0.0

    async def look(self, stints: Sequence[Stint], *, waiting: bool) -> None:
        """Look once.

        Args:
            waiting: a stream waits for the quarantine worker.
        """
        await self._follow_models(stints)
        self._clear(stints, waiting or self._workers.wanted())
        self._balance(stints)

    async def _follow_models(self, stints: Sequence[Stint]) -> None:
        """Have streams that follow a name looked at by the version that serves under it now."""
        serving: dict[str | None, str] = {}
        for stint in stints:
            wanted = references(stint.case)
            for reference in wanted:
                if reference not in serving:
                    try:
                        serving[reference] = (await self._models.resolve(reference)).manifest.id
                    except VidserveError as error:
                        _log.debug("stream %s goes on as it is: %s", stint.case.id, error)
            if not all(one in serving for one in wanted):
                continue
            models = [serving[one] for one in wanted]
            if models != stint.held and stint.may_try(models):
                stint.put(Change(tuple(models)))

    def _clear(self, stints: Sequence[Stint], waiting: bool) -> None:
        """Who has run for long enough is suspected of nothing, and leaves the quarantine worker to who waits for it."""
        for stint in stints:
            if stint.ran_s >= CLEARED_S:
                stint.case.suspicion.clear()
                if stint.worker == QUARANTINE and waiting:
                    stint.put(_MOVED)

    def _balance(self, stints: Sequence[Stint]) -> None:
        """Move streams from the worker with the most to the one with the fewest; they miss a moment. Those that came
        there because their own worker died go back together once that is there again, others one by one. Suspects stay:
        how they lie is to tell who it was.
        """
        found = self._workers.overloaded([seat(stint) for stint in stints])
        if found is None:
            return
        worker, surplus = found
        there = sorted((one for one in stints if one.worker == worker), key=lambda stint: stint.ran_s)
        displaced = [
            one for one in there if one.displaced and not one.case.suspicion.strikes and one.ran_s > _DISPLACED_S
        ]
        for stint in displaced[:surplus]:
            stint.put(_MOVED)
        settled = [one for one in there if one.ran_s > _SETTLED_S]
        if settled and not displaced and time.monotonic() - self._moved_at >= _MOVE_S:
            self._moved_at = time.monotonic()
            settled[0].put(_MOVED)


def references(case: StreamCase) -> list[str | None]:
    """What a stream is looked at with, as it says it: its model, and that of its gate."""
    analysis = case.kept.analysis
    return [analysis.model, GATE_MODEL] if analysis.gate else [analysis.model]


def seat(stint: Stint) -> Seat:
    """Where a stream is."""
    return Seat(stint.worker, stint.case.suspicion.strikes)
