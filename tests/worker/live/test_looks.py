import queue

import cv2
import numpy as np
import pytest

from server.domain.result import ClassScore, Object, Row
from server.wire.messages import Look
from server.worker.drawing import drawn
from server.worker.live import looks
from server.worker.live.looks import Looks


class Lookers:
    """Those who look, and what they are shown, by number."""

    def __init__(self) -> None:
        self.shown: dict[int, tuple[str, bytes]] = {}
        self._orders: queue.SimpleQueue[Look] = queue.SimpleQueue()
        self.looks = Looks(self._orders, lambda looked, jpeg: self.shown.update({looked.request: (looked.code, jpeg)}))

    def come(self, number: int, *, boxes: bool) -> bool:
        self._orders.put(Look(number, "cam", 1, boxes))
        return self.looks.attend()

    def level(self, number: int) -> int:
        """The grey of the picture that somebody was shown, at its bottom right."""
        code, jpeg = self.shown[number]
        assert code == ""
        return round(float(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[-8:, -8:].mean()))


def picture(level: int) -> np.ndarray:
    return np.full((90, 160, 3), level, np.uint8)


def row(frame: int, **found) -> Row:
    return Row(frame=frame, pts_s=0.0, captured_at=None, width=160, height=90, model="net@1", **found)


def a_car(**more) -> Object:
    return Object(**{"label": "car", "class_id": 0, "confidence": 0.9, "box": (40.0, 40.0, 80.0, 60.0), **more})


@pytest.fixture
def lookers():
    return Lookers()


def test_while_nobody_looks_no_picture_is_kept_or_made(lookers):
    assert not lookers.looks.attend()
    lookers.looks.see(1, picture(10))
    lookers.looks.find(row(1))
    assert lookers.come(1, boxes=True)
    lookers.looks.find(row(1))
    assert lookers.shown == {}


def test_the_next_frame_is_shown_at_once_and_with_boxes_when_its_row_is_there(lookers):
    assert lookers.come(1, boxes=False)
    assert lookers.come(2, boxes=True)
    lookers.looks.see(7, picture(100))
    assert lookers.level(1) == pytest.approx(100, abs=2)
    assert not lookers.looks.attend()  # there is a picture, which waits for its row
    lookers.looks.find(row(6))
    assert 2 not in lookers.shown
    lookers.looks.see(8, picture(200))
    lookers.looks.find(row(7, objects=[a_car()]))
    assert lookers.level(2) == pytest.approx(100, abs=2)
    assert not lookers.looks.attend()


def test_another_frame_is_wanted_where_the_first_gets_no_row(lookers, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(looks.time, "monotonic", lambda: now[0])
    assert lookers.come(1, boxes=True)
    lookers.looks.see(7, picture(100))
    assert not lookers.looks.attend()
    now[0] += 0.6
    assert lookers.looks.attend()
    lookers.looks.see(30, picture(200))
    lookers.looks.find(row(30))
    assert lookers.level(1) == pytest.approx(200, abs=2)
    assert lookers.come(2, boxes=True)  # at once, and not after that time


def test_who_looks_for_too_long_is_told_what_is_missing(lookers, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(looks.time, "monotonic", lambda: now[0])
    lookers.come(1, boxes=True)
    lookers.looks.see(7, picture(100))
    now[0] += looks.PATIENCE_S - 0.1
    lookers.looks.attend()
    assert lookers.shown == {}
    now[0] += 0.2
    assert not lookers.looks.attend()
    assert lookers.shown == {1: ("snapshot_unavailable", b"")}


def test_boxes_are_drawn_where_they_are_and_the_picture_stays_as_it_was():
    bare = picture(50)
    seen = drawn(bare, row(1, objects=[a_car()]))
    assert (bare == 50).all()
    changed = np.argwhere((seen != 50).any(axis=2))
    assert (seen[50, 40] != 50).any()
    assert (seen[50, 60] == 50).all()
    assert changed[:, 0].max() <= 62
    assert changed[:, 1].min() >= 38


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"objects": []},
        {"objects": [a_car(box=(-20.0, -5.0, 30.0, 500.0), track_id=12345)]},
        {"objects": [a_car(box=(150.0, 2.0, 300.0, 8.0), label="a label that is wider than the picture itself")]},
        {"classes": [ClassScore("rest", 0.7), ClassScore("fight", 0.3)]},
    ],
)
def test_whatever_was_found_can_be_drawn(found):
    seen = drawn(picture(50), row(1, **found))
    assert seen.shape == (90, 160, 3)
    assert (seen != 50).any() == bool(found.get("objects") or found.get("classes"))
