"""The engine's threads: a lane runs one batch at a time, a loader brings models up; both report to one mailbox."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable
from threading import Thread
from typing import Generic, TypeVar

from server.engine.batcher import Batch
from server.engine.models import Answered, Model
from server.wire.slots import Segments

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


class Ran:
    """A batch has run."""

    __slots__ = ("answers", "batch", "lane", "model", "seconds")

    def __init__(self, lane: Lane, model: Model, batch: Batch, answers: list[Answered], seconds: float) -> None:
        self.lane = lane
        self.model = model
        self.batch = batch
        self.answers = answers
        self.seconds = seconds


class Lane:
    """A thread that runs batches, on its own session of each model."""

    def __init__(self, number: int, report: Callable[[Ran], None]) -> None:
        self.number = number
        self._report = report
        self._work: queue.SimpleQueue[tuple[Model, Batch] | None] = queue.SimpleQueue()
        self._segments = Segments()
        self._thread = Thread(target=self._body, name=f"lane-{number}", daemon=True)
        self._thread.start()

    def run(self, model: Model, batch: Batch) -> None:
        """Give it a batch; only while it has none."""
        self._work.put((model, batch))

    def stop(self, timeout_s: float) -> bool:
        """End after the batch at hand; False if that took longer."""
        self._work.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _body(self) -> None:
        while (work := self._work.get()) is not None:
            model, batch = work
            answers, seconds = model.run(model.sessions[self.number], batch, self._segments)
            self._report(Ran(self, model, batch, answers, seconds))
