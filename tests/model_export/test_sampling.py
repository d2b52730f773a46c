import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_export.sampling import Sampler


def picked(fps, times):
    sampler = Sampler(fps)
    return [at for at in times if sampler.wants(at)]


def test_every_frame_is_wanted_without_a_rate():
    assert picked(None, [0, 0.1, 0.1, 7]) == [0, 0.1, 0.1, 7]


@pytest.mark.parametrize(
    ("fps", "source_fps", "expected"),
    [(5, 25, 50), (10, 25, 100), (12.5, 25, 125), (25, 25, 250), (100, 25, 250), (0.5, 25, 5)],
)
def test_the_rate_asked_for_is_kept_over_ten_seconds(fps, source_fps, expected):
    times = [frame / source_fps for frame in range(10 * source_fps)]
    assert len(picked(fps, times)) == pytest.approx(expected, abs=1)


def test_rounded_time_stamps_do_not_lose_every_second_frame():
    times = [round(frame / 30, 3) for frame in range(300)]
    assert len(picked(30, times)) == 300


def test_after_a_gap_the_grid_begins_anew_and_nothing_is_made_up_for():
    assert picked(1, [0, 0.5, 1, 10.2, 10.3, 10.4, 11.0, 11.2, 11.3]) == [0, 1, 10.2, 11.2]


def test_the_first_frame_is_wanted_wherever_it_lies():
    assert picked(2, [3.7, 3.8, 4.2]) == [3.7, 4.2]


@given(
    st.floats(0.1, 60),
    st.lists(st.floats(0.001, 3), min_size=2, max_size=80),
    st.data(),
)
def test_a_restored_sampler_goes_on_as_if_nothing_had_happened(fps, steps, data):
    times = [sum(steps[: n + 1]) for n in range(len(steps))]
    cut = data.draw(st.integers(0, len(times)))
    whole = Sampler(fps)
    expected = [whole.wants(at) for at in times]
    first, second = Sampler(fps), Sampler(fps)
    found = [first.wants(at) for at in times[:cut]]
    second.restore(first.state())
    assert found + [second.wants(at) for at in times[cut:]] == expected


@given(st.floats(0.5, 30), st.lists(st.floats(0.0, 100), min_size=1, max_size=200, unique=True).map(sorted))
def test_frames_wanted_are_never_closer_than_the_grid_allows(fps, times):
    wanted = picked(fps, times)
    for window in range(len(wanted)):
        inside = [at for at in wanted if wanted[window] <= at < wanted[window] + 10 / fps - 0.01]
        assert len(inside) <= 11
