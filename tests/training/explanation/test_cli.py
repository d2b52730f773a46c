"""`vidserve explain`, from its words to its pictures."""

from pathlib import Path

import cv2
import pytest
from data_builders import clip, picture, save
from run_builders import brightness_bundle, finished_run, greys, recipe
from typer.testing import CliRunner

from model_export.errors import VidserveError
from training.errors import DataInvalid, DataNotFound, ModelUnsuitable
from training.explanation.cli import app


def explain(*words: object) -> str:
    done = CliRunner().invoke(app, [*map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished_run(tmp_path / "run", recipe(greys(tmp_path / "greys"), tmp_path / "cache"))


def test_a_picture_and_a_video_are_explained_by_a_net_of_pictures(run: Path, tmp_path: Path) -> None:
    files = [save(tmp_path / "a.png", picture(60)), clip(tmp_path / "b.mp4", 6)]
    said = explain(run, *files, "-o", tmp_path / "out")
    assert said.count(".png") == 3
    for name in ("a.png", "b.png"):
        assert cv2.imread(str(tmp_path / "out" / name)) is not None


def test_a_bundle_is_explained_by_occlusion(tmp_path: Path) -> None:
    bundle = brightness_bundle(tmp_path / "brightness")
    said = explain(bundle, save(tmp_path / "a.png", picture(250)), "-o", tmp_path / "out")
    assert ": bright 1.000: " in said
    with pytest.raises(ModelUnsuitable, match="has no gradients"):
        explain(bundle, tmp_path / "a.png", "--method", "grad-cam", "-o", tmp_path / "out")


def test_a_label_is_asked_for_by_its_name(run: Path, tmp_path: Path) -> None:
    file = save(tmp_path / "a.png", picture(60))
    assert ": dark 0." in explain(run, file, "--label", "dark", "-o", tmp_path / "out")
    assert ": bright 0." in explain(run, file, "--label", "1", "-o", tmp_path / "out")
    with pytest.raises(DataInvalid, match="has no label 'grey'") as told:
        explain(run, file, "--label", "grey", "-o", tmp_path / "out")
    assert "dark, bright" in str(told.value.hint)


def test_files_that_are_missing_or_broken_are_told(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="There is no file"):
        explain(run, tmp_path / "nowhere.png", "-o", tmp_path / "out")
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(VidserveError):
        explain(run, tmp_path / "a.mp4", "-o", tmp_path / "out")


def test_data_that_say_how_many_frames_are_a_run_or_a_recipe(run: Path, tmp_path: Path) -> None:
    file = save(tmp_path / "a.png", picture(250))
    bundle = brightness_bundle(tmp_path / "brightness")
    assert ": bright 1.000: " in explain(bundle, file, "--data", run, "-o", tmp_path / "out")
    assert "is a run's folder or a recipe" in explain(bundle, file, "--data", tmp_path, "-o", tmp_path / "out")
