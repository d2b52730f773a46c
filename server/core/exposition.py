"""Metric families in Prometheus' text format (version 0.0.4), written without an object for every sample.

For the families whose samples lie in the page of counters: hundreds of streams make thousands of lines at every scrape.
What is written is what prometheus-client would write of the same values, to the byte.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

from prometheus_client.utils import floatToGoString

Kind = Literal["counter", "gauge", "histogram"]

# Where an owner's labels go in lines that are the same for all owners.
_HOLE = "\0"
# About a millisecond's work, and as long as it takes another thread to wake up.
_TURN = 100
_PAUSE_S = 0.0001


class Buckets(Protocol):
    """Counts by bucket: (upper bound, count of all up to it), the last bound infinite, and the sum of all values."""

    cumulative: list[tuple[float, float]]
    sum: float


class Exposition:
    """Text that grows by families, each with its samples behind it.

    It is written in a thread beside an event loop, and lets the loop run now and then: a thread that computes is asked
    for the interpreter only when it has had it for five milliseconds.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._name = ""
        self._histogram: str | None = None

    def family(self, kind: Kind, name: str, explained: str) -> None:
        """Begin a family; a counter's name ends in `_total`."""
        self._name, self._histogram = name, None
        self._parts.append(f"# HELP {name} {explained}\n# TYPE {name} {kind}\n")

    def sample(self, labels: str, value: float) -> None:
        """A sample of the family; `labels` are what `labelled` made of them, or nothing."""
        braced = f"{{{labels}}}" if labels else ""
        self._add(f"{self._name}{braced} {_number(value)}\n")

    def samples(self, lines: str, labels: str, values: Iterable[float]) -> None:
        """An owner's samples: `lines` of the family, as `lines_of` made them, with its labels and a value each."""
        self._add((lines % tuple(map(_number, values))).replace(_HOLE, labels))

    def histogram(self, labels: str, buckets: Buckets) -> None:
        """A histogram of the family; all in a family have the same bounds."""
        counts = [count for _, count in buckets.cumulative]
        if self._histogram is None:
            self._histogram = _histogram_lines(self._name, [bound for bound, _ in buckets.cumulative])
        self.samples(self._histogram, labels, (*counts, counts[-1], buckets.sum))

    def text(self) -> str:
        """Everything so far."""
        return "".join(self._parts)

    def _add(self, part: str) -> None:
        self._parts.append(part)
        if len(self._parts) % _TURN == 0:
            time.sleep(_PAUSE_S)


def lines_of(name: str, label: str, values: Iterable[str]) -> str:
    """The lines of any owner of a family in which each has a sample for every value of a label.

    Args:
        label: before the owner's in the alphabet.
    """
    return "".join(f'{name}{{{label}="{value}",{_HOLE}}} %s\n' for value in values)


def labelled(labels: Mapping[str, str]) -> str:
    """Labels in the order of their names, as they stand between braces."""
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items()))


def _histogram_lines(name: str, bounds: Iterable[float]) -> str:
    texts = ("+Inf" if bound == math.inf else f"{bound:g}" for bound in bounds)
    buckets = lines_of(f"{name}_bucket", "le", texts)
    return f"{buckets}{name}_count{{{_HOLE}}} %s\n{name}_sum{{{_HOLE}}} %s\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    # Most are such, and need no thought about exponents.
    return repr(value) if 0 <= value < 1e6 else str(floatToGoString(value))  # type: ignore[no-untyped-call]
