"""Whatever is killed or stopped, and when: every job comes to its end with the same bytes, and nothing is left behind.

`VIDSERVE_TEST_KILLS` says how many times each process is killed (by default a few), `VIDSERVE_TEST_SEED` at which
moments.
"""

import os
import signal
import time

import pytest
from serving import eventually
from siege import siege

KILLS = int(os.environ.get("VIDSERVE_TEST_KILLS", "3"))
SEED = int(os.environ.get("VIDSERVE_TEST_SEED", "1"))
STOPS = max(1, KILLS // 5)
SHORT_S = 2.0
"""Well below the silence that counts as death."""

pytestmark = pytest.mark.alone


def test_children_may_be_killed_and_stopped_at_any_time(tmp_path):
    with siege(tmp_path, SEED) as besieged:
        blows = [
            (victim, blow) for victim in ("worker", "engine") for blow in ["kill"] * KILLS + ["stop", "pause"] * STOPS
        ]
        besieged.random.shuffle(blows)
        while blows:
            victim, blow = blows[-1]
            besieged.wait(1.5)
            pid = besieged.strike(f"server.{victim}", signal.SIGKILL if blow == "kill" else signal.SIGSTOP)
            if pid is None:
                continue  # it is just being started
            blows.pop()
            if blow == "stop":
                eventually(lambda pid=pid: pid not in besieged.server.children("server."))
            elif blow == "pause":
                time.sleep(besieged.random.uniform(0, SHORT_S))
                os.kill(pid, signal.SIGCONT)
        besieged.check_results()
        # One that is struck again before its end is noticed dies once.
        deaths = besieged.deaths()
        for victim in ("worker", "engine"):
            assert 1 <= deaths.pop((victim, "sigkill")) <= KILLS
            assert 1 <= deaths.pop((victim, "stopped")) <= STOPS
        assert deaths == {}


def test_the_server_may_be_killed_at_any_time(tmp_path):
    with siege(tmp_path, SEED) as besieged:
        for number in range(KILLS):
            if number % 3 == 2:  # while it starts
                time.sleep(besieged.random.uniform(0, 2))
            else:
                besieged.server.wait_ready()
                besieged.wait(2)
                if besieged.random.random() < 0.5:  # a child that cannot notice anything ends all the same
                    besieged.strike("server.", signal.SIGSTOP)
            besieged.restart()


def test_a_server_that_was_stopped_blames_nobody_for_its_sleep(tmp_path):
    with siege(tmp_path, SEED) as besieged:
        besieged.wait(1)
        besieged.server.process.send_signal(signal.SIGSTOP)
        time.sleep(8)  # longer than the silence that counts as death
        besieged.server.process.send_signal(signal.SIGCONT)
        besieged.check_results()
        assert besieged.deaths() == {}
