import av
import numpy as np
import pytest
from gate_builders import HEIGHT, WIDTH, SpotEngine, background, detector
from live_builders import Camera, eventually

FPS = 10


def spots(places):
    """Bright squares on dark ground with their middles at `places(number)`."""

    def show(number):
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for x, y in places(number):
            picture[y - 8 : y + 8, x - 8 : x + 8] = 255
        return av.VideoFrame.from_ndarray(picture, "bgr24")

    return show


def passing(number):
    """A spot that stands, and one that passes after the first second."""
    return [(60, 60), *([(20 + 12 * (number - FPS), 140)] if FPS <= number < 3 * FPS else [])]


@pytest.fixture
def gated(bench):
    def making(camera):
        around = bench(camera, engine_kind=SpotEngine, slot_bytes=320 * 1024, slots=6)
        around.bundle = around.bundle_of(detector())
        return around, around.bundle_of(background())

    return making


def test_a_live_gate_decides_at_once_and_every_frame_has_an_outcome(gated):
    camera = Camera(fps=FPS, shows=spots(passing), stamp=lambda n: n / FPS)
    around, gate = gated(camera)
    stream = around.stream(gate=gate, max_age_ms=60_000)
    eventually(lambda: camera.given >= 4 * FPS)
    stream.stop()
    assert stream.join(30)
    frames = around.frames
    assert camera.given - 1 <= sum(frames.values()) <= camera.given
    assert set(frames) <= {"analysed", "gated", "dropped_busy", "cancelled"}
    assert frames["gated"] >= FPS
    assert frames["analysed"] >= FPS
    moved = [row for row in around.api.rows if FPS + 2 <= row["frame"] < 3 * FPS - 2]
    assert all(len(row["objects"]) == 2 for row in moved)
    assert around.slots.taken == 0


def test_what_stands_keeps_its_track_while_the_gate_is_closed(gated):
    around, gate = gated(Camera(fps=FPS, shows=spots(lambda _: [(60, 60)]), stamp=lambda n: n / FPS))
    around.stream(gate=gate)
    eventually(lambda: len(around.api.rows) >= 2 * FPS)
    rows = list(around.api.rows)
    assert any(row.get("gated") for row in rows)
    assert {one.get("track_id") for row in rows[2:] for one in row["objects"]} == {1}
    assert around.engine.asked["spots@1"] < len(rows) / 2


def test_a_gate_whose_engine_goes_away_goes_on_when_it_is_back(gated):
    around, gate = gated(Camera(fps=FPS, shows=spots(passing), stamp=lambda n: n / FPS))
    around.stream(gate=gate)
    eventually(lambda: len(around.api.rows) >= 5)
    around.engine.close()
    eventually(lambda: around.api.statuses[-1].code == "engine_silent")
    around.start_engine(incarnation=2)
    before = len(around.api.rows)
    eventually(lambda: len(around.api.rows) >= before + 5)
