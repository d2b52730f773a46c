"""Which frames run together. A plain class: time is an argument, nothing here waits.

Live before jobs; within a batch each stream gets one place before any gets two; then who is due first, then who was
served longest ago. A stream's requests run in the order in which they came.

A request is a frame, or a block of rows that run together; blocks share a run with others of their kind.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from server.wire.messages import Infer, Priority

NOT_URGENT = (math.inf, math.inf, math.inf)
"""The urgency of a queue of which nothing may run."""
_SOON_S = 0.25
"""When a live request without a deadline is due: those with one would keep it waiting for as long as there are any."""

Key = tuple[bytes, str]
"""A stream: who asks, on the router, and the name that it gives the stream."""


@dataclass(slots=True, eq=False)
class Request:
    """A frame, or a block of rows, that wants to run.

    Attributes:
        peer: who asked, on the router.
        arrived: CLOCK_MONOTONIC seconds.
        rows: that it takes in a batch; no more than the largest size has.
        kind: what it may share a run with; None for whatever the model's inputs declare in full.
        key: of its stream.
    """

    peer: bytes
    ask: Infer
    arrived: float
    rows: int = 1
    kind: Hashable = None
    key: Key = field(init=False)

    def __post_init__(self) -> None:
        self.key = self.peer, self.ask.stream

    @property
    def due(self) -> float:
        """When its answer is wanted, as far as that decides who goes first; a job's frames can wait."""
        if self.ask.deadline is not None:
            return self.ask.deadline
        return self.arrived + _SOON_S if self.ask.priority is Priority.LIVE else math.inf

    @property
    def plain(self) -> bool:
        """Whether it is one row, and may share a run with any other."""
        return self.rows == 1 and self.kind is None


class Batch(NamedTuple):
    """Requests that run together.

    Attributes:
        size: rows of the run; above those of the requests the rest is padding.
        closed: why no more were waited for: `full`, `timeout` or `idle`.
    """

    requests: list[Request]
    size: int
    closed: str

    @property
    def rows(self) -> int:
        """Of the requests, without padding."""
        return sum(request.rows for request in self.requests)


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

    def holding(self, rows: int) -> int:
        """The smallest batch size that has room for so many."""
        return next((size for size in self.sizes if size >= rows), self.sizes[-1])


class _Stream:
    """A stream's requests that wait, and how many run."""

    __slots__ = ("rows", "running", "served", "waiting")

    def __init__(self, served: int) -> None:
        self.waiting: deque[Request] = deque()
        self.rows = 0
        self.running = 0
        self.served = served

    def rank(self, taken: int) -> tuple[int, int, float, int]:
        """Who goes first, the least; `taken` is how many places of the batch the stream has."""
        head = self.waiting[0]
        return head.ask.priority, taken, head.due, self.served


