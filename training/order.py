"""In which order samples are learnt, and the loading of their batches.

An order depends on seed and epoch alone, so that an epoch can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from training.batch import Batch, Part

Places = tuple[int, list[int]]
"""The epoch, and the places in a part of one batch."""


class Order(Sampler[Places]):
    """The batches of an epoch, for one of several devices: each takes its share of every batch.

    A last batch of so few samples that a device would get none, or of one (of which batch norm can tell nothing), joins
    the one before it.

    Args:
        count: of samples.
        batch: samples in a step, of all devices together.
        seed: of the order; None: as they come.
        rank, world: which device of how many.
    """

    def __init__(self, count: int, batch: int, *, seed: int | None, rank: int = 0, world: int = 1) -> None:
        self.count, self.batch, self.seed = count, batch, seed
        self.rank, self.world = rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes; Lightning does."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole, rest = divmod(self.count, self.batch)
        return whole + (rest > self.world or not whole)

    def __iter__(self) -> Iterator[Places]:
        order = self._order(self.epoch)
        for number in range(len(self)):
            yield self.epoch, self._cut(order, number)

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        if self.seed is None:
            return np.arange(self.count)
        return np.random.default_rng((self.seed, epoch)).permutation(self.count)

    def _cut(self, order: npt.NDArray[np.int64], number: int) -> list[int]:
        start = number * self.batch
        end = self.count if number == len(self) - 1 else start + self.batch
        mine: list[int] = order[start:end][self.rank :: self.world].tolist()
        return mine


class _Batches(Dataset[Batch]):
    """A part whose items are batches."""

    def __init__(self, part: Part) -> None:
        self._part = part

    def __getitem__(self, item: Places) -> Batch:
        epoch, places = item
        return self._part.batch(places, epoch)


def loader(part: Part, order: Order, *, workers: int, pin: bool = False) -> DataLoader[Batch]:
    """Batches of a part in an order.

    Args:
        workers: processes that make them; 0: this one does.
        pin: whether a GPU copies from them.
    """
    return DataLoader(
        _Batches(part),
        batch_size=None,
        sampler=order,
        num_workers=workers,
        persistent_workers=workers > 0,
        # Forking a process in which torch has threads can hang.
        multiprocessing_context="spawn" if workers else None,
        pin_memory=pin,
        # Else it takes numbers from the generator that dropout draws from.
        generator=torch.Generator(),
    )
