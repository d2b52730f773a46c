"""When a trial is ended early. Pure: no clock, no file.

Optuna's pruners judge by one number and refuse a study of two objectives: a net with a lower score may still be wanted,
because it is quicker. So a trial is compared with those alone that are at least as fast as it is. The rule among them
is the median stopping rule (Golovin et al., Google Vizier, 2017), with any share in the place of the half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.search.config import PrunerConfig


@dataclass(frozen=True, slots=True)
class Course:
    """How a trial has gone.

    Attributes:
        latency_ms: of an answer of its net.
        scores: after each epoch so far.
    """

    latency_ms: float
    scores: Sequence[float]

    def best(self, epochs: int, *, higher_is_better: bool) -> float:
        """Of the first so many epochs; NaN where there is none that could be compared."""
        seen = [score for score in self.scores[:epochs] if not math.isnan(score)]
        return (max(seen) if higher_is_better else min(seen)) if seen else math.nan


@dataclass(frozen=True, slots=True)
class Bar:
    """What a trial had to reach.

    Attributes:
        epoch: after which.
        best: what it had reached.
        score: what it had to.
        rivals: how many trials, at least as fast, that comes from.
    """

    epoch: int
    best: float
    score: float
    rivals: int


def missed(course: Course, others: Sequence[Course], config: PrunerConfig, *, higher_is_better: bool) -> Bar | None:
    """The bar that a trial fell short of after its newest epoch; None: it goes on.

    Args:
        others: the trials before it, finished or ended early.
    """
    epoch = len(course.scores)
    if epoch < config.warmup:
        return None
    rivals = [
        other.best(epoch, higher_is_better=higher_is_better)
        for other in others
        if other.latency_ms <= course.latency_ms and len(other.scores) >= epoch
    ]
    rivals = [score for score in rivals if not math.isnan(score)]
    if len(rivals) < config.startup:
        return None
    bar = float(np.quantile(rivals, 1 - config.keep if higher_is_better else config.keep))
    best = course.best(epoch, higher_is_better=higher_is_better)
    reached = best >= bar if higher_is_better else best <= bar
    return None if reached else Bar(epoch, best, bar, len(rivals))
