import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import zmq.asyncio
from child_that import Orders

from server.runtime.processes.child import Child, ChildDown, Patience
from server.runtime.processes.death import HUNG, Death
from server.runtime.processes.hub import Hub
from server.wire.messages import Heartbeat, WorkerReady

KILLED, CRASHED = Death("sigkill", by_itself=False), Death("sigsegv", by_itself=True)
# Silence is borne for long: beside other tests, a child that is well may not run for a second.
QUICK = Patience(ready_s=60, silence_s=60, stop_s=1, crashes=3, soon_s=60, pause_s=0.01, longest_s=0.05)
SILENCE_COUNTS = replace(QUICK, silence_s=0.6)


class Nursery:
    """A hub and one child that does as told."""

    def __init__(self, folder, does, *, excused=False, patience=QUICK, **watching):
        self.context = zmq.asyncio.Context()
        self.stale = 0
        self.hub = Hub(self.context, f"ipc://{folder}/api", 1, self._count)
        self.lost, self.back = [], 0
        self.child = Child(
            "child",
            "child_that",
            lambda incarnation: Orders(self.hub.address, incarnation, does),
            send=lambda message: self.hub.send("child", message),
            lost=lambda death: self.lost.append(death.reason) or excused,
            back=self._back,
            patience=patience,
            **watching,
        )
        self.hub.on(WorkerReady, lambda _: self.child.said_ready())
        self.hub.on(Heartbeat, lambda _: self.child.heard())

    def _back(self):
        self.back += 1

    def _count(self):
        self.stale += 1

    async def __aenter__(self):
        self.hub.start()
        self.child.start()
        return self

    async def __aexit__(self, *_):
        await self.child.stop()
        await self.hub.close()
        self.context.term()


async def until(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not happen"
        await asyncio.sleep(0.02)


def journey(folder, does, body, **watching):
    async def run():
        async with Nursery(folder, does, **watching) as nursery:
            await body(nursery)

    asyncio.run(run())


def test_a_killed_child_has_a_successor_at_once(tmp_path):
    async def body(nursery):
        await until(lambda: nursery.back == 1)
        first = nursery.child.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: nursery.back == 2)
        assert nursery.lost == ["sigkill"]
        assert nursery.child.pid != first
        assert nursery.child.incarnation == 2
        assert nursery.child.ready

    journey(tmp_path, "lives", body, patience=replace(QUICK, pause_s=600, longest_s=600, longest_outside_s=600))


def test_only_the_first_start_is_worth_waiting_for(tmp_path):
    async def body(nursery):
        assert nursery.child.coming_up
        await until(lambda: nursery.back == 1)
        assert not nursery.child.coming_up
        os.kill(nursery.child.pid, signal.SIGKILL)
        await until(lambda: nursery.child.incarnation == 2 and not nursery.child.ready)
        assert not nursery.child.coming_up

    journey(tmp_path, "lives", body)


def test_a_first_start_that_takes_long_is_not_waited_for(tmp_path):
    async def body(nursery):
        await until(lambda: nursery.child.incarnation == 1 and not nursery.child.coming_up)
        assert not nursery.child.ready

    journey(tmp_path, "starts slowly", body, patience=replace(QUICK, first_s=0.2))


def test_a_stopped_child_counts_as_dead(tmp_path):
    async def body(nursery):
        await until(lambda: nursery.back == 1)
        os.kill(nursery.child.pid, signal.SIGSTOP)
        await until(lambda: nursery.back > 1 and "stopped" in nursery.lost)

    journey(tmp_path, "lives", body, patience=SILENCE_COUNTS)


def test_running_is_not_alive(tmp_path):
    async def body(nursery):
        await until(lambda: "silent" in nursery.lost)

    journey(tmp_path, "falls silent", body, patience=SILENCE_COUNTS)


def test_what_looks_wrong_from_outside_is_killed_for_it(tmp_path):
    looked = []

    def look(pid):
        looked.append(pid)
        return HUNG if len(looked) == 2 else None

    async def body(nursery):
        await until(lambda: nursery.lost == ["hung"] and nursery.child.ready)
        assert looked[0] == looked[1] != nursery.child.pid

    journey(tmp_path, "lives", body, look=look)


def test_one_that_may_be_slow_may_be_silent_for_longer(tmp_path):
    async def body(nursery):
        await until(lambda: nursery.back == 1)
        await asyncio.sleep(4 * SILENCE_COUNTS.silence_s)
        assert nursery.lost == []

    journey(tmp_path, "falls silent", body, slow=lambda: True, patience=SILENCE_COUNTS)


