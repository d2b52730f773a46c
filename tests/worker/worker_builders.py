"""A source, an engine and an API process that do as they are told, for tests of the pipeline."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import zmq

from model_export.manifest import FrameInput, Manifest, Provenance, State, Task, TensorSpec
from model_export.sampling import Sampler
from server.analytics.scene import Scene
from server.core.metrics_page import Page
from server.domain.analysis import Analysis
from server.wire.memory import PREFIX
from server.wire.messages import (
    Cancel,
    Cancelled,
    GetState,
    Infer,
    InferDone,
    JobCheckpoint,
    JobEnded,
    JobRows,
    PutState,
    RowsTaken,
    StateRows,
    TensorMeta,
)
from server.wire.slots import Segment, Segments, SizeClass, Slots
from server.wire.sockets import Router
from server.worker.feeds import ungated
from server.worker.frames import FileFrames
from server.worker.publisher import Publisher
from server.worker.requests import Requests
from server.worker.walk import Walk

SIDE = 4
FPS = 10


def manifest(*, recurrent: bool = False) -> Manifest:
    """A classifier of three labels; with state, one that counts a stream's frames."""
    frames = TensorSpec(name="frames", dtype="uint8", shape=(None, SIDE, SIDE, 3))
    probabilities = TensorSpec(name="probabilities", dtype="float32", shape=(None, 3))
    count = [TensorSpec(name=f"count_{end}", dtype="int64", shape=(None,)) for end in ("in", "out")]
    return Manifest(
        name="fake",
        version=1,
        task=Task.CLASSIFY,
        family="test",
        input=FrameInput(width=SIDE, height=SIDE),
        inputs=(frames, *count[:1]) if recurrent else (frames,),
        outputs=(probabilities, *count[1:]) if recurrent else (probabilities,),
        labels=("a", "b", "c"),
        state=(State(input="count_in", output="count_out", dtype="int64", shape=()),) if recurrent else (),
        provenance=Provenance(tool="test"),
    )


class FakeSource:
    """`frames` grey frames, each one level brighter; some that do not decode."""

    def __init__(self, frames: int, *, broken: set[int] = frozenset(), duration_s: float | None = None) -> None:
        self.index = -1
        self.pts_s = 0.0
        self.duration_s = duration_s
        self.truncated = False
        self.closed = False
        self.retrieved: list[int] = []
        self._frames = frames
        self._broken = broken

    def grab(self) -> bool:
        if self.index + 1 >= self._frames:
            return False
        self.index += 1
        self.pts_s = self.index / FPS
        return True

    def retrieve(self, out=None):
        self.retrieved.append(self.index)
        if self.index in self._broken:
            return None
        return np.full((6, 8, 3), self.index % 200, np.uint8)

    def close(self) -> None:
        self.closed = True


class FakeEngine:
    """Answers each frame with its level as the probability of `a`, and, with state, the count as that of `b`.

    Args:
        failing: levels that are answered with an error.
        overflowing: levels whose answer is no number.
        silent: never answers.
        incarnation: of the process that it stands for.

    Attributes:
        silent: whether to answer no frame from now on.
        missing: whether to say that the model is not loaded.
        resets: numbers of the requests that asked to forget the stream's state.
    """

    def __init__(
        self,
        context: zmq.Context,
        address: str,
        *,
        recurrent: bool = False,
        failing: set[int] = frozenset(),
        overflowing: set[int] = frozenset(),
        silent: bool = False,
        incarnation: int = 1,
    ) -> None:
        self.resets: list[int] = []
        self.missing = False
        self._recurrent = recurrent
        self.counts: dict[str, int] = {}
        self._failing = failing
        self._overflowing = overflowing
        self.silent = silent
        self._router = Router(context, address, "engine", incarnation)
        self._segments = Segments()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._body, daemon=True)
        self._thread.start()

    def _body(self) -> None:
        while not self._over.is_set():
            received = self._router.recv(0.02)
            if received is None or (self.silent and isinstance(received.message, Infer)):
                continue
            self._say(received)

    def _say(self, received) -> None:
        match received.message:
            case Infer() as ask:
                self._router.send(received.peer, *self._infer(ask))
            case Cancel(stream=stream):
                self.counts.pop(stream, None)
                self._router.send(received.peer, Cancelled(stream, ()))
            case GetState(stream=stream):
                row = np.array(self.counts.get(stream, 0), np.int64).tobytes()
                self._router.send(received.peer, StateRows(stream, stream in self.counts), [row])
            case PutState(stream=stream):
                self.counts[stream] = int(np.frombuffer(received.payload[0], np.int64)[0])

    def _infer(self, ask: Infer):
        if self.missing:
            return (InferDone(ask.stream, ask.seq, error="not_loaded", message="fake@1 is not loaded."),)
        if ask.deadline is not None and ask.deadline < time.monotonic():
            return (InferDone(ask.stream, ask.seq, error="stale", message="too late"),)
        if ask.reset:
            self.resets.append(ask.seq)
            self.counts.pop(ask.stream, None)
        level = int(self._segments.array(ask.frame)[0, 0, 0])
        if level in self._failing:
            return (InferDone(ask.stream, ask.seq, error="run_failed", message="told to fail"),)
        if self._recurrent:
            self.counts[ask.stream] = self.counts.get(ask.stream, 0) + 1
        first = np.nan if level in self._overflowing else level / 1000
        row = np.array([first, self.counts.get(ask.stream, 0) / 1000, 0], np.float32)
        meta = TensorMeta("probabilities", "float32", (3,))
        return InferDone(ask.stream, ask.seq, (meta,), queue_s=0.001, infer_s=0.002, batch=1), [row.tobytes()]

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._router.close()
        self._segments.close()


