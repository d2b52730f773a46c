"""Reading a real RTSP server, which GStreamer is."""

import contextlib
import itertools
import mmap
import time
from collections.abc import Iterator
from statistics import median

import pytest
from live_builders import eventually

from server.core.calls import CallPage, CallRows
from server.domain.outcome import Outcome
from server.domain.stream import StreamSource, StreamState, Transport
from server.worker.live.backoff import Backoff
from server.worker.live.intake import Intake, LiveFrame
from server.worker.live.pictures import Pictures
from server.worker.live.reader import Reader
from server.worker.live.sources import open_live
from tests.cameras import rtsp
from tests.cameras.material import moving_square
from tests.cameras.numbers import NUMBERS, numbered, read_number
from tests.cameras.proxy import Proxy
from tests.cameras.rtsp import Credentials, RtspServer

SECRET = "s3cr&t/:@#%é"


@pytest.fixture(scope="module", autouse=True)
def gstreamer():
    if reason := rtsp.missing():
        pytest.skip(reason)


class Reading:
    """A source that is read, frame by frame."""

    def __init__(self, **source) -> None:
        rows = CallRows(CallPage(mmap.mmap(-1, CallPage.bytes_for(1)), 1).rows(0))
        self.intake = Intake()
        self.reader = Reader(
            "cam",
            StreamSource(**{"loopback": True, "open_s": 20.0, "read_s": 20.0} | source),
            self.intake,
            rows,
            lambda source, row: open_live(source, row, max_pixels=2**22),
            sample_fps=None,
            backoff=Backoff(first_s=0.1, most_s=0.5),
        )
        self.reader.start()

    def take(self, count: int) -> list[LiveFrame]:
        """The next frames; a slow machine misses some."""
        return [frame for frame, _ in itertools.islice(self.taken(), count)]

    def taken(self) -> Iterator[tuple[LiveFrame, bool]]:
        while True:
            yield eventually(self.intake.take)

    def close(self) -> None:
        self.reader.stop()
        assert self.reader.join(30)
        self.intake.close()


@pytest.fixture
def reading():
    with contextlib.ExitStack() as stack:

        def start(**source) -> Reading:
            made = Reading(**source)
            stack.callback(made.close)
            return made

        yield start


@pytest.fixture(scope="module")
def cameras():
    shows = {
        "h264": moving_square(seconds=2),
        "h265": moving_square(seconds=2, codec="h265"),
        "jpeg": moving_square(seconds=2, codec="jpeg"),
        "growing": moving_square(seconds=1).then(moving_square(size_wh=(320, 240), seconds=1)),
        **{f"numbers-{codec}": numbered(codec=codec, size_wh=(320, 180)) for codec in ("h264", "h265", "jpeg")},
        "basic": moving_square(seconds=2),
    }
    with RtspServer(shows, secret={"basic"}, credentials=Credentials("viewer", SECRET)) as server:
        yield server


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize(("name", "codec"), [("h264", "h264"), ("h265", "hevc"), ("jpeg", "mjpeg")])
def test_a_camera_of_any_codec_is_read_by_any_transport(cameras, reading, name, codec, transport):
    camera = reading(url=cameras.url(name), transport=transport)
    frames = camera.take(12)
    assert (frames[0].image.width, frames[0].image.height) == (640, 360)
    assert camera.intake.link.codec == codec
    steps = [later.pts_s - earlier.pts_s for earlier, later in itertools.pairwise(frames[1:])]
    assert median(steps) == pytest.approx(0.1, abs=0.03)
    eventually(lambda: camera.intake.link.fps == pytest.approx(10, rel=0.3))


def test_a_size_that_changes_is_followed(cameras, reading):
    sizes = {(frame.image.width, frame.image.height) for frame in reading(url=cameras.url("growing")).take(25)}
    assert sizes == {(640, 360), (320, 240)}


@pytest.mark.parametrize("digest", [False, True])
def test_credentials_of_any_letters_open_a_camera(reading, digest):
    with RtspServer(
        {"door": moving_square(seconds=2)}, secret={"door"}, credentials=Credentials("viewer", SECRET, digest=digest)
    ) as cameras:
        assert reading(url=cameras.url("door"), username="viewer", password=SECRET).take(3)
        wrong = reading(url=cameras.url("door"), username="viewer", password="wrong")
        eventually(lambda: wrong.intake.link.code == "source_unauthorized")
        assert "wrong" not in wrong.intake.link.message


def test_a_path_that_is_not_there_is_told(cameras, reading):
    camera = reading(url=cameras.url("nothing"))
    eventually(lambda: camera.intake.link.code == "source_not_found")


@pytest.mark.parametrize("codec", ["h264", "h265", "jpeg"])
def test_frames_were_captured_when_the_camera_sent_them(cameras, reading, codec):
    frames = reading(url=cameras.url(f"numbers-{codec}")).take(30)
    pictures = Pictures()
    numbers = [read_number(pictures.of(frame.image)) for frame in frames]
    sent = {count % NUMBERS: at for count, at in cameras.sent(f"numbers-{codec}").items()}
    lag = time.time() - time.monotonic()
    errors = [frame.captured + lag - sent[number] for frame, number in zip(frames, numbers, strict=True)]
    # A slow machine is late with some; software that is wrong is so with all.
    assert sorted(map(abs, errors[5:]))[5] < 0.05


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_pictures_do_not_wait_for_the_next_one(cameras, reading, codec):
    frames = reading(url=cameras.url(f"numbers-{codec}")).taken()
    for _ in range(25):
        next(frames)
    ages = sorted(time.monotonic() - frame.captured for frame, _ in itertools.islice(frames, 11))
    assert ages[1] < 0.09  # the others may have waited for the machine


def test_what_a_network_holds_back_is_as_old_as_it_was_held(cameras, reading):
    with Proxy(cameras.port) as proxy:
        camera = reading(url=f"rtsp://127.0.0.1:{proxy.port}/numbers-h264", read_s=30.0)
        camera.take(20)
        proxy.delay_s = 1.5
        time.sleep(2.5)
        camera.take(1)
        ages = [time.monotonic() - frame.captured for frame, _ in itertools.islice(camera.taken(), 10)]
        assert 1.3 < min(ages) < 1.7  # the others may have waited for the machine, too


def test_a_camera_that_is_silent_is_connected_again_when_it_speaks(cameras, reading):
    with Proxy(cameras.port) as proxy:
        camera = reading(url=f"rtsp://127.0.0.1:{proxy.port}/h264", read_s=1.0)
        camera.take(5)
        proxy.stall()
        eventually(lambda: camera.intake.link.code == "source_silent")
        proxy.flow()
        proxy.cut()
        eventually(lambda: camera.intake.link.state is StreamState.RUNNING)


def test_a_server_that_goes_and_comes_back_is_found_again(reading):
    with RtspServer({"gate": moving_square(seconds=2)}) as cameras:
        camera = reading(url=cameras.url("gate"))
        before = camera.take(5)[-1]
        cameras.stop()
        eventually(lambda: camera.intake.link.state is StreamState.RECONNECTING)
        time.sleep(1)
        cameras.start()
        after, begins = next(itertools.dropwhile(lambda taken: not taken[1], camera.taken()))
        assert begins
        assert after.index > before.index
        assert 1.0 < after.pts_s - before.pts_s < 120.0
        assert camera.intake.link.state is StreamState.RUNNING
        assert set(camera.intake.take_passed()) <= {Outcome.DROPPED_BUSY, Outcome.DECODE_ERROR}
