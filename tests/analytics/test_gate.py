import msgspec
import numpy as np
import pytest

from model_export.geometry import Rectangle, place
from model_export.manifest import FrameInput, Resize
from server.analytics.gate import EVERY, MARGIN_S, REST_S, Gate, GateMemory
from server.analytics.regions import CELL, area, around, joined, whole

SPEC = FrameInput(width=416, height=416, align="top_left")
WIDTH, HEIGHT = 832, 468
FPS = 10
WHOLE = Rectangle(0, 0, 416, 256)
A_CAR = [300, 200, 360, 240]


def boxes(*of):
    return np.array(of, np.float32).reshape(-1, 4)


def looks(moving, frames, *, gate=None, sampled=1, parts=True):
    """Decisions about `frames`; `moving` gives the boxes of a frame."""
    gate = gate or Gate(SPEC, parts=parts)
    result = []
    for frame in frames:
        seen = boxes(*moving(frame)) if frame % sampled == 0 else None
        gate.tell(gate.describe(frame, frame / FPS, WIDTH, HEIGHT, seen))
        result += gate.decide()
    return [look.regions for look in result + gate.decide(final=True)]


def test_where_nothing_moves_the_first_frame_and_one_in_sixteen_are_looked_at_whole():
    assert looks(lambda frame: [], range(3 * EVERY)) == ([(WHOLE,)] + [()] * (EVERY - 1)) * 3


def test_a_margin_before_and_after_motion_is_looked_at_there_and_whole_frames_for_a_while_after_that():
    found = looks(lambda frame: [A_CAR] if frame == 4 else [], range(EVERY))
    margin, rest = round(MARGIN_S * FPS), round(REST_S * FPS)
    parts, whole = range(4 - margin, 5 + margin), range(5 + margin, 5 + rest)
    assert [bool(regions) for regions in found] == [n == 0 or n in parts or n in whole for n in range(EVERY)]
    assert len({found[n] for n in parts} - {(WHOLE,)}) == 1
    assert {found[n] for n in whole} == {(WHOLE,)}


@pytest.mark.parametrize("sampled", [1, 2])
def test_a_part_holds_where_it_was_and_where_it_will_be(sampled):
    found = looks(lambda frame: [[20 * frame, 200, 20 * frame + 60, 240]], range(EVERY), sampled=sampled)
    (part,) = found[6]
    scale = 416 / WIDTH
    assert part.x <= 20 * 6 * scale - 12
    assert part.x + part.width >= (20 * 6 + 60) * scale + 12
    assert all(side % CELL == 0 for side in (part.x, part.y, part.width, part.height))


def test_much_motion_is_looked_at_whole():
    assert looks(lambda frame: [[0, 0, 832, 350]] if frame == 6 else [], range(EVERY))[6] == (WHOLE,)


def test_where_much_moves_all_the_time_whole_frames_are_looked_at():
    busy = looks(lambda frame: [[0, 0, 400, 400]], range(6 * EVERY))
    assert len(busy[6]) == 1
    assert busy[6] != (WHOLE,)
    assert set(busy[5 * EVERY :]) == {(WHOLE,)}


def test_a_model_that_cannot_look_at_parts_looks_at_whole_frames_when_something_moves():
    found = looks(lambda frame: [A_CAR] if frame == 4 else [], range(EVERY), parts=False)
    assert {regions for regions in found if regions} == {(WHOLE,)}
    assert found[1] == found[EVERY - 1] == ()


@pytest.mark.parametrize("parts", [True, False])
def test_what_moves_beside_the_middle_that_is_cropped_is_not_looked_at(parts):
    """Of a frame of 832 × 468 pixels the input shows 182 to 650 across."""
    spec = FrameInput(width=416, height=416, resize=Resize.CROP)
    gate = Gate(spec, parts=parts, memory=GateMemory(since=0))
    beside, half = [[20, 100, 90, 200], [700, 50, 830, 468]], [150, 100, 230, 200]
    for frame, moving in enumerate([beside, [*beside, half]]):
        gate.tell(gate.describe(frame, float(frame), WIDTH, HEIGHT, boxes(*moving)))
    nothing, some = gate.decide(final=True)
    assert (nothing.regions, nothing.memory.share) == ((), 0.0)
    assert some.regions == ((Rectangle(0, 64, 64, 128),) if parts else (Rectangle(0, 0, 416, 416),))
    assert some.memory.share > 0


def test_it_goes_on_from_its_memory_and_what_it_was_told_after_it():
    def moving(frame):
        return [A_CAR] if frame % 9 in (4, 5) else []

    gate = Gate(SPEC, parts=True)
    told, memories, regions = [], [], []
    for frame in range(60):
        told.append(gate.describe(frame, frame / FPS, WIDTH, HEIGHT, boxes(*moving(frame))))
        gate.tell(told[-1])
        for look in gate.decide(final=frame == 59):
            memories.append(look.memory)
            regions.append(look.regions)
    for after in (5, 13, 40):
        memory = msgspec.msgpack.decode(msgspec.msgpack.encode(memories[after]), type=GateMemory)
        again = Gate(SPEC, parts=True, memory=memory)
        for one in told[after + 1 :]:
            again.tell(one)
        assert [look.regions for look in again.decide(final=True)] == regions[after + 1 :]


def test_parts_are_whole_cells_inside_the_frame():
    placement = place(SPEC, WIDTH, HEIGHT)
    assert whole(placement) == WHOLE
    assert around(boxes([0, 0, 10, 10], [800, 440, 832, 468]), placement) == (
        Rectangle(0, 0, 32, 32),
        Rectangle(384, 192, 32, 64),
    )


def test_parts_that_touch_become_one():
    parts = joined([Rectangle(0, 0, 32, 32), Rectangle(96, 0, 32, 32), Rectangle(32, 32, 64, 32)])
    assert parts == (Rectangle(0, 0, 128, 64),)
    assert area(parts) == 128 * 64
