"""Writing that waits while the disk is full: what was accepted must not be lost for that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from server.core.errors import StorageBusy, StorageFull

_log = logging.getLogger(__name__)

_PAUSE_S = 0.1
_LONGEST_S = 5.0

Written = TypeVar("Written")


async def when_there_is_space(
    write: Callable[[], Awaitable[Written]], *, job: str, longest_s: float = _LONGEST_S
) -> Written:
    """Do it, again and again, until the disk takes it; `longest_s` is the longest pause between two tries."""
    pause_s = _PAUSE_S
    while True:
        try:
            written = await write()
        except (StorageFull, StorageBusy) as error:
            if pause_s == _PAUSE_S:
                _log.error("job %s waits: %s", job, error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)
        else:
            if pause_s > _PAUSE_S:
                _log.warning("job %s goes on: there is space again", job)
            return written
