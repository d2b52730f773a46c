import asyncio
import contextlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from server.core.errors import FetchFailed, FetchTimeout, StorageFull, UploadTooLarge, UrlRefused
from server.storage.fetch import check_url, fetch, shown
from server.storage.uploads import Uploads

PUBLIC = "93.184.216.34"
VIDEO = bytes(range(256)) * 20_000


class Site:
    """A web server on loopback: `pages` maps a path to (status, headers, body)."""

    def __init__(self):
        self.pages = {}
        self.requests = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.requests.append((self.path, dict(self.headers)))
                status, headers, body = site.pages[self.path.partition("?")[0]]
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                if headers.get("X-Slow"):
                    site.released.wait(10)
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.released = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def stop(self):
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def site():
    site = Site()
    site.pages["/a.mp4"] = (200, {"Content-Type": "video/mp4"}, VIDEO)
    yield site
    site.stop()


class Names:
    """A resolver that knows what it was told, and remembers what it was asked."""

    def __init__(self, **hosts):
        self.hosts = {name.replace("_", "."): found for name, found in hosts.items()}
        self.asked = []

    async def __call__(self, host, port):
        self.asked.append(host)
        found = self.hosts.get(host, [host])
        if isinstance(found, Exception):
            raise found
        return found


def get(url, folder, names=None, *, limit=10**8, timeout_s=20, allow_private=True):
    return asyncio.run(
        fetch(
            url,
            Uploads(folder),
            limit=limit,
            timeout_s=timeout_s,
            allow_private=allow_private,
            resolve=names or Names(),
        )
    )


def nothing_in(folder):
    return not folder.exists() or not list(folder.iterdir())


def test_a_video_arrives_byte_for_byte(site, tmp_path):
    upload = get(f"http://127.0.0.1:{site.port}/a.mp4", tmp_path)
    assert upload.path.read_bytes() == VIDEO
    assert (upload.name, upload.size) == ("a.mp4", len(VIDEO))


def test_the_connection_goes_to_the_address_that_was_checked_under_the_name_that_was_asked(site, tmp_path):
    names = Names(video_test=["127.0.0.1"])
    get(f"http://video.test:{site.port}/a.mp4", tmp_path, names)
    assert names.asked == ["video.test"]
    ((_, headers),) = site.requests
    assert headers["Host"] == f"video.test:{site.port}"


def test_the_next_address_is_tried_when_one_does_not_answer(site, tmp_path):
    names = Names(video_test=["127.0.0.2", "127.0.0.1"])
    assert get(f"http://video.test:{site.port}/a.mp4", tmp_path, names).size == len(VIDEO)


def test_a_user_and_a_password_in_the_url_are_sent_and_never_shown(site, tmp_path):
    get(f"http://me:secret@127.0.0.1:{site.port}/a.mp4", tmp_path)
    assert site.requests[0][1]["Authorization"].startswith("Basic ")
    assert shown("https://me:secret@example.com:8443/a.mp4?token=x#y") == "https://example.com:8443/a.mp4"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a",
        "http://[::1]/a",
        "http://[::ffff:10.0.0.1]/a",
        "http://localhost/a",
        "http://LOCALHOST./a",
        "http://a.localhost/a",
        "https://10.0.0.1/a",
    ],
)
def test_a_private_address_is_refused_at_once_and_the_setting_is_named(url):
    with pytest.raises(UrlRefused) as refused:
        check_url(url, allow_private=False)
    assert "[jobs] allow_private_urls" in refused.value.hint
    check_url(url, allow_private=True)


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]", "100.100.100.200"])
@pytest.mark.parametrize("allowed", [False, True])
def test_no_setting_allows_link_local_and_metadata_addresses(site, tmp_path, host, allowed):
    with pytest.raises(UrlRefused) as refused:
        check_url(f"http://{host}/latest/meta-data", allow_private=allowed)
    assert "No setting allows it" in refused.value.hint
    with pytest.raises(UrlRefused, match="video"):
        get("http://video.test/a", tmp_path, Names(video_test=[host.strip("[]")]), allow_private=allowed)
    site.pages["/go"] = (302, {"Location": f"http://{host}/latest/meta-data"}, b"")
    with pytest.raises(UrlRefused):
        get(f"http://127.0.0.1:{site.port}/go", tmp_path)


