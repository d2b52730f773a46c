"""Moving shapes: time tells their class, and no single frame does."""

from itertools import pairwise

import numpy as np
import torch

from training.data.sources.shapes import CLASSES, moving_shapes


def test_the_same_seed_makes_the_same_clips_however_many() -> None:
    few, many, other = moving_shapes(10), moving_shapes(15), moving_shapes(10, seed=1)
    assert few.pixels is not None
    assert many.pixels is not None
    assert np.array_equal(few.pixels, many.pixels[:10])
    assert not np.array_equal(few.pixels, other.pixels)
    assert few.counts() == dict.fromkeys(CLASSES, 2)


def test_a_shape_that_goes_right_goes_right_in_every_step_but_the_one_around_the_edge() -> None:
    read = moving_shapes(20, seed=3)
    assert read.pixels is not None
    for at in np.flatnonzero(read.targets == CLASSES.index("right")):
        assert np.median(steps(read.pixels[at])) > 0.5
    for at in np.flatnonzero(read.targets == CLASSES.index("left")):
        assert np.median(steps(read.pixels[at])) < -0.5


def test_a_shape_that_grows_covers_more_and_more() -> None:
    read = moving_shapes(40, seed=4)
    assert read.pixels is not None
    for name, sign in (("grow", 1), ("shrink", -1)):
        for at in np.flatnonzero(read.targets == CLASSES.index(name)):
            sizes = np.array([covered(frame) for frame in read.pixels[at]])
            # Over four frames, which whole pixels show; where it begins anew it is the other way round.
            assert np.mean(np.sign(sizes[4:] - sizes[:-4]) == sign) > 0.6


def test_single_frames_do_not_tell_the_class() -> None:
    frames, classes = single_frames(400)
    learnt, asked = slice(0, 1200), slice(1200, 1600)
    nearest = torch.cdist(frames[asked], frames[learnt]).argmin(1)
    assert (classes[learnt][nearest] == classes[asked]).float().mean() < 0.28
    # Ridge regression on the classes, which is about what logistic regression finds.
    wanted = torch.nn.functional.one_hot(classes[learnt]).float() - 0.2
    pixels = frames - frames[learnt].mean(0)
    ridge = pixels[learnt].T @ pixels[learnt] + 50.0 * torch.eye(pixels.shape[1])
    weights = torch.linalg.solve(ridge, pixels[learnt].T @ wanted)
    assert ((pixels[asked] @ weights).argmax(1) == classes[asked]).float().mean() < 0.28


def test_neither_does_the_first_frame_of_all() -> None:
    read = moving_shapes(500, frames=4, size=16, seed=9)
    assert read.pixels is not None
    first = torch.from_numpy(read.pixels[:, 0].reshape(500, -1)).float()
    classes = torch.from_numpy(read.targets)
    nearest = torch.cdist(first[400:], first[:400]).argmin(1)
    assert (classes[:400][nearest] == classes[400:]).float().mean() < 0.35


def single_frames(clips: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Four frames of each clip, float32 [4 · clips, 256] of 16 × 16 pixels, and their classes."""
    read = moving_shapes(clips, frames=4, size=16)
    assert read.pixels is not None
    frames = torch.from_numpy(read.pixels.reshape(clips * 4, -1)).float() / 255
    return frames, torch.from_numpy(read.targets).repeat_interleave(4)


def steps(pixels: np.ndarray) -> np.ndarray:
    """How far the columns have moved from frame to frame, in pixels."""
    columns = pixels[..., 0].astype(float).mean(axis=1)
    columns -= columns.mean(axis=1, keepdims=True)
    size = columns.shape[1]
    moved = []
    for before, after in pairwise(columns):
        scores = [float(before @ np.roll(after, -shift)) for shift in range(size)]
        shift = int(np.argmax(scores))
        moved.append(shift if shift < size / 2 else shift - size)
    return np.array(moved, float)


def covered(frame: np.ndarray) -> int:
    """Pixels that differ from the ground, which is what most of the edge shows."""
    ground = np.median(np.concatenate([frame[0].ravel(), frame[-1].ravel()]))
    return int((np.abs(frame.astype(float) - ground) > 25).sum())
