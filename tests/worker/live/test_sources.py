import base64
import contextlib
import mmap
import socket
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from web_builders import Site, Wicked, jpeg, mjpeg, page

from server.core.calls import CallPage
from server.core.errors import AddressRefused
from server.domain.stream import StreamSource
from server.worker.live import sources
from server.worker.live.errors import (
    SourceError,
    SourceInvalid,
    SourceLost,
    SourceNotFound,
    SourceNotVideo,
    SourceRefused,
    SourceSilent,
    SourceTooLarge,
    SourceUnauthorized,
    SourceUnreachable,
)
from server.worker.live.pictures import Pictures
from server.worker.live.sources import open_live
from tests.cameras.wicked import encrypted, playing_nothing, redirecting, visited

PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:2,\n%s\n#EXT-X-ENDLIST\n"
SECRET = "s3cr&t/:@é"
CERTIFICATE = str(Path(__file__).parents[2] / "cameras" / "certificate.pem")
"""Of localhost, signed by itself, for a hundred years."""


@pytest.fixture
def row():
    (row, *_) = CallPage(mmap.mmap(-1, CallPage.bytes_for(1)), 1).rows(0)
    row.begin("cam")
    return row


@pytest.fixture
def opened(row):
    with contextlib.ExitStack() as stack:

        def opening(url, *, max_pixels=2**22, **options):
            options = {"loopback": True, "open_s": 20.0, "read_s": 20.0} | options
            connection = open_live(StreamSource(url=url, **options), row, max_pixels=max_pixels)
            stack.callback(connection.close)
            return connection

        yield opening


@pytest.fixture
def served():
    """Makes sites and wicked servers, closed at the end."""
    with contextlib.ExitStack() as stack:

        def serving(made):
            stack.callback(made.close)
            return made

        yield serving


def shots(connection, count):
    return [shot for shot in (connection.grab() for _ in range(count)) if shot is not None]


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("url", ["rtsp://viewer:geheim@x#1@127.0.0.1/a", "http://viewer:ge#heim@127.0.0.1/a"])
def test_of_a_url_whose_credentials_cannot_be_told_from_its_host_nothing_is_shown(opened, url):
    with pytest.raises(SourceInvalid) as caught:
        opened(url)
    assert "%40" in str(caught.value)
    assert not any(part in str(caught.value) for part in ("viewer", "heim", "127.0.0.1"))


