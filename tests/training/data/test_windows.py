"""Which frames of a clip a net sees."""

import numpy as np

from training.data.draws import Draws
from training.data.windows import middle_windows, random_windows


def test_the_middle_of_a_long_clip_and_all_of_a_short_one_after_its_first_frame() -> None:
    assert middle_windows(np.array([10, 4, 2]), 4).tolist() == [[3, 4, 5, 6], [0, 1, 2, 3], [0, 0, 0, 1]]


def test_a_short_clip_is_filled_up_as_the_server_fills_the_window_of_a_stream_that_has_begun() -> None:
    assert random_windows(np.array([2]), 4, Draws(0, 0, np.arange(1))).tolist() == [[0, 0, 0, 1]]


def test_windows_begin_anywhere_in_the_clip() -> None:
    lengths = np.full(500, 10)
    windows = random_windows(lengths, 4, Draws(0, 0, np.arange(500)))
    assert set(windows[:, 0].tolist()) == set(range(7))
    assert (np.diff(windows, axis=1) == 1).all()


def test_jitter_displaces_frames_and_keeps_their_order() -> None:
    lengths = np.full(500, 30)
    draws = Draws(0, 0, np.arange(500))
    still, moved = random_windows(lengths, 8, draws), random_windows(lengths, 8, draws, jitter=2)
    assert (np.diff(moved, axis=1) >= 0).all()
    assert np.abs(moved - still).max() == 2
    assert moved.min() >= 0
    assert moved.max() <= 29
