"""Variants of a run's model, and models of runs as teachers."""

import pytest
import torch
from shape_runs import FRAMES, SIDE, recipe
from typer.testing import CliRunner

from model_export.bundle import Bundle
from model_export.check import check_bundle
from model_export.compress import Score, Tried
from model_export.manifest import Precision
from training.configuration import read
from training.data.loading import load_data
from training.distillation import distillation, soft_loss
from training.errors import NothingToResume, TeacherUnsuitable
from training.evaluation import evaluation
from training.evaluation.opening import open_model
from training.export.cli import app
from training.export.table import table
from training.recipe import TeacherConfig


def validation(folder, kind):
    return load_data(recipe(kind, folder.parent / "cache").data, folder)


@pytest.fixture(scope="module")
def command(run, tmp_path_factory):
    """What the command says that exports a frame model with variants, and the bundle."""
    data = tmp_path_factory.mktemp("data")
    said = CliRunner().invoke(
        app, [str(run("gru")), "--data", str(data), "--variants", "int8, fp16", "--max-loss", "100"]
    )
    assert said.exit_code == 0, said.output
    return said.output, Bundle.open(data / "models" / "shapes-gru" / "1")


def test_variants_are_sealed_with_what_they_are_worth(command):
    _, bundle = command
    bundle.verify()
    assert {"model.onnx", "model.int8.onnx", "model.fp16.onnx"} <= bundle.manifest.files.keys()
    assert {name: one.precision for name, one in bundle.manifest.variants.items()} == {"int8": "int8", "fp16": "fp16"}
    assert all(one.metric == "accuracy" for one in bundle.manifest.variants.values())


def test_a_table_tells_what_became_of_each(command):
    told, bundle = command
    lines = [line.split() for line in told.splitlines()]
    assert ["variant", "KB", "accuracy", "points", "lost", "ms", "speed"] in lines
    named = {line[0]: line for line in lines if line[:1] in (["fp32"], ["int8"], ["fp16"])}
    assert list(named) == ["fp32", "int8", "fp16"]
    own = float(named["fp32"][2])
    for name, variant in bundle.manifest.variants.items():
        assert float(named[name][2]) == pytest.approx(variant.value, abs=1e-4)
        assert float(named[name][3]) == pytest.approx(100 * (own - variant.value), abs=0.02)
        assert any(cell.startswith("kept") for cell in named[name])


def test_they_pass_the_check_of_bundles(command):
    found = "; ".join(check_bundle(command[1]))
    for name in ("int8", "fp16"):
        assert f"{name}: inputs and outputs are those of the manifest" in found
        assert f"{name}: golden samples agree" in found


@pytest.mark.parametrize("name", ["int8", "fp16"])
def test_what_they_are_worth_is_what_an_evaluation_of_their_file_finds(command, run, name):
    _, bundle = command
    data = validation(run("gru"), "gru")
    variant = open_model(bundle.folder / f"model.{name}.onnx", input=data.input)
    answers, _, _ = evaluation.ask(variant, data.validation)
    assert answers.measures()["accuracy"] == pytest.approx(bundle.manifest.variants[name].value, abs=1e-5)
    assert variant.name.endswith(f"@1 {name}")


def test_the_command_knows_no_other_variants(run, tmp_path):
    told = CliRunner().invoke(app, [str(run("picture")), "--data", str(tmp_path), "--variants", "int4"])
    assert told.exit_code == 2
    assert "there is no 'int4'; there is int8, fp16." in told.output


def test_the_table_says_why_one_is_not_there():
    rows = [
        Tried(None, Precision.FP32, 2000, Score("accuracy", 0.896), latency_ms=1.0),
        Tried("int8", Precision.INT8, 900, kept=False, why="not written: it loses 3.00 points, and 1 are allowed"),
        Tried("fp16", Precision.FP16, 1000, Score("accuracy", 0.9), -0.4, 1.1),
        Tried("fp16", Precision.FP16, 1000, Score("accuracy", 0.9), -0.4, 1.02),
        Tried("fp16", Precision.FP16, 1990, Score("accuracy", 0.9), -0.4, 0.99),
        Tried("fp16", Precision.FP16, 2100, Score("accuracy", 0.9), -0.4, 0.8),
    ]
    cells = [list(column.cells) for column in table(rows).columns]
    assert cells[0] == ["fp32", "int8", "fp16", "fp16", "fp16", "fp16"]
    assert cells[3] == ["", "", "-0.40", "-0.40", "-0.40", "-0.40"]
    slow, useless = "kept, though slower here", "kept, though neither smaller nor faster here"
    assert cells[-1] == ["the model", rows[1].why, slow, "kept", useless, "kept"]


# ── teachers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def taught(path, data, **input):
    fitted = data.input.model_copy(update=input)
    return distillation(read(TeacherConfig, {"model": str(path)}), fitted, data.labels, data.kind)


@pytest.mark.parametrize("kind", ["gru", "window", "picture"])
def test_a_run_and_the_bundle_that_it_became_teach_the_same(run, bundle, kind):
    data = validation(run(kind), kind)
    frames = data.validation.batch(range(4), 0).frames
    torch.manual_seed(0)
    logits = torch.randn(4, len(data.labels))
    losses = [
        soft_loss("class", logits, taught(path, data).teacher.scores(frames), 4.0).item()
        for path in (run(kind), run(kind) / "last.ckpt", bundle(kind).folder, bundle(kind).model)
    ]
    assert losses[2:] == pytest.approx([losses[0]] * 2, rel=1e-4)
    assert losses[1] == losses[0]  # of one epoch the last is the best
    assert losses[0] > 0.01


@pytest.mark.parametrize(
    ("input", "message"),
    [
        ({"width": SIDE + 2}, f"looks at frames of {SIDE} × {SIDE}, and the data have {SIDE + 2} × {SIDE}"),
        ({"frames": 9}, f"looks at clips of {FRAMES} frames, and the data have clips of 9 frames"),
        ({"frames": 1}, "and the data have pictures"),
        ({"resize": "crop"}, "looks at frames that `letterbox` fitted, and the data's are by `crop`"),
    ],
)
def test_a_teacher_of_other_frames_is_refused(run, input, message):
    with pytest.raises(TeacherUnsuitable, match=message):
        taught(run("gru"), validation(run("gru"), "gru"), **input)


def test_a_teacher_of_other_classes_or_of_another_kind_is_refused(run, bundle):
    data = validation(run("gru"), "gru")
    for path in (run("gru"), bundle("gru").folder):
        config = read(TeacherConfig, {"model": str(path)})
        with pytest.raises(TeacherUnsuitable, match=r"knows left, right, .*, and the data have left, right"):
            distillation(config, data.input, data.labels[:2], "class")
        with pytest.raises(TeacherUnsuitable, match="answers one of several classes, and the data have several labels"):
            distillation(config, data.input, data.labels, "multi_label")


def test_a_teacher_without_a_finished_epoch_is_refused(run, tmp_path):
    (tmp_path / "recipe.yaml").write_text((run("gru") / "recipe.yaml").read_text())
    (tmp_path / "data.json").write_text((run("gru") / "data.json").read_text())
    with pytest.raises(NothingToResume, match="not one finished epoch"):
        taught(tmp_path, validation(run("gru"), "gru"))
