"""A stop is quick: who follows is let go in order, and nobody is waited for."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from letting_go import stopped_under_subscribers
from serving import Server

SOON_S = 5.0
"""What is asked for within it takes a second where nothing else runs."""

pytestmark = pytest.mark.alone


def test_a_server_with_subscribers_and_a_job_stops_within_seconds_and_cuts_nobody_off(tmp_path, long_video):
    server = Server(tmp_path, anew=True)
    with ExitStack() as stack:
        stack.callback(server.kill)
        server.wait_ready()
        children = server.children("server.")
        assert len(children) >= 2
        job = server.post(long_video)
        assert stopped_under_subscribers(server, f"/v1/jobs/{job['id']}/subscribe") < SOON_S
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "graceful shutdown exceeded" not in log
