"""One try at a job: what its worker says of it, in order, until its last word or the loss of the process."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from model_export.errors import VidserveError
from server.core.errors import StorageFull
from server.domain.job import Job
from server.domain.outcome import OUTCOMES
from server.runtime.jobs.news import JobNews
from server.runtime.jobs.space import when_there_is_space
from server.runtime.processes.blame import Strike
from server.storage.jobs import JobChanges
from server.storage.media import Media
from server.wire.messages import JobCheckpoint, JobEnded, JobProgress, JobRows, RowsTaken
from server.wire.sockets import Received

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lost:
    """The try is over without a last word: the process that ran the job, or the engine, is gone, or the job was moved.

    Attributes:
        strike: what the job itself is suspected of, if anything.
    """

    reason: str
    strike: Strike | None = None


class Overdue:
    """The job has run for as long as it may."""


class Saved(msgspec.Struct, frozen=True):
    """What is kept of a checkpoint: how far the job was for those who look, and what its worker needs to go on.

    Attributes:
        computing: how the models computed until then: other settings of the engine would go on with other bits.
    """

    progress: JobProgress | None
    checkpoint: bytes
    computing: tuple[str, ...] = ()

    @classmethod
    def of(cls, kept: bytes | None) -> Saved:
        """What `Media.resume` gave; of another version of the server, all of it is for the worker to judge."""
        if kept is None:
            return cls(None, b"")
        try:
            return _saved.decode(kept)
        except msgspec.MsgspecError:
            return cls(None, kept)


_saved = msgspec.msgpack.Decoder(Saved)


@dataclass
class Attempt:
    """A job in a worker.

    Attributes:
        number: from 1; messages of another one are not for this.
        covered: called with the first frame that a new checkpoint does not cover.
        news: is told what the worker sends, once it is kept.
        computing: how the models compute.
        progress: the newest that is known.
    """

    job: str
    number: int
    worker: str
    media: Media
    send: Callable[[bytes, RowsTaken], Awaitable[bool]]
    covered: Callable[[int], None]
    news: JobNews
    computing: tuple[str, ...] = ()
    progress: JobProgress | None = None
    lost: bool = False
    _began: float = field(default_factory=time.monotonic)
    _frames_before: int = 0
    _place: int = 0
    _inbox: asyncio.Queue[Received | Lost | Overdue] = field(default_factory=asyncio.Queue)

    def resume(self, saved: Saved, place: int) -> None:
        """Begin where a checkpoint was taken, after so many results and events."""
        self.progress = saved.progress
        self._place = place
        self.news.open(self.job, place)
        self._frames_before = sum(saved.progress.frames) if saved.progress else 0

    def put(self, received: Received) -> bool:
        """A message about the job; False, and dropped, if it is about another attempt."""
        message: Any = received.message
        if message.attempt != self.number:
            return False
        self._inbox.put_nowait(received)
        return True

    def lose(self, lost: Lost) -> None:
        """Its process is gone; what it has said before still counts."""
        self.lost = True
        self._inbox.put_nowait(lost)

    def expire(self) -> None:
        """It has run for as long as it may."""
        self._inbox.put_nowait(Overdue())

    @property
    def ran_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    async def follow(self) -> JobEnded | Lost | Overdue:
        """Keep what the worker sends, until the end; while the disk is full, wait. So does the worker then.

        Raises:
            StorageError: the results cannot be kept.
        """
        while True:
            item = await self._inbox.get()
            if isinstance(item, Lost | Overdue):
                return item
            match item.message:
                case JobRows(progress=progress):
                    rows, events = item.payload
                    append = functools.partial(asyncio.to_thread, self.media.append_rows, self.job, rows, events)
                    await when_there_is_space(append, job=self.job)
                    self._advance(progress)
                    self._place = self.news.rows(self.job, rows, events, self._place)
                    self.news.progress(self.job, self.numbers())
                    await self.send(item.peer, RowsTaken(self.job))
                case JobCheckpoint(next_frame=next_frame):
                    await self._save(next_frame, Saved(self.progress, item.payload[0], self.computing))
                case JobEnded() as ended:
                    self._advance(ended.progress)
                    return ended
                case other:
                    raise VidserveError(f"{type(other).__name__} is not about a job.")

    def numbers(self, *, whole: bool = False) -> JobChanges:
        """How far the job is, as its fields say it; `whole`: its video was read to the end."""
        progress = self.progress
        if progress is None:
            return {}
        share = 1.0 if whole else progress.progress
        return {
            "frames": {outcome: count for outcome, count in zip(OUTCOMES, progress.frames, strict=True) if count},
            "width": progress.width or None,
            "height": progress.height or None,
            "duration_s": round(progress.pts_s, 3),
            "progress": None if share is None else round(share, 4),
            "fps": self._fps(sum(progress.frames)),
        }

    def live(self, job: Job) -> Job:
        """A running job with the numbers of this moment."""
        return job.model_copy(update=self.numbers())

    async def _save(self, next_frame: int, saved: Saved) -> None:
        try:
            await asyncio.to_thread(self.media.commit_checkpoint, self.job, msgspec.msgpack.encode(saved))
        except StorageFull as error:
            # The one before it holds, and another will follow.
            _log.warning("a checkpoint of job %s was left out: %s", self.job, error)
        else:
            self.covered(next_frame)

    def _advance(self, progress: JobProgress) -> None:
        before = self.progress
        if before is not None and not progress.width:
            # No frame was analysed since the checkpoint: where the job was then still holds.
            progress = msgspec.structs.replace(before, frames=progress.frames)
        self.progress = progress

    def _fps(self, frames: int) -> float | None:
        """Frames finished per second of this attempt; those of earlier ones took time of their own."""
        seconds = self.ran_s
        return round((frames - self._frames_before) / seconds, 1) if seconds > 0 else None
