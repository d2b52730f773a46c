"""A stream between its creation and its deletion: what it shall be, how it is, what is known against it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from model_export.manifest import Manifest
from server.core.metrics import StreamRow
from server.domain.analysis import asked_fps
from server.domain.outcome import Outcome
from server.domain.stream import KeptStream, Stream, StreamProblem, StreamState
from server.runtime.streams.diary import Diary
from server.runtime.streams.sources import shown
from server.runtime.streams.suspicion import Suspicion
from server.wire.messages import Reached, Refusals, StreamStatus

_UNAUTHORIZED = "source_unauthorized"
_REASONS = 32
"""Reasons of reconnects that are told apart; all others are one."""


@dataclass(eq=False)
class StreamCase:
    """
    Attributes:
        kept: what it shall be.
        row: of the metrics page.
        known: what the metrics know of it besides that; also its state.
        changed: called when it has come to another state.
        manifests: of the models that look at it now, that of a gate last.
        problem: what was wrong last.
        since: when it came to its state.
        quiet: set while no worker has it.
    """

    kept: KeptStream
    row: int
    known: StreamRow
    changed: Callable[[StreamCase, str, str], None]
    manifests: tuple[Manifest, ...] = ()
    status: StreamStatus | None = None
    problem: StreamProblem | None = None
    suspicion: Suspicion = field(default_factory=Suspicion)
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    _ran: bool = False
    _settled: bool = True
    _reached: Reached = field(default_factory=Reached)
    _reached_at: float = 0.0
    _refusals: Refusals = field(default_factory=Refusals)
    _rest_until: float = 0.0

    def __post_init__(self) -> None:
        self._diary = Diary(self.id)
        self.quiet.set()

    @property
    def id(self) -> str:
        return self.kept.id

    @property
    def models(self) -> tuple[str, ...]:
        """`name@version` of the models that look at it now, that of a gate last."""
        return tuple(manifest.id for manifest in self.manifests)

    @property
    def fps(self) -> float | None:
        """Frames that the source gives a second, as measured; None if that is not known."""
        return (self.status.fps or None) if self.status is not None else None

    @property
    def trouble(self) -> tuple[str, str]:
        """Code and message of what is wrong at this moment; both empty: nothing that is known."""
        if self.known.state is StreamState.RUNNING and self.status is not None:
            return self.status.code, self.status.message
        if self.known.state in (StreamState.RECONNECTING, StreamState.FAILED) and self.problem is not None:
            return self.problem.code, self.problem.message
        return "", ""

    def become(self, state: StreamState, code: str = "", message: str = "") -> None:
        """Be in a state from now on, for a reason where something is wrong. The only place where the state changes."""
        if state is StreamState.STARTING and self._ran:
            state = StreamState.RECONNECTING  # whatever began anew, it was there before
        if message:
            self._note(code, message)
            if state is not StreamState.RUNNING:
                self._diary.trouble(self.kept.name, state, code, message)
        elif state is StreamState.RUNNING:
            self._over()
        before, self.known.state = self.known.state, state
        if state is before:
            return
        self.since = datetime.now(UTC)
        if state is StreamState.RUNNING:
            self._ran = True
            self._diary.runs(self.kept.name)
        elif state in (StreamState.PAUSED, StreamState.ENDED):
            self._ran = False
        elif state is StreamState.RECONNECTING:
            self._count(code or "restart")
            if code and not message:
                self._diary.moved(self.kept.name)
        self.changed(self, code, message)

    def unchanged(self, code: str, message: str) -> None:
        """It was to be looked at in another way, and is looked at as before."""
        self._settled = False
        self._note(code, message)
        self._diary.trouble(self.kept.name, StreamState.RUNNING, code, message)

    def looked_at_by(self, manifests: tuple[Manifest, ...]) -> None:
        """From now on it is looked at with these models, as it shall be."""
        self.manifests = manifests
        self._settled = True

    def _note(self, code: str, message: str) -> None:
        before, now = self.problem, datetime.now(UTC)
        goes_on = before is not None and before.code == code and before.over_at is None
        since = before.since if before is not None and goes_on else now
        self.problem = StreamProblem(code=code, message=message, since=since, at=now)

    def _over(self) -> None:
        """Frames come, and are looked at."""
        if self.problem is not None and self.problem.over_at is None and self._settled:
            self.problem = self.problem.model_copy(update={"over_at": datetime.now(UTC)})

    def heard(self, status: StreamStatus) -> None:
        """Its worker says how it is."""
        self.status = status
        self._mind_refusals(status)
        self.known.last_frame_at = status.frame_at or self.known.last_frame_at
        self.known.last_result_at = status.result_at or self.known.last_result_at
        self.become(StreamState(status.state), status.code, status.message)

    @property
    def refusals(self) -> Refusals:
        """Of its credentials, as of this moment."""
        rest_s = max(0.0, self._rest_until - time.monotonic())
        return Refusals(self._refusals.times, rest_s, self._refusals.message)

    @property
    def waits_to_be_changed(self) -> bool:
        """Whether it is tried again at once when it is changed in any way: somebody may have mended the camera."""
        return self.known.state is StreamState.FAILED or self._refusals.times > 0

    def forgive(self) -> None:
        """It is begun by hand: its source or credentials may be other ones now, or right ones."""
        self._refusals, self._rest_until = Refusals(), 0.0
        self._diary.changed()

    def _mind_refusals(self, status: StreamStatus) -> None:
        if status.state == StreamState.RUNNING:
            self._refusals, self._rest_until = Refusals(), 0.0
        elif status.refusals:
            rest_s = status.retry_s if status.code == _UNAUTHORIZED else 0.0
            self._refusals = Refusals(status.refusals, rest_s, status.message)
            self._rest_until = time.monotonic() + rest_s

    def come_to(self, reached: Reached) -> None:
        """Its rows have come so far."""
        self._reached, self._reached_at = reached, time.monotonic()

    def reached(self) -> Reached:
        """How far it has come at this moment: media time has gone on since its last row."""
        if self._reached.frame < 0:
            return self._reached
        passed_s = time.monotonic() - self._reached_at
        return Reached(self._reached.frame, self._reached.pts_s + passed_s, self._reached.track)

    def view(self, frames: dict[Outcome, int]) -> Stream:
        """As clients see it.

        Args:
            frames: by outcome.
        """
        kept, status = self.kept, self.status
        return Stream(
            id=kept.id,
            name=kept.name,
            managed_by=kept.managed_by,
            url=shown(kept.url),
            username=kept.username,
            transport=kept.transport,
            loop=kept.loop,
            state=self.known.state,
            paused=kept.paused,
            created_at=kept.created_at,
            analysis=kept.analysis,
            model=self.models[0] if self.models else None,
            asked_fps=asked_fps(self.manifests[0], kept.analysis) if self.manifests else None,
            codec=(status.codec or None) if status else None,
            width=(status.width or None) if status else None,
            height=(status.height or None) if status else None,
            fps=None if self.fps is None else round(self.fps, 2),
            last_frame_at=_moment(self.known.last_frame_at),
            last_result_at=_moment(self.known.last_result_at),
            reconnects=sum(self.known.reconnects.values()),
            frames=frames,
            error=self.problem,
        )

    def _count(self, reason: str) -> None:
        reconnects = self.known.reconnects
        if reason not in reconnects and len(reconnects) >= _REASONS:
            reason = "other"
        reconnects[reason] = reconnects.get(reason, 0) + 1


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
