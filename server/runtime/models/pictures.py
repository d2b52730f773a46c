"""Single pictures on their way to a worker and back as a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from server.core.errors import ModelUnavailable, QueueFull, relayed
from server.runtime.processes.hub import Hub
from server.runtime.processes.questions import NoWorker, Questions, WorkerEnded
from server.wire.messages import Predict, Predicted

_PATIENCE_S = 60.0


class Pictures:
    """The pictures that workers have in hand.

    Args:
        engine_address: of the engine that serves the model.
        worker: names the worker that takes the next picture.
        most: pictures that may be in hand at a time.
    """

    def __init__(self, hub: Hub, *, engine_address: str, worker: Callable[[], str], most: int) -> None:
        self._most = most
        self._engine_address = engine_address
        self._worker = worker
        self._questions = Questions(hub, Predicted)

    async def predict(
        self, bundle: str, image: bytes, *, confidence: float | None, labels: Sequence[str] | None
    ) -> bytes:
        """One encoded picture through the loaded model of the folder `bundle`, as a result row (JSON).

        Raises:
            QueueFull: too many are in hand.
            ModelUnavailable: no worker takes it, or it died of it.
            VidserveError: `picture_unreadable`, `predict_failed`.
        """
        if len(self._questions) >= self._most:
            raise QueueFull(
                f"{self._most} pictures are in hand, and no more are taken.",
                hint="Try again in a second, or raise `[limits] pictures`.",
            )

        def question(number: int) -> Predict:
            return Predict(number, bundle, self._engine_address, confidence, labels)

        try:
            received = await self._questions.ask(self._worker(), question, [image], patience_s=_PATIENCE_S)
        except NoWorker:
            raise ModelUnavailable("The worker is starting.", hint="Try again in a second.") from None
        except WorkerEnded:
            raise ModelUnavailable("The process that read the picture died of it or beside it.") from None
        except TimeoutError as error:
            raise ModelUnavailable(f"No answer within {_PATIENCE_S:.0f} s.") from error
        said = received.message
        assert isinstance(said, Predicted)
        if said.code:
            raise relayed(said.code, said.message)
        return received.payload[0]

    def worker_lost(self, worker: str) -> None:
        """A worker is gone, and the pictures it had with it."""
        self._questions.worker_lost(worker)

    def engine_lost(self) -> None:
        """The engine is gone, and what it had been asked with it."""
        self._questions.fail(lambda: ModelUnavailable("The engine was started again; send the picture once more."))
