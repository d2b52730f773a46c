import asyncio
import signal
import time
from pathlib import Path

import pytest

from server.runtime.processes import errand


class Errand:
    """One run, and what it said."""

    def __init__(self):
        self.lines = []

    async def run(self, does, timeout_s=30):
        return await errand.run("errand_that", does.encode(), timeout_s=timeout_s, hear=self.lines.append)

    @property
    def pid(self):
        return int(self.lines[0].split()[1])


async def until(what):
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, "did not happen"
        await asyncio.sleep(0.02)


def gone(pid):
    return not Path(f"/proc/{pid}").exists()


def test_what_it_says_is_heard_and_how_it_ended_is_told():
    one = Errand()
    assert asyncio.run(one.run("ends")) == 3
    assert one.lines[1:] == [b"done\n"]


def test_a_crash_is_the_signal_that_it_died_of():
    assert asyncio.run(Errand().run("crashes")) == -signal.SIGSEGV


def test_one_that_takes_too_long_is_killed():
    one = Errand()
    with pytest.raises(errand.TookTooLong):
        asyncio.run(one.run("sleeps", timeout_s=2))
    assert not one.lines or gone(one.pid)  # on a busy machine it may not have begun


def test_one_that_is_not_wanted_any_more_is_killed():
    one = Errand()

    async def give_up():
        task = asyncio.create_task(one.run("sleeps"))
        await until(lambda: one.lines)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert gone(one.pid)

    asyncio.run(give_up())


def test_a_line_without_an_end_does_not_fill_the_memory():
    one = Errand()
    assert asyncio.run(one.run("says a line without an end")) == -signal.SIGKILL
    assert sum(map(len, one.lines)) < 100


def test_its_standard_input_stays_open_as_long_as_it_is_wanted():
    one = Errand()
    with pytest.raises(errand.TookTooLong):
        asyncio.run(one.run("waits for its parent's end", timeout_s=2))
    assert b"done\n" not in one.lines
