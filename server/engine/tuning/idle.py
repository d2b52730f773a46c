"""Measuring while nobody asks for anything: one model at a time, each in a process of its own, killed at a request."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import subprocess
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from server.core.launch import command
from server.engine.models import Model
from server.engine.tuning.order import Ending, TuneOrder

_log = logging.getLogger(__name__)

_MOST_QUIET_S = 600.0


class Measurement(Protocol):
    """One that is under way."""

    def poll(self) -> int | None:
        """How it ended, an `Ending` or a signal; None while it goes on."""
        ...

    def kill(self) -> None:
        """Take the processor from it at once; it need not be waited for."""
        ...


class MeasuringProcess:
    """A process that measures one model."""

    def __init__(self, order: TuneOrder) -> None:
        self._process = subprocess.Popen(
            command("server.engine.tuning.process"),
            stdin=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        assert self._process.stdin is not None
        # Its standard input stays open: its end would tell it that this process is gone.
        with contextlib.suppress(BrokenPipeError):  # it died at once; its exit code says so
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            self._process.stdin.flush()

    def poll(self) -> int | None:
        code = self._process.poll()
        if code is not None and self._process.stdin is not None:
            self._process.stdin.close()
        return code

    def kill(self) -> None:
        self._process.kill()


class IdleTuning:
    """When which model is measured. A plain class: time is an argument, nothing here waits.

    A model has its turn when the engine has been at rest for a while. After one that was interrupted, or disturbed by
    other processes, that while is twice as long, so that measurements which never come to an end do not cost much.

    Args:
        quiet_s: how long that while is at first; None: nothing is ever measured.
        start: begins a measurement.
    """

    def __init__(self, quiet_s: float | None, start: Callable[[Model], Measurement]) -> None:
        self._start = start
        self._first_quiet_s = self._quiet_s = math.inf if quiet_s is None else quiet_s
        self._quiet_since: float | None = None
        self._model: Model | None = None
        self._measurement: Measurement | None = None
        self._ending: list[Measurement] = []
        self._failed: set[str] = set()

    def look(self, now: float, models: Iterable[Model], *, busy: bool) -> None:
        """Begin or end what is due; called every second or so.

        Args:
            models: those that are up.
            busy: a model runs, comes up or goes.
        """
        self._ending = [measurement for measurement in self._ending if measurement.poll() is None]
        if busy:
            self.interrupt()
            return
        if self._measurement is not None:
            self._follow(self._measurement)
            return
        if self._quiet_since is None:
            self._quiet_since = now
        if now - self._quiet_since < self._quiet_s or self._ending:
            return
        due = (model for model in models if model.can_be_measured and model.manifest.id not in self._failed)
        model = next(due, None)
        if model is None:
            return
        _log.info("measuring how %s runs fastest on this machine", model.manifest.id)
        try:
            self._model, self._measurement = model, self._start(model)
        except OSError as error:
            self._fail(model, str(error))

    def interrupt(self) -> None:
        """Something is to be done: whatever measures stops at once."""
        self._quiet_since = None
        if self._measurement is None:
            return
        self._measurement.kill()
        self._ending.append(self._measurement)
        self._model = self._measurement = None
        self._wait_longer()

    def _follow(self, measurement: Measurement) -> None:
        code = measurement.poll()
        model = self._model
        if code is None or model is None:
            return
        self._model = self._measurement = self._quiet_since = None
        if code == Ending.KEPT:
            model.measured = True
            self._quiet_s = self._first_quiet_s
        elif code == Ending.DISTURBED:
            self._wait_longer()
        else:
            self._fail(model, f"exit code {code}")

    def _wait_longer(self) -> None:
        self._quiet_s = min(2 * self._quiet_s, _MOST_QUIET_S)

    def _fail(self, model: Model, why: str) -> None:
        """It is not tried again before the engine starts anew."""
        _log.warning("%s could not be measured (%s), and runs as before", model.manifest.id, why)
        self._model = None
        self._failed.add(model.manifest.id)
