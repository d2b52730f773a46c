"""`vidserve explain`, from its words to its pictures."""

from pathlib import Path

import cv2
import pytest
from data_builders import clip, picture, save
from run_builders import brightness_bundle, finished_run, greys, recipe
from torch import nn
from typer.testing import CliRunner

from model_export.errors import VidserveError
from training.data.frame_spec import FrameSpec
from training.errors import DataInvalid, DataNotFound, ModelUnsuitable
from training.evaluation.torch_predictor import TorchPredictor
from training.explanation.cli import app
from training.explanation.seeing import seen


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
    for name in ("a.mp4", "b.yaml"):
        (tmp_path / name).write_bytes(b"no video")
        with pytest.raises(VidserveError, match=f"{name}: "):
            explain(run, tmp_path / name, "-o", tmp_path / "out")
    with pytest.raises(DataNotFound, match="is a folder") as told:
        explain(run, tmp_path, "-o", tmp_path / "out")
    assert told.value.hint == f"Name files in it: {tmp_path}/*.mp4"


def test_it_is_said_which_seconds_of_a_video_the_model_was_shown(tmp_path: Path) -> None:
    file = clip(tmp_path / "b.mp4", 20, fps=10)
    spec = FrameSpec(width=16, height=12, frames=5, fps=10)
    net = TorchPredictor(nn.Identity(), name="net", labels=("dark", "bright"), kind="class", input=spec)

    middle, late = seen(file, net), seen(file, net, start_s=1.0)

    assert middle.seconds.tolist() == pytest.approx([0.7, 0.8, 0.9, 1.0, 1.1])
    assert (middle.part, late.part) == ("0.70 to 1.10 s of 0.00 to 1.90", "1.20 to 1.60 s of 1.00 to 1.90")
    assert seen(clip(tmp_path / "short.mp4", 3, fps=10), net).part == "0.00 to 0.20 s"


def test_files_of_one_name_from_two_folders_get_a_picture_each(run: Path, tmp_path: Path) -> None:
    files = [save(tmp_path / label / "1.png", picture(60)) for label in ("dark", "bright")]
    explain(run, *files, "-o", tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["bright-1.png", "dark-1.png"]


def test_data_that_say_how_many_frames_are_a_run_or_a_recipe(run: Path, tmp_path: Path) -> None:
    file = save(tmp_path / "a.png", picture(250))
    bundle = brightness_bundle(tmp_path / "brightness")
    assert ": bright 1.000: " in explain(bundle, file, "--data", run, "-o", tmp_path / "out")
    assert "is a run's folder or a recipe" in explain(bundle, file, "--data", tmp_path, "-o", tmp_path / "out")
