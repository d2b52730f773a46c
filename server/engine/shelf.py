"""The models that are up. One comes up beside the others while they serve, and goes when its last batch has run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from model_export.errors import VidserveError
from server.core import heap
from server.core.machine import yield_to_others
from server.engine.loading import load
from server.engine.models import Model
from server.engine.running import Running
from server.wire.messages import LoadModel, Message, ModelFailed, ModelLoaded, ModelUnloaded

_log = logging.getLogger(__name__)

QUICK = 4
"""A model is quick if the costliest one takes so many times as long for a run."""


@dataclass(frozen=True, slots=True)
class Up:
    """A model has been brought up."""

    order: LoadModel
    model: Model
    seconds: float


@dataclass(frozen=True, slots=True)
class NotUp:
    """A model could not be brought up."""

    order: LoadModel
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Gone:
    """A model's memory has been given back."""

    name: str


class Shelf:
    """Models by `name@version`.

    Loading and giving back happen in threads of their own, which report what came of it; everything else is the
    engine's thread's.

    Args:
        running: how models run here.
        report: called in those threads.
        say: to the API process.

    Attributes:
        models: those that are up.
    """

    def __init__(
        self, running: Running, report: Callable[[Up | NotUp | Gone], None], say: Callable[[Message], None]
    ) -> None:
        self.models: dict[str, Model] = {}
        self._running = running
        self._report = report
        self._say = say
        self._loading: set[str] = set()
        self._leaving: dict[str, LoadModel | None] = {}
        """Models that are to go, or are on their way out, and the order to load each again."""

    @property
    def at_work(self) -> bool:
        """Whether a model is coming up or going."""
        return bool(self._loading or self._leaving)

    def load(self, order: LoadModel) -> None:
        """Bring a model up; `ModelLoaded` or `ModelFailed` follows, once however often it was asked."""
        name = order.model
        if name in self._leaving:
            self._leaving[name] = order
        elif name in self.models:
            self._say_loaded(self.models[name], 0.0)
        elif name not in self._loading:
            self._loading.add(name)
            Thread(target=self._load, args=(order,), name=f"load {name}", daemon=True).start()

    def unload(self, name: str) -> None:
        """Let a model go when all it was asked has run; `ModelUnloaded` follows."""
        if name in self._leaving or name in self._loading:
            self._leaving[name] = None
        elif name in self.models:
            self._leaving[name] = None
            self.models[name].leaving = True
            self.settle()
        else:
            self._say(ModelUnloaded(name))

    def settle(self) -> None:
        """Give back the models that are to go and have nothing left to run."""
        for name in self._leaving:
            model = self.models.get(name)
            if model is not None and not len(model.batcher) and not model.in_flight:
                del self.models[name]
                rank(self.models.values())
                Thread(target=self._give_back, args=(model,), name=f"unload {name}", daemon=True).start()

    def up(self, report: Up) -> None:
        """A model has been brought up, and serves from here on."""
        name = report.order.model
        self._loading.discard(name)
        self.models[name] = report.model
        rank(self.models.values())
        self._say_loaded(report.model, report.seconds)
        if name in self._leaving:
            report.model.leaving = True
            self.settle()

    def not_up(self, report: NotUp) -> None:
        """A model could not be brought up."""
        name = report.order.model
        self._loading.discard(name)
        self._say(ModelFailed(name, report.code, report.message))
        if name in self._leaving:
            self.gone(Gone(name))

    def gone(self, report: Gone) -> None:
        """A model's memory is back."""
        again = self._leaving.pop(report.name)
        self._say(ModelUnloaded(report.name))
        if again is not None:
            self.load(again)

    def _load(self, order: LoadModel) -> None:
        start = time.monotonic()
        yield_to_others()
        try:
            model = load(order.model, Path(order.bundle), order.metrics_row, self._running)
            self._report(Up(order, model, time.monotonic() - start))
        except VidserveError as error:
            self._report(NotUp(order, error.code, str(error)))
        except Exception as error:  # the edge of a thread
            _log.exception("loading %s", order.model)
            self._report(NotUp(order, "internal_error", f"{type(error).__name__}: {error}"))

    def _give_back(self, model: Model) -> None:
        model.close()
        heap.release()
        self._report(Gone(model.manifest.id))

    def _say_loaded(self, model: Model, seconds: float) -> None:
        self._say(
            ModelLoaded(
                model=model.manifest.id,
                provider=model.provider.name,
                asked=model.provider.asked,
                why=model.provider.why,
                precision=model.manifest.precision,
                variant=model.bundle.variant,
                sessions=model.parallel,
                threads=model.threads,
                max_batch=model.policy.sizes[-1],
                load_s=seconds,
                settings=model.settings,
                sizes=model.policy.sizes if model.inputs.shared else (),
            )
        )


def rank(models: Collection[Model]) -> None:
    """Say of each model whether it is quick beside the others."""
    costliest_s = max((model.run_s for model in models if model.run_s is not None), default=0.0)
    for model in models:
        model.quick = model.run_s is not None and model.run_s * QUICK <= costliest_s
