import pytest

from benchmarks.scrape import metrics_of


def test_the_metrics_that_are_scraped_are_those_of_many_streams():
    said = metrics_of(20).scrape().decode()
    assert said.count("vidserve_stream_up{") == 20
    assert said.count("vidserve_result_age_seconds_bucket{") == 20 * 15
    assert 'vidserve_result_age_seconds_count{stream="stream00000007"} 20.0' in said


def test_more_streams_than_the_page_has_rows_are_refused():
    with pytest.raises(ValueError, match="257 rows"):
        metrics_of(257)
