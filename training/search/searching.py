"""A search: trials one after the other, until there are enough, and what is to be had of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from training.batch import DataSet
from training.data.config import DataConfig
from training.errors import NothingFeasible
from training.recipe import Recipe
from training.search import plot, results
from training.search.attempt import Attempt, Latency, Watch
from training.search.latency import latency_ms, machine
from training.search.space import Search
from training.search.study import Study, kept
from training.search.study_folder import StudyFolder
from training.search.tried import TRAINED, Outcome, Tried
from training.tasks.choice import task_for

LoadData = Callable[[DataConfig], DataSet]
Picture = Callable[[Sequence[Tried], Sequence[Tried], str, Path], None]


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a search.

    Attributes:
        folder: with its files.
        measure: the metric that is the score.
        tried: all trials.
        front: those than which no other is better in both score and latency, the best score first.
    """

    folder: StudyFolder
    measure: str
    tried: tuple[Tried, ...]
    front: tuple[Tried, ...]


def search_for(
    search: Search,
    folder: Path,
    load_data: LoadData,
    *,
    latency: Latency = latency_ms,
    draw: Picture = plot.draw,
    timeout_s: float | None = None,
    say: Callable[[str], None] = lambda line: None,
    watch: Watch = lambda text: None,
    heard: Callable[[Tried, str], None] = lambda tried, measure: None,
) -> Found:
    """Try what a search leaves to be chosen, and write down what is to be had.

    A study that is there already goes on, from where it was, up to as many trials as are wanted now.

    Args:
        folder: of the study.
        load_data: makes data ready.
        latency: measures it.
        draw: makes the picture of what came of it.
        timeout_s: after which no new trial begins; that which is under way comes to its end.
        say: is told what concerns the whole.
        watch: is told what is being done.
        heard: is told of every trial that has ended, with the measure.

    Raises:
        SearchError: the study cannot begin or go on, or not one draw made a net that could be trained.
        TrainingError: the data cannot be used, or the disk is full. What was finished stays.
    """
    end = None if timeout_s is None else time.monotonic() + timeout_s
    place, data = StudyFolder(folder), _Data(load_data)
    with place.held(search), kept(place.database):
        first = data.of(search.first())
        task = task_for(first.kind, len(first.labels), first.train.targets)
        study = Study(place.database, search.name, search.config, higher_is_better=task.higher_is_better)
        try:
            study.note_data(first.fingerprint)
            for number in study.mend():
                say(f"Trial {number} had not come to its end.")
            _without_weights(place, but=study.waiting())
            if (before := study.note_machine(machine())) is not None:
                say(f"Latencies were measured on {before} so far; this is {machine()}, where they may be others.")
            try:
                _try_all(Attempt(search, study, task.measure, data.of, latency), place, end, say, watch, heard)
            finally:
                found = _found(place, study, task.measure)
                results.write(found.folder, search, found.tried, found.front, task.measure)
                if any(one.score is not None for one in found.tried):
                    draw(found.tried, found.front, task.measure, place.picture)
        finally:
            study.close()
    return found


def _try_all(
    attempt: Attempt,
    place: StudyFolder,
    end: float | None,
    say: Callable[[str], None],
    watch: Watch,
    heard: Callable[[Tried, str], None],
) -> None:
    study, wanted = attempt.study, attempt.search.config.trials
    trained = sum(one.outcome in TRAINED for one in study.ended())
    idle: list[Tried] = []
    while trained < wanted and (end is None or time.monotonic() < end):
        trial = study.next()
        telling = partial(_of_trial, watch, f"{trained} of {wanted} trials, now {trial.number}")
        tried = attempt.at(trial, place.trial(trial.first), telling)
        _without_weights(place)
        heard(tried, attempt.measure)
        if tried.outcome in TRAINED:
            trained, idle = trained + 1, []
            continue
        idle.append(tried)
        if len(idle) == attempt.search.config.idle:
            if not trained:
                raise _nothing(idle)
            say(f"{len(idle)} draws in a row brought nothing new to train: everything may have been tried.")
            return


def _of_trial(watch: Watch, trial: str, text: str) -> None:
    watch(f"{trial}: {text}")


class _Data:
    """Data sets, of which the newest is kept: most searches need but one."""

    def __init__(self, load_data: LoadData) -> None:
        self._load_data = load_data
        self._config: DataConfig | None = None
        self._data: DataSet | None = None

    def of(self, recipe: Recipe) -> DataSet:
        if self._data is None or self._config != recipe.data:
            self._data = None
            self._data, self._config = self._load_data(recipe.data), recipe.data
        return self._data


def _without_weights(place: StudyFolder, but: Collection[int] = ()) -> None:
    """Checkpoints of trials that have ended are of no use, and large."""
    going_on = [place.trial(number) for number in but]
    for checkpoint in place.trials.glob("*/*.ckpt"):
        if checkpoint.parent not in going_on:
            checkpoint.unlink()


def _found(place: StudyFolder, study: Study, measure: str) -> Found:
    tried = {one.number: one for one in study.ended()}
    return Found(place, measure, tuple(tried.values()), tuple(tried[number] for number in study.front()))


def _nothing(idle: Sequence[Tried]) -> NothingFeasible:
    reasons = Counter(one.why for one in idle if one.outcome is not Outcome.REPEATED)
    lines = [f"{count} times: {why}" for why, count in reasons.most_common(3)]
    return NothingFeasible(
        f"Not one of {len(idle)} draws made a net that could be trained:\n  " + "\n  ".join(lines),
        hint="Look at the shapes: vidserve train --describe shows them, for one choice written out. Or allow more"
        " milliseconds, if nets were too slow.",
    )
