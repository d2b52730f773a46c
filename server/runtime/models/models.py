"""The models of the server: which there are, which serve, and single pictures through them."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence

from model_export.bundle import Bundle
from model_export.errors import ModelNotFound, VidserveError
from model_export.manifest import Manifest, check_for_video, parse_reference
from model_export.repository import Repository
from server.core.errors import FieldProblem, FieldsInvalid
from server.domain.model import ModelStatus
from server.runtime.models.loading import Loaded, Loading
from server.runtime.models.pictures import Pictures
from server.runtime.models.status import status_of
from server.runtime.models.succession import Succession

_log = logging.getLogger(__name__)

_LET_GO_S = 1.0
_AT_HAND_S = 1.0
"""How long it is believed which model a reference means, without a look at the disk."""


class ModelInUse(VidserveError):
    """Jobs that have not ended, or streams, need the model."""

    code = "model_in_use"


class DefaultConfigured(VidserveError):
    """The settings say what serves where no model is named."""

    code = "default_configured"


class Models:
    """Loads models when they are asked for, and keeps them until told otherwise or another version takes over.

    Args:
        repository: the bundles there are.
        loading: which of them the engine has.
        default_model: that serves where an analysis names none; None: the repository's own.
        pictures: the way of single ones.
        pinned: the models (`name@version`) of jobs that have not ended, and of streams.
    """

    def __init__(
        self,
        repository: Repository,
        loading: Loading,
        *,
        default_model: str | None,
        engine_address: str,
        pictures: Pictures,
        pinned: Callable[[], Awaitable[set[str]]],
    ) -> None:
        self.repository = repository
        self.engine_address = engine_address
        self.loading = loading
        self._default_model = default_model
        self._pictures = pictures
        self._pinned = pinned
        self._put_away: set[str] = set()
        """Models that were unloaded by hand."""
        self._going: set[str] = set()
        """Models that are being removed."""
        self._at_hand: dict[str, tuple[float, str]] = {}
        """Reference → until when it is believed to mean this `name@version`."""
        self.succession = Succession(loading)

    # ── which there are ──────────────────────────────────────────────────────────────────────────────────────────

    async def resolve(self, reference: str | None) -> Bundle:
        """The bundle that `name@version` is, or that serves under `name` or, for None, where no model is named.

        Raises:
            ModelNotFound: there is none.
        """
        bundle, by_version = await asyncio.to_thread(self._resolve, reference)
        return bundle if by_version else await self.succession.serving(bundle)

    def at_hand(self, reference: str) -> Loaded | None:
        """The loaded model that a reference has meant a moment ago, if that is known and it still serves: looking into
        the repository costs more than running a small model.
        """
        until, id = self._at_hand.get(reference, (0.0, ""))
        model = self.loading.models.get(id)
        return model if model is not None and model.ready and time.monotonic() < until else None

    async def list(self) -> Sequence[ModelStatus]:
        """Every valid version of every model."""
        return await self._statuses(None)

    async def get(self, reference: str) -> ModelStatus:
        """The version that `name@version` says, or the one that serves under the name.

        Raises:
            ModelNotFound: there is none.
        """
        wanted = (await self.resolve(reference)).manifest
        for status in await self._statuses(wanted.name):
            if status.version == wanted.version:
                return status
        raise ModelNotFound(f"There is no model {wanted.id!r} any more.")

    async def set_default(self, reference: str) -> None:
        """Make this version the one that serves under its name, loaded and warm before it does.

        Raises:
            ModelNotFound: there is none.
            ModelUnavailable: it does not load; what served before goes on.
        """
        bundle, _ = await asyncio.to_thread(self._resolve, reference)
        if self.loading.of(bundle.manifest.name):
            await self._ensure(bundle, by_hand=True)
            self.succession.expect(bundle)
        await asyncio.to_thread(self.repository.set_default, bundle.manifest.name, bundle.manifest.version)
        self._at_hand.clear()
        await self.resolve(bundle.manifest.name)

    async def set_server_default(self, name: str) -> None:
        """Make this model the one that serves where none is named, loaded and warm before it does.

        Raises:
            DefaultConfigured: the settings say which one does.
            ModelNotFound: there is none.
            TaskNotForVideo: it takes tensors.
            ModelUnavailable: it does not load; what served before goes on.
        """
        if self._default_model is not None:
            raise DefaultConfigured(
                f"The settings say that {self._default_model} serves where no model is named.",
                hint="Change or remove `[engine] default_model` there, and start the server again.",
            )
        bundle = await self.resolve(name)
        check_for_video(bundle.manifest)
        await self._ensure(bundle, by_hand=True)
        await asyncio.to_thread(self.repository.set_default_model, name)

    async def remove(self, reference: str) -> None:
        """Remove a version, or every version of a name that did not come with the server, from engine and disk.

        Raises:
            ModelNotFound: there is none.
            ModelReadOnly: it came with the server.
            ModelInUse: jobs that have not ended, or streams, need it.
        """
        name, version = parse_reference(reference)
        entries = await asyncio.to_thread(self.repository.entries, name)
        ids = {f"{name}@{entry.version}" for entry in entries if version in (None, entry.version) and not entry.shipped}
        _refuse_in_use(ids & await self._pinned())
        models = [model for model in self.loading.of(name) if model.id in ids]
        await _see_unused(models)
        self._going |= ids
        try:
            await asyncio.to_thread(self.repository.remove, name, version)
            await self.loading.unload([model for model in self.loading.of(name) if model.id in ids])
        finally:
            self._going -= ids
            self._at_hand.clear()

    # ── which run ────────────────────────────────────────────────────────────────────────────────────────────────

    async def load(self, reference: str, *, by_hand: bool = True) -> None:
        """Have a model loaded and warm; of a bare name, the version that is to serve.

        Args:
            by_hand: even if engines have died of it.

        Raises:
            ModelNotFound: there is none.
            ModelUnavailable: it does not load.
        """
        bundle, by_version = await asyncio.to_thread(self._resolve, reference)
        model = await self._ensure(bundle, by_hand=by_hand)
        model.by_version |= by_version
        if not by_version:
            await self.succession.serving(bundle)

    async def unload(self, reference: str) -> None:
        """Give a model's memory back. A name without a version unloads every version of it that runs.

        Raises:
            ModelNotFound: there is none.
            ModelInUse: jobs or streams that run need it.
        """
        await asyncio.to_thread(self._resolve, reference)
        name, version = parse_reference(reference)
        models = [one for one in self.loading.of(name) if version in (None, one.bundle.manifest.version)]
        await _see_unused(models)
        self._put_away.update(one.id for one in models)
        await self.loading.unload(models)

    async def acquire(self, reference: str | None) -> Bundle:
        """A loaded model for as long as a job or a stream runs; `release` lets it go.

        Raises:
            ModelNotFound, ModelUnavailable: as `load`.
        """
        bundle = await self.resolve(reference)
        model = await self._ensure(bundle)
        if model.id in self._going:
            raise ModelNotFound(f"{model.id} was removed.")
        model.users += 1
        return bundle

    def release(self, model: str) -> None:
        """A job or stream that had acquired it is over."""
        loaded = self.loading.models.get(model)
        if loaded is not None:
            loaded.users -= 1
            self.succession.retire(loaded.bundle.manifest.name)

    def computing(self, model: str) -> str | None:
        """All that decides over bits of a loaded model's answers; None if it is not loaded at this moment."""
        loaded = self.loading.models.get(model)
        return loaded.said.settings if loaded is not None and loaded.said is not None else None

    def problems(self, wanted: Sequence[str]) -> Sequence[str]:
        """A sentence for each of the wanted models that does not serve."""
        found = []
        for reference in wanted:
            try:
                bundle, by_version = self._resolve(reference)
            except VidserveError as error:
                found.append(str(error))
                continue
            id = (bundle if by_version else self.succession.now(bundle)).manifest.id
            model = self.loading.models.get(id)
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
            TaskNotForVideo: it takes tensors.
            VidserveError: `picture_unreadable`, `predict_failed`.
        """
        bundle = await self.resolve(reference)
        check_for_video(bundle.manifest)
        check_labels(bundle.manifest, labels)
        model = await self._ensure(bundle)
        model.by_version |= "@" in (reference or "")
        with model.looking():
            return await self._pictures.predict(str(bundle.folder), image, confidence=confidence, labels=labels)

    @contextlib.asynccontextmanager
    async def serving(self, reference: str) -> AsyncIterator[Loaded]:
        """The model that serves for a reference, loaded and warm; it does not go meanwhile.

        Raises:
            ModelNotFound, ModelUnavailable: as `load`.
        """
        model = self.at_hand(reference)
        if model is None:
            model = await self._ensure(await self.resolve(reference))
            model.by_version |= "@" in reference
            self._at_hand[reference] = time.monotonic() + _AT_HAND_S, model.id
        with model.looking():
            yield model

    async def tell_broken(self) -> None:
        """Log what lies in the repository and cannot be served."""
        with contextlib.suppress(VidserveError):  # who asks for a model is told
            for entry in await asyncio.to_thread(self.repository.entries):
                if entry.bundle is None:
                    _log.warning("%s@%s cannot be served: %s", entry.name, entry.version, entry.problem)

    def watch(self) -> None:
        """From now on notice what others change in the repository."""
        self.succession.watch(lambda name: self.resolve(name))

    async def close(self) -> None:
        """Stop watching."""
        await self.succession.close()

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _ensure(self, bundle: Bundle, *, by_hand: bool = False) -> Loaded:
        self._put_away.discard(bundle.manifest.id)
        return await self.loading.ensure(bundle, by_hand=by_hand)

    def _resolve(self, reference: str | None) -> tuple[Bundle, bool]:
        """The bundle that is to serve for a reference, and whether that names its version."""
        if reference is None:
            reference = self._default_model
        if reference is None:
            return self.repository.default(), False
        return self.repository.resolve(reference), parse_reference(reference)[1] is not None

    async def _statuses(self, name: str | None) -> Sequence[ModelStatus]:
        """Every version that can be served, of one model or of all."""
        entries, default = await asyncio.to_thread(self._look_up, name)
        versions: dict[str, tuple[int, ...]] = {}
        serves: dict[str, str] = {}
        for bundle, nominal in entries:
            manifest = bundle.manifest
            versions[manifest.name] = (*versions.get(manifest.name, ()), manifest.version)
            if nominal:
                serves[manifest.name] = self.succession.now(bundle).manifest.id
        if default is not None:
            default = default if "@" in default else serves.get(default)
        return [
            status_of(
                bundle.manifest,
                self.loading.models.get(bundle.manifest.id),
                versions=versions[bundle.manifest.name],
                default=serves.get(bundle.manifest.name) == bundle.manifest.id,
                server_default=default == bundle.manifest.id,
            )
            for bundle, _ in entries
        ]

    def _look_up(self, name: str | None) -> tuple[Sequence[tuple[Bundle, bool]], str | None]:
        """Bundles with whether each is to serve under its name, and the reference of the server's default model."""
        entries = self.repository.entries(name)
        default = self._default_model or self.repository.default_model()
        return [(entry.bundle, entry.serves) for entry in entries if entry.bundle is not None], default


async def _see_unused(models: Sequence[Loaded]) -> None:
    """See that no job holds any of the models. One that has ended lets go of them a moment later.

    Raises:
        ModelInUse: one does.
    """
    until = time.monotonic() + _LET_GO_S
    while any(model.users for model in models) and time.monotonic() < until:
        await asyncio.sleep(0.02)
    _refuse_in_use({model.id for model in models if model.users})


def _refuse_in_use(ids: Collection[str]) -> None:
    if ids:
        raise ModelInUse(
            f"Jobs, streams or sequences need {', '.join(sorted(ids))}.",
            hint="Cancel them, wait for their end, or have them use another model.",
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
