"""Cameras over HTTP: MJPEG, HLS, and a page that is no camera at all."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Mapping
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import av

from tests.cameras.material import Material

_BOUNDARY = "picture"
_PAGE = b"<!doctype html><title>Camera</title><p>Please log in.</p>"
_SEGMENT_S = 1.0
_LISTED = 4
_TICKS = Fraction(1, 90_000)


class WebServer:
    """`/NAME.mjpg` for material in JPEG, `/NAME.m3u8` (live HLS, segments of a second) for H.264, `/page.html`.

    Args:
        shows: what each camera shows, in a loop, by name.
        once: names of MJPEG cameras that end when all was shown.
        login: name and password that all of them ask for; None: nothing.
    """

    def __init__(
        self, shows: Mapping[str, Material], *, once: frozenset[str] = frozenset(), login: tuple[str, str] | None = None
    ) -> None:
        self._shows = dict(shows)
        self._once = once
        self._segments = {name: _segments(show) for name, show in shows.items() if show.codec == "h264"}
        self._word = "Basic " + base64.b64encode(":".join(login).encode()).decode() if login else None
        self._epoch = time.time() - (_LISTED + 1) * _SEGMENT_S
        self._flowing = threading.Event()
        self._flowing.set()
        self._hung_up = 0
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def start(self) -> None:
        """Listen, also again after `stop`, at the same port."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self._server is None:
            return
        self._hung_up += 1
        self._server.shutdown()
        self._server.server_close()
        self._server = None

    def freeze(self) -> None:
        """Send no more pictures, but keep connections open."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def drop(self) -> None:
        """Close the connections of MJPEG cameras; who comes again is served."""
        self._hung_up += 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if web._word is not None and self.headers.get("Authorization") != web._word:
                    self._send(401, b"", "text/plain", ("WWW-Authenticate", 'Basic realm="camera"'))
                    return
                name, _, kind = self.path.strip("/").partition(".")
                if kind == "mjpg" and name in web._shows:
                    self._pictures(web._shows[name], once=name in web._once)
                elif kind == "m3u8" and name in web._segments:
                    self._send(200, web._playlist(name), "application/vnd.apple.mpegurl")
                elif kind.endswith("ts") and name in web._segments:
                    segments = web._segments[name]
                    self._send(200, segments[int(kind.removesuffix(".ts")) % len(segments)], "video/mp2t")
                elif self.path == "/page.html":
                    self._send(200, _PAGE, "text/html")
                else:
                    self._send(404, b"", "text/plain")

            def _send(self, status: int, body: bytes, kind: str, *headers: tuple[str, str]) -> None:
                self.send_response(status)
                for header, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *headers):
                    self.send_header(header, value)
                self.end_headers()
                self.wfile.write(body)

            def _pictures(self, show: Material, *, once: bool) -> None:
                self.send_response(200)
                self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
                self.end_headers()
                calls, start, number = web._hung_up, time.monotonic(), 0
                while calls == web._hung_up and not (once and number >= len(show.units)):
                    turn, index = divmod(number, len(show.units))
                    due = start + turn * show.duration_s + show.units[index].dts_s
                    time.sleep(max(0.0, due - time.monotonic()))
                    if web._flowing.wait(0.1):
                        data = show.units[index].data
                        head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                        self.wfile.write(head.encode() + data + b"\r\n")
                        number += 1

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True  # the client has gone

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def _playlist(self, name: str) -> bytes:
        """The last segments that have been filmed by now."""
        count = len(self._segments[name])
        first = int((time.time() - self._epoch) / _SEGMENT_S) - _LISTED
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{_SEGMENT_S:.0f}"]
        lines += [f"#EXT-X-MEDIA-SEQUENCE:{first}", f"#EXT-X-DISCONTINUITY-SEQUENCE:{first // count}"]
        for number in range(first, first + _LISTED):
            if number % count == 0 and number > first:
                lines.append("#EXT-X-DISCONTINUITY")
            lines += [f"#EXTINF:{_SEGMENT_S:.3f},", f"{name}.{number}.ts"]
        return "\n".join([*lines, ""]).encode()


def _segments(show: Material) -> list[bytes]:
    """The material as MPEG-TS, cut at each second."""
    found = []
    for number in range(round(show.duration_s / _SEGMENT_S)):
        begin, end = number * _SEGMENT_S, (number + 1) * _SEGMENT_S
        file = io.BytesIO()
        with av.open(file, "w", format="mpegts") as container:
            stream = container.add_mux_stream(
                "h264", rate=round(show.fps), width=show.size_wh[0], height=show.size_wh[1]
            )
            for unit in show.units:
                if begin <= unit.dts_s < end:
                    packet = av.Packet(unit.data)
                    packet.stream, packet.time_base, packet.is_keyframe = stream, _TICKS, unit.key
                    packet.dts, packet.pts = round(unit.dts_s / _TICKS), round(unit.pts_s / _TICKS)
                    container.mux(packet)
        found.append(file.getvalue())
    return found
