"""The models of the server: which there are, which run, and single pictures through them."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Sequence

from model_export.bundle import Bundle
from model_export.errors import VidserveError
from model_export.manifest import Manifest, parse_reference
from model_export.repository import Repository
from server.core.errors import FieldProblem, FieldsInvalid
from server.domain.model import InputSize, ModelError, ModelState, ModelStatus
from server.runtime.loading import Loaded, Loading
from server.runtime.pictures import Pictures


class ModelInUse(VidserveError):
    """Jobs that run need the model."""

    code = "model_in_use"


class Models:
    """Loads models when they are asked for, and keeps them until told otherwise.

    Args:
        repository: the bundles there are.
        loading: which of them the engine has.
        default_model: that serves where an analysis names none; None: the repository's own.
        pictures: the way of single ones.
    """

    def __init__(
        self,
        repository: Repository,
        loading: Loading,
        *,
        default_model: str | None,
        engine_address: str,
        pictures: Pictures,
    ) -> None:
        self.repository = repository
        self.engine_address = engine_address
        self._pictures = pictures
        self._loading = loading
        self._default_model = default_model
        self._put_away: set[str] = set()

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
        if any(r.bundle.manifest.name == bundle.manifest.name for r in self._loading.models.values()):
            await self._ensure(bundle, by_hand=True)
        await asyncio.to_thread(self.repository.set_default, bundle.manifest.name, bundle.manifest.version)

    # ── which run ────────────────────────────────────────────────────────────────────────────────────────────────

    async def load(self, reference: str, *, by_hand: bool = True) -> None:
        """Have a model loaded and warm.

        Args:
            by_hand: even if engines have died of it.

        Raises:
            ModelNotFound: there is none.
            ModelUnavailable: it does not load.
        """
        await self._ensure(await self.resolve(reference), by_hand=by_hand)

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
            for model in self._loading.models.values()
            if model.bundle.manifest.name == name and version in (None, model.bundle.manifest.version)
        ]
        busy = [model.id for model in running if model.users]
        if busy:
            raise ModelInUse(f"Jobs that run need {', '.join(busy)}.", hint="Cancel them, or wait for their end.")
        self._put_away.update(model.id for model in running)
        await self._loading.unload(running)

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
        running = self._loading.models.get(model)
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
            model = self._loading.models.get(id)
            if model is None and id in self._put_away:
                continue  # unloaded by hand, and loaded again when somebody needs it
            if model is None or (model.said is None and model.failed is None):
                found.append(f"Model {reference} is loading.")
            elif model.failed is not None:
                found.append(f"Model {reference} does not serve: {model.failed.message}")
        return found

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

    async def _ensure(self, bundle: Bundle, *, by_hand: bool = False) -> Loaded:
        self._put_away.discard(bundle.manifest.id)
        return await self._loading.ensure(bundle, by_hand=by_hand)

    def _status(self, bundle: Bundle, versions: tuple[int, ...], default: bool) -> ModelStatus:
        manifest = bundle.manifest
        model = self._loading.models.get(manifest.id)
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
