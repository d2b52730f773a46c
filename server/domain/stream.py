"""A stream: a live source, analysed for as long as it is wanted."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from server.domain.analysis import Analysis
from server.domain.outcome import Outcome

LIVE_SAMPLE_FPS = 5.0
"""Frames that a stream looks at a second where nobody says how many."""
DECLARED_PREFIX = "cfg_"
"""Of the ids of streams that stand in the settings file."""
DECLARED_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}"

_VISIBLE = r"[^\x00-\x1f\x7f]"
_BLACK = r"[^\x00-\x20\x7f]"
Name = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=rf"^{_BLACK}({_VISIBLE}*{_BLACK})?$")]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=rf"^{_BLACK}+$")]
Username = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=rf"^{_VISIBLE}+$")]
Password = Annotated[SecretStr, Field(min_length=1, max_length=256)]


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
    """Somebody must mend it; `error` says what. It is tried again all the same, now and then."""


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

    def __repr__(self) -> str:
        return f"StreamSource(url={self.url.partition('?')[0]!r}, username={self.username!r}, …)"


# Made here and not where it is needed: msgspec looks a type through when it is decoded for the first time, and crashes
# where two threads do so at once.
SOURCE = msgspec.json.Decoder(StreamSource)
"""Reads a source as it travels to a worker."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StreamProblem(_Value):
    """What was wrong with a stream last; it stays when it is over."""

    code: str
    message: str
    since: datetime = Field(description="since when the same was wrong")
    at: datetime = Field(description="when it was wrong last: while it lasts, a moment ago")
    over_at: datetime | None = Field(default=None, description="when it was over; absent while it lasts")


class NewStream(_Value):
    """A stream that shall be, as a client or the settings file says it."""

    name: Name | None = Field(
        default=None, description="what people call it; the host of the URL if absent", examples=["front door"]
    )
    url: Url = Field(
        description="`rtsp(s)://`, `http(s)://` (MJPEG, HLS), `file:///…` or a device (`/dev/video0`). "
        "Credentials in it are taken out and kept apart",
        repr=False,
        examples=["rtsp://192.168.1.20/stream1"],
    )
    username: Username | None = Field(default=None, description="that the camera asks for", examples=["viewer"])
    password: Password | None = Field(default=None, description="that the camera asks for; never shown again")
    transport: Transport = Field(default=Transport.TCP, description="how RTSP brings its packets")
    loop: bool = Field(default=False, description="of a file: begin again at its end")
    paused: bool = Field(default=False, description="do not open it until told so")
    analysis: Analysis = Field(
        default_factory=Analysis,
        description=f"what to do with its frames; `sample_fps` is {LIVE_SAMPLE_FPS:g} if absent, null for every frame",
    )


class StreamChange(_Value):
    """What shall be different in a stream; what is absent stays as it is."""

    name: Name | None = Field(default=None, description="what people call it", examples=["back door"])
    url: Url | None = Field(default=None, description="where it is now", repr=False)
    username: Username | None = Field(default=None, description="null: none")
    password: Password | None = Field(
        default=None, description="null: none. Absent or masked it stays as it is, but not for another host"
    )
    transport: Transport | None = Field(default=None, description="how RTSP brings its packets")
    loop: bool | None = Field(default=None, description="of a file: begin again at its end")
    paused: bool | None = Field(default=None, description="true closes the source, false opens it again")
    analysis: Analysis | None = Field(
        default=None,
        description="its keys replace those there are; null is what holds where nothing is said, and every frame for "
        "`sample_fps`",
    )


class KeptStream(_Value):
    """What is known of a stream while nobody looks at it, secrets and all.

    Attributes:
        url: without credentials; its query may hold some all the same.
        analysis: `sample_fps` says it all: null is every frame.
    """

    id: str
    created_at: datetime
    managed_by: ManagedBy = ManagedBy.API
    name: str
    url: str = Field(repr=False)
    username: str | None = None
    password: SecretStr | None = None
    transport: Transport = Transport.TCP
    loop: bool = False
    paused: bool = False
    analysis: Analysis


class Stream(_Value):
    """A stream as clients see it. Credentials are write-only."""

    id: str
    name: str
    managed_by: ManagedBy = ManagedBy.API
    url: str = Field(description="without credentials")
    username: str | None = None
    transport: Transport = Transport.TCP
    loop: bool = False
    state: StreamState
    paused: bool = False
    created_at: datetime
    analysis: Analysis
    model: str | None = Field(default=None, description="`name@version` that looks at it now")
    asked_fps: float | None = Field(
        default=None,
        description="how often a second that model is asked: at the rate that it was made for, else as `sample_fps` "
        "says; absent where it is asked with every frame",
    )
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = Field(default=None, description="frames that the source gives a second, as measured")
    last_frame_at: datetime | None = None
    last_result_at: datetime | None = None
    reconnects: int = Field(default=0, description="since the server was started")
    frames: dict[Outcome, int] = Field(default={}, description="frames by outcome since the server was started")
    error: StreamProblem | None = Field(
        default=None, description="what was wrong last; it is over where it has `over_at`"
    )


class ProbeSource(_Value):
    """A source that shall be tried; its fields are those of `NewStream`."""

    url: Url = Field(description="as of a stream", examples=["rtsp://192.168.1.20/stream1"], repr=False)
    username: Username | None = Field(default=None, description="that the camera asks for")
    password: Password | None = Field(default=None, description="that the camera asks for")
    transport: Transport = Field(default=Transport.TCP, description="how RTSP brings its packets")


class ProbeFailure(_Value):
    """Why a source gave no picture."""

    code: str
    message: str


class ProbeResult(_Value):
    """What a source gave when it was tried."""

    codec: str | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = Field(default=None, description="as the source declares it, or as measured")
    picture: str | None = Field(default=None, description="a JPEG, base64")
    error: ProbeFailure | None = Field(default=None, description="why there is no picture; absent where there is one")


def live(analysis: Analysis) -> Analysis:
    """An analysis as a stream does it: `sample_fps` where it is not said."""
    if "sample_fps" in analysis.model_fields_set:
        return analysis
    return analysis.model_copy(update={"sample_fps": LIVE_SAMPLE_FPS})
