"""One stream in its worker: two threads, one that decodes and one that walks its frames to the results."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event as Flag
from threading import Thread

from model_export.errors import VidserveError
from model_export.manifest import Manifest
from server.core.calls import CallRow
from server.domain.analysis import Analysis, frames_fps
from server.domain.stream import SOURCE
from server.wire.messages import ChangeStream, Look, StartStream, StreamEnded
from server.worker.live.frames import LiveFrames
from server.worker.live.intake import Intake
from server.worker.live.looks import Looks
from server.worker.live.publisher import LivePublisher
from server.worker.live.reader import Reader
from server.worker.live.walk import LiveWalk, max_age_s
from server.worker.surroundings import Surroundings

_log = logging.getLogger(__name__)

_READER_S = 0.2


class RunningStream:
    """A stream, from its start to its last word.

    Args:
        ended: called, on its thread, when it is over.
    """

    def __init__(self, order: StartStream, around: Surroundings, ended: Callable[[str, int], None]) -> None:
        self._order = order
        self._around = around
        self._ended = ended
        self._cancelled = Flag()
        self._silent = False
        self._changes: queue.SimpleQueue[ChangeStream] = queue.SimpleQueue()
        self._lookers: queue.SimpleQueue[Look] = queue.SimpleQueue()
        self._thread = Thread(target=self._body, name=order.stream, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def change(self, order: ChangeStream) -> None:
        """Go on with another analysis or model."""
        self._changes.put(order)

    def look(self, order: Look) -> None:
        """Show the next frame."""
        self._lookers.put(order)

    def stop(self) -> None:
        """Ask it to end."""
        self._cancelled.set()

    def abandon(self) -> None:
        """End without a last word: the worker ends, and another one goes on."""
        self._silent = True
        self._cancelled.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; False if it took longer."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _body(self) -> None:
        order, around = self._order, self._around
        identity = f"{around.name}.{around.incarnation}.{order.stream}.{order.attempt}"
        publisher = LivePublisher(
            around.context,
            around.api,
            identity,
            around.incarnation,
            stream=order.stream,
            attempt=order.attempt,
            recorder=around.recorder,
            row=order.row,
        )
        try:
            with around.rows.lent(order.stream) as row:
                ended = self._run(publisher, identity, row)
            if not self._silent:
                publisher.end(ended)
        finally:
            publisher.close()
            self._ended(order.stream, order.attempt)

    def _run(self, publisher: LivePublisher, identity: str, row: CallRow) -> StreamEnded:
        """All of it; whatever goes wrong for good becomes its last word."""
        order, around = self._order, self._around
        try:
            analysis = Analysis.model_validate_json(order.analysis)
            source = SOURCE.decode(order.source)
            with ExitStack() as stack:
                intake = stack.enter_context(closing(Intake()))
                looks = Looks(self._lookers, publisher.show)
                frames = LiveFrames(intake, row, around.recorder, self._cancelled, max_age_s(analysis), looks)
                fps = frames_fps(Manifest.read(Path(order.bundle) / "manifest.json"), analysis)
                reader = Reader(
                    order.stream,
                    source,
                    intake,
                    around.rows,
                    around.open_live,
                    sample_fps=fps,
                    after=order.after,
                    refusals=order.refusals,
                )
                walk = stack.enter_context(closing(LiveWalk(order, around, identity, frames, reader, publisher)))
                stack.enter_context(around.precedence.given(walk))
                reader.start()
                try:
                    return walk.run(self._next_change)
                finally:
                    reader.stop()
                    reader.join(_READER_S)
                    walk.end()
        except VidserveError as error:
            return StreamEnded(order.stream, order.attempt, error.code, str(error))
        except Exception:  # the edge of a thread: one stream's bug must not take the others with it
            _log.exception("stream failed", extra={"stream": order.stream})
            return StreamEnded(
                order.stream, order.attempt, "internal_error", "The server made a mistake; its log says which."
            )

    def _next_change(self) -> ChangeStream | None:
        return None if self._changes.empty() else self._changes.get()
