"""Subscribers by the hundred in one process, as bare sockets, so that they cost little beside the server.

    python -m benchmarks.listeners PORT PATH READING IDLE WARM_S SECONDS     (prints what they saw as JSON)

Those that are idle send their request and read nothing until the seconds are over.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
import time

_SENT = re.compile(rb'"sent":([0-9.]+)')
_FRAME = re.compile(rb'"frame":([0-9]+)')
_GAP = re.compile(rb'event: gap\ndata: .*?"value":([0-9]+)')
_SMALL = 8192
"""The receive buffer of an idle one: what it does not read must not hide there."""


class Reader(asyncio.Protocol):
    """Reads all it can, and notes how old each result is when it comes."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.ages: list[tuple[float, float]] = []
        self.frames: list[int] = []
        self.gaps: list[int] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        whole, _, rest = (self._rest + data).rpartition(b"\n")
        self._rest = rest
        for sent in _SENT.findall(whole):
            self.ages.append((now, now - float(sent)))
        self.frames += [int(frame) for frame in _FRAME.findall(whole)]
        self.gaps += [int(lost) for lost in _GAP.findall(whole)]


async def listen(port: int, path: str, reading: int, idle: int, warm_s: float, seconds: float) -> dict[str, object]:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    readers: list[Reader] = []
    idlers: list[Reader] = []
    for number in range(reading + idle):
        connection = socket.socket()
        if number >= reading:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
        connection.setblocking(False)
        await loop.sock_connect(connection, ("127.0.0.1", port))
        _, one = await loop.create_connection(lambda: Reader(request), sock=connection)
        if number >= reading:
            one.transport.pause_reading()
        (readers if number < reading else idlers).append(one)
    began = time.monotonic() + warm_s
    await asyncio.sleep(warm_s + seconds)
    ages = sorted(age for reader in readers for at, age in reader.ages if at >= began)
    missed = sum(reader.frames[-1] - reader.frames[0] + 1 - len(reader.frames) for reader in readers if reader.frames)
    until = time.monotonic() + 5
    for one in idlers:
        one.transport.resume_reading()
    while time.monotonic() < until and not all(one.gaps for one in idlers):
        await asyncio.sleep(0.1)
    lost_right = sum(sum(one.gaps) == _holes(one.frames) for one in idlers if one.gaps)
    for one in (*readers, *idlers):
        one.transport.abort()
    return {
        "results": len(ages),
        "p50": ages[len(ages) // 2],
        "p95": ages[int(len(ages) * 0.95)],
        "max": ages[-1],
        "missed": missed,
        "gaps": sum(bool(one.gaps) for one in idlers),
        "gaps_right": lost_right,
    }


def _holes(frames: list[int]) -> int:
    return frames[-1] - frames[0] + 1 - len(frames)


def main() -> None:
    port, path, reading, idle, warm_s, seconds = sys.argv[1:]
    seen = asyncio.run(listen(int(port), path, int(reading), int(idle), float(warm_s), float(seconds)))
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
