"""Cameras over HTTP: MJPEG, HLS and other streams. The server speaks HTTP itself, FFmpeg only takes the streams apart.

So every connection, that of a redirect or of a playlist's segment too, goes to an address that was resolved and checked
here, and nothing but http(s) is ever followed.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from urllib.parse import SplitResult

import av
import av.error
import httpx

from model_export.container import video_stream
from model_export.errors import VideoUnreadable, VidserveError
from server.core.addresses import refusal
from server.core.calls import Call, CallRow
from server.core.web_urls import web_url
from server.domain.stream import StreamSource
from server.worker.live.connection import Connection, Decoded, Patience
from server.worker.live.errors import (
    SourceInvalid,
    SourceLost,
    SourceNotFound,
    SourceNotVideo,
    SourceRefused,
    SourceSilent,
    SourceUnauthorized,
    SourceUnreachable,
)
from server.worker.live.hosts import PORTS, resolved
from server.worker.live.login import Login

_MOST_REDIRECTS = 5
_FORMATS = {
    "multipart/x-mixed-replace": "mpjpeg",
    "application/vnd.apple.mpegurl": "hls",
    "application/x-mpegurl": "hls",
    "audio/mpegurl": "hls",
    "audio/x-mpegurl": "hls",
    "video/mp2t": "mpegts",
    "video/x-flv": "flv",
}
"""What FFmpeg calls what the content type says; of any other it looks at the content."""
_OPTIONS = {
    "format_whitelist": "mpjpeg,mjpeg,hls,mpegts,flv,mov,matroska",
    "protocol_whitelist": "http,https",
    "http_persistent": "0",
    "fpsprobesize": "0",
}
_NO_URL = "It leads to something that is no URL."
_BULK = frozenset({"hls", "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})


def open_web(source: StreamSource, url: SplitResult, row: CallRow, max_pixels: int) -> Connection:
    """Open a camera over HTTP.

    Raises:
        SourceError: it cannot be opened.
        AddressRefused: it, or where it leads to, is where no camera may be.
    """
    try:
        own = web_url(source.url)
    except ValueError as error:
        raise SourceInvalid(f"The URL cannot be read: {error}.") from None
    # Beforehand: a name server that is slow must not look like a decoder that hangs.
    first = resolved(source, url.hostname or "", url.port or PORTS[url.scheme])
    patience = Patience()
    patience.begin(source.open_s)
    site = _Site(source, own, patience)
    site.known[url.hostname or "", url.port or PORTS[url.scheme]] = first
    try:
        with row.inside(Call.CONNECT):
            container = _container(site, source)
            stream = video_stream(container)
    except (av.error.FFmpegError, VideoUnreadable, OSError, ValueError):
        site.close()
        # What FFmpeg makes of a segment that could not be had says less than why it could not.
        raise site.failure or SourceNotVideo("What it sends is no video that can be read.") from None
    except BaseException:
        site.close()
        raise
    bulk = container.format.name in _BULK
    decoded = Decoded(container, stream, read_s=source.read_s, patience=patience, max_pixels=max_pixels, bulk=bulk)
    return _OnSite(decoded, site)


def _container(site: _Site, source: StreamSource) -> av.container.InputContainer:
    answer = site.get(source.url)
    kind = answer.kind
    if kind.startswith("text/html"):
        raise SourceNotVideo(
            "It answers with a web page.", hint="Check the path: cameras have one of the stream itself."
        )
    first: list[_Answer] = [answer]

    def open_io(url: str, flags: int, options: dict[str, str]) -> _Answer:
        return first.pop() if first else site.get(url, options)

    # Of HLS the picture's rate and size stand in the first segment; the others are shown as they come.
    options = _OPTIONS if _FORMATS.get(kind) == "hls" else {**_OPTIONS, "analyzeduration": "1"}
    return av.open(
        answer.url,
        format=_FORMATS.get(kind),
        options=options,
        io_open=open_io,
        timeout=(source.open_s, source.read_s),
    )


class _OnSite:
    """A source, and the connections that it reads from."""

    def __init__(self, decoded: Decoded, site: _Site) -> None:
        self.codec, self.fps = decoded.codec, decoded.fps
        self.bulk, self.recorded = decoded.bulk, False
        self.grab = decoded.grab
        self._decoded = decoded
        self._site = site

    def close(self) -> None:
        self._decoded.close()
        self._site.close()


class _Answer:
    """The body of an answer, as FFmpeg reads it.

    Attributes:
        url: that answered, after redirects.
        kind: its content type.
    """

    def __init__(self, url: str, response: httpx.Response, patience: Patience) -> None:
        self.url = url
        self.kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        self._response = response
        self._pieces: Iterator[bytes] = response.iter_raw()
        self._left = b""
        self._patience = patience

    def read(self, size: int) -> bytes:
        """At most `size` bytes, as soon as there are some; none at the end."""
        if not self._left:
            if self._patience.left_s <= 0:
                raise SourceSilent("What comes is too little.")
            try:
                self._left = next(self._pieces, b"")
            except httpx.TimeoutException:
                raise SourceSilent("Nothing comes any more.") from None
            except (httpx.HTTPError, httpx.StreamError, OSError):
                raise SourceLost("The connection broke off.") from None
        data, self._left = self._left[:size], self._left[size:]
        return data

    def close(self) -> None:
        self._response.close()


class _Site:
    """Answers from wherever a source leads to.

    Args:
        own: the source's URL; its credentials are for that host alone.

    Attributes:
        known: addresses by host and port, checked.
        failure: what went wrong last; FFmpeg passes it on as something else.
    """

    def __init__(self, source: StreamSource, own: httpx.URL, patience: Patience) -> None:
        self.known: dict[tuple[str, int], list[str]] = {}
        self.failure: VidserveError | None = None
        self._source = source
        self._patience = patience
        self._own = own
        self._clients: dict[bool, httpx.Client] = {}

    def get(self, url: str, options: dict[str, str] | None = None) -> _Answer:
        """
        Raises:
            SourceError, AddressRefused
        """
        try:
            return self._get(_followed(url), options or {})
        except VidserveError as error:
            self.failure = error
            raise

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _get(self, url: httpx.URL, options: dict[str, str]) -> _Answer:
        for _ in range(_MOST_REDIRECTS + 1):
            if url.scheme not in ("http", "https") or not url.host:
                raise SourceNotVideo(f"It leads to {url.scheme or 'something'}:, which is not followed.")
            response = self._ask(url, options)
            if not response.is_redirect:
                return self._checked(url, response)
            response.close()
            url = _followed(response.headers.get("location", ""), url)
        raise SourceRefused(f"It leads on and on, more than {_MOST_REDIRECTS} times.")

    def _ask(self, url: httpx.URL, options: dict[str, str]) -> httpx.Response:
        port = url.port or PORTS[url.scheme]
        addresses = self.known.get((url.host, port)) or resolved(self._source, url.host, port)
        self.known[url.host, port] = addresses
        refused = False
        for address in addresses:
            try:
                return self._send(url, address, options)
            except httpx.ConnectTimeout:
                continue
            except httpx.ConnectError as error:
                _complain_of_certificate(error)
                refused |= _caused_by(error, ConnectionRefusedError)
            except httpx.TimeoutException:
                raise SourceSilent("It is connected, and does not answer.") from None
            except (httpx.RemoteProtocolError, UnicodeError) as error:
                if _caused_by(error, (httpx.InvalidURL, UnicodeError)):  # httpx has looked where it leads
                    raise SourceNotVideo(_NO_URL) from None
                raise SourceNotVideo("What answers does not speak HTTP.", hint="Check the port.") from None
            except (httpx.HTTPError, OSError):
                raise SourceLost("The connection broke off.") from None
        where = f"{url.host}, port {port}"
        if refused:
            raise SourceRefused(f"Nobody listens at {where}.", hint="Check the port, and that the camera is on.")
        raise SourceUnreachable(f"There is no answer from {where}.")

    def _send(self, url: httpx.URL, address: str, options: dict[str, str]) -> httpx.Response:
        # Nobody can have a certificate for a camera in a private network.
        client = self._client(verify=refusal(address) is None)
        headers = {"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity", "User-Agent": "vidserve"}
        if "offset" in options or "end_offset" in options:
            end = int(options["end_offset"]) - 1 if "end_offset" in options else ""
            headers["Range"] = f"bytes={options.get('offset', 0)}-{end}"
        left_s = max(0.1, min(self._source.open_s, self._patience.left_s))
        request = client.build_request(
            "GET",
            url.copy_with(host=address, fragment=None, username=None, password=None),
            headers=headers,
            timeout=httpx.Timeout(self._source.read_s, connect=left_s),
            extensions={"sni_hostname": url.host},
        )
        mine = (url.scheme, url.host, url.port) == (self._own.scheme, self._own.host, self._own.port)
        secret = mine and bool(self._source.username or self._source.password)
        auth = Login(self._source.username, self._source.password) if secret else None
        return client.send(request, stream=True, auth=auth)

    def _client(self, *, verify: bool) -> httpx.Client:
        client = self._clients.get(verify)
        if client is None:
            trust: ssl.SSLContext | bool = _trust() if verify else False
            client = self._clients[verify] = httpx.Client(trust_env=False, verify=trust)
        return client

    def _checked(self, url: httpx.URL, response: httpx.Response) -> _Answer:
        status = response.status_code
        if status < 400:
            return _Answer(str(url.copy_with(username=None, password=None)), response, self._patience)
        response.close()
        if status == 401:
            if self._source.username or self._source.password:
                raise SourceUnauthorized("The camera does not accept the credentials.")
            raise SourceUnauthorized("The camera asks for credentials.", hint="Give `username` and `password`.")
        if status in (404, 410):
            raise SourceNotFound("The camera has no such path.", hint="Check the path of the URL.")
        raise SourceRefused(f"It answers {status}.")


def _followed(target: str, base: httpx.URL | None = None) -> httpx.URL:
    """
    Raises:
        SourceNotVideo: it is no URL.
    """
    try:
        return web_url(target if base is None else str(base.join(target)))
    except (httpx.InvalidURL, ValueError):
        raise SourceNotVideo(_NO_URL) from None


def _trust() -> ssl.SSLContext:
    trust = httpx.create_ssl_context(trust_env=False)
    trust.load_default_certs()
    return trust


def _complain_of_certificate(error: BaseException) -> None:
    if _caused_by(error, ssl.SSLError):
        raise SourceRefused("Its certificate cannot be trusted, or it does not speak TLS.") from None


def _caused_by(error: BaseException | None, kind: type[BaseException] | tuple[type[BaseException], ...]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False
