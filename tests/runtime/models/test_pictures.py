import asyncio

import pytest

from server.core.errors import ModelUnavailable, QueueFull
from server.runtime.models.pictures import Pictures
from server.wire.messages import Predicted


class Hub:
    """Keeps what is sent; `say` is what a worker answers."""

    def __init__(self):
        self.sent = []

    def on(self, kind, handler):
        self.say = handler

    async def send(self, peer, message, payload=()):
        self.sent.append(message)
        return True


class Said:
    def __init__(self, message, payload=()):
        self.message, self.payload = message, payload


def test_one_picture_more_than_may_be_in_hand_is_refused_and_taken_when_another_is_done():
    async def story():
        hub = Hub()
        pictures = Pictures(hub, engine_address="ipc://engine", worker=lambda: "worker-0", most=2)

        def predict():
            return asyncio.ensure_future(pictures.predict("folder", b"jpeg", confidence=None, labels=None))

        first, second = predict(), predict()
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="2 pictures"):
            await predict()
        hub.say(Said(Predicted(hub.sent[0].request), [b"{}"]))
        assert await first == b"{}"
        third = predict()
        await asyncio.sleep(0)
        pictures.worker_lost("worker-0")
        for lost in (second, third):
            with pytest.raises(ModelUnavailable):
                await lost

    asyncio.run(story())
