"""The engine process on its own, told what the API process would tell it and asked as a worker asks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import zmq

from benchmarks.failure import NotMeasured
from benchmarks.plain import Frame
from model_export.bundle import Bundle
from server.core.log import LogConfig
from server.core.machine import cores
from server.core.metrics_page import Page, Recorder
from server.engine.config import EngineConfig
from server.engine.running import Running
from server.engine.tuning.order import Tuning
from server.wire.memory import PREFIX, SharedFile
from server.wire.messages import (
    EngineReady,
    FrameRef,
    Infer,
    InferDone,
    LoadModel,
    ModelFailed,
    ModelLoaded,
    Priority,
    Stop,
)
from server.wire.slots import Segment, SizeClass, Slots
from server.wire.sockets import Dealer, Router

_PATIENCE_S = 60.0
_SLOT = 640 * 1024


class Engine:
    """The process, with one model loaded; threads of sessions are one each.

    Attributes:
        pid: of the process.
        address: where to ask it.
        api: the API process's end of its socket.
        api_address: where that is.
        context: of all sockets here.
        slots: for frames of up to 640 KiB.
        recorder: a worker's place on the metrics page.
    """

    def __init__(
        self, folder: Path, bundle: Bundle, stack: ExitStack, *command: str, provider: str = "cpu", **options: int
    ) -> None:
        name = f"{PREFIX}bench.{os.getpid()}.{folder.name}"
        page = SharedFile.create(f"{name}.page", Page.bytes_for(2))
        stack.callback(page.close)
        segment = Segment.create(name, [SizeClass(_SLOT, 80)])
        stack.callback(segment.close)
        self.slots = Slots(segment)
        self.recorder: Recorder = Page(page.buffer, 2).recorder(1)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.address, self.api_address = f"ipc://{folder}/engine", f"ipc://{folder}/api"
        config = EngineConfig(
            address=self.address,
            api=self.api_address,
            incarnation=1,
            running=Running(
                provider=provider,
                require_provider=True,
                sessions=options["sessions"],
                threads=1,
                max_batch=options["max_batch"],
                max_delay_s=None,
                cores=cores(),
            ),
            tuning=Tuning(after_s=None),
            page=page.name,
            page_writers=2,
            writer=0,
            log=LogConfig(process="engine", level="error"),
        )
        self.api = Router(self.context, self.api_address, "api", 1)
        stack.callback(self.api.close)
        process = subprocess.Popen([sys.executable, "-m", *command], stdin=subprocess.PIPE)
        stack.callback(self._end, process)
        self.pid = process.pid
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(config) + b"\n")
        process.stdin.flush()
        self._hear(EngineReady)
        self.api.send(b"engine", LoadModel(bundle.manifest.id, str(bundle.folder), 0))
        self._hear(ModelLoaded)

    def _hear(self, kind: type[EngineReady] | type[ModelLoaded]) -> None:
        while (received := self.api.recv(_PATIENCE_S)) is not None:
            if isinstance(received.message, kind):
                return
            if isinstance(received.message, ModelFailed):
                raise NotMeasured(received.message.message)
        raise NotMeasured(f"the engine never said {kind.__name__}")

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        self.api.send(b"engine", Stop())
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running(
    bundle: Bundle, *command: str, sessions: int = 1, max_batch: int = 1, provider: str = "cpu"
) -> Iterator[Engine]:
    """An engine with the bundle loaded.

    Args:
        command: a module that runs it, with arguments; the engine's own if there is none.
    """
    command = command or ("server.engine.process",)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        yield Engine(Path(folder), bundle, stack, *command, sessions=sessions, max_batch=max_batch, provider=provider)


class Streams:
    """Asks for a frame of each of many streams at once, as recurrent models want it: one of a stream in flight.

    Attributes:
        answers: how many there were.
        rows: frames that shared a run with an answered frame, itself included, summed over all answers.
    """

    def __init__(self, engine: Engine, bundle: Bundle) -> None:
        self.answers = self.rows = 0
        self._slots = engine.slots
        self._model = bundle.manifest.id
        self._dealer = Dealer(engine.context, engine.address, "worker", 1)

    def step(self, seq: int, frames: Mapping[str, Frame]) -> dict[str, bytes]:
        """A frame of each stream; each one's outputs, byte for byte.

        Raises:
            NotMeasured: the engine does not answer, or with an error.
        """
        asked: dict[str, FrameRef] = {}
        outputs: dict[str, bytes] = {}
        for stream, frame in frames.items():
            taken = self._slots.take(frame.shape)
            assert taken is not None
            asked[stream], array = taken
            array[:] = frame
            self._dealer.send(Infer(stream, seq, self._model, asked[stream], Priority.JOB))
        while asked:
            received = self._dealer.recv(_PATIENCE_S)
            if received is None or not isinstance(received.message, InferDone) or received.message.error is not None:
                raise NotMeasured(f"the engine said {received}")
            done = received.message
            self._slots.give(asked.pop(done.stream))
            outputs[done.stream] = b"".join(bytes(part) for part in received.payload)
            self.rows += done.batch
            self.answers += 1
        return outputs

    def close(self) -> None:
        self._dealer.close()
