import asyncio
import os
import threading

import numpy as np
import pytest

from server.domain.inference import Tensor
from server.runtime.tensors import exchange
from server.runtime.tensors.exchange import Block, Exchange, somewhere
from server.runtime.tensors.room import Room
from server.wire.memory import PREFIX

_LARGE = 2**20


def test_who_is_cancelled_waits_for_the_thread_that_moves_its_tensors():
    async def run():
        begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

        def move():
            begun.set()
            may_end.wait(30)
            ended.set()

        moving = asyncio.create_task(somewhere(_LARGE, move))
        await asyncio.to_thread(begun.wait, 30)
        for _ in range(2):
            moving.cancel()
            await asyncio.sleep(0.02)
        assert not moving.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await moving
        assert ended.is_set()

    asyncio.run(run())


def test_what_a_cancelled_request_still_writes_is_not_in_the_next_one_s_inputs(monkeypatch):
    fill, begun, may_go_on = exchange._fill, threading.Event(), threading.Event()

    def slow(slot, metas, tensors):
        if tensors[0].array.flat[0] == 1:
            begun.set()
            may_go_on.wait(30)
        fill(slot, metas, tensors)

    class Engine:
        read = 0.0

        async def ask(self, ask):
            await asyncio.sleep(0.1)
            self.read = room._segment.array(ask.frame).view(np.float32)[0]
            raise asyncio.CancelledError

        async def leave(self, stream):
            pass

    def block(level):
        return Block(str(level), 1, "m@1", [Tensor("x", np.full((1, _LARGE), level, np.float32))], (), 0)

    async def run():
        engine = Engine()
        talk = Exchange(engine, room)
        first = asyncio.create_task(talk.run(block(1)))
        await asyncio.to_thread(begun.wait, 30)
        first.cancel()
        second = asyncio.create_task(talk.run(block(2)))
        await asyncio.sleep(0.02)
        may_go_on.set()
        await asyncio.gather(first, second, return_exceptions=True)
        await talk.close()
        return engine.read

    monkeypatch.setattr(exchange, "_fill", slow)
    room = Room(f"{PREFIX}{os.getpid()}.exchange", 16 * _LARGE)
    try:
        assert asyncio.run(run()) == 2
    finally:
        room.close()
