"""`vidserve bench MODEL`: how a model runs fastest on this machine, and what a gate in front of it would cost."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from model_export.bundle import Bundle
from model_export.errors import ModelNotFound
from model_export.manifest import Task
from model_export.repository import Repository
from server.commands.reports import NotSaved, check_report, write_report
from server.core.settings import Settings
from server.engine.running import CHOICES, Running
from server.engine.tuning.bystanders import Bystanders
from server.engine.tuning.choices import Choices
from server.engine.tuning.contest import OnnxContestant
from server.engine.tuning.gate import GateCost, measure_gate
from server.engine.tuning.measure import Measured, measure
from server.engine.tuning.order import Tuning
from server.engine.tuning.search import Candidate, Outcome
from server.runtime.processes.folders import is_locked
from server.runtime.runtime import SHIPPED

GATE = "moving-objects"
_PAUSE = (
    "The server of this data folder runs, and was probably among them: stop it, or pause its streams and wait for its "
    "jobs while this measures."
)


def run(reference: str, settings: Settings, *, save: bool | None, report: Path | None) -> None:
    """Measure a model, say what was found, and keep it.

    Args:
        save: None: unless other processes used the machine meanwhile.

    Raises:
        ModelNotFound: there is none.
        VariantUnknown: it lacks the variant that is to serve.
        NotMeasurable: it takes no frames.
        NotSaved: a file cannot be written.
        SessionFailed, ProviderUnavailable: it cannot be run.
    """
    check_report(report)
    console = Console(highlight=False, soft_wrap=True)
    repository = Repository(settings.data / "models", shipped=SHIPPED)
    bundle = repository.resolve(reference)
    running = Running.of(settings, settings.data / CHOICES)
    bundle = bundle.as_variant(running.variants.get(bundle.manifest.name))
    console.print(f"Measuring {_called(bundle)}, which takes the whole machine for a quarter of a minute or more.")
    bystanders = Bystanders(running.cores)
    with console.status("") as status:
        found = measure(bundle, running, lambda candidate: status.update(f"{_named(candidate)} …"))
        status.update("beside a gate …")
        gate = _gate(repository, bundle, found)
    console.print(f"{found.subject.machine}, ONNX Runtime {found.subject.onnxruntime}, {_on(found)}")
    console.print(_table(found.outcome), soft_wrap=False)
    for row in found.outcome.rows:
        if row.detail:
            console.print(f"{_named(row.candidate)} failed: {row.detail}", markup=False)
    console.print(f"Chosen: {found.choice.words}; {_why(found.outcome)}.", markup=False)
    if gate is not None:
        console.print(_gate_line(bundle, gate), markup=False)
    others = bystanders.share
    disturbed = others > Tuning().tolerance
    if disturbed:
        console.print(f"Other processes used {others:.0%} of the cores meanwhile, so these figures say little.")
        if is_locked(settings.data):
            console.print(_PAUSE)
    if save is False or (disturbed and save is None):
        kept = "Not kept." if save is False else "Not kept; --save keeps them all the same."
    else:
        kept = _kept(found, Path(running.choices))
    console.print(kept, markup=False)
    if report is not None:
        write_report(report, _figures(bundle, found, gate, others))


def _gate(repository: Repository, bundle: Bundle, found: Measured) -> GateCost | None:
    """What the gate costs beside the model; None where there is no gate, or the model is one."""
    if bundle.manifest.task is Task.MOTION:
        return None
    try:
        gate = repository.resolve(GATE)
    except ModelNotFound:
        return None
    on = found.provider.name
    with ExitStack() as stack:
        model = stack.enter_context(closing(OnnxContestant(bundle, on, found.outcome.chosen)))
        alone = Candidate(1, 1, 1, found.outcome.chosen.optimization)
        quick = stack.enter_context(closing(OnnxContestant(gate, on, alone)))
        return measure_gate(model, quick)


def _table(outcome: Outcome) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("sessions", "threads", "batch", "optimisation", "frames/s", "ms a run", "ratio"):
        table.add_column(heading, justify="left" if heading == "optimisation" else "right", no_wrap=True)
    table.add_column("")
    for row in outcome.rows:
        candidate = row.candidate
        table.add_row(
            str(candidate.sessions),
            str(candidate.threads),
            str(candidate.batch),
            candidate.optimization,
            f"{row.frames_s:.1f}" if row.frames_s else "",
            f"{row.run_s * 1e3:.1f}" if row.run_s else "",
            "" if row.ratio is None else f"{row.ratio:.2f}",
            row.verdict,
            style="bold" if candidate == outcome.chosen else None,
        )
    return table


def _why(outcome: Outcome) -> str:
    if outcome.chosen == outcome.rows[0].candidate:
        return "that is usual, and nothing else was clearly faster"
    return f"{outcome.gain:.2f} times as fast as what is usual"


def _gate_line(bundle: Bundle, gate: GateCost) -> str:
    return (
        f"gate: motion: {GATE} takes {gate.alone_s * 1e3:.1f} ms a frame alone, {gate.beside_s * 1e3:.1f} ms beside "
        f"{bundle.manifest.name}, which then does {gate.gated_s:.1f} frames a second instead of {gate.ungated_s:.1f}: "
        f"it pays where it spares more than {gate.pays_from:.0%} of the runs."
    )


def _called(bundle: Bundle) -> str:
    return bundle.manifest.id if bundle.variant is None else f"{bundle.manifest.id} {bundle.variant}"


def _on(found: Measured) -> str:
    provider = found.provider
    return f"{provider.name}, not {provider.asked}: {provider.why}" if provider.why else provider.name


def _named(candidate: Candidate) -> str:
    return (
        f"{candidate.sessions} × {candidate.threads} threads, batches of {candidate.batch}, "
        f"optimisation {candidate.optimization}"
    )


def _kept(found: Measured, file: Path) -> str:
    try:
        Choices(file).put(found.subject, found.choice)
    except OSError as error:
        raise NotSaved(
            f"{file} cannot be written: {error.strerror}.", hint="Add --no-save to see the figures."
        ) from error
    return f"Kept in {file}, for the model's next load."


def _figures(bundle: Bundle, found: Measured, gate: GateCost | None, others: float) -> dict[str, Any]:
    return {
        "model": bundle.manifest.id,
        "variant": bundle.variant,
        **msgspec.to_builtins(found.subject),
        "rows": [
            {**asdict(row.candidate), **{k: v for k, v in asdict(row).items() if k != "candidate"}}
            for row in found.outcome.rows
        ],
        "chosen": msgspec.to_builtins(found.choice),
        "others": others,
        "why": _why(found.outcome),
        "gate": None if gate is None else {**asdict(gate), "pays_from": gate.pays_from},
    }
