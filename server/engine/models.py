"""A model that is up: its sessions, its queue, its streams' states, and how it runs a batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from model_export.bundle import Bundle
from model_export.errors import VidserveError
from server.engine.answers import Answered, OutputTooLarge, Timing, answer, refusal
from server.engine.batcher import Batch, Batcher, Policy, Request
from server.engine.inputs import FrameRefused, Inputs, Tensors
from server.engine.session import Provider, SessionFailed
from server.engine.sessions import Sessions
from server.engine.state import StateRows, States
from server.engine.tally import TallyKeeper, Took
from server.wire.slots import Segments

_log = logging.getLogger(__name__)

Array = npt.NDArray[Any]


class Model:
    """A model that is up.

    Args:
        bundle: with the graph that serves.
        states: of its streams, where the sessions find them.
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
        tally: what it was asked and has done.
    """

    def __init__(
        self,
        bundle: Bundle,
        sessions: Sessions,
        states: States,
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
        self.bundle = bundle
        self.manifest = manifest = bundle.manifest
        self.policy = policy
        self.provider = provider
        self.parallel = parallel
        self.row = row
        self.threads = threads
        self.settings = settings
        self.run_s = run_s
        self.measured = measured
        self.batcher = Batcher(policy)
        self.states = states
        self.in_flight = 0
        self.leaving = False
        self.quick = False
        self.inputs = Inputs(manifest)
        self.tally = TallyKeeper()
        self._sessions = sessions

    @property
    def can_be_measured(self) -> bool:
        """Whether there is something to find out, and a way to: only what takes frames can be fed."""
        return not self.measured and not self.leaving and self.manifest.input is not None

    def add(self, request: Request) -> None:
        """Take a request into the queue.

        Raises:
            FrameRefused: no batch has so many rows.
        """
        request.rows, request.kind = self.inputs.block(request.ask)
        largest = self.policy.sizes[-1]
        if not 1 <= request.rows <= largest:
            raise FrameRefused(f"{self.manifest.id} takes 1 to {largest} rows at once, not {request.rows}.")
        self.batcher.add(request)

    def run(self, lane: int, batch: Batch, segments: Segments) -> tuple[list[Answered], float]:
        """Run a batch: an answer to each request, and the seconds that the session took.

        A request fails alone whose frame is gone or of another shape, and so does one that makes the run fail.
        """
        began = time.monotonic()
        answers: list[Answered] = []
        requests: list[Request] = []
        tensors: list[Tensors] = []
        for request in batch.requests:
            try:
                tensors.append(self.inputs.of(request, segments))
                requests.append(request)
            except VidserveError as error:
                answers.append(refusal(request, error.code, str(error), began))
                self.tally.failed(answers[-1].done.queue_s)
        if not requests:
            return answers, 0.0
        try:
            outputs, gather_s, seconds = self._infer(lane, requests, tensors, batch.size)
        except SessionFailed as error:
            if len(requests) == 1:
                _log.error("%s failed on a frame of %s: %s", self.manifest.id, requests[0].ask.stream, error)
                answers.append(refusal(requests[0], "run_failed", str(error), began))
                self.tally.failed(time.monotonic() - requests[0].arrived)
                return answers, 0.0
            # One bad row must not take the others with it.
            total = 0.0
            for request in requests:
                size = self.policy.holding(request.rows)
                alone, seconds = self.run(lane, Batch([request], size, batch.closed), segments)
                answers += alone
                total += seconds
            return answers, total
        start = time.perf_counter()
        rows = sum([request.rows for request in requests])
        own = self._answered(requests, outputs, Timing(began, seconds, rows), segments)
        self.tally.ran(own, rows, Took(gather_s, seconds, time.perf_counter() - start))
        return answers + own, seconds

    def close(self) -> None:
        """Give its memory back."""
        self._sessions.close()
        self.inputs.close()
        self.states = StateRows(())

    def _infer(
        self, lane: int, requests: Sequence[Request], tensors: Sequence[Tensors], size: int
    ) -> tuple[dict[str, Array], float, float]:
        """The outputs without state, and the seconds that putting the inputs together and the run alone took."""
        start = time.perf_counter()
        keys = [request.key for request in requests]
        # A stream that starts over does so here and not on arrival, when an earlier frame of it may still run.
        fresh = {request.key for request in requests if request.ask.reset}
        frames = self.inputs.gather(lane, size, requests, tensors)
        inputs = {**frames, **self.states.gather(keys, size, fresh=fresh)}
        session = self._sessions.of(lane, size)
        gathered = time.perf_counter()
        try:
            outputs = session.run(inputs)
        except BaseException:
            self.states.failed(keys)
            raise
        ran = time.perf_counter()
        self.states.scatter(keys, outputs)
        return outputs, gathered - start, ran - gathered

    def _answered(
        self, requests: Sequence[Request], outputs: dict[str, Array], timing: Timing, segments: Segments
    ) -> list[Answered]:
        """Each request's own rows."""
        answers = []
        row = 0
        for request in requests:
            try:
                answers.append(answer(request, outputs, row if self.inputs.shared else None, timing, segments))
            except OutputTooLarge as error:
                answers.append(refusal(request, error.code, str(error), timing.began, needed=error.needed))
            except VidserveError as error:
                answers.append(refusal(request, error.code, str(error), timing.began))
            row += request.rows
        return answers
