"""What the data hand to a net, and a net to its loss: one batch of clips; a picture is a clip of one frame.

Shapes here and below: B batch, T time, H height, W width, C channels or classes, D numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

TargetKind = Literal["class", "multi_label", "numbers"]


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


class Part(Protocol):
    """Some of the samples of a data set: those to train with, or those to validate or test with."""

    @property
    def targets(self) -> npt.NDArray[np.generic]:
        """Of all samples, in the order of their places: int64 [N] of classes, else float32 [N, labels]."""

    def __len__(self) -> int:
        """How many samples."""

    def batch(self, places: Sequence[int], epoch: int) -> Batch:
        """The samples at these places, 0 … len − 1, in this order.

        May be called in a worker process. What is random about a sample depends on the seed of the data, the epoch
        and the sample's index alone, so that an epoch can be repeated.

        Args:
            epoch: counted from 0; parts that are not augmented do not look at it.
        """


class DataSet(Protocol):
    """What a run learns from.

    Attributes:
        labels: of the classes, or the names of the numbers of a regression, in the order of the targets.
        kind: what the targets are.
        train, validation, test: its parts; there is not always a test.
        fingerprint: sha256 over the samples' names, contents and targets and over the split, as hex.
        workers: processes that load batches; 0 where they are in memory.
    """

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def kind(self) -> TargetKind: ...
    @property
    def train(self) -> Part: ...
    @property
    def validation(self) -> Part: ...
    @property
    def test(self) -> Part | None: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def workers(self) -> int: ...
