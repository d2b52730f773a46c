"""Frames that are made on the spot, for processes that need no more: to import what trains takes seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from training.batch import Batch, TargetKind

SIZE = 8


def nothing(epoch: int, places: Sequence[int]) -> None:
    pass


@dataclass(frozen=True)
class Shades:
    """Noisy frames of one shade each; the lighter, the higher its class. Its noise is new in every epoch.

    Attributes:
        before: is called with the epoch and the places before a batch is made.
    """

    count: int
    first: int = 0
    frames: int = 1
    classes: int = 2
    kind: TargetKind = "class"
    augmented: bool = False
    pause_s: float = 0.0
    before: Callable[[int, Sequence[int]], None] = nothing

    @property
    def targets(self) -> np.ndarray:
        classes = (np.arange(self.count) + self.first) % self.classes
        if self.kind == "class":
            return classes
        ones = np.eye(self.classes, dtype=np.float32)[classes]
        return ones if self.kind == "multi_label" else classes[:, None].astype(np.float32)

    def __len__(self) -> int:
        return self.count

    def batch(self, places: Sequence[int], epoch: int) -> Batch:
        self.before(epoch, places)
        if self.pause_s:
            time.sleep(self.pause_s)
        index = np.asarray(places) + self.first
        frames = np.stack([self._frames(int(at), epoch if self.augmented else 0) for at in index])
        target = torch.from_numpy(self.targets[np.asarray(places)])
        return Batch(torch.from_numpy(frames), target, torch.from_numpy(index), torch.from_numpy(index))

    def _frames(self, index: int, epoch: int) -> np.ndarray:
        rng = np.random.default_rng((index, epoch))
        shade = 60 + 140 * (index % self.classes) / max(self.classes - 1, 1)
        return np.clip(rng.normal(shade, 25, (self.frames, SIZE, SIZE, 1)), 0, 255).astype(np.uint8)
