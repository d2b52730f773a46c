"""What becomes of jobs, said on the bus: states, results and events as they are kept, how far they are."""

from __future__ import annotations

import msgspec

from server.domain.event import EventType
from server.domain.job import Job, JobError
from server.events.bus import Bus
from server.events.item import Kind, OwnerKind
from server.events.order import in_order
from server.events.states import States, rfc3339
from server.storage.jobs import JobChanges


class JobNews:
    """Speaks for all jobs. Its methods return at once and never fail."""

    def __init__(self, bus: Bus, states: States) -> None:
        self._bus = bus
        self._states = states

    def open(self, job_id: str, place: int = 0) -> None:
        """A job can be followed from now on; so many results and events need not be said again."""
        self._bus.open(job_id, OwnerKind.JOB, place=place)

    def state(self, job: Job) -> None:
        """A job has come to a state, which may be its last."""
        self.open(job.id)
        error = job.error or JobError(code="", message="")
        event = self._states.event(OwnerKind.JOB, job.id, job.state, code=error.code, message=error.message)
        if job.state.ended:
            self._bus.end(job.id, event)
        else:
            self._bus.publish(job.id, Kind.STATE, event)

    def rows(self, job_id: str, rows: bytes, events: bytes, place: int) -> int:
        """Results and events, whole lines both, that were kept. After a crash some come again, and were said before.

        Args:
            place: how many there were before them.

        Returns:
            How many there are now.
        """
        said = self._bus.place(job_id)
        for kind, data in in_order(rows.splitlines(), events.splitlines()):
            place += 1
            if place > said:
                self._bus.publish(job_id, kind, data)
        return place

    def progress(self, job_id: str, numbers: JobChanges) -> None:
        """How far it is: what of a job's fields changes while it runs."""
        self._bus.publish(job_id, Kind.PROGRESS, msgspec.json.encode({"job": job_id, **numbers}))

    def deleted(self, job_id: str) -> None:
        self._bus.close(job_id)


def present_state(job: Job) -> bytes:
    """What state a job is in, for who begins to follow it. It is no event: nothing happened, so it has no id."""
    since = job.ended_at or job.started_at or job.created_at
    said = {"type": EventType.JOB_STATE, "job": job.id, "at": rfc3339(since), "state": job.state}
    if job.error is not None:
        said |= {"code": job.error.code, "message": job.error.message}
    return msgspec.json.encode(said)
