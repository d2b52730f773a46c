import pytest

from server.core.authority import is_unclear


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://viewer:geheim@x#1@127.0.0.1/shop",
        "rtsp://viewer:ge#heim@camera/1",
        "rtsp://viewer:ge/heim@camera/1",
        "rtsp://viewer:ge?heim@camera/1",
        "rtsp://viewer:12/34@camera/1",
        "rtsp://viewer:12#34@camera/1",
        "rtsp://viewer:ge\\heim@camera/1",
        "rtsp://viewer:geheim",
        "http://[::1]:geheim/1",
    ],
)
def test_a_url_in_which_a_password_may_be_cut_in_two_is_unclear(url: str) -> None:
    assert is_unclear(url)


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://camera/1",
        "rtsp://camera:554/1?a=b",
        "rtsp://viewer:ge@heim@camera:554/1",
        "rtsp://viewer:ge%23heim%2F@camera/1",
        "rtsp://[fd00::1]:554/1",
        "rtsp://[fd00::1]/1",
        "https://example.com/@someone/live.m3u8",
        "https://example.com/npm/video@1.2/a.mp4?mail=a@b",
        "file:///videos/a:b@c.mp4",
        "/dev/v4l/by-id/usb-Acme@1:0",
        "",
    ],
)
def test_a_url_whose_credentials_have_a_plain_end_is_clear(url: str) -> None:
    assert not is_unclear(url)
