"""Every metric of the server, on one page. Base units; counters end in `_total`; times are histograms.

    vidserve_frames_total{source,stream,outcome}             frames by what became of them; they add up to the delivered
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
    vidserve_build_info{version}

`queue` is time waited and `infer` time run: neither hides in the other. What cannot be known is absent, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from server.core import metrics_page as page

SUBSCRIBERS = ("sse", "websocket")
_HTTP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_JOB_SECONDS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)


@dataclass(frozen=True)
class ModelRow:
    """Whose a row of the page is, and what `model_info` says of it (None while it is not loaded)."""

    model: str
    version: str
    info: Mapping[str, str] | None = None


@dataclass
class Rows:
    """The labels of the page's rows; the runtime keeps them."""

    models: dict[int, ModelRow] = field(default_factory=dict)


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
        self._registry.register(_PageCollector(page, self.rows))
        self._registry.register(_Asked(jobs, storage))

    def scrape(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)


class _PageCollector(Collector):
    def __init__(self, source: page.Page, rows: Rows) -> None:
        self._page = source
        self._rows = rows

    def collect(self) -> Iterable[Metric]:
        frames = CounterMetricFamily(
            "vidserve_frames", "Frames by what became of them.", labels=["source", "stream", "outcome"]
        )
        for outcome, count in self._page.frames(page.JOBS_ROW).items():
            frames.add_metric(["job", "", outcome], count)
        yield frames
        events = CounterMetricFamily("vidserve_events", "Events raised.", labels=["type"])
        for kind, count in self._page.events().items():
            events.add_metric([kind], count)
        yield events
        stale = CounterMetricFamily("vidserve_stale_messages", "Messages dropped: their sender had been given up.")
        stale.add_metric([], self._page.stale())
        yield stale
        stages = HistogramMetricFamily(
            "vidserve_stage_seconds", "What each stage of a frame's way took.", labels=["stage"]
        )
        for stage in page.STAGES:
            _add(stages, [stage], self._page.stage(stage))
        yield stages
        yield from self._models()

    def _models(self) -> Iterable[Metric]:
        labels = ["model", "version"]
        sizes = HistogramMetricFamily("vidserve_batch_size", "Frames that shared a run.", labels=labels)
        closed = CounterMetricFamily("vidserve_batch_closed", "Why batches were closed.", labels=[*labels, "reason"])
        depth = GaugeMetricFamily("vidserve_queue_depth", "Requests waiting for a run.", labels=labels)
        runs = HistogramMetricFamily("vidserve_inference_seconds", "What a run took.", labels=labels)
        errors = CounterMetricFamily("vidserve_inference_errors", "Requests that failed.", labels=[*labels, "reason"])
        info = GaugeMetricFamily(
            "vidserve_model_info", "Models that serve.", labels=[*labels, "provider", "precision", "sha256"]
        )
        for row, owner in self._rows.models.items():
            names = [owner.model, owner.version]
            _add(sizes, names, self._page.batch_size(row))
            _add(runs, names, self._page.inference(row))
            for reason, count in self._page.batch_closed(row).items():
                closed.add_metric([*names, reason], count)
            for reason, count in self._page.inference_errors(row).items():
                errors.add_metric([*names, reason], count)
            if owner.info is not None:
                depth.add_metric(names, self._page.queue_depth(row))
                info.add_metric([*names, owner.info["provider"], owner.info["precision"], owner.info["sha256"]], 1)
        yield from (sizes, closed, depth, runs, errors, info)


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


def _add(family: HistogramMetricFamily, labels: list[str], histogram: page.Histogram) -> None:
    buckets = [(f"{bound:g}" if bound != float("inf") else "+Inf", count) for bound, count in histogram.cumulative]
    family.add_metric(labels, buckets=buckets, sum_value=histogram.sum)
