"""What is written is, to the byte, what prometheus-client writes of the same values."""

import math

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from server.core.exposition import Exposition, labelled, lines_of
from server.core.metrics_page import SECONDS, Histogram

VALUES = [
    0.0,
    1.0,
    0.1,
    1e-07,
    41.349999,
    999_999.0,
    1e6,
    1234567.0,
    1.7e9,
    1767348060.123,
    1e16,
    3e300,
    math.inf,
    -2.5,
]
NAMES = ["yard", "", 'the "yard"', "back\\yard", "two\nlines", "100 % {of} it", "Höfe 🎥", "le\0", "a,b=c"]


class Families:
    """Families as a registry asks for them."""

    def __init__(self, *families):
        self.families = families

    def collect(self):
        return self.families


def as_the_library_writes(*families) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(*families))
    return generate_latest(registry).decode()


@pytest.mark.parametrize("value", VALUES)
def test_numbers(value):
    family = GaugeMetricFamily("depth", "How deep.", labels=["model"])
    family.add_metric(["a"], value)
    out = Exposition()
    out.family("gauge", "depth", "How deep.")
    out.sample(labelled({"model": "a"}), value)
    assert out.text() == as_the_library_writes(family)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_every_kind(name):
    family = GaugeMetricFamily("info", "Names.", labels=["stream", "name"])
    family.add_metric(["cam1", name], 1)
    out = Exposition()
    out.family("gauge", "info", "Names.")
    out.sample(labelled({"stream": "cam1", "name": name}), 1.0)
    assert out.text() == as_the_library_writes(family)
    (sample,) = next(iter(text_string_to_metric_families(out.text()))).samples
    assert sample.labels == {"stream": "cam1", "name": name}


def test_a_family_without_labels():
    family = CounterMetricFamily("stale", "Dropped.", value=7)
    out = Exposition()
    out.family("counter", "stale_total", "Dropped.")
    out.sample("", 7.0)
    assert out.text() == as_the_library_writes(family)


def test_samples_of_owners_that_have_one_for_each_value_of_a_label():
    family = CounterMetricFamily("frames", "Frames.", labels=["outcome", "stream"])
    lines = lines_of("frames_total", "outcome", ["seen", "lost"])
    out = Exposition()
    out.family("counter", "frames_total", "Frames.")
    for number, name in enumerate(NAMES):
        out.samples(lines, labelled({"stream": name}), [float(number), 2e6])
        family.add_metric(["seen", name], number)
        family.add_metric(["lost", name], 2e6)
    assert out.text() == as_the_library_writes(family)


def test_histograms():
    family = HistogramMetricFamily("age_seconds", "Age.", labels=["stream"])
    out = Exposition()
    out.family("histogram", "age_seconds", "Age.")
    for name in NAMES:
        words = [float(number) for number in range(len(SECONDS) + 1)]
        histogram = Histogram(SECONDS, [*words, 12.75])
        out.histogram(labelled({"stream": name}), histogram)
        bounds = ["+Inf" if bound == math.inf else f"{bound:g}" for bound, _ in histogram.cumulative]
        counts = [count for _, count in histogram.cumulative]
        family.add_metric([name], list(zip(bounds, counts, strict=True)), sum_value=12.75)
    assert out.text() == as_the_library_writes(family)


def test_families_follow_one_another():
    out = Exposition()
    for name in ("first", "second"):
        out.family("histogram", name, "Both.")
        out.histogram('stage="fit"', Histogram((1.0,), [1.0, 0.0, 0.5]))
    found = {family.name: family for family in text_string_to_metric_families(out.text())}
    assert [sample.name for sample in found["second"].samples] == [
        "second_bucket",
        "second_bucket",
        "second_count",
        "second_sum",
    ]