def test_mjpeg_over_http_gives_pictures_without_time_stamps(opened, served):
    site = served(Site(cam=mjpeg()))
    connection = opened(site.url("cam"))
    taken = shots(connection, 5)
    assert connection.codec == "mjpeg"
    assert [shot.stamp_s for shot in taken] == [None] * 5
    arrivals = [shot.arrived for shot in taken]
    assert arrivals == sorted(arrivals)
    assert Pictures().of(taken[2].image).shape == (48, 64, 3)
    expected = cv2.imdecode(np.frombuffer(jpeg(2), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(Pictures().of(taken[2].image).astype(int) - expected).max() <= 1


def test_a_change_of_size_on_the_way_is_followed(opened, served):
    site = served(Site(cam=mjpeg(sizes=lambda n: (64, 48) if n < 3 else (128, 96))))
    sizes = [(shot.image.width, shot.image.height) for shot in shots(opened(site.url("cam")), 6)]
    assert sizes == [(64, 48)] * 3 + [(128, 96)] * 3


def test_a_camera_that_ends_is_lost(opened, served):
    site = served(Site(cam=mjpeg(frames=3)))
    connection = opened(site.url("cam"))
    with pytest.raises(SourceLost):
        shots(connection, 10)


def test_frames_that_are_too_large_are_refused(opened, served):
    site = served(Site(cam=mjpeg(sizes=lambda n: (64, 48) if n < 2 else (640, 480))))
    connection = opened(site.url("cam"), max_pixels=64 * 48, read_s=2.0)
    with pytest.raises((SourceTooLarge, SourceLost, SourceSilent)):
        shots(connection, 60)


def basic(request):
    expected = base64.b64encode(f"viewer:{SECRET}".encode()).decode()
    if request.headers.get("Authorization") == f"Basic {expected}":
        return mjpeg()(request)
    return page(b"", status=401, WWW_Authenticate='Basic realm="cam"')(request)


def digest(request):
    if request.headers.get("Authorization", "").startswith('Digest username="viewer"'):
        return mjpeg()(request)
    return page(b"", status=401, WWW_Authenticate='Digest realm="cam", nonce="abc", qop="auth"')(request)


@pytest.mark.parametrize("asks", [basic, digest])
def test_credentials_are_given_as_the_camera_asks_for_them(opened, served, asks):
    site = served(Site(cam=asks))
    with pytest.raises(SourceUnauthorized, match="username"):
        opened(site.url("cam"))
    assert len(shots(opened(site.url("cam"), username="viewer", password=SECRET), 2)) == 2


@pytest.mark.parametrize(
    "asks",
    [
        'realm="cam", nonce="abc", algorithm=FOO',
        'realm="cam", nonce="abc", algorithm=SHA-512-256',
        'realm="cam", nonce="abc", qop="auth-int"',
        'realm="cam", nonce="abc", qop="x"',
        'realm="cam"',
        "realm=,,,,",
        "cam",
    ],
)
def test_a_login_of_a_kind_that_is_not_known_is_said(opened, served, asks):
    site = served(Site(cam=page(b"", status=401, WWW_Authenticate=f"Digest {asks}")))
    with pytest.raises(SourceUnauthorized, match="of a kind that is not known"):
        opened(site.url("cam"), username="viewer", password=SECRET)


def test_wrong_credentials_are_told_from_none(opened, served):
    site = served(Site(cam=basic))
    with pytest.raises(SourceUnauthorized, match="does not accept"):
        opened(site.url("cam"), username="viewer", password="wrong")


def test_credentials_are_not_sent_to_where_a_camera_leads(opened, served):
    other = served(Site(cam=page(b"", status=401, WWW_Authenticate='Basic realm="x"')))
    site = served(Site(cam=page(b"", status=302, Location=other.url("cam"))))
    with pytest.raises(SourceUnauthorized):
        opened(site.url("cam"), username="viewer", password=SECRET)
    assert all("Authorization" not in headers for _, headers in other.asked)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (page(b"<html>Log in</html>"), SourceNotVideo),
        (page(b"\x00\x01garbage" * 5000, "application/octet-stream"), SourceNotVideo),
        (page(b"", "video/mp2t"), SourceNotVideo),
        (page(b"no", status=404), SourceNotFound),
        (page(b"no", status=403), SourceRefused),
        (page(b"no", status=500), SourceRefused),
        (page(b"", status=302, Location="file:///etc/passwd"), SourceNotVideo),
        (page(b"", status=302, Location="/cam"), SourceRefused),
        (page(PLAYLIST % b"file:///etc/passwd", "application/x-mpegurl"), SourceNotVideo),
        (page(PLAYLIST % b"http://169.254.169.254/a.ts", "audio/mpegurl"), AddressRefused),
    ],
)  # fmt: skip
def test_what_is_no_camera_says_why(opened, served, answer, error):
    site = served(Site(cam=answer))
    with pytest.raises(error):
        opened(site.url("cam"))


def test_a_camera_is_followed_five_times_and_no_more(opened, served):
    led = {str(n): page(b"", status=302, Location=f"/{n + 1}") for n in range(6)}
    site = served(Site(**led | {"6": mjpeg()}))
    assert shots(opened(site.url("1")), 1)
    site.asked.clear()
    with pytest.raises(SourceRefused, match="more than 5 times"):
        opened(site.url("0"))
    assert [path for path, _ in site.asked] == [f"/{n}" for n in range(6)]


NO_URLS = ["http://①②⑦.0.0.1/x", "http://xn--0/x", "http://127.0.0.1:99999/x", "http://127.0.0.1:0/x", "http://[::1/x"]


