"""Frames as they lie in their slots."""

import numpy as np
import pytest

from model_export.geometry import fit
from model_export.manifest import FrameInput, Resize
from server.worker.every_frame import EveryFrame

INPUT = FrameInput(width=16, height=16, resize=Resize.LETTERBOX, align="center", pad=114)
WIDE, TALL = (8, 24), (24, 8)


@pytest.fixture
def around(bench):
    return bench(slots=1)


def pictures(*sizes):
    """Noise of these heights and widths."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (*size, 3), np.uint8) for size in sizes]


def feeding(around, frames):
    walk = around.walk(None)
    coming = iter(frames)
    walk.frames.next = lambda: (next(coming), None)
    return EveryFrame(walk.frames, INPUT, walk.requests)


def written(around, feed):
    """The next input that the feed writes, as it lies in the only slot; that is free again."""
    assert feed.advance()
    slot = feed.sheets.popleft().frame
    array = around.segment.array(slot)
    around.slots.give(slot)
    return array


def test_whoever_had_its_slot_before_an_input_is_as_if_it_were_new(around):
    frames = pictures(WIDE, WIDE, TALL, TALL, WIDE, WIDE)
    feed, other = feeding(around, frames), feeding(around, pictures(*[TALL] * 3))
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(written(around, feed), fit(frame, INPUT))
        if number % 2 == 0:
            written(around, other)


def test_what_is_around_frames_of_one_size_is_written_once(around):
    feed = feeding(around, pictures(WIDE, WIDE))
    written(around, feed)[0] = 7
    assert (written(around, feed)[0] == 7).all()
