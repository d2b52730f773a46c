from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_export.presentation import PresentationClock


def times(
    *container_s: float, period_s: float = 0.1, offset_s: float = 0.0, counted: bool = False, end_s: float = math.nan
) -> list[float]:
    clock = PresentationClock(period_s, offset_s=offset_s, counted=counted)
    return [clock.next(time_s, lambda then_s=then_s: then_s) for time_s, then_s in pairwise((*container_s, end_s))]


def test_times_that_rise_are_taken_as_they_are() -> None:
    assert times(0.0, 0.04, 0.5, 0.54) == [0.0, 0.04, 0.5, 0.54]


def test_the_offset_is_added() -> None:
    assert times(0.0, 0.5, offset_s=1.0) == [1.0, 1.5]


def test_a_container_without_times_is_counted() -> None:
    assert times(0.3, 0.1, 0.2, counted=True) == pytest.approx([0.0, 0.1, 0.2])


def test_a_container_that_says_where_frames_were_left_out_is_counted_with_gaps_and_on_behind_them() -> None:
    clock = PresentationClock(0.1, counted=True, counts_s=(0.0, 0.1, 0.5))
    assert [clock.next(time_s, lambda: math.nan) for time_s in (0.3, 0.1, 0.2, 9.0, 0.0)] == pytest.approx(
        [0.0, 0.1, 0.5, 0.6, 0.7]
    )


def test_a_single_frame_without_time_follows_the_one_before() -> None:
    assert times(0.0, 5.0, math.nan, 5.2) == pytest.approx([0.0, 5.0, 5.1, 5.2])
    assert times(0.0, 5.0, 0.0, 5.2) == pytest.approx([0.0, 5.0, 5.1, 5.2])


def test_a_first_frame_without_time_is_at_zero() -> None:
    assert times(math.nan, 0.1) == [0.0, 0.1]


def test_a_repeated_time_becomes_a_later_one() -> None:
    assert times(0.0, 0.0, 0.2) == pytest.approx([0.0, 0.1, 0.2])


def test_times_that_begin_anew_go_on_behind_the_last() -> None:
    assert times(10.0, 10.1, 0.0, 0.1, 0.2, 0.4) == pytest.approx([10.0, 10.1, 10.2, 10.3, 10.4, 10.6])


@pytest.mark.parametrize("wrong_s", [95443.7, 2.0, 1e300, math.inf, -math.inf])
def test_a_single_wrong_time_is_that_of_one_frame_and_moves_no_other(wrong_s: float) -> None:
    assert times(0.0, 0.1, wrong_s, 0.3, 0.4) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert times(wrong_s, 0.1, 0.2) == pytest.approx([0.0, 0.1, 0.2])
    assert times(0.0, 0.1, wrong_s, end_s=0.3) == pytest.approx([0.0, 0.1, 0.2])


def test_a_gap_stays_a_gap_also_before_the_last_frame_or_between_any_two() -> None:
    assert times(0.0, 0.1, 60.0, 60.1, 200.0, end_s=200.1) == [0.0, 0.1, 60.0, 60.1, 200.0]
    assert times(0.0, 0.1, 60.0) == [0.0, 0.1, 60.0]
    assert times(0.0, 5.0, 10.0, 15.0) == [0.0, 5.0, 10.0, 15.0]


def test_a_gap_is_believed_where_the_next_frame_has_no_time() -> None:
    assert times(0.0, 60.0, math.nan, 60.2) == pytest.approx([0.0, 60.0, 60.1, 60.2])


def test_a_frame_is_asked_after_only_where_a_time_is_far_ahead() -> None:
    """Of a video of two seconds a frame nothing is far that is not ahead by three frames."""
    asked: list[float] = []
    for period_s in (0.1, 2.0):
        clock = PresentationClock(period_s)
        for time_s in (0.0, 0.9, 1.8, 4.0, 11.0, 30.0):
            clock.next(time_s, lambda time_s=time_s: asked.append(time_s) or math.nan)
    assert asked == [4.0, 11.0, 30.0, 11.0, 30.0]


@given(st.lists(st.floats() | st.floats(min_value=-1e6, max_value=1e6), max_size=50))
def test_whatever_comes_times_rise(container_s: list[float]) -> None:
    assert all(later > earlier for earlier, later in pairwise(times(*container_s)))
