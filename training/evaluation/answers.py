"""A model's answers to the samples of a data set, and all that is measured of them.

Legend: N samples, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from training.batch import TargetKind
from training.evaluation.measures import Calibration, PerLabel, Ranking, confusion, mean_of

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class Answers(Protocol):
    """What a model said of N samples, and what is true.

    Attributes:
        headline: the measure that models are compared by.
    """

    @property
    def headline(self) -> str: ...

    def measures(self, weights: F64 | None = None) -> dict[str, float]:
        """Every measure by name; NaN where there is nothing to measure it on.

        Args:
            weights: float64 [N], how often each sample counts; None: once.
        """


@dataclass(frozen=True)
class ClassAnswers:
    """One class of several.

    Attributes:
        said: float64 [N, L], probabilities.
        target: int64 [N].
    """

    said: F64
    target: I64
    headline = "accuracy"

    @cached_property
    def predicted(self) -> I64:
        """int64 [N], the likeliest class."""
        likeliest: I64 = self.said.argmax(axis=1)
        return likeliest

    @cached_property
    def rankings(self) -> tuple[Ranking, ...]:
        """Of each class against all others."""
        return tuple(Ranking(self.target == label, self.said[:, label]) for label in range(self.said.shape[1]))

    def confusion(self, weights: F64 | None = None) -> F64:
        """float64 [L, L]: rows are what it is, columns what was said."""
        return confusion(self.target, self.predicted, self.said.shape[1], _weights(weights, self.target))

    def per_label(self, weights: F64 | None = None) -> PerLabel:
        matrix = self.confusion(weights)
        return PerLabel.of(matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1))

    def calibration(self, weights: F64 | None = None) -> Calibration:
        """Of the likeliest class."""
        return Calibration.of(self.said.max(axis=1), self.predicted == self.target, _weights(weights, self.target))

    def measures(self, weights: F64 | None = None) -> dict[str, float]:
        weights = _weights(weights, self.target)
        per_label = self.per_label(weights)
        return {
            "accuracy": float(weights[self.predicted == self.target].sum() / weights.sum()),
            "precision": per_label.macro("precision"),
            "recall": per_label.macro("recall"),
            "f1": per_label.macro("f1"),
            "auc": mean_of([one.auc(weights) for one in self.rankings]),
            "average_precision": mean_of([one.average_precision(weights) for one in self.rankings]),
            "calibration_error": self.calibration(weights).error,
        }


@dataclass(frozen=True)
class LabelAnswers:
    """Any number of labels at once.

    Attributes:
        said: float64 [N, L], probabilities.
        target: int64 [N, L], 0 or 1.
    """

    said: F64
    target: I64
    headline = "f1"

    @cached_property
    def predicted(self) -> I64:
        """int64 [N, L]: what is likelier than not."""
        return (self.said >= 0.5).astype(np.int64)

    @cached_property
    def rankings(self) -> tuple[Ranking, ...]:
        return tuple(Ranking(self.target[:, at] == 1, self.said[:, at]) for at in range(self.said.shape[1]))

    def per_label(self, weights: F64 | None = None) -> PerLabel:
        weights = _weights(weights, self.target)
        true = weights @ (self.target * self.predicted)
        return PerLabel.of(true, weights @ self.predicted, weights @ self.target)

    def calibration(self, weights: F64 | None = None) -> Calibration:
        """Of every label of every sample: how often one is there whose probability is so."""
        repeated = np.repeat(_weights(weights, self.target), self.said.shape[1])
        return Calibration.of(self.said.ravel(), self.target.ravel() == 1, repeated)

    def measures(self, weights: F64 | None = None) -> dict[str, float]:
        weights = _weights(weights, self.target)
        per_label = self.per_label(weights)
        right = (self.predicted == self.target).mean(axis=1)
        return {
            "accuracy": float(weights @ right / weights.sum()),
            "precision": per_label.macro("precision"),
            "recall": per_label.macro("recall"),
            "f1": per_label.macro("f1"),
            "auc": mean_of([one.auc(weights) for one in self.rankings]),
            "average_precision": mean_of([one.average_precision(weights) for one in self.rankings]),
            "calibration_error": self.calibration(weights).error,
        }


@dataclass(frozen=True)
class NumberAnswers:
    """Numbers: regression.

    Attributes:
        said, target: float64 [N, L], in the units of the targets.
    """

    said: F64
    target: F64
    headline = "rmse"

    def measures(self, weights: F64 | None = None) -> dict[str, float]:
        weights = _weights(weights, self.target)
        share = weights / weights.sum()
        wrong = self.said - self.target
        squared = share @ wrong**2
        spread = share @ (self.target - share @ self.target) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            explained = np.where(spread > 0, 1 - squared / spread, np.nan)
        return {
            "rmse": float(np.sqrt(squared.mean())),
            "mae": float((share @ np.abs(wrong)).mean()),
            "r2": mean_of(explained.tolist()),
        }


AnyAnswers = ClassAnswers | LabelAnswers | NumberAnswers


def answers_of(kind: TargetKind, said: npt.NDArray[np.floating], target: npt.NDArray[np.generic]) -> AnyAnswers:
    """Answers to targets of a kind: classes int64 [N], labels or numbers [N, L]."""
    wide = said.astype(np.float64)
    if kind == "class":
        return ClassAnswers(wide, target.astype(np.int64))
    if kind == "multi_label":
        return LabelAnswers(wide, target.round().astype(np.int64))
    return NumberAnswers(wide, target.astype(np.float64))


def part_of(answers: AnyAnswers, at: npt.NDArray[np.intp]) -> AnyAnswers:
    """Some of the samples."""
    return type(answers)(answers.said[at], answers.target[at])  # type: ignore[arg-type]


def _weights(weights: F64 | None, target: npt.NDArray[np.generic]) -> F64:
    return np.ones(len(target)) if weights is None else weights
