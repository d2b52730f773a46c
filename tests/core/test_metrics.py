import threading

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from server.core.metrics import Metrics, ModelRow, StreamRow
from server.core.metrics_page import JOBS_ROW, MODEL_ROWS, SECONDS, STAGES, Page
from server.domain.event import EventType
from server.domain.outcome import Outcome
from server.domain.stream import StreamState


@pytest.fixture
def page():
    return Page(bytearray(Page.bytes_for(3)), 3)


@pytest.fixture
def metrics(page):
    return Metrics(page, version="1.2.3", jobs=lambda: {"running": 2}, storage=lambda: ({"jobs": 10}, 99))


def samples(metrics):
    found = {}
    for family in text_string_to_metric_families(metrics.scrape().decode()):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_the_regions_of_all_processes_are_added_up(page, metrics):
    for writer in range(3):
        page.recorder(writer).frames(JOBS_ROW, Outcome.ANALYSED, 2)
    page.recorder(1).frames(JOBS_ROW, Outcome.SAMPLED_OUT)
    found = samples(metrics)
    labels = (("source", "job"), ("stream", ""))
    assert found["vidserve_frames_total", (("outcome", "analysed"), *labels)] == 6
    assert found["vidserve_frames_total", (("outcome", "sampled_out"), *labels)] == 1


def test_every_outcome_is_there_from_the_first_scrape(metrics):
    outcomes = {dict(labels)["outcome"] for name, labels in samples(metrics) if name == "vidserve_frames_total"}
    assert outcomes == {outcome.value for outcome in Outcome}


def test_messages_that_were_dropped_are_counted_whoever_dropped_them(page, metrics):
    page.recorder(0).stale()
    page.recorder(2).stale()
    assert samples(metrics)["vidserve_stale_messages_total", ()] == 2


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_a_histogram_whose_buckets_hold_their_bound(page, metrics, stage):
    recorder = page.recorder(0)
    for seconds in (0.0001, 0.001, 0.0011, 99.0):
        recorder.stage(stage, seconds)
    found = samples(metrics)
    cumulative = {
        dict(labels)["le"]: value
        for (name, labels), value in found.items()
        if name == "vidserve_stage_seconds_bucket" and ("stage", stage) in labels
    }
    assert len(cumulative) == len(SECONDS) + 1
    assert [cumulative[le] for le in ("0.0005", "0.001", "0.0025", "10", "+Inf")] == [1, 2, 3, 3, 4]
    assert found["vidserve_stage_seconds_sum", (("stage", stage),)] == pytest.approx(99.0022)
    assert found["vidserve_stage_seconds_count", (("stage", stage),)] == 4


def test_a_models_row_bears_its_labels_and_its_info_only_while_it_is_loaded(page, metrics):
    info = {"provider": "cpu", "precision": "fp32", "sha256": "ab"}
    metrics.rows.models[5] = ModelRow("yolox", "2", info)
    recorder = page.recorder(0)
    recorder.batch(5, 3, "idle")
    recorder.inference(5, 0.02)
    recorder.inference_error(5, "stale_frame")
    recorder.queue_depth(5, 7)
    who = (("model", "yolox"), ("version", "2"))
    found = samples(metrics)
    assert found["vidserve_batch_size_sum", who] == 3
    assert found["vidserve_batch_closed_total", (who[0], ("reason", "idle"), who[1])] == 1
    assert found["vidserve_inference_seconds_count", who] == 1
    assert found["vidserve_inference_errors_total", (who[0], ("reason", "stale_frame"), who[1])] == 1
    assert found["vidserve_queue_depth", who] == 7
    assert any(name == "vidserve_model_info" for name, _ in found)
    metrics.rows.models[5] = ModelRow("yolox", "2")
    found = samples(metrics)
    assert not any(name in ("vidserve_model_info", "vidserve_queue_depth") for name, _ in found)
    assert found["vidserve_batch_size_sum", who] == 3


def test_a_row_that_changes_hands_begins_at_zero(page):
    page.recorder(1).batch(MODEL_ROWS - 1, 4, "full")
    page.forget_model(MODEL_ROWS - 1)
    assert page.batch_size(MODEL_ROWS - 1).sum == 0


def test_events_jobs_storage_and_build_are_told(page, metrics):
    page.recorder(2).event(EventType.TRACK_STARTED)
    found = samples(metrics)
    assert found["vidserve_events_total", (("type", "track_started"),)] == 1
    assert found["vidserve_jobs", (("state", "running"),)] == 2
    assert found["vidserve_storage_bytes", (("kind", "jobs"),)] == 10
    assert found["vidserve_storage_free_bytes", ()] == 99
    assert found["vidserve_build_info", (("version", "1.2.3"),)] == 1


