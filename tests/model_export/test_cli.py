import subprocess
import sys
from pathlib import Path

import pytest
from model_builders import classifier_like, doubling, saved, written, yolox_like
from typer.testing import CliRunner, Result

from model_export import cli
from model_export.repository import Repository


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder; nothing ships with the server."""
    monkeypatch.setattr(cli, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv("VIDSERVE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "data"


@pytest.fixture
def repository(data: Path, tmp_path: Path) -> Repository:
    return Repository(data / "models", shipped=tmp_path / "shipped")


def models(*arguments: str | Path, answer: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], input=answer)


def test_an_empty_repository_says_how_to_fill_it(data: Path) -> None:
    result = models("list")

    assert result.exit_code == 0
    assert "vidserve models import --help" in result.output


def test_a_model_is_brought_in_listed_checked_made_the_default_and_removed(
    tmp_path: Path, repository: Repository
) -> None:
    labels = tmp_path / "names.txt"
    labels.write_text("car\nbus\nperson\n")

    imported = models("import", saved(yolox_like(), tmp_path, "My Net.onnx"), "--family", "yolox", "--labels", labels)
    assert imported.exit_code == 0, imported.output
    assert "Parity shown on 4 pictures" in imported.output
    assert "my-net@1 is in" in imported.output
    assert "Let it serve where no model is named: vidserve models default my-net" in imported.output
    assert repository.resolve("my-net").manifest.labels == ("car", "bus", "person")

    listed = models("list").output
    assert "my-net@1" in listed
    assert "64x64" in listed

    checked = models("check")
    assert checked.exit_code == 0, checked.output
    assert "golden samples agree" in checked.output

    assert "my-net@1 serves where a request names no model" in models("default", "my-net").output
    assert "my-net@1 serves" in models("default").output

    assert models("remove", "my-net@1", "--yes").output == "Removed my-net@1.\n"
    assert repository.names() == ()


def test_the_folder_can_be_said(tmp_path: Path, data: Path) -> None:
    file = saved(doubling(), tmp_path, "d.onnx")

    result = models("import", file, "--family", "raw", "--name", "two", "--version", "7", "--data", tmp_path / "other")

    assert result.exit_code == 0, result.output
    assert (tmp_path / "other" / "models" / "two" / "7" / "model.onnx").is_file()
    assert not data.exists()


def test_wishes_reach_the_graph(tmp_path: Path, repository: Repository) -> None:
    result = models(
        "import", saved(yolox_like(), tmp_path, "n.onnx"), "--family", "yolox", "--input", "64x64",
        "--mean", "123.7,116.3,103.5", "--std", "58", "--color", "rgb", "--layout", "nchw",
        "--resize", "stretch", "--pad", "0", "--confidence", "0.4", "--iou", "0.6",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    manifest = repository.resolve("n").manifest
    assert manifest.input is not None
    assert manifest.suppression is not None
    assert (manifest.input.resize.value, manifest.input.pad) == ("stretch", 0)
    assert (manifest.thresholds.confidence, manifest.suppression.iou) == (0.4, 0.6)


def test_several_labels_at_once_can_be_said(tmp_path: Path, repository: Repository) -> None:
    file = saved(classifier_like(), tmp_path, "weather.onnx")

    result = models("import", file, "--family", "classifier", "--multi-label")

    assert result.exit_code == 0, result.output
    assert "each gets a sigmoid" in result.output
    assert repository.resolve("weather").manifest.multi_label


def test_an_older_version_can_be_set_and_unset(repository: Repository) -> None:
    written(repository.root, name="car", version=1)
    written(repository.root, name="car", version=2)

    assert models("default", "car@1").output == "car is now car@1.\n"
    assert repository.resolve("car").manifest.version == 1
    assert models("default", "car", "--highest").output == "car is now car@2.\n"
    assert repository.resolve("car").manifest.version == 2


def test_a_broken_model_is_listed_with_the_reason_and_fails_the_check(repository: Repository) -> None:
    written(repository.root, name="car").model.unlink()

    assert "cannot be served" in models("list").output
    result = models("check")
    assert result.exit_code == 1
    assert "model.onnx is missing" in result.stderr


def test_the_check_goes_on_after_one_that_fails(tmp_path: Path, repository: Repository) -> None:
    written(repository.root, name="bad")
    models("import", saved(doubling(), tmp_path, "good.onnx"), "--family", "raw")

    result = models("check", "bad", "good")

    assert result.exit_code == 1
    assert "error: bad: model.onnx is not an ONNX file" in result.stderr
    assert "good@1: " in result.stdout


def test_removing_asks_first(repository: Repository) -> None:
    written(repository.root, name="car")

    assert models("remove", "car", answer="n\n").exit_code == 1
    assert repository.names() == ("car",)
    assert models("remove", "car", answer="y\n").exit_code == 0
    assert repository.names() == ()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["import", "absent.onnx", "--family", "raw"], 1, "There is no file absent.onnx."),
        (["import", "absent.onnx", "--family", "yolo"], 2, "'--family': 'yolo' is not one of 'yolox', 'ultralytics'"),
        (["import", "absent.onnx"], 2, "--family"),
        (["import", "x.onnx", "--family", "yolox", "--input", "640"], 2, "'640' is not WxH, for example 640x384."),
        (["import", "x.onnx", "--family", "yolox", "--mean", "1,2"], 2, "'1,2' is not one number or three"),
        (["import", "x.onnx", "--family", "yolox", "--std", "0"], 2, "it divides, so it must be above 0"),
        (["import", "x.onnx", "--family", "yolox", "--mean", "nan"], 2, "'nan' is not one number or three"),
        (["import", "x.onnx", "--family", "yolox", "--name", "My Net"], 2, "'My Net' is not a name"),
        (["import", "x.onnx", "--family", "yolox", "--std", "0.229"], 2, "multiply what is meant for 0…1 by 255"),
        (["import", "x.onnx", "--family", "yolox", "--pad", "300"], 2, "for '--pad'"),
        (["import", "x.onnx", "--family", "yolox", "--confidence", "2"], 2, "for '--confidence'"),
        (["import", "x.onnx", "--family", "yolox", "--iou", "0"], 2, "for '--iou'"),
        (["check"], 1, "There are no models to check."),
        (["check", "nix"], 1, "There is no model 'nix'."),
        (["default"], 1, "none is set as default"),
        (["default", "nix"], 1, "There is no model 'nix'."),
        (["default", "car@1", "--highest"], 2, "goes with a name, not with a version"),
        (["remove", "nix", "-y"], 1, "There is no model 'nix'."),
        (["remove", "../x", "-y"], 1, "is not a model's name. "),
    ],
)
def test_a_mistake_is_told_on_stderr_with_what_to_do(data: Path, arguments: list[str], code: int, message: str) -> None:
    result = models(*arguments)

    assert result.exit_code == code
    assert result.stdout == ""
    assert " ".join(message.split()) in " ".join(result.stderr.replace("│", " ").replace("\n", " ").split())


def test_a_refusal_leaves_nothing_behind(tmp_path: Path, repository: Repository) -> None:
    result = models("import", saved(yolox_like(sigmoid=False), tmp_path, "n.onnx"), "--family", "yolox")

    assert result.exit_code == 1
    assert "scores lie in 0…1" in result.stderr
    assert repository.names() == ()


def test_help_teaches() -> None:
    for command in ("list", "import", "check", "default", "remove"):
        assert models(command, "--help").exit_code == 0
    assert "vidserve models import yolox_nano.onnx --family yolox" in models("import", "--help").output


def test_commands_that_need_no_onnx_do_not_import_it() -> None:
    code = "import sys; import model_export.cli, model_export.repository, model_export.golden, model_export.geometry; "
    code += "sys.exit(any(name in sys.modules for name in ('onnx', 'onnxruntime', 'torch')))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
