"""What a task is: how wrong an answer is, what it means, and how good a net is on the whole.

Legend: B batch, L labels.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor
from torchmetrics import MetricCollection

from training.batch import TargetKind


class Task(Protocol):
    """One of the modules beside this one.

    Attributes:
        kind: what the targets are.
        measure: the metric by which the best epoch is chosen.
        higher_is_better: of that metric.
    """

    kind: TargetKind
    measure: str
    higher_is_better: bool

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """The mean over a batch: [B, L] and the batch's target → []."""

    def answers(self, logits: Tensor) -> Tensor:
        """What a user is told, [B, L] → [B, L]: probabilities, or numbers."""

    def truth(self, target: Tensor) -> Tensor:
        """A batch's target as metrics compare it."""

    def metrics(self) -> MetricCollection:
        """Fresh metrics of `answers` against targets, by name; each from 0 to 1, or in the unit of the target."""
