"""The way of one frame, on one page.

    source ─grab─▶ sampler ─retrieve─▶ fit into a slot ─ask─▶ engine ─receive─▶ scene ─▶ row and events ─▶ publisher
    `frames`                           `feed`

One thread walks it. While the engine works on the frames it has, the next ones are decoded, so that an answer is
followed at once by another request. Frames are counted when their turn in the order of the video has come, so a
checkpoint between two answers says exactly how far the job is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from model_export.predictions import Prediction
from server.analytics.scene import Moment, Scene
from server.core.metrics_page import JOBS_ROW
from server.domain.event import Event
from server.domain.outcome import OUTCOMES, Outcome
from server.domain.result import Row
from server.wire.messages import JobProgress
from server.worker.checkpoint import FORMAT, Checkpoint
from server.worker.errors import EngineSilent, InferenceFailed, ModelGone, ResultsRefused
from server.worker.frames import Feed, Frames, Sheet, Turn
from server.worker.publisher import Publisher
from server.worker.requests import WITHDRAW_S, Answer, Requests
from server.worker.source import skip

_WAIT_S = 0.1
_SLOT_S = 0.002


@dataclass
class Pipeline:
    """A job's frames from the source to the results.

    Args:
        frames: the wanted frames of the source.
        feed: makes inputs of the model of them.
        checkpoint_s: seconds between checkpoints.
        clock: monotonic seconds; only to decide when to save and how long things took.
    """

    frames: Frames
    feed: Feed
    requests: Requests
    scene: Scene
    publisher: Publisher
    checkpoint_s: float
    engine_patience_s: float = 120.0
    clock: Callable[[], float] = time.perf_counter

    outcomes: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    _ready: deque[Sheet] = field(default_factory=deque)
    _asked: deque[Sheet] = field(default_factory=deque)
    _next_frame: int = 0
    _last: Moment | None = None
    _error: str = ""

    def __post_init__(self) -> None:
        self._recorder = self.frames.recorder
        self._sampler = self.frames.sampler.state()
        self._heard_at = self.clock()

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on where a checkpoint was taken."""
        self.outcomes = dict(zip(OUTCOMES, checkpoint.outcomes, strict=True))
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
        self._fill()
        while (self._asked or self._ready or not self.feed.over) and not self._cancelled:
            sheet, answer = self._next()
            if sheet is not None:
                save = self.clock() - saved_at >= self.checkpoint_s
                if not save:
                    self._ask()  # the engine shall not wait while we analyse
                self._finish(sheet, answer)
                if save and self._save():
                    saved_at = self.clock()
            self._fill()
        self._end()

    def progress(self) -> JobProgress:
        """How far the job is."""
        moment = self._last
        pts_s = moment.pts_s if moment else 0.0
        duration_s = self.frames.source.duration_s
        return JobProgress(
            frames=tuple(self.outcomes.values()),
            pts_s=pts_s,
            progress=min(1.0, pts_s / duration_s) if duration_s else None,
            width=moment.width if moment else 0,
            height=moment.height if moment else 0,
        )

    @property
    def _cancelled(self) -> bool:
        return self.frames.cancelled.is_set()

    # ── towards the engine ───────────────────────────────────────────────────────────────────────────────────────

    def _fill(self) -> None:
        """Decode ahead until the engine has all it may have and one input more is ready, or an answer has come."""
        while len(self._asked) + len(self._ready) <= self.requests.limit and not self._cancelled:
            moved = self.feed.advance()
            while self.feed.sheets:
                self._ready.append(self.feed.sheets.popleft())
            self._ask()
            if not moved or self.requests.answered:
                break
        self._ask()

    def _ask(self) -> None:
        while self._ready and self.requests.room and not self._cancelled:
            frame = self._ready[0].frame
            if frame is None or not self.requests.ask(frame):
                return  # its turn is after the answers before it, or other jobs of this worker hold the slots
            if not self._asked:
                self._heard_at = self.clock()
            self._asked.append(self._ready.popleft())

    # ── back from the engine ─────────────────────────────────────────────────────────────────────────────────────

    def _next(self) -> tuple[Sheet | None, Answer | None]:
        """The next sheet that can be finished, with its answer if it was asked; None while there is none.

        Raises:
            EngineSilent: there has been none for too long.
        """
        if self._asked:
            answer = self.requests.receive(_WAIT_S)
            if answer is not None:
                self._heard_at = self.clock()
                return self._asked.popleft(), answer
            if self.clock() - self._heard_at > self.engine_patience_s:
                raise EngineSilent(f"The engine has not answered for {self.engine_patience_s:.0f} seconds.")
        elif self._ready and self._ready[0].frame is None:
            return self._ready.popleft(), None
        else:
            time.sleep(_SLOT_S)  # other jobs of this worker hold the slots
            self._ask()
        return None, None

    def _finish(self, sheet: Sheet, answer: Answer | None) -> None:
        """The last steps of its frames: analysed, published, counted.

        Raises:
            ModelGone: the engine does not have the model.
        """
        prediction = self._read(answer)
        failed = answer is not None and answer.error is not None
        for turn in sheet.turns:
            self._count(turn.passed)
            self._next_frame = turn.moment.frame + 1
            self._sampler = turn.sampler
            self.feed.finished(turn)
            if failed and turn.looked_at:
                self._count({Outcome.INFERENCE_ERROR: 1})
                continue
            start = self.clock()
            seen = self._see(turn, prediction)
            self._recorder.stage("analyse", self.clock() - start)
            if seen is not None:
                self._publish(*seen)
            self._last = turn.moment
            self._count({Outcome.ANALYSED if turn.looked_at else Outcome.GATED: 1})
        if answer is not None and answer.error is not None:
            self._error = answer.message
            if answer.error == "not_loaded":
                raise ModelGone(answer.message)

    def _read(self, answer: Answer | None) -> Prediction | None:
        """What the model said; None where it was not asked or failed."""
        if answer is None or answer.outputs is None:
            return None
        self._recorder.stage("queue", answer.queue_s)
        self._recorder.stage("infer", answer.infer_s)
        return self.scene.read(answer.outputs)

    def _see(self, turn: Turn, prediction: Prediction | None) -> tuple[Row, list[Event]] | None:
        if turn.tiles is not None:
            return self.scene.glance(turn.moment, prediction, turn.tiles)
        assert prediction is not None
        return self.scene.see(turn.moment, prediction)

    def _publish(self, row: Row, events: list[Event]) -> None:
        start = self.clock()
        self.publisher.add(row, events)
        for event in events:
            self._recorder.event(event.type)
        if self.publisher.due:
            self._flush()
        self._recorder.stage("publish", self.clock() - start)

    def _count(self, outcomes: dict[Outcome, int]) -> None:
        for outcome, frames in outcomes.items():
            self.outcomes[outcome] += frames
            self._recorder.frames(JOBS_ROW, outcome, frames)

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

    def abandon(self) -> None:
        """It went wrong: give back what is held, count what was in hand as lost, send the rows that are finished."""
        self._let_go(Outcome.LOST)
        self.publisher.flush(self.progress(), patience_s=WITHDRAW_S)

    def _end(self) -> None:
        """Account for what is left, end the scene, send the rest."""
        self._let_go(Outcome.CANCELLED)
        events = self.scene.end()
        for event in events:
            self._recorder.event(event.type)
        self.publisher.add_events(events)
        self._flush()
        if self.outcomes[Outcome.INFERENCE_ERROR] and not self.outcomes[Outcome.ANALYSED]:
            raise InferenceFailed(f"No frame could be inferred; the last error was: {self._error}")

    def _let_go(self, outcome: Outcome) -> None:
        """Take leave of the engine; frames that were in hand end as `outcome`."""
        turns, passed = self.feed.let_go()
        for turn in (*(turn for sheet in (*self._asked, *self._ready) for turn in sheet.turns), *turns):
            self._count(turn.passed)
            self._count({outcome: 1})
        self._count(passed)
        for sheet in self._ready:
            if sheet.frame is not None:
                self.requests.give(sheet.frame)
        self._asked.clear()
        self._ready.clear()
        self.requests.withdraw(WITHDRAW_S)
