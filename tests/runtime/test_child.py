import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
import zmq.asyncio
from child_that import Orders

from server.runtime.child import Child, Patience
from server.runtime.hub import Hub
from server.wire.messages import Heartbeat, WorkerReady

QUICK = Patience(ready_s=5, silence_s=0.6, stop_s=1, crashes=3, crashes_s=60, pause_s=0.01)


class Nursery:
    """A hub and one child that does as told."""

    def __init__(self, folder, does):
        self.context = zmq.asyncio.Context()
        self.hub = Hub(self.context, f"ipc://{folder}/api", 1)
        self.lost, self.back = [], 0
        self.child = Child(
            "child",
            "child_that",
            lambda incarnation: Orders(self.hub.address, incarnation, does),
            send=lambda message: self.hub.send("child", message),
            lost=self.lost.append,
            back=self._back,
            patience=QUICK,
        )
        self.hub.on(WorkerReady, lambda r: self.child.heard(r.header.incarnation) and self.child.said_ready())
        self.hub.on(Heartbeat, lambda r: self.child.heard(r.header.incarnation))

    def _back(self):
        self.back += 1

    async def __aenter__(self):
        self.hub.start()
        self.child.start()
        return self

    async def __aexit__(self, *_):
        await self.child.stop()
        await self.hub.close()
        self.context.term()


async def until(what, seconds=15):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not happen"
        await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))


def journey(folder, does, body):
    async def run():
        async with Nursery(folder, does) as nursery:
            await body(nursery)

    asyncio.run(run())


def test_a_killed_child_has_a_successor(tmp_path):
    async def body(nursery):
        await until(lambda: nursery.back == 1)
        first = nursery.child.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: nursery.back == 2)
        assert nursery.lost == ["sigkill"]
        assert nursery.child.pid != first
        assert nursery.child.incarnation == 2
        assert nursery.child.ready

    journey(tmp_path, "lives", body)


def test_a_stopped_child_counts_as_dead(tmp_path):
    async def body(nursery):
        await until(lambda: nursery.back == 1)
        os.kill(nursery.child.pid, signal.SIGSTOP)
        await until(lambda: nursery.back == 2)
        assert nursery.lost == ["silent"]

    journey(tmp_path, "lives", body)


def test_running_is_not_alive(tmp_path):
    async def body(nursery):
        await until(lambda: "silent" in nursery.lost)

    journey(tmp_path, "falls silent", body)


def test_one_that_crashes_again_and_again_stays_down(tmp_path):
    async def body(nursery):
        await until(lambda: nursery.child.given_up)
        assert nursery.lost == ["exit"] * (QUICK.crashes + 1)
        assert not nursery.child.ready

    journey(tmp_path, "crashes", body)


@pytest.mark.parametrize("does", ["lives", "will not stop"])
def test_stopping_ends_it_in_order_or_by_force(tmp_path, does):
    pids = []

    async def body(nursery):
        await until(lambda: nursery.back == 1)
        pids.append(nursery.child.pid)

    start = time.monotonic()
    journey(tmp_path, does, body)
    assert not Path(f"/proc/{pids[0]}").exists()
    assert time.monotonic() - start < 10


def test_what_a_dead_incarnation_still_says_is_not_believed(tmp_path):
    async def body(nursery):
        await until(lambda: nursery.back == 1)
        assert nursery.child.heard(1)
        assert not nursery.child.heard(0)

    journey(tmp_path, "lives", body)
