"""Answers of a stream leave in the order of its requests, whichever session was quicker."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from server.engine.batcher import Key

Answer = TypeVar("Answer")


class InOrder(Generic[Answer]):
    """Holds an answer back until those before it have left."""

    def __init__(self) -> None:
        self._expected: dict[Key, deque[int]] = {}
        self._early: dict[tuple[Key, int], Answer] = {}

    def expect(self, stream: Key, seq: int) -> None:
        """A request has come; its answer is due after those expected before."""
        self._expected.setdefault(stream, deque()).append(seq)

    def done(self, stream: Key, seq: int, answer: Answer) -> list[Answer]:
        """An answer is there; the answers that may leave now, in order."""
        self._early[stream, seq] = answer
        return self._release(stream)

    def drop(self, stream: Key, seqs: set[int]) -> list[Answer]:
        """These will not be answered; the answers that waited for them."""
        expected = self._expected.get(stream)
        if expected is None:
            return []
        self._expected[stream] = deque(seq for seq in expected if seq not in seqs)
        return self._release(stream)

    def due(self, stream: Key) -> bool:
        """Whether answers of the stream have not left yet."""
        return stream in self._expected

    def _release(self, stream: Key) -> list[Answer]:
        expected = self._expected[stream]
        released = []
        while expected and (stream, expected[0]) in self._early:
            released.append(self._early.pop((stream, expected.popleft())))
        if not expected:
            del self._expected[stream]
        return released
