"""Which frames run together. A plain class: time is an argument, nothing here waits.

Live before jobs; within a batch each stream gets one place before any gets two; then the earliest deadline, then who
was served longest ago. A stream's requests run in the order in which they came.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from server.wire.messages import Infer


@dataclass(slots=True, eq=False)
class Request:
    """A frame that wants to run.

    Attributes:
        peer: who asked, on the router.
        arrived: CLOCK_MONOTONIC seconds.
    """

    peer: bytes
    ask: Infer
    arrived: float


class Batch(NamedTuple):
    """Requests that run together.

    Attributes:
        size: rows of the run; above the number of requests the rest is padding.
        closed: why no more were waited for: `full`, `timeout` or `idle`.
    """

    requests: list[Request]
    size: int
    closed: str


@dataclass(frozen=True)
class Policy:
    """How a model's requests are batched.

    Attributes:
        sizes: batch sizes that are warm, ascending; the last is the largest.
        max_delay_s: how long the oldest may wait for others; 0: an idle session takes what is there.
        pad: a number between two sizes is padded up to the larger one (a new shape is dear), not cut to the smaller.
        one_each: at most one request of a stream in flight: its state must come back first.
    """

    sizes: tuple[int, ...]
    max_delay_s: float = 0.0
    pad: bool = False
    one_each: bool = False

    def size(self, waiting: int) -> int:
        """The batch size for so many requests."""
        if self.pad or waiting < self.sizes[0]:
            return next((size for size in self.sizes if size >= waiting), self.sizes[-1])
        return max(size for size in self.sizes if size <= waiting)


class _Stream:
    """A stream's requests that wait, and how many run."""

    __slots__ = ("running", "served", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Request] = deque()
        self.running = 0
        self.served = 0.0


class Batcher:
    """The queue of one model."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._streams: dict[str, _Stream] = {}
        self._count = 0
        self._turns = 0.0

    def __len__(self) -> int:
        """Requests that wait."""
        return self._count

    def add(self, request: Request) -> None:
        self._streams.setdefault(request.ask.stream, _Stream()).waiting.append(request)
        self._count += 1

    def finish(self, request: Request) -> None:
        """A request that was taken has run."""
        stream = self._streams[request.ask.stream]
        stream.running -= 1
        if not stream.running and not stream.waiting:
            del self._streams[request.ask.stream]

    def cancel(self, name: str) -> list[Request]:
        """Take a stream's waiting requests out; those that run are finished all the same."""
        stream = self._streams.get(name)
        if stream is None:
            return []
        dropped = list(stream.waiting)
        stream.waiting.clear()
        self._count -= len(dropped)
        if not stream.running:
            del self._streams[name]
        return dropped

    def clear(self) -> list[Request]:
        """Take every waiting request out."""
        return [request for name in list(self._streams) for request in self.cancel(name)]

    def running(self, name: str) -> int:
        """How many of a stream's requests run."""
        stream = self._streams.get(name)
        return stream.running if stream else 0

    def expire(self, now: float) -> list[Request]:
        """Take out what is past its deadline."""
        late = []
        for name, stream in list(self._streams.items()):
            kept = deque(r for r in stream.waiting if r.ask.deadline is None or r.ask.deadline > now)
            if len(kept) < len(stream.waiting):
                late += [r for r in stream.waiting if r.ask.deadline is not None and r.ask.deadline <= now]
                self._count -= len(stream.waiting) - len(kept)
                stream.waiting = kept
                if not kept and not stream.running:
                    del self._streams[name]
        return late

    def take(self, now: float, idle: int) -> Batch | None:
        """The next batch, or None while nothing may run yet.

        Args:
            idle: sessions that are free; what waits is divided among them.
        """
        heads = self._eligible()
        if not heads or idle < 1:
            return None
        ready = len(heads) if self._policy.one_each else sum(len(stream.waiting) for stream in heads)
        largest = self._policy.sizes[-1]
        oldest = min(stream.waiting[0].arrived for stream in heads)
        if ready >= largest:
            closed = "full"
        elif self._policy.max_delay_s <= 0:
            closed = "idle"
        elif now - oldest >= self._policy.max_delay_s:
            closed = "timeout"
        else:
            return None
        share = min(largest, math.ceil(ready / idle))
        size = self._policy.size(share)
        return Batch(self._choose(heads, min(share, size)), size, closed)

    def urgency(self) -> tuple[int, float] | None:
        """How urgent the most urgent request is, for choosing among models; less is more urgent. None: nothing."""
        heads = [stream.waiting[0] for stream in self._eligible()]
        return min(((int(r.ask.priority), r.arrived) for r in heads), default=None)

    def wake_at(self) -> float | None:
        """When to ask again although nothing comes: a batch times out then, or a request is past its deadline."""
        moments = [r.ask.deadline for s in self._streams.values() for r in s.waiting if r.ask.deadline is not None]
        if self._policy.max_delay_s > 0:
            moments += [stream.waiting[0].arrived + self._policy.max_delay_s for stream in self._eligible()]
        return min(moments, default=None)

    def _eligible(self) -> Sequence[_Stream]:
        return [s for s in self._streams.values() if s.waiting and not (self._policy.one_each and s.running)]

    def _choose(self, heads: Sequence[_Stream], count: int) -> list[Request]:
        chosen: list[Request] = []
        taken = dict.fromkeys(heads, 0)
        for _ in range(count):
            candidates = [s for s in taken if s.waiting and not (self._policy.one_each and taken[s])]
            if not candidates:
                break

            def rank(stream: _Stream) -> tuple[int, int, float, float]:
                head = stream.waiting[0].ask
                deadline = math.inf if head.deadline is None else head.deadline
                return head.priority, taken[stream], deadline, stream.served

            stream = min(candidates, key=rank)
            chosen.append(stream.waiting.popleft())
            taken[stream] += 1
            stream.running += 1
            self._turns += 1
            stream.served = self._turns
        self._count -= len(chosen)
        return chosen
