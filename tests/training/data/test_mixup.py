"""Mixup."""

import numpy as np
import torch

from training.data.draws import Draws
from training.data.mixup import mixed


def test_frames_and_targets_are_mixed_in_the_same_share() -> None:
    frames = torch.zeros(4, 1, 2, 2, 1, dtype=torch.uint8)
    frames[1::2] = 200
    pictures, target = mixed(frames, torch.tensor([0, 1, 0, 1]), Draws(0, 0, np.arange(4)), 1.0, 3)
    assert target.shape == (4, 3)
    assert torch.allclose(target.sum(1), torch.ones(4))
    assert torch.allclose(pictures[:, 0, 0, 0, 0].float() / 200, target[:, 1], atol=0.01)


def test_at_least_half_of_a_sample_is_its_own() -> None:
    frames = torch.zeros(50, 1, 2, 2, 1, dtype=torch.uint8)
    classes = torch.arange(50) % 5
    _, target = mixed(frames, classes, Draws(0, 0, np.arange(50)), 0.4, 5)
    assert torch.equal(target.argmax(1), classes)
    assert target.max(1).values.min() >= 0.5


def test_numbers_are_mixed_as_they_are() -> None:
    frames = torch.zeros(2, 1, 2, 2, 1, dtype=torch.uint8)
    values = torch.tensor([[0.0, 10.0], [4.0, 20.0]])
    _, target = mixed(frames, values, Draws(0, 0, np.arange(2)), 1.0, 0)
    assert torch.allclose(target.sum(0), values.sum(0), atol=20)
    assert ((target >= values.min(0).values) & (target <= values.max(0).values)).all()
