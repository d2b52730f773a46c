"""Cameras over HTTP, seen by OpenCV alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cameras.looking import looking
from tests.cameras.material import Material, moving_square
from tests.cameras.web import WebServer


@pytest.fixture(scope="module")
def jpeg() -> Material:
    return moving_square(seconds=2, codec="jpeg")


@pytest.fixture(scope="module")
def web(jpeg: Material) -> Iterator[WebServer]:
    smaller = moving_square(size_wh=(320, 240), seconds=1, codec="jpeg")
    with WebServer({"yard": jpeg, "hls": moving_square(seconds=6), "changing": smaller.then(jpeg)}) as server:
        yield server


def test_mjpeg_is_read(web: WebServer) -> None:
    with looking(web.url("yard.mjpg")) as look:
        assert [seen.picture.shape for seen in look.take(5)] == [(360, 640, 3)] * 5


def test_live_hls_is_read_and_goes_on(web: WebServer) -> None:
    with looking(web.url("hls.m3u8")) as look:
        seen = look.take(80)  # more than there is at first, and past the end of the loop
    assert len(seen) == 80
    assert seen[0].picture.shape == (360, 640, 3)


def test_mjpeg_may_change_its_size(web: WebServer) -> None:
    with looking(web.url("changing.mjpg")) as look:
        assert len(look.take(20)) == 20


def test_a_page_is_no_camera(web: WebServer) -> None:
    with looking(web.url("page.html")) as look:
        assert not look.opened


def test_one_with_a_login_wants_it(jpeg: Material) -> None:
    with WebServer({"yard": jpeg}, login=("joe", "s3cret")) as web:
        with looking(web.url("yard.mjpg")) as look:
            assert not look.opened
        with looking(web.url("yard.mjpg").replace("//", "//joe:s3cret@")) as look:
            assert look.take(3)


def test_pictures_may_stop_while_the_connection_stays(jpeg: Material) -> None:
    with WebServer({"yard": jpeg}) as web, looking(web.url("yard.mjpg"), read_s=1.5) as look:
        assert look.take(3)
        web.freeze()
        assert len(look.take(100)) < 100


def test_one_may_end(jpeg: Material) -> None:
    with WebServer({"yard": jpeg}, once=frozenset({"yard"})) as web, looking(web.url("yard.mjpg")) as look:
        assert len(look.take(100)) == len(jpeg.units)


def test_one_that_was_stopped_comes_back_at_its_port(jpeg: Material) -> None:
    with WebServer({"yard": jpeg}) as web:
        port = web.port
        with looking(web.url("yard.mjpg")) as look:
            assert look.take(1)
            web.stop()
            assert len(look.take(100)) < 100
        web.start()
        assert web.port == port
        with looking(web.url("yard.mjpg")) as look:
            assert look.take(3)
