"""The worker process: takes orders from the API process, gives each job a thread and each stream two.

python -m server.worker.process      (its configuration on standard input)
"""

from __future__ import annotations

import logging
import os
import sys
import time
from functools import partial

import cv2
import zmq

from model_export.video import open_video
from server.core import heap
from server.core.calls import CallPage, CallRows
from server.core.child import Life, give_memory_back, read_config, sacrifice
from server.core.last_words import leave
from server.core.log import configure
from server.core.metrics_page import Page
from server.wire.memory import SharedFile
from server.wire.messages import (
    CancelJob,
    ChangeStream,
    Heartbeat,
    Look,
    Predict,
    Probe,
    StartJob,
    StartStream,
    Stop,
    StopStream,
    WorkerReady,
)
from server.wire.slots import Segment, Slots
from server.wire.sockets import Dealer, Received
from server.worker.config import WorkerConfig
from server.worker.job import RunningJob
from server.worker.live.probe import start_probe
from server.worker.live.sources import OpenLiveLimited, open_live
from server.worker.live.stream import RunningStream
from server.worker.predictor import Predictor
from server.worker.source import OpenLimited
from server.worker.surroundings import Surroundings

_log = logging.getLogger(__name__)

_HEARTBEAT_S = 1.0
_POLL_S = 0.1
_STOP_S = 1.5
_SWITCH_S = 0.001
"""Between threads that want the interpreter. Python waits 5 ms, once or twice a frame: much of a live frame's age."""


class Worker:
    """Jobs and streams by id, until told to stop.

    Args:
        open_source: makes the source of a job's video.
        open_live: opens a stream's source.
    """

    def __init__(
        self,
        config: WorkerConfig,
        life: Life,
        open_source: OpenLimited = open_video,
        open_live: OpenLiveLimited = open_live,
    ) -> None:
        self._life = life
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._page = SharedFile.attach(config.page)
        self._calls = SharedFile.attach(config.calls)
        rows = CallRows(CallPage(self._calls.buffer, config.workers).rows(config.worker))
        self._segment = Segment.attach(config.segment)
        self._api = Dealer(self._context, config.api, config.name, config.incarnation)
        self._around = Surroundings(
            context=self._context,
            api=config.api,
            name=config.name,
            incarnation=config.incarnation,
            slots=Slots(self._segment),
            recorder=Page(self._page.buffer, config.page_writers).recorder(config.writer),
            rows=rows,
            open_source=partial(open_source, max_pixels=config.max_pixels, max_s=config.max_s),
            open_live=partial(open_live, max_pixels=config.max_pixels),
        )
        self._jobs: dict[tuple[str, int], RunningJob] = {}
        self._streams: dict[tuple[str, int], RunningStream] = {}
        self._predictor = Predictor(self._around)

    def run(self) -> None:
        """Take orders until the order to stop, or until the parent is gone."""
        self._predictor.start()
        self._api.send(WorkerReady(os.getpid()))
        beat_at = time.monotonic()
        while not self._life.over.is_set():
            received = self._api.recv(_POLL_S)
            if received is not None:
                if isinstance(received.message, Stop):
                    break
                self._obey(received)
            if time.monotonic() - beat_at >= _HEARTBEAT_S:
                beat_at = time.monotonic()
                self._api.send(Heartbeat())

    def close(self) -> None:
        """Stop every job and stream at its next frame, and go; what was not checkpointed is done again after the next
        start.
        """
        running: list[RunningJob | RunningStream] = [*self._jobs.values(), *self._streams.values()]
        for one in running:
            one.abandon()
        self._predictor.stop()
        until = time.monotonic() + _STOP_S
        cut = [one for one in running if not one.join(max(0.0, until - time.monotonic()))]
        if cut:
            _log.warning("%d jobs or streams did not stop in time", len(cut))
        self._api.close()
        self._segment.close()
        self._calls.close()
        self._page.close()

    def _obey(self, received: Received) -> None:
        match received.message:
            case StartJob() as order:
                job = RunningJob(order, self._around, self._forget)
                self._jobs[order.job, order.attempt] = job
                job.start()
            case CancelJob() as order:
                running = self._jobs.get((order.job, order.attempt))
                if running is not None:
                    running.cancel()
            case StartStream() as order:
                stream = RunningStream(order, self._around, self._forget_stream)
                self._streams[order.stream, order.attempt] = stream
                stream.start()
            case ChangeStream() as order:
                live = self._streams.get((order.stream, order.attempt))
                if live is not None:
                    live.change(order)
            case StopStream() as order:
                live = self._streams.get((order.stream, order.attempt))
                if live is not None:
                    live.stop()
            case Look() as order:
                live = self._streams.get((order.stream, order.attempt))
                if live is not None:
                    live.look(order)
            case Probe() as order:
                start_probe(order, self._around)
            case Predict() as order:
                self._predictor.put(order, received.payload[0])
            case other:
                _log.error("a worker cannot obey %s", type(other).__name__)

    def _forget(self, job: str, attempt: int) -> None:
        self._jobs.pop((job, attempt), None)

    def _forget_stream(self, stream: str, attempt: int) -> None:
        self._streams.pop((stream, attempt), None)


def main(open_source: OpenLimited = open_video, open_live: OpenLiveLimited = open_live) -> None:
    config = read_config(WorkerConfig)
    configure(config.log)
    last_words = SharedFile.attach(config.last_words)
    leave(last_words.descriptor)
    sacrifice()
    give_memory_back()
    sys.setswitchinterval(_SWITCH_S)
    # One decoding and resizing thread a job: the cores belong to the engine.
    cv2.setNumThreads(1)
    worker = Worker(config, Life(), open_source, open_live)
    heap.freeze()
    try:
        worker.run()
    finally:
        worker.close()
    # Threads of a job that hangs in a decoder must not keep the process.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
