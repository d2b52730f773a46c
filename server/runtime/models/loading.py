"""The models at the engine: loaded when they are asked for, again when the engine was started again, let go by hand.

A model that the engine dies of while it loads it must not take the engine from all others: what was being loaded at the
death of an engine that crashed or hung is loaded last and one by one from then on, so that the next death says which
model it was, and after the third one it is given up. Only somebody who asks for it by hand has it tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from model_export.bundle import Bundle, variant_file
from server.core.errors import ModelUnavailable
from server.core.metrics import Metrics, ModelRow
from server.core.metrics_page import MODEL_ROWS, Page
from server.runtime.processes.death import Death
from server.runtime.processes.hub import Hub
from server.wire.messages import LoadModel, ModelFailed, ModelLoaded, ModelUnloaded, UnloadModel
from server.wire.sockets import Received

_log = logging.getLogger(__name__)

ENGINE = "engine"
_CRASHES = 3


@dataclass(eq=False)
class Loaded:
    """A model that is loaded, or shall be.

    Attributes:
        row: of the metrics page.
        said: by the engine, once it is up.
        failed: why it is not.
        unloaded: set once it is gone, if it is to go.
        users: jobs that run on it.
        awaited: how many wait for it to be up.
        by_version: somebody asked for this very version, so it stays when another one takes over.
        asked_at: when the engine that is up was asked to load it, by the monotonic clock.
        crashes: engines that died by themselves while they loaded it.
    """

    bundle: Bundle
    row: int
    up: asyncio.Future[ModelLoaded] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    said: ModelLoaded | None = None
    failed: ModelFailed | None = None
    unloaded: asyncio.Event | None = None
    users: int = 0
    awaited: int = 0
    by_version: bool = False
    asked_at: float | None = None
    crashes: int = 0
    _pictures: int = 0
    _quiet: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def id(self) -> str:
        return self.bundle.manifest.id

    @property
    def sha256(self) -> str:
        """Of the graph that runs; of the model's own while none does. Empty where its file is not listed."""
        return self.bundle.manifest.files.get(variant_file(self.said.variant if self.said else None), "")

    @property
    def ready(self) -> bool:
        """Whether it is warm, and not on its way out."""
        return self.said is not None and self.unloaded is None

    @property
    def needed(self) -> bool:
        """Whether anybody minds that it goes when another version has taken over."""
        return self.by_version or self.users > 0 or self.awaited > 0

    @property
    def waits(self) -> bool:
        """Whether it is to be loaded and is not yet."""
        return self.said is None and self.failed is None and self.unloaded is None

    @property
    def deadly(self) -> bool:
        """Whether engines have died of it often enough."""
        return self.crashes >= _CRASHES

    @contextmanager
    def looking(self) -> Iterator[None]:
        """While a picture is on its way through it; until then it does not go."""
        self._pictures += 1
        try:
            yield
        finally:
            self._pictures -= 1
            self._quiet.set()

    async def quiet(self) -> None:
        """Return when no picture is on its way through it."""
        while self._pictures:
            self._quiet.clear()
            await self._quiet.wait()


