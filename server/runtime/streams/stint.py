"""A stream in a worker: from the order to begin until the worker's last word, or its death."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from server.runtime.streams.case import StreamCase

_AGAIN_S = 30.0
"""So long after a change of models came to nothing, it is tried again."""


@dataclass(frozen=True)
class Lost:
    """The stint is over without a last word: the worker is gone, or the stream was taken away from it.

    Attributes:
        code: a reason of reconnects.
    """

    code: str
    message: str


@dataclass(frozen=True)
class Ended:
    """The worker's last word."""

    code: str
    message: str


@dataclass(frozen=True)
class Change:
    """The stream shall be looked at in another way, or by another version of its model.

    Attributes:
        models: that it is to be looked at with, where that is why.
    """

    models: tuple[str, ...] = ()


@dataclass(eq=False)
class Stint:
    """
    Attributes:
        number: of the attempt, never used again; messages of another one are not for this.
        held: the models (`name@version`) that it needs.
        displaced: its worker before this one died, and it was given to any that was up.
    """

    case: StreamCase
    number: int
    worker: str
    held: list[str]
    displaced: bool = False
    _inbox: asyncio.Queue[Lost | Ended | Change] = field(default_factory=asyncio.Queue)
    _began: float = field(default_factory=time.monotonic)
    _refused: tuple[str, ...] = ()
    _refused_at: float = 0.0

    @property
    def ran_s(self) -> float:
        return time.monotonic() - self._began

    def refused(self, models: tuple[str, ...]) -> None:
        """A change to these models came to nothing."""
        self._refused, self._refused_at = models, time.monotonic()

    def may_try(self, models: Sequence[str]) -> bool:
        """Whether a change to these models may be tried: not soon after it came to nothing."""
        return tuple(models) != self._refused or time.monotonic() - self._refused_at >= _AGAIN_S

    def put(self, item: Lost | Ended | Change) -> None:
        """Have it settled in its turn."""
        self._inbox.put_nowait(item)

    async def next(self) -> Lost | Ended | Change:
        """What is to be settled next."""
        return await self._inbox.get()
