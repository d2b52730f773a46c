"""The engine on the device against ONNX Runtime alone: frames a second, with the device as busy as either gets it.

Alone, a session is given batches that lie ready, by two threads, as the engine's lanes do; the engine is asked for
single frames, each in shared memory, by streams that ask again when they are answered.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from threading import Thread

import numpy as np

from benchmarks import processes
from benchmarks.engine import running
from benchmarks.failure import NotMeasured
from benchmarks.footage import fitted
from benchmarks.gpu.device import Device, on_device, watched
from benchmarks.plain import Frame
from benchmarks.stage import Stage
from benchmarks.table import Row, told
from model_export.bundle import Bundle
from server.engine.loading import GPU_PARALLEL
from server.wire.messages import Infer, InferDone, Priority
from server.wire.sockets import Dealer

BATCHES = (1, 8, 32)
_SECONDS, _PATIENCE_S = 4.0, 30.0
_FRAMES = 80


def rows(stage: Stage) -> Iterator[Row]:
    bundle = stage.bundle
    frames = np.concatenate(fitted(stage.video, bundle.manifest)[:_FRAMES])
    for batch in BATCHES:
        alone, seen = _alone(bundle, frames, batch)
        yield told(f"ONNX Runtime alone, batches of {batch}", f"{alone:.0f} frames/s", seen.note)
        fps, size, cpu_ms, seen = _engine(bundle, frames, batch)
        note = f"{fps / alone:.2f} of that; {size:.1f} frames a batch, engine {cpu_ms:.3f} ms of processor time a frame"
        yield told(f"… the engine, batches of at most {batch}", f"{fps:.0f} frames/s", f"{note}; {seen.note}")


def _alone(bundle: Bundle, frames: Frame, batch: int) -> tuple[float, Device]:
    """Frames a second of two threads that share a session."""
    session = on_device(bundle)
    takes = bundle.manifest.input
    assert takes is not None
    inputs = {takes.name: np.ascontiguousarray(np.resize(frames, (batch, *frames.shape[1:])))}
    session.run(inputs)
    until = time.perf_counter() + _SECONDS
    done: list[int] = []

    def run() -> None:
        while time.perf_counter() < until:
            session.run(inputs)
            done.append(batch)

    crew = [Thread(target=run) for _ in range(GPU_PARALLEL)]
    start = time.perf_counter()
    with watched() as seen:
        for one in crew:
            one.start()
        for one in crew:
            one.join()
    return sum(done) / (time.perf_counter() - start), seen


def _engine(bundle: Bundle, frames: Frame, batch: int) -> tuple[float, float, float, Device]:
    """Frames a second of the engine process, frames a batch, its milliseconds of processor time a frame."""
    at_once = min(_FRAMES, max(8, 3 * batch))
    with (
        running(bundle, max_batch=batch, provider="cuda") as engine,
        closing(Dealer(engine.context, engine.address, "worker", 1)) as dealer,
    ):
        asks = {}
        for number in range(at_once):
            taken = engine.slots.take(frames.shape[1:])
            assert taken is not None
            ref, array = taken
            array[:] = frames[number]
            asks[f"s{number}"] = ref
        answered = rows = seq = 0

        def ask(stream: str) -> None:
            nonlocal seq
            seq += 1
            dealer.send(Infer(stream, seq, bundle.manifest.id, asks[stream], Priority.JOB, least=0.3))

        for stream in asks:
            ask(stream)
        start, cpu = time.perf_counter(), processes.cpu_seconds(engine.pid)
        with watched() as seen:
            while (now := time.perf_counter()) - start < _SECONDS:
                received = dealer.recv(_PATIENCE_S)
                if received is None or not isinstance(received.message, InferDone) or received.message.error:
                    raise NotMeasured(f"the engine said {received}")
                answered += 1
                rows += received.message.batch
                ask(received.message.stream)
        spent = processes.cpu_seconds(engine.pid) - cpu
    return answered / (now - start), rows / answered, spent / answered * 1e3, seen
