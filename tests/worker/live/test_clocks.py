import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.worker.live.clocks import CaptureClock, MediaClock, Metronome, Rate


def media(frames):
    """Media times of (time stamp, arrival) pairs."""
    clock = MediaClock()
    return [clock.next(*frame)[0] for frame in frames]


def jumps(frames):
    clock = MediaClock()
    return [n for n, frame in enumerate(frames) if clock.next(*frame)[1]]


def test_time_stamps_that_rise_are_followed_from_zero():
    assert media([(90.0, 5.0), (90.1, 5.3), (90.2, 5.3)]) == pytest.approx([0.0, 0.1, 0.2])


def test_where_there_are_no_time_stamps_arrival_counts():
    assert media([(None, 5.0), (None, 5.1), (None, 5.35)]) == pytest.approx([0.0, 0.1, 0.35])


def test_a_first_frame_without_a_time_stamp_takes_nothing_from_those_that_follow():
    assert media([(None, 5.0), (0.1, 5.02), (0.2, 5.12)]) == pytest.approx([0.0, 0.02, 0.12])


@pytest.mark.parametrize("step", [-3600.0, -5.0, 3600.0])
def test_a_jump_of_the_time_stamps_is_no_jump_of_media_time(step):
    frames = [(n / 10 + (step if n >= 5 else 0.0), 7 + n / 10) for n in range(10)]
    assert media(frames) == pytest.approx([n / 10 for n in range(10)])
    assert jumps(frames) == [5]


def test_time_stamps_that_stand_still_are_passed_over():
    assert media([(4.0, n / 10) for n in range(5)]) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_a_gap_in_the_source_is_a_gap_in_media_time():
    frames = [(0.0, 1.0), (0.1, 1.1), (20.1, 21.1)]
    assert media(frames)[-1] == pytest.approx(20.1)
    assert jumps(frames) == []


def test_a_backlog_that_comes_at_once_keeps_its_time_stamps():
    late = [(n / 10, 2.0 + n / 1000) for n in range(20)]
    assert media([(-0.1, 0.0), *late])[-1] == pytest.approx(2.0)


def test_of_a_source_that_was_read_before_media_time_goes_on_from_there():
    clock = MediaClock(40.0, at=7.0)
    assert clock.next(900.0, 9.5) == (pytest.approx(42.5), False)
    assert clock.next(900.1, 9.6)[0] == pytest.approx(42.6)
    assert MediaClock(40.0, at=7.0).next(None, 6.9)[0] > 40.0


def test_after_a_reconnect_media_time_goes_on_by_the_clock_on_the_wall():
    clock = MediaClock()
    clock.next(100.0, 0.0)
    clock.next(100.5, 0.5)
    clock.break_off()
    assert clock.next(3.0, 10.5)[0] == pytest.approx(10.5)
    assert clock.next(3.1, 10.6)[0] == pytest.approx(10.6)


@given(
    st.lists(
        st.tuples(st.none() | st.floats(-1e6, 1e6), st.floats(0.0, 5.0)),
        min_size=2,
        max_size=100,
    )
)
def test_media_time_rises_whatever_comes(steps):
    clock, now, last = MediaClock(), 0.0, -1.0
    for stamp_s, wait_s in steps:
        now += wait_s
        pts_s, _ = clock.next(stamp_s, now)
        assert pts_s > last
        last = pts_s


def ages(frames, clock=None):
    """Seconds between capture and arrival of (media time, arrival) pairs."""
    clock = clock or CaptureClock()
    found = []
    for pts_s, arrived in frames:
        clock.observe(pts_s, arrived)
        found.append(arrived - clock.captured(pts_s))
    return found


def test_a_frame_is_as_old_as_it_came_later_than_the_quickest():
    assert ages([(0.0, 10.0), (0.1, 10.15), (0.2, 10.2), (0.3, 10.33)]) == pytest.approx([0.0, 0.05, 0.0, 0.03])


def test_frames_that_were_held_back_for_two_seconds_are_two_seconds_old():
    before = [(n / 10, 50 + n / 10) for n in range(20)]
    held = [(2 + n / 10, 54 + n / 1000) for n in range(20)]
    assert ages(before + held)[20] == pytest.approx(2.0)
    assert ages(before + held)[-1] == pytest.approx(0.119)


def test_a_delay_that_stays_is_seen_for_as_long_as_the_time_before_it_is_remembered():
    before = [(n / 10, n / 10) for n in range(100)]
    after = [(10 + n / 10, 12 + n / 10) for n in range(2000)]
    found = ages(before + after, CaptureClock(window_s=60))
    assert found[150] == pytest.approx(2.0)
    assert found[-1] == pytest.approx(0.0)


def test_a_clock_that_drifts_stays_within_what_drifts_in_the_window():
    found = ages([(n / 10 * 1.0001, n / 10) for n in range(20_000)])
    assert max(found) < 0.02


def test_after_a_reconnect_nothing_is_known_of_delays():
    clock = CaptureClock()
    ages([(0.0, 0.0), (0.1, 3.1)], clock)
    clock.restart()
    assert ages([(3.2, 9.0)], clock) == [0.0]


def test_a_packet_that_came_before_its_turn_says_how_early_its_frame_can_have_been_captured():
    clock = CaptureClock()
    clock.observe(0.3, 10.0)
    assert ages([(0.0, 10.0)], clock) == [pytest.approx(0.3)]


def test_a_metronome_lets_frames_go_by_media_time_and_does_not_rush_after_a_pause():
    metronome = Metronome()
    assert metronome.due(0.0, 5.0) == 5.0
    assert metronome.due(0.1, 5.0) == pytest.approx(5.1)
    assert metronome.due(0.2, 9.0) == 9.0
    assert metronome.due(0.3, 9.0) == pytest.approx(9.1)


def test_the_rate_is_that_of_the_last_seconds():
    rate = Rate()
    assert rate.per_s(0.0) == 0.0
    for n in range(200):
        rate.tick(n / 25)
    assert rate.per_s(8.0) == pytest.approx(25.0)
    assert rate.per_s(60.0) == 0.0
