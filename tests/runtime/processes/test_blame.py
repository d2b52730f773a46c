import signal

import pytest
from dispatcher_builders import inside

from server.core.calls import Call
from server.runtime.processes.blame import Record, Strike, had_work, strikes, suspects
from server.runtime.processes.death import HUNG, MEMORY, SILENT, STOPPED, death_of

SEGV = death_of(-signal.SIGSEGV, out_of_memory=False)
KILL = death_of(-signal.SIGKILL, out_of_memory=False)
OOM = death_of(-signal.SIGKILL, out_of_memory=True)
TERM = death_of(-signal.SIGTERM, out_of_memory=False)
EXIT = death_of(3, out_of_memory=False)
ENDED = death_of(0, out_of_memory=False)


@pytest.mark.parametrize(
    ("death", "reason", "by_itself"),
    [
        (SEGV, "sigsegv", True),
        (death_of(-signal.SIGABRT, out_of_memory=True), "sigabrt", True),
        (KILL, "sigkill", False),
        (OOM, "memory", True),
        (TERM, "sigterm", False),
        (EXIT, "exit", True),
        (ENDED, "ended", False),
        (death_of(-signal.SIGRTMIN - 1, out_of_memory=False), "signal", True),
    ],
)
def test_an_exit_code_says_whose_doing_it_was(death, reason, by_itself):
    assert (death.reason, death.by_itself) == (reason, by_itself)


NONE, GRAB, RETRIEVE = Call.NONE, Call.GRAB, Call.RETRIEVE


@pytest.mark.parametrize(
    ("death", "calls", "suspects"),
    [
        (SEGV, {"a": GRAB, "b": NONE}, {"a"}),
        (SEGV, {"a": GRAB, "b": RETRIEVE, "c": NONE}, {"a", "b"}),
        (SEGV, {"a": NONE, "b": NONE}, {"a", "b"}),
        (SEGV, {"": Call.PICTURE, "a": NONE}, set()),
        (SEGV, {"": NONE, "a": NONE}, {"a"}),
        (SEGV, {}, set()),
        (EXIT, {"a": Call.OPEN, "b": NONE}, {"a"}),
        (SILENT, {"a": GRAB, "b": NONE}, {"a"}),
        (MEMORY, {"a": GRAB, "b": NONE}, {"a", "b"}),
        (OOM, {"a": GRAB, "b": NONE}, {"a", "b"}),
        (KILL, {"a": GRAB, "b": NONE}, set()),
        (TERM, {"a": GRAB}, set()),
        (STOPPED, {"a": GRAB}, set()),
        (ENDED, {"a": GRAB}, set()),
    ],
)
def test_who_is_suspected_of_a_death(death, calls, suspects):
    assert set(strikes(death, [inside(job, call) for job, call in calls.items()])) == suspects


@pytest.mark.parametrize(
    ("calls", "had"), [({"a": NONE}, True), ({"": Call.PICTURE}, True), ({"": NONE}, False), ({}, False)]
)
def test_whether_a_worker_had_work(calls, had):
    assert had_work([inside(job, call) for job, call in calls.items()]) is had


@pytest.mark.parametrize(
    ("overdue_s", "suspected"),
    [
        ({"a": 0.1}, {"a"}),
        ({"a": 0.1, "b": -5.0}, {"a"}),
        ({"a": 20.0, "b": 0.1}, {"a"}),
        ({"a": 0.3, "b": 0.1}, {"a", "b"}),
        ({"a": -0.1, "b": -9.0}, set()),  # it came to its end before the process did
    ],
)
def test_of_calls_that_hang_those_are_suspected_that_are_over_their_own_time(overdue_s, suspected):
    rows = [*(inside(job, overdue_s=late_s) for job, late_s in overdue_s.items()), inside("c", NONE, overdue_s=-1e9)]
    assert set(strikes(HUNG, rows)) == suspects(HUNG, rows) == suspected


@pytest.mark.parametrize(
    ("death", "call", "code", "says"),
    [
        (SEGV, GRAB, "decoder_crashed", "crashed three times at frame 11 (SIGSEGV)"),
        (SEGV, RETRIEVE, "decoder_crashed", "at frame 10"),
        (SEGV, Call.OPEN, "decoder_crashed", "when the file was opened"),
        (HUNG, GRAB, "decoder_hung", "hung three times at frame 11"),
        (SILENT, GRAB, "decoder_hung", "hung three times"),
        (MEMORY, NONE, "decoder_memory", "more memory than a worker may have"),
    ],
)
def test_the_error_says_what_happened_where(death, call, code, says):
    error = strikes(death, [inside("a", call, frame=10)])["a"].error
    assert error.code == code
    assert says in str(error)


def strike(frame: int) -> Strike:
    return strikes(SEGV, [inside("a", frame=frame)])["a"]


@pytest.mark.parametrize(
    ("frames", "condemned"),
    [
        ([30, 30, 30], True),
        ([-1, -1, -1], True),
        ([30, 33, 29], True),  # memory that was spoilt before
        ([30, 5, 5], True),
        ([30, 30], False),
        ([30, 300, 3000, 30000], False),
        ([30, 300, 300], False),
        ([30, 300, 300, 300], True),
        ([30, 30, 300, 20, 30], True),
    ],
)
def test_three_deaths_without_getting_further_condemn(frames, condemned):
    record = Record()
    for frame in frames:
        assert not record.condemned
        record.add(strike(frame))
    assert record.condemned is condemned


def test_a_checkpoint_well_beyond_the_place_of_death_clears():
    record = Record()
    record.add(strike(100))
    record.add(strike(100))
    record.pass_by(90)
    record.pass_by(110)
    assert record.suspect
    record.pass_by(200)
    assert not record.suspect
    record.add(strike(100))
    assert record.suspect
    assert not record.condemned


def test_where_it_is_known_whose_thread_crashed_nobody_else_is_suspected():
    waiting, crashed = inside("a"), inside("b", Call.NONE)._replace(crashed=True)
    assert suspects(SEGV, [waiting, crashed]) == {"b"}
    assert set(strikes(SEGV, [waiting, crashed])) == {"b"}
    assert suspects(SEGV, [waiting, inside("")._replace(crashed=True)]) == set()
    assert suspects(KILL, [waiting, crashed]) == set()
