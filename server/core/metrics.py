"""Every metric of the server, on one page. Base units; counters end in `_total`; times are histograms.

    vidserve_frames_total{source,stream,outcome}             frames by what became of them; they add up to the delivered
    vidserve_stream_up{stream}                               0 or 1: whether its source gives frames
    vidserve_stream_state{stream,state}                      0 or 1
    vidserve_stream_info{stream,name}
    vidserve_stream_last_frame_timestamp_seconds{stream}
    vidserve_stream_last_result_timestamp_seconds{stream}
    vidserve_stream_reconnects_total{stream,reason}
    vidserve_result_age_seconds{stream}                      from capture to publishing
    vidserve_stage_seconds{stage}                            decode fit queue infer analyse publish, a frame each
    vidserve_batch_size{model,version}                       frames that shared a run
    vidserve_batch_closed_total{model,version,reason}        why a batch was closed: full timeout idle
    vidserve_queue_depth{model,version}                      requests waiting
    vidserve_inference_seconds{model,version}                a run
    vidserve_inference_errors_total{model,version,reason}    requests that failed
    vidserve_model_info{model,version,provider,precision,sha256}
    vidserve_jobs{state}                                     jobs known
    vidserve_job_seconds                                     from accepted to ended
    vidserve_events_total{type}
    vidserve_subscribers{kind}                               connected now: sse websocket
    vidserve_subscriber_gaps_total                           gaps that subscribers were told of
    vidserve_history_dropped_total                           events that are not in the history
    vidserve_process_restarts_total{process,reason}          by why the last one ended
    vidserve_stale_messages_total                            dropped: their sender had been given up
    vidserve_http_request_duration_seconds{route,method,status}
    vidserve_storage_bytes{kind}  vidserve_storage_free_bytes
    vidserve_gpu_utilization_ratio{gpu}                      of NVIDIA's GPUs
    vidserve_gpu_memory_used_bytes{gpu}
    vidserve_build_info{version}

A stream's series go when it is deleted; jobs share `source="job"`, `stream=""`.
`queue` is time waited and `infer` time run: neither hides in the other. What cannot be known is absent, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from server.core import metrics_page as page
from server.core.exposition import Exposition, labelled, lines_of
from server.core.gpu_metrics import GpuCollector
from server.domain.outcome import OUTCOMES
from server.domain.stream import StreamState

SUBSCRIBERS = ("sse", "websocket")
_HTTP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_OUTCOMES = lines_of("vidserve_frames_total", "outcome", OUTCOMES)
_STATES = lines_of("vidserve_stream_state", "state", StreamState)
_JOB_SECONDS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)


@dataclass(frozen=True)
class ModelRow:
    """Whose a row of the page is, and what `model_info` says of it (None while it is not loaded)."""

    model: str
    version: str
    info: Mapping[str, str] | None = None


@dataclass
class StreamRow:
    """Whose a row of the page is, and what the API process knows of that stream. The runtime changes it in place.

    Attributes:
        last_frame_at, last_result_at: seconds since the epoch (UTC); None: there was none yet.
        reconnects: by reason, such as `read_timeout`; reasons are few and known beforehand, never a message.
    """

    id: str
    name: str
    state: StreamState
    last_frame_at: float | None = None
    last_result_at: float | None = None
    reconnects: dict[str, int] = field(default_factory=dict)


@dataclass
class Rows:
    """The labels of the page's rows; the runtime keeps them. A stream that is deleted takes its row out."""

    models: dict[int, ModelRow] = field(default_factory=dict)
    streams: dict[int, StreamRow] = field(default_factory=dict)


_Streams = list[tuple[int, StreamRow, str]]
"""Rows of the page, whose they are, and the label that says so."""


class Metrics:
    """The metrics of one server: what the API process counts itself, and what it reads off the page.

    Args:
        page: of the hot path's counters.
        jobs: called at each scrape: jobs by state.
        storage: called at each scrape: (bytes by kind, free bytes).
    """

    def __init__(
        self,
        page: page.Page,
        *,
        version: str,
        jobs: Callable[[], Mapping[str, int]],
        storage: Callable[[], tuple[Mapping[str, int], int]],
    ) -> None:
        self.rows = Rows()
        # When a series was made is nobody's question, and doubles the counters.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry(auto_describe=False)
        self.http = Histogram(
            "vidserve_http_request_duration_seconds",
            "Time from a request's first byte to the last of its answer.",
            ["route", "method", "status"],
            buckets=_HTTP_SECONDS,
            registry=self._registry,
        )
        self.job_seconds = Histogram(
            "vidserve_job_seconds",
            "Time from a job's acceptance to its end.",
            buckets=_JOB_SECONDS,
            registry=self._registry,
        )
        self.restarts = Counter(
            "vidserve_process_restarts_total",
            "Processes started again, by why the last one ended.",
            ["process", "reason"],
            registry=self._registry,
        )
        self.subscribers = Gauge(
            "vidserve_subscribers", "Subscribers that are connected.", ["kind"], registry=self._registry
        )
        for kind in SUBSCRIBERS:
            self.subscribers.labels(kind)
        self.subscriber_gaps = Counter(
            "vidserve_subscriber_gaps_total", "Gaps that subscribers were told of.", registry=self._registry
        )
        self.history_dropped = Counter(
            "vidserve_history_dropped_total", "Events that are not in the history.", registry=self._registry
        )
        Gauge("vidserve_build_info", "The server's version.", ["version"], registry=self._registry).labels(version).set(
            1
        )
        self._page = _PageText(page, self.rows)
        self._registry.register(_Asked(jobs, storage))
        self._registry.register(GpuCollector())

    def scrape(self) -> bytes:
        """Everything in Prometheus' text format. It takes milliseconds: not in the thread of an event loop."""
        return generate_latest(self._registry) + self._page.text().encode()


