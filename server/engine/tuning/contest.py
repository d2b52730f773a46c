"""Candidates in ONNX Runtime, at work as the engine's lanes are: a thread and a session each, all at once."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
import numpy.typing as npt

from model_export import golden
from model_export.bundle import Bundle
from model_export.errors import GoldenMismatch, ModelError
from server.engine.batcher import Key
from server.engine.loading import session_of
from server.engine.session import OnnxSession, Options, SessionFailed
from server.engine.state import States
from server.engine.tuning.search import Candidate
from server.engine.warmup import noise

_SLICE_S = 0.2
_ALONE_S, _ALONE_RUNS = 0.3, 7


class NotMeasurable(ModelError):
    """The model takes something else than frames."""

    code = "not_measurable"


class OnnxContestant:
    """A candidate in ONNX Runtime, with the model's state kept as the engine keeps it.

    Raises:
        NotMeasurable: the model takes something else than frames.
        SessionFailed: it cannot be loaded or not run, or does not give its golden answers; so do the methods.
    """

    def __init__(self, bundle: Bundle, provider: str, candidate: Candidate) -> None:
        takes = bundle.manifest.input
        if takes is None:
            raise NotMeasurable(
                f"{bundle.manifest.id} has task tensor: it takes tensors of any meaning, and nobody here knows which.",
                hint="Measure it with its own client over /v2.",
            )
        self._manifest = bundle.manifest
        self._batch = candidate.batch
        inputs = noise(candidate.batch, bundle.manifest, takes)
        self._frames = {takes.name: inputs[takes.name]}
        options = Options(candidate.threads, candidate.optimization)
        # On a GPU one session serves every lane, as in the engine.
        own = candidate.sessions if provider == "cpu" else 1
        sessions: list[OnnxSession] = []
        try:
            for _ in range(own):
                sessions.append(session_of(bundle, provider, options))
            samples = golden.of(bundle)
            if samples is not None:
                golden.check(samples, sessions[0].run, state=bundle.manifest.state)
            for session in sessions:  # last, as a device prepares itself for one shape
                outputs = session.run(inputs)
        except GoldenMismatch as error:
            _close(sessions)
            raise SessionFailed(f"It answers otherwise: {error.message}") from error
        except BaseException:
            _close(sessions)
            raise
        self._answer = {name: value[-1] for name, value in outputs.items()}
        self._sessions = sessions
        self._lanes = [sessions[lane % own] for lane in range(candidate.sessions)]
        self._pool = ThreadPoolExecutor(len(self._lanes))
        self._stepped = sessions[0].states(bundle.manifest.state)

    def rate(self, seconds: float = _SLICE_S, after: Callable[[int], None] = lambda _: None) -> float:
        """Frames a second with all lanes at work.

        Args:
            after: called in the lane after each run with the frames of that run.
        """
        together = Barrier(len(self._lanes))

        def lane(number: int) -> float:
            session = self._lanes[number]
            states = session.states(self._manifest.state)
            together.wait()
            start = time.perf_counter()
            frames = 0
            while (taken := time.perf_counter() - start) < seconds:
                self._run(session, states)
                frames += self._batch
                after(self._batch)
            return frames / taken

        return sum(self._pool.map(lane, range(len(self._lanes))))

    def run_s(self) -> float:
        """Seconds of one run with everything else at rest: the median of a few."""
        taken: list[float] = []
        while len(taken) < _ALONE_RUNS and sum(taken) < _ALONE_S:
            start = time.perf_counter()
            self.step()
            taken.append(time.perf_counter() - start)
        return statistics.median(taken)

    def step(self) -> None:
        """One run in the first session."""
        self._run(self._sessions[0], self._stepped)

    def answer(self) -> Mapping[str, npt.NDArray[np.generic[Any]]]:
        return self._answer

    def close(self) -> None:
        self._pool.shutdown()
        _close(self._sessions)

    def _run(self, session: OnnxSession, states: States) -> None:
        keys: list[Key] = [(b"", str(row)) for row in range(self._batch)]
        states.scatter(keys, session.run({**self._frames, **states.gather(keys, self._batch)}))


def _close(sessions: Sequence[OnnxSession]) -> None:
    for session in sessions:
        session.close()
