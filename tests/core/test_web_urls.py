import pytest

from server.core.web_urls import web_url


@pytest.mark.parametrize(
    "url",
    ["http://a/b", "https://a:65535/b?c#d", "http://[::1]:1/", "http://bücher.example/", "http://xn--bcher-kva.de/"],
)
def test_what_can_be_asked_is_read(url):
    assert web_url(url).host


@pytest.mark.parametrize(
    "url",
    [
        "http://①②⑦.0.0.1/x",
        "http://xn--0/",
        "http://xn--a/",
        "http://a:0/",
        "http://a:65536/",
        "http://[::1",
        "http://a\0/",
    ],
)
def test_what_would_be_stumbled_over_when_it_is_asked_is_no_url(url):
    with pytest.raises(ValueError, match=r"[^.]$"):
        web_url(url)
