"""A stream: a live source, analysed for as long as it is wanted."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from server.domain.analysis import Analysis
from server.domain.outcome import Outcome


class StreamState(StrEnum):
    STARTING = "starting"
    """It has given no frame yet."""
    RUNNING = "running"
    RECONNECTING = "reconnecting"
    """The source does not answer, or gives no frames; it is tried again, for ever."""
    PAUSED = "paused"
    ENDED = "ended"
    """The source was a file, and is over."""
    FAILED = "failed"
    """Something that cannot mend itself; `error` says what."""


class Transport(StrEnum):
    """How RTSP brings its packets."""

    TCP = "tcp"
    UDP = "udp"


class ManagedBy(StrEnum):
    API = "api"
    CONFIG = "config"
    """It stands in the settings file, and is changed there."""


class StreamSource(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker needs to open a source. It holds secrets: never log it, never show it.

    Attributes:
        url: `rtsp://`, `http://`, `https://`, `file:` or a device (`/dev/video0`), without credentials.
        open_s, read_s: how long opening and each read may take, in seconds.
        loop: of a file: begin again at its end.
        private, loopback: whether addresses of private networks and of this machine are allowed; they are looked at
            after name resolution, at each connection. Link-local and metadata addresses never are.
    """

    url: str
    username: str = ""
    password: str = ""
    transport: Transport = Transport.TCP
    open_s: float = 10.0
    read_s: float = 10.0
    loop: bool = False
    private: bool = True
    loopback: bool = False


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StreamProblem(_Value):
    """What was wrong with a stream last, and when."""

    code: str
    message: str
    at: datetime


class Stream(_Value):
    """A stream as clients see it. Credentials are write-only."""

    id: str
    name: str
    managed_by: ManagedBy = ManagedBy.API
    url: str = Field(description="without credentials")
    username: str | None = None
    transport: Transport = Transport.TCP
    state: StreamState
    paused: bool = False
    created_at: datetime
    analysis: Analysis
    model: str | None = Field(default=None, description="`name@version` that looks at it now")
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = Field(default=None, description="frames that the source gives a second, as measured")
    last_frame_at: datetime | None = None
    last_result_at: datetime | None = None
    reconnects: int = Field(default=0, description="since the server was started")
    frames: dict[Outcome, int] = Field(default={}, description="frames by outcome since the server was started")
    error: StreamProblem | None = None
