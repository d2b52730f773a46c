"""Where frames lie while a data set is used: in memory, or in the cache and, past its bound, in their files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from training.data import cache
from training.data.decoding import decode
from training.data.frame_spec import FrameSpec
from training.data.listing import U8, Sample

I64 = npt.NDArray[np.int64]
Choose = Callable[[I64], I64]
"""Lengths of clips, int64 [B] → positions in them, int64 [B, T]."""


class Store(Protocol):
    """The clips of a data set by place."""

    def take(self, index: I64, frames: int, choose: Choose) -> torch.Tensor:
        """`frames` of each of the clips at `index`, uint8 [B, T, H, W, C]; which ones, `choose` says."""


class MemoryStore:
    """All clips in one array; a batch is rows of it.

    NumPy gathers them: on a busy machine torch's threads wait for each other longer than the copy takes.

    Args:
        frames: uint8 [N, H, W, C], clip after clip.
        lengths: int64 [clips], frames of each.
    """

    def __init__(self, frames: U8, lengths: I64) -> None:
        self._frames = frames
        self._lengths = lengths
        self._first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        self._single = bool((lengths == 1).all())

    def take(self, index: I64, frames: int, choose: Choose) -> torch.Tensor:
        if self._single and frames == 1:
            return torch.from_numpy(self._frames[index][:, None])
        return torch.from_numpy(self._frames[self._first[index][:, None] + choose(self._lengths[index])])


@dataclass(frozen=True, slots=True)
class DiskStore:
    """Clips that are mapped from the cache, or decoded where it has none of them.

    Attributes:
        samples: of the listing.
        keys: of each sample's entry; empty where it had no room.
    """

    samples: Sequence[Sample]
    keys: Sequence[str]
    spec: FrameSpec
    folder: Path

    def take(self, index: I64, frames: int, choose: Choose) -> torch.Tensor:
        clips = [self._clip(int(at)) for at in index]
        positions = choose(np.array([len(clip) for clip in clips], np.int64))
        return torch.from_numpy(np.stack([clip[at] for clip, at in zip(clips, positions, strict=True)]))

    def _clip(self, at: int) -> U8:
        key = self.keys[at]
        kept = cache.load(self.folder, key) if key else None
        return decode(self.samples[at], self.spec) if kept is None else kept


class Gathering:
    """Collects clips for a `MemoryStore` as long as they fit.

    Args:
        count: of clips.
        bound: bytes.
    """

    def __init__(self, count: int, bound: int) -> None:
        self._clips: list[U8 | None] = [None] * count
        self._bound = bound
        self._bytes = 0

    def keep(self, at: int, frames: U8) -> None:
        """Take a clip, uint8 [K, H, W, C]."""
        self._bytes += frames.nbytes
        if self._bytes > self._bound:
            self._clips.clear()
        else:
            # A copy: the file that it is mapped from may be removed.
            self._clips[at] = np.array(frames)

    def store(self) -> MemoryStore | None:
        """All of them, or None where they were too much. A clip that never came has no frames."""
        clips = [clip for clip in self._clips if clip is not None]
        if self._bytes > self._bound or not clips:
            return None
        lengths = np.array([0 if clip is None else len(clip) for clip in self._clips], np.int64)
        return MemoryStore(np.concatenate(clips), lengths)
