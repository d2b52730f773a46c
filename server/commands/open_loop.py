"""Requests at a fixed rate, whatever becomes of those before, as independent clients send them.

A loop that waits for each answer sends less as soon as the server is slow, and never sees a queue. Here a request has
a moment at which it shall be sent, and its latency counts from that moment, also where we ourselves were late.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np

_MOST_UNANSWERED = 1000
OVERRUN = "overrun"
"""Not sent: too many were waiting for their answer."""

Ask = Callable[[], Awaitable[str]]
"""Sends one request; the code of what went wrong, or nothing."""


@dataclass(frozen=True)
class Arrivals:
    """What became of requests at one rate.

    Attributes:
        rate: that should be sent a second.
        seconds: from the first moment to the last answer.
        latencies_s: of those that were answered well.
        errors: codes, and how often each came.
    """

    rate: float
    sent: int
    seconds: float
    latencies_s: tuple[float, ...]
    errors: dict[str, int]

    @property
    def answered_s(self) -> float:
        """Good answers a second."""
        return len(self.latencies_s) / self.seconds

    def latency_s(self, share: float) -> float | None:
        """Below which this share of the latencies lies; None where there is none."""
        return float(np.quantile(self.latencies_s, share)) if self.latencies_s else None


async def arrivals(ask: Ask, rate: float, seconds: float) -> Arrivals:
    """Ask `rate` times a second for so long, then wait for the last answers."""
    latencies: list[float] = []
    errors: Counter[str] = Counter()
    start = time.perf_counter()

    async def one(moment: float) -> None:
        code = await ask()
        if code:
            errors[code] += 1
        else:
            latencies.append(time.perf_counter() - moment)

    under_way: set[asyncio.Task[None]] = set()
    count = max(1, round(rate * seconds))
    for number in range(count):
        moment = start + number / rate
        await asyncio.sleep(max(0.0, moment - time.perf_counter()))
        if len(under_way) >= _MOST_UNANSWERED:
            errors[OVERRUN] += 1
            continue
        task = asyncio.create_task(one(moment))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    if under_way:
        await asyncio.gather(*under_way)
    passed = max(time.perf_counter() - start, count / rate)
    return Arrivals(rate, count, passed, tuple(latencies), dict(errors))
