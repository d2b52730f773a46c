"""What the data hand to a net, and a net to its loss: one batch of clips; a picture is a clip of one frame.

Shapes here and below: B batch, T time, H height, W width, C channels or classes, D numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Batch:
    """Some samples of a data set, a row each.

    Attributes:
        frames: uint8 [B, T, H, W, C]; C is 3 (BGR, as OpenCV decodes) or 1 (grey). Normalisation is the net's.
        target: int64 [B], the class; with mixup float32 [B, C], the share of each class. Multi-label: float32 [B, C],
            0 or 1. Regression: float32 [B, D].
        index: int64 [B], the sample's place in its data set: the same in every epoch and every run.
        group: int64 [B], the sample's group (its source, its patient), a place in the data set's list of groups.
    """

    frames: torch.Tensor
    target: torch.Tensor
    index: torch.Tensor
    group: torch.Tensor

    def __len__(self) -> int:
        return len(self.frames)

    def to(self, device: torch.device | str) -> Batch:
        """The same on a device; what is there already is not copied."""
        return Batch(self.frames.to(device), self.target.to(device), self.index.to(device), self.group.to(device))
