"""What the measuring process is told; apart from it, so that the engine need not import what that does."""

from __future__ import annotations

import msgspec

from server.core.log import LogConfig
from server.engine.running import Running


class TuneOrder(msgspec.Struct, frozen=True):
    """Measure a bundle, given by its folder, and write the choice into the file that `running` names."""

    bundle: str
    running: Running
    log: LogConfig
