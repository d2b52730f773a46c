"""`/metrics` at one moment, and what lies between two."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

Frames = dict[str, int]
"""Frames by outcome."""


@dataclass(frozen=True)
class Scrape:
    """
    Attributes:
        frames: by stream, then by outcome.
        ages: of each stream's results, cumulative counts by upper bound in seconds.
    """

    frames: Mapping[str, Frames]
    ages: Mapping[str, Mapping[float, float]]

    @classmethod
    def of(cls, text: str) -> Self:
        frames: defaultdict[str, Frames] = defaultdict(dict)
        ages: defaultdict[str, dict[float, float]] = defaultdict(dict)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                stream = sample.labels.get("stream", "")
                if sample.name == "vidserve_frames_total" and stream:
                    frames[stream][sample.labels["outcome"]] = int(sample.value)
                elif sample.name == "vidserve_result_age_seconds_bucket":
                    ages[stream][float(sample.labels["le"])] = sample.value
        return cls(dict(frames), dict(ages))

    def since(self, before: Scrape) -> Scrape:
        """What has been counted since then."""
        return Scrape(
            {
                stream: {
                    outcome: count - before.frames.get(stream, {}).get(outcome, 0) for outcome, count in of.items()
                }
                for stream, of in self.frames.items()
            },
            {
                stream: {bound: count - before.ages.get(stream, {}).get(bound, 0) for bound, count in of.items()}
                for stream, of in self.ages.items()
            },
        )

    def only(self, streams: Collection[str]) -> Scrape:
        """Of these streams alone."""
        return Scrape(
            {stream: of for stream, of in self.frames.items() if stream in streams},
            {stream: of for stream, of in self.ages.items() if stream in streams},
        )

    @property
    def outcomes(self) -> Frames:
        """Of all streams together, without those that are 0."""
        sums: defaultdict[str, int] = defaultdict(int)
        for frames in self.frames.values():
            for outcome, count in frames.items():
                sums[outcome] += count
        return {outcome: count for outcome, count in sums.items() if count}

    @property
    def analysed(self) -> float:
        """The part of all frames that was analysed."""
        outcomes = self.outcomes
        return outcomes.get("analysed", 0) / max(1, sum(outcomes.values()))

    def age_s(self, share: float = 0.95) -> float:
        """The age of results below which this share of all streams' lies, as Prometheus' `histogram_quantile` says it:
        within a bucket, results are taken to lie evenly.
        """
        sums: defaultdict[float, float] = defaultdict(float)
        for buckets in self.ages.values():
            for bound, count in buckets.items():
                sums[bound] += count
        bounds = sorted(sums)
        if not bounds or not sums[bounds[-1]]:
            return float("nan")
        rank, below, least = share * sums[bounds[-1]], 0.0, 0.0
        for bound in bounds:
            if sums[bound] >= rank:
                if bound == float("inf"):
                    return least
                return least + (bound - least) * (rank - below) / max(sums[bound] - below, 1e-9)
            below, least = sums[bound], bound
        return least
