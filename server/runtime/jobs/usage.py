"""What the data folder takes of its disk, for the metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from server.storage.media import Media

_log = logging.getLogger(__name__)

_EVERY_S = 15.0


class Usage:
    """
    Attributes:
        latest: bytes in use by kind, and bytes free, as they were a moment ago.
    """

    def __init__(self) -> None:
        self.latest: tuple[Mapping[str, int], int] = ({}, 0)

    async def watch(self, media: Media) -> None:
        """Look at once, and then every few seconds."""
        while True:
            try:
                self.latest = await asyncio.to_thread(media.usage)
            except Exception:  # the edge of a task
                _log.exception("how much is stored cannot be said")
            await asyncio.sleep(_EVERY_S)
