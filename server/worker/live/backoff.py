"""How long to wait before a source is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_S = 0.5
MOST_S = 30.0
_STEADY_S = 10.0
_UNWELCOME_S, _MOST_UNWELCOME_S = 300.0, 900.0


class Backoff:
    """Doubles from half a second to half a minute, each time a little less by chance, so that cameras which were lost
    together do not come back in step.

    Args:
        chance: a number in 0…1.
    """

    def __init__(
        self, first_s: float = FIRST_S, most_s: float = MOST_S, chance: Callable[[], float] = random.random
    ) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._chance = chance
        self._failures = 0

    def next(self, lasted_s: float = 0.0, tried_s: float = 0.0) -> float:
        """Seconds to wait after a failure.

        Args:
            lasted_s: how long the source had worked before; what worked for a while begins anew.
            tried_s: how long it was tried in vain. That counts as waited: tries begin so far apart, else a camera that
                keeps each of them waiting would be tried ever more rarely than is meant.
        """
        if lasted_s >= _STEADY_S:
            self._failures = 0
        wait_s = min(self._most_s, self._first_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        wait_s *= 1.0 - 0.3 * self._chance()
        return max(wait_s - tried_s, min(wait_s, self._first_s))


def unwelcome_s(refusals: int) -> float:
    """How long to wait after a source did not accept the credentials, in seconds. The second try comes soon, since some
    cameras refuse everybody while they start; then seldom: who tries wrong ones again and again is locked out.

    Args:
        refusals: how often in a row it did not.
    """
    if refusals < 2:
        return FIRST_S
    return min(_MOST_UNWELCOME_S, _UNWELCOME_S * 2.0 ** min(refusals - 2, 32))
