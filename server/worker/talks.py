"""The talks with the engine about single pictures, kept from one picture to the next."""

from __future__ import annotations

from collections import OrderedDict

from model_export.manifest import Manifest
from server.wire.messages import Priority
from server.worker.requests import WITHDRAW_S, Requests
from server.worker.surroundings import Surroundings

_TALKS = 8


class Talks:
    """One thread's talks with the engine: a stream for each model that it was asked about lately.

    To begin a talk costs more than a small model's run.
    """

    def __init__(self, surroundings: Surroundings, name: str) -> None:
        self._around = surroundings
        self._name = name
        self._begun = 0
        self._talks: OrderedDict[tuple[str, str], tuple[Manifest, Requests]] = OrderedDict()

    def about(self, manifest: Manifest, engine: str) -> Requests:
        """The talk about a model with the engine at this address; nothing is in flight."""
        key = engine, manifest.id
        if key in self._talks and self._talks[key][0] is not manifest:
            self._end(key)  # it was removed, and brought in anew as another one
        if key not in self._talks:
            while len(self._talks) >= _TALKS:
                self._end(next(iter(self._talks)))
            self._talks[key] = manifest, self._begin(manifest, engine)
        self._talks.move_to_end(key)
        return self._talks[key][1]

    def close(self) -> None:
        for _, requests in self._talks.values():
            requests.close()

    def _begin(self, manifest: Manifest, engine: str) -> Requests:
        around = self._around
        self._begun += 1
        return Requests(
            around.context,
            engine,
            f"{around.name}.{around.incarnation}.{self._name}.{self._begun}",
            around.incarnation,
            f"{around.name}.{self._name}.{manifest.id}",
            manifest,
            around.slots,
            priority=Priority.LIVE,  # somebody waits
        )

    def _end(self, key: tuple[str, str]) -> None:
        manifest, requests = self._talks.pop(key)
        if manifest.state:
            requests.withdraw(WITHDRAW_S)
        requests.close()
