import asyncio

import pytest
from fake_engine import Site
from model_builders import written

from model_export.errors import TaskNotForVideo
from model_export.manifest import Task
from server.core.errors import FieldsInvalid
from server.domain.analysis import GATE_MODEL, Analysis
from server.runtime.models.analyses import check_analysis


def checked(folder, **analysis):
    """The model that an analysis is done with, as it is found in a folder's repository."""

    async def within():
        return (await check_analysis(Site(folder).models, Analysis(**analysis))).manifest.id

    return asyncio.run(within())


def test_a_gate_wants_a_model_that_looks_for_motion(tmp_path):
    written(tmp_path / "models", name="net")
    written(tmp_path / "models", name=GATE_MODEL, task=Task.MOTION)
    assert checked(tmp_path, model="net", gate="motion") == "net@1"


@pytest.mark.parametrize("task", [Task.TENSOR, Task.DETECT])
def test_a_gate_whose_model_does_something_else_is_refused(tmp_path, task):
    written(tmp_path / "models", name="net")
    written(tmp_path / "models", name=GATE_MODEL, task=task)
    with pytest.raises(FieldsInvalid, match=f"gate: moving-objects@1 is of task {task}") as refused:
        checked(tmp_path, model="net", gate="motion")
    assert refused.value.hint == "Leave gate out, or remove moving-objects@1."
    assert checked(tmp_path, model="net") == "net@1"


def test_a_model_that_takes_tensors_analyses_nothing(tmp_path):
    written(tmp_path / "models", name="rok", task=Task.TENSOR)
    with pytest.raises(TaskNotForVideo):
        checked(tmp_path, model="rok")
