"""A job's walk along the way of its frames: from the first to the last, with checkpoints on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from server.analytics.scene import Scene
from server.domain.event import Event
from server.domain.outcome import OUTCOMES, Outcome
from server.domain.result import Row
from server.wire.messages import JobProgress
from server.worker.checkpoint import FORMAT, Checkpoint
from server.worker.errors import EngineSilent, InferenceFailed, ModelGone, ResultsRefused
from server.worker.frames import Feed, FileFrames, Sheet, Turn
from server.worker.pipeline import Pipeline
from server.worker.publisher import Publisher
from server.worker.requests import WITHDRAW_S, Answer, Requests
from server.worker.source import skip


@dataclass
class Walk:
    """
    Args:
        frames: the wanted frames of the video.
        feed: makes inputs of the model of them.
        checkpoint_s: seconds between checkpoints.
        give_way: called before each frame; returns when nobody else is to go first.
        clock: monotonic seconds; only to decide when to save and how long things took.
    """

    frames: FileFrames
    feed: Feed
    requests: Requests
    scene: Scene
    publisher: Publisher
    checkpoint_s: float
    engine_patience_s: float = 120.0
    clock: Callable[[], float] = time.perf_counter
    give_way: Callable[[], None] = lambda: None

    _next_frame: int = 0
    _error: str = ""

    def __post_init__(self) -> None:
        self._way = Pipeline(self.frames, self.feed, self.requests, self.scene, self._publish, clock=self.clock)
        self._sampler = self.frames.sampler.state()

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """Frames so far, each once, whatever was killed meanwhile."""
        return self._way.outcomes

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on where a checkpoint was taken."""
        self._way.outcomes = dict(zip(OUTCOMES, checkpoint.outcomes, strict=True))
        self.frames.sampler.restore(checkpoint.sampler)
        self._sampler = checkpoint.sampler
        self.scene.restore(checkpoint.scene)
        self.requests.put_states(checkpoint.rows)
        self.feed.restore(checkpoint.feed)
        self._next_frame = checkpoint.next_frame
        skip(self.frames.source, checkpoint.next_frame, self.frames.cancelled)

    def run(self) -> None:
        """Walk every frame to its end.

        Raises:
            InferenceFailed: no frame could be inferred.
            ModelGone: the engine does not have the model.
            EngineSilent: the engine gave no answer for a long time.
            ResultsRefused: the API process took no results for a long time.
        """
        saved_at = self.clock()
        self._way.fill()
        while (self._way.in_hand or not self.feed.over) and not self.frames.cancelled.is_set():
            sheet, answer = self._way.next()
            if sheet is not None:
                save = self.clock() - saved_at >= self.checkpoint_s
                if not save:
                    self._way.ask()  # the engine shall not wait while we analyse
                self._finish(sheet, answer)
                if save and self._save():
                    saved_at = self.clock()
            self.give_way()
            self._way.fill()
            if self._way.silent_s > self.engine_patience_s:
                raise EngineSilent(f"The engine has not answered for {self.engine_patience_s:.0f} seconds.")
        self._end()

    def progress(self) -> JobProgress:
        """How far the job is."""
        moment = self._way.seen
        pts_s = moment.pts_s if moment else 0.0
        duration_s = self.frames.source.duration_s
        return JobProgress(
            frames=tuple(self.outcomes.values()),
            pts_s=pts_s,
            progress=min(1.0, pts_s / duration_s) if duration_s else None,
            width=moment.width if moment else 0,
            height=moment.height if moment else 0,
        )

    def abandon(self) -> None:
        """It went wrong: give back what is held, count what was in hand as lost, send the rows that are finished."""
        self._way.let_go(Outcome.LOST)
        self.publisher.flush(self.progress(), patience_s=WITHDRAW_S)

    def _finish(self, sheet: Sheet, answer: Answer | None) -> None:
        """
        Raises:
            ModelGone: the engine does not have the model.
        """
        self._way.finish(sheet, answer)
        last = sheet.turns[-1]
        self._next_frame, self._sampler = last.moment.frame + 1, last.sampler
        if answer is not None and answer.error is not None:
            self._error = answer.message
            if answer.error == "not_loaded":
                raise ModelGone(answer.message)

    def _publish(self, _: Turn, row: Row, events: list[Event]) -> None:
        self.publisher.add(row, events)
        if self.publisher.due:
            self._flush()

    def _flush(self) -> None:
        if not self.publisher.flush(self.progress()):
            raise ResultsRefused("The server has taken no results for a minute.")

    def _save(self) -> bool:
        """Send what there is, and how to go on after it; False if the engine did not say its part."""
        rows = self.requests.states(WITHDRAW_S)
        feed = self.feed.state(WITHDRAW_S)
        if rows is None or feed is None:
            return False
        self._flush()
        checkpoint = Checkpoint(
            FORMAT,
            self._next_frame,
            tuple(self.outcomes.values()),
            self._sampler,
            self.scene.state(),
            tuple(rows),
            feed,
        )
        self.publisher.checkpoint(self._next_frame, checkpoint.encode())
        return True

    def _end(self) -> None:
        """Account for what is left, end the scene, send the rest."""
        self._way.let_go(Outcome.CANCELLED)
        events = self.scene.end()
        self._way.raised(events)
        self.publisher.add_events(events)
        self._flush()
        if self.outcomes[Outcome.INFERENCE_ERROR] and not self.outcomes[Outcome.ANALYSED]:
            raise InferenceFailed(f"No frame could be inferred; the last error was: {self._error}")
