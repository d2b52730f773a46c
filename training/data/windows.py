"""Which frames of a clip a net sees."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.data.draws import Draws

I64 = npt.NDArray[np.int64]


def middle_windows(lengths: I64, frames: int) -> I64:
    """The middle of each clip. Before a clip that is shorter its first frame stands, as before a stream that has begun.

    Args:
        lengths: int64 [B], frames that each clip has.
        frames: T.

    Returns:
        int64 [B, T], positions in the clip, rising.
    """
    return _from(np.maximum(lengths - frames, 0) // 2, lengths, frames)


def random_windows(lengths: I64, frames: int, draws: Draws, *, jitter: int = 0) -> I64:
    """A window that begins anywhere, each frame of it at most `jitter` frames from its place, in order all the same."""
    spare = np.maximum(lengths - frames, 0)
    start = np.floor(draws.uniform("window") * (spare + 1)).astype(np.int64)
    positions = _from(start, lengths, frames)
    if not jitter:
        return positions
    moved = np.stack(
        [np.floor(draws.uniform(f"jitter {at}", -jitter, jitter + 1)).astype(np.int64) for at in range(frames)], axis=1
    )
    return _within(np.sort(positions + moved, axis=1), lengths)


def _from(start: I64, lengths: I64, frames: int) -> I64:
    missing = np.maximum(frames - lengths, 0)
    return _within((start - missing)[:, None] + np.arange(frames, dtype=np.int64), lengths)


def _within(positions: I64, lengths: I64) -> I64:
    inside: I64 = np.clip(positions, 0, lengths[:, None] - 1)
    return inside
