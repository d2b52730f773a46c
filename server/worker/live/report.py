"""How a stream is, told to the API process: at each change, and every second."""

from __future__ import annotations

import time

from model_export.errors import VidserveError
from server.domain.stream import StreamState
from server.wire.messages import StreamStatus
from server.worker.live.intake import Link
from server.worker.live.publisher import LivePublisher

_EVERY_S = 1.0


class Report:
    """
    Args:
        publisher: sends it.
    """

    def __init__(self, stream: str, attempt: int, publisher: LivePublisher) -> None:
        self._stream = stream
        self._attempt = attempt
        self._publisher = publisher
        self._trouble: VidserveError | None = None
        self._told: tuple[object, ...] = ()
        self._due = 0.0

    def trouble(self, error: VidserveError | None) -> None:
        """Why frames get no results although the source gives them; None: they do."""
        self._trouble = error

    def tell(self, link: Link) -> None:
        """Say how it is, if that is news or was said a second ago."""
        running = link.state is StreamState.RUNNING
        code, message = link.code, link.message
        if running and self._trouble is not None:
            code, message = self._trouble.code, str(self._trouble)
        now = time.monotonic()
        news = link.state, code, link.codec, link.width, link.height, link.retry_at
        if link.state in (StreamState.ENDED, StreamState.FAILED) or (news == self._told and now < self._due):
            return
        self._told, self._due = news, now + _EVERY_S
        self._publisher.tell(
            StreamStatus(
                self._stream,
                self._attempt,
                link.state,
                code=code,
                message=message,
                retry_s=round(max(0.0, link.retry_at - now), 3) if link.retry_at else 0.0,
                reconnects=link.reconnects,
                refusals=link.refusals,
                codec=link.codec,
                width=link.width,
                height=link.height,
                fps=link.fps if running else 0.0,
                frame_at=_unix(link.frame_at, now),
                result_at=_unix(self._publisher.result_at, now),
            )
        )


def _unix(monotonic: float, now: float) -> float:
    """Unix seconds of a moment on CLOCK_MONOTONIC; 0 stays 0."""
    return round(time.time() - (now - monotonic), 3) if monotonic else 0.0
