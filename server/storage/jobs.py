"""Jobs in the database. Every method is one short transaction and blocks: call them in a thread."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TypedDict, Unpack

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from server.core.errors import (
    FieldProblem,
    FieldsInvalid,
    JobNotFound,
    KeyConflict,
    QueueFull,
    TransitionRefused,
)
from server.domain.job import FOLLOWS, Job, JobError, JobState, LabelSummary
from server.domain.outcome import Outcome
from server.storage.database import Database
from server.storage.tables import JobRow

CURSOR_PATTERN = r"j[0-9]{1,18}"
"""What a cursor of the list looks like; clients send it back as it came and read nothing in it."""


class JobChanges(TypedDict, total=False):
    """What may change in a job after it was created."""

    state: JobState
    started_at: datetime | None
    ended_at: datetime | None
    source: str
    model: str | None
    width: int | None
    height: int | None
    duration_s: float | None
    progress: float | None
    fps: float | None
    frames: dict[Outcome, int]
    summary: dict[str, LabelSummary]
    warnings: tuple[str, ...]
    error: JobError | None


class JobStore:
    """The table of jobs.

    Args:
        queued: how many may wait when a new one comes; None: any number.
    """

    def __init__(self, database: Database, *, queued: int | None = None) -> None:
        self._database = database
        self._queued = queued

    def create(
        self, job: Job, *, key: str | None = None, fingerprint: str | None = None, url: str | None = None
    ) -> tuple[Job, bool]:
        """Keep a new job, or find the one that the key was used for. Two at the same moment give one job.

        Args:
            job: the new job.
            key: the client's Idempotency-Key, good for as long as the job is kept.
            fingerprint: stands for what was asked; the same key with another one is a conflict.
            url: to fetch the video from, as it was given; forgotten when the job ends.

        Returns:
            The job, and whether it was created now.

        Raises:
            KeyConflict: the key was used for something else.
            QueueFull: too many jobs wait.
        """
        with self._database.write() as session:
            if key is not None:
                known = session.scalar(select(JobRow).where(JobRow.idempotency_key == key))
                if known is not None:
                    if known.fingerprint != fingerprint:
                        raise KeyConflict(
                            f"The Idempotency-Key {key!r} was used for job {known.id}, with another video or analysis.",
                            hint="Send a new key for a new request.",
                        )
                    return _job(known), False
            self._check_room(session)
            session.add(JobRow(**_columns(job), idempotency_key=key, fingerprint=fingerprint, fetch_url=url))
        return job, True

    def check_room(self, key: str | None) -> None:
        """See whether `create` would have room, before the work of preparing for it.

        Raises:
            QueueFull: it would not, and no job has this key.
        """
        with self._database.read() as session:
            known = select(JobRow.id).where(JobRow.idempotency_key == key)
            if key is None or session.scalar(known) is None:
                self._check_room(session)

    def get(self, job_id: str) -> Job:
        """
        Raises:
            JobNotFound: no job has this id.
        """
        with self._database.read() as session:
            return _job(_row(session, job_id))

    def url(self, job_id: str) -> str | None:
        """Where the job's video is to be fetched from; None for an upload, and once the job has ended.

        Raises:
            JobNotFound: no job has this id.
        """
        with self._database.read() as session:
            return _row(session, job_id).fetch_url

    def page(
        self, *, state: JobState | None = None, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[Job], str | None]:
        """A page of jobs, newest first, and the cursor of the next page (None: this is the last).

        Raises:
            FieldsInvalid: the cursor is not one that this method gave.
        """
        wanted: list[ColumnElement[bool]] = []
        if state is not None:
            wanted.append(JobRow.state == state.value)
        if cursor is not None:
            wanted.append(JobRow.number < _number(cursor))
        with self._database.read() as session:
            rows = session.scalars(select(JobRow).where(*wanted).order_by(JobRow.number.desc()).limit(limit + 1)).all()
            page = rows[:limit]
            more = _cursor(page[-1].number) if len(rows) > limit else None
            return [_job(row) for row in page], more

    def update(self, job_id: str, **changes: Unpack[JobChanges]) -> tuple[Job, JobState]:
        """Change a job; the only place where its state changes.

        Returns:
            The job, and the state that it was in before.

        Raises:
            JobNotFound: no job has this id.
            TransitionRefused: the state cannot follow the present one.
        """
        with self._database.write() as session:
            row = _row(session, job_id)
            before = _job(row)
            state = changes.get("state", before.state)
            if state is not before.state and state not in FOLLOWS[before.state]:
                raise TransitionRefused(
                    f"Job {job_id} is {before.state} and cannot become {state}: {_allowed(before.state)}."
                )
            after = Job.model_validate({**dict(before), **changes})
            for name, value in _columns(after).items():
                setattr(row, name, value)
            if state.ended:
                row.fetch_url = None
        return after, before.state

    def delete(self, job_id: str) -> None:
        """Forget a job, and its Idempotency-Key with it.

        Raises:
            JobNotFound: no job has this id.
        """
        with self._database.write() as session:
            if session.execute(delete(JobRow).where(JobRow.id == job_id).returning(JobRow.id)).first() is None:
                raise _not_found(job_id)

    def unfinished(self) -> list[Job]:
        """Jobs that are queued or running, oldest first: the work that a restart finds."""
        waiting = [state.value for state in JobState if not state.ended]
        with self._database.read() as session:
            rows = session.scalars(select(JobRow).where(JobRow.state.in_(waiting)).order_by(JobRow.number))
            return [_job(row) for row in rows]

    def ended_before(self, moment: datetime, most: int) -> list[str]:
        """The ids of jobs that ended before then, those that ended first at the front; no more than `most`."""
        ended = [state.value for state in JobState if state.ended]
        wanted = select(JobRow.id).where(JobRow.state.in_(ended), JobRow.ended_at < moment)
        with self._database.read() as session:
            return list(session.scalars(wanted.order_by(JobRow.ended_at).limit(most)))

    def counts(self) -> dict[JobState, int]:
        """Jobs by state; every state is in it."""
        with self._database.read() as session:
            counted = session.execute(select(JobRow.state, func.count()).group_by(JobRow.state))
            found = {state: number for state, number in counted}
        return {state: found.get(state.value, 0) for state in JobState}

    def ids(self) -> set[str]:
        """The id of every job: what the folders on disk are compared with at start."""
        with self._database.read() as session:
            return set(session.scalars(select(JobRow.id)))

    def _check_room(self, session: Session) -> None:
        if self._queued is None:
            return
        waiting = select(func.count()).where(JobRow.state == JobState.QUEUED.value)
        if (session.scalar(waiting) or 0) >= self._queued:
            raise QueueFull(
                f"{self._queued} jobs wait already, and no more may.",
                hint="Send it again later, as `Retry-After` says, or raise `[jobs] queued` in the settings.",
            )


def _row(session: Session, job_id: str) -> JobRow:
    row = session.scalar(select(JobRow).where(JobRow.id == job_id))
    if row is None:
        raise _not_found(job_id)
    return row


def _not_found(job_id: str) -> JobNotFound:
    return JobNotFound(
        f"There is no job {job_id!r}.", hint="It may have been deleted; GET /v1/jobs lists those there are."
    )


def _allowed(state: JobState) -> str:
    following = sorted(FOLLOWS[state])
    return f"it can become {', '.join(following)}" if following else "nothing follows"


def _columns(job: Job) -> dict[str, object]:
    plain = job.model_dump(mode="json", include={"analysis", "frames", "summary", "warnings", "error"})
    moments = {"created_at": job.created_at, "started_at": job.started_at, "ended_at": job.ended_at}
    return {**dict(job), **plain, **moments, "state": job.state.value}


def _job(row: JobRow) -> Job:
    return Job.model_validate({name: getattr(row, name) for name in Job.model_fields})


def _cursor(number: int) -> str:
    return f"j{number}"


def _number(cursor: str) -> int:
    if re.fullmatch(CURSOR_PATTERN, cursor):
        return int(cursor[1:])
    raise FieldsInvalid(
        FieldProblem("cursor", "it is not a cursor of this list."),
        hint="Send `next_cursor` of the last answer as it came.",
    )
