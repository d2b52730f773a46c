"""The same frames on the CPU and on the device: answers that agree within what a bundle's golden samples allow."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks import gru
from benchmarks.footage import fitted
from benchmarks.gpu.device import on_device
from benchmarks.stage import MOVING, Stage
from benchmarks.table import Row
from model_export.agreement import ROUNDING, Arrays, disagreement
from model_export.bundle import Bundle
from model_export.repository import Repository
from server.engine.session import OnnxSession, Options
from server.runtime.runtime import SHIPPED

STREAMS, STEPS = 5, 24
_BATCH = 8


def rows(stage: Stage) -> Iterator[Row]:
    moving = Repository(stage.data / "models", shipped=SHIPPED).resolve(MOVING)
    for bundle in (stage.bundle, moving, gru.write(stage.data / "recurrent")):
        frames = np.concatenate(fitted(stage.video, bundle.manifest)[: STREAMS * STEPS])
        expected = _answers(OnnxSession(bundle.model, "cpu", Options()), bundle, frames)
        session = on_device(bundle)
        got = _answers(session, bundle, frames)
        found = disagreement(expected, got, ROUNDING[bundle.manifest.precision])
        told = next(name for name in ("scores", "probabilities", "foreground") if name in expected)
        most = np.abs(expected[told].astype(float) - got[told]).max()
        kept = "state on the device, " if bundle.manifest.state else ""
        yield Row(
            f"{bundle.manifest.id} on {session.provider} against the CPU",
            "golden samples' tolerance",
            "agrees" if found is None else str(found),
            found is None and session.provider == "cuda",
            f"{kept}{STREAMS * STEPS} frames, batches of {STREAMS} in {_BATCH}, {told} at most {most:.2g} apart",
        )


def _answers(session: OnnxSession, bundle: Bundle, frames: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Arrays:
    """All outputs, a step below the other: at each a frame of every stream, and padding."""
    takes = bundle.manifest.input
    assert takes is not None
    streams = [(b"bench", str(number)) for number in range(STREAMS)]
    states = session.states(bundle.manifest.state)
    steps = []
    for step in range(STEPS):
        batch = np.repeat(frames[step::STEPS], [1] * (STREAMS - 1) + [1 + _BATCH - STREAMS], axis=0)
        outputs = session.run({takes.name: batch, **states.gather(streams, _BATCH)})
        states.scatter(streams, outputs)
        steps.append({name: value[:STREAMS] for name, value in outputs.items()})
    return {name: np.concatenate([one[name] for one in steps]) for name in steps[0]}
