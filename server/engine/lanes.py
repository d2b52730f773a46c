"""The engine's threads: the crew of lanes, which run a batch at a time each, and the mailbox that all report to."""

from __future__ import annotations

import logging
import os
import queue
import time
from collections.abc import Callable
from threading import Thread
from typing import Generic, NamedTuple, TypeVar

from server.engine.answers import Answered, refusal
from server.engine.batcher import Batch
from server.engine.models import Model
from server.wire.slots import Segments

_log = logging.getLogger(__name__)

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """A queue between threads whose reader can wait for it together with sockets.

    Attributes:
        descriptor: readable while something lies here.
    """

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self.descriptor, self._bell = os.pipe()
        os.set_blocking(self.descriptor, False)

    def put(self, item: Item) -> None:
        self._items.put(item)
        self.ring()

    def ring(self) -> None:
        """Wake the reader, for something that lies elsewhere."""
        os.write(self._bell, b"!")

    def take(self) -> list[Item]:
        """All that lies here."""
        try:
            os.read(self.descriptor, 65536)
        except BlockingIOError:
            return []
        items = []
        while True:
            try:
                items.append(self._items.get_nowait())
            except queue.Empty:
                return items

    def close(self) -> None:
        os.close(self.descriptor)
        os.close(self._bell)


class Ran(NamedTuple):
    """A batch has run; `seconds` is what the session took."""

    lane: Lane
    model: Model
    batch: Batch
    answers: list[Answered]
    seconds: float


class Lane:
    """A thread that runs batches, one at a time, of any model.

    Args:
        report: called on that thread with what has run; it may give the lane its next batch at once.
    """

    def __init__(self, number: int, report: Callable[[Ran], None]) -> None:
        self.number = number
        self._report = report
        self._work: queue.SimpleQueue[tuple[Model, Batch] | None] = queue.SimpleQueue()
        self._segments = Segments()
        self._since: float | None = None
        self._thread = Thread(target=self._body, name=f"lane-{number}", daemon=True)
        self._thread.start()

    def run(self, model: Model, batch: Batch) -> None:
        """Give it a batch; only while it has none."""
        self._since = time.monotonic()
        self._work.put((model, batch))

    def busy_s(self, now: float) -> float:
        """How long it has been at its batch; 0 if it has none."""
        since = self._since
        return 0.0 if since is None else now - since

    def stop(self, timeout_s: float) -> bool:
        """End after the batch at hand; False if that took longer."""
        self._work.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _body(self) -> None:
        while (work := self._work.get()) is not None:
            model, batch = work
            answers, seconds = self._answers(model, batch)
            self._since = None
            self._report(Ran(self, model, batch, answers, seconds))

    def _answers(self, model: Model, batch: Batch) -> tuple[list[Answered], float]:
        try:
            return model.run(self.number, batch, self._segments)
        except Exception as error:  # the edge of a thread: the lane must live, and its requests be answered
            _log.exception("%s failed on a batch of %d", model.manifest.id, len(batch.requests))
            said, now = f"{type(error).__name__}: {error}", time.monotonic()
            return [refusal(request, "run_failed", said, now) for request in batch.requests], 0.0


class Crew:
    """The lanes, and which of them are idle.

    One more than the rest is for quick models alone: a batch cannot be interrupted, and one of a costly model would
    hold up many of theirs. It takes processor time from the others only while it runs.

    Args:
        count: lanes for any model.
    """

    def __init__(self, count: int, report: Callable[[Ran], None]) -> None:
        self._lanes = [Lane(number, report) for number in range(count + 1)]
        *self._idle, self._express = self._lanes
        self._express_idle = True

    def idle(self, *, quick: bool) -> int:
        """How many lanes could take a batch of a model now."""
        return len(self._idle) + (quick and self._express_idle)

    def run(self, model: Model, batch: Batch) -> None:
        """Give a batch to an idle lane; only while there is one for the model."""
        if model.quick and self._express_idle:
            self._express_idle = False
            self._express.run(model, batch)
        else:
            self._idle.pop().run(model, batch)

    def back(self, lane: Lane) -> None:
        """A lane has reported, and is idle again."""
        if lane is self._express:
            self._express_idle = True
        else:
            self._idle.append(lane)

    def hung(self, now: float, limit_s: float) -> list[int]:
        """Numbers of the lanes that have been at one batch for longer than that."""
        return [lane.number for lane in self._lanes if lane.busy_s(now) > limit_s]

    def stop(self, timeout_s: float) -> int:
        """End after the batches at hand; how many took longer and were cut off."""
        until = time.monotonic() + timeout_s
        return sum(not lane.stop(max(0.0, until - time.monotonic())) for lane in self._lanes)
