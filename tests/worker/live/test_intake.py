import select

import pytest
from live_builders import live_frame

from server.domain.outcome import Outcome
from server.domain.stream import StreamState
from server.worker.live.intake import Intake, Link


@pytest.fixture
def intake():
    intake = Intake()
    yield intake
    intake.close()


def readable(intake):
    return bool(select.select([intake.descriptor], [], [], 0)[0])


def test_the_newest_frame_wins_and_the_one_that_it_replaces_is_counted(intake):
    for index in range(3):
        intake.put(live_frame(index))
    frame, _ = intake.take()
    assert frame.index == 2
    assert intake.take() is None
    assert intake.take_passed() == {Outcome.DROPPED_BUSY: 2}
    assert intake.take_passed() == {}


def test_a_beginning_is_told_with_the_next_frame_that_is_taken_even_if_its_own_was_replaced(intake):
    intake.put(live_frame(0, begins=True))
    intake.put(live_frame(1))
    assert intake.take()[1] is True
    intake.put(live_frame(2))
    assert intake.take()[1] is False


def test_who_waits_is_woken_by_a_frame_and_by_a_change_of_state(intake):
    assert not readable(intake)
    intake.put(live_frame(0))
    assert readable(intake)
    intake.hush()
    assert not readable(intake)
    intake.say(Link(StreamState.RUNNING))
    assert readable(intake)
    intake.hush()
    intake.say(Link(StreamState.RUNNING, fps=5.0))
    assert not readable(intake)
    assert intake.link.fps == 5.0


def test_frames_that_ended_elsewhere_are_counted_with_those_replaced(intake):
    intake.pass_by(Outcome.SAMPLED_OUT)
    intake.put(live_frame(1))
    intake.put(live_frame(2))
    intake.pass_by(Outcome.SAMPLED_OUT)
    assert intake.take_passed() == {Outcome.SAMPLED_OUT: 2, Outcome.DROPPED_BUSY: 1}


def test_the_decoding_thread_may_outlive_the_other(intake):
    other = Intake()
    other.close()
    other.put(live_frame(0))
    other.say(Link(StreamState.RECONNECTING))
