"""Random numbers that depend on seed, epoch and sample alone, whatever shares the batch and however often a run stops.

A counter is hashed for each sample and name, so a batch costs a few array operations. Hash: the finaliser of
SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
"""

from __future__ import annotations

import zlib
from functools import cached_property

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


class Draws:
    """What is drawn for each sample of a batch.

    Args:
        seed: of the data.
        epoch: counted from 0.
        index: int64 [B], the samples' places in their data set.
    """

    def __init__(self, seed: int, epoch: int, index: npt.NDArray[np.int64]) -> None:
        self._seed, self._epoch, self._index = seed, epoch, index

    def __len__(self) -> int:
        return len(self._index)

    @cached_property
    def _state(self) -> U64:
        state = _mixed(np.full(len(self._index), self._seed, np.uint64))
        state = _mixed(state + np.uint64(self._epoch))
        return _mixed(state + self._index.astype(np.uint64))

    def bits(self, name: str) -> U64:
        """uint64 [B]. Another name gives other numbers, and the same name the same ones."""
        return _mixed(self._state + np.uint64(zlib.crc32(name.encode())))

    def uniform(self, name: str, low: float = 0.0, high: float = 1.0) -> F64:
        """float64 [B], low ≤ x < high."""
        part: F64 = (self.bits(name) >> np.uint64(11)).astype(np.float64) / 2.0**53
        return low + (high - low) * part

    def chance(self, name: str, probability: float) -> npt.NDArray[np.bool_]:
        """bool [B], true with this probability."""
        hit: npt.NDArray[np.bool_] = self.uniform(name) < probability
        return hit


def _mixed(value: U64) -> U64:
    value = value + _GOLDEN
    value = (value ^ (value >> np.uint64(30))) * _FIRST
    value = (value ^ (value >> np.uint64(27))) * _SECOND
    mixed: U64 = value ^ (value >> np.uint64(31))
    return mixed
