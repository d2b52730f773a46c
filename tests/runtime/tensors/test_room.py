import asyncio
import functools
import os
import time

import pytest

from server.core.errors import DeadlinePassed, UploadTooLarge
from server.runtime.tensors.room import Room, tensor_classes
from server.wire.errors import SharedMemoryTooSmall
from server.wire.memory import PREFIX, folder
from server.wire.slots import slots_bytes

TOTAL = 64 * 2**20


def with_room(test):
    @functools.wraps(test)
    def run():
        async def within():
            name = f"{PREFIX}test.{os.getpid()}.{test.__name__}"
            room = Room(name, TOTAL)
            try:
                await test(room, folder() / name)
            finally:
                room.close()
            assert not (folder() / name).exists()

        asyncio.run(within())

    del run.__wrapped__  # pytest would ask for what the inner function takes
    return run


@pytest.mark.parametrize("megabytes", [8, 16, 64, 100, 1024])
def test_the_classes_fit_and_a_quarter_is_for_the_largest(megabytes):
    total = megabytes * 2**20
    classes = tensor_classes(total)
    assert slots_bytes(classes) <= total
    assert max(size for size, _ in classes) >= total // 4
    assert all(size % 4096 == 0 for size, _ in classes)


@with_room
async def test_nothing_is_reserved_until_somebody_needs_it(room, file):
    assert not file.exists()
    ref, slot = await room.take(100, None)
    assert file.stat().st_size > TOTAL // 2
    assert len(slot) >= 100
    room.give(ref)


@with_room
async def test_who_finds_no_slot_waits_for_one(room, file):
    held = await room.take(room.largest, None)
    waiting = asyncio.create_task(room.take(room.largest, None))
    small = await room.take(10, None)  # does not wait for those who want more
    assert not waiting.done()
    room.give(held[0])
    ref, _ = await asyncio.wait_for(waiting, 5)
    room.give(ref)
    room.give(small[0])


@with_room
async def test_nobody_waits_longer_than_the_deadline_and_the_slot_is_for_the_next(room, file):
    held, _ = await room.take(room.largest, None)
    with pytest.raises(DeadlinePassed):
        await room.take(room.largest, time.monotonic() + 0.05)
    gone = asyncio.create_task(room.take(room.largest, None))
    await asyncio.sleep(0)
    room.give(held)
    gone.cancel()  # at the moment at which it was given one
    with pytest.raises(asyncio.CancelledError):
        await gone
    ref, _ = await asyncio.wait_for(room.take(room.largest, None), 5)
    room.give(ref)


@with_room
async def test_more_than_the_largest_slot_is_refused_with_what_to_set(room, file):
    with pytest.raises(UploadTooLarge, match=r"v2\.shm_mb to 65 or more"):
        await room.take(room.largest + 1, None)


def test_where_there_is_not_that_much_it_is_said():
    async def check():
        there_is = os.statvfs(folder())
        room = Room(f"{PREFIX}test.{os.getpid()}.much", 2 * there_is.f_blocks * there_is.f_frsize)
        with pytest.raises(SharedMemoryTooSmall, match="--shm-size"):
            await room.take(1, None)
        room.close()

    asyncio.run(check())
