"""What is done to frames to see whether a model bears it."""

import numpy as np
import pytest
import torch
from evaluation_builders import brightness, clips_of

from training.evaluation.conditions import CONDITIONS, attacked, blur, dark, dropped, jpeg, noise


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def textured(channels: int = 3) -> np.ndarray:
    """Clips with edges, uint8 [2, 5, 32, 24, channels]."""
    return random().integers(0, 2, (2, 5, 32, 24, channels), np.uint8) * 150 + 50


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda one: one.name)
def test_every_condition_keeps_the_shape_and_changes_something(condition, channels: int) -> None:
    frames = textured(channels)
    changed = condition.change(frames, random())
    assert changed.shape == frames.shape
    assert changed.dtype == np.uint8
    assert not np.array_equal(changed, frames)


def test_noise_is_as_strong_as_it_says() -> None:
    frames = np.full((1, 1, 64, 64, 3), 128, np.uint8)
    assert (noise(10)(frames, random()).astype(float) - 128).std() == pytest.approx(10, rel=0.05)


def test_the_dark_leaves_a_part_of_the_light() -> None:
    frames = np.full((1, 1, 64, 64, 3), 200, np.uint8)
    assert dark(0.5)(frames, random()).mean() == pytest.approx(100, abs=0.5)


def test_blur_and_jpeg_take_away_detail_and_not_light() -> None:
    frames = textured()
    for change in (blur(0.05), jpeg(5)):
        changed = change(frames, random())
        assert changed.std() < 0.9 * frames.std()
        assert changed.mean() == pytest.approx(frames.mean(), abs=6)


def test_a_dropped_frame_shows_the_one_before() -> None:
    frames = clips_of([list(range(0, 200, 10))] * 50)
    seen = dropped(0.5)(frames, random())[:, :, 0, 0, 0].astype(int)
    assert (seen[:, 0] == 0).all()
    assert (np.diff(seen, axis=1) >= 0).all()
    lost = (seen != np.arange(0, 200, 10)).mean()
    assert lost == pytest.approx(0.5 * 19 / 20, abs=0.05)


def test_an_attack_moves_every_pixel_a_step_away_from_the_answer() -> None:
    frames = clips_of([[140], [140]])
    worse = attacked(brightness(), frames, torch.tensor([1, 0]), 8.0)
    assert worse[:, 0, 0, 0, 0].tolist() == [132, 148]
