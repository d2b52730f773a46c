"""A model as those see it who send tensors."""

from __future__ import annotations

from collections.abc import Sequence

from model_export.manifest import Manifest, TensorSpec
from server.domain.inference import TensorModel


def tensor_model(manifest: Manifest) -> TensorModel:
    """From what its manifest says."""
    states = {name for state in manifest.state for name in (state.input, state.output)}

    def seen(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
        own = [spec for spec in specs if spec.name not in states]
        if not manifest.shares_runs:
            return tuple(own)
        # A batch of another size is divided and padded, whatever the graph was made for.
        return tuple(spec.model_copy(update={"shape": (None, *spec.shape[1:])}) for spec in own)

    return TensorModel(
        name=manifest.name,
        version=manifest.version,
        inputs=seen(manifest.inputs),
        outputs=seen(manifest.outputs),
        batches=manifest.shares_runs,
        recurrent=bool(manifest.state),
        labels=manifest.labels,
    )
