"""What the measuring process is told, and what its end says; apart, so that the engine need not import what it does."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from server.core.log import LogConfig
from server.engine.running import Running


class Tuning(msgspec.Struct, frozen=True):
    """When models are measured.

    Attributes:
        after_s: for how long nobody must have asked the engine for anything; None: they never are.
        tolerance: share of the cores, 0…1, that other processes may use meanwhile; with more the figures mean nothing.
    """

    after_s: float | None = 10.0
    tolerance: float = 0.1


class TuneOrder(msgspec.Struct, frozen=True):
    """Measure a bundle, given by its folder, and write the choice into the file that `running` names."""

    bundle: str
    running: Running
    tolerance: float
    log: LogConfig


class Ending(IntEnum):
    """Exit codes."""

    KEPT = 0
    """The choice is in the file."""
    FAILED = 1
    DISTURBED = 3
    """Other processes use the machine; another time."""