class Loading:
    """Which models the engine has, and shall have.

    Args:
        page: of metrics, in which each has a row.

    Attributes:
        models: by `name@version`; others only read it.
    """

    def __init__(self, hub: Hub, metrics: Metrics, page: Page) -> None:
        self.models: dict[str, Loaded] = {}
        self._hub = hub
        self._metrics = metrics
        self._page = page
        self._tasks: set[asyncio.Task[None]] = set()
        hub.on(ModelLoaded, self._on_loaded)
        hub.on(ModelFailed, self._on_failed)
        hub.on(ModelUnloaded, self._on_unloaded)

    def of(self, name: str) -> list[Loaded]:
        """Every version of a name."""
        return [model for model in self.models.values() if model.bundle.manifest.name == name]

    @property
    def longest_s(self) -> float:
        """For how long the engine has been loading what it takes longest for; 0 if it loads nothing."""
        asked = [model.asked_at for model in self.models.values() if model.waits and model.asked_at is not None]
        return time.monotonic() - min(asked) if asked else 0.0

    def begin(self, bundle: Bundle, *, by_hand: bool = False) -> Loaded:
        """Have a model brought up, without waiting for it; one that failed is tried anew.

        Args:
            by_hand: even if engines have died of it.
        """
        id = bundle.manifest.id
        model = self.models.get(id)
        if model is None or (model.failed is not None and (by_hand or not model.deadly)):
            before, model = model, Loaded(bundle, self._row(bundle))
            if before is not None:
                model.users, model.by_version = before.users, before.by_version
            self.models[id] = model
            self._send_next()
        return model

    async def ensure(self, bundle: Bundle, *, by_hand: bool = False) -> Loaded:
        """Loaded and warm, or a reason why not. Several that ask at once share one loading; a failed one is tried anew.

        Args:
            by_hand: try one anew even if engines have died of it.

        Raises:
            ModelUnavailable: it does not load.
        """
        while True:
            model = self.models.get(bundle.manifest.id)
            if model is not None and model.unloaded is not None:
                await model.unloaded.wait()
                continue
            if model is not None and model.bundle.manifest != bundle.manifest and not model.users:
                await self.unload([model])  # its version was removed and brought in anew
                continue
            model = self.begin(bundle, by_hand=by_hand)
            model.awaited += 1
            try:
                await asyncio.shield(model.up)
            finally:
                model.awaited -= 1
            if model.unloaded is None:
                return model

    async def unload(self, models: Sequence[Loaded]) -> None:
        """Let models go that no job uses; what else they were asked before is answered first."""
        going = [model for model in models if model.unloaded is None]
        for model in going:
            model.unloaded = asyncio.Event()
        for model in going:
            await model.quiet()
            # It may have gone with the engine; or the engine is away, and it with that.
            if self.models.get(model.id) is model and not await self._hub.send(ENGINE, UnloadModel(model.id)):
                self._gone(model)
        for model in models:
            if model.unloaded is not None:
                await model.unloaded.wait()

    def engine_lost(self, death: Death) -> None:
        """The engine is gone and with it every model; they are loaded again when it is back."""
        for model in self.models.values():
            if death.by_itself and model.waits and model.asked_at is not None:
                model.crashes += 1
            model.said = model.asked_at = None
            if model.up.done() and model.failed is None:
                model.up = asyncio.get_running_loop().create_future()
            self._label(model)
            if model.deadly and model.failed is None:
                why = f"The engine died {_CRASHES} times while it loaded the model, at last by {death.reason}."
                self._fail(model, ModelFailed(model.id, "model_crashed", why))
        for model in [model for model in self.models.values() if model.unloaded is not None]:
            self._gone(model)

    async def engine_back(self) -> None:
        """Load what was loaded, in the engine that has just come up."""
        await self._send()

    async def _send(self) -> None:
        """Have loaded what waits; those that an engine may have died of last, and one by one."""
        waiting = [model for model in self.models.values() if model.waits]
        due = [model for model in waiting if not model.crashes]
        if not due and all(model.asked_at is None for model in waiting):
            due = sorted(waiting, key=lambda model: model.crashes)[:1]
        for model in due:
            if model.asked_at is None:
                model.asked_at = time.monotonic()
                if not await self._hub.send(ENGINE, LoadModel(model.id, str(model.bundle.folder), model.row)):
                    model.asked_at = None  # the engine is not there yet; `engine_back` sends it

    def _send_next(self) -> None:
        task = asyncio.create_task(self._send())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _row(self, bundle: Bundle) -> int:
        """The model's row of the metrics page: the one it had, a new one, or that of a model that is gone.

        Raises:
            ModelUnavailable: all rows are those of models at the engine.
        """
        rows = self._metrics.rows.models
        name, version = bundle.manifest.name, str(bundle.manifest.version)
        for row, owner in rows.items():
            if (owner.model, owner.version) == (name, version):
                return row
        free = [row for row in range(MODEL_ROWS) if row not in rows]
        if not free:
            kept = {model.row for model in self.models.values()}
            free = [row for row in rows if row not in kept]
        if not free:
            raise ModelUnavailable(f"{MODEL_ROWS} models are loaded, and no more may be.", hint="Unload one.")
        row = free[0]
        self._page.forget_model(row)
        rows[row] = ModelRow(name, version)
        return row

    def _label(self, model: Loaded) -> None:
        manifest, said = model.bundle.manifest, model.said
        info = None
        if said is not None:
            info = {"provider": said.provider, "precision": said.precision, "sha256": model.sha256}
        self._metrics.rows.models[model.row] = ModelRow(manifest.name, str(manifest.version), info)

    def _on_loaded(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, ModelLoaded)
        model = self.models.get(message.model)
        if model is None:
            return
        model.said, model.failed, model.crashes = message, None, 0
        self._label(model)
        if not model.up.done():
            model.up.set_result(message)
        if message.why:
            _log.warning("%s runs on %s, not on %s: %s", message.model, message.provider, message.asked, message.why)
        self._send_next()

    def _on_failed(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, ModelFailed)
        model = self.models.get(message.model)
        if model is not None:
            self._fail(model, message)
            self._send_next()

    def _fail(self, model: Loaded, why: ModelFailed) -> None:
        model.failed, model.said = why, None
        self._label(model)
        _log.error("%s does not serve: %s", why.model, why.message)
        _refuse(model, f"{why.model} does not serve: {why.message}")

    def _on_unloaded(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, ModelUnloaded)
        model = self.models.get(message.model)
        if model is not None:
            self._gone(model)

    def _gone(self, model: Loaded) -> None:
        """A model does not run any more, because it was asked to go."""
        del self.models[model.id]
        model.said = None
        self._label(model)
        _refuse(model, f"{model.id} was unloaded before it was up.")
        if model.unloaded is not None:
            model.unloaded.set()
        self._send_next()


def _refuse(model: Loaded, why: str) -> None:
    if not model.up.done():
        model.up.set_exception(ModelUnavailable(why))
        model.up.exception()  # seen here; whoever waits sees it too
