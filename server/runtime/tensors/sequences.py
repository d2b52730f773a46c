"""Sequences of frames that clients feed to recurrent models one by one. A plain class: time is an argument."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from server.core.errors import SequenceInvalid, TooManyRequests
from server.domain.inference import Step

Key = tuple[str, int | str]
"""The model as the client names it, and the sequence's id."""


@dataclass(eq=False)
class Sequence:
    """A sequence that has begun.

    Attributes:
        stream: what the engine knows it by.
        model: `name@version` that has its state; empty until that is known.
        turn: of the one request of it that runs; others wait in the order in which they came.
        asked: requests so far.
        used_at: when the last one ended.
        over: it has ended, or was forgotten.
    """

    key: Key
    stream: str
    used_at: float
    model: str = ""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    asked: int = 0
    over: bool = False


class Sequences:
    """Those that are under way.

    Args:
        limit: how many may be.
        idle_s: how long one is kept without a request.
        stream: names a new one for the engine.
    """

    def __init__(self, limit: int, idle_s: float, stream: Callable[[], str]) -> None:
        self._limit = limit
        self._idle_s = idle_s
        self._stream = stream
        self._live: dict[Key, Sequence] = {}

    def __len__(self) -> int:
        return len(self._live)

    def find(self, reference: str, step: Step, now: float) -> Sequence:
        """The sequence that a request belongs to; one that it starts is begun.

        Raises:
            SequenceInvalid: it has not begun, or is forgotten.
            TooManyRequests: there are as many as may be.
        """
        key = reference, step.id
        found = self._live.get(key)
        if found is not None:
            return found
        if not step.start:
            raise SequenceInvalid(
                f"There is no sequence {step.id!r} of {reference}.",
                hint="Its first request says sequence_start; it is forgotten when the engine starts anew, and when "
                f"nothing comes for {self._idle_s:g} s.",
            )
        if len(self._live) >= self._limit:
            raise TooManyRequests(
                f"{self._limit} sequences are under way, and no more may.", hint="End some with sequence_end."
            )
        self._live[key] = Sequence(key, self._stream(), now)
        return self._live[key]

    def end(self, sequence: Sequence) -> bool:
        """It is over; False if it was already."""
        if sequence.over:
            return False
        sequence.over = True
        del self._live[sequence.key]
        return True

    def idle(self, now: float) -> list[Sequence]:
        """Those that nobody has used for too long."""
        return [one for one in self._live.values() if not one.turn.locked() and now - one.used_at > self._idle_s]

    def of(self, model: str | None = None) -> list[Sequence]:
        """Those of a model `name@version`, or all."""
        return [one for one in self._live.values() if model in (None, one.model)]
