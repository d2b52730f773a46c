"""What answers are worth. NumPy, so that a torch net and an ONNX model are measured by the same code.

Legend: N samples, L labels. Every measure takes weights float64 [N], by which the bootstrap counts samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

BINS = 15
"""Of confidence, for calibration (Guo et al., "On calibration of modern neural networks", 2017)."""


@dataclass(frozen=True)
class Ranking:
    """How one label's scores order the samples.

    Attributes:
        positive: bool [N].
        score: float64 [N], higher is more likely.
    """

    positive: Bool
    score: F64

    @cached_property
    def _order(self) -> I64:
        return np.argsort(-self.score, kind="stable")

    @cached_property
    def _ends(self) -> I64:
        """The last place of each run of equal scores: samples that tie are above a threshold together."""
        return np.append(np.flatnonzero(np.diff(self.score[self._order])), len(self.score) - 1)

    @property
    def thresholds(self) -> F64:
        """Every score, falling."""
        return self.score[self._order][self._ends]

    def counted(self, weights: F64) -> tuple[F64, F64]:
        """True and false positives at each threshold."""
        positive, weighted = self.positive[self._order], weights[self._order]
        return (weighted * positive).cumsum()[self._ends], (weighted * ~positive).cumsum()[self._ends]

    def roc(self, weights: F64) -> tuple[F64, F64]:
        """False and true positive rates, rising from 0 to 1; NaN where there are no negatives or positives."""
        true, false = self.counted(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.append(0.0, false / false[-1]), np.append(0.0, true / true[-1])

    def auc(self, weights: F64) -> float:
        """The area under the ROC curve; NaN where there are no negatives or positives."""
        false, true = self.roc(weights)
        return float(np.trapezoid(true, false))

    def average_precision(self, weights: F64) -> float:
        """The mean of the precision over the recall, in steps and not interpolated; NaN where nothing is positive."""
        true, false = self.counted(weights)
        if not true[-1]:
            return float("nan")
        with np.errstate(invalid="ignore"):
            precision = np.nan_to_num(true / (true + false))
        return float((np.diff(true, prepend=0.0) / true[-1] * precision).sum())


def confusion(target: I64, predicted: I64, labels: int, weights: F64) -> F64:
    """float64 [L, L]: rows are what it is, columns what was said."""
    counted = np.bincount(target * labels + predicted, weights, labels * labels)
    return counted.astype(np.float64).reshape(labels, labels)


@dataclass(frozen=True, slots=True)
class PerLabel:
    """Precision, recall, F1 and support of each label, float64 [L]; 0 where there is nothing to divide by."""

    precision: F64
    recall: F64
    f1: F64
    support: F64

    @classmethod
    def of(cls, true: F64, predicted: F64, support: F64) -> PerLabel:
        """From numbers of true positives, of what was predicted and of what is there."""
        with np.errstate(invalid="ignore", divide="ignore"):
            precision, recall = np.nan_to_num(true / predicted), np.nan_to_num(true / support)
            f1 = np.nan_to_num(2 * true / (predicted + support))
        return cls(precision, recall, f1, support)

    def macro(self, name: str) -> float:
        """The mean over labels that are there, all alike."""
        values: F64 = getattr(self, name)
        there = self.support > 0
        return float(values[there].mean()) if there.any() else float("nan")


@dataclass(frozen=True, slots=True)
class Calibration:
    """How often a confidence is right, in equally wide bins, float64 [BINS]; NaN where a bin is empty.

    Attributes:
        confidence: the mean confidence of a bin.
        accuracy: how often it was right.
        share: of the samples that fall into it.
    """

    confidence: F64
    accuracy: F64
    share: F64

    @classmethod
    def of(cls, confidence: F64, correct: Bool, weights: F64) -> Calibration:
        """From confidences float64 [N], 0…1."""
        # A bin takes its upper edge in, as the literature has it.
        place = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        counted = np.bincount(place, weights, BINS)
        with np.errstate(invalid="ignore", divide="ignore"):
            return cls(
                np.bincount(place, weights * confidence, BINS) / counted,
                np.bincount(place, weights * correct, BINS) / counted,
                counted / counted.sum(),
            )

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of confidence and accuracy."""
        there = self.share > 0
        return float((self.share * np.abs(self.confidence - self.accuracy))[there].sum())


def mean_of(values: list[float]) -> float:
    """The mean of those that are numbers; NaN if none is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
