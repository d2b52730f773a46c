"""The streams that ask: whose each is, in which order and company its answers leave, and its cancels."""

from __future__ import annotations

from collections import deque
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

    What is to be sent lies in an outbox until `settle`, since the router is one thread's, and answers come from others.

    Args:
        models: those that are up; others change it.
    """

    def __init__(self, router: Router, models: dict[str, Model]) -> None:
        self._router = router
        self._models = models
        self._owners: dict[str, tuple[int, bytes]] = {}
        self._order: InOrder[Answered] = InOrder()
        self._held: dict[Key, list[Answered]] = {}
        self._outbox: deque[tuple[Key, list[Answered]]] = deque()
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

    @property
    def unsettled(self) -> bool:
        """Whether something may have to be sent."""
        return bool(self._outbox or self._cancels)

    def leave(self, answered: Answered) -> None:
        """An answer is there: it is sent in its turn, together with as many others as it may wait for."""
        key = answered.request.key
        self._release(key, self._order.done(key, answered.request.ask.seq, answered))

    def cancel(self, key: Key, *, forget: bool) -> None:
        """Drop what waits; `Cancelled` follows when nothing of the stream runs any more."""
        self._cancels.append(_Cancel(key, forget, self._drop(key)))

    def settle(self) -> None:
        """Send the answers that may leave, and acknowledge the cancels of streams of which nothing runs: the engine
        holds none of their slots.
        """
        while self._outbox:
            self._send(*self._outbox.popleft())
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

    def _release(self, key: Key, answers: list[Answered]) -> None:
        """Answers whose turn has come: to the outbox, once they are as many as are wanted together, or the last."""
        held = self._held.setdefault(key, [])
        held += answers
        if held and (len(held) >= held[-1].request.ask.together or not self._order.due(key)):
            self._outbox.append((key, held))
            held = []
        if not held:
            del self._held[key]

    def _send(self, key: Key, answers: list[Answered]) -> None:
        if not self._router.send_together(key[0], [(answered.done, answered.payload) for answered in answers]):
            self._drop(key)
            self._forget(key)
        self._let_go(key)

    def _drop(self, key: Key) -> tuple[int, ...]:
        """Take out what waits; its numbers."""
        dropped = [r.ask.seq for model in self._models.values() for r in model.batcher.cancel(key)]
        self._release(key, self._order.drop(key, set(dropped)))
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
