import select
import threading
import time
from types import SimpleNamespace

import pytest
from engine_builders import request

from server.engine.answers import refusal
from server.engine.batcher import Batch
from server.engine.lanes import Crew, Lane, Mailbox


class Stage:
    """In the place of a model: its runs last until `let_go`, and fail where `fails`."""

    manifest = SimpleNamespace(id="m@1")

    def __init__(self, fails=None, *, quick=False):
        self.let_go = threading.Event()
        self.fails = fails
        self.quick = quick

    def run(self, lane, batch, segments):
        self.let_go.wait(10)
        if self.fails is not None:
            raise self.fails
        return [refusal(one, "stale", "", 0.0) for one in batch.requests], 1.5


@pytest.fixture
def mailbox():
    made = Mailbox()
    yield made
    made.close()


@pytest.fixture
def lane(mailbox):
    made = Lane(0, mailbox.put)
    yield made
    assert made.stop(10)


def reported(mailbox):
    assert select.select([mailbox.descriptor], [], [], 10)[0]
    (ran,) = mailbox.take()
    return ran


def test_a_lane_reports_what_ran(lane, mailbox):
    stage, batch = Stage(), Batch([request("a", 1)], 1, "idle")
    stage.let_go.set()
    lane.run(stage, batch)
    ran = reported(mailbox)
    assert (ran.lane, ran.batch, ran.seconds) == (lane, batch, 1.5)


def test_a_lane_says_how_long_it_has_been_at_its_batch(lane, mailbox):
    stage = Stage()
    assert lane.busy_s(1e9) == 0
    lane.run(stage, Batch([request("a")], 1, "idle"))
    assert lane.busy_s(time.monotonic() + 100) >= 100
    stage.let_go.set()
    reported(mailbox)
    assert lane.busy_s(time.monotonic() + 100) == 0


def test_a_mistake_answers_its_requests_and_leaves_the_lane_alive(lane, mailbox):
    broken, sound = Stage(ZeroDivisionError("by zero")), Stage()
    for stage in (broken, sound):
        stage.let_go.set()
    lane.run(broken, Batch([request("a", 1), request("b", 1)], 2, "idle"))
    ran = reported(mailbox)
    assert [answered.done.error for answered in ran.answers] == ["run_failed", "run_failed"]
    assert "by zero" in ran.answers[0].done.message
    lane.run(sound, Batch([request("a", 2)], 1, "idle"))
    assert reported(mailbox).answers[0].done.seq == 2


def test_a_mailbox_can_be_waited_for_and_is_emptied_at_once(mailbox):
    assert mailbox.take() == []
    for item in "abc":
        mailbox.put(item)
    assert select.select([mailbox.descriptor], [], [], 10)[0]
    assert mailbox.take() == ["a", "b", "c"]
    assert not select.select([mailbox.descriptor], [], [], 0)[0]


@pytest.fixture
def crew(mailbox):
    made = Crew(2, mailbox.put)
    yield made
    assert made.stop(10) == 0


def test_one_lane_is_left_for_quick_models_when_costly_ones_have_all_others(crew, mailbox):
    costly, quick = Stage(), Stage(quick=True)
    assert (crew.idle(quick=False), crew.idle(quick=True)) == (2, 3)
    for stream in "ab":
        crew.run(costly, Batch([request(stream)], 1, "idle"))
    assert (crew.idle(quick=False), crew.idle(quick=True)) == (0, 1)
    quick.let_go.set()
    crew.run(quick, Batch([request("q")], 1, "idle"))
    ran = reported(mailbox)
    assert ran.model is quick
    assert crew.idle(quick=True) == 0
    crew.back(ran.lane)
    assert (crew.idle(quick=False), crew.idle(quick=True)) == (0, 1)
    costly.let_go.set()


def test_quick_models_leave_the_other_lanes_alone_while_theirs_is_idle(crew, mailbox):
    quick = Stage(quick=True)
    crew.run(quick, Batch([request("q")], 1, "idle"))
    assert (crew.idle(quick=False), crew.idle(quick=True)) == (2, 2)
    crew.run(quick, Batch([request("q")], 1, "idle"))
    assert crew.idle(quick=False) == 1
    quick.let_go.set()


def test_a_lane_that_hangs_is_named(crew):
    stage = Stage()
    crew.run(stage, Batch([request("a")], 1, "idle"))
    assert crew.hung(time.monotonic(), 60) == []
    assert len(crew.hung(time.monotonic() + 100, 60)) == 1
    stage.let_go.set()
