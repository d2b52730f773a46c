"""What a model is worth on a data set: asked once, measured, split by group, and tried under worse conditions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.batch import Batch, Part
from training.evaluation.answers import AnyAnswers, ClassAnswers, LabelAnswers, answers_of, part_of
from training.evaluation.conditions import ATTACKS, CONDITIONS, attacked
from training.evaluation.intervals import Interval, intervals
from training.evaluation.latency import Latency, measure_latency
from training.evaluation.predictor import Differentiable, Predictor

Say = Callable[[str], None]
U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

BATCH = 32
CONDITION_SAMPLES = 500
"""Samples that conditions are tried on, evenly taken."""


@dataclass(frozen=True, slots=True)
class GroupRow:
    """How a group fares.

    Attributes:
        value: of the headline measure.
        interval: of the accuracy of classes, by Wilson's formula; None of other measures.
    """

    group: str
    samples: int
    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class ConditionRow:
    """The headline measure under a condition, and how far it is from the same samples as they are."""

    condition: str
    value: float
    change: float


@dataclass(frozen=True)
class Evaluation:
    """All that was found.

    Attributes:
        model, runtime, data: what was asked, by what, and on what.
        labels: L.
        answers: to every sample.
        names: the id of each sample.
        intervals: of each measure, 95 %, over groups.
        groups: how many there are; each sample is its own where there are as many as samples.
        by_group: the worst first; empty where every sample is a group of its own.
        conditions: empty where they were not asked for.
        latency: None where it was not asked for.
    """

    model: str
    runtime: str
    data: str
    labels: tuple[str, ...]
    answers: AnyAnswers
    names: tuple[str, ...]
    intervals: Mapping[str, Interval]
    groups: int
    by_group: tuple[GroupRow, ...]
    conditions: tuple[ConditionRow, ...]
    condition_samples: int
    latency: Latency | None


def evaluate(
    predictor: Predictor,
    part: Part,
    *,
    data: str,
    labels: Sequence[str],
    groups: Sequence[str],
    names: Sequence[str],
    conditions: bool = True,
    latency: bool = True,
    say: Say = lambda text: None,
) -> Evaluation:
    """Evaluate a model.

    Args:
        part: the samples.
        data: what to call them.
        labels: of the targets.
        groups: names of all groups of the data set.
        names: ids of all samples of the data set.
        conditions: whether noise, blur and the like are tried as well.
        say: is told what is being done.
    """
    answers, of_group, index = ask(predictor, part, say=say)
    say("confidence intervals")
    found = intervals(answers, of_group)
    chosen = np.unique(np.linspace(0, len(part) - 1, min(len(part), CONDITION_SAMPLES)).astype(int)).tolist()
    return Evaluation(
        model=predictor.name,
        runtime=predictor.runtime,
        data=data,
        labels=tuple(labels),
        answers=answers,
        names=tuple(names[at] for at in index),
        intervals=found,
        groups=len(np.unique(of_group)),
        by_group=_by_group(answers, of_group, groups),
        conditions=_under_conditions(predictor, part, chosen, say) if conditions else (),
        condition_samples=len(chosen),
        latency=measure_latency(predictor, part.batch([0], 0).frames.numpy()) if latency else None,
    )


def ask(predictor: Predictor, part: Part, *, say: Say = lambda text: None) -> tuple[AnyAnswers, I64, I64]:
    """A model's answers to all samples of a part, and the group and the index of each, int64 [N]."""
    said, targets, groups, index = [], [], [], []
    for start, batch in _batches(part, range(len(part))):
        say(f"{start + len(batch)} of {len(part)} samples")
        said.append(predictor.predict(batch.frames.numpy()))
        targets.append(batch.target.numpy())
        groups.append(batch.group.numpy())
        index.append(batch.index.numpy())
    answers = answers_of(predictor.kind, np.concatenate(said), np.concatenate(targets))
    return answers, np.concatenate(groups), np.concatenate(index)


def _batches(part: Part, places: Sequence[int]) -> Iterator[tuple[int, Batch]]:
    for start in range(0, len(places), BATCH):
        yield start, part.batch(places[start : start + BATCH], 0)


def _by_group(answers: AnyAnswers, of_group: npt.NDArray[np.int64], groups: Sequence[str]) -> tuple[GroupRow, ...]:
    """A row a group, the worst first."""
    there, counts = np.unique(of_group, return_counts=True)
    if len(there) == len(of_group):
        return ()
    rows = []
    for group, count in zip(there, counts, strict=True):
        value = part_of(answers, np.flatnonzero(of_group == group)).measures()[answers.headline]
        interval = _wilson(value, int(count)) if isinstance(answers, ClassAnswers) else None
        rows.append(GroupRow(groups[group], int(count), value, interval))
    better = 1 if isinstance(answers, ClassAnswers | LabelAnswers) else -1
    return tuple(sorted(rows, key=lambda row: (better * row.value, row.group)))


def _wilson(share: float, count: int) -> Interval:
    """95 % interval of a share. Source: Wilson, "Probable inference", 1927."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return Interval(max(middle - half, 0.0), min(middle + half, 1.0))


def _under_conditions(predictor: Predictor, part: Part, chosen: Sequence[int], say: Say) -> tuple[ConditionRow, ...]:
    """The headline measure of the same samples under every condition."""
    clips = predictor.input.frames > 1
    wanted = [one for one in CONDITIONS if clips or not one.clips_only]
    attacks = ATTACKS if isinstance(predictor, Differentiable) else {}
    said: dict[str, list[F32]] = {}
    targets = []
    for start, batch in _batches(part, chosen):
        say(f"conditions: {start + len(batch)} of {len(chosen)} samples")
        frames = batch.frames.numpy()
        targets.append(batch.target.numpy())
        said.setdefault("", []).append(predictor.predict(frames))
        for one in wanted:
            random = np.random.default_rng([start, len(one.name)])
            said.setdefault(one.name, []).append(predictor.predict(one.change(frames, random)))
        for name, step in attacks.items():
            assert isinstance(predictor, Differentiable)
            worse = attacked(predictor, frames, batch.target, step)
            said.setdefault(name, []).append(predictor.predict(worse))
    target = np.concatenate(targets)
    values = {}
    for name, parts in said.items():
        answers = answers_of(predictor.kind, np.concatenate(parts), target)
        values[name] = answers.measures()[answers.headline]
    before = values.pop("")
    return tuple(ConditionRow(name, value, value - before) for name, value in values.items())
