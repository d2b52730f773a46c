"""What is known against streams when workers die, and which of them must run alone.

Mostly one is suspected (`server.runtime.processes.blame`), and that goes on alone in the quarantine worker. Where it
cannot be told whose thread it was, many are: the threads of live streams are inside a decoder most of the time, because
that is where they wait for the next frame. Then all go on at once, spread over the workers, so that the next death
divides them, and who was suspected more often than all others goes on alone. A stream is never given up: one that kills
when it is alone is tried again, after pauses that grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CLEARED_S = 60.0
"""Who has run for so long is suspected of nothing any more."""
_LONGEST_S = 60.0


@dataclass
class Suspicion:
    """
    Attributes:
        strikes: deaths in a row that the stream is suspected of.
        alone: it must run alone.
    """

    strikes: int = 0
    alone: bool = False

    def clear(self) -> None:
        """It has run for long enough."""
        self.strikes = 0
        self.alone = False

    @property
    def pause_s(self) -> float:
        """Seconds before it is tried again."""
        if not self.alone or self.strikes < 2:
            return 0.0
        return min(_LONGEST_S, 2.0 ** min(self.strikes - 2, 10))


def accuse(suspected: Sequence[Suspicion], *, others: int = 0) -> None:
    """Note one death against all that are suspected of it.

    Args:
        others: jobs that are suspected of it too.
    """
    for one in suspected:
        one.strikes += 1
    if not suspected:
        return
    if len(suspected) + others == 1:
        suspected[0].alone = True
        return
    most = max(one.strikes for one in suspected)
    worst = [one for one in suspected if one.strikes == most]
    if most > 1 and len(worst) == 1:
        worst[0].alone = True
