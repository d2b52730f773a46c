"""A stream's walk along the way of its frames, for as long as it is wanted: whatever becomes of source, engine and API
process meanwhile, it goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from model_export.errors import VidserveError
from model_export.manifest import Manifest, Task
from server.analytics.scene import Scene
from server.domain.analysis import DEFAULT_MAX_AGE_MS, Analysis, frames_fps
from server.domain.event import Event
from server.domain.outcome import Outcome
from server.domain.result import Row
from server.domain.stream import StreamState
from server.wire.messages import ChangeStream, Priority, StartStream, StreamEnded
from server.worker.errors import EngineSilent, ModelGone
from server.worker.feeds import ungated
from server.worker.frames import Feed, Sheet, Turn
from server.worker.gated import GatedFrames
from server.worker.live.frames import LiveFrames
from server.worker.live.publisher import LivePublisher
from server.worker.live.reader import Reader
from server.worker.live.report import Report
from server.worker.pipeline import Pipeline
from server.worker.requests import Answer, Requests
from server.worker.surroundings import Surroundings

_log = logging.getLogger(__name__)

_PATIENCE_S = 2.0
"""So long an answer is waited for before it is asked back; slower models answer all the same."""
_RENEW_S = 10.0
"""So long the engine may say nothing at all before everything that was asked is given up."""
_NOT_LOADED_S = 0.25
_LATE_S = 10.0
_DRAIN_S = 3.0


class LiveWalk:
    """
    Args:
        order: what to do; later ones come by `change`.
        identity: the engine knows the stream by it, and by what follows it.
        frames: the stream's newest.
    """

    def __init__(
        self,
        order: StartStream,
        around: Surroundings,
        identity: str,
        frames: LiveFrames,
        reader: Reader,
        publisher: LivePublisher,
    ) -> None:
        self._stream = order.stream
        self._attempt = order.attempt
        self._engine = order.engine
        self._row = order.row
        self._around = around
        self._identity = identity
        self._frames = frames
        self._reader = reader
        self._publisher = publisher
        self._report = Report(order.stream, order.attempt, publisher)
        self._built = 0
        self._sockets = ExitStack()
        self._size_wh: tuple[int, int] | None = None
        self._incarnation = 0
        self._rest_until = 0.0
        self._bundle, self._gate = order.bundle, order.gate
        self._analysis = Analysis.model_validate_json(order.analysis)
        self._manifest = _manifest(order.bundle)
        self._scene = Scene(
            self._manifest,
            self._analysis,
            owner=order.stream,
            live=True,
            events_after=order.events_after,
            tracks_after=order.after.track,
        )
        self._way = self._build()

    def run(self, next_change: Callable[[], ChangeStream | None]) -> StreamEnded:
        """Walk until it is cancelled, or the source is one that cannot mend itself."""
        while not self._frames.cancelled.is_set():
            self._frames.intake.hush()
            self._way.count(self._frames.take_passed())
            self._report.tell(self._frames.intake.link)
            self._publisher.flush()
            if self._frames.looks.attend():
                self._frames.intake.looked_for = True
            while (order := next_change()) is not None:
                self._change(order)
            link = self._frames.intake.link
            if link.state in (StreamState.ENDED, StreamState.FAILED) and not self._frames.waiting:
                self._drain()
                return StreamEnded(self._stream, self._attempt, link.code, link.message)
            self._step()
        return StreamEnded(self._stream, self._attempt)

    @property
    def waiting(self) -> bool:
        """Whether a frame waits for this thread, and not for the engine; what jobs give way to."""
        return self._frames.waiting and self._way.takes and time.monotonic() >= self._rest_until

    def end(self) -> None:
        """Take leave of the engine, account for what is left, end the scene."""
        self._way.let_go(Outcome.CANCELLED)
        self._way.count(self._frames.take_passed())
        if self._frames.intake.take() is not None:
            self._way.count({Outcome.CANCELLED: 1})
        self._raise(self._scene.end())

    def close(self) -> None:
        self._sockets.close()

    # ── a step of the way ────────────────────────────────────────────────────────────────────────────────────────

    def _step(self) -> None:
        resting = time.monotonic() < self._rest_until
        try:
            if not resting:
                self._way.fill()
            elif not self._way.in_hand:
                time.sleep(_NOT_LOADED_S / 5)
                return
            sheet, answer = self._way.next(taking=not resting)
            if sheet is not None:
                if not resting:
                    self._way.fill()  # the engine shall not wait while we analyse
                self._finish(sheet, answer)
        except (EngineSilent, ModelGone) as error:  # from the gate
            self._renew(error)
        self._mind_engine()
        if self._frames.late_s > _LATE_S:
            self._frames.forget_lateness()  # of the connection that ends: the next one begins without
            self._reader.give_up_backlog()

    def _finish(self, sheet: Sheet, answer: Answer | None) -> None:
        moment = sheet.turns[0].moment
        if self._size_wh not in (None, (moment.width, moment.height)):
            self._raise(self._scene.break_off())
        self._size_wh = moment.width, moment.height
        self._way.finish(sheet, answer)
        if answer is None:
            return
        if answer.error == "not_loaded":
            # Asked again and again it would cost those who are served.
            self._rest_until = time.monotonic() + _NOT_LOADED_S
            self._report.trouble(ModelGone(answer.message))
        elif answer.error is None:
            self._report.trouble(None)

    def _publish(self, turn: Turn, row: Row, events: list[Event]) -> None:
        assert turn.captured is not None
        self._publisher.add(row, turn.captured, last_track=self._scene.last_track)
        self._publisher.add_events(events)
        self._publisher.flush()
        self._frames.looks.find(row)

    def _raise(self, events: list[Event]) -> None:
        self._way.raised(events)
        self._publisher.add_events(events)

    # ── an engine that dies or hangs ─────────────────────────────────────────────────────────────────────────────

    def _mind_engine(self) -> None:
        if self._way.silent_s > _PATIENCE_S:
            self._report.trouble(EngineSilent("The engine does not answer."))
            self._way.requests.recall()
        if self._way.silent_s > _RENEW_S:
            self._renew(EngineSilent("The engine does not answer."))
        heard = self._way.requests.engine
        if heard and heard != self._incarnation:
            if self._incarnation and self._manifest.state:
                _log.info("a new engine: what the model knew of the stream is gone", extra={"stream": self._stream})
            self._incarnation = heard

    def _renew(self, error: VidserveError) -> None:
        """Give up what was asked, and begin to ask anew."""
        self._report.trouble(error)
        self._way.let_go(Outcome.LOST)
        self._way = self._build()
        self._rest_until = time.monotonic() + _NOT_LOADED_S

    # ── another analysis ─────────────────────────────────────────────────────────────────────────────────────────

    def _change(self, order: ChangeStream) -> None:
        """Go on with another analysis or model; on the way from one to the other no frame is lost."""
        self._drain()
        before, same = self._scene, (order.bundle, order.gate) == (self._bundle, self._gate)
        rate = self._analysis.sample_fps
        self._bundle, self._gate = order.bundle, order.gate
        self._analysis = Analysis.model_validate_json(order.analysis)
        self._manifest = _manifest(order.bundle)
        same &= self._manifest.window is None or self._analysis.sample_fps == rate  # clips are made at a rate
        self._scene = Scene(self._manifest, self._analysis, owner=self._stream, live=True)
        self._raise(self._scene.succeed(before))
        self._reader.sample(frames_fps(self._manifest, self._analysis))
        self._frames.max_age_s = max_age_s(self._analysis)
        if same:
            self._way.scene = self._scene
            self._way.requests.look_for(self._analysis.confidence)
        else:
            self._way.let_go(Outcome.CANCELLED)
            self._way = self._build()
            self._rest_until = 0.0

    def _drain(self) -> None:
        """Finish what is in hand, and take nothing new."""
        until = time.monotonic() + _DRAIN_S
        while self._way.in_hand and time.monotonic() < until and not self._frames.cancelled.is_set():
            sheet, answer = self._way.next(taking=False)
            if sheet is not None:
                self._finish(sheet, answer)

    def _build(self) -> Pipeline:
        """The way of frames through the model at hand, asked by sockets of its own."""
        self._sockets.close()
        self._built += 1
        identity = f"{self._identity}.{self._built}"
        requests = self._requests(identity, self._stream, self._manifest, self._analysis.confidence)
        if self._gate:
            feed: Feed = self._gated(requests, identity)
        else:
            feed = ungated(self._frames, self._manifest, self._analysis, requests, live=True)
        self._sockets.enter_context(closing(feed))
        return Pipeline(self._frames, feed, requests, self._scene, self._publish, row=self._row, ahead=0)

    def _gated(self, requests: Requests, identity: str) -> GatedFrames:
        background = _manifest(self._gate)
        if self._manifest.input is None or background.input is None:
            raise VidserveError(f"{background.id} or {self._manifest.id} takes tensors, not frames.")
        motion = self._requests(f"{identity}.gate", f"{self._stream}/gate", background)
        return GatedFrames(
            self._frames,
            self._manifest.input,
            requests,
            background.input,
            motion,
            parts=self._manifest.task is Task.DETECT,
            patience_s=_PATIENCE_S,
            live=True,
        )

    def _requests(self, identity: str, stream: str, manifest: Manifest, confidence: float | None = None) -> Requests:
        around = self._around
        requests = Requests(
            around.context,
            self._engine,
            identity,
            self._attempt,
            stream,
            manifest,
            around.slots,
            confidence,
            Priority.LIVE,
        )
        self._sockets.enter_context(closing(requests))
        return requests


def max_age_s(analysis: Analysis) -> float:
    """What is older is not analysed."""
    return (DEFAULT_MAX_AGE_MS if analysis.max_age_ms is None else analysis.max_age_ms) / 1000


def _manifest(bundle: str) -> Manifest:
    return Manifest.read(Path(bundle) / "manifest.json")
