"""The engine process: the frames of all streams and jobs, batched onto one accelerator.

    python -m server.engine.process      (its configuration on standard input)

The way of a request: router → batcher of its model → an idle lane → answers, in the order of their stream → router.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from threading import Thread
from typing import assert_never

import msgspec
import onnxruntime as ort
import zmq

from model_export.errors import VidserveError
from server.core.child import Life, read_config
from server.core.log import LogConfig, configure
from server.core.metrics_page import ERRORS, Page
from server.engine.batcher import Request
from server.engine.lanes import Lane, Mailbox, Ran
from server.engine.models import Answered, Model, Running, load
from server.engine.order import InOrder
from server.engine.session import choose_provider, release_memory
from server.wire.memory import SharedFile
from server.wire.messages import (
    Cancel,
    Cancelled,
    EngineReady,
    GetState,
    Heartbeat,
    Infer,
    InferDone,
    LoadModel,
    ModelFailed,
    ModelLoaded,
    ModelUnloaded,
    PutState,
    StateRows,
    Stop,
    UnloadModel,
)
from server.wire.sockets import Dealer, Received, Router

_log = logging.getLogger(__name__)

_HEARTBEAT_S = 1.0
_STOP_S = 2.0


class EngineConfig(msgspec.Struct, frozen=True):
    """What the engine is told.

    Attributes:
        address: to listen at. api: address of the API process.
        incarnation: rises with each start.
        sessions, threads, max_batch, max_delay_ms, provider, require_provider: as `[engine]` in the settings.
        page, page_writers, writer: the metrics page, and which region is the engine's.
    """

    address: str
    api: str
    incarnation: int
    sessions: int
    threads: int
    max_batch: int
    max_delay_ms: float | None
    provider: str
    require_provider: bool
    page: str
    page_writers: int
    writer: int
    log: LogConfig


class _Loaded(msgspec.Struct):
    order: LoadModel
    model: Model
    seconds: float


class _NotLoaded(msgspec.Struct):
    order: LoadModel
    code: str
    message: str


class Engine:
    """Requests in, answers out, until told to stop."""

    def __init__(self, config: EngineConfig, life: Life) -> None:
        self._config = config
        self._life = life
        self._page = SharedFile.attach(config.page)
        self._recorder = Page(self._page.buffer, config.page_writers).recorder(config.writer)
        self._mailbox: Mailbox[Ran | _Loaded | _NotLoaded] = Mailbox()
        self._lanes = [Lane(number, self._mailbox.put) for number in range(config.sessions)]
        self._idle = list(self._lanes)
        self._models: dict[str, Model] = {}
        self._order: InOrder[Answered] = InOrder()
        self._cancels: list[tuple[bytes, Cancel, tuple[int, ...]]] = []
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = Router(context, config.address, "engine", config.incarnation)
        self._api = Dealer(context, config.api, "engine", config.incarnation)
        self._poller = zmq.Poller()
        for source in (self._router.socket, self._api.socket, self._mailbox.descriptor):
            self._poller.register(source, zmq.POLLIN)

    def run(self) -> None:
        """Serve until the order to stop, or until the parent is gone."""
        self._api.send(EngineReady(os.getpid(), tuple(ort.get_available_providers()), ort.__version__))
        beat_at = time.monotonic()
        while not self._life.over.is_set():
            ready = dict(self._poller.poll(self._patience_ms(beat_at)))
            if self._router.socket in ready:
                while (received := self._router.recv(0)) is not None:
                    self._hear(received)
            if self._mailbox.descriptor in ready:
                for item in self._mailbox.take():
                    self._report(item)
            if self._api.socket in ready:
                while (received := self._api.recv(0)) is not None:
                    if isinstance(received.message, Stop):
                        return
                    self._obey(received)
            self._dispatch()
            if time.monotonic() - beat_at >= _HEARTBEAT_S:
                beat_at = time.monotonic()
                self._api.send(Heartbeat())

    def close(self) -> None:
        """Let the lanes finish what they run, and go."""
        cut = [lane for lane in self._lanes if not lane.stop(_STOP_S)]
        if cut:
            _log.warning("%d batches were cut off", len(cut))
        self._router.close()
        self._api.close()
        self._page.close()

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _hear(self, received: Received) -> None:
        match received.message:
            case Infer() as ask:
                self._infer(Request(received.peer, ask, time.monotonic()))
            case Cancel() as cancel:
                self._cancel(received.peer, cancel)
            case GetState(stream=stream, model=name):
                model = self._models.get(name)
                rows = model.states.get(stream) if model else None
                self._router.send(received.peer, StateRows(stream, rows is not None), rows or ())
            case PutState(stream=stream, model=name):
                model = self._models.get(name)
                if model is not None:
                    model.states.put(stream, received.payload)
            case other:
                _log.error("the engine cannot answer %s", type(other).__name__)

    def _infer(self, request: Request) -> None:
        ask = request.ask
        self._order.expect(_key(request), ask.seq)
        model = self._models.get(ask.model)
        if model is None or model.leaving:
            message = f"{ask.model} is not loaded."
            self._leave(Answered(request, InferDone(ask.stream, ask.seq, error="not_loaded", message=message)))
            return
        if ask.reset:
            model.states.reset(ask.stream)
        model.batcher.add(request)

    def _cancel(self, peer: bytes, cancel: Cancel) -> None:
        dropped = [request for model in self._models.values() for request in model.batcher.cancel(cancel.stream)]
        seqs = tuple(sorted(request.ask.seq for request in dropped))
        if dropped:
            for answered in self._order.drop(_key(dropped[0]), set(seqs)):
                self._send(answered)
        self._cancels.append((peer, cancel, seqs))
        self._finish_cancels()

    def _finish_cancels(self) -> None:
        """Acknowledge the cancels of streams of which nothing runs any more: the engine holds none of their slots."""
        waiting = []
        for peer, cancel, seqs in self._cancels:
            if any(model.batcher.running(cancel.stream) for model in self._models.values()):
                waiting.append((peer, cancel, seqs))
                continue
            if cancel.forget:
                for model in self._models.values():
                    model.states.reset(cancel.stream)
            self._router.send(peer, Cancelled(cancel.stream, seqs))
        self._cancels = waiting

    # ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _dispatch(self) -> None:
        """Give idle lanes the most urgent batches that may run."""
        now = time.monotonic()
        for model in self._models.values():
            for request in model.batcher.expire(now):
                waited = now - request.arrived
                ask = request.ask
                self._leave(Answered(request, InferDone(ask.stream, ask.seq, error="stale", queue_s=waited)))
        while self._idle:
            urgent = [(model.batcher.urgency(), model) for model in self._models.values() if len(model.batcher)]
            ranked = sorted(((u, m) for u, m in urgent if u is not None), key=lambda pair: pair[0])
            for _, model in ranked:
                batch = model.batcher.take(now, len(self._idle))
                if batch is not None:
                    model.in_flight += 1
                    self._idle.pop().run(model, batch)
                    self._recorder.queue_depth(model.row, len(model.batcher))
                    break
            else:
                return

    def _report(self, item: Ran | _Loaded | _NotLoaded) -> None:
        match item:
            case Ran():
                self._ran(item)
            case _Loaded():
                self._models[item.order.model] = item.model
                self._say_loaded(item)
            case _NotLoaded():
                self._api.send(ModelFailed(item.order.model, item.code, item.message))
            case other:
                assert_never(other)

    def _ran(self, ran: Ran) -> None:
        model = ran.model
        self._idle.append(ran.lane)
        model.in_flight -= 1
        self._recorder.batch(model.row, len(ran.batch.requests), ran.batch.closed)
        if ran.seconds:
            self._recorder.inference(model.row, ran.seconds)
        for answered in ran.answers:
            if answered.done.error is not None:
                reason = answered.done.error
                self._recorder.inference_error(model.row, reason if reason in ERRORS else "run_failed")
            model.batcher.finish(answered.request)
            self._leave(answered)
        self._recorder.queue_depth(model.row, len(model.batcher))
        if self._cancels:
            self._finish_cancels()
        if model.leaving:
            self._let_go(model)

    def _leave(self, answered: Answered) -> None:
        """Send what may leave now that this answer is there."""
        request = answered.request
        for ready in self._order.done(_key(request), request.ask.seq, answered):
            self._send(ready)

    def _send(self, answered: Answered) -> None:
        # A peer that is gone wants no answer.
        self._router.send(answered.request.peer, answered.done, answered.payload)

    def _patience_ms(self, beat_at: float) -> int:
        """How long nothing needs to happen."""
        now = time.monotonic()
        until = beat_at + _HEARTBEAT_S
        for model in self._models.values():
            wake_at = model.batcher.wake_at()
            if wake_at is not None and (self._idle or wake_at > now):
                until = min(until, wake_at)
        return max(0, int((until - now) * 1000) + 1) if until > now else 0

    # ── models ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _obey(self, received: Received) -> None:
        match received.message:
            case LoadModel() as order:
                if order.model in self._models:
                    self._say_loaded(_Loaded(order, self._models[order.model], 0.0))
                else:
                    # Beside the serving, so that nobody waits for it.
                    Thread(target=self._load, args=(order,), name=f"load {order.model}", daemon=True).start()
            case UnloadModel(model=name):
                model = self._models.get(name)
                if model is None:
                    self._api.send(ModelUnloaded(name))
                else:
                    model.leaving = True
                    self._let_go(model)
            case other:
                _log.error("the engine cannot obey %s", type(other).__name__)

    def _load(self, order: LoadModel) -> None:
        start = time.monotonic()
        try:
            model = load(Path(order.bundle), order.metrics_row, self._running(Path(order.bundle) / "model.onnx"))
            self._mailbox.put(_Loaded(order, model, time.monotonic() - start))
        except VidserveError as error:
            self._mailbox.put(_NotLoaded(order, error.code, str(error)))
        except Exception as error:  # the edge of a thread
            _log.exception("loading %s", order.model)
            self._mailbox.put(_NotLoaded(order, "internal_error", f"{type(error).__name__}: {error}"))

    def _running(self, probe: Path) -> Running:
        config = self._config
        return Running(
            provider=choose_provider(config.provider, required=config.require_provider, probe=probe),
            sessions=config.sessions,
            threads=config.threads,
            max_batch=config.max_batch,
            max_delay_s=None if config.max_delay_ms is None else config.max_delay_ms / 1000,
        )

    def _say_loaded(self, loaded: _Loaded) -> None:
        model = loaded.model
        self._api.send(
            ModelLoaded(
                model=loaded.order.model,
                provider=model.provider.name,
                asked=model.provider.asked,
                why=model.provider.why,
                precision="fp32",
                sessions=len(model.sessions),
                threads=self._config.threads,
                max_batch=model.policy.sizes[-1],
                load_s=loaded.seconds,
            )
        )

    def _let_go(self, model: Model) -> None:
        """Unload a model once all it had has run."""
        if len(model.batcher) or model.in_flight:
            return
        del self._models[model.manifest.id]
        model.close()
        release_memory()
        self._api.send(ModelUnloaded(model.manifest.id))


def _key(request: Request) -> str:
    """Streams are named by those who ask, so two of them may choose the same name."""
    return f"{request.peer!r}/{request.ask.stream}"


def main() -> None:
    config = read_config(EngineConfig)
    configure(config.log)
    engine = Engine(config, Life())
    try:
        engine.run()
    finally:
        engine.close()
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
