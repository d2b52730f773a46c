"""Cameras that do as they are told, and all that is around a stream in its worker."""

from __future__ import annotations

import json
import mmap
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import msgspec
import numpy as np
import zmq
from worker_builders import FakeEngine, manifest

from server.core.calls import CallPage, CallRows
from server.core.metrics_page import Page
from server.domain.stream import StreamSource
from server.wire.memory import PREFIX
from server.wire.messages import (
    Looked,
    Probed,
    Reached,
    Refusals,
    RowsTaken,
    StartStream,
    StreamEnded,
    StreamRows,
    StreamStatus,
)
from server.wire.slots import Segment, SizeClass, Slots
from server.wire.sockets import Router
from server.worker.live.connection import Shot
from server.worker.live.errors import SourceLost
from server.worker.live.intake import LiveFrame
from server.worker.live.stream import RunningStream
from server.worker.surroundings import Surroundings

ROW = 3


def image(level: int = 0, size_wh: tuple[int, int] = (64, 36)) -> av.VideoFrame:
    """A decoded frame of one grey."""
    width, height = size_wh
    return av.VideoFrame.from_ndarray(np.full((height, width, 3), level % 200, np.uint8), "bgr24")


def live_frame(index: int, *, begins: bool = False) -> LiveFrame:
    now = time.monotonic()
    return LiveFrame(index, index / 10, now, now, image(index), begins)


class Camera:
    """Opens as `open_live`, and gives a frame every 1/fps seconds, grey by its number.

    Args:
        failures: raised by the first calls of `open`, one each.
        lasts: frames of each connection, after which it breaks.
        shows: the picture of a frame, by number.
        stamp: time stamp by number; None: there are none.
        hold: seconds that a frame is held back, by number; those behind it come at once then.
        broken: numbers of frames that do not decode.
    """

    codec = "fake"
    fps = None

    def __init__(
        self,
        *,
        fps: float = 20.0,
        failures: tuple[Exception, ...] = (),
        lasts: int | None = None,
        shows: Callable[[int], av.VideoFrame] | None = None,
        stamp: Callable[[int], float | None] = lambda n: n / 20.0,
        hold: Callable[[int], float] = lambda _: 0.0,
        broken: frozenset[int] = frozenset(),
        bulk: bool = False,
        recorded: bool = False,
    ) -> None:
        self.bulk, self.recorded = bulk, recorded
        self.opened = 0
        self.given = 0
        self.closed = 0
        self._rate = fps
        self._failures = list(failures)
        self._lasts = lasts
        self._shows = shows or image
        self._stamp, self._hold, self._broken = stamp, hold, broken
        self._since = 0
        self._due = 0.0

    def open(self, source: StreamSource, row) -> Camera:
        self.opened += 1
        if self._failures:
            raise self._failures.pop(0)
        self._since = self.given
        self._due = time.monotonic()
        return self

    def grab(self) -> Shot | None:
        if self._lasts is not None and self.given - self._since >= self._lasts:
            raise SourceLost("It broke off.")
        number = self.given
        if not self.bulk:
            time.sleep(max(0.0, self._due + self._hold(number) - time.monotonic()))
        self._due += 1 / self._rate
        self.given += 1
        if number in self._broken:
            return None
        stamp_s, arrived = self._stamp(number), time.monotonic()
        packets = () if stamp_s is None else ((stamp_s, arrived),)
        return Shot(stamp_s, arrived, self._shows(number), packets)

    def close(self) -> None:
        self.closed += 1


