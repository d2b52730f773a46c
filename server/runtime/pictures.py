"""Single pictures on their way to a worker and back as a row."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

from server.core.errors import ModelUnavailable, QueueFull, relayed
from server.runtime.hub import Hub
from server.wire.messages import Predict, Predicted
from server.wire.sockets import Received

_PATIENCE_S = 60.0


class Pictures:
    """The pictures that workers have in hand.

    Args:
        engine_address: of the engine that serves the model.
        worker: names the worker that takes the next picture.
        most: pictures that may be in hand at a time.
    """

    def __init__(self, hub: Hub, *, engine_address: str, worker: Callable[[], str], most: int) -> None:
        self._hub = hub
        self._most = most
        self._engine_address = engine_address
        self._worker = worker
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[str, asyncio.Future[bytes]]] = {}
        hub.on(Predicted, self._on_predicted)

    async def predict(
        self, bundle: str, image: bytes, *, confidence: float | None, labels: Sequence[str] | None
    ) -> bytes:
        """One encoded picture through the loaded model of the folder `bundle`, as a result row (JSON).

        Raises:
            QueueFull: too many are in hand.
            ModelUnavailable: no worker takes it, or it died of it.
            VidserveError: `picture_unreadable`, `predict_failed`.
        """
        if len(self._waiting) >= self._most:
            raise QueueFull(
                f"{self._most} pictures are in hand, and no more are taken.",
                hint="Try again in a second, or raise `[limits] pictures`.",
            )
        number = next(self._numbers)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        worker = self._worker()
        self._waiting[number] = (worker, future)
        try:
            order = Predict(number, bundle, self._engine_address, confidence, labels)
            if not await self._hub.send(worker, order, [image]):
                raise ModelUnavailable("The worker is starting.", hint="Try again in a second.")
            async with asyncio.timeout(_PATIENCE_S):
                return await future
        except TimeoutError as error:
            raise ModelUnavailable(f"No answer within {_PATIENCE_S:.0f} s.") from error
        finally:
            del self._waiting[number]

    def worker_lost(self, worker: str) -> None:
        """A worker is gone, and the pictures it had with it."""
        for owner, future in self._waiting.values():
            if owner == worker and not future.done():
                future.set_exception(ModelUnavailable("The process that read the picture died of it or beside it."))

    def engine_lost(self) -> None:
        """The engine is gone, and what it had been asked with it."""
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(ModelUnavailable("The engine was started again; send the picture once more."))

    def _on_predicted(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, Predicted)
        _, future = self._waiting.get(message.request, (None, None))
        if future is None or future.done():
            return
        if message.code:
            future.set_exception(relayed(message.code, message.message))
        else:
            future.set_result(received.payload[0])
