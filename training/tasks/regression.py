"""Numbers. Legend: B batch, L numbers of a sample."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanAbsoluteError, MetricCollection
from torchmetrics.regression import MeanSquaredError

from training.batch import TargetKind


class Regression(nn.Module):
    """Mean squared error; targets are float32 [B, L], in units of the user's.

    Args:
        weights: float32 [L], how much each number counts; None: all alike.
    """

    kind: TargetKind = "numbers"
    measure = "rmse"
    higher_is_better = False

    def __init__(self, *, weights: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weights", weights, persistent=False)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        if not isinstance(self.weights, Tensor):
            return functional.mse_loss(logits, target)
        return ((logits - target).square() * self.weights).mean()

    def answers(self, logits: Tensor) -> Tensor:
        return logits

    def truth(self, target: Tensor) -> Tensor:
        return target

    def metrics(self) -> MetricCollection:
        return MetricCollection({"rmse": MeanSquaredError(squared=False), "mean_absolute_error": MeanAbsoluteError()})