@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_a_port_that_there_is_not_is_refused_at_once_and_behind_a_redirect(site, tmp_path, port):
    with pytest.raises(UrlRefused, match=f"no port {port}"):
        check_url(f"http://127.0.0.1:{port}/x", allow_private=True)
    site.pages["/go"] = (302, {"Location": f"http://127.0.0.1:{port}/x"}, b"")
    with pytest.raises(UrlRefused, match=f"no port {port}"):
        get(f"http://127.0.0.1:{site.port}/go", tmp_path)


@pytest.mark.parametrize("host", ["①②⑦.0.0.1", "xn--0", "xn--a"])
def test_a_host_that_cannot_be_a_name_is_refused_at_once_and_behind_a_redirect(site, tmp_path, host):
    with pytest.raises(UrlRefused, match="cannot be read"):
        check_url(f"http://{host}/x", allow_private=True)
    # As a header has it: in bytes.
    site.pages["/go"] = (302, {"Location": f"http://{host.encode().decode('latin-1')}/x"}, b"")
    with pytest.raises(FetchFailed):
        get(f"http://127.0.0.1:{site.port}/go", tmp_path)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.com/a", "rtsp://example.com/a", "a.mp4", "http://", ""]
)
def test_what_is_not_a_web_address_is_refused_even_where_private_ones_are_allowed(url):
    with pytest.raises(UrlRefused):
        check_url(url, allow_private=True)


@pytest.mark.parametrize(
    "url", ["http://me:geheim@x#1@video.test/a", "http://me:ge/heim@video.test/a", "http://me:a b@"]
)
def test_of_a_url_that_cannot_be_read_nothing_is_shown(url):
    for reading in (shown, lambda url: check_url(url, allow_private=True)):
        with pytest.raises(UrlRefused) as refused:
            reading(url)
        assert not any(part in str(refused.value) for part in ("me:", "heim", "video.test"))


@pytest.mark.parametrize("found", [["127.0.0.1"], [PUBLIC, "127.0.0.1"], ["::ffff:10.0.0.1"], ["169.254.169.254"]])
def test_a_name_with_a_private_address_is_refused(site, tmp_path, found):
    with pytest.raises(UrlRefused, match="video"):
        get(f"http://video.test:{site.port}/a.mp4", tmp_path, Names(video_test=found), allow_private=False)
    assert site.requests == []


def test_numbers_that_the_system_reads_as_loopback_are_refused(tmp_path):
    for host in ("2130706433", "0x7f.1", "127.1"):
        with pytest.raises((UrlRefused, FetchFailed)):
            asyncio.run(fetch(f"http://{host}/a", Uploads(tmp_path), limit=1, timeout_s=9, allow_private=False))


def test_a_redirect_is_checked_like_the_first_address(site, tmp_path):
    site.pages["/go"] = (302, {"Location": "file:///etc/passwd"}, b"")
    with pytest.raises(UrlRefused, match="file"):
        get(f"http://127.0.0.1:{site.port}/go", tmp_path)


def test_redirects_are_followed_and_relative_ones_understood(site, tmp_path):
    site.pages["/1"] = (301, {"Location": f"http://video.test:{site.port}/2"}, b"")
    site.pages["/2"] = (307, {"Location": "a.mp4"}, b"")
    names = Names(video_test=["127.0.0.1"])
    assert get(f"http://127.0.0.1:{site.port}/1", tmp_path, names).name == "a.mp4"
    assert names.asked == ["127.0.0.1", "video.test", "video.test"]


def test_a_password_does_not_travel_to_another_host(site, tmp_path):
    site.pages["/1"] = (302, {"Location": f"http://video.test:{site.port}/a.mp4"}, b"")
    get(f"http://me:secret@127.0.0.1:{site.port}/1", tmp_path, Names(video_test=["127.0.0.1"]))
    assert "Authorization" not in site.requests[1][1]


def test_redirects_that_never_end_are_given_up(site, tmp_path):
    site.pages["/1"] = (302, {"Location": "/1"}, b"")
    with pytest.raises(FetchFailed, match="redirects"):
        get(f"http://127.0.0.1:{site.port}/1", tmp_path)
    assert len(site.requests) == 6


