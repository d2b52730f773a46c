"""A network that is not as it should be, between an RTSP server and OpenCV."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cameras.looking import Seen, looking
from tests.cameras.numbers import NUMBERS, numbered, read_number
from tests.cameras.proxy import Proxy
from tests.cameras.rtsp import RtspServer

pytestmark = pytest.mark.usefixtures("_gstreamer")


@pytest.fixture(scope="module")
def cameras() -> Iterator[RtspServer]:
    with RtspServer({"numbers": numbered()}) as server:
        yield server


@pytest.fixture
def proxy(cameras: RtspServer) -> Iterator[Proxy]:
    with Proxy(cameras.port) as one:
        yield one


def url(proxy: Proxy) -> str:
    return f"rtsp://127.0.0.1:{proxy.port}/numbers"


def age_s(several: list[Seen], cameras: RtspServer) -> float:
    """How long ago a picture was sent when it came: the quickest of several, since a slow machine holds some up."""
    sent = {count % NUMBERS: at for count, at in cameras.sent("numbers").items()}
    return min(seen.at - sent[read_number(seen.picture)] for seen in several)


def test_it_passes_everything_on(cameras: RtspServer, proxy: Proxy) -> None:
    with looking(url(proxy)) as look:
        assert age_s(look.take(20), cameras) < 0.5


def test_it_holds_bytes_back(cameras: RtspServer, proxy: Proxy) -> None:
    with looking(url(proxy)) as look:
        look.take(20)
        proxy.delay_s = 1.0
        late = age_s(look.take(20)[15:], cameras)
        proxy.delay_s = 0.0
        again = age_s(look.take(25), cameras)
    assert 0.9 < late < 1.9
    assert again < 0.9


def test_it_stalls_and_lets_through_what_was_stalled(cameras: RtspServer, proxy: Proxy) -> None:
    with looking(url(proxy)) as look:
        last = read_number(look.take(20)[-1].picture)
        proxy.stall()
        time.sleep(0.7)
        proxy.flow()
        assert read_number(look.take(1)[0].picture) == (last + 1) % NUMBERS


def test_it_stalls_for_longer_than_a_read_may_take(proxy: Proxy) -> None:
    with looking(url(proxy), read_s=1.5) as look:
        look.take(15)
        proxy.stall()
        assert len(look.take(100)) < 50


def test_it_cuts_connections_and_takes_new_ones(proxy: Proxy) -> None:
    with looking(url(proxy)) as look:
        assert look.take(15)
        proxy.cut()
        assert len(look.take(100)) < 50
    with looking(url(proxy)) as look:
        assert look.take(1)
