"""A model as clients see it: what its manifest says, and how it does at the engine."""

from __future__ import annotations

from model_export.bundle import MODEL
from model_export.manifest import Manifest
from server.domain.model import InputSize, ModelError, ModelState, ModelStatus, ModelVariant
from server.runtime.models.loading import Loaded


def status_of(
    manifest: Manifest, model: Loaded | None, *, versions: tuple[int, ...], default: bool, server_default: bool
) -> ModelStatus:
    """
    Args:
        model: None where the model is not at the engine.
        versions: all of its name.
        default: it serves under its bare name.
        server_default: it serves where no model is named.
    """
    said = model.said if model else None
    failed = model.failed if model else None
    state = ModelState.UNLOADED
    if model is not None:
        state = ModelState.READY if said else ModelState.FAILED if failed else ModelState.LOADING
    return ModelStatus(
        name=manifest.name,
        version=manifest.version,
        default=default,
        server_default=server_default,
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
        sha256=(model.sha256 if model else manifest.files.get(MODEL)) or None,
        variant=said.variant if said else None,
        variants=tuple(
            ModelVariant(name=name, metric=one.metric, value=one.value, lost=one.lost)
            for name, one in manifest.variants.items()
        ),
    )
