"""One class of several. Legend: B batch, L labels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from training.batch import TargetKind


class Classification(nn.Module):
    """Cross entropy of a softmax; targets are classes, int64 [B], or shares of classes, float32 [B, L] (mixup).

    Args:
        labels: L.
        smoothing: part of the target that is spread over all classes (Szegedy et al., 2016).
        weights: float32 [L], how much a sample of each class counts; None: all alike.
    """

    kind: TargetKind = "class"
    measure = "accuracy"
    higher_is_better = True

    def __init__(self, labels: int, *, smoothing: float = 0.0, weights: Tensor | None = None) -> None:
        super().__init__()
        self.labels = labels
        self.smoothing = smoothing
        self.register_buffer("weights", weights, persistent=False)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        weights = self.weights if isinstance(self.weights, Tensor) else None
        return functional.cross_entropy(logits, target, weights, label_smoothing=self.smoothing)

    def answers(self, logits: Tensor) -> Tensor:
        return logits.softmax(1)

    def truth(self, target: Tensor) -> Tensor:
        return target.argmax(1) if target.is_floating_point() else target

    def metrics(self) -> MetricCollection:
        return MetricCollection(
            {
                "accuracy": MulticlassAccuracy(self.labels, average="micro"),
                "macro_f1": MulticlassF1Score(self.labels, average="macro"),
            }
        )
