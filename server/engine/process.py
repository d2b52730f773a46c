"""The engine process: the frames of all streams and jobs, batched onto one accelerator.

    python -m server.engine.process      (its configuration on standard input)

The way of a request: router → batcher of its model → an idle lane → answers, in the order of their stream → router.

A lane that has run a batch takes the next one itself, so that between two batches no other thread need be woken. So the
lanes and the engine's own thread share all this under one lock; the sockets are the latter's alone.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import assert_never

import onnxruntime as ort
import zmq

from server.core import heap
from server.core.child import Life, read_config
from server.core.log import configure
from server.core.metrics_page import ERRORS, Page
from server.engine.answers import refusal
from server.engine.batcher import Batch, Key, Request
from server.engine.config import EngineConfig
from server.engine.inputs import FrameRefused
from server.engine.lanes import Crew, Mailbox, Ran
from server.engine.models import Model
from server.engine.shelf import Gone, NotUp, Shelf, Up
from server.engine.state import StateRefused
from server.engine.streams import Streams
from server.engine.tuning.idle import IdleTuning, MeasuringProcess
from server.engine.tuning.order import TuneOrder
from server.wire.errors import WireError
from server.wire.memory import SharedFile
from server.wire.messages import (
    Cancel,
    EngineReady,
    GetState,
    GetTally,
    Heartbeat,
    Infer,
    LoadModel,
    PutState,
    StateRows,
    Stop,
    Tallies,
    UnloadModel,
)
from server.wire.sockets import Dealer, Received, Router

_log = logging.getLogger(__name__)

_HEARTBEAT_S = 1.0
_STOP_S = 1.5
_HANG_S = 60.0


@dataclass(frozen=True, slots=True)
class Broken:
    """A lane's report could not be taken."""

    error: Exception


