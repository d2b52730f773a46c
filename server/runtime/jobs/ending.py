"""The last change of a job: its results are on the disk before it says so, its checkpoint is removed after that."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

import msgspec

from model_export.errors import VidserveError
from server.core.errors import StorageError
from server.domain.job import JobError, JobState, LabelSummary
from server.runtime.jobs.attempt import Attempt
from server.runtime.jobs.ledger import Ledger
from server.storage.jobs import JobChanges
from server.storage.media import Media
from server.wire.messages import JobEnded

_log = logging.getLogger(__name__)

_STORAGE_S = 5.0


class Ending:
    """Ends jobs. While the disk takes nothing, it is tried again: an end must not get lost."""

    def __init__(self, ledger: Ledger, media: Media) -> None:
        self._ledger = ledger
        self._media = media

    async def finished(self, ended: JobEnded, attempt: Attempt) -> None:
        """As its worker says."""
        state = JobState(ended.state)
        error = JobError(code=ended.code, message=ended.message) if state is JobState.FAILED else None
        summary = msgspec.json.decode(ended.summary)
        changes: JobChanges = {
            **attempt.numbers(whole=state is JobState.DONE),
            "state": state,
            "summary": {label: LabelSummary.model_validate(values) for label, values in summary.items()},
            "warnings": ended.warnings,
            "error": error,
        }
        await self._end(ended.job, changes)

    async def failed(self, job_id: str, error: VidserveError, attempt: Attempt | None) -> None:
        """For a reason that is not its worker's."""
        numbers = attempt.numbers() if attempt else JobChanges()
        why = JobError(code=error.code, message=str(error))
        await self._end(job_id, {**numbers, "state": JobState.FAILED, "error": why})

    async def cancelled(self, job_id: str, attempt: Attempt | None = None) -> None:
        """Without its worker."""
        numbers = attempt.numbers() if attempt else JobChanges()
        await self._end(job_id, {**numbers, "state": JobState.CANCELLED})

    async def _end(self, job_id: str, changes: JobChanges) -> None:
        while True:
            try:
                await asyncio.to_thread(self._media.seal, job_id)
                await self._ledger.update(job_id, {**changes, "ended_at": datetime.now(UTC)})
                await asyncio.to_thread(self._media.forget_checkpoint, job_id)
                return
            except StorageError as error:
                _log.error("the end of job %s cannot be written: %s", job_id, error)
                await asyncio.sleep(_STORAGE_S)
