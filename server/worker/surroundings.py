"""What the jobs, streams and pictures of a worker share."""

from __future__ import annotations

from dataclasses import dataclass, field

import zmq

from server.core.calls import CallRows
from server.core.metrics_page import Recorder
from server.wire.slots import Slots
from server.worker.live.sources import OpenLive
from server.worker.precedence import Precedence
from server.worker.source import OpenSource


@dataclass(frozen=True)
class Surroundings:
    """
    Attributes:
        rows: of the page of calls.
        open_source: makes the source of a job's video.
        open_live: opens a stream's source.
        precedence: that streams have over jobs.
    """

    context: zmq.Context[zmq.Socket[bytes]]
    api: str
    name: str
    incarnation: int
    slots: Slots
    recorder: Recorder
    rows: CallRows
    open_source: OpenSource
    open_live: OpenLive
    precedence: Precedence = field(default_factory=Precedence)
