"""Jobs that ended long ago are deleted, as if somebody had asked for it, where the settings say so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from model_export.errors import VidserveError
from server.core.errors import JobNotFound
from server.runtime.jobs.ledger import Ledger

_log = logging.getLogger(__name__)

_EVERY_S = 3600.0
_AT_ONCE = 500


class Keeping:
    """
    Args:
        delete: deletes a job, its files and what is known of it.
        days: so long a job is kept after its end.
    """

    def __init__(self, ledger: Ledger, delete: Callable[[str], Awaitable[None]], *, days: float) -> None:
        self._ledger = ledger
        self._delete = delete
        self._days = days

    async def run(self) -> None:
        """Look at once, and then every hour."""
        while True:
            try:
                await self.look(datetime.now(UTC))
            except VidserveError as error:
                _log.error("old jobs are deleted an hour later: %s", error)
            except Exception:  # the edge of a task: jobs would stay for ever
                _log.exception("deleting old jobs")
            await asyncio.sleep(_EVERY_S)

    async def look(self, now: datetime) -> int:
        """Delete the jobs that have been kept for long enough, oldest first; how many that were."""
        deleted = 0
        while jobs := await self._ledger.ended_before(now - timedelta(days=self._days), _AT_ONCE):
            for job in jobs:
                try:
                    await self._delete(job)
                except JobNotFound:  # a client was quicker
                    continue
                deleted += 1
        if deleted:
            _log.info("deleted %d jobs that ended more than %g days ago", deleted, self._days)
        return deleted