@pytest.mark.parametrize("url", NO_URLS)
def test_a_camera_that_leads_to_what_is_no_url_says_so(opened, served, url):
    sent = url.encode().decode("latin-1")  # as a header has it: in bytes
    playlist = page(PLAYLIST % url.encode(), "application/x-mpegurl")
    site = served(Site(cam=page(b"", status=302, Location=sent), live=playlist))
    with pytest.raises(SourceNotVideo, match="no URL"):
        opened(site.url("cam"))
    with pytest.raises(SourceNotVideo):
        opened(site.url("live"))


def test_a_playlist_of_a_segment_is_a_camera(opened, served, tmp_path):
    segment = transport_stream(tmp_path / "a.ts")
    playlist = page(PLAYLIST % b"a.ts", "application/x-mpegurl")
    site = served(Site(**{"live.m3u8": playlist, "a.ts": page(segment, "video/mp2t")}))
    connection = opened(site.url("live.m3u8"))
    assert connection.bulk
    stamps = [shot.stamp_s for shot in shots(connection, 10)]
    assert stamps == sorted(stamps)
    assert stamps[-1] - stamps[0] == pytest.approx(0.9, abs=0.01)
    assert [path for path, _ in site.asked] == ["/live.m3u8", "/a.ts"]


def transport_stream(path):
    import av

    with av.open(str(path), "w", format="mpegts") as file:
        stream = file.add_stream("mpeg2video", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(20):
            picture = np.full((48, 64, 3), 10 * number, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return path.read_bytes()


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
@pytest.mark.parametrize(
    ("says", "errors"),
    [
        (None, (SourceSilent,)),
        (b"", (SourceRefused, SourceNotVideo, SourceLost)),
        (b"\x00\xff garbage \r\n\r\n" * 50, (SourceNotVideo, SourceSilent)),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<a/>",
            (SourceNotVideo, SourceSilent),
        ),
    ],
)
def test_what_accepts_and_does_not_speak_the_language_is_told_within_the_patience(opened, served, scheme, says, errors):
    wicked = served(Wicked(says))
    open_s = 20.0 if says == b"" else 1.0  # who hangs up at once must not seem silent
    start = time.monotonic()
    with pytest.raises(errors):
        opened(f"{scheme}://127.0.0.1:{wicked.port}/x", open_s=open_s, read_s=open_s)
    assert time.monotonic() - start < 15


def test_a_camera_that_says_it_plays_and_sends_nothing_is_given_up_when_the_patience_of_opening_is_over(opened):
    # Where the answers take most of the patience, the rest is long enough for a slow machine.
    for delay_s, open_s in ((0.0, 1.5), (0.3, 2.7)):
        with playing_nothing(delay_s=delay_s) as port:
            start = time.monotonic()
            with pytest.raises(SourceSilent, match="has sent no picture for"):
                opened(f"rtsp://127.0.0.1:{port}/x", open_s=open_s, read_s=60.0)
            assert time.monotonic() - start < 30


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "tcp", "satip", "RTSP"])
def test_a_camera_that_sends_elsewhere_is_not_followed(opened, scheme):
    with visited() as (port, said), redirecting(f"{scheme}://127.0.0.1:{port}/x") as camera:
        with pytest.raises(SourceError) as failed:
            opened(f"rtsp://127.0.0.1:{camera}/x", username="viewer", password="pa55word")
        assert isinstance(failed.value, SourceRefused if scheme == "rtsp" else SourceError)
        assert said == []


def test_in_a_private_network_an_encrypted_camera_is_spoken_to_at_the_address_that_was_checked(opened, monkeypatch):
    monkeypatch.setattr(sources, "resolved", lambda *_: ["127.0.0.1"])
    with encrypted(CERTIFICATE) as (port, came):
        with pytest.raises(SourceError):
            opened(f"rtsps://camera.invalid:{port}/x")
        ((name, words),) = came
    assert name is None
    assert words.startswith(b"OPTIONS rtsps://127.0.0.1")


