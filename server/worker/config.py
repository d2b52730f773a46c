"""What a worker process is told; apart from it, so that the parent need not import what a worker does."""

from __future__ import annotations

import msgspec

from server.core.log import LogConfig


class WorkerConfig(msgspec.Struct, frozen=True):
    """What a worker is told.

    Attributes:
        name: `worker-0` …; the API process knows it by that.
        incarnation: rises with each start of the server's processes.
        api: address of the API process.
        segment: name of the segment whose slots this worker gives out.
        page, page_writers, writer: the metrics page, and which region is this worker's.
        max_pixels: the most that a frame or picture may have.
        max_s: the longest that a video may last, in seconds; None: any.
        last_words: name of the file for what it leaves when it crashes.
        calls, workers, worker: the page of calls, and which rows are this worker's.
    """

    name: str
    incarnation: int
    api: str
    segment: str
    page: str
    page_writers: int
    writer: int
    max_pixels: int
    max_s: float | None
    calls: str
    workers: int
    worker: int
    last_words: str
    log: LogConfig
