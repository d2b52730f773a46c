"""Between API process and workers: jobs, and pictures one by one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from server.wire.messages.message import Message


class StartJob(Message, frozen=True, tag=True):
    """Analyse a file.

    Attributes:
        source: path of the video.
        analysis: JSON of an `Analysis`.
        bundle: folder of the pinned model.
        gate: folder of the pinned background model, where the analysis has a gate.
        engine: address of the engine that serves both.
        checkpoint: what the last `JobCheckpoint` said; empty: from the beginning.
        attempt: counts how often the job was started; its answers carry it, so that those of an attempt that was
            given up are known.
        checkpoint_s: seconds between checkpoints.
    """

    job: str
    attempt: int
    source: str
    analysis: bytes
    bundle: str
    engine: str
    gate: str = ""
    checkpoint: bytes = b""
    checkpoint_s: float = 5.0


class CancelJob(Message, frozen=True, tag=True):
    """Stop an attempt at a job; `JobEnded` follows."""

    job: str
    attempt: int


class RowsTaken(Message, frozen=True, tag=True):
    """The API process has this many of the job's `JobRows` or the stream's `StreamRows` in hand: the worker may send as
    many more. `job` is the id of either.
    """

    job: str
    count: int = 1


class Predict(Message, frozen=True, tag=True):
    """One encoded picture (payload) → one result row. Answered by `Predicted`."""

    request: int
    bundle: str
    engine: str
    confidence: float | None = None
    labels: Sequence[str] | None = None


class WorkerReady(Message, frozen=True, tag=True):
    """The worker listens."""

    pid: int


class JobProgress(msgspec.Struct, frozen=True):
    """How far a job is. `frames` counts by outcome, in the order of `OUTCOMES`; `progress` is None where unknown."""

    frames: tuple[int, ...]
    pts_s: float
    progress: float | None
    width: int
    height: int


class JobRows(Message, frozen=True, tag=True):
    """Finished rows: payload 0 is NDJSON of rows, payload 1 of events."""

    job: str
    attempt: int
    progress: JobProgress


class JobCheckpoint(Message, frozen=True, tag=True):
    """Payload 0: all it takes to go on after the rows sent so far."""

    job: str
    attempt: int
    next_frame: int


class JobEnded(Message, frozen=True, tag=True):
    """The last word on a job.

    Attributes:
        state: `done`, `failed` or `cancelled`.
        code, message: why it failed.
        summary: JSON, label → `LabelSummary`.
    """

    job: str
    attempt: int
    state: str
    progress: JobProgress
    summary: bytes
    warnings: tuple[str, ...] = ()
    code: str = ""
    message: str = ""


class Predicted(Message, frozen=True, tag=True):
    """Payload 0: the row as JSON, unless `code` says why there is none."""

    request: int
    code: str = ""
    message: str = ""
