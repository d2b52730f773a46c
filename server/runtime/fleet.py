"""The models at the engine: which are up, on their way up or down, and who needs them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from model_export.bundle import Bundle
from server.core.errors import ModelUnavailable
from server.core.metrics import Metrics, ModelRow
from server.core.metrics_page import MODEL_ROWS, Page
from server.runtime.hub import Hub
from server.wire.messages import LoadModel, ModelFailed, ModelLoaded, ModelUnloaded, UnloadModel
from server.wire.sockets import Received

_log = logging.getLogger(__name__)

ENGINE = "engine"


@dataclass(eq=False)
class Member:
    """A model at the engine.

    Attributes:
        row: of the metrics page.
        said: how it runs, once it is up.
        failed: why it is not.
        unloaded: set when it is gone; None while nobody has asked it to go.
        jobs: that run with it.
        by_version: somebody asked for this very version, so it stays when another one takes over.
    """

    bundle: Bundle
    row: int
    loaded: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    said: ModelLoaded | None = None
    failed: ModelFailed | None = None
    unloaded: asyncio.Event | None = None
    jobs: int = 0
    by_version: bool = False
    _pictures: int = 0
    _quiet: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def id(self) -> str:
        """`name@version`."""
        return self.bundle.manifest.id

    @property
    def ready(self) -> bool:
        """Warm, and not on its way out."""
        return self.said is not None and self.unloaded is None

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


class Fleet:
    """Loads models into the engine and keeps them until told otherwise, also into its successors."""

    def __init__(self, hub: Hub, metrics: Metrics, page: Page) -> None:
        self._hub = hub
        self._metrics = metrics
        self._page = page
        self._members: dict[str, Member] = {}
        self._put_away: set[str] = set()
        hub.on(ModelLoaded, self._on_loaded)
        hub.on(ModelFailed, self._on_failed)
        hub.on(ModelUnloaded, self._on_unloaded)

    def get(self, id: str) -> Member | None:
        """The model `name@version`, where it is at the engine."""
        return self._members.get(id)

    def of(self, name: str) -> list[Member]:
        """Every version of a name that is at the engine."""
        return [member for member in self._members.values() if member.bundle.manifest.name == name]

    def put_away(self, id: str) -> bool:
        """Whether it was unloaded by hand; it is loaded again when somebody needs it."""
        return id in self._put_away

    async def begin(self, bundle: Bundle) -> Member:
        """Have a model brought up, without waiting for it; one that failed is tried anew."""
        id = bundle.manifest.id
        member = self._members.get(id)
        if member is None or member.failed is not None:
            self._put_away.discard(id)
            new = Member(bundle, self._row(bundle))
            if member is not None:
                new.jobs, new.by_version = member.jobs, member.by_version
            member = self._members[id] = new
            await self._send_load(member)
        return member

    async def ensure(self, bundle: Bundle) -> Member:
        """A model that is up. Several that ask at once share one loading.

        Raises:
            ModelUnavailable: it does not come up.
        """
        while True:
            member = self._members.get(bundle.manifest.id)
            if member is not None and member.unloaded is not None:
                await member.unloaded.wait()
                continue
            if member is not None and member.bundle.manifest != bundle.manifest and not member.jobs:
                await self.unload([member])  # its version was removed and brought in anew
                continue
            member = await self.begin(bundle)
            await asyncio.shield(member.loaded)
            if member.unloaded is None:
                return member

    async def unload(self, members: Sequence[Member]) -> None:
        """Give the memory of models back; what they were asked before is answered first."""
        going = [member for member in members if member.unloaded is None]
        for member in going:
            self._put_away.add(member.id)
            member.unloaded = asyncio.Event()
        for member in going:
            await member.quiet()
            if self._members.get(member.id) is not member:
                continue  # it went with the engine
            if not await self._hub.send(ENGINE, UnloadModel(member.id)):
                self._gone(member)  # the engine is away, and the model with it
        for member in members:
            if member.unloaded is not None:
                await member.unloaded.wait()

    def engine_lost(self) -> None:
        """The engine is gone and with it every model; they are loaded again when it is back."""
        for member in list(self._members.values()):
            member.said = None
            self._label(member)
            if member.unloaded is not None:
                self._gone(member)
            elif member.loaded.done():
                member.loaded = asyncio.get_running_loop().create_future()

    async def engine_back(self) -> None:
        """Load what was loaded, in the engine that has just come up."""
        for member in list(self._members.values()):
            if member.failed is None:
                await self._send_load(member)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _send_load(self, member: Member) -> None:
        # If the engine is not there yet, `engine_back` sends it.
        await self._hub.send(ENGINE, LoadModel(member.id, str(member.bundle.folder), member.row))

    def _row(self, bundle: Bundle) -> int:
        """The model's row of the metrics page: the one it had, a new one, or that of a model that is not loaded."""
        rows = self._metrics.rows.models
        name, version = bundle.manifest.name, str(bundle.manifest.version)
        for row, owner in rows.items():
            if (owner.model, owner.version) == (name, version):
                return row
        free = [row for row in range(MODEL_ROWS) if row not in rows]
        row = free[0] if free else next(row for row, owner in rows.items() if owner.info is None)
        self._page.forget_model(row)
        rows[row] = ModelRow(name, version)
        return row

    def _label(self, member: Member) -> None:
        manifest, said = member.bundle.manifest, member.said
        info = None
        if said is not None:
            info = {
                "provider": said.provider,
                "precision": said.precision,
                "sha256": manifest.files.get("model.onnx", ""),
            }
        self._metrics.rows.models[member.row] = ModelRow(manifest.name, str(manifest.version), info)

    def _on_loaded(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, ModelLoaded)
        member = self._members.get(message.model)
        if member is None:
            return
        member.said, member.failed = message, None
        self._label(member)
        if not member.loaded.done():
            member.loaded.set_result(None)
        if message.why:
            _log.warning("%s runs on %s, not on %s: %s", message.model, message.provider, message.asked, message.why)

    def _on_failed(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, ModelFailed)
        member = self._members.get(message.model)
        if member is None:
            return
        member.failed, member.said = message, None
        self._label(member)
        _log.error("%s does not serve: %s", message.model, message.message)
        _refuse(member, f"{message.model} does not serve: {message.message}")

    def _on_unloaded(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, ModelUnloaded)
        member = self._members.get(message.model)
        if member is not None:
            self._gone(member)

    def _gone(self, member: Member) -> None:
        """A model does not run any more, because it was asked to go."""
        del self._members[member.id]
        member.said = None
        self._label(member)
        _refuse(member, f"{member.id} was unloaded before it was up.")
        if member.unloaded is not None:
            member.unloaded.set()


def _refuse(member: Member, why: str) -> None:
    if not member.loaded.done():
        member.loaded.set_exception(ModelUnavailable(why))
        member.loaded.exception()  # seen here; whoever waits sees it too
