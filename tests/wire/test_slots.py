import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.calls import CallPage
from server.core.metrics_page import Page
from server.wire.errors import FrameTooLarge, SharedMemoryTooSmall, StaleFrame
from server.wire.memory import folder, sweep
from server.wire.messages import FrameRef
from server.wire.slots import Segment, Segments, SizeClass, Slots, few_of, size_classes, slots_bytes

SMALL, LARGE = 4096, 16384


@pytest.fixture
def segment(request):
    made = Segment.create(
        f"vidserve.test.{os.getpid()}.{abs(hash(request.node.nodeid))}", [SizeClass(LARGE, 1), SizeClass(SMALL, 2)]
    )
    yield made
    made.close()


def test_what_the_owner_writes_another_mapping_reads(segment):
    ref, array = Slots(segment).take((10, 20, 3))
    array[:] = np.arange(600, dtype=np.uint8).reshape(10, 20, 3) % 251
    others = Segments()
    assert np.array_equal(others.array(ref), array)
    assert others.holds(ref)


def test_a_reference_that_outlived_its_frame_is_noticed(segment):
    slots = Slots(segment)
    refs = [slots.take((100,))[0] for _ in range(3)]
    for ref in refs:
        slots.give(ref)
    for _ in refs:
        slots.take((100,))
    others = Segments()
    for ref in refs:
        assert not others.holds(ref)
        with pytest.raises(StaleFrame):
            others.array(ref)


def test_a_segment_whose_owner_has_ended_is_stale_and_not_a_crash():
    with pytest.raises(StaleFrame):
        Segments().array(FrameRef("shm", "vidserve.gone", 0, 1, (1,), "uint8"))


def test_slots_are_taken_all_or_none(segment):
    slots = Slots(segment)
    held = slots.take((SMALL,))[0]
    pair = slots.take_all([(SMALL,), (LARGE,)])
    assert [segment.sizes[ref.slot] for ref, _ in pair] == [SMALL, LARGE]
    slots.give(pair[0][0])
    slots.give(held)
    assert slots.take_all([(SMALL,), (LARGE,)]) is None
    assert slots.taken == 1
    assert [slots.take((SMALL,)) is not None for _ in range(3)] == [True, True, False]


def test_more_at_once_than_an_empty_segment_has_is_an_error_and_not_an_endless_wait(segment):
    with pytest.raises(FrameTooLarge, match=r"2 frames .* 4097 bytes or more .* 1 of the slots can"):
        Slots(segment).take_all([(SMALL + 1,), (LARGE,)])


def test_slots_are_given_from_the_smallest_class_that_has_one(segment):
    slots = Slots(segment)
    taken = [slots.take((SMALL,))[0] for _ in range(3)]
    assert [segment.sizes[ref.slot] for ref in taken] == [SMALL, SMALL, LARGE]
    assert slots.take((SMALL,)) is None
    slots.give(taken[0])
    assert slots.take((SMALL,))[0].slot == taken[0].slot


def test_an_array_that_never_fits_is_an_error_that_names_the_setting(segment):
    with pytest.raises(FrameTooLarge, match=r"workers\.shm_mb"):
        Slots(segment).take((LARGE + 1,))


def test_a_slot_given_twice_is_an_error(segment):
    slots = Slots(segment)
    ref, _ = slots.take((1,))
    slots.give(ref)
    with pytest.raises(ValueError, match="not taken"):
        slots.give(ref)


def test_arrays_of_all_slots_do_not_overlap(segment):
    slots = Slots(segment)
    arrays = [slots.take((size,))[1] for size in segment.sizes]
    for number, array in enumerate(arrays):
        array[:] = number
    assert [set(array.tolist()) for array in arrays] == [{0}, {1}, {2}]


@given(st.lists(st.booleans(), max_size=60))
def test_no_slot_is_ever_taken_twice(steps):
    segment = Segment.create(f"vidserve.test.{os.getpid()}.twice", [SizeClass(SMALL, 4)])
    try:
        slots, held = Slots(segment), []
        for take in steps:
            if take:
                taken = slots.take((8,))
                assert (taken is None) == (len(held) == 4)
                if taken:
                    held.append(taken[0])
            elif held:
                slots.give(held.pop(0))
            assert len({ref.slot for ref in held}) == len(held) == slots.taken
    finally:
        segment.close()


def test_too_little_shared_memory_names_the_cure():
    with pytest.raises(SharedMemoryTooSmall, match="--shm-size"):
        Segment.create("vidserve.test.huge", [SizeClass(1 << 40, 8)])
    assert not (folder() / "vidserve.test.huge").exists()


def test_what_a_killed_owner_left_is_swept_and_what_a_living_one_holds_is_not(segment):
    make = "from server.wire.memory import SharedFile; file = SharedFile.create('vidserve.test.orphan', 4096)"
    subprocess.run([sys.executable, "-c", f"{make}; import os; os._exit(9)"], check=False)
    assert (folder() / "vidserve.test.orphan").exists()
    unfinished = folder() / ".vidserve.test.unfinished"  # killed while it was reserved
    unfinished.touch()
    swept = sweep()
    assert {"vidserve.test.orphan", unfinished.name} <= set(swept)
    assert not unfinished.exists()
    assert segment.name not in swept
    assert (folder() / segment.name).exists()


def test_a_workers_share_holds_the_common_inputs():
    sizes = {c.slot_bytes: c.slots for c in size_classes(28 * 2**20)}
    assert sum(size * count for size, count in sizes.items()) <= 28 * 2**20
    assert sizes[256 * 1024] >= 8
    assert sizes[640 * 1024] >= 16
    assert sizes[1280 * 1024] >= 7
    assert sizes[4096 * 1024] >= 1


def test_the_slots_of_two_workers_and_the_quarantine_worker_fit_into_what_a_container_has():
    classes = size_classes(28 * 2**20)
    few = {c.slot_bytes: c.slots for c in few_of(classes)}
    assert max(few) == max(classes).slot_bytes
    assert sum(few.values()) >= 8
    pages = Page.bytes_for(4) + CallPage.bytes_for(3) + 16 * 4096
    assert 2 * slots_bytes(classes) + slots_bytes(few_of(classes)) + pages < 64 * 2**20
