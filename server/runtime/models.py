"""The models of the server: which there are, which run, and single pictures through them."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from model_export.bundle import Bundle
from model_export.errors import VidserveError
from model_export.manifest import Manifest, parse_reference
from model_export.repository import Repository
from server.core.errors import FieldProblem, FieldsInvalid, ModelUnavailable
from server.core.metrics import Metrics, ModelRow
from server.core.metrics_page import MODEL_ROWS, Page
from server.domain.model import InputSize, ModelError, ModelState, ModelStatus
from server.runtime.hub import Hub
from server.runtime.pictures import Pictures
from server.wire.messages import LoadModel, ModelFailed, ModelLoaded, ModelUnloaded, UnloadModel
from server.wire.sockets import Received

_log = logging.getLogger(__name__)

ENGINE = "engine"


class ModelInUse(VidserveError):
    """Jobs that run need the model."""

    code = "model_in_use"


@dataclass
class _Running:
    """A model at the engine."""

    bundle: Bundle
    row: int
    loaded: asyncio.Future[ModelLoaded] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    said: ModelLoaded | None = None
    failed: ModelFailed | None = None
    unloaded: asyncio.Event | None = None
    users: int = 0


class Models:
    """Loads models when they are asked for, and keeps them until told otherwise.

    Args:
        repository: the bundles there are.
        default_model: that serves where an analysis names none; None: the repository's own.
        pictures: the way of single ones.
    """

    def __init__(
        self,
        repository: Repository,
        hub: Hub,
        metrics: Metrics,
        page: Page,
        *,
        default_model: str | None,
        engine_address: str,
        pictures: Pictures,
    ) -> None:
        self.repository = repository
        self.engine_address = engine_address
        self._pictures = pictures
        self._hub = hub
        self._metrics = metrics
        self._page = page
        self._default_model = default_model
        self._running: dict[str, _Running] = {}
        self._put_away: set[str] = set()
        hub.on(ModelLoaded, self._on_loaded)
        hub.on(ModelFailed, self._on_failed)
        hub.on(ModelUnloaded, self._on_unloaded)

    # ── which there are ──────────────────────────────────────────────────────────────────────────────────────────

    async def resolve(self, reference: str | None) -> Bundle:
        """The bundle that `name`, `name@version` or None (the default model) stands for.

        Raises:
            ModelNotFound: there is none.
        """
        return await asyncio.to_thread(self._resolve, reference)

    async def list(self) -> Sequence[ModelStatus]:
        """Every valid version of every model."""
        bundles = await asyncio.to_thread(self._bundles, None)
        return [self._status(bundle, versions, default) for bundle, versions, default in bundles]

    async def get(self, reference: str) -> ModelStatus:
        """The version that `name@version` says, or the one that serves under the name.

        Raises:
            ModelNotFound: there is none.
        """
        wanted = (await self.resolve(reference)).manifest
        bundles = await asyncio.to_thread(self._bundles, wanted.name)
        return next(self._status(*found) for found in bundles if found[0].manifest.version == wanted.version)

    async def set_default(self, reference: str) -> None:
        """Make this version the one that serves under its name, loaded and warm before it does.

        Raises:
            ModelNotFound: there is none.
            ModelUnavailable: it does not load; what served before goes on.
        """
        bundle = await self.resolve(reference)
        if any(r.bundle.manifest.name == bundle.manifest.name for r in self._running.values()):
            await self._ensure(bundle)
        await asyncio.to_thread(self.repository.set_default, bundle.manifest.name, bundle.manifest.version)

    # ── which run ────────────────────────────────────────────────────────────────────────────────────────────────

    async def load(self, reference: str) -> None:
        """Have a model loaded and warm.

        Raises:
            ModelNotFound: there is none.
            ModelUnavailable: it does not load.
        """
        await self._ensure(await self.resolve(reference))

    async def unload(self, reference: str) -> None:
        """Give a model's memory back. A name without a version unloads every version of it that runs.

        Raises:
            ModelNotFound: there is none.
            ModelInUse: jobs that run need it.
        """
        await self.resolve(reference)
        name, version = parse_reference(reference)
        running = [
            model
            for model in self._running.values()
            if model.bundle.manifest.name == name and version in (None, model.bundle.manifest.version)
        ]
        busy = [model.bundle.manifest.id for model in running if model.users]
        if busy:
            raise ModelInUse(f"Jobs that run need {', '.join(busy)}.", hint="Cancel them, or wait for their end.")
        for model in running:
            self._put_away.add(model.bundle.manifest.id)
            if model.unloaded is None:
                model.unloaded = asyncio.Event()
                if not await self._hub.send(ENGINE, UnloadModel(model.bundle.manifest.id)):
                    self._gone(model)  # the engine is away, and the model with it
            await model.unloaded.wait()

    async def acquire(self, reference: str) -> Bundle:
        """A loaded model for as long as a job runs; `release` lets it go.

        Raises:
            ModelNotFound, ModelUnavailable: as `load`.
        """
        bundle = await self.resolve(reference)
        model = await self._ensure(bundle)
        model.users += 1
        return bundle

    def release(self, model: str) -> None:
        """A job that had acquired it is over."""
        running = self._running.get(model)
        if running is not None:
            running.users -= 1

    def problems(self, wanted: Sequence[str]) -> Sequence[str]:
        """A sentence for each of the wanted models that does not serve."""
        found = []
        for reference in wanted:
            try:
                id = self._resolve(reference).manifest.id
            except VidserveError as error:
                found.append(str(error))
                continue
            model = self._running.get(id)
            if model is None and id in self._put_away:
                continue  # unloaded by hand, and loaded again when somebody needs it
            if model is None or (model.said is None and model.failed is None):
                found.append(f"Model {reference} is loading.")
            elif model.failed is not None:
                found.append(f"Model {reference} does not serve: {model.failed.message}")
        return found

    def engine_lost(self) -> None:
        """The engine is gone and with it every model; they are loaded again when it is back."""
        for model in self._running.values():
            model.said = None
            if model.loaded.done():
                model.loaded = asyncio.get_running_loop().create_future()
            if model.unloaded is not None:
                model.unloaded.set()
            self._label(model)
        self._running = {id: model for id, model in self._running.items() if model.unloaded is None}

    async def engine_back(self) -> None:
        """Load what was loaded, in the engine that has just come up."""
        for model in self._running.values():
            if model.failed is None:
                await self._send_load(model)

    async def predict(
        self,
        reference: str | None,
        image: bytes,
        *,
        confidence: float | None = None,
        labels: Sequence[str] | None = None,
    ) -> bytes:
        """One encoded picture as a result row (JSON).

        Raises:
            ModelNotFound, ModelUnavailable: as `load`.
            VidserveError: `picture_unreadable`, `predict_failed`.
        """
        bundle = await self.resolve(reference)
        check_labels(bundle.manifest, labels)
        await self._ensure(bundle)
        return await self._pictures.predict(str(bundle.folder), image, confidence=confidence, labels=labels)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _resolve(self, reference: str | None) -> Bundle:
        if reference is None:
            reference = self._default_model
        if reference is None:
            return self.repository.default()
        return self.repository.resolve(reference)

    def _bundles(self, name: str | None) -> Sequence[tuple[Bundle, tuple[int, ...], bool]]:
        """Every version that can be served, with all versions of its name, and whether it is the one that serves."""
        entries = [entry for entry in self.repository.entries(name) if entry.bundle is not None]
        versions: dict[str, tuple[int, ...]] = {}
        for entry in entries:
            versions[entry.name] = (*versions.get(entry.name, ()), entry.version)
        return [(entry.bundle, versions[entry.name], entry.serves) for entry in entries if entry.bundle is not None]

    async def _ensure(self, bundle: Bundle) -> _Running:
        """Loaded, or a reason why not. Several that ask at once share one loading; a failed one is tried anew."""
        id = bundle.manifest.id
        model = self._running.get(id)
        if model is not None and model.unloaded is not None:
            await model.unloaded.wait()
            model = self._running.get(id)
        if model is None or model.failed is not None:
            self._put_away.discard(id)
            model = self._running[id] = _Running(bundle, self._row(bundle))
            await self._send_load(model)
        await asyncio.shield(model.loaded)
        return model

    async def _send_load(self, model: _Running) -> None:
        # If the engine is not there yet, `engine_back` sends it.
        await self._hub.send(ENGINE, LoadModel(model.bundle.manifest.id, str(model.bundle.folder), model.row))

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

    def _label(self, model: _Running) -> None:
        manifest, said = model.bundle.manifest, model.said
        info = None
        if said is not None:
            info = {
                "provider": said.provider,
                "precision": said.precision,
                "sha256": manifest.files.get("model.onnx", ""),
            }
        self._metrics.rows.models[model.row] = ModelRow(manifest.name, str(manifest.version), info)

    def _status(self, bundle: Bundle, versions: tuple[int, ...], default: bool) -> ModelStatus:
        manifest = bundle.manifest
        model = self._running.get(manifest.id)
        said = model.said if model else None
        state = ModelState.UNLOADED
        if model is not None:
            state = ModelState.READY if said else ModelState.FAILED if model.failed else ModelState.LOADING
        failed = model.failed if model else None
        return ModelStatus(
            name=manifest.name,
            version=manifest.version,
            default=default,
            versions=versions,
            task=manifest.task,
            family=manifest.family,
            description=manifest.description,
            labels=manifest.labels,
            input=InputSize(width=manifest.input.width, height=manifest.input.height) if manifest.input else None,
            state=state,
            error=ModelError(code=failed.code, message=failed.message) if failed else None,
            provider=said.provider if said else None,
            asked_provider=said.asked if said else None,
            provider_reason=(said.why or None) if said else None,
            precision=said.precision if said else None,
            sessions=said.sessions if said else None,
            threads=said.threads if said else None,
            max_batch=said.max_batch if said else None,
            sha256=manifest.files.get("model.onnx"),
        )

    def _on_loaded(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, ModelLoaded)
        model = self._running.get(message.model)
        if model is None:
            return
        model.said, model.failed = message, None
        self._label(model)
        if not model.loaded.done():
            model.loaded.set_result(message)
        if message.why:
            _log.warning("%s runs on %s, not on %s: %s", message.model, message.provider, message.asked, message.why)

    def _on_failed(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, ModelFailed)
        model = self._running.get(message.model)
        if model is None:
            return
        model.failed, model.said = message, None
        self._label(model)
        _log.error("%s does not serve: %s", message.model, message.message)
        if not model.loaded.done():
            model.loaded.set_exception(ModelUnavailable(f"{message.model} does not serve: {message.message}"))
            model.loaded.exception()  # seen here; whoever waits sees it too

    def _on_unloaded(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, ModelUnloaded)
        model = self._running.get(message.model)
        if model is not None:
            self._gone(model)

    def _gone(self, model: _Running) -> None:
        """A model does not run any more, because it was asked to go."""
        del self._running[model.bundle.manifest.id]
        model.said = None
        self._label(model)
        if model.unloaded is not None:
            model.unloaded.set()


def check_labels(manifest: Manifest, labels: Sequence[str] | None) -> None:
    """See that a model can find what is asked for.

    Raises:
        FieldsInvalid: it has labels, and not these.
    """
    unknown = [label for label in labels or () if manifest.labels and label not in manifest.labels]
    if not unknown:
        return
    near = difflib.get_close_matches(unknown[0], manifest.labels, 3)
    meant = f"did you mean {' or '.join(near)}?" if near else f"it finds {', '.join(manifest.labels[:10])}."
    raise FieldsInvalid(
        FieldProblem("labels", f"{manifest.id} has no label {unknown[0]!r}; {meant}"),
        hint=f"GET /v1/models/{manifest.name} lists its labels.",
    )
