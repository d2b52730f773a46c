"""What a gate costs: the quick model that looks at every frame first, and the costly one that it saves runs of."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from threading import Semaphore, Thread

from server.engine.tuning.contest import OnnxContestant

_ROUNDS = 5
_SLICE_S = 0.6


@dataclass(frozen=True)
class GateCost:
    """A gate beside the model that it stands in front of.

    Attributes:
        alone_s: of a frame in the gate, everything else at rest.
        beside_s: of a frame in the gate while the model is at work on every core.
        ungated_s: frames a second of the model without a gate.
        gated_s: frames a second where each goes through the gate as well.
    """

    alone_s: float
    beside_s: float
    ungated_s: float
    gated_s: float

    @property
    def pays_from(self) -> float:
        """The share of the model's runs that the gate must spare before it makes up for its own cost."""
        return max(0.0, self.ungated_s / self.gated_s - 1)


def measure_gate(model: OnnxContestant, gate: OnnxContestant, slice_s: float = _SLICE_S) -> GateCost:
    """Let a gate run once for each frame of the model, at the same time.

    Raises:
        SessionFailed: one of them cannot be run.
    """
    alone, beside, ungated, gated = [], [], [], []
    for _ in range(_ROUNDS):
        alone.append(gate.run_s())
        ungated.append(model.rate(slice_s))
        with _Following(gate) as following:
            gated.append(model.rate(slice_s, after=following.go))
        beside += following.taken
    return GateCost(
        statistics.median(alone), statistics.median(beside), statistics.median(ungated), statistics.median(gated)
    )


class _Following:
    """A thread that runs the gate for each frame that it is told of.

    Attributes:
        taken: seconds of each run.
    """

    def __init__(self, gate: OnnxContestant) -> None:
        self.taken: list[float] = []
        self._gate = gate
        self._due = Semaphore(0)
        self._over = False
        self._thread = Thread(target=self._body, daemon=True)

    def go(self, frames: int) -> None:
        self._due.release(frames)

    def __enter__(self) -> _Following:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._due.release()
        self._thread.join()

    def _body(self) -> None:
        while self._due.acquire() and not self._over:
            start = time.perf_counter()
            self._gate.step()
            self.taken.append(time.perf_counter() - start)
