"""How one model is to run: as measured, as measured for its predecessor, or as suits most models."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import onnxruntime as ort

from model_export.bundle import Bundle
from server.core.machine import processor
from server.engine.running import MAX_BATCH, Running
from server.engine.session import Options
from server.engine.tuning.choices import Choices, Subject, machine


class Plan(NamedTuple):
    """How a model runs.

    Attributes:
        run_s: seconds of a run of the smallest batch; None where this was not measured.
        measured: this very graph was measured here, so there is nothing left to find out.
    """

    sessions: int
    options: Options
    max_batch: int
    run_s: float | None = None
    measured: bool = False


def plan(bundle: Bundle, provider: str, running: Running) -> Plan:
    """The plan for a model on `cpu` or `cuda`."""
    found = Choices(Path(running.choices)).find(subject(bundle, provider, running)) if running.choices else None
    if found is None:
        sessions, threads = running.layout()
        return Plan(sessions, Options(threads), running.max_batch or MAX_BATCH[provider])
    choice, exact = found
    if exact:
        options = Options(choice.threads, choice.optimization)
        return Plan(choice.sessions, options, choice.max_batch, choice.run_s, measured=True)
    # Another optimisation gave this model's predecessor its golden answers, which says nothing of this one's.
    return Plan(choice.sessions, Options(choice.threads), choice.max_batch)


def subject(bundle: Bundle, provider: str, running: Running) -> Subject:
    """What a measurement of the model on this machine under these settings is about."""
    asked = {"sessions": running.sessions, "threads": running.threads, "max_batch": running.max_batch}
    return Subject(
        model=bundle.manifest.name,
        sha256=bundle.sha256,
        machine=machine(running.cores),
        onnxruntime=ort.__version__,
        provider=provider,
        asked=" ".join(f"{name}={value or 'any'}" for name, value in asked.items()),
    )


def fingerprint(bundle: Bundle, provider: str, options: Options, sizes: tuple[int, ...]) -> str:
    """All that may decide over bits of the answers, in one line; how many sessions there are does not."""
    manifest = bundle.manifest
    parts = [provider, ort.__version__] if bundle.variant is None else [bundle.variant, provider, ort.__version__]
    if provider == "cpu":
        parts += [processor().rpartition(" ")[2], f"threads={options.threads}", options.optimization]
    if manifest.batch.fixed is not None or not manifest.batch.invariant:
        parts.append(f"batch={sizes[-1]}")
    return " ".join(parts)
