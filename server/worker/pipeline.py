"""The way of one frame, on one page.

    source ─grab─▶ sampler ─retrieve─▶ fit into a slot ─ask─▶ engine ─receive─▶ scene ─▶ row and events ─▶ publisher

One thread walks it. While the engine works on the frames it has, the next ones are decoded, so that an answer is
followed at once by another request. Frames are counted when their turn in the order of the video has come, so a
checkpoint between two answers says exactly how far the job is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event as Flag

from model_export.errors import VidserveError
from model_export.geometry import fit
from model_export.manifest import FrameInput
from server.analytics.scene import Moment, Scene
from server.core.metrics_page import JOBS_ROW, Recorder
from server.domain.outcome import OUTCOMES, Outcome
from server.wire.messages import FrameRef, JobProgress
from server.worker.checkpoint import FORMAT, Checkpoint
from server.worker.publisher import Publisher
from server.worker.requests import Answer, Requests
from server.worker.sampling import Sampler
from server.worker.source import Frame, Source, skip

_WAIT_S = 0.1
_SLOT_S = 0.002
_WITHDRAW_S = 2.0


class InferenceFailed(VidserveError):
    """The engine gave no answer to any frame."""

    code = "inference_failed"


class ModelGone(VidserveError):
    """The engine does not have the model (any more)."""

    code = "model_not_loaded"


class EngineSilent(VidserveError):
    """The engine does not answer at all."""

    code = "engine_silent"


class ResultsRefused(VidserveError):
    """The API process takes no results."""

    code = "results_refused"


@dataclass
class _Prepared:
    """A frame that lies in a slot.

    Attributes:
        passed: frames that ended between the one before and this one, by outcome.
        sampler: its state after this frame.
    """

    moment: Moment
    frame: FrameRef
    passed: dict[Outcome, int]
    sampler: float


@dataclass
class Pipeline:
    """A job's frames from the source to the results.

    Args:
        input: how a frame becomes the model's input.
        checkpoint_s: seconds between checkpoints.
        cancelled: set from outside to stop at the next frame.
        clock: monotonic seconds; only to decide when to save and how long things took.
    """

    source: Source
    sampler: Sampler
    input: FrameInput
    requests: Requests
    scene: Scene
    publisher: Publisher
    recorder: Recorder
    cancelled: Flag
    checkpoint_s: float
    engine_patience_s: float = 120.0
    clock: Callable[[], float] = time.perf_counter

    outcomes: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    _ready: deque[_Prepared] = field(default_factory=deque)
    _asked: deque[_Prepared] = field(default_factory=deque)
    _passed: dict[Outcome, int] = field(default_factory=dict)
    _next_frame: int = 0
    _over: bool = False
    _last: Moment | None = None
    _error: str = ""

    def __post_init__(self) -> None:
        self._shape = (self.input.height, self.input.width, 3)
        self._sampler_state = self.sampler.state()
        self._heard_at = self.clock()

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on where a checkpoint was taken."""
        self.outcomes = dict(zip(OUTCOMES, checkpoint.outcomes, strict=True))
        self.sampler.restore(checkpoint.sampler)
        self._sampler_state = checkpoint.sampler
        self.scene.restore(checkpoint.scene)
        self.requests.put_states(checkpoint.rows)
        self._next_frame = checkpoint.next_frame
        skip(self.source, checkpoint.next_frame, self.cancelled)

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
        while (self._asked or self._ready) and not self.cancelled.is_set():
            answer = self._receive()
            if answer is None:
                continue
            save = self.clock() - saved_at >= self.checkpoint_s
            if not save:
                self._ask()  # the engine shall not wait while we analyse
            self._finish(self._asked.popleft(), answer)
            if save and self._save():
                saved_at = self.clock()
            self._fill()
        self._end()

    def progress(self) -> JobProgress:
        """How far the job is."""
        moment = self._last
        pts_s = moment.pts_s if moment else 0.0
        duration_s = self.source.duration_s
        return JobProgress(
            frames=tuple(self.outcomes.values()),
            pts_s=pts_s,
            progress=min(1.0, pts_s / duration_s) if duration_s else None,
            width=moment.width if moment else 0,
            height=moment.height if moment else 0,
        )

    # ── towards the engine ───────────────────────────────────────────────────────────────────────────────────────

    def _fill(self) -> None:
        """Decode ahead until the engine has all it may have and one frame more is ready, or an answer has come."""
        while len(self._asked) + len(self._ready) <= self.requests.limit and not self.cancelled.is_set():
            prepared = self._prepare()
            if prepared is None:
                break
            self._ready.append(prepared)
            self._ask()
            if self.requests.answered:
                break
        self._ask()

    def _ask(self) -> None:
        while self._ready and self.requests.room and not self.cancelled.is_set():
            if not self.requests.ask(self._ready[0].frame):
                return
            if not self._asked:
                self._heard_at = self.clock()
            self._asked.append(self._ready.popleft())

    def _prepare(self) -> _Prepared | None:
        """The next wanted frame, fitted into a slot; None at the end, or while every slot is taken."""
        if self._over:
            return None
        place = self.requests.place(self._shape)
        while place is None:
            if self._asked or self._ready or self.cancelled.is_set():
                return None  # an answer will free one
            time.sleep(_SLOT_S)  # other jobs of this worker hold them all
            place = self.requests.place(self._shape)
        ref, array = place
        try:
            prepared = self._fit_next(ref, array)
        except BaseException:
            self.requests.give(ref)
            raise
        if prepared is None:
            self.requests.give(ref)
        return prepared

    def _fit_next(self, ref: FrameRef, array: Frame) -> _Prepared | None:
        """Decode up to the next wanted frame and write it into its slot; None at the end."""
        while not self.cancelled.is_set():
            start = self.clock()
            if not self.source.grab():
                break
            if not self.sampler.wants(self.source.pts_s):
                self._pass(Outcome.SAMPLED_OUT)
                continue
            frame = self.source.retrieve()
            if frame is None:
                self._pass(Outcome.DECODE_ERROR)
                continue
            decoded = self.clock()
            fit(frame, self.input, out=array)
            self.recorder.stage("decode", decoded - start)
            self.recorder.stage("fit", self.clock() - decoded)
            height, width = frame.shape[:2]
            moment = Moment(self.source.index, self.source.pts_s, width, height)
            passed, self._passed = self._passed, {}
            return _Prepared(moment, ref, passed, self.sampler.state())
        self._over = True
        return None

    def _pass(self, outcome: Outcome) -> None:
        self._passed[outcome] = self._passed.get(outcome, 0) + 1

    # ── back from the engine ─────────────────────────────────────────────────────────────────────────────────────

    def _receive(self) -> Answer | None:
        """The answer to the oldest request; None if there is none yet.

        Raises:
            EngineSilent: there has been none for too long.
        """
        if not self._asked:
            time.sleep(_SLOT_S)  # other jobs of this worker hold the slots for its answer
            self._ask()
            return None
        answer = self.requests.receive(_WAIT_S)
        if answer is not None:
            self._heard_at = self.clock()
        elif self.clock() - self._heard_at > self.engine_patience_s:
            raise EngineSilent(f"The engine has not answered for {self.engine_patience_s:.0f} seconds.")
        return answer

    def _finish(self, prepared: _Prepared, answer: Answer) -> None:
        """A frame's last steps: analysed, published, counted."""
        self._count(prepared.passed)
        self._next_frame = prepared.moment.frame + 1
        self._sampler_state = prepared.sampler
        if answer.outputs is None:
            self._count({Outcome.INFERENCE_ERROR: 1})
            self._error = answer.message
            if answer.error == "not_loaded":
                raise ModelGone(answer.message)
            return
        self.recorder.stage("queue", answer.queue_s)
        self.recorder.stage("infer", answer.infer_s)
        start = self.clock()
        row, events = self.scene.see(prepared.moment, answer.outputs)
        self.recorder.stage("analyse", self.clock() - start)
        start = self.clock()
        self.publisher.add(row, events)
        for event in events:
            self.recorder.event(event.type)
        self._last = prepared.moment
        self._count({Outcome.ANALYSED: 1})
        if self.publisher.due:
            self._flush()
        self.recorder.stage("publish", self.clock() - start)

    def _count(self, outcomes: dict[Outcome, int]) -> None:
        for outcome, frames in outcomes.items():
            self.outcomes[outcome] += frames
            self.recorder.frames(JOBS_ROW, outcome, frames)

    def _flush(self) -> None:
        if not self.publisher.flush(self.progress()):
            raise ResultsRefused("The server has taken no results for a minute.")

    def _save(self) -> bool:
        """Send what there is, and how to go on after it; False if the engine did not say its part."""
        rows = self.requests.states(_WITHDRAW_S)
        if rows is None:
            return False
        self._flush()
        checkpoint = Checkpoint(
            FORMAT,
            self._next_frame,
            tuple(self.outcomes.values()),
            self._sampler_state,
            self.scene.state(),
            tuple(rows),
        )
        self.publisher.checkpoint(self._next_frame, checkpoint.encode())
        return True

    def abandon(self) -> None:
        """It went wrong: give back what is held, count what was in hand as lost, send the rows that are finished."""
        self._let_go(Outcome.LOST)
        self.publisher.flush(self.progress(), patience_s=_WITHDRAW_S)

    def _end(self) -> None:
        """Account for what is left, end the scene, send the rest."""
        self._let_go(Outcome.CANCELLED)
        events = self.scene.end()
        for event in events:
            self.recorder.event(event.type)
        self.publisher.add_events(events)
        self._flush()
        if self.outcomes[Outcome.INFERENCE_ERROR] and not self.outcomes[Outcome.ANALYSED]:
            raise InferenceFailed(f"No frame could be inferred; the last error was: {self._error}")

    def _let_go(self, outcome: Outcome) -> None:
        """Take leave of the engine; frames that were in hand end as `outcome`."""
        for prepared in (*self._asked, *self._ready):
            self._count(prepared.passed)
            self._count({outcome: 1})
        self._count(self._passed)
        for prepared in self._ready:
            self.requests.give(prepared.frame)
        self._asked.clear()
        self._ready.clear()
        self._passed = {}
        self.requests.withdraw(_WITHDRAW_S)
