"""A model at the engine: verified, warmed up, and run batch by batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_export import golden
from model_export.bundle import Bundle
from model_export.errors import ModelError
from model_export.manifest import Manifest
from server.engine.batcher import Batch, Batcher, Policy, Request
from server.engine.session import OnnxSession, Provider, Session, SessionFailed
from server.engine.state import StateRows
from server.wire.errors import StaleFrame
from server.wire.messages import INLINE_OUTPUT_BYTES, InferDone, TensorMeta
from server.wire.slots import Segments

_log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
OpenSession = Callable[[Path, str, int], Session]


class NotInvariant(ModelError):
    """Rows change with what shares their batch, although the manifest says that they do not."""

    code = "batch_not_invariant"


@dataclass(frozen=True)
class Running:
    """How models run on this machine.

    Attributes:
        sessions: of each model; as many batches run at once.
        threads: of each session.
        max_delay_s: None: none on a CPU, where waiting gains nothing, 2 ms on a GPU.
    """

    provider: Provider
    sessions: int
    threads: int
    max_batch: int
    max_delay_s: float | None


@dataclass(slots=True)
class Answered:
    """A request and what came of it."""

    request: Request
    done: InferDone
    payload: Sequence[bytes | memoryview] = ()


@dataclass(eq=False)
class Model:
    """A loaded model.

    Attributes:
        row: of the metrics page.
        leaving: no new requests are taken; it goes when the last has run.
    """

    manifest: Manifest
    sessions: list[Session]
    policy: Policy
    provider: Provider
    row: int
    batcher: Batcher = field(init=False)
    states: StateRows = field(init=False)
    in_flight: int = 0
    leaving: bool = False

    def __post_init__(self) -> None:
        self.batcher = Batcher(self.policy)
        self.states = StateRows(self.manifest.state)

    def run(self, session: Session, batch: Batch, segments: Segments) -> tuple[list[Answered], float]:
        """Run a batch: an answer to each request, and the seconds that the run took.

        A request whose frame is gone fails alone; so does one that makes the run fail.
        """
        began = time.monotonic()
        answers: list[Answered] = []
        requests: list[Request] = []
        frames: list[Array] = []
        for request in batch.requests:
            try:
                frames.append(segments.array(request.ask.frame))
                requests.append(request)
            except StaleFrame as error:
                answers.append(_failed(request, error.code, str(error), began))
        if not requests:
            return answers, 0.0
        size = batch.size if batch.size >= len(requests) else len(requests)
        try:
            outputs, seconds = self._infer(session, [r.ask.stream for r in requests], frames, size)
        except SessionFailed as error:
            if len(requests) == 1:
                _log.error("%s failed on a frame of %s: %s", self.manifest.id, requests[0].ask.stream, error)
                return [*answers, _failed(requests[0], "run_failed", str(error), began)], 0.0
            # One bad row must not take the others with it.
            seconds = 0.0
            for request in requests:
                alone, spent = self.run(session, Batch([request], self.policy.size(1), batch.closed), segments)
                answers += alone
                seconds += spent
            return answers, seconds
        for index, request in enumerate(requests):
            if not segments.holds(request.ask.frame):
                answers.append(_failed(request, "stale_frame", "The frame was given away while it ran.", began))
                continue
            queued = max(0.0, began - request.arrived)
            answers.append(_answer(request, outputs, index, queued, seconds, len(requests), segments))
        return answers, seconds

    def _infer(
        self, session: Session, streams: Sequence[str], frames: Sequence[Array], size: int
    ) -> tuple[dict[str, Array], float]:
        """The outputs without state, and the seconds of the run alone."""
        assert self.manifest.input is not None
        if size == 1:
            pixels = frames[0][None]  # as it lies in the slot
        else:
            pixels = np.zeros((size, *frames[0].shape), frames[0].dtype)
            for index, frame in enumerate(frames):
                pixels[index] = frame
        inputs = {self.manifest.input.name: pixels, **self.states.gather(streams, size)}
        start = time.perf_counter()
        outputs = session.run(inputs)
        seconds = time.perf_counter() - start
        self.states.scatter(streams, outputs)
        return outputs, seconds

    def close(self) -> None:
        for session in self.sessions:
            session.close()
        self.sessions.clear()


def load(folder: Path, row: int, running: Running, open_session: OpenSession = OnnxSession) -> Model:
    """Bring a bundle up: every hash, the golden samples, every batch size that will run.

    Raises:
        ModelError: the bundle is damaged, the graph does not load, or its answers are not its golden ones.
    """
    bundle = Bundle.open(folder)
    bundle.verify()
    manifest = bundle.manifest
    sessions = [open_session(bundle.model, running.provider.name, running.threads) for _ in range(running.sessions)]
    model = Model(manifest, sessions, _policy(manifest, running), running.provider, row)
    try:
        if bundle.golden is not None:
            golden.check(golden.read(bundle.golden), sessions[0].run, state=manifest.state)
        if manifest.input is not None:
            _warm_up(model)
    except BaseException:
        model.close()
        raise
    return model


def _policy(manifest: Manifest, running: Running) -> Policy:
    on_gpu = running.provider.name != "cpu"
    delay_s = running.max_delay_s if running.max_delay_s is not None else (0.002 if on_gpu else 0.0)
    recurrent = bool(manifest.state)
    if manifest.batch.fixed is not None:
        return Policy((manifest.batch.fixed,), delay_s, pad=True, one_each=recurrent)
    if not manifest.batch.invariant:
        # Its answers depend on the batch's size, so there is one size: what a job says must not depend on the others.
        return Policy((1,), 0.0, one_each=recurrent)
    sizes, size = [1], 2
    while size <= running.max_batch:
        sizes.append(size)
        size *= 2
    return Policy(tuple(sizes), delay_s, pad=on_gpu, one_each=recurrent)


def _warm_up(model: Model) -> None:
    """Run each session at each batch size, and see that a row is the same in every one of them."""
    manifest = model.manifest
    assert manifest.input is not None
    shape = (manifest.input.height, manifest.input.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, (model.policy.sizes[-1], *shape), np.uint8)
    first: dict[str, Array] | None = None
    for session in model.sessions:
        for size in model.policy.sizes:
            inputs = {manifest.input.name: pixels[:size], **model.states.gather([], size)}
            row = {name: np.asarray(value)[0] for name, value in session.run(inputs).items()}
            if first is None:
                first = row
            elif manifest.batch.invariant:
                _same(manifest, first, row, size)


def _same(manifest: Manifest, first: Mapping[str, Array], row: Mapping[str, Array], size: int) -> None:
    for name, value in row.items():
        if not np.array_equal(first[name], value, equal_nan=value.dtype.kind == "f"):
            raise NotInvariant(
                f"{manifest.id}: output {name!r} of a frame is another one in a batch of {size}.",
                hint="Import the model again on this machine, so that its manifest says so.",
            )


def _answer(
    request: Request,
    outputs: Mapping[str, Array],
    index: int,
    queue_s: float,
    infer_s: float,
    batch: int,
    segments: Segments,
) -> Answered:
    rows = {name: np.ascontiguousarray(value[index]) for name, value in outputs.items()}
    metas = tuple(TensorMeta(name, row.dtype.name, row.shape) for name, row in rows.items())
    ask = request.ask
    done = InferDone(ask.stream, ask.seq, metas, queue_s=queue_s, infer_s=infer_s, batch=batch)
    if sum(row.nbytes for row in rows.values()) <= INLINE_OUTPUT_BYTES:
        return Answered(request, done, [row.tobytes() for row in rows.values()])
    if ask.reply is None:
        return _failed(request, "output_too_large", "The outputs need a slot, and the request brought none.", 0.0)
    target = segments.array(ask.reply)
    at = 0
    for row in rows.values():
        target[at : at + row.nbytes] = row.view(np.uint8).reshape(-1)
        at += row.nbytes
    return Answered(request, InferDone(ask.stream, ask.seq, metas, True, queue_s=queue_s, infer_s=infer_s, batch=batch))


def _failed(request: Request, code: str, message: str, began: float) -> Answered:
    waited = max(0.0, began - request.arrived) if began else 0.0
    return Answered(
        request, InferDone(request.ask.stream, request.ask.seq, error=code, message=message, queue_s=waited)
    )
