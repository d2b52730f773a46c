"""The way of one frame, on one page: of a job's video and of a stream alike.

    source ─grab─▶ sampler ─retrieve─▶ fit into a slot ─ask─▶ engine ─receive─▶ scene ─▶ row and events ─▶ publisher
    `frames`                           `feed`

One thread walks it. A job decodes ahead while the engine works on the frames it has, so that an answer is followed at
once by another request. A stream takes the newest frame when there is room for it at the engine, and no earlier; what
decodes is another thread. Frames are counted when their turn in the order of the source has come, so between two
answers it is exactly known how far things are.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from model_export.predictions import Prediction
from server.analytics.scene import Moment, Scene
from server.core.metrics_page import JOBS_ROW
from server.domain.event import Event
from server.domain.outcome import OUTCOMES, Outcome
from server.domain.result import Row
from server.worker.frames import Feed, Frames, Outcomes, Sheet, Turn
from server.worker.requests import LOST, WITHDRAW_S, Answer, Question, Requests

_WAIT_S = 0.1
_SLOT_S = 0.002
_OUTCOMES = {"stale": Outcome.DROPPED_STALE, LOST: Outcome.LOST}
"""Of frames whose answer is this error; any other is the engine's failure."""


Publish = Callable[[Turn, Row, list[Event]], None]
"""Takes the row of a frame, with the events that it raised."""


@dataclass
class Pipeline:
    """A source's frames on their way to the results. Who drives it calls `fill`, `next` and `finish` in turn.

    Args:
        frames: the wanted frames of the source.
        feed: makes inputs of the model of them.
        row: of the metrics page, where frames are counted.
        ahead: inputs that may be ready beyond those that the engine may have at a time.
        clock: monotonic seconds; only to see how long things take.

    Attributes:
        outcomes: frames so far.
        finished: the last frame that was accounted for.
        seen: the last that has a row or could have one.
    """

    frames: Frames
    feed: Feed
    requests: Requests
    scene: Scene
    publish: Publish
    row: int = JOBS_ROW
    ahead: int = 1
    clock: Callable[[], float] = time.perf_counter

    outcomes: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    finished: Turn | None = None
    seen: Moment | None = None
    _ready: deque[Sheet] = field(default_factory=deque)
    _asked: deque[Sheet] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._recorder = self.frames.recorder
        self._heard_at = self.clock()

    @property
    def in_hand(self) -> bool:
        """Whether there are frames between the feed and the results."""
        return bool(self._asked or self._ready)

    @property
    def silent_s(self) -> float:
        """How long the engine has not answered what it was asked."""
        return self.clock() - self._heard_at if self._asked else 0.0

    @property
    def takes(self) -> bool:
        """Whether a frame that comes now would be taken; also another thread may ask."""
        return self._may_take or self.feed.listens

    # ── towards the engine ───────────────────────────────────────────────────────────────────────────────────────

    def fill(self) -> None:
        """Move frames on until the engine has all it may have, and as many more are ready as may be, or an answer has
        come.
        """
        most = self.requests.limit + self.ahead
        while len(self._asked) + len(self._ready) < most and not self.frames.cancelled.is_set():
            moved = self.feed.advance()
            while self.feed.sheets:
                self._ready.append(self.feed.sheets.popleft())
            self.ask(all_there_is=not moved)
            if not moved or self.requests.answered:
                break
        else:
            self.ask()
        if self.feed.listens and not self._may_take:
            self.feed.listen()

    def ask(self, *, all_there_is: bool = False) -> None:
        """Send what is ready, several inputs at once where the engine has enough to do until they are."""
        if not self._ready:
            return
        questions: list[Question] = []
        for sheet in islice(self._ready, self.requests.room):
            begins = sheet.begins
            if sheet.frame is None or (begins and questions):
                # Its turn, and that of all behind it, is after those before it.
                all_there_is = True
                break
            if begins:
                self.requests.begin_anew()
            questions.append(Question(sheet.frame, sheet.deadline))
        if not questions or self.frames.cancelled.is_set():
            return
        if len(questions) < self.requests.company and not all_there_is:
            return
        if not self._asked:
            self._heard_at = self.clock()
        self.requests.ask(questions)
        for _ in questions:
            self._asked.append(self._ready.popleft())

    # ── back from the engine ─────────────────────────────────────────────────────────────────────────────────────

    def next(self, *, taking: bool = True) -> tuple[Sheet | None, Answer | None]:
        """The next sheet that can be finished, with its answer if it was asked; None where there is none for a moment.

        Args:
            taking: whether a frame that comes meanwhile would be taken.
        """
        if self._asked:
            wake = self.frames.descriptor if taking and self.takes else None
            # A frame that waits although it may be taken waits for a slot, which nothing tells of.
            blocked = wake is not None and self.frames.waiting
            answer = self.requests.receive(_SLOT_S) if blocked else self.requests.receive(_WAIT_S, wake)
            if answer is not None:
                self._heard_at = self.clock()
                return self._asked.popleft(), answer
        elif self._ready and self._ready[0].frame is None:
            return self._ready.popleft(), None
        elif self._ready or self.frames.waiting or self.frames.descriptor is None:
            time.sleep(_SLOT_S)  # others of this worker hold the slots
            self.ask(all_there_is=True)
        else:
            self.requests.wait(_WAIT_S, self.frames.descriptor)
        return None, None

    def finish(self, sheet: Sheet, answer: Answer | None) -> None:
        """The last steps of its frames: analysed, published, counted."""
        prediction = self._read(answer)
        error = None if answer is None else answer.error
        for turn in sheet.turns:
            self.count(turn.passed)
            self.finished = turn
            self.feed.finished(turn)
            if error is not None and turn.looked_at:
                self.count({_OUTCOMES.get(error, Outcome.INFERENCE_ERROR): 1})
                continue
            start = self.clock()
            seen = self._see(turn, prediction)
            self._recorder.stage("analyse", self.clock() - start)
            if seen is not None:
                self._publish(turn, *seen)
            self.seen = turn.moment
            self.count({Outcome.ANALYSED if turn.looked_at else Outcome.GATED: 1})

    def count(self, outcomes: Outcomes) -> None:
        """Frames have ended."""
        for outcome, frames in outcomes.items():
            self.outcomes[outcome] += frames
            self._recorder.frames(self.row, outcome, frames)

    def let_go(self, outcome: Outcome) -> None:
        """Take leave of the engine; frames that were in hand end as `outcome`."""
        turns, passed = self.feed.let_go()
        for turn in (*(turn for sheet in (*self._asked, *self._ready) for turn in sheet.turns), *turns):
            self.count(turn.passed)
            self.count({outcome: 1})
        self.count(passed)
        for sheet in self._ready:
            if sheet.frame is not None:
                self.requests.give(sheet.frame)
        self._asked.clear()
        self._ready.clear()
        self.requests.withdraw(WITHDRAW_S)

    @property
    def _may_take(self) -> bool:
        return self.requests.room > 0 and len(self._asked) + len(self._ready) < self.requests.limit + self.ahead

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

    def _publish(self, turn: Turn, row: Row, events: list[Event]) -> None:
        start = self.clock()
        self.publish(turn, row, events)
        self.raised(events)
        self._recorder.stage("publish", self.clock() - start)

    def raised(self, events: list[Event]) -> None:
        """Count events."""
        for event in events:
            self._recorder.event(event.type)
