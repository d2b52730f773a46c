"""Which version serves under a bare name, and how the next one takes over without a gap."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from model_export.bundle import Bundle
from model_export.errors import VidserveError
from server.runtime.models.loading import Loaded, Loading

_log = logging.getLogger(__name__)

_WATCH_S = 2.0


class Succession:
    """The version that has served goes on until the one that is to serve (`nominal`: set as default, or the highest) is
    warm; then that takes over, and the old one goes as soon as nothing runs with it. One that does not come up changes
    nothing.
    """

    def __init__(self, loading: Loading) -> None:
        self._loading = loading
        self._serves: dict[str, str] = {}
        """Name → `name@version`."""
        self._superseded: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def now(self, nominal: Bundle) -> Bundle:
        """The version that serves at this moment under the name of `nominal`."""
        model = self._loading.models.get(nominal.manifest.id)
        if model is not None and model.ready:
            return nominal
        before = self._loading.models.get(self._serves.get(nominal.manifest.name, ""))
        if before is None or before.failed is not None or before.unloaded is not None:
            return nominal
        # Somebody may have removed it beside the server.
        return before.bundle if before.bundle.folder.is_dir() else nominal

    async def serving(self, nominal: Bundle) -> Bundle:
        """The same, and see that `nominal` comes up if another one serves. Where none does, nothing is loaded: not
        everybody who asks which model serves is going to use it.
        """
        name, id = nominal.manifest.name, nominal.manifest.id
        bundle = self.now(nominal)
        model = self._loading.models.get(id)
        if bundle.manifest.id == id:
            before = self._serves.get(name, id)
            self._serves[name] = id
            self._superseded = (self._superseded | {before}) - {id}
            if model is not None and model.ready:
                self.retire(name)
        elif model is None:
            _log.info("%s comes up, and will take over from %s", id, bundle.manifest.id)
            self.expect(nominal)
            self._loading.begin(nominal)
        return bundle

    def expect(self, bundle: Bundle) -> None:
        """It is about to take over, so it does not go because it has been superseded once."""
        self._superseded.discard(bundle.manifest.id)

    def retire(self, name: str) -> None:
        """Let the versions go that served under the name before the present one, and that nobody needs."""
        for model in self._loading.of(name):
            if model.id in self._superseded and not model.needed and model.unloaded is None:
                self._spawn(self._let_go(model))

    def watch(self, look: Callable[[str], Awaitable[Any]]) -> None:
        """From now on notice what others change in the repository.

        Args:
            look: finds the nominal version of a name, and calls `serving` with it.
        """
        self._spawn(self._watch(look))

    async def close(self) -> None:
        """Stop watching."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _let_go(self, model: Loaded) -> None:
        if not model.needed:  # somebody may have taken it since
            _log.info("%s goes, %s has taken over", model.id, self._serves.get(model.bundle.manifest.name))
            await self._loading.unload([model])

    async def _watch(self, look: Callable[[str], Awaitable[Any]]) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            for name in list(self._serves):
                try:
                    await look(name)
                except VidserveError as error:
                    _log.debug("%s: %s", name, error)  # who asks for it is told
                except Exception:  # the edge of a task
                    _log.exception("watching %s", name)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
