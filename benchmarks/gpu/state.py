"""State that stays on the device against state that is carried to it and back with every batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

import numpy as np

from benchmarks import gru
from benchmarks.gpu.device import Device, on_device, watched
from benchmarks.stage import MOVING, Stage
from benchmarks.table import Row, at_least
from model_export.bundle import Bundle
from model_export.repository import Repository
from server.engine.session import OnnxSession
from server.runtime.runtime import SHIPPED

STREAMS, BATCH = 64, 8
_SECONDS = 3.0


def rows(stage: Stage) -> Iterator[Row]:
    moving = Repository(stage.data / "models", shipped=SHIPPED).resolve(MOVING)
    for bundle in (moving, gru.write(stage.data / "recurrent-kept")):
        carried, _ = _frames_s(on_device(bundle, pooled=False), bundle)
        kept, seen = _frames_s(on_device(bundle), bundle)
        note = f"{carried:.0f} → {kept:.0f} frames/s, {STREAMS} streams in batches of {BATCH}; {seen.note}"
        yield at_least(f"{bundle.manifest.id}: state kept on the device", kept / carried, 1, note, unit="×")


def _frames_s(session: OnnxSession, bundle: Bundle) -> tuple[float, Device]:
    """Frames a second of one thread, with a batch of each eight streams in turn."""
    takes = bundle.manifest.input
    assert takes is not None
    frames = np.random.default_rng(0).integers(0, 256, (BATCH, *bundle.manifest.ask_shape), np.uint8)
    states = session.states(bundle.manifest.state)
    turns = [[(b"bench", str(first + row)) for row in range(BATCH)] for first in range(0, STREAMS, BATCH)]
    rates = []
    until = time.perf_counter() + _SECONDS
    with watched() as seen:
        while time.perf_counter() < until:
            start = time.perf_counter()
            for streams in turns:
                outputs = session.run({takes.name: frames, **states.gather(streams, BATCH)})
                states.scatter(streams, outputs)
            rates.append(STREAMS / (time.perf_counter() - start))
    return median(rates), seen
