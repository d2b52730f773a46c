"""A torch net and an ONNX model are asked in the same way, and answer the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation_builders import Brightness, brightness, clips_of, onnx_brightness, onnx_brightness_file

from model_export.bundle import Bundle
from model_export.manifest import FrameInput, Manifest, Provenance, State, Task
from model_export.session import Session
from training.data.frame_spec import FrameSpec
from training.errors import ModelUnsuitable
from training.evaluation.onnx_predictor import OnnxPredictor, from_bundle
from training.evaluation.predictor import Differentiable
from training.evaluation.torch_predictor import TorchPredictor

SPEC = FrameSpec(width=8, height=8, channels=1, frames=3)
SUM = State(input="sum_in", output="sum_out", dtype="float32", shape=(2,))
CLIPS = clips_of([[10, 120, 200], [250, 130, 0], [5, 5, 5]])


def of(session: Session, **more: object) -> OnnxPredictor:
    return OnnxPredictor(session, **({"input": SPEC, "labels": ("dark", "bright")} | more))  # type: ignore[arg-type]


def test_a_graph_of_clips_answers_as_the_net() -> None:
    said = of(onnx_brightness(clips=True)).predict(CLIPS)
    assert said == pytest.approx(brightness(3).predict(CLIPS), abs=1e-6)


def test_a_graph_with_a_state_answers_as_the_net_after_every_frame() -> None:
    streaming = of(onnx_brightness(state=True), state=[SUM])
    assert streaming.streams
    assert streaming.predict(CLIPS) == pytest.approx(brightness(3).predict(CLIPS), abs=1e-6)
    expected = brightness(3, streams=True).in_time(CLIPS)
    assert streaming.in_time(CLIPS) == pytest.approx(expected, abs=1e-6)
    assert expected.shape == (3, 3, 2)


def test_a_graph_of_pictures_answers_the_mean_over_the_frames() -> None:
    said = of(onnx_brightness()).predict(CLIPS)
    each = [brightness().predict(CLIPS[:, at : at + 1]) for at in range(3)]
    assert said == pytest.approx(np.mean(each, axis=0), abs=1e-6)


def test_a_graph_with_a_fixed_batch_is_asked_in_its_own_size() -> None:
    pictures = clips_of([[10], [120], [200], [130], [128]])
    assert of(onnx_brightness(batch=2)).predict(pictures) == pytest.approx(brightness().predict(pictures), abs=1e-6)


def test_grey_frames_are_given_to_a_graph_of_colours_three_times() -> None:
    assert of(onnx_brightness(channels=3)).predict(CLIPS[:, :1]) == pytest.approx(
        brightness().predict(CLIPS[:, :1]), abs=1e-6
    )


def test_a_graph_that_answers_something_else_is_refused() -> None:
    with pytest.raises(ModelUnsuitable, match=r"takes frames .*, sum_in .*, and not one input") as told:
        of(onnx_brightness(state=True))
    assert told.value.code == "model_unsuitable"


def test_a_bundle_says_how_frames_are_fitted_and_what_labels_are(tmp_path: Path) -> None:
    session = onnx_brightness(channels=3)
    manifest = Manifest(
        name="brightness", version=1, task=Task.CLASSIFY, family="raw", labels=("dark", "bright"),
        input=FrameInput(width=8, height=8, resize="crop", interpolation="linear"), inputs=session.inputs,
        outputs=session.outputs, provenance=Provenance(tool="test"),
    )  # fmt: skip
    Bundle.write(tmp_path / "brightness", manifest, {"model.onnx": onnx_brightness_file(channels=3)})
    predictor = from_bundle(tmp_path / "brightness")
    assert predictor.name == "brightness@1"
    assert predictor.labels == ("dark", "bright")
    assert predictor.input.geometry == manifest.input
    assert predictor.predict(clips_of([[200]], channels=3)).argmax() == 1


def test_a_bundle_of_another_task_is_refused(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[3] / "server" / "models" / "moving-objects" / "1"
    with pytest.raises(ModelUnsuitable, match="moving-objects@1 is a model for `motion`"):
        from_bundle(shipped)


def test_a_gradient_points_to_where_the_answer_gets_worse() -> None:
    predictor = brightness()
    assert isinstance(predictor, Differentiable)
    assert not isinstance(of(onnx_brightness()), Differentiable)
    gradient = predictor.gradient(clips_of([[140], [140]]), torch.tensor([1, 0]))
    assert gradient.shape == (2, 1, 8, 8, 1)
    assert (gradient[0] < 0).all()
    assert (gradient[1] > 0).all()


@pytest.mark.parametrize(("kind", "total"), [("class", 1.0), ("multi_label", 1.0), ("numbers", 0.0)])
def test_answers_are_probabilities_or_numbers(kind, total: float) -> None:
    predictor = TorchPredictor(Brightness(), name="b", labels=("a", "b"), kind=kind, input=SPEC)
    assert predictor.predict(CLIPS).sum(axis=1) == pytest.approx([total] * 3, abs=1e-6)
