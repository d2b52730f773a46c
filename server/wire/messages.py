"""What the processes say to each other: msgspec structs, one MessagePack frame each.

Several may travel together (`server.wire.sockets`). Pixels are never in it: a `FrameRef` names the shared-memory
slot that holds them. Outputs of a model travel as payload up to `INLINE_OUTPUT_BYTES`, larger ones in a slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import msgspec

from server.wire.tally import Tally

PROTOCOL = 2
INLINE_OUTPUT_BYTES = 256 * 1024


class Header(msgspec.Struct, frozen=True, array_like=True):
    """First frame of every message. What an older incarnation of a process sent is dropped and counted."""

    protocol: int
    sender: str
    incarnation: int


class FrameRef(msgspec.Struct, frozen=True, array_like=True):
    """Where an array lies. Only `wire.slots` resolves it.

    Attributes:
        kind: of memory; `shm` is all there is.
        owner: name of the segment.
        slot: index in the segment.
        generation: of the slot's content; a reader that finds another one must not believe what it read.
        shape, dtype: of the array, C order.
    """

    kind: str
    owner: str
    slot: int
    generation: int
    shape: tuple[int, ...]
    dtype: str


class TensorMeta(msgspec.Struct, frozen=True, array_like=True):
    """An output that follows, in C order."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Priority(IntEnum):
    """Lower goes first."""

    LIVE = 0
    JOB = 1


class Message(msgspec.Struct, frozen=True, tag=True):
    """Base of all that travels; the tag is the class's name."""


# ── worker → engine ──────────────────────────────────────────────────────────────────────────────────────────────


class Infer(Message, frozen=True, tag=True):
    """Run one frame, or other tensors.

    Attributes:
        stream: whose frame it is: the unit of order, fairness and recurrent state.
        seq: of the request within the stream, rising; results of a stream are answered in this order.
        model: `name@version`.
        frame: the input, uint8 [H, W, 3]; with `inputs` the bytes of the slot that holds those, uint8 [bytes].
        priority: live before jobs.
        deadline: CLOCK_MONOTONIC seconds after which nobody wants the answer; None: never.
        reset: forget the stream's recurrent state first.
        reply: a slot for outputs that are too large for a message, or None.
        least: of a detector, the score below which nothing need be sent; None: send all.
        together: the answer may wait until so many of the stream can leave as one, or nothing of it is left here.
        inputs: tensors with their batch axis, as `server.wire.tensors` lays them. The outputs have theirs then, too.
        outputs: the names of those that are wanted; empty: all.
    """

    stream: str
    seq: int
    model: str
    frame: FrameRef
    priority: Priority
    deadline: float | None = None
    reset: bool = False
    reply: FrameRef | None = None
    least: float | None = None
    together: int = 1
    inputs: tuple[TensorMeta, ...] = ()
    outputs: tuple[str, ...] = ()


class Cancel(Message, frozen=True, tag=True):
    """Leave the queue: every request of the stream that has not run. Answered by `Cancelled`, then the slots are free.

    With `forget` its recurrent state goes too: the stream has ended.
    """

    stream: str
    forget: bool = False


class GetState(Message, frozen=True, tag=True):
    """Ask for a stream's recurrent rows, as they are after its last answered request; `StateRows` brings them."""

    stream: str
    model: str


class GetTally(Message, frozen=True, tag=True):
    """Ask what has run since the models came up; `Tallies` brings it."""


class PutState(Message, frozen=True, tag=True):
    """Set a stream's recurrent rows (payload: one buffer per state, in the manifest's order). Not answered."""

    stream: str
    model: str


# ── engine → worker ──────────────────────────────────────────────────────────────────────────────────────────────


class InferDone(Message, frozen=True, tag=True):
    """The outputs of one frame, without the batch axis and without state, one after the other:
    as payload, or in the slot.

    Attributes:
        error: a code, or None. `stale`: past its deadline. Anything else: the run failed.
        queue_s: waited before the run. infer_s: the run. batch: frames that shared it.
        needed: bytes that the slot for the outputs lacked room for, where that is the error.
    """

    stream: str
    seq: int
    outputs: tuple[TensorMeta, ...] = ()
    in_slot: bool = False
    error: str | None = None
    message: str = ""
    queue_s: float = 0.0
    infer_s: float = 0.0
    batch: int = 0
    needed: int = 0


class Cancelled(Message, frozen=True, tag=True):
    """The stream's waiting requests are gone and its running ones finished: the engine holds none of its slots.

    `seqs` are the requests that were dropped unanswered.
    """

    stream: str
    seqs: tuple[int, ...]


class StateRows(Message, frozen=True, tag=True):
    """Payload: one buffer per state, in the manifest's order; empty if the stream has no rows."""

    stream: str
    found: bool


class Tallies(Message, frozen=True, tag=True):
    """Of the models that are up."""

    models: tuple[Tally, ...]


# ── API → engine ─────────────────────────────────────────────────────────────────────────────────────────────────


class LoadModel(Message, frozen=True, tag=True):
    """Verify, warm up and serve the bundle in folder `bundle`; it counts in row `metrics_row` of the metrics page."""

    model: str
    bundle: str
    metrics_row: int


class UnloadModel(Message, frozen=True, tag=True):
    """Finish what is queued for it, then give the memory back."""

    model: str


class Stop(Message, frozen=True, tag=True):
    """End in order: finish what runs, close, exit 0."""


# ── engine → API ─────────────────────────────────────────────────────────────────────────────────────────────────


