"""A server that is stopped while somebody follows what happens."""

from __future__ import annotations

import json
import time

import httpx
from serving import Server
from websockets.sync.client import connect


def stopped_under_subscribers(server: Server, url: str) -> float:
    """Stop a server that is followed at `url` and over a socket, and see that both are told; seconds until its end."""
    with (
        httpx.Client(base_url=server.client.base_url, timeout=60) as client,
        client.stream("GET", url) as answer,
        connect(f"ws://127.0.0.1:{server.port}/v1/ws") as socket,
    ):
        lines = answer.iter_lines()
        assert next(lines).startswith("retry")
        began = time.monotonic()
        server.process.terminate()
        assert 'data: {"type":"closed","reason":"stopping"}' in list(lines)
        assert json.loads(socket.recv(timeout=60))["event"] == "closed"
    assert server.process.wait(60) == 0
    return time.monotonic() - began
