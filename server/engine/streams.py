"""The streams that ask: whose each is, in which order its answers leave, and its cancels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from server.engine.answers import Answered
from server.engine.batcher import Key, Request
from server.engine.models import Model
from server.engine.order import InOrder
from server.wire.messages import Cancelled
from server.wire.sockets import Router


class _Cancel(NamedTuple):
    key: Key
    forget: bool
    dropped: tuple[int, ...]


class Streams:
    """What is under way for each stream.

    A stream's name is one peer's at a time: when a later one asks under it, the one before has been given up, and what
    it left is dropped.

    Args:
        models: those that are up; others change it.
    """

    def __init__(self, router: Router, models: dict[str, Model]) -> None:
        self._router = router
        self._models = models
        self._owners: dict[str, tuple[int, bytes]] = {}
        self._order: InOrder[Answered] = InOrder()
        self._cancels: list[_Cancel] = []
        self._refused: dict[Key, str] = {}

    def own(self, key: Key, incarnation: int) -> bool:
        """A peer speaks of a stream; False if a later one has done so."""
        peer, stream = key
        newest, owner = self._owners.setdefault(stream, (incarnation, peer))
        if owner == peer:
            return True
        if incarnation < newest:
            return False
        self._drop((owner, stream))
        self._forget((owner, stream))
        self._owners[stream] = incarnation, peer
        return True

    def expect(self, request: Request) -> None:
        """A request has come from the stream's owner; its answer is due after those of the stream before it."""
        self._order.expect(request.key, request.ask.seq)

    def leave(self, answered: Answered) -> None:
        """An answer is there: send what may leave now."""
        key = answered.request.key
        for ready in self._order.done(key, answered.request.ask.seq, answered):
            self._send(ready)
        self._let_go(key)

    def cancel(self, key: Key, *, forget: bool) -> None:
        """Drop what waits; `Cancelled` follows when nothing of the stream runs any more."""
        self._cancels.append(_Cancel(key, forget, self._drop(key)))
        self.settle()

    def settle(self) -> None:
        """Acknowledge the cancels of streams of which nothing runs: the engine holds none of their slots."""
        if not self._cancels:
            return
        waiting = []
        for cancel in self._cancels:
            if any(model.batcher.running(cancel.key) for model in self._models.values()):
                waiting.append(cancel)
                continue
            if cancel.forget:
                self._forget(cancel.key)
            peer, stream = cancel.key
            self._router.send(peer, Cancelled(stream, cancel.dropped))
            self._let_go(cancel.key)
        self._cancels = waiting

    def refuse(self, key: Key, why: str) -> None:
        """The stream's saved state could not be put back: it must not run as if it had none."""
        self._refused[key] = why

    def refusal(self, request: Request) -> str | None:
        """Why a request must not run, if it must not; starting over cures it."""
        if request.ask.reset:
            self._refused.pop(request.key, None)
        return self._refused.get(request.key)

    def ran(self, requests: Iterable[Request], model: Model) -> None:
        """Requests have run: what those left whose streams are another's by now goes."""
        for request in requests:
            model.batcher.finish(request)
            if not self._owned(request.key):
                model.states.reset(request.key)

    def _send(self, answered: Answered) -> None:
        key = answered.request.key
        if not self._router.send(key[0], answered.done, answered.payload):
            self._drop(key)
            self._forget(key)

    def _drop(self, key: Key) -> tuple[int, ...]:
        """Take out what waits; its numbers."""
        dropped = [r.ask.seq for model in self._models.values() for r in model.batcher.cancel(key)]
        for ready in self._order.drop(key, set(dropped)):
            self._send(ready)
        return tuple(sorted(dropped))

    def _forget(self, key: Key) -> None:
        self._refused.pop(key, None)
        for model in self._models.values():
            model.states.reset(key)

    def _let_go(self, key: Key) -> None:
        """Keep nothing of a stream that has nothing here."""
        if self._order.due(key) or key in self._refused or any(key in model.states for model in self._models.values()):
            return
        if self._owned(key):
            del self._owners[key[1]]

    def _owned(self, key: Key) -> bool:
        peer, stream = key
        return stream in self._owners and self._owners[stream][1] == peer
