from __future__ import annotations

import pytest

from server.commands.scrape import Scrape

TEXT = """\
# HELP vidserve_frames_total Frames by what became of them.
# TYPE vidserve_frames_total counter
vidserve_frames_total{source="job",stream="",outcome="analysed"} 900
vidserve_frames_total{source="live",stream="a",outcome="analysed"} 90
vidserve_frames_total{source="live",stream="a",outcome="dropped_busy"} 10
vidserve_frames_total{source="live",stream="b",outcome="analysed"} 100
vidserve_frames_total{source="live",stream="b",outcome="lost"} 0
# HELP vidserve_result_age_seconds Age.
# TYPE vidserve_result_age_seconds histogram
vidserve_result_age_seconds_bucket{stream="a",le="0.1"} 50
vidserve_result_age_seconds_bucket{stream="a",le="0.2"} 100
vidserve_result_age_seconds_bucket{stream="a",le="+Inf"} 100
vidserve_result_age_seconds_count{stream="a"} 100
vidserve_result_age_seconds_sum{stream="a"} 9
"""


def test_outcomes_of_streams_add_up_without_those_of_jobs() -> None:
    scrape = Scrape.of(TEXT)
    assert scrape.outcomes == {"analysed": 190, "dropped_busy": 10}
    assert scrape.analysed == pytest.approx(0.95)


def test_what_was_counted_before_does_not_count() -> None:
    before = Scrape.of(TEXT)
    later = Scrape.of(TEXT.replace('"a",outcome="analysed"} 90', '"a",outcome="analysed"} 95'))
    assert later.since(before).outcomes == {"analysed": 5}


def test_a_stream_can_be_looked_at_alone() -> None:
    assert Scrape.of(TEXT).only({"b"}).outcomes == {"analysed": 100}


@pytest.mark.parametrize(("share", "age_s"), [(0.25, 0.05), (0.5, 0.1), (0.95, 0.19), (1.0, 0.2)])
def test_ages_lie_evenly_within_their_bucket(share: float, age_s: float) -> None:
    assert Scrape.of(TEXT).age_s(share) == pytest.approx(age_s)


def test_ages_above_the_last_bound_are_at_least_that() -> None:
    text = TEXT.replace('le="+Inf"} 100', 'le="+Inf"} 1000')
    assert Scrape.of(text).age_s(0.95) == 0.2


def test_without_results_there_is_no_age() -> None:
    assert Scrape.of("").age_s() != Scrape.of("").age_s()  # NaN
