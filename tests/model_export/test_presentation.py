from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_export.presentation import PresentationClock


def times(*container_s: float, period_s: float = 0.1, offset_s: float = 0.0, counted: bool = False) -> list[float]:
    clock = PresentationClock(period_s, offset_s=offset_s, counted=counted)
    return [clock.next(time_s) for time_s in container_s]


def test_times_that_rise_are_taken_as_they_are() -> None:
    assert times(0.0, 0.04, 0.5, 0.54) == [0.0, 0.04, 0.5, 0.54]


def test_the_offset_is_added() -> None:
    assert times(0.0, 0.5, offset_s=1.0) == [1.0, 1.5]


def test_a_container_without_times_is_counted() -> None:
    assert times(0.3, 0.1, 0.2, counted=True) == pytest.approx([0.0, 0.1, 0.2])


def test_a_single_frame_without_time_follows_the_one_before() -> None:
    assert times(0.0, 5.0, math.nan, 5.2) == pytest.approx([0.0, 5.0, 5.1, 5.2])
    assert times(0.0, 5.0, 0.0, 5.2) == pytest.approx([0.0, 5.0, 5.1, 5.2])


def test_a_first_frame_without_time_is_at_zero() -> None:
    assert times(math.nan, 0.1) == [0.0, 0.1]


def test_a_repeated_time_becomes_a_later_one() -> None:
    assert times(0.0, 0.0, 0.2) == pytest.approx([0.0, 0.1, 0.2])


def test_times_that_begin_anew_go_on_behind_the_last() -> None:
    assert times(10.0, 10.1, 0.0, 0.1, 0.2, 0.4) == pytest.approx([10.0, 10.1, 10.2, 10.3, 10.4, 10.6])


@given(st.lists(st.floats(min_value=-1e6, max_value=1e6) | st.just(math.nan), max_size=50))
def test_whatever_comes_times_rise(container_s: list[float]) -> None:
    assert all(later > earlier for earlier, later in pairwise(times(*container_s)))
