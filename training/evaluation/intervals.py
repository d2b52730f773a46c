"""How sure a measure is: the bootstrap over groups.

Samples of a group resemble each other, so whole groups are drawn, with replacement; drawing samples would promise more
than the data hold. Source: Efron, Tibshirani, "An introduction to the bootstrap", 1993 (percentile interval).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from training.evaluation.answers import Answers

RESAMPLES = 500


class Interval(NamedTuple):
    """From where to where a measure lies with 95 % confidence; NaN where the groups are too few to tell."""

    low: float
    high: float


def intervals(
    answers: Answers, groups: npt.NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0
) -> Mapping[str, Interval]:
    """The interval of every measure.

    Args:
        groups: int64 [N].
    """
    names, place = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return {name: Interval(float("nan"), float("nan")) for name in answers.measures()}
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {}
    for _ in range(resamples):
        times = np.bincount(random.integers(0, len(names), len(names)), minlength=len(names)).astype(np.float64)
        for name, value in answers.measures(times[place]).items():
            drawn.setdefault(name, []).append(value)
    return {name: _interval(np.array(values)) for name, values in drawn.items()}


def _interval(values: npt.NDArray[np.float64]) -> Interval:
    known = values[~np.isnan(values)]
    if not len(known):
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(known, [0.025, 0.975])
    return Interval(float(low), float(high))
