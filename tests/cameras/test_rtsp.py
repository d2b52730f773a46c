"""The RTSP server, seen by OpenCV alone."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest

from tests.cameras.looking import looking
from tests.cameras.material import Material, encoded, moving_square, yard
from tests.cameras.numbers import NUMBERS, numbered, read_number
from tests.cameras.rtsp import Credentials, RtspServer

pytestmark = pytest.mark.usefixtures("_gstreamer")

JOE = Credentials("joe", "s3cret")


@pytest.fixture(scope="module")
def square() -> Material:
    return moving_square(seconds=3)


@pytest.fixture(scope="module")
def cameras(square: Material) -> Iterator[RtspServer]:
    """Cameras of every kind."""
    shows = {
        "square": square,
        "slow": moving_square(fps=2),
        "large": moving_square(size_wh=(1920, 1080), fps=2, seconds=3),
        "numbers": numbered(),
        "secret": square,
        "short": moving_square(seconds=2),
        "growing": moving_square(seconds=1).then(moving_square(size_wh=(320, 240), seconds=1)),
        "jpeg": moving_square(seconds=2, codec="jpeg"),
    }
    with RtspServer(shows, once={"short"}, secret={"secret"}, credentials=JOE) as server:
        yield server


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_shows_pictures_at_its_rate(cameras: RtspServer, transport: str) -> None:
    with looking(cameras.url("square"), transport) as look:
        seen = look.take(20)
    assert len(seen) == 20
    assert seen[0].picture.shape == (360, 640, 3)
    times = [one.pts_s for one in seen[1:]]
    assert [later - earlier for earlier, later in itertools.pairwise(times)] == pytest.approx([0.1] * 18)


@pytest.mark.parametrize(("name", "size_wh"), [("slow", (640, 360)), ("large", (1920, 1080)), ("jpeg", (640, 360))])
def test_cameras_differ_in_rate_size_and_codec(cameras: RtspServer, name: str, size_wh: tuple[int, int]) -> None:
    with looking(cameras.url(name)) as look:
        seen = look.take(3)
    assert [one.picture.shape[1::-1] for one in seen] == [size_wh] * 3


def test_each_picture_says_its_number_and_the_server_when_it_was_sent(cameras: RtspServer) -> None:
    with looking(cameras.url("numbers")) as look:
        seen = look.take(30)
    sent = {count % NUMBERS: at for count, at in cameras.sent("numbers").items()}
    numbers = [read_number(one.picture) for one in seen]
    assert numbers == [(numbers[0] + step) % NUMBERS for step in range(30)]
    # A slow machine holds some up, not all.
    assert 0 <= min(one.at - sent[number] for one, number in zip(seen, numbers, strict=True)) < 1


def test_several_look_at_the_same_camera_and_see_the_same(cameras: RtspServer) -> None:
    with looking(cameras.url("numbers")) as one, looking(cameras.url("numbers")) as other:
        first = read_number(other.take(1)[0].picture)
        numbers = (read_number(seen.picture) for seen in iter(one.next, None))
        # Who comes later begins later: it is not the first of both.
        assert first in itertools.islice(numbers, 1, NUMBERS - 1)


def test_a_camera_may_end(cameras: RtspServer) -> None:
    with looking(cameras.url("short")) as look:
        assert 0 < len(look.take(30)) <= 20


def test_a_camera_may_change_its_size_in_mid_stream(cameras: RtspServer) -> None:
    """OpenCV brings all pictures to the size of the first."""
    with looking(cameras.url("growing")) as look:
        assert len({seen.picture.shape for seen in look.take(25)}) == 1


@pytest.mark.parametrize("digest", [False, True])
def test_a_secret_camera_wants_name_and_password(square: Material, digest: bool) -> None:
    credentials = Credentials("joe", "s3cret", digest)
    with RtspServer({"secret": square, "open": square}, secret={"secret"}, credentials=credentials) as cameras:
        for url, opens in (
            (cameras.url("open"), True),
            (cameras.url("secret"), False),
            (cameras.url("secret").replace("//", "//joe:wrong@"), False),
            (cameras.url("secret").replace("//", "//joe:s3cret@"), True),
        ):
            with looking(url) as look:
                assert look.opened == opens


def test_what_is_not_there_does_not_open(cameras: RtspServer) -> None:
    with looking(cameras.url("nothing")) as look:
        assert not look.opened


def test_a_server_that_stops_breaks_its_connections_and_comes_back_at_its_port(square: Material) -> None:
    with RtspServer({"square": square}) as cameras:
        port = cameras.port
        with looking(cameras.url("square")) as look:
            assert look.take(3)
            cameras.stop()
            assert len(look.take(100)) < 100
        with looking(cameras.url("square")) as look:
            assert not look.opened
        cameras.start()
        assert cameras.port == port
        with looking(cameras.url("square")) as look:
            assert look.take(3)


def test_dropped_connections_end_and_who_comes_again_is_served(cameras: RtspServer) -> None:
    with looking(cameras.url("square")) as look:
        assert look.take(3)
        cameras.drop()
        assert len(look.take(100)) < 100
    with looking(cameras.url("square")) as look:
        assert look.take(3)


def test_a_camera_may_come_back_with_another_codec(square: Material) -> None:
    with RtspServer({"square": square}) as cameras:
        with looking(cameras.url("square")) as look:
            assert look.codec == "h264"
            cameras.change("square", encoded([yard((320, 240))] * 10, fps=10, codec="jpeg"))
            assert len(look.take(100)) < 100
        with looking(cameras.url("square")) as look:
            assert (look.codec, look.take(1)[0].picture.shape) == ("MJPG", (240, 320, 3))


def test_pictures_go_on_while_nobody_looks(square: Material) -> None:
    with RtspServer({"numbers": numbered(fps=20)}) as cameras:
        with looking(cameras.url("numbers")) as look:
            assert look.take(1)
        before = max(cameras.sent("numbers"))
        time.sleep(2)
        with looking(cameras.url("numbers")) as look:
            number = read_number(look.take(1)[0].picture)
        # Counted as they were sent, since the numbers in the pictures soon begin again.
        assert number in {count % NUMBERS for count in cameras.sent("numbers") if count > before + 30}
