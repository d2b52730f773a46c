"""A stream in a worker: from the order to begin until the worker's last word, or its death."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from server.runtime.streams.case import StreamCase


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


class Change:
    """The stream shall be looked at in another way, or by another version of its model."""


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

    @property
    def ran_s(self) -> float:
        return time.monotonic() - self._began

    def put(self, item: Lost | Ended | Change) -> None:
        """Have it settled in its turn."""
        self._inbox.put_nowait(item)

    async def next(self) -> Lost | Ended | Change:
        """What is to be settled next."""
        return await self._inbox.get()