def test_on_the_internet_an_encrypted_camera_must_prove_its_name_before_a_word_is_said(opened, monkeypatch):
    monkeypatch.setattr(sources, "resolved", lambda *_: ["127.0.0.1"])
    monkeypatch.setattr(sources, "refusal", lambda _: None)
    with encrypted(CERTIFICATE) as (port, came):
        with pytest.raises(SourceRefused, match="certificate cannot be trusted"):
            opened(f"rtsps://localhost:{port}/x", username="viewer", password="pa55word")
        assert [words for _, words in came] in ([], [b""])
        monkeypatch.setattr(sources, "_trusted", lambda: CERTIFICATE)
        with pytest.raises(SourceError, match=r"closed|RTSP"):
            opened(f"rtsps://localhost:{port}/x")
        assert came[-1][0] == "localhost"
        assert came[-1][1].startswith(b"OPTIONS rtsps://localhost")


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_nobody_there_is_told_from_somebody_who_is_silent(opened, scheme):
    with pytest.raises(SourceRefused, match="Nobody listens"):
        opened(f"{scheme}://127.0.0.1:{closed_port()}/x")
    with pytest.raises(SourceUnreachable, match="not known"):
        opened(f"{scheme}://no-such-host.invalid/x")


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "https"])
@pytest.mark.parametrize(
    ("host", "setting"),
    [("169.254.169.254", None), ("[fe80::1]", None), ("127.0.0.1", "allow_loopback"), ("10.1.2.3", "allow_private")],
)
def test_where_no_camera_may_be_nothing_is_opened(opened, scheme, host, setting):
    with pytest.raises(AddressRefused) as refused:
        opened(f"{scheme}://{host}/x", loopback=False, private=False)
    assert (setting or "not connected") in str(refused.value)


def test_a_redirect_is_checked_as_the_url_was(opened, served):
    site = served(Site(cam=page(b"", status=302, Location="http://169.254.169.254/latest/meta-data")))
    with pytest.raises(AddressRefused, match="link-local"):
        opened(site.url("cam"))


@pytest.mark.parametrize("url", ["ftp://host/x", "rtsp://", "rtsp://host:0/x", "rtsp://[::1", "x", *NO_URLS])
def test_a_url_of_no_source_is_an_error_that_does_not_mend(opened, url):
    with pytest.raises(SourceInvalid) as invalid:
        opened(url)
    assert not invalid.value.mends


def test_a_file_is_a_source_that_is_recorded(opened):
    sample = Path(__file__).parents[3] / "server/samples/street.mp4"
    connection = opened(sample.as_uri())
    assert (connection.bulk, connection.recorded) == (True, True)
    assert connection.fps == pytest.approx(12.5, abs=0.1)
    stamps = [shot.stamp_s for shot in shots(connection, 10)]
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize(
    ("text", "error"), [(None, SourceNotFound), (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", SourceNotVideo)]
)
def test_a_file_that_is_none_or_a_playlist_is_refused(opened, tmp_path, text, error):
    path = tmp_path / "video.mp4"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(error):
        opened(path.as_uri())


def test_a_device_that_is_not_there_is_told(opened):
    with pytest.raises(SourceNotFound, match="plugged in"):
        opened("/dev/video99")


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
@pytest.mark.parametrize(
    "says", [None, b"", b"RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n", b"RTSP/1.0 401 No\r\nCSeq: 1\r\n\r\n"]
)
def test_no_error_and_no_output_has_the_password(opened, served, capfd, scheme, says):
    wicked = served(Wicked(says))
    with pytest.raises(SourceError) as failed:
        opened(f"{scheme}://127.0.0.1:{wicked.port}/x", username="viewer", password="pa55word", open_s=1, read_s=1)
    said = repr(failed.value) + str(failed.value) + "".join(capfd.readouterr())
    error: BaseException | None = failed.value
    while error is not None:
        said += repr(error) + str(error)
        error = error.__cause__
    assert "pa55word" not in said
    assert failed.value.__cause__ is None
