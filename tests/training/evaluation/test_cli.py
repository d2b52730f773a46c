"""`vidserve evaluate`, from its words to its report."""

import json
from pathlib import Path

import pytest
from data_builders import picture, save
from evaluation_builders import onnx_brightness_file
from run_builders import brightness_bundle, finished_run, greys, recipe
from typer.testing import CliRunner

from model_export.errors import VidserveError
from training.data.listing import Split
from training.errors import ClassesChanged, DataInvalid, DataNotFound, ModelUnsuitable, NothingToResume, WeightsInvalid
from training.evaluation.cli import app
from training.evaluation.opening import open_model, open_run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return greys(tmp_path / "greys")


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Path:
    return finished_run(tmp_path / "run", recipe(data, tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    monkeypatch.chdir(tmp_path)


def evaluate(*words: object) -> str:
    done = CliRunner().invoke(app, [*map(str, words), "--no-latency"])
    if isinstance(done.exception, VidserveError):
        raise done.exception
    return done.output


def numbers(folder: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((folder / "evaluation.json").read_text())
    return content


def test_a_run_is_measured_on_what_it_keeps_for_tests(run: Path) -> None:
    said = evaluate(run)
    assert "accuracy" in said
    assert (run / "report" / "index.html").is_file()
    found = numbers(run / "report")
    assert found["data"] == "greys, test"
    assert found["samples"] == len([line for line in (run / "split.csv").read_text().split() if line.endswith(",test")])


def test_another_part_may_be_asked_about(run: Path, tmp_path: Path) -> None:
    evaluate(run, "--split", "train", "-o", tmp_path / "out", "--no-conditions")
    found = numbers(tmp_path / "out")
    assert found["data"] == "greys, train"
    assert found["conditions"] == []


def test_evaluating_a_run_changes_nothing_in_it_but_its_report(run: Path) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in run.iterdir() if file.is_file()}
    evaluate(run)
    assert before == {file.name: file.stat().st_mtime_ns for file in run.iterdir() if file.is_file()}


def test_a_bundle_is_measured_on_the_test_samples_of_a_run(run: Path, tmp_path: Path) -> None:
    evaluate(brightness_bundle(tmp_path / "brightness"), "--data", run, "-o", tmp_path / "out")
    found = numbers(tmp_path / "out")
    assert (found["model"], found["data"]) == ("brightness@1", "greys, test")
    assert found["measures"]["accuracy"]["value"] == 1.0  # type: ignore[index]


def test_a_bundle_is_measured_on_a_folder_of_class_folders(data: Path, tmp_path: Path) -> None:
    evaluate(brightness_bundle(tmp_path / "brightness"), "--data", data)
    found = numbers(tmp_path / "report-brightness@1-on-greys")
    assert found["samples"] == 24
    assert [row["label"] for row in found["labels"]] == ["dark", "bright"]  # type: ignore[attr-defined]


def test_a_bundle_is_measured_on_a_list_with_groups(data: Path, tmp_path: Path) -> None:
    rows = [f"{label}/{at}.png,{label},cam-{at % 3}" for label in ("dark", "bright") for at in range(12)]
    (data / "list.csv").write_text("path,label,group\n" + "\n".join(rows))
    evaluate(brightness_bundle(tmp_path / "brightness"), "--data", data / "list.csv", "-o", tmp_path / "out")
    assert [row["group"] for row in numbers(tmp_path / "out")["by_group"]] == ["cam-0", "cam-1", "cam-2"]  # type: ignore[attr-defined]


def test_an_onnx_file_takes_the_labels_of_the_data(run: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "bright.onnx").write_bytes(onnx_brightness_file())
    evaluate(tmp_path / "bright.onnx", "--data", run, "-o", tmp_path / "out")
    assert numbers(tmp_path / "out")["measures"]["accuracy"]["value"] == 1.0  # type: ignore[index]
    evaluate(tmp_path / "bright.onnx", "--data", data, "-o", tmp_path / "out")
    # Sorted, the folders are the other way round than the answers of this file, and nothing says so.
    assert numbers(tmp_path / "out")["measures"]["accuracy"]["value"] == 0.0  # type: ignore[index]


def test_data_with_a_class_that_the_model_does_not_know_are_refused(data: Path, tmp_path: Path) -> None:
    save(data / "grey" / "0.png", picture(128))
    with pytest.raises(DataInvalid, match="has the class 'grey', which is not among the labels: dark, bright"):
        evaluate(brightness_bundle(tmp_path / "brightness"), "--data", data)


def test_a_run_with_other_classes_is_refused(run: Path, data: Path, tmp_path: Path) -> None:
    other = recipe(data, tmp_path / "cache").data.model_copy(update={"source": _sorted(data, tmp_path)})
    made = recipe(data, tmp_path / "cache").model_copy(update={"data": other})
    second = finished_run(tmp_path / "second", made)
    with pytest.raises(ClassesChanged, match="their order changed"):
        evaluate(run, "--data", second)


def _sorted(data: Path, cache: Path) -> object:
    source = recipe(data, cache).data.source
    return source.model_copy(update={"labels": ("bright", "dark")})


def test_a_model_that_is_no_run_needs_data(tmp_path: Path) -> None:
    assert "is needed for a model that is no run" in evaluate(brightness_bundle(tmp_path / "brightness"))


def test_a_folder_has_no_splits(data: Path, tmp_path: Path) -> None:
    said = evaluate(brightness_bundle(tmp_path / "brightness"), "--data", data, "--split", "val")
    assert "goes with the data of a run" in said


def test_what_is_no_model_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnsuitable, match="is no model"):
        open_model(data)
    with pytest.raises(DataNotFound, match="does not exist"):
        evaluate(brightness_bundle(tmp_path / "brightness"), "--data", tmp_path / "nowhere")


def test_data_without_a_test_part_say_so(data: Path, tmp_path: Path) -> None:
    made = recipe(data, tmp_path / "cache")
    untested = made.data.model_copy(update={"split": made.data.split.model_copy(update={"test": 0.0})})
    run = finished_run(tmp_path / "run", made.model_copy(update={"data": untested}))
    assert "greys keeps no samples for tests. These validated: they chose" in evaluate(run, "--no-conditions")
    assert "no samples for tests" not in evaluate(run, "--no-conditions", "--split", "val")
    assert numbers(run / "report")["data"] == f"greys, {Split.VALIDATION.value}"
    with pytest.raises(DataInvalid, match="keeps no samples for tests"):
        evaluate(run, "--split", "test")


def test_a_run_without_a_finished_epoch_is_refused(run: Path) -> None:
    (run / "best.ckpt").unlink()
    with pytest.raises(NothingToResume, match="has not one finished epoch"):
        open_run(run)


def test_a_checkpoint_of_another_net_is_refused(run: Path, data: Path, tmp_path: Path) -> None:
    other = finished_run(
        tmp_path / "other",
        recipe(
            data, tmp_path / "cache", net=[{"particle": "global_pool"}, {"particle": "linear", "channels": "outputs"}]
        ),
    )
    (other / "best.ckpt").replace(run / "best.ckpt")
    with pytest.raises(WeightsInvalid, match="is of another net"):
        open_run(run)


def test_reports_on_other_data_lie_beside_each_other(run: Path, data: Path, tmp_path: Path) -> None:
    bundle = brightness_bundle(tmp_path / "brightness")
    evaluate(bundle, "--data", run, "--no-conditions")
    evaluate(bundle, "--data", data, "--no-conditions")
    reports = sorted(folder.name for folder in tmp_path.glob("report-*"))
    assert reports == ["report-brightness@1-on-greys", "report-brightness@1-on-greys-test"]


def test_where_all_samples_are_of_one_group_it_is_said_why_there_are_no_intervals(data: Path, tmp_path: Path) -> None:
    (data / "list.csv").write_text(
        "path,label,group\n" + "".join(f"{one}/0.png,{one},cam\n" for one in ("dark", "bright"))
    )
    said = evaluate(brightness_bundle(tmp_path / "brightness"), "--data", data / "list.csv", "--no-conditions")
    assert "There is one group only, so there are no intervals" in said
