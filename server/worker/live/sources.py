"""How each kind of source is opened: RTSP, HTTP (MJPEG, HLS), a device, a file.

Each is opened with those demultiplexers and protocols of FFmpeg alone that it needs: nothing that a camera says makes
FFmpeg read a file or go to an address that was not checked. Names are resolved here, at each connection, and FFmpeg is
given the number that was checked. Credentials are put into what FFmpeg is given at that moment, and into nothing else:
its own errors carry the URL, so they are never passed on.

PyAV and not OpenCV, though both have the same FFmpeg inside and give the same pixels: OpenCV takes options from a
variable of the whole process, and while it opens one source no other can be opened with other ones; and it does not say
why it failed.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, quote, unquote

import av
import av.error
import certifi
from av.container import InputContainer

from model_export.container import decoder_options, open_container, video_stream
from model_export.errors import VideoUnreadable
from server.core.addresses import refusal
from server.core.authority import UrlUnreadable, split
from server.core.calls import Call, CallRow
from server.domain.stream import StreamSource
from server.worker.live.connection import Connection, Decoded, Patience
from server.worker.live.errors import (
    SourceError,
    SourceInvalid,
    SourceNotFound,
    SourceNotVideo,
    SourceRefused,
    SourceSilent,
    SourceUnauthorized,
    SourceUnreachable,
)
from server.worker.live.hosts import PORTS, resolved

OpenLive = Callable[[StreamSource, CallRow], Connection]
"""Opens a source; its thread is in `Call.CONNECT` meanwhile. Raises a SourceError or AddressRefused."""


class OpenLiveLimited(Protocol):
    """As `OpenLive`, of frames with at most so many pixels."""

    def __call__(self, source: StreamSource, row: CallRow, *, max_pixels: int) -> Connection: ...


# A stream is shown as soon as it comes, so nothing is read ahead to guess what it does not say.
_AT_ONCE = {"analyzeduration": "1", "fpsprobesize": "0", "probesize": "32"}
_LOOK_S = 2.0


def open_live(source: StreamSource, row: CallRow, *, max_pixels: int) -> Connection:
    """Open a source of any kind.

    Args:
        max_pixels: of a frame.

    Raises:
        SourceError: it cannot be opened.
        AddressRefused: it is where no camera may be.
    """
    url = _split(source.url)
    if url.scheme in ("rtsp", "rtsps"):
        return _open_rtsp(source, url, row, max_pixels)
    if url.scheme in ("http", "https"):
        # Only workers with such a camera need what speaks HTTP: it takes some megabytes.
        from server.worker.live.web import open_web

        return open_web(source, url, row, max_pixels)
    if url.scheme == "file":
        return _open_file(source, Path(unquote(url.path)), row, max_pixels)
    if source.url.startswith("/dev/"):
        return _open_device(source, row, max_pixels)
    raise SourceInvalid(
        f"There are no sources of the kind {url.scheme or source.url.partition('?')[0]!r}.",
        hint="Write rtsp://HOST/PATH, http://HOST/PATH, file:///PATH or /dev/video0.",
    )


def _split(text: str) -> SplitResult:
    try:
        url = split(text)
    except UrlUnreadable as error:
        raise SourceInvalid(str(error), hint=error.hint) from None
    if url.scheme in PORTS and (not url.hostname or url.port == 0):
        raise SourceInvalid("The URL names no host, or port 0.", hint=f"Write {url.scheme}://HOST/PATH.")
    return url


def _open_rtsp(source: StreamSource, url: SplitResult, row: CallRow, max_pixels: int) -> Connection:
    host, port = url.hostname or "", url.port or PORTS[url.scheme]
    secure = url.scheme == "rtsps"
    options = {
        "rtsp_transport": str(source.transport),
        "allowed_media_types": "video",
        "format_whitelist": "rtsp",
        # Neither rtsp nor rtsps is among them, so that FFmpeg follows no redirect: nobody has looked where it leads.
        "protocol_whitelist": "rtp,udp,tcp,tls" if secure else "rtp,udp,tcp",
        "user_agent": "vidserve",
        # What comes in pieces is put together here; `Decoded` takes this back for codecs where it must not be so.
        "fflags": "noparse+nofillin",
        **_AT_ONCE,
    }
    until = time.monotonic() + source.open_s
    failure: SourceError = SourceUnreachable(f"{host} has no address.")
    for address in resolved(source, host, port):
        left_s = until - time.monotonic()
        if left_s <= 0:
            break
        # A server of the internet must prove that it has the name, and may need to be told which: FFmpeg tells none to
        # a number. Where else the name leads meanwhile, nobody can prove it. In a private network nobody can at all.
        proven = secure and refusal(address) is None
        there = _with_credentials(source, url, host if proven else address, port)
        asked = options | ({"tls_verify": "1", "ca_file": _trusted()} if proven else {})
        try:
            with row.inside(Call.CONNECT):
                container = av.open(there, format="rtsp", options=asked, timeout=(left_s, source.read_s))
                if time.monotonic() < until:
                    return _decoded(container, source, max_pixels)
                # FFmpeg gives up waiting for the first packet without a word; it would be waited for once more.
                container.close()
                failure = SourceSilent(f"It is connected, and has sent no picture for {source.open_s:g} seconds.")
        except (av.error.FFmpegError, OSError) as error:
            # FFmpeg takes a server that says nothing till the end for one that says nonsense.
            late = time.monotonic() >= until
            failure = _no_answer(source, address, port) if late else _reason(error, source, address, port)
            if proven and isinstance(error, OSError) and error.errno == errno.EIO:
                failure = SourceRefused("Its certificate cannot be trusted, or it does not speak TLS.")
        if not isinstance(failure, SourceUnreachable | SourceRefused):
            break
    raise failure


def _open_device(source: StreamSource, row: CallRow, max_pixels: int) -> Connection:
    path = Path(source.url)
    if not path.exists():
        raise SourceNotFound(f"There is no device {path}.", hint="Check that it is plugged in.")
    try:
        with row.inside(Call.CONNECT):
            container = av.open(
                str(path), format="v4l2", options={"protocol_whitelist": "file"}, timeout=(source.open_s, source.read_s)
            )
            return _decoded(container, source, max_pixels)
    except PermissionError as error:
        raise SourceRefused(f"The server may not read {path}.", hint="Let its user into the group `video`.") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceNotVideo(f"{path} is no camera that can be read.") from error


def _open_file(source: StreamSource, path: Path, row: CallRow, max_pixels: int) -> Connection:
    if not path.is_file():
        raise SourceNotFound(f"There is no file {path.name}.", hint="Check the path.")
    try:
        with row.inside(Call.CONNECT):
            container = open_container(path, decoder_options(max_pixels))
            return _decoded(container, source, max_pixels, bulk=True, recorded=True)
    except VideoUnreadable as error:
        raise SourceNotVideo(error.message, hint=error.hint) from error


def _decoded(
    container: InputContainer, source: StreamSource, max_pixels: int, *, bulk: bool = False, recorded: bool = False
) -> Decoded:
    try:
        return Decoded(
            container,
            video_stream(container),
            read_s=source.read_s,
            patience=Patience(),
            max_pixels=max_pixels,
            bulk=bulk,
            recorded=recorded,
        )
    except VideoUnreadable as error:
        container.close()
        raise SourceNotVideo("It sends no pictures.") from error


def _with_credentials(source: StreamSource, url: SplitResult, host: str, port: int) -> str:
    """The URL as FFmpeg is to open it: secrets and all."""
    login = ""
    if source.username or source.password:
        login = f"{quote(source.username, safe='')}:{quote(source.password, safe='')}@"
    place = f"[{host}]" if ":" in host else host
    return url._replace(netloc=f"{login}{place}:{port}", fragment="").geturl()


def _trusted() -> str:
    """The file of certificates that this machine trusts."""
    return ssl.get_default_verify_paths().cafile or certifi.where()


def _reason(error: Exception, source: StreamSource, address: str, port: int) -> SourceError:
    """Why RTSP could not be opened; without FFmpeg's own text, in which the URL is."""
    where = f"{address}, port {port}"
    match error:
        case av.error.HTTPUnauthorizedError():
            if source.username or source.password:
                return SourceUnauthorized("The camera does not accept the credentials.")
            return SourceUnauthorized("The camera asks for credentials.", hint="Give `username` and `password`.")
        case av.error.HTTPNotFoundError():
            return SourceNotFound("The camera has no stream of that path.", hint="Check the path of the URL.")
        case av.error.HTTPForbiddenError() | av.error.HTTPClientError() | av.error.HTTPServerError():
            return SourceRefused("The camera answers with an error.", hint="It may have as many viewers as it serves.")
        case ConnectionRefusedError():
            return SourceRefused(f"Nobody listens at {where}.", hint="Check the port, and that the camera is on.")
        case av.error.ExitError() | TimeoutError():
            return _no_answer(source, address, port)
        case av.error.ArgumentError():
            return SourceRefused("The camera sends elsewhere, which is not followed.", hint="Give that URL itself.")
        case av.error.InvalidDataError():
            return SourceNotVideo("What answers does not speak RTSP.", hint="Check the port and the kind of URL.")
        case av.error.EOFError() | ConnectionResetError() | BrokenPipeError():
            return SourceRefused("The connection was closed without an answer.")
        case _:
            return SourceUnreachable(f"There is no way to {where}.")


def _no_answer(source: StreamSource, address: str, port: int) -> SourceError:
    """FFmpeg's patience is at its end, and it does not say with what: the connection, or the answer."""
    try:
        socket.create_connection((address, port), _LOOK_S).close()
    except OSError:
        return SourceUnreachable(f"There is no answer from {address}, port {port}.")
    return SourceSilent(f"It has said nothing for {source.open_s:g} seconds.")
