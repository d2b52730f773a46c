"""Single pictures, beside an engine that does as it is told."""

import json
import mmap
import threading

import cv2
import numpy as np
import pytest
from worker_builders import SIDE, Bench, FakeEngine

from server.core.calls import CallPage, CallRows
from server.wire.messages import Infer, Predict, Priority
from server.wire.sockets import Router
from server.worker import predictor, talks
from server.worker.predictor import Predictor
from server.worker.surroundings import Surroundings
from tests.benches import benches


class NotingEngine(FakeEngine):
    """Notes who asks what, and drops the first `deaf_for` frames without a word, as one that was killed does."""

    deaf_for = 0

    def __init__(self, *args, **options):
        self.asked: list[tuple[bytes, Infer]] = []
        super().__init__(*args, **options)

    def _say(self, received):
        if isinstance(received.message, Infer):
            self.asked.append((received.peer, received.message))
            if len(self.asked) <= self.deaf_for:
                return
        super()._say(received)


class Counter(Bench):
    """A predictor of one thread, and the API process that it answers to."""

    engine_kind = NotingEngine

    def __init__(self, folder, **options):
        super().__init__(folder, **options)
        self.folder = folder
        self.write()
        address = f"ipc://{folder}/pictures"
        self.router = Router(self.context, address, "api", 1)
        self.predictor = Predictor(
            Surroundings(
                context=self.context,
                api=address,
                name="worker-0",
                incarnation=1,
                slots=self.slots,
                recorder=self.page.recorder(0),
                rows=CallRows(CallPage(mmap.mmap(-1, CallPage.bytes_for(1)), 1).rows(0)),
                open_source=None,
                open_live=None,
            ),
            threads=1,
        )
        self.predictor.start()

    def write(self, **changes):
        self.manifest = self.manifest.model_copy(update=changes)
        (self.folder / "manifest.json").write_text(self.manifest.model_dump_json())

    def send(self, level, number=1, confidence=None):
        picture = cv2.imencode(".png", np.full((SIDE, SIDE, 3), level, np.uint8))[1].tobytes()
        self.predictor.put(Predict(number, str(self.folder), self.engine_address, confidence), picture)

    def answer(self):
        received = self.router.recv(20)
        assert received is not None
        return received.message, json.loads(received.payload[0]) if received.payload else None

    def ask(self, level):
        self.send(level)
        return self.answer()

    def close(self):
        self.predictor.stop()
        for thread in threading.enumerate():
            if thread.name == "predict-0":
                thread.join(5)
        self.router.close()
        super().close()


@pytest.fixture
def counter(tmp_path):
    yield from benches(Counter, tmp_path)


def test_a_picture_is_answered_as_one_row_before_the_frames_of_jobs(counter):
    desk = counter()
    said, row = desk.ask(100)
    assert (said.request, said.code) == (1, "")
    assert {one["label"]: one["confidence"] for one in row["classes"]}["a"] == pytest.approx(0.1)
    assert desk.engine.asked[0][1].priority is Priority.LIVE


def test_the_next_picture_takes_the_same_way_and_knows_nothing_of_the_one_before(counter):
    desk = counter(recurrent=True)
    rows = [desk.ask(level)[1] for level in (10, 20, 30)]
    counts = [{one["label"]: one["confidence"] for one in row["classes"]}["b"] for row in rows]
    assert counts == [pytest.approx(0.001)] * 3
    assert len({peer for peer, _ in desk.engine.asked}) == 1


def test_a_version_that_was_brought_in_anew_is_asked_in_its_own_way(counter):
    desk = counter()
    desk.ask(10)
    desk.write(labels=("x", "y", "z"))
    _, row = desk.ask(10)
    assert {one["label"] for one in row["classes"]} <= {"x", "y", "z"}
    assert len({peer for peer, _ in desk.engine.asked}) == 2


def test_a_picture_that_an_engine_took_with_it_is_asked_again(counter, monkeypatch):
    monkeypatch.setattr(predictor, "_SILENCE_S", 0.2)
    desk = counter(slots=1)
    desk.engine.deaf_for = 1
    said, row = desk.ask(100)
    assert said.code == ""
    assert row is not None
    assert len(desk.engine.asked) == 2
    desk.ask(100)  # the only slot came back


def test_a_picture_whose_answer_is_no_number_is_told_so(counter):
    said, row = counter(overflowing={100}).ask(100)
    assert (said.code, row) == ("predict_failed", None)
    assert "not finite" in said.message


def test_an_engine_that_stays_silent_fails_the_picture_and_not_the_next(counter, monkeypatch):
    monkeypatch.setattr(predictor, "_SILENCE_S", 0.1)
    monkeypatch.setattr(predictor, "_PATIENCE_S", 0.5)
    desk = counter(slots=1)
    desk.engine.deaf_for = 10**6
    said, _ = desk.ask(100)
    assert said.code == "predict_failed"
    desk.engine.deaf_for = 0
    monkeypatch.setattr(predictor, "_PATIENCE_S", 30)  # of a slow machine's answer
    assert desk.ask(100)[0].code == ""


def test_what_is_no_picture_is_refused_and_the_thread_lives(counter):
    desk = counter()
    desk.predictor.put(Predict(1, str(desk.folder), desk.engine_address), b"no picture")
    assert desk.answer()[0].code == "picture_unreadable"
    assert desk.ask(1)[0].code == ""


def test_talks_about_many_models_do_not_pile_up(counter, monkeypatch):
    monkeypatch.setattr(talks, "_TALKS", 2)
    desk = counter(recurrent=True)
    for version in (1, 2, 3, 4):
        desk.write(version=version)
        desk.ask(10)
    assert set(desk.engine.counts) == {f"worker-0.predict-0.fake@{version}" for version in (3, 4)}
