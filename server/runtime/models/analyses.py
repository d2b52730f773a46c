"""Whether an analysis can be done with the models there are."""

from __future__ import annotations

from model_export.bundle import Bundle
from model_export.errors import VidserveError
from model_export.manifest import Manifest, Task
from server.core.errors import FieldProblem, FieldsInvalid
from server.domain.analysis import GATE_MODEL, Analysis
from server.runtime.models.models import Models, check_labels


class TaskNotForVideo(VidserveError):
    """A model that takes tensors was asked to look at a video."""

    code = "task_not_for_video"


async def check_analysis(models: Models, analysis: Analysis) -> Bundle:
    """The model that an analysis asks for.

    Raises:
        ModelNotFound: there is none.
        TaskNotForVideo: it takes tensors.
        FieldsInvalid: it has not these labels, or may not be spared frames.
    """
    bundle = await models.resolve(analysis.model)
    if bundle.manifest.task is Task.TENSOR:
        raise TaskNotForVideo(
            f"{bundle.manifest.id} has task tensor: it takes tensors, not video.",
            hint="Import it with a family, so that the server knows what its outputs mean.",
        )
    check_labels(bundle.manifest, analysis.labels)
    if analysis.gate is not None:
        await models.resolve(GATE_MODEL)
        _check_gate(bundle.manifest)
    return bundle


def _check_gate(manifest: Manifest) -> None:
    """See that a model may be spared frames.

    Raises:
        FieldsInvalid: it looks for motion itself, or remembers what it saw.
    """
    if manifest.task is Task.MOTION:
        why = f"{manifest.id} looks for motion itself."
    elif manifest.state or manifest.window is not None:
        why = f"{manifest.id} remembers earlier frames, so it has to see every one."
    else:
        return
    raise FieldsInvalid(FieldProblem("gate", why), hint="Leave gate out, or take another model.")
