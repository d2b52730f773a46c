import threading
import time

import pytest

from benchmarks.stopwatch import Stopwatch


class Work:
    def outer(self):
        busy(0.02)
        self.inner()
        return "done"

    def inner(self):
        busy(0.04)

    def wait(self):
        time.sleep(0.05)

    def fail(self):
        busy(0.02)
        raise KeyError("it")


def busy(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.fixture
def watch():
    class Watched(Work):
        pass

    watch = Stopwatch()
    for name in ("outer", "inner", "wait", "fail"):
        watch.around(Watched, name, name)
    return watch, Watched()


def test_a_part_within_another_is_counted_once(watch):
    watch, work = watch
    assert work.outer() == "done"
    seconds = watch.seconds()
    assert 0.02 <= seconds["outer"] < 0.04 <= seconds["inner"]


def test_waiting_costs_no_processor_time_and_failing_does(watch):
    watch, work = watch
    work.wait()
    with pytest.raises(KeyError):
        work.fail()
    assert watch.seconds()["wait"] < 0.02 <= watch.seconds()["fail"]


def test_threads_are_summed(watch):
    watch, work = watch
    crew = [threading.Thread(target=work.inner) for _ in range(3)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    assert watch.seconds()["inner"] >= 0.12
