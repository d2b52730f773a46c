"""Whether one more stream would ask more of the models than they can do.

A model does so many frames a second, measured on this machine; a stream asks for so many. The shares of all streams
are added up, and together they may come to 90 %: decoding, tracking and jobs want something too. A model that was
never measured has no share, so its streams are admitted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model_export.manifest import Manifest
from server.core.errors import CapacityExceeded
from server.core.metrics_page import Page
from server.domain.analysis import asked_fps, frames_fps
from server.domain.stream import KeptStream
from server.engine.tuning.choices import Choices
from server.runtime.models.loading import Loaded

LIMIT = 0.9
CAMERA_FPS = 25.0
"""What a stream is taken to give whose every frame is wanted, until it has been measured."""
GATE_FPS = 5.0
"""A gate looks for motion so often."""
_ROUNDING = 1e-9
_RUNS = 200
"""Runs of a model after which their mean is believed."""


@dataclass(frozen=True)
class Demand:
    """Frames a second that a stream asks of a model (`name@version`)."""

    model: str
    fps: float


def demands(stream: KeptStream, model: Manifest, gate: Manifest | None, source_fps: float | None) -> list[Demand]:
    """What a stream asks for at most; a gate may spare its model most of that.

    Args:
        model, gate: its model, and what looks for motion before that.
        source_fps: as measured.
    """
    asked = [Demand(model.id, _given(asked_fps(model, stream.analysis), source_fps))]
    if gate is not None:
        shown_fps = _given(frames_fps(model, stream.analysis), source_fps)
        asked.append(Demand(gate.id, min(shown_fps, GATE_FPS)))
    return asked


def _given(wanted: float | None, source_fps: float | None) -> float:
    """Frames that there will be of those that are wanted (None: all)."""
    if wanted is None:
        return source_fps or CAMERA_FPS
    return min(wanted, source_fps or wanted)


def admit(
    new: Sequence[Demand],
    present: Sequence[Demand],
    frames_s: Callable[[str], float | None],
    *,
    instead_of: Sequence[Demand] = (),
) -> None:
    """See that there is room for a stream.

    Args:
        present: of all others.
        frames_s: how many a model does a second; None: that was not measured.
        instead_of: what the stream asked for until now.

    Raises:
        CapacityExceeded: there is not; what asks for no more than before is never refused.
    """
    share, before = (_share(some, frames_s) for some in (new, instead_of))
    others = _share(present, frames_s)
    if share <= before or others + share <= LIMIT + _ROUNDING:
        return
    asked = ", ".join(f"{one.fps:g} frames a second of {one.model}" for one in new)
    does = ", ".join(f"{one.model} does {frames_s(one.model):.0f}" for one in new if frames_s(one.model))
    raise CapacityExceeded(
        f"The stream asks for {asked}, {share:.0%} of what can be done here ({does}); the others have {others:.0%}, "
        f"and together that is more than {LIMIT:.0%}.",
        hint="Lower `sample_fps`, take a quicker model or another machine, or add ?force=true and see frames dropped.",
    )


def _share(some: Sequence[Demand], frames_s: Callable[[str], float | None]) -> float:
    known = ((one.fps, frames_s(one.model)) for one in some)
    return sum(fps / most for fps, most in known if most)


class Throughput:
    """How many frames a second models do: as the engine's tuning has measured, else as they have done so far.

    Args:
        choices: what the tuning has measured.
        machine: as that calls this one.
        page: of metrics.
    """

    def __init__(self, choices: Choices, machine: str, page: Page) -> None:
        self._choices = choices
        self._machine = machine
        self._page = page

    def of(self, model: Loaded) -> float | None:
        """Of a loaded model; None if nobody knows. It reads a file."""
        if model.said is None:
            return None
        measured = self._choices.frames_s(model.sha256, model.said.provider, self._machine)
        return measured or self._so_far(model, model.said.sessions)

    def _so_far(self, model: Loaded, sessions: int) -> float | None:
        """With every session at work, in the batches that there were."""
        runs, batches = self._page.inference(model.row), self._page.batch_size(model.row)
        count = runs.cumulative[-1][1]
        if count < _RUNS or runs.sum <= 0:
            return None
        return sessions * batches.sum / runs.sum
