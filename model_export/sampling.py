"""Which frames of a source are wanted, by media time: the same at any speed of reading, in training and serving."""

from __future__ import annotations

_TOLERANCE_S = 0.0005  # time stamps of many containers are rounded to a millisecond


class Sampler:
    """Picks the first frame of every 1/fps seconds.

    Args:
        fps: frames wanted per second of media time; None: every frame.
        jitter: a frame may come so much of 1/fps before its time; the rate is kept all the same.
    """

    def __init__(self, fps: float | None, *, jitter: float = 0.0) -> None:
        self._fps = fps
        self._early_s = max(_TOLERANCE_S, jitter / fps if fps else 0.0)
        self._due = 0.0

    def wants(self, pts_s: float) -> bool:
        """Whether to analyse the frame at `pts_s`. To be asked once for each frame, in order."""
        if self._fps is None:
            return True
        if pts_s + self._early_s < self._due:
            return False
        # The grid is kept where the source keeps up with it; after a gap it begins anew.
        ahead = self._due + 1.0 / self._fps
        self._due = ahead if ahead > pts_s + self._early_s else pts_s + 1.0 / self._fps
        return True

    def state(self) -> float:
        return self._due

    def restore(self, state: float) -> None:
        self._due = state
