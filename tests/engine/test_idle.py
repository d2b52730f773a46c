from types import SimpleNamespace

import pytest

from server.engine.tuning.idle import IdleTuning
from server.engine.tuning.order import Ending


class Measurement:
    def __init__(self, model):
        self.model, self.code, self.killed = model, None, False

    def poll(self):
        return self.code

    def kill(self):
        self.killed, self.code = True, -9


class Measuring:
    """An idle engine's tuning, looked at once a second."""

    def __init__(self, *models):
        self.models, self.started, self.now = list(models), [], 0
        self.fails = None
        self.tuning = IdleTuning(5.0, self.start)

    def start(self, model):
        if self.fails is not None:
            raise self.fails
        self.started.append(Measurement(model))
        return self.started[-1]

    def rest(self, seconds, *, busy=False):
        for _ in range(seconds):
            self.tuning.look(float(self.now), self.models, busy=busy)
            self.now += 1

    @property
    def names(self):
        return [measurement.model.manifest.id for measurement in self.started]


def model(name, *, can_be_measured=True):
    made = SimpleNamespace(manifest=SimpleNamespace(id=name), measured=False)
    made.can_be_measured = can_be_measured
    return made


def test_a_model_is_measured_after_a_while_of_rest_and_not_before():
    measuring = Measuring(model("m@1"))
    measuring.rest(5)
    assert measuring.names == []
    measuring.rest(1)
    assert measuring.names == ["m@1"]


def test_while_there_is_something_to_do_nothing_is_measured():
    measuring = Measuring(model("m@1"))
    for _ in range(5):
        measuring.rest(4)
        measuring.rest(1, busy=True)
    assert measuring.names == []


def test_a_request_stops_it_at_once_and_it_begins_again_after_a_longer_rest():
    measuring = Measuring(model("m@1"))
    measuring.rest(6)
    measuring.tuning.interrupt()
    assert measuring.started[0].killed
    assert not measuring.models[0].measured
    measuring.rest(10)
    assert len(measuring.started) == 1
    measuring.rest(1)
    assert len(measuring.started) == 2


def test_none_is_started_before_the_one_that_was_killed_is_gone():
    measuring = Measuring(model("m@1"))
    measuring.rest(6)
    measuring.tuning.interrupt()
    measuring.started[0].code = None
    measuring.rest(100)
    assert len(measuring.started) == 1
    measuring.started[0].code = -9
    measuring.rest(1)
    assert len(measuring.started) == 2


def test_one_after_the_other_and_each_once():
    first, second = model("a@1"), model("b@1")
    measuring = Measuring(first, model("no frames@1", can_be_measured=False), second)
    measuring.rest(20)
    assert measuring.names == ["a@1"]
    measuring.started[0].code = Ending.KEPT
    first.can_be_measured = False
    measuring.rest(20)
    assert first.measured
    assert measuring.names == ["a@1", "b@1"]


def test_what_cannot_be_measured_is_not_tried_again_and_again(caplog):
    measuring = Measuring(model("m@1"))
    measuring.rest(6)
    measuring.started[0].code = Ending.FAILED
    measuring.rest(100)
    assert measuring.names == ["m@1"]
    assert not measuring.models[0].measured
    assert "could not be measured" in caplog.text


def test_one_that_other_processes_disturbed_is_tried_again_after_a_longer_rest():
    measuring = Measuring(model("m@1"))
    measuring.rest(6)
    measuring.started[0].code = Ending.DISTURBED
    measuring.rest(11)
    assert len(measuring.started) == 1
    measuring.rest(1)
    assert len(measuring.started) == 2


def test_switched_off_nothing_is_ever_measured():
    measuring = Measuring(model("m@1"))
    measuring.tuning = IdleTuning(None, measuring.start)
    measuring.rest(2000)
    assert measuring.names == []


def test_a_process_that_cannot_be_started_ends_nothing_else(caplog):
    measuring = Measuring(model("m@1"))
    measuring.fails = OSError(11, "Resource temporarily unavailable")
    measuring.rest(20)
    assert "Resource temporarily unavailable" in caplog.text


@pytest.mark.parametrize("interruptions", [1, 3])
def test_interrupting_what_does_not_run_changes_nothing(interruptions):
    measuring = Measuring(model("m@1"))
    for _ in range(interruptions):
        measuring.tuning.interrupt()
    measuring.rest(6)
    assert measuring.names == ["m@1"]
