import logging
from itertools import pairwise

import pytest

from server.domain.stream import StreamState
from server.runtime.streams.diary import Diary

MINUTE_S, HOUR_S = 60.0, 3600.0


class Clock:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def diary(clock, caplog):
    caplog.set_level(logging.INFO)
    return Diary("9905", clock)


def away(diary, code="source_unreachable", state=StreamState.RECONNECTING):
    diary.trouble("front door", state, code, "There is no answer.")


def test_the_same_trouble_is_said_less_and_less_often_and_every_hour_at_last(diary, clock, caplog):
    said = []
    for second in range(0, 24 * 3600, 10):
        clock.s = 1000.0 + second
        away(diary)
        if len(caplog.records) > len(said):
            said.append(second)
    assert said[:6] == [0, 60, 180, 420, 900, 1860]
    assert {after - before for before, after in pairwise(said[8:])} == {HOUR_S}
    first = caplog.records[0]
    assert first.getMessage() == "stream 'front door' gives no frames: There is no answer."
    assert (first.levelname, first.stream, first.code) == ("WARNING", "9905", "source_unreachable")


def test_other_trouble_is_said_at_once(diary, caplog):
    away(diary)
    away(diary, "source_refused")
    away(diary, "model_not_found", StreamState.FAILED)
    assert [record.code for record in caplog.records] == ["source_unreachable", "source_refused", "model_not_found"]
    assert "has failed" in caplog.messages[-1]


def test_that_it_runs_is_said_once_and_again_after_trouble_that_was_said(diary, clock, caplog):
    diary.runs("front door")
    diary.runs("front door")
    for _ in range(5):  # it comes and goes
        away(diary)
        clock.s += 5
        diary.runs("front door")
    assert caplog.messages == [
        "stream 'front door' runs",
        "stream 'front door' gives no frames: There is no answer.",
        "stream 'front door' runs again, after 5 s",
    ]


def test_trouble_that_comes_again_after_a_long_while_is_news(diary, clock, caplog):
    for _ in range(4):
        away(diary)
        clock.s += 100
    said = len(caplog.messages)
    clock.s += 2 * HOUR_S
    away(diary)
    clock.s += MINUTE_S
    away(diary)
    assert len(caplog.messages) == said + 2


def test_after_a_change_by_hand_the_same_trouble_is_news(diary, caplog):
    away(diary)
    diary.changed()
    away(diary)
    assert len(caplog.messages) == 2
