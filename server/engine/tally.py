"""What a model has been asked and has done, counted where it happens."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

from server.engine.answers import Answered
from server.wire.tally import SizeTally, Spent, Tally


class Took(NamedTuple):
    """Seconds of a batch: its inputs put together, the session's run, its outputs taken apart."""

    gather_s: float
    run_s: float
    split_s: float


@dataclass(slots=True)
class _Sum:
    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        self.count += count
        self.seconds += seconds * count

    def spent(self) -> Spent:
        return Spent(self.count, self.seconds)


@dataclass(slots=True)
class _Parts:
    gather: _Sum = field(default_factory=_Sum)
    run: _Sum = field(default_factory=_Sum)
    split: _Sum = field(default_factory=_Sum)

    def add(self, took: Took, count: int) -> None:
        self.gather.add(took.gather_s, count)
        self.run.add(took.run_s, count)
        self.split.add(took.split_s, count)


class TallyKeeper:
    """Counts for one model; lanes call it at the same time."""

    def __init__(self) -> None:
        self._rows = self._runs = 0
        self._last = 0.0
        self._success, self._fail, self._queue = _Sum(), _Sum(), _Sum()
        self._requests = _Parts()
        self._sizes: defaultdict[int, _Parts] = defaultdict(_Parts)
        self._lock = Lock()

    def ran(self, answers: Iterable[Answered], rows: int, took: Took) -> None:
        """A batch of so many rows has run, and these are its answers."""
        whole_s = sum(took)
        with self._lock:
            self._runs += 1
            self._last = time.time()
            self._sizes[rows].add(took, 1)
            for answered in answers:
                waited_s = answered.done.queue_s
                if answered.done.error is not None:
                    self._fail.add(waited_s + whole_s)
                    continue
                self._rows += answered.request.rows
                self._success.add(waited_s + whole_s)
                self._queue.add(waited_s)
                self._requests.add(took, 1)

    def failed(self, seconds: float) -> None:
        """A request was refused after so long, without a run."""
        with self._lock:
            self._fail.add(seconds)

    def tally(self, model: str) -> Tally:
        """As it stands, of `name@version`."""
        with self._lock:
            return Tally(
                model=model,
                rows=self._rows,
                runs=self._runs,
                last=self._last,
                success=self._success.spent(),
                fail=self._fail.spent(),
                queue=self._queue.spent(),
                gather=self._requests.gather.spent(),
                run=self._requests.run.spent(),
                split=self._requests.split.spent(),
                sizes=tuple(
                    SizeTally(size, parts.gather.spent(), parts.run.spent(), parts.split.spent())
                    for size, parts in sorted(self._sizes.items())
                ),
            )