class FakeApi:
    """Collects what a job sends; `kept` is what would be on disk."""

    def __init__(self, context: zmq.Context, address: str, *, takes: bool = True) -> None:
        self.rows = b""
        self.events = b""
        self.pieces = 0
        self.checkpoints: list[tuple[int, bytes, int]] = []
        self.ended: JobEnded | None = None
        self._takes = takes
        self._router = Router(context, address, "api", 1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._body, daemon=True)
        self._thread.start()

    def _body(self) -> None:
        while not self._over.is_set():
            received = self._router.recv(0.02)
            if received is None:
                continue
            match received.message:
                case JobRows(job=job):
                    self.rows += received.payload[0]
                    self.events += received.payload[1]
                    self.pieces += 1
                    if self._takes:
                        self._router.send(received.peer, RowsTaken(job))
                case JobCheckpoint(next_frame=next_frame):
                    self.checkpoints.append((next_frame, received.payload[0], len(self.rows)))
                case JobEnded() as ended:
                    self.ended = ended

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._router.close()


class Bench:
    """Everything around a pipeline, in one process."""

    engine_kind: type[FakeEngine] = FakeEngine
    slot_bytes = 4096

    def __init__(self, folder: Path, *, recurrent: bool = False, slots: int = 16, takes: bool = True, **engine) -> None:
        self.context = zmq.Context()
        self.manifest = manifest(recurrent=recurrent)
        self.engine_address, self.api_address = f"ipc://{folder}/engine", f"ipc://{folder}/api"
        self.engine = self.engine_kind(self.context, self.engine_address, recurrent=recurrent, **engine)
        self.api = FakeApi(self.context, self.api_address, takes=takes)
        self.segment = Segment.create(f"{PREFIX}test.{os.getpid()}.{folder.name}", [SizeClass(self.slot_bytes, slots)])
        self.slots = Slots(self.segment)
        self.page = Page(bytearray(Page.bytes_for(1)), 1)
        self.cancelled = threading.Event()
        self._attempts = 0
        self._sockets: list[Requests | Publisher] = []

    def walk(
        self,
        source,
        *,
        fps: float | None = None,
        analysis: Analysis | None = None,
        checkpoint_s: float = 1e9,
        **options,
    ) -> Walk:
        analysis = analysis or Analysis()
        self._attempts += 1
        identity = f"w.{self._attempts}"
        requests = Requests(self.context, self.engine_address, identity, 1, "job", self.manifest, self.slots)
        publisher = Publisher(self.context, self.api_address, identity, 1, job="job", attempt=self._attempts)
        self._sockets += [requests, publisher]
        frames = FileFrames(source, Sampler(fps), self.page.recorder(0), self.cancelled)
        return Walk(
            frames=frames,
            feed=ungated(frames, self.manifest, analysis, requests),
            requests=requests,
            scene=Scene(self.manifest, analysis, owner="job"),
            publisher=publisher,
            checkpoint_s=checkpoint_s,
            **options,
        )

    def close(self) -> None:
        for socket in self._sockets:
            socket.close()
        self.engine.close()
        self.api.close()
        self.context.destroy(linger=0)
        self.segment.close()


def rows_of(around):
    """All rows, once no more come."""
    before = -1
    while len(around.api.rows) > before or not around.api.pieces:
        before = len(around.api.rows)
        time.sleep(0.3)
    return [json.loads(line) for line in around.api.rows.splitlines()]


def eventually(holds):
    until = time.monotonic() + 60
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)


def counted(pipeline):
    return {outcome: count for outcome, count in pipeline.outcomes.items() if count}