def test_a_file_that_says_it_is_too_large_is_not_fetched(site, tmp_path):
    with pytest.raises(UploadTooLarge):
        get(f"http://127.0.0.1:{site.port}/a.mp4", tmp_path, limit=1000)
    assert nothing_in(tmp_path)


def test_a_file_that_turns_out_too_large_is_given_up(site, tmp_path):
    site.pages["/a.mp4"] = (200, {"Content-Length": ""}, VIDEO)
    with pytest.raises(UploadTooLarge):
        get(f"http://127.0.0.1:{site.port}/a.mp4", tmp_path, limit=1000)
    assert nothing_in(tmp_path)


def test_a_file_that_cannot_fit_on_the_disk_is_refused(site, tmp_path):
    site.pages["/a.mp4"] = (200, {"Content-Length": str(2**60)}, b"")
    with pytest.raises(StorageFull):
        get(f"http://127.0.0.1:{site.port}/a.mp4", tmp_path, limit=2**62)
    assert nothing_in(tmp_path)


@pytest.mark.parametrize("status", [204, 206, 401, 404, 500])
def test_an_answer_that_is_not_the_file_is_an_error_that_says_so(site, tmp_path, status):
    site.pages["/a.mp4"] = (status, {}, b"")
    with pytest.raises(FetchFailed, match=f"answered {status}"):
        get(f"http://127.0.0.1:{site.port}/a.mp4?token=secret", tmp_path)


def test_an_error_says_what_a_status_means_and_not_what_another_server_says_of_it(tmp_path):
    phrase = b"\x1b[2J" + b"x" * 4000
    for head, said in ((b"404 " + phrase, "answered 404 Not Found."), (b"599 " + phrase, "answered 599.")):
        with saying(b"HTTP/1.1 " + head + b"\r\nContent-Length: 0\r\n\r\n") as port:
            with pytest.raises(FetchFailed) as failed:
                get(f"http://127.0.0.1:{port}/a.mp4", tmp_path)
            assert failed.value.message.endswith(said)
    with saying(b"HTTP/1.1 200 OK\r\n" + phrase + b"\r\n\r\n") as port:
        with pytest.raises(FetchFailed, match="cannot be reached") as failed:
            get(f"http://127.0.0.1:{port}/a.mp4", tmp_path)
        assert failed.value.message.isprintable()
        assert len(failed.value.message) < 300


@contextlib.contextmanager
def saying(answer):
    """A server that says this to whoever asks."""

    def body():
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=body)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("said", ["identity", "Identity", " IDENTITY "])
def test_content_that_is_said_not_to_be_compressed_arrives(site, tmp_path, said):
    site.pages["/a.mp4"] = (200, {"Content-Encoding": said}, VIDEO)
    assert get(f"http://127.0.0.1:{site.port}/a.mp4", tmp_path).size == len(VIDEO)


def test_compressed_content_is_refused(site, tmp_path):
    site.pages["/a.mp4"] = (200, {"Content-Encoding": "gzip"}, b"x")
    with pytest.raises(FetchFailed, match="compressed"):
        get(f"http://127.0.0.1:{site.port}/a.mp4", tmp_path)


def test_a_connection_that_breaks_off_leaves_nothing(site, tmp_path):
    site.pages["/a.mp4"] = (200, {"Content-Length": str(len(VIDEO) + 1)}, VIDEO)
    with pytest.raises(FetchFailed, match="broke off"):
        get(f"http://127.0.0.1:{site.port}/a.mp4", tmp_path)
    assert nothing_in(tmp_path)


def test_a_server_that_is_not_there_or_not_known_is_named(site, tmp_path):
    site.stop()
    with pytest.raises(FetchFailed, match="cannot be reached"):
        get(f"http://127.0.0.1:{site.port}/a.mp4", tmp_path)
    with pytest.raises(FetchFailed, match="not known"):
        get("http://video.test/a.mp4", tmp_path, Names(video_test=OSError("no such host")))


def test_a_server_that_takes_too_long_is_given_up_and_nothing_is_left(site, tmp_path):
    site.pages["/a.mp4"] = (200, {"X-Slow": "1"}, VIDEO)
    begun = time.monotonic()
    with pytest.raises(FetchTimeout, match=r"0\.3 s"):
        get(f"http://127.0.0.1:{site.port}/a.mp4", tmp_path, timeout_s=0.3)
    assert time.monotonic() - begun < 10
    assert nothing_in(tmp_path)
