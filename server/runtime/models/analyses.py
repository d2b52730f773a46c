"""Whether an analysis can be done with the models there are."""

from __future__ import annotations

from model_export.bundle import Bundle
from model_export.manifest import Manifest, Task, check_for_video
from server.core.errors import FieldProblem, FieldsInvalid
from server.domain.analysis import GATE_MODEL, Analysis
from server.runtime.models.models import Models, check_labels


async def check_analysis(models: Models, analysis: Analysis) -> Bundle:
    """The model that an analysis asks for.

    Raises:
        ModelNotFound: there is none.
        TaskNotForVideo: it takes tensors.
        FieldsInvalid: it has not these labels, or may not be spared frames.
    """
    bundle = await models.resolve(analysis.model)
    check_for_video(bundle.manifest)
    check_labels(bundle.manifest, analysis.labels)
    if analysis.gate is not None:
        _check_gate((await models.resolve(GATE_MODEL)).manifest, bundle.manifest)
    return bundle


def _check_gate(gate: Manifest, manifest: Manifest) -> None:
    """See that a model may be spared frames, and the gate's look for motion.

    Raises:
        FieldsInvalid: it looks for motion itself, or remembers what it saw; or the gate's does something else.
    """
    if gate.task is not Task.MOTION:
        problem = FieldProblem("gate", f"{gate.id} is of task {gate.task}, and a gate needs one of task motion.")
        raise FieldsInvalid(problem, hint=f"Leave gate out, or remove {gate.id}.")
    if manifest.task is Task.MOTION:
        why = f"{manifest.id} looks for motion itself."
    elif manifest.state or manifest.window is not None:
        why = f"{manifest.id} remembers earlier frames, so it has to see every one."
    else:
        return
    raise FieldsInvalid(FieldProblem("gate", why), hint="Leave gate out, or take another model.")
