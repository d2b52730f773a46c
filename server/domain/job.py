"""A job: one video, analysed from its first frame to its last."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from server.domain.analysis import Analysis
from server.domain.outcome import Outcome


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


FOLLOWS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    # Back to the queue when the process that ran it died; it goes on from its checkpoint.
    JobState.RUNNING: frozenset({JobState.QUEUED, JobState.DONE, JobState.FAILED, JobState.CANCELLED}),
    JobState.DONE: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}
"""Which state may follow which."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LabelSummary(_Value):
    """What one label came to over the video."""

    frames: int = Field(description="frames in which it was seen")
    most_at_once: int = Field(description="the most of it in one frame")
    tracks: int | None = Field(default=None, description="different objects; absent where nothing was tracked")
    first_s: float = Field(description="media time it was first seen, in seconds")
    last_s: float = Field(description="media time it was last seen, in seconds")


class JobError(_Value):
    """Why a job failed."""

    code: str
    message: str


class Job(_Value):
    """A job as clients see it."""

    id: str
    state: JobState
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    source: str = Field(description="the name of the uploaded file, or the URL without credentials and query")
    analysis: Analysis
    model: str | None = Field(default=None, description="`name@version`, pinned when the job was accepted")
    width: int | None = None
    height: int | None = None
    duration_s: float | None = Field(default=None, description="media time analysed so far, in seconds")
    progress: float | None = Field(default=None, description="0…1; absent while the length is not known", ge=0, le=1)
    fps: float | None = Field(default=None, description="frames finished per second of running")
    frames: dict[Outcome, int] = Field(default={}, description="frames by outcome; they add up to those delivered")
    summary: dict[str, LabelSummary] = Field(default={}, description="by label")
    warnings: tuple[str, ...] = ()
    error: JobError | None = None
