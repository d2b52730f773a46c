"""What a scrape with many streams costs: its time, and how long the event loop cannot run meanwhile.

The page of counters and the rows are filled as 200 streams on eight workers fill them, and the scrape runs in a thread
beside the loop, as `GET /metrics` runs it. The loop does nothing but wake up every millisecond and see how late it is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from statistics import median

from benchmarks.stage import Stage
from benchmarks.table import Row, at_most, told
from server.core.metrics import Metrics, StreamRow
from server.core.metrics_page import STREAM_ROWS, Page
from server.domain.outcome import OUTCOMES
from server.domain.stream import StreamState

STREAMS = 200
SCRAPE_MS = 60.0
HICCUP_MS = 20.0
_WRITERS = 10
_SCRAPES_A_RUN = 10
_TICK_S = 0.001


def rows(stage: Stage) -> Iterator[Row]:
    """Time of a scrape, and the longest hiccup of the loop."""
    metrics = metrics_of(STREAMS)
    text = metrics.scrape()
    scrapes, hiccup, idle = asyncio.run(_scraped(metrics, stage.runs * _SCRAPES_A_RUN))
    lines = text.count(b"\n")
    note = f"{lines} lines, {len(text) / 1e6:.1f} MB; {min(scrapes):.1f}…{max(scrapes):.1f} ms"
    yield at_most(f"a scrape with {STREAMS} streams", median(scrapes), SCRAPE_MS, note, unit=" ms", digits=1)
    yield at_most(
        "longest hiccup of the loop during scrapes",
        hiccup,
        HICCUP_MS,
        f"{idle:.1f} ms in as long a time without them",
        unit=" ms",
        digits=1,
    )
    yield told("… processor time of a scrape", f"{_processor_ms(metrics):.1f} ms")


def metrics_of(streams: int) -> Metrics:
    """Metrics of a server with so many streams that have run for a while."""
    if streams >= STREAM_ROWS:
        raise ValueError(f"the page has {STREAM_ROWS} rows, one for jobs, and not {streams} for streams")
    page = Page(bytearray(Page.bytes_for(_WRITERS)), _WRITERS)
    metrics = Metrics(page, version="bench", jobs=lambda: {"running": 1}, storage=lambda: ({"jobs": 1}, 1))
    for row in range(1, streams + 1):
        recorder = page.recorder(row % _WRITERS)
        for number, outcome in enumerate(OUTCOMES):
            recorder.frames(row, outcome, 1000 * number)
        for tenth in range(20):
            recorder.result_age(row, tenth / 10)
        metrics.rows.streams[row] = StreamRow(
            id=f"stream{row:08d}",
            name=f"Camera {row}",
            state=StreamState.RUNNING,
            last_frame_at=time.time(),
            last_result_at=time.time(),
            reconnects={"timeout": row},
        )
    return metrics


async def _scraped(metrics: Metrics, scrapes: int) -> tuple[list[float], float, float]:
    """Milliseconds of each scrape, of the longest hiccup meanwhile, and of the longest in as long a time without."""
    spent = []
    lateness = _Lateness()
    for _ in range(scrapes):
        begun = time.perf_counter()
        await asyncio.to_thread(metrics.scrape)
        spent.append((time.perf_counter() - begun) * 1e3)
    hiccup = await lateness.longest_ms()
    lateness = _Lateness()
    await asyncio.sleep(sum(spent) / 1e3)
    return spent, hiccup, await lateness.longest_ms()


class _Lateness:
    """Sees how late the running loop is, from now on."""

    def __init__(self) -> None:
        self._longest_s = 0.0
        self._task = asyncio.create_task(self._watch())

    async def longest_ms(self) -> float:
        """The longest so far; ends the watch."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return self._longest_s * 1e3

    async def _watch(self) -> None:
        while True:
            due = time.perf_counter() + _TICK_S
            await asyncio.sleep(_TICK_S)
            self._longest_s = max(self._longest_s, time.perf_counter() - due)


def _processor_ms(metrics: Metrics) -> float:
    begun = time.thread_time()
    for _ in range(_SCRAPES_A_RUN):
        metrics.scrape()
    return (time.thread_time() - begun) / _SCRAPES_A_RUN * 1e3
