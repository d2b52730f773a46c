"""One trial, from what was drawn to its score."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from model_export.errors import ExportRefused
from training.batch import DataSet
from training.compose import compose
from training.errors import ConfigInvalid, LossNotFinite, NetInvalid
from training.fit import fit
from training.net import Net
from training.progress import Row
from training.recipe import Recipe
from training.run_folder import RunFolder
from training.search.latency import fingerprint, latency_ms
from training.search.pruning import Course, missed
from training.search.space import Search
from training.search.study import Study, Trial
from training.search.tried import Outcome, Tried

Load = Callable[[Recipe], DataSet]
Latency = Callable[[Net, Recipe, DataSet], float]
Watch = Callable[[str], None]


class _Ended(Exception):
    """A trial is over before its last epoch."""

    def __init__(self, outcome: Outcome, why: str) -> None:
        super().__init__(why)
        self.outcome, self.why = outcome, why


@dataclass(frozen=True)
class Attempt:
    """Tries the trials of a study.

    Attributes:
        search: what is drawn from.
        study: where it is written down.
        measure: the metric that is the score.
        load: the data of a recipe.
        latency: of an answer of a net, in milliseconds.
    """

    search: Search
    study: Study
    measure: str
    load: Load
    latency: Latency = latency_ms

    def at(self, trial: Trial, folder: Path, watch: Watch = lambda text: None) -> Tried:
        """Draw a recipe, see whether it makes a net and how fast that is, train it, and write down how it ended.

        Args:
            folder: where it trains; one that is there already is gone on with.
            watch: is told what is being done.

        Raises:
            TrainingError: the data or the folder cannot be used. The trial has not ended then, and can be tried again.
        """
        try:
            recipe = self._drawn(trial)
            data = self.load(recipe)
            latency = self._latency(trial, recipe, data, watch)
            self._train(trial, recipe, data, latency, folder, watch)
        except _Ended as end:
            return self.study.end(trial, end.outcome, end.why)
        except (ConfigInvalid, NetInvalid, ExportRefused) as error:
            return self.study.end(trial, Outcome.INFEASIBLE, str(error))
        except torch.OutOfMemoryError:
            return self.study.end(trial, Outcome.INFEASIBLE, "The device has too little memory for it.")
        except LossNotFinite as error:
            return self.study.end(trial, Outcome.DIVERGED, error.message)
        return self.study.end(trial, Outcome.DONE)

    def _drawn(self, trial: Trial) -> Recipe:
        recipe = self.search.tried(trial)
        trial.note_drawn(recipe)
        twin = self.study.same(recipe)
        if twin is not None:
            raise _Ended(Outcome.REPEATED, f"It is the same as trial {twin}.")
        return recipe

    def _latency(self, trial: Trial, recipe: Recipe, data: DataSet, watch: Watch) -> float:
        net = compose(recipe.net, recipe.looks_at, len(data.labels))
        graph = fingerprint(recipe, len(data.labels))
        known = self.study.latency_of(graph)
        if known is None:
            watch("exporting and measuring")
        latency = self.latency(net, recipe, data) if known is None else known
        trial.note_net(_parameters(net), latency, graph)
        most = self.search.config.max_latency_ms
        if most is not None and latency > most:
            raise _Ended(Outcome.TOO_SLOW, f"An answer takes {latency:.3g} ms, and {most:g} are allowed.")
        return latency

    def _train(self, trial: Trial, recipe: Recipe, data: DataSet, latency: float, folder: Path, watch: Watch) -> None:
        others = [one.course for one in self.study.ended() if one.course is not None]

        def note(rows: Sequence[Row]) -> list[float]:
            scores = [row[self.measure] for row in rows]
            trial.note_epochs(scores, sum(row["seconds"] for row in rows))
            return scores

        def after_epoch(rows: Sequence[Row]) -> None:
            scores = note(rows)
            watch(f"epoch {len(rows)} of {recipe.fit.epochs}, {_spoken(self.measure)} {scores[-1]:.4f}")
            if len(rows) < recipe.fit.epochs:
                self._prune(Course(latency, scores), others)

        watch("training")
        going_on = RunFolder(folder).last.exists()
        outcome = fit(recipe, folder, lambda *_: data, resume=going_on, watch=after_epoch, draw=False)
        # Of a run whose last epoch had ended before its process did, no epoch was seen.
        if all(map(math.isnan, note(outcome.rows))):
            raise _Ended(Outcome.DIVERGED, f"Its {_spoken(self.measure)} is no number.")

    def _prune(self, course: Course, others: Sequence[Course]) -> None:
        config = self.search.config.pruner
        bar = missed(course, others, config, higher_is_better=self.study.higher_is_better) if config else None
        if bar is not None:
            raise _Ended(
                Outcome.PRUNED,
                f"After epoch {bar.epoch} its {_spoken(self.measure)} was {bar.best:.4f}; {bar.score:.4f} were"
                f" needed to be among the better of {bar.rivals} that are as fast.",
            )


def _spoken(measure: str) -> str:
    return measure.replace("_", " ")


def _parameters(net: Net) -> int:
    return sum(weight.numel() for weight in net.parameters())
