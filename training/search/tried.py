"""What came of a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from training.search.pruning import Course


class Outcome(StrEnum):
    """How a trial ended."""

    DONE = "done"
    PRUNED = "pruned"
    """Ended early: it had fallen behind."""
    DIVERGED = "diverged"
    """Its loss became no number."""
    TOO_SLOW = "too slow"
    """Slower than was allowed, and not trained."""
    INFEASIBLE = "infeasible"
    """What was drawn makes no net, or none that can be exported."""
    REPEATED = "repeated"
    """What was drawn had been drawn before."""
    DIED = "died"
    """Its process ended before it did."""


TRAINED = frozenset({Outcome.DONE, Outcome.PRUNED, Outcome.DIVERGED})
"""Those that count as trials."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial that has ended.

    Attributes:
        number: of the trial.
        chosen: by the names of the choices: the name of an alternative, or a number.
        score: the best of its epochs.
        scores: after each epoch.
        latency_ms: of an answer.
        parameters: of its net.
        seconds: that its epochs took.
        why: it ended otherwise than done.
    """

    number: int
    outcome: Outcome
    chosen: Mapping[str, Any]
    score: float | None = None
    scores: tuple[float, ...] = field(default=())
    latency_ms: float | None = None
    parameters: int | None = None
    seconds: float | None = None
    why: str | None = None

    @property
    def course(self) -> Course | None:
        """What others are compared with; None: it was not trained."""
        return None if self.latency_ms is None or not self.scores else Course(self.latency_ms, self.scores)