class StreamApi:
    """Collects what streams say.

    Attributes:
        takes: whether rows are answered.
    """

    def __init__(self, context: zmq.Context, address: str) -> None:
        self.takes = True
        self.rows: list[dict] = []
        self.events: list[dict] = []
        self.statuses: list[StreamStatus] = []
        self.ended: list[StreamEnded] = []
        self.probed: list[tuple[Probed, list[bytes]]] = []
        self.lost = 0
        self.reached = Reached()
        self.looked: dict[int, tuple[Looked, list[bytes]]] = {}
        self._owed: list[tuple[bytes, str]] = []
        self._router = Router(context, address, "api", 1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._body, daemon=True)
        self._thread.start()

    def _body(self) -> None:
        while not self._over.is_set():
            received = self._router.recv(0.02)
            if received is not None:
                self._hear(received)
            while self.takes and self._owed:
                peer, stream = self._owed.pop()
                self._router.send(peer, RowsTaken(stream))

    def _hear(self, received) -> None:
        match received.message:
            case StreamRows(stream=stream, lost=lost, reached=reached):
                self.lost += lost
                self.reached = reached
                self.rows += [json.loads(line) for line in received.payload[0].splitlines()]
                self.events += [json.loads(line) for line in received.payload[1].splitlines()]
                self._owed.append((received.peer, stream))
            case StreamStatus() as status:
                self.statuses.append(status)
            case StreamEnded() as ended:
                self.ended.append(ended)
            case Looked() as looked:
                self.looked[looked.request] = looked, received.payload
            case Probed() as probed:
                self.probed.append((probed, received.payload))

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._router.close()


class LiveBench:
    """Everything around streams, in one process.

    Args:
        engine: its kind, and its options.
    """

    def __init__(
        self,
        folder: Path,
        open_live,
        *,
        recurrent: bool = False,
        slots: int = 16,
        slot_bytes: int = 4096,
        engine_kind: type[FakeEngine] = FakeEngine,
        **engine,
    ) -> None:
        self._engine_kind = engine_kind
        self.folder = folder
        self.context = zmq.Context()
        self.recurrent = recurrent
        self.engine_address = f"ipc://{folder}/engine"
        self._engine = engine
        self.start_engine()
        self.api = StreamApi(self.context, f"ipc://{folder}/api")
        self.segment = Segment.create(f"{PREFIX}test.{os.getpid()}.{folder.name}", [SizeClass(slot_bytes, slots)])
        self.slots = Slots(self.segment)
        self.page = Page(bytearray(Page.bytes_for(1)), 1)
        self.calls = CallPage(mmap.mmap(-1, CallPage.bytes_for(1)), 1)
        self.around = Surroundings(
            self.context,
            f"ipc://{folder}/api",
            "w",
            1,
            self.slots,
            self.page.recorder(0),
            CallRows(self.calls.rows(0)),
            open_live,
            open_live,
        )
        self.streams: list[RunningStream] = []
        self.bundle = self.bundle_of(manifest(recurrent=recurrent))

    def start_engine(self, incarnation: int = 1) -> None:
        self.engine = self._engine_kind(
            self.context, self.engine_address, recurrent=self.recurrent, incarnation=incarnation, **self._engine
        )

    def bundle_of(self, model) -> str:
        folder = self.folder / f"{model.name}-{model.version}"
        folder.mkdir(exist_ok=True)
        (folder / "manifest.json").write_text(model.model_dump_json())
        return str(folder)

    def stream(
        self,
        source: StreamSource | None = None,
        *,
        gate: str = "",
        after: Reached | None = None,
        refusals: Refusals | None = None,
        **analysis,
    ) -> RunningStream:
        order = StartStream(
            "cam",
            1,
            msgspec.json.encode(source or StreamSource(url="rtsp://camera/")),
            json.dumps(analysis).encode(),
            self.bundle,
            self.engine_address,
            ROW,
            gate,
            after=after or Reached(),
            refusals=refusals or Refusals(),
        )
        stream = RunningStream(order, self.around, lambda *_: None)
        self.streams.append(stream)
        stream.start()
        return stream

    @property
    def frames(self) -> dict[str, int]:
        """Frames of the stream by outcome."""
        return {outcome.value: int(count) for outcome, count in self.page.frames(ROW).items() if count}

    def close(self) -> None:
        for stream in self.streams:
            stream.abandon()
            stream.join(5)
        with suppress(RuntimeError):
            self.engine.close()
        self.api.close()
        self.context.destroy(linger=0)
        self.segment.close()


def eventually(holds, *, within_s: float = 60.0):
    """Wait until `holds()` is true, and give it."""
    until = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.01)
    return found
