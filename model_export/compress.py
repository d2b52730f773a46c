"""Variants of a model in 8 bits and half precision: judged on validation data, written only if they are good enough.

    wanted = Compression(wanted=(Precision.INT8,), calibration=frames, judge=judge)
    export(net, draft, samples, repository, compression=wanted)

Imports onnx; only the command line and the exporter import this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np

from model_export.agreement import Arrays, Tolerance
from model_export.bundle import variant_file
from model_export.check import is_invariant
from model_export.draft import Draft
from model_export.errors import ExportRefused, ImportRefused
from model_export.fp16 import halved
from model_export.int8 import quantised
from model_export.leeway import leeway, too_far
from model_export.manifest import Batch, Precision, Variant
from model_export.playing import U8, Array, apart, golden_samples, play
from model_export.session import Session
from model_export.states import first_rows
from model_export.survival import survives
from model_export.timing import in_turns

_CALIBRATED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Score:
    """What a graph is worth on validation data.

    Attributes:
        metric: the main measure of the task.
        value: 0…1; the more the better.
    """

    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class Tried:
    """A graph, and what became of it; the first is the model's own.

    Attributes:
        name: of the variant; None: the model's own graph.
        precision: as it was asked for.
        size: of the file in bytes; 0 where there is none.
        score: None where there is no graph.
        lost: points, hundredths of the measure, that the model's own is better by.
        latency_ms: the median of a frame or clip alone, in ONNX Runtime on one thread, in turns with the others.
        kept: it is in the bundle.
        why: it is not, or what else is to be said.
    """

    name: str | None
    precision: Precision
    size: int = 0
    score: Score | None = None
    lost: float = 0.0
    latency_ms: float = math.nan
    kept: bool = True
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """Which variants are wanted, and how good they must be.

    Attributes:
        wanted: in 8 bits, in half precision, or both.
        calibration: real samples as `export` takes them, best of what the net was trained with: they show which range
            of numbers each step of the net has.
        judge: what a graph is worth on validation data.
        most_lost: points, hundredths of the measure, that a variant may be worse by.
        timed_s: how long latencies are measured.
        tried: is told what became of each.
        survives: whether ONNX Runtime can load a graph without an end of the process.
    """

    wanted: Sequence[Precision]
    calibration: U8
    judge: Callable[[Session], Score]
    most_lost: float = 1.0
    timed_s: float = 1.0
    tried: Callable[[Sequence[Tried]], None] = lambda rows: None
    survives: Callable[[bytes], bool] = survives


@dataclass(frozen=True, slots=True)
class Compressed:
    """The variants that are good enough: what the manifest says of them, and their files."""

    variants: dict[str, Variant] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def compress(
    content: bytes, session: Session, draft: Draft, samples: U8, golden: Mapping[str, Array], how: Compression
) -> Compressed:
    """Make, judge and time the variants of a graph.

    Args:
        content: the model's own graph, and the session that runs it.
        samples: real ones, to see whether rows depend on what shares their batch.
        golden: what the model's own graph answers to the golden samples, which are the first of `samples`.

    Raises:
        ExportRefused: a variant has other inputs or outputs, so that nothing could run it in the model's place.
    """
    rows = [Tried(None, Precision.FP32, len(content), how.judge(session))]
    graphs: dict[Precision, tuple[bytes, Session]] = {}
    allowed: dict[Precision, Tolerance] = {}
    for precision in how.wanted:
        row = Tried(precision.value, precision, kept=False)
        try:
            made = _made(content, session, draft, precision, how.calibration)
            if made is None:
                rows.append(replace(row, why="nothing in it is large enough to gain by 8 bits"))
                continue
            if not how.survives(made):
                rows.append(replace(row, why="not written: ONNX Runtime crashes on it"))
                continue
            variant = Session(made, name=f"the {precision} variant")
        except ImportRefused as error:
            rows.append(replace(row, why=error.message))
            continue
        _see_same_interface(session, variant)
        row = _judged(replace(row, size=len(made)), rows[0], how.judge(variant), how.most_lost)
        answers = _answers(variant, draft, samples, golden)
        allowed[precision] = leeway(*answers)
        if row.kept and (why := too_far(*answers, allowed[precision])):
            row = replace(row, kept=False, why=f"not written: {why}")
        rows.append(row)
        graphs[precision] = made, variant
    runs = [_one(one, draft, samples) for one in (session, *(variant for _, variant in graphs.values()))]
    timed = iter(median(times) for times in in_turns(runs, how.timed_s))
    rows = [row if row.score is None else replace(row, latency_ms=next(timed)) for row in rows]
    how.tried(rows)
    found = Compressed()
    for row in rows[1:]:
        if row.kept and row.name is not None and row.score is not None:
            (made, variant), tolerance = graphs[row.precision], allowed[row.precision]
            found.files[variant_file(row.name)] = made
            found.variants[row.name] = Variant(
                precision=row.precision,
                metric=row.score.metric,
                value=round(row.score.value, 6),
                lost=round(row.lost, 4),
                tolerance=tolerance.absolute,
                share=tolerance.share,
                pixels=tolerance.pixels,
                weakest=tolerance.weakest,
                batch=Batch(invariant=is_invariant(variant, apart(variant.run, samples, draft))),
            )
    return found


def _judged(row: Tried, own: Tried, score: Score, most_lost: float) -> Tried:
    """Whether a graph is good enough beside the model's own."""
    assert own.score is not None
    # Half of a point is no whole number in binary.
    lost = round((own.score.value - score.value) * 100, 9)
    kept = lost <= most_lost
    why = "" if kept else f"not written: it loses {lost:.2f} points, and {most_lost:g} are allowed"
    return replace(row, score=score, lost=lost, kept=kept, why=why)


def _made(content: bytes, session: Session, draft: Draft, precision: Precision, calibration: U8) -> bytes | None:
    carried = {state.output: state.input for state in draft.state}
    if precision is Precision.FP16:
        return halved(content, carried)
    return quantised(content, _feeds(session, draft, calibration), carried)


def _feeds(session: Session, draft: Draft, samples: U8) -> Iterator[dict[str, Array]]:
    """What comes to the graph: of a model with state every frame, with the state that it leaves to the next."""
    for start in range(0, len(samples), _CALIBRATED_AT_ONCE):
        part, taken = samples[start : start + _CALIBRATED_AT_ONCE], list[dict[str, Array]]()

        def run(inputs: Mapping[str, Array], taken: list[dict[str, Array]] = taken) -> Mapping[str, Array]:
            taken.append(dict(inputs))
            return session.run(inputs)

        play(run, part, draft.input.name, draft.state)
        yield from taken


def _see_same_interface(own: Session, variant: Session) -> None:
    for kind in ("inputs", "outputs"):
        if getattr(own, kind) != getattr(variant, kind):
            raise ExportRefused(f"{variant.name} has other {kind} than the model: {getattr(variant, kind)}.")


def _one(session: Session, draft: Draft, samples: U8) -> Callable[[], object]:
    """A run of one frame or clip."""
    first = samples[:1, 0] if draft.state else samples[:1]
    inputs = {draft.input.name: np.ascontiguousarray(first), **first_rows(draft.state, 1)}
    return lambda: session.run(inputs)


def _answers(variant: Session, draft: Draft, samples: U8, golden: Mapping[str, Array]) -> tuple[Arrays, Arrays]:
    """The golden answers, and a variant's to the same samples; states are not answers."""
    carried = {state.output for state in draft.state}
    expected = {name: value for name, value in golden.items() if name not in carried}
    _, answers = golden_samples(variant.run, samples, draft, rows=len(next(iter(expected.values()))))
    return expected, answers
