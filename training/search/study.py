"""A study as Optuna keeps it: what is drawn next, and what came of all that was drawn."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import optuna
from optuna.exceptions import StorageInternalError
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from training.errors import StudyChanged, StudyNotKept
from training.recipe import Recipe
from training.search.choices import Choice, Number, Range
from training.search.config import SearchConfig
from training.search.tried import Outcome, Tried

ATTEMPTS = 3
"""How often a trial is begun whose process ends before it does."""

_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
_DRAWN, _FIRST, _DATA, _MACHINE = "recipe", "first", "data", "machine"
_NET, _EPOCHS, _END = "net", "epochs", "end"


class Trial:
    """A trial that is tried: it chooses for a search, and what is found is written down in it.

    Attributes:
        number: of the trial.
        first: the number that it had when it was first begun, before the process ended.
    """

    def __init__(self, asked: optuna.Trial) -> None:
        self._asked = asked
        self.number = asked.number
        self.first = int(asked.user_attrs.get(_FIRST, asked.number))

    def alternative_of(self, choice: Choice) -> str:
        return str(self._asked.suggest_categorical(choice.name, list(choice.alternatives)))

    def number_in(self, choice: Range) -> Number:
        low, high, step = choice.low, choice.high, choice.step
        if choice.whole:
            return self._asked.suggest_int(choice.name, int(low), int(high), step=int(step or 1), log=choice.log)
        return self._asked.suggest_float(choice.name, low, high, step=step, log=choice.log)

    def note_drawn(self, recipe: Recipe) -> None:
        """Everything is chosen: from now on it can be tried again."""
        self._asked.set_user_attr(_DRAWN, _hash(recipe))

    def note_net(self, parameters: int, latency_ms: float, graph: str) -> None:
        """What was counted and measured of a net; see `training.search.latency.fingerprint` for `graph`."""
        self._asked.set_user_attr(_NET, {"parameters": parameters, "latency_ms": latency_ms, "graph": graph})

    def note_epochs(self, scores: Sequence[float], seconds: float) -> None:
        """The scores after each epoch so far, and the seconds that these took."""
        self._asked.set_user_attr(_EPOCHS, {"scores": list(scores), "seconds": seconds})

    def note_end(self, outcome: Outcome, why: str | None) -> None:
        self._asked.set_user_attr(_END, {"outcome": outcome.value, "why": why})


class Study:
    """All trials of a search.

    Args:
        file: SQLite; made if it is not there.
        higher_is_better: of scores. Latencies are better when they are low.
    """

    def __init__(self, file: Path, name: str, config: SearchConfig, *, higher_is_better: bool) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.higher_is_better = higher_is_better
        self._config = config
        self._storage = RDBStorage(URL.create("sqlite", database=str(file.absolute())).render_as_string())
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=name,
            directions=["maximize" if higher_is_better else "minimize", "minimize"],
            load_if_exists=True,
        )

    def close(self) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()

    def note_data(self, fingerprint: str) -> None:
        """Write down which data are learnt; of a study that goes on, see that they are the same.

        Raises:
            StudyChanged: they are others.
        """
        before = self._study.user_attrs.get(_DATA)
        if before is None:
            self._study.set_user_attr(_DATA, fingerprint)
        elif before != fingerprint:
            raise StudyChanged(
                "The data are not those that the study began with.",
                hint="Bring the old ones back, or start a new study: name=…",
            )

    def note_machine(self, machine: str) -> str | None:
        """Write down where it is measured; the machine that the study was on before, if that was another."""
        before = self._study.user_attrs.get(_MACHINE)
        if before != machine:
            self._study.set_user_attr(_MACHINE, machine)
        return str(before) if before not in (None, machine) else None

    def mend(self) -> list[int]:
        """Trials whose process died are to be tried again, unless that has happened too often; their numbers."""
        left = self._all(TrialState.RUNNING)
        for trial in left:
            first = trial.user_attrs.get(_FIRST, trial.number)
            begun = [one for one in self._all() if one.user_attrs.get(_FIRST, one.number) == first]
            waits = any(one.state is TrialState.WAITING for one in begun)
            # Of one that was not wholly drawn nothing is known; it is drawn anew.
            if _DRAWN in trial.user_attrs and not waits and len(begun) < ATTEMPTS:
                self._study.enqueue_trial(trial.params, user_attrs={_FIRST: first})
            self._study.tell(trial.number, state=TrialState.FAIL)
        return [trial.number for trial in left]

    def waiting(self) -> set[int]:
        """The numbers, as first given, of those that are to be tried again."""
        return {one.user_attrs[_FIRST] for one in self._all(TrialState.WAITING)}

    def next(self) -> Trial:
        """A trial to be tried: one that must be tried again, else one that is drawn.

        Every draw has a generator of its own, so that a study which was interrupted draws as one that was not.
        """
        drawn = sum(
            _FIRST not in one.user_attrs and (_DRAWN in one.user_attrs or one.state in _ENDED) for one in self._all()
        )
        seed = int(np.random.SeedSequence((self._config.seed, drawn)).generate_state(1)[0])
        self._study.sampler = TPESampler(seed=seed, n_startup_trials=self._config.random)
        return Trial(self._study.ask())

    def end(self, trial: Trial, outcome: Outcome, why: str | None = None) -> Tried:
        """A trial is over; what came of it. One that is done has its latency and its scores noted."""
        trial.note_end(outcome, why)
        found = self.tried(trial.number)
        if outcome is Outcome.DONE:
            assert found.score is not None
            assert found.latency_ms is not None
            self._study.tell(trial.number, [found.score, found.latency_ms])
        else:
            self._study.tell(trial.number, state=TrialState.PRUNED)
        return found

    def tried(self, number: int) -> Tried:
        """What came of a trial."""
        return self._tried(self._study.get_trials(deepcopy=False)[number])

    def ended(self) -> list[Tried]:
        """What came of all that have ended, in their order."""
        return [self._tried(one) for one in self._all() if one.state.is_finished()]

    def front(self) -> list[int]:
        """The numbers of those that no other beats in one and equals or beats in the other; the best score first.

        Of trials that are equal in both, the first.
        """
        sign = -1 if self.higher_is_better else 1
        first: dict[tuple[float, ...], int] = {}
        for one in self._study.best_trials:
            first.setdefault((sign * one.values[0], one.values[1]), one.number)
        return [first[values] for values in sorted(first)]

    def same(self, recipe: Recipe) -> int | None:
        """The number of a trial of the same recipe that has ended, or that was begun too often."""
        drawn = _hash(recipe)
        for one in self._all(*_ENDED):
            if one.user_attrs.get(_DRAWN) == drawn:
                return one.number
        died = [one.number for one in self._all(TrialState.FAIL) if one.user_attrs.get(_DRAWN) == drawn]
        return died[-1] if len(died) >= ATTEMPTS else None

    def latency_of(self, graph: str) -> float | None:
        """What was measured before of the same graph, so that nets which are alike are equally fast."""
        nets = [one.user_attrs.get(_NET, {}) for one in self._all()]
        return next((net["latency_ms"] for net in nets if net.get("graph") == graph), None)

    def _all(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states or None)

    def _tried(self, trial: FrozenTrial) -> Tried:
        net, epochs, end = (trial.user_attrs.get(key, {}) for key in (_NET, _EPOCHS, _END))
        scores = tuple(float(score) for score in epochs.get("scores", ()))
        seen = [score for score in scores if not math.isnan(score)]
        return Tried(
            number=trial.number,
            outcome=Outcome.DIED if trial.state is TrialState.FAIL else Outcome(end["outcome"]),
            chosen=dict(trial.params),
            score=(max if self.higher_is_better else min)(seen) if seen else None,
            scores=scores,
            latency_ms=net.get("latency_ms"),
            parameters=net.get("parameters"),
            seconds=epochs.get("seconds"),
            why=end.get("why"),
        )


@contextmanager
def kept(file: Path) -> Iterator[None]:
    """What SQLite cannot do is said.

    Raises:
        StudyNotKept: the file of trials cannot be read or written.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        inner = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = str(getattr(inner, "orig", None) or inner).splitlines()[0]
        raise StudyNotKept(
            f"{file} cannot be read or written: {reason}.",
            hint="What was finished stays in it. Make room if the disk is full, and start the same command again.",
        ) from error


def _hash(recipe: Recipe) -> str:
    return hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()
