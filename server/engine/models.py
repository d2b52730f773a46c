"""A model that is up: its sessions, its queue, its streams' states, and how it runs a batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_export.errors import ModelError, VidserveError
from model_export.manifest import Manifest
from server.engine.answers import Answered, Timing, answer, name_of, refusal
from server.engine.batcher import Batch, Batcher, Policy, Request
from server.engine.session import Provider, Session, SessionFailed
from server.engine.state import StateRows
from server.wire.slots import Segments

_log = logging.getLogger(__name__)

Array = npt.NDArray[Any]


class FrameRefused(ModelError):
    """A frame that is not what the model takes."""

    code = "frame_refused"


class Model:
    """A model that is up.

    Args:
        folder: of its bundle.
        sessions: one that all lanes share, or one for each lane.
        parallel: batches that may run at once.
        row: of the metrics page.
        threads: of each run.
        settings: all that may decide over bits of the answers.
        run_s: seconds of a run of the smallest batch; None where that is not known.
        measured: nothing is left to find out about how it runs fastest.

    Attributes:
        in_flight: batches that run.
        leaving: no new requests are taken; it goes when the last has run.
        quick: it runs in a fraction of the time that the costliest model here takes.
    """

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        sessions: Sequence[Session],
        policy: Policy,
        provider: Provider,
        *,
        parallel: int,
        row: int,
        threads: int,
        settings: str,
        run_s: float | None,
        measured: bool,
    ) -> None:
        self.manifest = manifest
        self.folder = folder
        self.policy = policy
        self.provider = provider
        self.parallel = parallel
        self.row = row
        self.threads = threads
        self.settings = settings
        self.run_s = run_s
        self.measured = measured
        self.batcher = Batcher(policy)
        self.states = StateRows(manifest.state)
        self.in_flight = 0
        self.leaving = False
        self.quick = False
        self._sessions = list(sessions)
        self._input, self._frame = _frame_input(manifest)
        self._pixels: dict[tuple[int, int], Array] = {}

    @property
    def can_be_measured(self) -> bool:
        """Whether there is something to find out, and a way to: only what takes frames can be fed."""
        return not self.measured and not self.leaving and self.manifest.input is not None

    def run(self, lane: int, batch: Batch, segments: Segments) -> tuple[list[Answered], float]:
        """Run a batch: an answer to each request, and the seconds that the session took.

        A request fails alone whose frame is gone or of another shape, and so does one that makes the run fail.
        """
        began = time.monotonic()
        answers: list[Answered] = []
        requests: list[Request] = []
        frames: list[Array] = []
        for request in batch.requests:
            try:
                frames.append(self._frame_of(request, segments))
                requests.append(request)
            except VidserveError as error:
                answers.append(refusal(request, error.code, str(error), began))
        if not requests:
            return answers, 0.0
        try:
            outputs, seconds = self._infer(lane, requests, frames, batch.size)
        except SessionFailed as error:
            if len(requests) == 1:
                _log.error("%s failed on a frame of %s: %s", self.manifest.id, requests[0].ask.stream, error)
                return [*answers, refusal(requests[0], "run_failed", str(error), began)], 0.0
            # One bad row must not take the others with it.
            total = 0.0
            for request in requests:
                alone, seconds = self.run(lane, Batch([request], self.policy.size(1), batch.closed), segments)
                answers += alone
                total += seconds
            return answers, total
        timing = Timing(began, seconds, len(requests))
        for row, request in enumerate(requests):
            try:
                answers.append(answer(request, outputs, row, timing, segments))
            except VidserveError as error:
                answers.append(refusal(request, error.code, str(error), began))
        return answers, seconds

    def close(self) -> None:
        """Give its memory back."""
        for session in self._sessions:
            session.close()
        self._sessions.clear()
        self._pixels.clear()
        self.states = StateRows(())

    def _frame_of(self, request: Request, segments: Segments) -> Array:
        """A request's pixels as they lie in their slot.

        Raises:
            FrameRefused: they are not what the model takes.
            WireError: the slot holds something else by now.
        """
        ref = request.ask.frame
        if self._frame is None:
            raise FrameRefused(f"{self.manifest.id} takes more than a frame.", hint="Ask it over /v2.")
        shape, dtype = self._frame
        if tuple(ref.shape) != shape or ref.dtype != name_of(dtype):
            raise FrameRefused(
                f"{self.manifest.id} takes frames of {list(shape)} {dtype}, not {list(ref.shape)} {ref.dtype}."
            )
        return segments.array(ref)

    def _infer(
        self, lane: int, requests: Sequence[Request], frames: Sequence[Array], size: int
    ) -> tuple[dict[str, Array], float]:
        """The outputs without state, and the seconds of the run alone."""
        if size == 1:
            pixels = frames[0][None]
        else:
            pixels = self._gathered(lane, size)
            for row in range(size):
                # Padding repeats a frame of this batch: nothing else could make its run fail.
                pixels[row] = frames[row] if row < len(frames) else frames[0]
        keys = [request.key for request in requests]
        # A stream that starts over does so here and not on arrival, when an earlier frame of it may still run.
        rows = [None if request.ask.reset else request.key for request in requests]
        inputs = {self._input: pixels, **self.states.gather(rows, size)}
        session = self._sessions[lane % len(self._sessions)]
        start = time.perf_counter()
        outputs = session.run(inputs)
        seconds = time.perf_counter() - start
        self.states.scatter(keys, outputs)
        return outputs, seconds

    def _gathered(self, lane: int, size: int) -> Array:
        """The lane's own array for a batch, used again and again."""
        assert self._frame is not None
        pixels = self._pixels.get((lane, size))
        if pixels is None:
            pixels = self._pixels[lane, size] = np.empty((size, *self._frame[0]), self._frame[1])
        return pixels


def _frame_input(manifest: Manifest) -> tuple[str, tuple[tuple[int, ...], np.dtype[Any]] | None]:
    """The name of the input that takes frames, with one frame's shape and dtype; None where there is no such input."""
    if manifest.input is not None:
        return manifest.input.name, ((manifest.input.height, manifest.input.width, 3), np.dtype(np.uint8))
    return "", None
