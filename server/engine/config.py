"""What the engine process is told; apart from it, so that the parent need not import what the engine does."""

from __future__ import annotations

import msgspec

from server.core.log import LogConfig
from server.engine.running import Running
from server.engine.tuning.order import Tuning


class EngineConfig(msgspec.Struct, frozen=True):
    """What the engine is told.

    Attributes:
        address: to listen at. api: address of the API process.
        incarnation: rises with each start.
        tuning: when models are measured.
        page, page_writers, writer: the metrics page, and which region is the engine's.
    """

    address: str
    api: str
    incarnation: int
    running: Running
    tuning: Tuning
    page: str
    page_writers: int
    writer: int
    log: LogConfig
