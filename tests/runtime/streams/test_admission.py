from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from server.core.errors import CapacityExceeded
from server.core.metrics_page import Page
from server.domain.analysis import Analysis
from server.domain.stream import KeptStream
from server.engine.tuning.choices import Choice, Choices, Subject
from server.runtime.streams.admission import Demand, Throughput, admit, demands

MEASURED = {"yolox@1": 50.0, "moving-objects@1": 500.0}


def a_stream(**analysis):
    return KeptStream(
        id="s1", created_at=datetime.now(UTC), name="s1", url="rtsp://camera/1", analysis=Analysis(**analysis)
    )


def made(id, *, fps=None, window=None):
    """What counts here of a manifest."""
    return SimpleNamespace(id=id, fps=fps, window=window)


def streams(count, fps=5.0, model="yolox@1"):
    return [Demand(model, fps)] * count


def test_there_is_room_up_to_nine_tenths_of_what_was_measured():
    admit(streams(1), streams(8), MEASURED.get)
    with pytest.raises(CapacityExceeded) as caught:
        admit(streams(1), streams(9), MEASURED.get)
    said = str(caught.value)
    for number in ("5 frames a second of yolox@1", "10%", "does 50", "90%", "?force=true"):
        assert number in said.replace(" %", "%")


def test_the_shares_of_all_models_count_together():
    present = [*streams(4), *streams(20, 10.0, "moving-objects@1")]
    admit(streams(1), present, MEASURED.get)
    with pytest.raises(CapacityExceeded):
        admit(streams(2), present, MEASURED.get)


def test_a_model_that_was_never_measured_is_admitted():
    admit(streams(100, model="new@1"), streams(8), MEASURED.get)


def test_what_asks_for_no_more_than_before_is_never_refused():
    admit(streams(1, 5.0), streams(20), MEASURED.get, instead_of=streams(1, 5.0))
    with pytest.raises(CapacityExceeded):
        admit(streams(1, 6.0), streams(20), MEASURED.get, instead_of=streams(1, 5.0))


@pytest.mark.parametrize(
    ("sample_fps", "source_fps", "fps"),
    [(5.0, None, 5.0), (5.0, 2.0, 2.0), (5.0, 30.0, 5.0), (None, None, 25.0), (None, 12.5, 12.5), (1000.0, 10.0, 10.0)],
)
def test_a_stream_asks_for_what_it_samples_but_for_no_more_than_it_gives(sample_fps, source_fps, fps):
    assert demands(a_stream(sample_fps=sample_fps), made("yolox@1"), None, source_fps) == [Demand("yolox@1", fps)]


@pytest.mark.parametrize(
    ("own", "sample_fps", "source_fps", "fps"),
    [
        ({"fps": 8.0}, None, None, 8.0),
        ({"fps": 8.0}, 2.0, None, 8.0),  # it is shown the frames that it was made for
        ({"fps": 8.0}, None, 4.0, 4.0),
        ({"fps": 8.0, "window": 16}, 2.0, None, 2.0),  # of clips, so many are analysed
        ({"fps": 8.0, "window": 16}, None, None, 8.0),
        ({"window": 16}, 2.0, 25.0, 2.0),
    ],
)
def test_a_model_that_was_made_for_a_rate_is_asked_at_that(own, sample_fps, source_fps, fps):
    asked = demands(a_stream(sample_fps=sample_fps), made("gru@1", **own), None, source_fps)
    assert asked == [Demand("gru@1", fps)]


def test_a_gate_asks_for_five_frames_a_second_beside_its_model():
    yolox, gate = made("yolox@1"), made("moving-objects@1")
    asked = demands(a_stream(sample_fps=10, gate="motion"), yolox, gate, None)
    assert asked == [Demand("yolox@1", 10.0), Demand("moving-objects@1", 5.0)]
    assert demands(a_stream(sample_fps=10, gate="motion"), yolox, gate, 2.0)[1] == Demand("moving-objects@1", 2.0)


def a_model(sha256="a" * 64, provider="cpu"):
    return SimpleNamespace(sha256=sha256, said=SimpleNamespace(provider=provider, sessions=2), row=3)


@pytest.fixture
def page():
    return Page(bytearray(Page.bytes_for(1)), 1)


@pytest.fixture
def throughput(tmp_path, page):
    choices = Choices(tmp_path / "tuning.json")
    subject = Subject("yolox", "a" * 64, "here", "1.20", "cpu", "any")
    choices.put(subject, Choice(2, 1, 4, "all", frames_s=47.0, run_s=0.03))
    return Throughput(choices, "here", page)


def test_a_model_does_what_the_tuning_has_measured(throughput):
    assert throughput.of(a_model()) == 47.0


def test_a_model_that_was_not_tuned_does_what_it_has_done_so_far(throughput, page):
    model = a_model(sha256="b" * 64)
    recorder = page.recorder(0)
    for _ in range(199):
        recorder.batch(3, 2, "idle")
        recorder.inference(3, 0.05)
    assert throughput.of(model) is None
    recorder.batch(3, 2, "idle")
    recorder.inference(3, 0.05)
    assert throughput.of(model) == pytest.approx(2 * 2 / 0.05)


def test_nobody_knows_what_a_model_does_that_is_not_loaded(throughput):
    model = a_model()
    model.said = None
    assert throughput.of(model) is None
