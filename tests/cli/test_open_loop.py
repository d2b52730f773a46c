from __future__ import annotations

import asyncio
import itertools

from server.commands.open_loop import arrivals


def test_requests_go_out_at_their_rate_however_slow_the_answers_are() -> None:
    under_way, most = 0, 0

    async def slow() -> str:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.2)
        under_way -= 1
        return ""

    found = asyncio.run(arrivals(slow, rate=50, seconds=0.4))
    assert (found.sent, len(found.latencies_s)) == (20, 20)
    assert most > 1


def test_latency_counts_from_when_a_request_should_have_been_sent() -> None:
    """A sender that is held up sees the queue that it would have met."""

    async def blocks_the_sender() -> str:
        import time

        time.sleep(0.05)
        return ""

    found = asyncio.run(arrivals(blocks_the_sender, rate=100, seconds=0.1))
    assert found.latency_s(1.0) >= 0.4


def test_what_went_wrong_is_counted_and_has_no_latency() -> None:
    answers = itertools.cycle(["", "queue_full"])

    async def every_other() -> str:
        return next(answers)

    found = asyncio.run(arrivals(every_other, rate=200, seconds=0.05))
    assert found.errors == {"queue_full": 5}
    assert len(found.latencies_s) == 5


def test_nothing_is_known_of_latencies_where_nothing_was_answered() -> None:
    async def refuses() -> str:
        return "401"

    assert asyncio.run(arrivals(refuses, rate=100, seconds=0.02)).latency_s(0.95) is None