class EngineReady(Message, frozen=True, tag=True):
    """The engine listens. `providers` are those that ONNX Runtime has here; `onnxruntime` its version."""

    pid: int
    providers: tuple[str, ...]
    onnxruntime: str


class ModelLoaded(Message, frozen=True, tag=True):
    """The model is verified and warm.

    Attributes:
        provider: that runs it.
        asked: that was asked for; where they differ, `why` says the reason.
        sessions, threads, max_batch: how it runs.
        sizes: of batches, ascending; empty where what comes in one request runs by itself, whatever its size.
        load_s: seconds from the command to here.
        settings: all that may decide over bits of its answers, in one line: where two loads of the same model file say
            the same, so do their answers.
    """

    model: str
    provider: str
    asked: str
    why: str
    precision: str
    sessions: int
    threads: int
    max_batch: int
    load_s: float
    settings: str
    sizes: tuple[int, ...] = ()


class ModelFailed(Message, frozen=True, tag=True):
    """The model does not serve."""

    model: str
    code: str
    message: str


class ModelUnloaded(Message, frozen=True, tag=True):
    """Its sessions are gone."""

    model: str


# ── API → worker ─────────────────────────────────────────────────────────────────────────────────────────────────


class StartJob(Message, frozen=True, tag=True):
    """Analyse a file.

    Attributes:
        source: path of the video.
        analysis: JSON of an `Analysis`.
        bundle: folder of the pinned model.
        gate: folder of the pinned background model, where the analysis has a gate.
        engine: address of the engine that serves both.
        checkpoint: what the last `JobCheckpoint` said; empty: from the beginning.
        attempt: counts how often the job was started; its answers carry it, so that those of an attempt that was
            given up are known.
        checkpoint_s: seconds between checkpoints.
    """

    job: str
    attempt: int
    source: str
    analysis: bytes
    bundle: str
    engine: str
    gate: str = ""
    checkpoint: bytes = b""
    checkpoint_s: float = 5.0


class CancelJob(Message, frozen=True, tag=True):
    """Stop an attempt at a job; `JobEnded` follows."""

    job: str
    attempt: int


class RowsTaken(Message, frozen=True, tag=True):
    """The API process has this many of the job's `JobRows` or the stream's `StreamRows` in hand: the worker may send as
    many more. `job` is the id of either.
    """

    job: str
    count: int = 1


class Predict(Message, frozen=True, tag=True):
    """One encoded picture (payload) → one result row. Answered by `Predicted`."""

    request: int
    bundle: str
    engine: str
    confidence: float | None = None
    labels: Sequence[str] | None = None


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


class Probe(Message, frozen=True, tag=True):
    """Open a source (JSON of a `StreamSource`), take a picture, close it. Answered by `Probed`."""

    request: int
    source: bytes

    def __repr__(self) -> str:
        return f"Probe(request={self.request}, …)"


# ── worker → API ─────────────────────────────────────────────────────────────────────────────────────────────────


class WorkerReady(Message, frozen=True, tag=True):
    """The worker listens."""

    pid: int


class JobProgress(msgspec.Struct, frozen=True):
    """How far a job is. `frames` counts by outcome, in the order of `OUTCOMES`; `progress` is None where unknown."""

    frames: tuple[int, ...]
    pts_s: float
    progress: float | None
    width: int
    height: int


class JobRows(Message, frozen=True, tag=True):
    """Finished rows: payload 0 is NDJSON of rows, payload 1 of events."""

    job: str
    attempt: int
    progress: JobProgress


class JobCheckpoint(Message, frozen=True, tag=True):
    """Payload 0: all it takes to go on after the rows sent so far."""

    job: str
    attempt: int
    next_frame: int


class JobEnded(Message, frozen=True, tag=True):
    """The last word on a job.

    Attributes:
        state: `done`, `failed` or `cancelled`.
        code, message: why it failed.
        summary: JSON, label → `LabelSummary`.
    """

    job: str
    attempt: int
    state: str
    progress: JobProgress
    summary: bytes
    warnings: tuple[str, ...] = ()
    code: str = ""
    message: str = ""


class StreamStatus(Message, frozen=True, tag=True):
    """How a stream is: at each change of state, and every second while it runs.

    Attributes:
        state: `starting`, `running` or `reconnecting`.
        code, message: what is wrong, without credentials: why it reconnects (`source_…`, `address_refused`), or why the
            frames that come get no results (`engine_silent`, `model_not_loaded`).
        retry_s: seconds until the next try, while it reconnects.
        reconnects: since it was started.
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


class StreamEnded(Message, frozen=True, tag=True):
    """The worker is done with it: as told, or, with a `code`, since it cannot mend itself (`source_ended`: its file is
    over).
    """

    stream: str
    attempt: int
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


class Predicted(Message, frozen=True, tag=True):
    """Payload 0: the row as JSON, unless `code` says why there is none."""

    request: int
    code: str = ""
    message: str = ""


# ── both ways ────────────────────────────────────────────────────────────────────────────────────────────────────


class Heartbeat(Message, frozen=True, tag=True):
    """The process lives."""


AnyMessage = (
    Infer | Cancel | GetState | PutState | GetTally | InferDone | Cancelled | StateRows | Tallies
    | LoadModel | UnloadModel | Stop | EngineReady | ModelLoaded | ModelFailed | ModelUnloaded
    | StartJob | CancelJob | RowsTaken | Predict | StartStream | ChangeStream | StopStream | Probe
    | WorkerReady | JobRows | JobCheckpoint | JobEnded | Predicted
    | StreamStatus | StreamRows | StreamEnded | Probed | Heartbeat
)  # fmt: skip
