"""A stop is quick: who follows is let go in order, and nobody is waited for."""

import json
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from serving import Server
from websockets.sync.client import connect

SOON_S = 5.0
"""What is asked for within it takes a second where nothing else runs."""

pytestmark = pytest.mark.alone


def test_a_server_with_subscribers_and_a_job_stops_within_seconds_and_cuts_nobody_off(tmp_path, long_video):
    server = Server(tmp_path)
    with ExitStack() as stack:
        stack.callback(server.kill)
        server.wait_ready()
        children = server.children("server.")
        job = server.post(long_video)
        client = stack.enter_context(httpx.Client(base_url=server.client.base_url, timeout=60))
        events = stack.enter_context(client.stream("GET", f"/v1/jobs/{job['id']}/subscribe")).iter_lines()
        socket = stack.enter_context(connect(f"ws://127.0.0.1:{server.port}/v1/ws"))
        assert next(events).startswith("retry")
        began = time.monotonic()
        server.process.terminate()
        assert 'data: {"type":"closed","reason":"stopping"}' in list(events)
        assert json.loads(socket.recv(timeout=60))["event"] == "closed"
        assert server.process.wait(60) == 0
        assert time.monotonic() - began < SOON_S
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "graceful shutdown exceeded" not in log
