"""One try at a job: what its worker says of it, in order, until its last word or the loss of the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from model_export.errors import VidserveError
from server.storage.media import Media
from server.wire.messages import JobCheckpoint, JobEnded, JobProgress, JobRows, RowsTaken
from server.wire.sockets import Received


@dataclass(frozen=True)
class Lost:
    """The process that ran the job, or the engine, is gone. `reason` is a metric's label."""

    reason: str
    guilty: bool = field(default=True)
    """Whether the job itself may have done it: its own worker died."""


@dataclass
class Attempt:
    """A job in a worker.

    Attributes:
        number: from 1; messages of another one are not for this.
        progress: the newest that the worker said.
    """

    job: str
    number: int
    worker: str
    media: Media
    send: Callable[[bytes, RowsTaken], Awaitable[bool]]
    progress: JobProgress | None = None
    began: float = field(default_factory=time.monotonic)
    frames_before: int = 0
    lost: bool = False
    _inbox: asyncio.Queue[Received | Lost] = field(default_factory=asyncio.Queue)

    def put(self, received: Received) -> None:
        """A message about the job; dropped if it is about another attempt."""
        message: Any = received.message
        if message.attempt == self.number:
            self._inbox.put_nowait(received)

    def lose(self, lost: Lost) -> None:
        """Its process is gone; what it has said before still counts."""
        self.lost = True
        self._inbox.put_nowait(lost)

    def fps(self, frames: int) -> float | None:
        """Frames finished per second of this attempt; those of earlier ones took time of their own."""
        seconds = time.monotonic() - self.began
        return round((frames - self.frames_before) / seconds, 1) if seconds > 0 else None

    async def follow(self) -> JobEnded | Lost:
        """Keep what the worker sends, until the end.

        Raises:
            VidserveError: the results cannot be kept (`storage_full`).
        """
        while True:
            item = await self._inbox.get()
            if isinstance(item, Lost):
                return item
            match item.message:
                case JobRows(progress=progress):
                    rows, events = item.payload
                    await asyncio.to_thread(self.media.append_rows, self.job, rows, events)
                    if self.progress is None and self.number > 1:
                        self.frames_before = sum(progress.frames)
                    self.progress = progress
                    await self.send(item.peer, RowsTaken(self.job))
                case JobCheckpoint():
                    await asyncio.to_thread(self.media.commit_checkpoint, self.job, item.payload[0])
                case JobEnded() as ended:
                    self.progress = ended.progress
                    return ended
                case other:
                    raise VidserveError(f"{type(other).__name__} is not about a job.")
