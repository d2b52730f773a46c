"""Two ways to run a model against each other, on a machine that does other things too."""

from __future__ import annotations

import statistics

_PAIRS = 9
_MOST = 7
"""Of all pairs; so many must be faster, whatever the median says."""
_EARLY = 4
_HOPELESS = 0.9


class Duel:
    """Whether a challenger is clearly faster than the champion.

    It is fed pairs of rates that were measured one right after the other, so that what slows the machine down slows
    both. Without a clear answer the champion stays.

    Args:
        gain: how many times as fast the challenger must be.
    """

    def __init__(self, gain: float) -> None:
        self._gain = gain
        self._ratios: list[float] = []

    def add(self, champion: float, challenger: float) -> None:
        """Frames a second of both."""
        self._ratios.append(challenger / champion)

    @property
    def ratio(self) -> float:
        """How many times as fast the challenger is: the median of the pairs."""
        return statistics.median(self._ratios)

    @property
    def won(self) -> bool | None:
        """Whether the challenger has won; None: more pairs are needed to say so."""
        ratios = self._ratios
        if len(ratios) >= 2 and max(ratios) < _HOPELESS:
            return False
        if len(ratios) < _EARLY:
            return None
        if min(ratios) > self._gain:
            return True
        if self.ratio <= 1:
            return False
        if len(ratios) < _PAIRS:
            return None
        return self.ratio > self._gain and sum(ratio > 1 for ratio in ratios) >= _MOST
