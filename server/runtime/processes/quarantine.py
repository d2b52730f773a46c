"""The worker that runs a suspect and nothing beside it."""

from __future__ import annotations

from collections.abc import Callable

QUARANTINE = "quarantine"


class Quarantine:
    """The quarantine worker is there for as long as anybody needs it.

    Args:
        want: called with whether it shall be there.
    """

    def __init__(self, want: Callable[[bool], None]) -> None:
        self._want = want
        self._needed: set[str] = set()

    def need(self, who: str, needed: bool) -> None:
        """`who` needs it from now on, or no more."""
        if needed:
            self._needed.add(who)
        else:
            self._needed.discard(who)
        self._want(bool(self._needed))
