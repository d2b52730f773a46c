"""Any number of labels at once. Legend: B batch, L labels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MetricCollection
from torchmetrics.classification import MultilabelAccuracy, MultilabelAveragePrecision, MultilabelF1Score

from training.batch import TargetKind


class MultiLabel(nn.Module):
    """Binary cross entropy a label; targets are 0 or 1 (or shares, with mixup), float32 [B, L].

    Args:
        labels: L.
        smoothing: targets are drawn towards ½ by this part.
        weights: float32 [L], how much a positive counts against a negative; None: all alike.
    """

    kind: TargetKind = "multi_label"
    measure = "macro_f1"
    higher_is_better = True

    def __init__(self, labels: int, *, smoothing: float = 0.0, weights: Tensor | None = None) -> None:
        super().__init__()
        self.labels = labels
        self.smoothing = smoothing
        self.register_buffer("weights", weights, persistent=False)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        weights = self.weights if isinstance(self.weights, Tensor) else None
        drawn = target * (1 - self.smoothing) + self.smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, drawn, pos_weight=weights)

    def answers(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def truth(self, target: Tensor) -> Tensor:
        return target.round().long()

    def metrics(self) -> MetricCollection:
        return MetricCollection(
            {
                "macro_f1": MultilabelF1Score(self.labels, average="macro"),
                "accuracy": MultilabelAccuracy(self.labels, average="macro"),
                "average_precision": MultilabelAveragePrecision(self.labels, average="macro"),
            }
        )
