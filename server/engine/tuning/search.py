"""Which ways to run a model are tried, in which order, and which is chosen. Measuring is somebody else's.

The usual way is the champion until another one beats it clearly: first sessions × threads, then the optimisation of the
graph, then larger batches for as long as they gain.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from server.engine.running import Running
from server.engine.session import OPTIMIZATIONS, SessionFailed
from server.engine.tuning.duel import Duel
from server.engine.warmup import GAIN, same

_CLEARLY = 1.05
"""Less is within what a machine varies by, and other threads or another optimisation may change bits of the answers."""
_LARGER_BATCH = 1 / GAIN
_PATIENCE_S = 20.0


@dataclass(frozen=True)
class Candidate:
    """A way to run a model."""

    sessions: int
    threads: int
    batch: int
    optimization: str


class Contestant(Protocol):
    """A candidate that is ready to run."""

    def rate(self) -> float:
        """Frames a second with all sessions at work, over a fraction of a second."""
        ...

    def run_s(self) -> float:
        """Seconds of one run, alone."""
        ...

    def answer(self) -> Mapping[str, npt.NDArray[np.generic[Any]]]:
        """What it says of a frame that is the same for every candidate."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Space:
    """The candidates; what is usual comes first in each.

    Attributes:
        layouts: sessions and threads.
        sizes: of batches, ascending.
    """

    layouts: tuple[tuple[int, int], ...]
    sizes: tuple[int, ...]
    optimizations: tuple[str, ...] = OPTIMIZATIONS

    @classmethod
    def on_cpu(cls, running: Running, sizes: tuple[int, ...]) -> Space:
        """Every core has work in each layout, and none more than one thread; the settings have their way."""
        powers = [1 << n for n in range(running.cores.bit_length())]
        usual = running.layout()
        layouts = [running.layout(threads) for threads in (*powers, running.cores)]
        fitting = [pair for pair in layouts if pair[0] * pair[1] <= running.cores]
        return cls(tuple(dict.fromkeys([usual, *fitting])), sizes)

    @property
    def usual(self) -> Candidate:
        return Candidate(*self.layouts[0], self.sizes[0], self.optimizations[0])


@dataclass(frozen=True)
class Row:
    """A candidate, and how it did.

    Attributes:
        ratio: how many times as fast as the champion of that moment; None for the first.
        verdict: in a few words. detail: why it failed, where it did.
    """

    candidate: Candidate
    frames_s: float
    run_s: float
    ratio: float | None
    verdict: str
    detail: str = ""


@dataclass(frozen=True)
class Outcome:
    """What was found.

    Attributes:
        chosen: its `batch` is the largest that gains.
        frames_s: of the chosen. run_s: seconds of its run of the smallest batch, alone.
        gain: how many times as fast as the usual way.
    """

    rows: tuple[Row, ...]
    chosen: Candidate
    frames_s: float
    run_s: float
    gain: float


@dataclass
class _Entrant:
    candidate: Candidate
    contestant: Contestant
    run_s: float
    rates: list[float] = field(default_factory=list)
    ratio: float | None = None
    verdict: str = "usual"
    detail: str = ""

    def row(self) -> Row:
        frames_s = statistics.median(self.rates) if self.rates else 0.0
        return Row(self.candidate, frames_s, self.run_s, self.ratio, self.verdict, self.detail)


class Search:
    """The search of the fastest way.

    Args:
        enter: makes a candidate ready. SessionFailed: it cannot run; only the usual way must.
        told: called with each candidate before it is tried.
    """

    def __init__(
        self,
        space: Space,
        enter: Callable[[Candidate], Contestant],
        told: Callable[[Candidate], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._space = space
        self._enter = enter
        self._told = told
        self._clock = clock
        self._tried: list[_Entrant | Row] = []

    def run(self) -> Outcome:
        """Try them.

        Raises:
            SessionFailed: the model cannot be run at all.
        """
        space = self._space
        self._champion = self._ready(space.usual)
        self._gain = 1.0
        try:
            self._champion.rates.append(self._champion.contestant.rate())
            for sessions, threads in space.layouts[1:]:
                self._challenge(replace(self._champion.candidate, sessions=sessions, threads=threads))
            for optimization in space.optimizations[1:]:
                self._challenge(replace(self._champion.candidate, optimization=optimization))
            run_s = self._champion.run_s
            for batch in space.sizes[1:]:
                if not self._challenge(replace(self._champion.candidate, batch=batch)):
                    break
        finally:
            self._champion.contestant.close()
        rows = tuple(tried.row() if isinstance(tried, _Entrant) else tried for tried in self._tried)
        chosen = self._champion.row()
        return Outcome(rows, chosen.candidate, chosen.frames_s, run_s, self._gain)

    def _ready(self, candidate: Candidate) -> _Entrant:
        self._told(candidate)
        contestant = self._enter(candidate)
        try:
            entrant = _Entrant(candidate, contestant, contestant.run_s())
        except BaseException:
            contestant.close()
            raise
        self._tried.append(entrant)
        return entrant

    def _challenge(self, candidate: Candidate) -> bool:
        """Let a candidate meet the champion; whether it is the new one."""
        try:
            challenger = self._ready(candidate)
        except SessionFailed as error:
            self._tried.append(Row(candidate, 0.0, 0.0, None, "failed", str(error)))
            return False
        champion = self._champion
        won = False
        try:
            won = self._meet(champion, challenger)
        except SessionFailed as error:
            challenger.verdict, challenger.detail = "failed", str(error)
        finally:
            (champion if won else challenger).contestant.close()
        if won:
            self._champion = challenger
            self._gain *= challenger.ratio or 1.0
        return won

    def _meet(self, champion: _Entrant, challenger: _Entrant) -> bool:
        larger = challenger.candidate.batch > champion.candidate.batch
        alike = same(champion.contestant.answer(), challenger.contestant.answer())
        if larger and not alike:
            challenger.verdict = "other answers than alone"
            return False
        duel = Duel(_LARGER_BATCH if larger else _CLEARLY)
        until = self._clock() + _PATIENCE_S
        pair = [champion, challenger]
        while duel.won is None and self._clock() < until:
            for entrant in pair:
                entrant.rates.append(entrant.contestant.rate())
            duel.add(champion.rates[-1], challenger.rates[-1])
            # Who was second is first next time: a machine that becomes slower must not favour either.
            pair.reverse()
        won = bool(duel.won)
        challenger.ratio = duel.ratio
        challenger.verdict = "faster" if won else "slower" if duel.ratio < 1 else "not clearly faster"
        if not alike:
            challenger.verdict += ", other bits"
        return won
