"""The parts that streams need, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from server.core.calls import Seen
from server.core.machine import cores
from server.core.metrics import Metrics
from server.core.metrics_page import Page
from server.core.settings import Settings
from server.domain.event import EventType
from server.engine.tuning.choices import Choices, machine
from server.events.bus import Bus
from server.events.states import States
from server.runtime.models.models import Models
from server.runtime.processes.death import Death
from server.runtime.processes.hub import Hub
from server.runtime.streams.admission import Throughput
from server.runtime.streams.dispatcher import StreamDispatcher
from server.runtime.streams.news import StreamNews
from server.runtime.streams.probes import Probes
from server.runtime.streams.room import StreamRoom
from server.runtime.streams.rows import StreamRows
from server.runtime.streams.sources import SourcePolicy
from server.runtime.streams.streams import Streams
from server.runtime.streams.views import StreamViews
from server.runtime.streams.workers import StreamWorkers
from server.storage.streams import StreamStore


@dataclass(frozen=True)
class Streaming:
    """
    Attributes:
        streams: for the API.
        views: what they show, for the API.
        dispatcher: keeps them in workers.
    """

    streams: Streams
    views: StreamViews
    dispatcher: StreamDispatcher
    probes: Probes

    @classmethod
    def of(
        cls,
        settings: Settings,
        store: StreamStore,
        hub: Hub,
        models: Models,
        workers: StreamWorkers,
        choices: Choices,
        page: Page,
        metrics: Metrics,
        bus: Bus,
        states: States,
        *,
        count: Callable[[EventType], None],
        stale: Callable[[], None],
        next_worker: Callable[[], str],
    ) -> Self:
        """
        Args:
            choices: what the engine's tuning has measured.
            count: called with the type of each event that is raised here.
            stale: called for each message that is dropped because its attempt has been given up.
            next_worker: names the worker for something small.
        """
        policy = SourcePolicy.of(settings)
        news = StreamNews(bus, states, count)
        probes = Probes(hub, policy, worker=next_worker)
        dispatcher = StreamDispatcher(hub, models, workers, policy, news, stale=stale)
        room = StreamRoom(models, Throughput(choices, machine(cores()), page))
        streams = Streams(
            store,
            StreamRows(page, metrics),
            models,
            dispatcher,
            room,
            policy,
            probes,
            news,
            most=settings.limits.streams,
        )
        return cls(streams, StreamViews(hub, bus, streams.find, dispatcher.stint), dispatcher, probes)

    def worker_lost(self, worker: str, death: Death, seen: Sequence[Seen]) -> None:
        """A worker is gone; `seen` is what its rows of the page of calls said when it died."""
        self.probes.worker_lost(worker)
        self.views.worker_lost(worker)
        self.dispatcher.worker_lost(worker, death, seen)
