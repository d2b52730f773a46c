"""Where and when a model finds what it says."""

import cv2
import numpy as np
import pytest
import torch
from evaluation_builders import brightness, clips_of, onnx_brightness
from torch import Tensor, nn

from training.data.frame_spec import FrameSpec
from training.errors import ModelUnsuitable
from training.evaluation.onnx_predictor import OnnxPredictor
from training.evaluation.torch_predictor import TorchPredictor
from training.explanation.drawing import draw, heated
from training.explanation.explanation import explain

SIDE = 32
SPEC = FrameSpec(width=SIDE, height=SIDE, channels=1, frames=6)


class SpotFinder(nn.Module):
    """Class 1 if there is a bright spot anywhere in the clip: a layer that keeps places, then the strongest of them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 5, stride=2, padding=2)
        with torch.no_grad():
            self.conv.weight.fill_(1 / 25)
            self.conv.bias.fill_(-0.3)  # type: ignore[union-attr]

    def forward(self, clip: Tensor) -> Tensor:
        batch, time = clip.shape[:2]
        flat = clip.float().div(255).permute(0, 1, 4, 2, 3).flatten(0, 1)
        spots = self.conv(flat).relu().amax(dim=(1, 2, 3)).reshape(batch, time).sum(1)
        return torch.stack([0.2 - spots, spots - 0.2], dim=1) * 8


class Tokens(nn.Module):
    """No layer keeps places."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(SIDE * SIDE, 2)

    def forward(self, clip: Tensor) -> Tensor:
        return self.linear(clip.float().flatten(2).mean(1) / 255)


def asked(module: nn.Module) -> TorchPredictor:
    return TorchPredictor(module, name="net", labels=("none", "spot"), kind="class", input=SPEC)


def spot_clip() -> np.ndarray:
    """A bright spot at (22, 9), in frames 3 and 4 of six."""
    frames = np.full((6, SIDE, SIDE, 1), 20, np.uint8)
    frames[3:5, 6:13, 19:26] = 250
    return frames


@pytest.mark.parametrize(("method", "within"), [("grad-cam", {3, 4}), ("occlusion", {2, 3, 4})])
def test_maps_show_the_place_and_the_frames_of_what_was_found(method, within: set[int]) -> None:
    # Six frames are covered in spans of two, two, one and one.
    found = explain(asked(SpotFinder()), spot_clip(), method=method)
    assert found.label == 1
    assert found.maps.shape == (6, SIDE, SIDE)
    frame, row, column = np.unravel_index(found.maps.argmax(), found.maps.shape)
    assert frame in within
    assert abs(row - 9) <= 4
    assert abs(column - 22) <= 4
    assert found.maps.max() == pytest.approx(1.0)
    assert found.maps[0].max() < 0.2


def test_the_score_in_time_rises_when_the_spot_comes() -> None:
    found = explain(asked(SpotFinder()), spot_clip())
    assert found.in_time is not None
    assert found.in_time.shape == (6, 2)
    assert found.in_time[2, 1] < 0.1
    assert found.in_time[5, 1] > 0.9
    assert found.in_time[-1] == pytest.approx(found.said)


def test_a_streaming_model_is_asked_frame_by_frame() -> None:
    found = explain(brightness(3, streams=True), clips_of([[10, 200, 250]])[0])
    assert found.in_time is not None
    assert found.in_time[0, 1] < 0.01
    assert found.in_time[2] == pytest.approx(found.said, abs=1e-6)


def test_a_picture_has_no_time() -> None:
    found = explain(asked(SpotFinder()), spot_clip()[3:4])
    assert found.in_time is None
    assert found.maps.shape == (1, SIDE, SIDE)


def test_another_label_can_be_asked_for() -> None:
    found = explain(asked(SpotFinder()), spot_clip(), label=0)
    assert found.label == 0


def test_a_model_in_onnx_is_explained_by_occlusion() -> None:
    graph = OnnxPredictor(onnx_brightness(), input=FrameSpec(width=8, height=8, channels=1), labels=("dark", "bright"))
    found = explain(graph, clips_of([[140]])[0])
    assert found.method == "occlusion"
    with pytest.raises(ModelUnsuitable, match="has no gradients for Grad-CAM"):
        explain(graph, clips_of([[140]])[0], method="grad-cam")


def test_a_net_without_places_is_explained_by_occlusion_unless_told_otherwise() -> None:
    assert explain(asked(Tokens()), spot_clip()).method == "occlusion"
    with pytest.raises(ModelUnsuitable, match="No layer of the net keeps places"):
        explain(asked(Tokens()), spot_clip(), method="grad-cam")


def test_numbers_are_not_explained() -> None:
    with pytest.raises(ModelUnsuitable, match="answers numbers"):
        explain(brightness(kind="numbers"), clips_of([[140]])[0])


@pytest.mark.parametrize("frames", [1, 6])
def test_an_explanation_is_drawn(frames: int) -> None:
    found = explain(asked(SpotFinder()), spot_clip()[3 : 3 + frames])
    picture = cv2.imdecode(
        np.frombuffer(draw(found, ("none", "spot"), "clip.mp4", np.arange(6) / 8), np.uint8), cv2.IMREAD_COLOR
    )
    assert picture is not None
    assert min(picture.shape[:2]) > 150


def test_heat_colours_what_is_hot_and_darkens_the_rest() -> None:
    grey = np.full((4, 4, 3), 200, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1.0
    picture = heated(grey, heat)
    assert picture[3, 3].max() < 200
    assert int(picture[0, 0].max()) - int(picture[0, 0].min()) > 30
