import pytest

from server.core.errors import SourceNotAllowed
from server.core.settings import Settings, SourcesSettings
from server.domain.stream import Transport
from server.runtime.streams.sources import SourcePolicy, separated, shown, title


def opened(url, policy=None, username=None):
    """The URL that a worker is to open."""
    return (policy or SourcePolicy()).source_of(url, username, None, transport=Transport.TCP).url


def refused(url, policy=None, username=None):
    """Why it must not be opened."""
    with pytest.raises(SourceNotAllowed) as caught:
        opened(url, policy, username)
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://192.168.1.20/stream1",
        "rtsps://192.168.1.1:7441/abc",
        "rtsp://camera.local:8554/a?channel=1&subtype=0",
        "http://93.184.215.14/video.mjpg",
        "https://example.com/live/index.m3u8",
        "rtsp://[fd12::7]:554/1",
        "rtsp://127.0.0.1:8554/cam",
        "/dev/video0",
        "/dev/v4l/by-id/usb-Acme_Cam-video-index0",
    ],
)
def test_cameras_of_every_kind_are_opened_as_they_are_named(url):
    assert opened(url) == url


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://camera/a", "source_scheme_refused"),
        ("rtmp://camera/a", "source_scheme_refused"),
        ("camera", "source_scheme_refused"),
        ("/srv/videos/a.mp4", "source_scheme_refused"),
        ("concat:a|b", "source_scheme_refused"),
        ("rtsp:///a", "source_url_invalid"),
        ("rtsp://", "source_url_invalid"),
        ("rtsp://camera:0/a", "source_url_invalid"),
        ("rtsp://camera:99999/a", "source_url_invalid"),
        ("rtsp://camera:port/a", "source_url_invalid"),
        ("rtsp://[::1/a", "source_url_invalid"),
        ("http://①②⑦.0.0.1/a", "source_url_invalid"),
        ("https://xn--0/a", "source_url_invalid"),
        ("rtsp://169.254.169.254/latest", "address_refused"),
        ("http://[fe80::1]/a", "address_refused"),
        ("http://168.63.129.16/", "address_refused"),
        ("rtsp://224.0.0.1/a", "address_refused"),
        ("rtsp://0.0.0.0/a", "address_refused"),
        ("file:///etc/passwd", "source_file_refused"),
        ("file://host/a.mp4", "source_url_invalid"),
        ("file:a.mp4", "source_url_invalid"),
        ("/dev/sda", "source_device_refused"),
        ("/dev/video0/../sda", "source_device_refused"),
    ],
)
def test_what_is_no_source_has_a_code_and_says_what_would_be_one(url, code):
    error = refused(url)
    assert error.code == code
    assert error.hint or code == "address_refused"  # some addresses no setting allows


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "[::1]", "localhost", "a.localhost."]
)
def test_this_machine_is_refused_in_every_spelling_where_the_settings_do_not_allow_it(host):
    error = refused(f"rtsp://{host}/a", SourcePolicy(loopback=False))
    assert error.code == "address_refused"
    assert "[sources] allow_loopback = true" in error.hint


def test_private_addresses_can_be_forbidden():
    error = refused("rtsp://10.0.0.7/a", SourcePolicy(private=False))
    assert "[sources] allow_private = true" in error.hint


def test_devices_can_be_forbidden():
    error = refused("/dev/video0", SourcePolicy(devices=False))
    assert (error.code, error.hint) == ("source_device_refused", "Set `[sources] allow_devices = true`.")


def test_a_file_is_played_from_its_real_place_in_a_folder_that_is_allowed(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "a b.mp4").touch()
    policy = SourcePolicy(folders=(folder,))
    assert opened(f"file://{folder}/a%20b.mp4", policy) == f"file://{folder.resolve()}/a b.mp4"
    assert "There is no file" in str(refused(f"file://{folder}/c.mp4", policy))
    (tmp_path / "secret").touch()
    (folder / "link").symlink_to(tmp_path / "secret")
    for url in (f"file://{folder}/../secret", f"file://{folder}/link", f"file://{tmp_path}/none"):
        error = refused(url, policy)
        assert error.code == "source_file_refused"
        assert "[sources] folders" in error.hint


def test_files_and_devices_take_no_credentials():
    assert refused("/dev/video0", username="me").code == "source_url_invalid"


def test_loopback_is_allowed_as_long_as_the_server_itself_is_to_be_reached_from_this_machine_only():
    assert SourcePolicy.of(Settings()).loopback
    assert not SourcePolicy.of(Settings(host="0.0.0.0")).loopback
    assert SourcePolicy.of(Settings(host="0.0.0.0", sources=SourcesSettings(allow_loopback=True))).loopback
    assert not SourcePolicy.of(Settings(sources=SourcesSettings(allow_loopback=False))).loopback


def test_credentials_are_taken_out_of_a_url():
    assert separated("rtsp://me:p%40ss@camera:554/1?a=b#c") == ("rtsp://camera:554/1?a=b", "me", "p@ss")
    assert separated("rtsp://me@camera/1") == ("rtsp://camera/1", "me", None)
    assert separated("rtsp://:pass@camera/1") == ("rtsp://camera/1", None, "pass")
    assert separated("rtsp://camera/1") == ("rtsp://camera/1", None, None)
    assert separated("/dev/video0") == ("/dev/video0", None, None)


def test_secrets_in_a_query_are_masked():
    url = "http://camera/video.cgi?user=me&pwd=hunter2&pass=hunter2&channel=1"
    assert shown(url) == "http://camera/video.cgi?user=me&pwd=***&pass=***&channel=1"


@pytest.mark.parametrize(
    ("url", "name"),
    [("rtsp://cam-3.local/1", "cam-3.local"), ("file:///srv/a%20b.mp4", "a b.mp4"), ("/dev/video0", "video0")],
)
def test_a_stream_without_a_name_is_called_by_its_source(url, name):
    assert title(url) == name


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://viewer:geheim@x#1@127.0.0.1/shop",
        "rtsp://viewer:ge#heim@127.0.0.1/shop",
        "rtsp://viewer:ge/heim@127.0.0.1/shop",
        "rtsp://viewer:ge[heim]x@127.0.0.1/shop",
        "rtsp://viewer:geh\u2100im@127.0.0.1/shop",
    ],
)
def test_of_a_url_whose_credentials_cannot_be_told_from_its_host_nothing_is_shown(url):
    with pytest.raises(SourceNotAllowed) as caught:
        separated(url)
    assert caught.value.code == "source_url_invalid"
    assert not any(part in str(caught.value) for part in ("viewer", "geh", "heim", "127.0.0.1", "shop", "'"))
