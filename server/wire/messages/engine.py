"""To the engine and back: frames and state from workers, models from the API process."""

from __future__ import annotations

from server.wire.messages.message import FrameRef, Message, Priority, TensorMeta
from server.wire.tally import Tally


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


class PutState(Message, frozen=True, tag=True):
    """Set a stream's recurrent rows (payload: one buffer per state, in the manifest's order). Not answered."""

    stream: str
    model: str


class GetTally(Message, frozen=True, tag=True):
    """Ask what has run since the models came up; `Tallies` brings it."""


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


class LoadModel(Message, frozen=True, tag=True):
    """Verify, warm up and serve the bundle in folder `bundle`; it counts in row `metrics_row` of the metrics page."""

    model: str
    bundle: str
    metrics_row: int


class UnloadModel(Message, frozen=True, tag=True):
    """Finish what is queued for it, then give the memory back."""

    model: str


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
        variant: the name of the graph that runs; None: the model's own.
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
    variant: str | None = None


class ModelFailed(Message, frozen=True, tag=True):
    """The model does not serve."""

    model: str
    code: str
    message: str


class ModelUnloaded(Message, frozen=True, tag=True):
    """Its sessions are gone."""

    model: str