class Batcher:
    """The queue of one model."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._streams: dict[Key, _Stream] = {}
        self._count = 0
        self._blocks = 0
        self._with_deadline = 0
        self._turns = 0

    def __len__(self) -> int:
        """Requests that wait."""
        return self._count

    def add(self, request: Request) -> None:
        stream = self._streams.get(request.key)
        if stream is None:
            # As if it had been served just now: whoever comes and goes must not get before those who stay.
            stream = self._streams[request.key] = _Stream(self._turns)
        stream.waiting.append(request)
        stream.rows += request.rows
        self._count += 1
        self._blocks += not request.plain
        self._with_deadline += request.ask.deadline is not None

    def finish(self, request: Request) -> None:
        """A request that was taken has run."""
        stream = self._streams[request.key]
        stream.running -= 1
        if not stream.running and not stream.waiting:
            del self._streams[request.key]

    def cancel(self, key: Key) -> list[Request]:
        """Take a stream's waiting requests out; those that run are finished all the same."""
        stream = self._streams.get(key)
        if stream is None:
            return []
        dropped = list(stream.waiting)
        stream.waiting.clear()
        stream.rows = 0
        self._leave(dropped)
        if not stream.running:
            del self._streams[key]
        return dropped

    def running(self, key: Key) -> int:
        """How many of a stream's requests run."""
        stream = self._streams.get(key)
        return stream.running if stream else 0

    def expire(self, now: float) -> list[Request]:
        """Take out what is past its deadline."""
        if not self._with_deadline:
            return []
        late: list[Request] = []
        for key, stream in list(self._streams.items()):
            past = [r for r in stream.waiting if r.ask.deadline is not None and r.ask.deadline <= now]
            if past:
                stream.waiting = deque(r for r in stream.waiting if r not in past)
                stream.rows = sum(r.rows for r in stream.waiting)
                late += past
                if not stream.waiting and not stream.running:
                    del self._streams[key]
        self._leave(late)
        return late

    def take(self, now: float, idle: int) -> Batch | None:
        """The next batch, or None while nothing may run yet.

        Args:
            idle: sessions that are free; where nobody waits for others, what is there is divided among them.
        """
        heads = self._eligible()
        if not heads or idle < 1:
            return None
        if self._blocks:
            first = min(heads, key=lambda stream: stream.rank(0)).waiting[0]
            heads = [stream for stream in heads if stream.waiting[0].kind == first.kind]
        ready = len(heads) if self._policy.one_each else sum(stream.rows for stream in heads)
        largest = self._policy.sizes[-1]
        waits = self._policy.max_delay_s > 0
        # Where waiting pays, one large batch is quicker than two halves; where it does not, two sessions are.
        share = min(largest, ready if waits else math.ceil(ready / idle))
        if share == largest:
            closed = "full"
        elif not waits:
            closed = "idle"
        elif now >= min(stream.waiting[0].arrived for stream in heads) + self._policy.max_delay_s:
            closed = "timeout"
        else:
            return None
        if self._blocks:
            # Blocks cannot be cut, so there is room for the first, and no more padding than they leave.
            requests = self._choose(heads, self._policy.holding(max(share, first.rows)))
            return Batch(requests, self._policy.holding(sum(request.rows for request in requests)), closed)
        size = self._policy.size(share)
        # A place that would be padding costs the same with a frame in it.
        return Batch(self._choose(heads, min(ready, size)), size, closed)

    def urgency(self) -> tuple[float, float, float]:
        """How urgent the most urgent request is, for choosing among models; less is more urgent."""
        heads = (stream.waiting[0] for stream in self._eligible())
        return min(((int(head.ask.priority), head.due, head.arrived) for head in heads), default=NOT_URGENT)

    def wake_at(self) -> float | None:
        """When to ask again although nothing comes: a batch times out then, or a request is past its deadline."""
        moments = []
        if self._with_deadline:
            moments += [r.ask.deadline for s in self._streams.values() for r in s.waiting if r.ask.deadline is not None]
        if self._policy.max_delay_s > 0:
            moments += [stream.waiting[0].arrived + self._policy.max_delay_s for stream in self._eligible()]
        return min(moments, default=None)

    def _eligible(self) -> list[_Stream]:
        one_each = self._policy.one_each
        return [s for s in self._streams.values() if s.waiting and not (one_each and s.running)]

    def _choose(self, heads: list[_Stream], room: int) -> list[Request]:
        """Requests for so many rows; a block that does not fit waits, and so does what comes after it of its stream.

        Args:
            heads: streams whose first request is of one kind.
        """
        chosen: list[Request] = []
        kind = heads[0].waiting[0].kind
        # The number breaks ties, and keeps streams from being compared.
        heap = [(stream.rank(0), number, 0, stream) for number, stream in enumerate(heads)]
        heapq.heapify(heap)
        while heap and room:
            _, number, taken, stream = heapq.heappop(heap)
            request = stream.waiting[0]
            if request.rows > room or request.kind != kind:
                continue
            chosen.append(stream.waiting.popleft())
            room -= request.rows
            stream.rows -= request.rows
            stream.running += 1
            self._turns += 1
            stream.served = self._turns
            if stream.waiting and not self._policy.one_each:
                heapq.heappush(heap, (stream.rank(taken + 1), number, taken + 1, stream))
        self._leave(chosen)
        return chosen

    def _leave(self, requests: list[Request]) -> None:
        self._count -= len(requests)
        self._blocks -= sum(not r.plain for r in requests)
        self._with_deadline -= sum(r.ask.deadline is not None for r in requests)
