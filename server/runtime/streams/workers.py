"""Which worker a stream is given to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from server.runtime.processes.quarantine import QUARANTINE


class Seat(NamedTuple):
    """A stream in a worker; `strikes`: how many deaths in a row it is suspected of."""

    worker: str
    strikes: int


@dataclass(frozen=True)
class StreamWorkers:
    """
    Attributes:
        ready: the names of those that are up; `QUARANTINE` is one that runs a suspect and nothing beside it.
        quarantine: called with whether that one is needed.
        occupied: whether a job is in that one.
        wanted: whether jobs wait for it.
        coming_up: the names of those that will be up in a moment for the first time. Streams wait for their turn there:
            moved later, they would miss more.
    """

    ready: Callable[[], Sequence[str]]
    quarantine: Callable[[bool], None]
    occupied: Callable[[], bool]
    wanted: Callable[[], bool]
    coming_up: Callable[[], Sequence[str]] = lambda: ()

    def choose(self, seats: Sequence[Seat], *, alone: bool, suspect: bool) -> str | None:
        """The worker for one more stream: the one with the fewest; for a suspect the one with the least suspicion, so
        that the next death divides them. None, if there is none now.

        Args:
            seats: of all others.
            alone: it may only run in quarantine.
        """
        ready = self.ready()
        if alone:
            free = not self.occupied() and all(seat.worker != QUARANTINE for seat in seats)
            return QUARANTINE if free and QUARANTINE in ready else None
        streams = Counter(seat.worker for seat in seats)
        strikes = Counter[str]()
        for seat in seats if suspect else ():
            strikes[seat.worker] += seat.strikes
        ordinary = [name for name in ready if name != QUARANTINE]
        chosen = min(ordinary, key=lambda name: (strikes[name], streams[name]), default=None)
        if chosen is not None and any(streams[name] < streams[chosen] for name in self.coming_up()):
            return None
        return chosen

    def overloaded(self, seats: Sequence[Seat]) -> tuple[str, int] | None:
        """The worker that should give streams to another, and how many; None where no two differ by more than one."""
        streams = Counter({name: 0 for name in self.ready() if name != QUARANTINE})
        streams.update(seat.worker for seat in seats if seat.worker in streams)
        if not streams:
            return None
        most, least = max(streams, key=streams.__getitem__), min(streams.values())
        surplus = (streams[most] - least) // 2
        return (most, surplus) if surplus else None