class _PageText:
    """The families whose samples lie in the page, and what the API process knows of their rows."""

    def __init__(self, source: page.Page, rows: Rows) -> None:
        self._page = source
        self._rows = rows

    def text(self) -> str:
        out = Exposition()
        # Copies: rows come and go while this is written in a thread.
        streams = [(row, owner, labelled({"stream": owner.id})) for row, owner in list(self._rows.streams.items())]
        self._whole_server(out, streams)
        self._streams(out, streams)
        self._models(out)
        return out.text()

    def _whole_server(self, out: Exposition, streams: _Streams) -> None:
        out.family("counter", "vidserve_frames_total", "Frames by what became of them.")
        out.samples(_OUTCOMES, 'source="job",stream=""', self._page.frames(page.JOBS_ROW).values())
        for row, _, stream in streams:
            out.samples(_OUTCOMES, f'source="stream",{stream}', self._page.frames(row).values())
        out.family("counter", "vidserve_events_total", "Events raised.")
        for kind, count in self._page.events().items():
            out.sample(f'type="{kind}"', count)
        out.family("counter", "vidserve_stale_messages_total", "Messages dropped: their sender had been given up.")
        out.sample("", self._page.stale())
        out.family("histogram", "vidserve_stage_seconds", "What each stage of a frame's way took.")
        for stage in page.STAGES:
            out.histogram(f'stage="{stage}"', self._page.stage(stage))

    def _streams(self, out: Exposition, streams: _Streams) -> None:
        out.family("gauge", "vidserve_stream_up", "Whether the source gives frames.")
        for _, owner, stream in streams:
            out.sample(stream, float(owner.state is StreamState.RUNNING))
        out.family("gauge", "vidserve_stream_state", "1 for the state that the stream is in, 0 for the others.")
        for _, owner, stream in streams:
            out.samples(_STATES, stream, (float(owner.state is state) for state in StreamState))
        out.family("gauge", "vidserve_stream_info", "The stream's name.")
        for _, owner, _ in streams:
            out.sample(labelled({"stream": owner.id, "name": owner.name}), 1.0)
        out.family("gauge", "vidserve_stream_last_frame_timestamp_seconds", "When the last frame came.")
        for _, owner, stream in streams:
            if owner.last_frame_at is not None:
                out.sample(stream, owner.last_frame_at)
        out.family("gauge", "vidserve_stream_last_result_timestamp_seconds", "When the last result was published.")
        for _, owner, stream in streams:
            if owner.last_result_at is not None:
                out.sample(stream, owner.last_result_at)
        out.family("counter", "vidserve_stream_reconnects_total", "Connections lost and opened again, by why.")
        for _, owner, stream in streams:
            for reason, count in list(owner.reconnects.items()):
                out.sample(f"{labelled({'reason': reason})},{stream}", float(count))
        out.family("histogram", "vidserve_result_age_seconds", "From a frame's capture to the publishing of a result.")
        for row, _, stream in streams:
            out.histogram(stream, self._page.result_age(row))

    def _models(self, out: Exposition) -> None:
        models = [
            (row, owner, labelled({"model": owner.model, "version": owner.version}))
            for row, owner in list(self._rows.models.items())
        ]
        out.family("histogram", "vidserve_batch_size", "Frames that shared a run.")
        for row, _, model in models:
            out.histogram(model, self._page.batch_size(row))
        out.family("counter", "vidserve_batch_closed_total", "Why batches were closed.")
        for row, owner, _ in models:
            for reason, count in self._page.batch_closed(row).items():
                out.sample(labelled({"model": owner.model, "version": owner.version, "reason": reason}), count)
        out.family("gauge", "vidserve_queue_depth", "Requests waiting for a run.")
        for row, owner, model in models:
            if owner.info is not None:
                out.sample(model, self._page.queue_depth(row))
        out.family("histogram", "vidserve_inference_seconds", "What a run took.")
        for row, _, model in models:
            out.histogram(model, self._page.inference(row))
        out.family("counter", "vidserve_inference_errors_total", "Requests that failed.")
        for row, owner, _ in models:
            for reason, count in self._page.inference_errors(row).items():
                out.sample(labelled({"model": owner.model, "version": owner.version, "reason": reason}), count)
        out.family("gauge", "vidserve_model_info", "Models that serve.")
        for _, owner, _ in models:
            if owner.info is not None:
                out.sample(labelled({"model": owner.model, "version": owner.version, **owner.info}), 1.0)


class _Asked(Collector):
    def __init__(
        self, jobs: Callable[[], Mapping[str, int]], storage: Callable[[], tuple[Mapping[str, int], int]]
    ) -> None:
        self._jobs = jobs
        self._storage = storage

    def collect(self) -> Iterable[Metric]:
        jobs = GaugeMetricFamily("vidserve_jobs", "Jobs known, by state.", labels=["state"])
        for state, count in self._jobs().items():
            jobs.add_metric([state], count)
        yield jobs
        kinds, free = self._storage()
        used = GaugeMetricFamily("vidserve_storage_bytes", "Bytes kept in the data folder.", labels=["kind"])
        for kind, count in kinds.items():
            used.add_metric([kind], count)
        yield used
        yield GaugeMetricFamily("vidserve_storage_free_bytes", "Bytes free where the data folder lies.", value=free)