class Engine:
    """Requests in, answers out, until told to stop."""

    def __init__(self, config: EngineConfig, life: Life) -> None:
        self._life = life
        self._page = SharedFile.attach(config.page)
        self._recorder = Page(self._page.buffer, config.page_writers).recorder(config.writer)
        self._mailbox: Mailbox[Up | NotUp | Gone | Broken] = Mailbox()
        self._lock = Lock()
        self._crew = Crew(config.running.lanes, self._lane_ran)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = Router(context, config.address, "engine", config.incarnation)
        self._api = Dealer(context, config.api, "engine", config.incarnation)
        self._shelf = Shelf(config.running, self._mailbox.put, self._api.send)
        self._models = self._shelf.models
        self._streams = Streams(self._router, self._models)
        tuning, log = config.tuning, config.log.named("tuning")
        self._tuning = IdleTuning(
            tuning.after_s,
            lambda model: MeasuringProcess(TuneOrder(str(model.bundle.folder), config.running, tuning.tolerance, log)),
        )
        self._beat_at = 0.0
        self._stopping = False
        self._poller = zmq.Poller()
        for source in (self._router.socket, self._api.socket, self._mailbox.descriptor):
            self._poller.register(source, zmq.POLLIN)

    def run(self) -> None:
        """Serve until the order to stop, or until the parent is gone."""
        self._api.send(EngineReady(os.getpid(), tuple(ort.get_available_providers()), ort.__version__))
        patience_ms = 0
        while not self._stopping and not self._life.over.is_set():
            ready = dict(self._poller.poll(patience_ms))
            with self._lock:
                if self._router.socket in ready:
                    self._drain(self._router, self._hear)
                if self._mailbox.descriptor in ready:
                    for report in self._mailbox.take():
                        self._note(report)
                if self._api.socket in ready:
                    self._drain(self._api, self._obey)
                now = time.monotonic()
                self._expire(now)
                self._dispatch(now)
                self._streams.settle()
                self._shelf.settle()
                self._beat()
                patience_ms = self._patience_ms(now)

    def close(self) -> None:
        """Let the lanes finish what they run, answer it, and go."""
        self._tuning.interrupt()
        cut = self._crew.stop(_STOP_S)
        if cut:
            _log.warning("%d batches were cut off", cut)
        with self._lock:
            self._streams.settle()
        self._router.close()
        self._api.close()
        self._page.close()

    # ── the way of a request ─────────────────────────────────────────────────────────────────────────────────────

    def _infer(self, request: Request) -> None:
        """In: to the queue of its model."""
        self._tuning.interrupt()
        self._streams.expect(request)
        model = self._models.get(request.ask.model)
        why = self._streams.refusal(request)
        if model is None or model.leaving:
            self._refuse(request, "not_loaded", f"{request.ask.model} is not loaded.")
        elif why is not None:
            self._refuse(request, StateRefused.code, why)
        else:
            try:
                model.add(request)
            except FrameRefused as error:
                self._refuse(request, error.code, str(error))

    def _expire(self, now: float) -> None:
        """Too late: nobody wants the answer any more."""
        for model in self._models.values():
            for request in model.batcher.expire(now):
                model.tally.failed(now - request.arrived)
                self._refuse(request, "stale", "Its deadline passed before its turn came.")

    def _dispatch(self, now: float) -> None:
        """From the queues to the lanes, the most urgent first."""
        while not self._stopping and (found := self._next_batch(now)) is not None:
            model, batch = found
            model.in_flight += 1
            self._crew.run(model, batch)
        for model in self._models.values():
            self._recorder.queue_depth(model.row, len(model.batcher))

    def _next_batch(self, now: float) -> tuple[Model, Batch] | None:
        waiting = [model for model in self._models.values() if self._could_run(model)]
        if len(waiting) > 1:
            waiting.sort(key=lambda model: model.batcher.urgency())
        for model in waiting:
            batch = model.batcher.take(now, self._free(model))
            if batch is not None:
                return model, batch
        return None

    def _free(self, model: Model) -> int:
        """How many batches more of a model may run now."""
        return min(self._crew.idle(quick=model.quick), model.parallel - model.in_flight)

    def _could_run(self, model: Model) -> bool:
        """Whether frames of a model wait although a batch of it may run."""
        return len(model.batcher) > 0 and self._free(model) > 0

    def _lane_ran(self, ran: Ran) -> None:
        """On the lane's thread: out with the batch, and in with the next, which is mostly for the same lane."""
        try:
            with self._lock:
                self._ran(ran)
                self._dispatch(time.monotonic())
                # What is left although it could run waits for others or for a moment, which is not this thread's.
                left = any(self._could_run(model) for model in self._models.values())
                ring = left or self._streams.unsettled or self._shelf.at_work
        except Exception as error:  # the edge of a thread: the engine must not go on with a lane less
            self._mailbox.put(Broken(error))
        else:
            if ring:
                self._mailbox.ring()

    def _ran(self, ran: Ran) -> None:
        """Out: counted, and ready for those who asked."""
        model = ran.model
        self._crew.back(ran.lane)
        model.in_flight -= 1
        if ran.seconds:
            self._recorder.batch(model.row, ran.batch.rows, ran.batch.closed)
            self._recorder.inference(model.row, ran.seconds)
        self._streams.ran(ran.batch.requests, model)
        for answered in ran.answers:
            reason = answered.done.error
            if reason is not None:
                self._recorder.inference_error(model.row, reason if reason in ERRORS else "run_failed")
            self._streams.leave(answered)

    def _refuse(self, request: Request, code: str, message: str) -> None:
        self._streams.leave(refusal(request, code, message, time.monotonic()))

    # ── everything else ──────────────────────────────────────────────────────────────────────────────────────────

    def _drain(self, socket: Router | Dealer, handle: Callable[[Received], None]) -> None:
        """Handle all that has come."""
        while socket.has_mail:
            try:
                received = socket.recv()
            except WireError:
                _log.exception("a message was dropped")
                continue
            if received is not None:
                handle(received)

    def _hear(self, received: Received) -> None:
        """What workers say; a frame or state is dropped that comes of a try at a job which has been given up."""
        match received.message:
            case Infer() | PutState() as said if not self._streams.own(
                (received.peer, said.stream), received.header.incarnation
            ):
                self._recorder.stale()
            case Infer() as ask:
                self._infer(Request(received.peer, ask, time.monotonic()))
            case Cancel(stream=stream, forget=forget):
                self._streams.cancel((received.peer, stream), forget=forget)
            case GetState(stream=stream, model=name):
                model = self._models.get(name)
                rows = model.states.get((received.peer, stream)) if model else None
                self._router.send(received.peer, StateRows(stream, rows is not None), rows or ())
            case GetTally():
                tallies = tuple(model.tally.tally(name) for name, model in self._models.items())
                self._router.send(received.peer, Tallies(tallies))
            case PutState(stream=stream, model=name):
                self._put_state((received.peer, stream), name, received.payload)
            case other:
                _log.error("the engine cannot answer %s", type(other).__name__)

    def _put_state(self, key: Key, name: str, rows: Sequence[bytes]) -> None:
        model = self._models.get(name)
        try:
            if model is None:
                raise StateRefused(f"{name} was not loaded when its saved state came.")
            model.states.put(key, rows)
        except StateRefused as error:
            _log.error("%s: %s", key[1], error)
            self._streams.refuse(key, str(error))

    def _obey(self, received: Received) -> None:
        """What the API process says."""
        match received.message:
            case LoadModel() as order:
                self._tuning.interrupt()
                self._shelf.load(order)
            case UnloadModel(model=name):
                self._shelf.unload(name)
            case Stop():
                self._stopping = True
            case other:
                _log.error("the engine cannot obey %s", type(other).__name__)

    def _note(self, report: Up | NotUp | Gone | Broken) -> None:
        """What the other threads report."""
        match report:
            case Broken(error=error):
                raise error
            case Up():
                self._shelf.up(report)
            case NotUp():
                self._shelf.not_up(report)
            case Gone():
                self._shelf.gone(report)
            case other:
                assert_never(other)

    def _beat(self) -> None:
        """Say every second that the engine lives; a lane that hangs makes it silent, and the parent start another."""
        now = time.monotonic()
        if now < self._beat_at:
            return
        self._beat_at = now + _HEARTBEAT_S
        self._rest(now)
        hung = self._crew.hung(now, _HANG_S)
        if hung:
            _log.error("lanes %s have been at one batch for more than %.0f s", hung, _HANG_S)
        else:
            self._api.send(Heartbeat())

    def _rest(self, now: float) -> None:
        """Use the time in which there is nothing to do."""
        models = self._models.values()
        busy = self._shelf.at_work or any(model.in_flight or len(model.batcher) for model in models)
        self._tuning.look(now, models, busy=busy)

    def _patience_ms(self, looked_at: float) -> int:
        """How long nothing needs to happen, after what was to be done at a moment has been done."""
        wakes = [wake for model in self._models.values() if (wake := model.batcher.wake_at()) is not None]
        # What had waited too long by then waits for a lane, which reports.
        until = min([self._beat_at, *(wake for wake in wakes if wake > looked_at)])
        return max(0, math.ceil((until - time.monotonic()) * 1000))


def main() -> None:
    config = read_config(EngineConfig)
    configure(config.log)
    engine = Engine(config, Life())
    heap.freeze()
    try:
        engine.run()
    finally:
        engine.close()
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
