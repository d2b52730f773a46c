from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from model_export.bundle import Bundle
from model_export.errors import VidserveError
from model_export.manifest import FrameInput, Manifest, Provenance, Task, TensorSpec
from server.cli import app
from server.engine.tuning.bystanders import Bystanders
from server.runtime.processes.folders import locked

SIDE = 8


def small_model(data: Path, task: Task = Task.CLASSIFY) -> None:
    """`small@1` in the data folder: the means of a frame's channels, or the same as a model of task `tensor`."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["frames"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats", "axes"], ["probabilities"], keepdims=0),
        ],
        "small",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["B", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["B", 3])],
        [numpy_helper.from_array(np.array([1, 2], np.int64), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    manifest = Manifest(
        name="small",
        version=1,
        task=task,
        family="test",
        input=None if task is Task.TENSOR else FrameInput(width=SIDE, height=SIDE),
        inputs=(TensorSpec(name="frames", dtype="uint8", shape=(None, SIDE, SIDE, 3)),),
        outputs=(TensorSpec(name="probabilities", dtype="float32", shape=(None, 3)),),
        provenance=Provenance(tool="test"),
    )
    Bundle.write(data / "models" / "small" / "1", manifest, {"model.onnx": onnx.ModelProto.SerializeToString(model)})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder whose settings leave next to nothing open, so that little is measured."""
    (tmp_path / "vidserve.toml").write_text('[engine]\nsessions = 1\nthreads = 1\nmax_batch = 1\nprovider = "cpu"\n')
    small_model(tmp_path)
    return tmp_path


def bench(data: Path, *words: str) -> str:
    """What the command says, where it succeeds."""
    done = CliRunner().invoke(
        app, ["bench", *words, "--data", str(data), "--config", str(data / "vidserve.toml")], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.slow
def test_it_shows_what_was_tried_what_was_chosen_and_why_and_keeps_it(data: Path) -> None:
    report = data / "figures.json"
    said = bench(data, "small", "--save", "--json", str(report))
    figures = json.loads(report.read_text())
    assert [(row["sessions"], row["threads"], row["batch"], row["optimization"]) for row in figures["rows"]] == [
        (1, 1, 1, "all"),
        (1, 1, 1, "extended"),
    ]
    assert all(row["frames_s"] > 0 and row["run_s"] > 0 for row in figures["rows"])
    for heading in ("sessions", "threads", "batch", "optimisation", "frames/s", "ms a run"):
        assert heading in said
    assert f"optimisation {figures['chosen']['optimization']}; {figures['why']}." in said
    assert "gate: motion: moving-objects takes" in said
    assert figures["gate"]["beside_s"] > 0
    kept = json.loads((data / "tuning.json").read_text())["entries"]
    assert [(entry["subject"]["model"], entry["choice"]) for entry in kept] == [("small", figures["chosen"])]


def test_nothing_is_kept_if_that_is_not_wanted_and_a_gate_is_not_measured_before_itself(data: Path) -> None:
    said = bench(data, "moving-objects", "--no-save")
    assert "Not kept." in said
    assert "gate:" not in said
    assert not (data / "tuning.json").exists()


def test_where_others_used_the_machine_it_says_how_to_measure_all_the_same(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bystanders, "share", 0.27)
    said = bench(data, "moving-objects")
    assert "Other processes used 27% of the cores" in said
    assert "Not kept; --save keeps them all the same." in said
    assert "pause its streams" not in said
    with locked(data):
        said = bench(data, "moving-objects", "--save")
    assert "The server of this data folder runs" in said
    assert "pause its streams" in said
    assert "Kept in" in said


def test_a_model_that_takes_no_frames_cannot_be_measured(tmp_path: Path) -> None:
    small_model(tmp_path, Task.TENSOR)
    with pytest.raises(VidserveError, match="task tensor") as caught:
        bench_in(tmp_path, "small")
    assert caught.value.code == "not_measurable"


def test_a_model_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VidserveError, match="no model 'nothing'"):
        bench_in(tmp_path, "nothing")


def test_a_file_that_cannot_be_written_is_said_before_anything_is_measured(data: Path) -> None:
    with pytest.raises(VidserveError, match="there is no folder") as caught:
        bench(data, "moving-objects", "--json", str(data / "no" / "folder.json"))
    assert caught.value.code == "not_saved"
    assert not (data / "tuning.json").exists()


def bench_in(data: Path, *words: str) -> None:
    CliRunner().invoke(app, ["bench", *words, "--data", str(data)], catch_exceptions=False)
