"""A job between its queueing and its end: where it is, how often it was tried, and what is known against it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from server.runtime.jobs.attempt import Attempt
from server.runtime.processes.blame import Record


@dataclass
class Case:
    """
    Attributes:
        worker: that runs it, or is about to; None while it waits in a queue.
        attempt: the running one.
        tries: attempts so far.
        ran_s: seconds that those took which are over.
        unwanted: set when it is cancelled.
    """

    job: str
    worker: str | None = None
    attempt: Attempt | None = None
    tries: int = 0
    ran_s: float = 0.0
    unwanted: asyncio.Event = field(default_factory=asyncio.Event)
    record: Record = field(default_factory=Record)
