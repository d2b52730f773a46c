"""A data set that is ready to learn from: its parts, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from training.batch import Batch, TargetKind
from training.data.augmentation import AugmentConfig, augmented
from training.data.draws import Draws
from training.data.frame_spec import FrameSpec
from training.data.mixup import mixed
from training.data.stores import Store
from training.data.windows import middle_windows, random_windows

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Samples:
    """Samples of a data set, such as those to train with.

    Attributes:
        index: int64 [N], their places in the data set.
        targets: int64 [N] of classes, else float32 [N, labels].
        groups: int64 [N].
        store: where their frames lie.
        frames: T, of each clip in a batch.
        augment: how they are changed; None: not at all, and always the middle of each clip.
        seed: of what is random about them.
        classes: how many there are.
    """

    index: I64
    targets: I64 | F32
    groups: I64
    store: Store
    frames: int
    augment: AugmentConfig | None
    seed: int
    classes: int

    def __len__(self) -> int:
        return len(self.index)

    def still(self) -> Samples:
        """The same samples, not augmented."""
        return replace(self, augment=None)

    def batch(self, places: Sequence[int], epoch: int) -> Batch:
        """The samples at these places, 0 … len − 1, in this order; see `training.batch.Part`."""
        at = np.asarray(places, np.int64)
        index, target = self.index[at], torch.from_numpy(self.targets[at])
        if self.augment is None:
            frames = self.store.take(index, self.frames, lambda lengths: middle_windows(lengths, self.frames))
        else:
            augment, draws = self.augment, Draws(self.seed, epoch, index)
            frames = self.store.take(
                index,
                self.frames,
                lambda lengths: random_windows(lengths, self.frames, draws, jitter=augment.time_jitter),
            )
            frames = augmented(frames, augment, draws)
            if augment.mixup:
                frames, target = mixed(frames, target, draws, augment.mixup, self.classes)
        return Batch(frames, target, torch.from_numpy(index), torch.from_numpy(self.groups[at]))


@dataclass(frozen=True)
class LoadedData:
    """What a run learns from, or is evaluated on; a `training.batch.DataSet`.

    Attributes:
        labels: of the classes, or names of the numbers.
        kind: what the targets are.
        groups: names of the groups, in the order that batches number them.
        input: how frames were fitted.
        train, validation, test: its parts.
        fingerprint: SHA-256 over contents, targets and split.
        workers: processes that should make batches; 0 where they are slices of memory.
        broken: id of each sample that was left out → why.
        names: the id of every sample of the listing; a batch's `index` is a place in it.
    """

    labels: tuple[str, ...]
    kind: TargetKind
    groups: tuple[str, ...]
    input: FrameSpec
    train: Samples
    validation: Samples
    test: Samples | None
    fingerprint: str
    workers: int
    broken: dict[str, str]
    names: tuple[str, ...]
