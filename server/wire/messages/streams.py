"""Between API process and workers: live sources."""

from __future__ import annotations

import msgspec

from server.wire.messages.message import Message


class Reached(msgspec.Struct, frozen=True):
    """How far a stream has come, so that its next attempt goes on from there.

    Attributes:
        frame: index of the last frame that has a row; -1: none has.
        pts_s: its media time in seconds; in an order, what media time has come to by then.
        track: the highest id that a track has been given; 0: none has.
    """

    frame: int = -1
    pts_s: float = 0.0
    track: int = 0


class Refusals(msgspec.Struct, frozen=True):
    """How often in a row a source did not accept the credentials, so that no attempt tries them sooner than is good.

    Attributes:
        rest_s: so long they must not be tried yet, in seconds.
        message: why.
    """

    times: int = 0
    rest_s: float = 0.0
    message: str = ""


class StartStream(Message, frozen=True, tag=True):
    """Analyse a live source until told otherwise, whatever becomes of it meanwhile.

    Attributes:
        attempt: counts how often it was given to a worker; all that is said of it carries it.
        source: JSON of a `StreamSource`, secrets and all.
        analysis: JSON of an `Analysis`.
        bundle: folder of the model.
        gate: folder of the background model, where the analysis has a gate.
        engine: address of the engine that serves both.
        row: of the metrics page, the stream's own.
        events_after: number of an event; the stream's first one has the next, so that numbers rise over all attempts.
        after: how far the attempts before this one have come.
        refusals: of the credentials, by the attempts before this one.
    """

    stream: str
    attempt: int
    source: bytes
    analysis: bytes
    bundle: str
    engine: str
    row: int
    gate: str = ""
    events_after: int = 0
    after: Reached = Reached()
    refusals: Refusals = Refusals()

    def __repr__(self) -> str:
        return f"StartStream(stream={self.stream!r}, attempt={self.attempt}, bundle={self.bundle!r}, …)"


class ChangeStream(Message, frozen=True, tag=True):
    """Go on with another analysis or model; the source stays open and tracks live on where the model allows it."""

    stream: str
    attempt: int
    analysis: bytes
    bundle: str
    gate: str = ""


class StopStream(Message, frozen=True, tag=True):
    """Close the source; `StreamEnded` follows."""

    stream: str
    attempt: int


class Look(Message, frozen=True, tag=True):
    """Take a picture of the stream's next frame, with what was found in it if `boxes`. Answered by `Looked`."""

    request: int
    stream: str
    attempt: int
    boxes: bool


class Probe(Message, frozen=True, tag=True):
    """Open a source (JSON of a `StreamSource`), take a picture, close it. Answered by `Probed`."""

    request: int
    source: bytes

    def __repr__(self) -> str:
        return f"Probe(request={self.request}, …)"


class StreamStatus(Message, frozen=True, tag=True):
    """How a stream is: at each change of state, and every second while it runs.

    Attributes:
        state: `starting`, `running` or `reconnecting`.
        code, message: what is wrong, without credentials: why it reconnects (`source_…`, `address_refused`), or why the
            frames that come get no results (`engine_silent`, `model_not_loaded`).
        retry_s: seconds until the next try, while it reconnects.
        reconnects: since it was started.
        refusals: how often the source did not accept the credentials since it last gave a frame.
        codec, width, height, fps: of the source; `fps` as measured. Empty and 0 while unknown.
        frame_at, result_at: Unix seconds of the last frame and the last result; 0 before the first.
    """

    stream: str
    attempt: int
    state: str
    code: str = ""
    message: str = ""
    retry_s: float = 0.0
    reconnects: int = 0
    refusals: int = 0
    codec: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    frame_at: float = 0.0
    result_at: float = 0.0


class StreamRows(Message, frozen=True, tag=True):
    """Finished rows: payload 0 is NDJSON of rows, payload 1 of events. Answered by `RowsTaken`; no more than four are
    ever unanswered. `lost` rows before these were dropped while the API process took none.
    """

    stream: str
    attempt: int
    lost: int = 0
    reached: Reached = Reached()


class StreamEnded(Message, frozen=True, tag=True):
    """The worker is done with it: as told, or, with a `code`, since it cannot mend itself (`source_ended`: its file is
    over).
    """

    stream: str
    attempt: int
    code: str = ""
    message: str = ""


class Looked(Message, frozen=True, tag=True):
    """What a stream shows. Payload 0: the picture as JPEG, unless `code` says why there is none."""

    request: int
    code: str = ""
    message: str = ""


class Probed(Message, frozen=True, tag=True):
    """What a source gave. Payload 0: its picture as JPEG, unless `code` says why there is none."""

    request: int
    code: str = ""
    message: str = ""
    codec: str = ""
    width: int = 0
    height: int = 0
    fps: float | None = None
