"""The sessions of a model, and which of them runs a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from server.engine.session import Session


class Sessions:
    """Sessions of one graph. Made by `for_lanes` and `for_sizes`."""

    def __init__(self, usual: Sequence[Session], by_size: Mapping[int, Session]) -> None:
        self._usual = list(usual)
        self._by_size = dict(by_size)

    @classmethod
    def for_lanes(cls, sessions: Sequence[Session]) -> Self:
        """One for each lane, or fewer that they share: as is fastest on a CPU."""
        return cls(sessions, {})

    @classmethod
    def for_sizes(cls, sessions: Mapping[int, Session]) -> Self:
        """One for each size of batch that runs, for all lanes.

        A device wants it so: cuDNN plans every convolution anew when its shape changes, which takes seconds.
        """
        return cls([sessions[max(sessions)]], sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._by_size.values() if self._by_size else self._usual)

    def running(self, size: int) -> Sequence[Session]:
        """Those that run batches of a size."""
        return [self._by_size[size]] if size in self._by_size else self._usual

    def of(self, lane: int, size: int) -> Session:
        """The one that runs a lane's batch of a size."""
        sessions = self.running(size)
        return sessions[lane % len(sessions)]

    def close(self) -> None:
        """Give their memory back."""
        for session in self:
            session.close()
        self._usual.clear()
        self._by_size.clear()
