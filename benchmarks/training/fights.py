"""Fights in surveillance clips, five folds by source: every clip is judged by a net that never saw its place."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import numpy as np

from benchmarks.stage import Stage
from benchmarks.table import Row, at_least, told
from benchmarks.training.trained import Trained, data_of, train
from training.evaluation import asking
from training.evaluation.answers import ClassAnswers
from training.evaluation.evaluation import ask
from training.evaluation.intervals import intervals
from training.evaluation.opening import open_run

FOLDS = 5
AUC = 0.80


def rows(stage: Stage) -> Iterator[Row]:
    path = data_of(stage, "fights/clips.csv")
    folds = [
        train(stage, "fights", f"data.source.path={path}", f"data.split.fold={fold}", name=f"fights-{fold}")
        for fold in range(FOLDS)
    ]
    each = [fold.measure("auc") for fold in folds]
    answers, groups = _together(folds)
    low, high = intervals(answers, groups)["auc"]
    pooled = answers.measures()["auc"]
    note = f"95 % interval {low:.3f} … {high:.3f} by drawing sources; mean of the folds {statistics.mean(each):.3f}"
    yield at_least("fights, five folds by source: AUC of all clips", pooled, AUC, note, digits=3)
    yield told("… by fold", ", ".join(f"{auc:.3f}" for auc in each), f"{sum(f.seconds for f in folds) / 60:.0f} min")


def _together(folds: list[Trained]) -> tuple[ClassAnswers, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """The answers to every clip, each by the fold that tests it, and the place of its source."""
    found, sources = [], []
    for fold in folds:
        predictor = open_run(fold.folder)
        wanted = asking.described(fold.folder)
        assert wanted is not None
        asked = asking.ask_described(wanted, predictor, None, say=lambda done, total: None)
        answers, groups, _ = ask(predictor, asked.part)
        assert isinstance(answers, ClassAnswers)
        found.append(answers)
        sources += [asked.groups[at] for at in groups.tolist()]
    together = ClassAnswers(np.concatenate([one.said for one in found]), np.concatenate([one.target for one in found]))
    return together, np.unique(sources, return_inverse=True)[1].astype(np.int64)
