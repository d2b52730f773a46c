"""What may be under way at a time: requests, and bytes of those that arrive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from server.core.errors import TooManyRequests

_HINT = "Send it again in a moment."


class Arrivals:
    """Counts both, and refuses what is too much.

    Args:
        requests: that may be under way.
        total_bytes: that all of them together may have.
    """

    def __init__(self, requests: int, total_bytes: int) -> None:
        self._requests = requests
        self._bytes = total_bytes

    @contextmanager
    def one(self) -> Iterator[Arrival]:
        """While a request is under way.

        Raises:
            TooManyRequests: as many are as may be.
        """
        if not self._requests:
            raise TooManyRequests("As many requests are under way as may be.", hint=_HINT)
        self._requests -= 1
        arrival = Arrival(self)
        try:
            yield arrival
        finally:
            self._requests += 1
            self._bytes += arrival.bytes

    def grow(self, count: int) -> None:
        """Bytes more have arrived, or are about to."""
        if count > self._bytes:
            raise TooManyRequests("Requests of too many bytes arrive at once.", hint=_HINT)
        self._bytes -= count


class Arrival:
    """A request on its way in; `bytes` that it takes so far."""

    def __init__(self, among: Arrivals) -> None:
        self._among = among
        self.bytes = 0

    def grow(self, to: int) -> None:
        """It takes so many bytes in all.

        Raises:
            TooManyRequests: all that arrive would take more than they may.
        """
        if to > self.bytes:
            self._among.grow(to - self.bytes)
            self.bytes = to
