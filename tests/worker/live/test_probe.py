import cv2
import msgspec
import numpy as np
import pytest
from live_builders import Camera, eventually, image

from server.domain.stream import StreamSource
from server.wire.messages import Probe
from server.worker.live.errors import SourceNotVideo, SourceUnauthorized
from server.worker.live.probe import start_probe


def probed(around, url="rtsp://camera/"):
    start_probe(Probe(7, msgspec.json.encode(StreamSource(url=url))), around.around)
    ((answer, payload),) = eventually(lambda: around.api.probed)
    assert answer.request == 7
    return answer, payload


def test_a_source_that_is_tried_gives_a_picture_and_what_is_known_of_it(bench):
    camera = Camera(fps=20, broken=frozenset({0}), shows=lambda n: image(100, (64, 36)))
    answer, (jpeg,) = probed(bench(camera))
    assert (answer.code, answer.codec, answer.width, answer.height) == ("", "fake", 64, 36)
    assert answer.fps == pytest.approx(20, rel=0.1)
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(picture.astype(int) - 100).max() <= 3
    assert camera.closed == 1


@pytest.mark.parametrize("failure", [SourceUnauthorized("Who?"), SourceNotVideo("A page.")])
def test_a_source_that_cannot_be_opened_says_why(bench, failure):
    answer, payload = probed(bench(Camera(failures=(failure,))))
    assert (answer.code, answer.message, payload) == (failure.code, failure.message, [])


def test_a_source_that_ends_before_its_first_picture_says_why(bench):
    camera = Camera(lasts=0)
    answer, _ = probed(bench(camera))
    assert answer.code == "source_lost"
    assert camera.closed == 1


def test_a_bug_is_told_and_leaves_no_thread_hanging(bench, caplog):
    around = bench(Camera(failures=(ZeroDivisionError(),)))
    answer, _ = probed(around)
    assert answer.code == "internal_error"
    assert "probe failed" in caplog.text
    eventually(lambda: not around.calls.seen(0))
