"""The decoding thread of a stream: connects, reads, dates and samples frames, and connects again, for ever.

source ─grab─▶ dated by two clocks ─▶ sampled ─▶ intake (the newest frame alone)
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from threading import Event as Flag
from threading import Thread
from urllib.parse import urlsplit

from model_export.errors import VidserveError
from model_export.sampling import Sampler
from server.core import heap
from server.core.calls import Call, CallRow, CallRows
from server.core.errors import AddressRefused
from server.domain.outcome import Outcome
from server.domain.stream import StreamSource, StreamState
from server.wire.messages import Reached, Refusals
from server.worker.live.backoff import MOST_S, Backoff, unwelcome_s
from server.worker.live.clocks import CaptureClock, MediaClock, Metronome, Rate
from server.worker.live.connection import Connection, Shot
from server.worker.live.errors import SourceEnded, SourceError, SourceLate, SourceLost, SourceUnauthorized
from server.worker.live.intake import Intake, Link, LiveFrame
from server.worker.live.sources import OpenLive

_log = logging.getLogger(__name__)

GAP_S = 3.0
"""Media time between two frames after which the source counts as begun anew: what remembers frames must not believe
that the one before was just before."""
_NOTHING = Reached()
_WELCOME = Refusals()
_SOON_S = 120.0
_JITTER = 0.3
"""Of the time between two wanted frames: cameras and networks are not exact, and who wants all frames of a camera that
gives ten a second must get them."""


class Reader:
    """Fills an intake until it is stopped, or until the source is one that cannot mend itself.

    Args:
        rows: of the page of calls.
        sample_fps: frames wanted a second of media time; None: every one.
        after: how far the stream had come before.
        refusals: of the credentials before.
        backoff: how long to wait before each try.
    """

    def __init__(
        self,
        stream: str,
        source: StreamSource,
        intake: Intake,
        rows: CallRows,
        open_live: OpenLive,
        *,
        sample_fps: float | None,
        after: Reached = _NOTHING,
        refusals: Refusals = _WELCOME,
        backoff: Backoff | None = None,
    ) -> None:
        self._stream = stream
        self._source = source
        self._intake = intake
        self._rows = rows
        self._open = open_live
        self._sampler = Sampler(sample_fps, jitter=_JITTER)
        self._backoff = backoff or Backoff()
        self._stopped = Flag()
        self._late = Flag()
        self._thread = Thread(target=self._body, name=f"{stream}-source", daemon=True)
        self._media = MediaClock(after.pts_s, None if after.frame < 0 else time.monotonic())
        self._capture = CaptureClock()
        self._usual = CaptureClock()
        self._rate = Rate()
        self._index = after.frame
        self._pts_s = after.pts_s
        self._late_at = -math.inf
        self._distrusted = False
        self._refused = refusals
        self._link = Link(refusals=refusals.times)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End at the next frame; a call that waits for one ends with the source's own patience."""
        self._stopped.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; False if it took longer."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def sample(self, fps: float | None) -> None:
        """From the next frame on so many are wanted a second of media time."""
        self._sampler = Sampler(fps, jitter=_JITTER)

    def give_up_backlog(self) -> None:
        """Every frame has been too old for a while: connect anew."""
        self._late.set()

    def _body(self) -> None:
        with self._rows.lent(self._stream) as row:
            try:
                if self._refused.rest_s > 0:
                    self._rest(SourceUnauthorized(self._refused.message), self._refused.rest_s)
                while not self._stopped.is_set():
                    began = time.monotonic()
                    try:
                        self._connect(row)
                    except VidserveError as error:
                        if not self._mends(error):
                            self._end(error)
                            return
                        self._wait(error, time.monotonic() - began)
            except Exception:  # the edge of a thread
                _log.exception("reading failed", extra={"stream": self._stream})
                self._end(VidserveError("The server made a mistake; its log says which."))

    def _connect(self, row: CallRow) -> None:
        """One connection, from its beginning to its end.

        Raises:
            VidserveError: why it ended, unless it was told to.
        """
        with closing(_Watched(self._open(self._source, row), row)) as connection:
            self._media.break_off()
            self._capture.restart()
            self._usual.restart()
            self._late.clear()
            metronome = Metronome() if connection.bulk else None
            sound, begins = False, True
            while not self._stopped.is_set():
                if self._late.is_set():
                    self._late_again()
                    raise SourceLate("All its frames were too old for a while.")
                try:
                    shot = connection.grab()
                except SourceLost:
                    if not connection.recorded or not sound:
                        raise
                    if not self._source.loop:
                        raise SourceEnded("The file is over.") from None
                    return
                self._index += 1
                row.reach(self._index)
                if shot is None:
                    self._intake.pass_by(Outcome.DECODE_ERROR)
                    continue
                sound = True
                begins = self._take(shot, connection, metronome, begins)

    def _take(self, shot: Shot, connection: Connection, metronome: Metronome | None, begins: bool) -> bool:
        """Date a frame, and hand it over if it is wanted; whether the next one handed over is still a beginning."""
        stamp_s = None if self._distrusted else shot.stamp_s
        pts_s, jumped = self._media.next(stamp_s, shot.arrived)
        begins |= jumped or pts_s - self._pts_s > GAP_S
        self._pts_s = pts_s
        if metronome is None:
            captured, due = self._captured(shot, pts_s)
        else:
            captured = due = self._turn(pts_s, metronome)
        self._rate.tick(shot.arrived)
        self._tell(shot, connection)
        if not self._sampler.wants(pts_s) and not self._intake.looked_for:
            self._intake.pass_by(Outcome.SAMPLED_OUT)
            return begins
        self._intake.looked_for = False
        self._intake.put(LiveFrame(self._index, pts_s, captured, due, shot.image, begins, shot.turned))
        return False

    def _turn(self, pts_s: float, metronome: Metronome) -> float:
        """Wait until a frame of a source that gives many at once is due."""
        due = metronome.due(pts_s, time.monotonic())
        self._stopped.wait(max(0.0, due - time.monotonic()))
        return due

    def _captured(self, shot: Shot, pts_s: float) -> tuple[float, float]:
        """When a frame was captured, and when it was due here."""
        for stamp_s, arrived in shot.packets:
            stamped = None if self._distrusted else self._media.stamped(stamp_s)
            if stamped is not None:
                self._capture.observe(stamped, arrived)
        self._capture.observe(pts_s, shot.arrived)
        self._usual.observe(pts_s, shot.arrived)
        return self._capture.captured(pts_s), self._usual.captured(pts_s)

    def _late_again(self) -> None:
        """What is late soon after it was connected anew has no backlog, but a clock that runs slower than ours."""
        now = time.monotonic()
        if now - self._late_at < _SOON_S and not self._distrusted:
            _log.warning("its time stamps run behind; from here on arrival counts", extra={"stream": self._stream})
            self._distrusted = True
        self._late_at = now

    def _tell(self, shot: Shot, connection: Connection) -> None:
        now = time.monotonic()
        width, height = shot.image.width, shot.image.height
        if shot.turned % 2:
            width, height = height, width
        self._say(
            Link(
                StreamState.RUNNING,
                reconnects=self._link.reconnects,
                codec=connection.codec,
                width=width,
                height=height,
                fps=round(self._rate.per_s(now), 2),
                frame_at=now,
            )
        )

    def _mends(self, error: VidserveError) -> bool:
        if isinstance(error, AddressRefused):
            return not _is_number(urlsplit(self._source.url).hostname or "")
        return not isinstance(error, SourceError) or error.mends

    def _wait(self, error: VidserveError, lasted_s: float) -> None:
        """Until the next try."""
        worked = self._link.state is StreamState.RUNNING
        wait_s = self._backoff.next(lasted_s=lasted_s) if worked else self._backoff.next(tried_s=lasted_s)
        if isinstance(error, SourceUnauthorized):
            self._link = replace(self._link, refusals=self._link.refusals + 1)
            wait_s = unwelcome_s(self._link.refusals)
            if wait_s > MOST_S:
                hint = f"It is tried again within {wait_s / 60:.0f} minutes, or as soon as the stream is changed."
                error = SourceUnauthorized(str(error), hint=hint)
        _log.debug("%s Trying again in %.1f s.", error, wait_s, extra={"stream": self._stream, "code": error.code})
        if worked:
            heap.release()  # what a connection took lies between what others need, and would stay
        self._rest(error, wait_s)

    def _rest(self, error: VidserveError, wait_s: float) -> None:
        self._fail(StreamState.RECONNECTING, error, time.monotonic() + wait_s)
        self._stopped.wait(wait_s)

    def _end(self, error: VidserveError) -> None:
        self._fail(StreamState.ENDED if isinstance(error, SourceEnded) else StreamState.FAILED, error)

    def _fail(self, state: StreamState, error: VidserveError, retry_at: float = 0.0) -> None:
        self._say(
            replace(
                self._link,
                state=state,
                code=error.code,
                message=str(error),
                retry_at=retry_at,
                reconnects=self._link.reconnects + (state is StreamState.RECONNECTING),
                fps=0.0,
            )
        )

    def _say(self, link: Link) -> None:
        self._link = link
        self._intake.say(link)


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class _Watched:
    """A connection that says on the page of calls which of its calls it is in."""

    def __init__(self, connection: Connection, row: CallRow) -> None:
        self.bulk, self.recorded = connection.bulk, connection.recorded
        self.codec, self.fps = connection.codec, connection.fps
        self._connection = connection
        self._row = row

    def grab(self) -> Shot | None:
        self._row.enter(Call.READ)
        try:
            return self._connection.grab()
        finally:
            self._row.leave()

    def close(self) -> None:
        with self._row.inside(Call.CLOSE):
            self._connection.close()