def test_a_streams_row_that_changes_hands_begins_at_zero_and_leaves_its_neighbours_alone(page):
    for row in (1, 2):
        page.recorder(0).frames(row, Outcome.ANALYSED, 5)
        page.recorder(2).result_age(row, 0.04)
    page.forget_stream(1)
    assert page.frames(1)[Outcome.ANALYSED] == 0
    assert page.result_age(1).cumulative[-1][1] == 0
    assert page.frames(2)[Outcome.ANALYSED] == 5
    assert dict(page.result_age(2).cumulative)[0.05] == 1
    assert page.result_age(2).sum == pytest.approx(0.04)


def a_stream(**changes):
    return StreamRow(**{"id": "cam1", "name": "yard", "state": StreamState.RUNNING, **changes})


def test_a_stream_tells_how_it_is(page, metrics):
    metrics.rows.streams[3] = a_stream(last_frame_at=1e9 + 0.5, last_result_at=1e9 + 0.6, reconnects={"timeout": 2})
    page.recorder(0).frames(3, Outcome.ANALYSED, 4)
    page.recorder(2).frames(3, Outcome.DROPPED_BUSY, 1)
    page.recorder(2).result_age(3, 0.04)
    found = samples(metrics)
    who = (("stream", "cam1"),)
    assert found["vidserve_frames_total", (("outcome", "analysed"), ("source", "stream"), *who)] == 4
    assert found["vidserve_frames_total", (("outcome", "dropped_busy"), ("source", "stream"), *who)] == 1
    assert found["vidserve_stream_up", who] == 1
    assert found["vidserve_stream_info", (("name", "yard"), *who)] == 1
    assert found["vidserve_stream_last_frame_timestamp_seconds", who] == 1e9 + 0.5
    assert found["vidserve_stream_last_result_timestamp_seconds", who] == 1e9 + 0.6
    assert found["vidserve_stream_reconnects_total", (("reason", "timeout"), *who)] == 2
    assert found["vidserve_result_age_seconds_bucket", (("le", "0.05"), *who)] == 1
    assert found["vidserve_result_age_seconds_count", who] == 1


@pytest.mark.parametrize("state", StreamState)
def test_a_stream_is_in_one_state_and_up_only_if_it_runs(metrics, state):
    metrics.rows.streams[1] = a_stream(state=state)
    found = samples(metrics)
    states = {
        dict(labels)["state"]: value for (name, labels), value in found.items() if name == "vidserve_stream_state"
    }
    assert states == {one.value: float(one is state) for one in StreamState}
    assert found["vidserve_stream_up", (("stream", "cam1"),)] == float(state is StreamState.RUNNING)


def test_what_is_not_known_of_a_stream_is_absent(metrics):
    metrics.rows.streams[1] = a_stream()
    said = metrics.scrape().decode()
    assert 'vidserve_stream_up{stream="cam1"} 1.0' in said
    assert "timestamp_seconds{" not in said
    assert "reconnects_total{" not in said


def test_the_series_of_a_stream_go_with_it(page, metrics):
    metrics.rows.streams[1] = a_stream()
    page.recorder(0).frames(1, Outcome.ANALYSED)
    del metrics.rows.streams[1]
    assert "cam1" not in metrics.scrape().decode()


def test_prometheus_client_would_write_the_same(page, metrics):
    for row, name in enumerate(['"yard"', "a\nb", "c\\d", "100 % {e}"], start=1):
        metrics.rows.streams[row] = a_stream(
            id=f"cam{row}", name=name, last_frame_at=1767348060.25, reconnects={"a": 3}
        )
        page.recorder(1).frames(row, Outcome.ANALYSED, 2_000_000)
        page.recorder(1).result_age(row, 0.3)
    metrics.rows.models[5] = ModelRow("yolox", "2", {"provider": "cpu", "precision": "fp32", "sha256": "ab"})
    page.recorder(0).batch(5, 3, "idle")
    page.recorder(0).inference(5, 0.02)
    metrics.http.labels("/v1/jobs", "GET", "200").observe(0.01)
    metrics.restarts.labels("engine", "sigkill").inc()
    said = metrics.scrape().decode()

    class Read:
        def collect(self):
            return text_string_to_metric_families(said)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Read())
    assert said == generate_latest(registry).decode()


def test_streams_may_come_and_go_while_a_scrape_is_written(metrics):
    ended = threading.Event()

    def churn():
        number = 0
        while not ended.is_set():
            number += 1
            metrics.rows.streams[number % 100 + 1] = a_stream(id=f"cam{number}", reconnects={"a": 1})
            metrics.rows.streams.pop((number + 50) % 100 + 1, None)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(20):
            list(text_string_to_metric_families(metrics.scrape().decode()))
    finally:
        ended.set()
        thread.join()
