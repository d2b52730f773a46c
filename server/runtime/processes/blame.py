"""Which job a worker's death is laid at the door of, and when a job has killed often enough.

The rule. A death is suspicious if the process did it by itself (`server.runtime.processes.death`): it crashed, hung, or
took too much memory. Suspected is then the job whose thread got the signal, where that is known; else those that were
inside a decoder call, or, if a call hung, those whose own call took more than such a call may; all, if none was inside,
and if it was the memory, which does not say whose it is. A suspect goes on from its checkpoint alone, in the quarantine
worker; its neighbours go on elsewhere, suspected of nothing. Every suspicious death is a strike, and three strikes in a
row at about the same frame or before it set a job aside: it is `failed`. A checkpoint well beyond the frame where it
died clears it. Deaths by another hand (SIGKILL, SIGSTOP) suspect nobody, however often they come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model_export.errors import VidserveError
from server.core.calls import Call, Seen
from server.runtime.processes.death import HUNG, MEMORY, SILENT, Death

STRIKES = 3
_NEAR = 25
"""Frames: memory that is spoilt at one of them kills a few frames later, now and then."""
_TIMES = "three times"
_CONVERT = "Convert the video, or cut it before there."
_ABREAST_S = 1.0


class DecoderCrashed(VidserveError):
    """The process that read the video crashed, again and again at the same place."""

    code = "decoder_crashed"


class DecoderHung(VidserveError):
    """A call of the decoder did not return, again and again at the same place."""

    code = "decoder_hung"


class DecoderMemory(VidserveError):
    """The process that read the video took more memory than it may, again and again at the same place."""

    code = "decoder_memory"


@dataclass(frozen=True)
class Strike:
    """What a job is suspected of.

    Attributes:
        frame: the last that was reached, -1 before the first.
        error: what it fails with at the third.
        alone: whether to try again in quarantine: its process died.
    """

    frame: int
    error: VidserveError
    alone: bool = True


def suspects(death: Death, seen: Sequence[Seen]) -> set[str]:
    """Jobs and streams that are suspected of a worker's death, by the rows that it left."""
    return {row.owner for row in _suspects(death, seen) if row.owner} if death.by_itself else set()


def strikes(death: Death, seen: Sequence[Seen]) -> dict[str, Strike]:
    """Who is suspected of a worker's death, by the rows that it left; pictures are not jobs, but may have done it."""
    if not death.by_itself:
        return {}
    return {row.owner: Strike(row.frame, _error(death, row)) for row in _suspects(death, seen) if row.owner}


def had_work(seen: Sequence[Seen]) -> bool:
    """Whether a worker had a video or a picture in hand."""
    return any(row.owner or row.call is not Call.NONE for row in seen)


def _suspects(death: Death, seen: Sequence[Seen]) -> Sequence[Seen]:
    crashed = [row for row in seen if row.crashed]
    if crashed:
        return crashed
    if death is HUNG:
        # Who waits for a camera may wait for longer than a decoder may take, and is not overdue beside one that hangs.
        most_s = max((row.overdue_s for row in seen), default=0.0)
        return [row for row in seen if row.overdue_s > 0 and most_s - row.overdue_s < _ABREAST_S]
    inside = [row for row in seen if row.call is not Call.NONE]
    return seen if not inside or death is MEMORY else inside


@dataclass
class Record:
    """What is known against a job.

    Attributes:
        strikes: in a row, without getting well further.
        furthest: the last frame that it reached before it was suspected.
        suspect: it must run alone.
    """

    strikes: int = 0
    furthest: int = -1
    suspect: bool = False

    def add(self, strike: Strike) -> None:
        self.strikes = 1 if strike.frame > self.furthest + _NEAR else self.strikes + 1
        self.furthest = max(self.furthest, strike.frame)
        self.suspect |= strike.alone

    def pass_by(self, frame: int) -> None:
        """A checkpoint covers all frames before this one."""
        if frame > self.furthest + _NEAR:
            self.strikes = 0
            self.suspect = False

    @property
    def condemned(self) -> bool:
        return self.strikes >= STRIKES


def _error(death: Death, row: Seen) -> VidserveError:
    frame = row.frame + 1 if row.call is Call.GRAB else row.frame
    where = "when the file was opened" if row.call is Call.OPEN else f"at frame {frame}"
    if death in (HUNG, SILENT):
        return DecoderHung(
            f"Reading the video hung {_TIMES} {where}.", hint="Convert the video, or cut it before there."
        )
    if death is MEMORY:
        return DecoderMemory(
            f"Reading the video took more memory than a worker may have, {_TIMES} {where}.",
            hint="Send a smaller video, or set workers.memory_mb higher.",
        )
    return DecoderCrashed(
        f"The process that read the video crashed {_TIMES} {where} ({death.reason.upper()}).",
        hint=_CONVERT,
    )