def test_one_that_crashes_again_and_again_says_so_and_is_started_again_after_longer_pauses(tmp_path):
    async def body(nursery):
        await until(lambda: len(nursery.lost) > QUICK.crashes + 2)
        assert set(nursery.lost) == {"exit"}
        assert nursery.child.exhausted
        assert "times in a row, at last by exit" in nursery.child.detail
        with pytest.raises(ChildDown):
            await nursery.child.wait_ready()

    journey(tmp_path, "crashes", body)


@pytest.mark.parametrize(
    ("number", "excused", "exhausted"),
    [(signal.SIGKILL, False, False), (signal.SIGSEGV, True, False), (signal.SIGSEGV, False, True)],
)
def test_a_death_by_another_hand_or_by_its_work_is_no_crash_of_its_own(tmp_path, number, excused, exhausted):
    async def body(nursery):
        for life in range(1, QUICK.crashes + 3):
            await until(lambda life=life: nursery.back == life)
            os.kill(nursery.child.pid, number)
        await until(lambda: nursery.child.ready and len(nursery.lost) == QUICK.crashes + 2)
        assert nursery.child.exhausted is exhausted

    journey(tmp_path, "lives", body, excused=excused)


def test_one_that_was_stopped_can_be_started_again(tmp_path):
    async def body(nursery):
        await until(lambda: nursery.back == 1)
        await nursery.child.stop()
        assert not nursery.child.kept
        assert nursery.child.detail == "not needed"
        nursery.child.start()
        await until(lambda: nursery.back == 2)
        assert nursery.lost == []
        assert nursery.child.incarnation == 2

    journey(tmp_path, "lives", body)


def test_a_sigterm_that_reaches_all_processes_ends_a_child_in_order_and_starts_none_anew(tmp_path, caplog):
    async def body(nursery):
        await until(lambda: nursery.back == 1)
        os.kill(nursery.child.pid, signal.SIGTERM)
        await asyncio.sleep(1.0)
        assert nursery.child.ready  # whoever still waits for its answers gets them
        await nursery.child.stop()
        assert (nursery.lost, nursery.child.incarnation) == ([], 1)

    journey(tmp_path, "lives", body)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_a_child_alone_that_is_told_to_end_has_a_successor(tmp_path):
    async def body(nursery):
        await until(lambda: nursery.back == 1)
        os.kill(nursery.child.pid, signal.SIGTERM)
        await until(lambda: nursery.back == 2)
        assert (nursery.lost, nursery.child.incarnation) == (["ended"], 2)

    journey(tmp_path, "lives", body)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_however_a_child_ends_while_the_server_does_it_is_not_missed(tmp_path, caplog, number):
    async def body(nursery):
        await until(lambda: nursery.back == 1)
        nursery.child.let_end()
        os.kill(nursery.child.pid, number)
        await until(lambda: not Path(f"/proc/{nursery.child.pid}").exists())
        await asyncio.sleep(0.5)
        assert (nursery.lost, nursery.child.incarnation) == ([], 1)

    journey(tmp_path, "lives", body)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


@pytest.mark.parametrize("does", ["lives", "will not stop"])
def test_stopping_ends_it_in_order_or_by_force(tmp_path, does):
    pids = []

    async def body(nursery):
        await until(lambda: nursery.back == 1)
        pids.append(nursery.child.pid)

    start = time.monotonic()
    journey(tmp_path, does, body)
    assert not Path(f"/proc/{pids[0]}").exists()
    assert time.monotonic() - start < 60


def test_what_a_given_up_incarnation_still_says_is_dropped_and_counted(tmp_path):
    async def body(nursery):
        await until(lambda: nursery.back == 1)
        # Its successors', too: on a busy machine it may be killed before it says any more.
        nursery.hub.expect("child", nursery.child.incarnation + 100)
        await until(lambda: nursery.stale > 1)
        await until(lambda: "silent" in nursery.lost)

    journey(tmp_path, "lives", body, patience=SILENCE_COUNTS)


@pytest.mark.parametrize(
    ("death", "pauses_s"),
    [(KILLED, [0.2, 0.2, 0.2, 0.2, 0.4, 0.8, 1.0]), (CRASHED, [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])],
)
def test_one_that_dies_while_it_starts_waits_longer_each_time_but_of_another_hand_only_if_that_goes_on(death, pauses_s):
    patience = Patience(crashes=3, pause_s=0.2, longest_s=5.0, longest_outside_s=1.0)

    async def send(_):
        return True

    child = Child(
        "child", "m", lambda _: Orders("", 1, ""), send=send, lost=lambda _: False, back=list, patience=patience
    )
    child._born_at = time.monotonic()
    assert [child._bury(death) for _ in pauses_s] == pytest.approx(pauses_s)
