"""What the engine process is told; apart from it, so that the parent need not import what the engine does."""

from __future__ import annotations

import msgspec

from server.core.log import LogConfig


class EngineConfig(msgspec.Struct, frozen=True):
    """What the engine is told.

    Attributes:
        address: to listen at. api: address of the API process.
        incarnation: rises with each start.
        sessions, threads, max_batch, max_delay_ms, provider, require_provider: as `[engine]` in the settings.
        page, page_writers, writer: the metrics page, and which region is the engine's.
    """

    address: str
    api: str
    incarnation: int
    sessions: int
    threads: int
    max_batch: int
    max_delay_ms: float | None
    provider: str
    require_provider: bool
    page: str
    page_writers: int
    writer: int
    log: LogConfig
