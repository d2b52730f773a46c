"""What is to be had, as a picture: score against latency."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training import atomic
from training.search.tried import Outcome, Tried

_WIDE = 20
"""From this ratio of latencies on, they are drawn logarithmically."""


def draw(tried: Sequence[Tried], front: Sequence[Tried], measure: str, path: Path) -> None:
    """Every trial that has a score, those of the front joined and with their rank; PNG.

    Raises:
        RunNotWritten: no space is left.
    """
    figure = Figure(figsize=(8, 5))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.1, 0.1, 0.87, 0.87))
    numbers = {one.number for one in front}
    done = [one for one in tried if one.outcome is Outcome.DONE and one.number not in numbers]
    ended = [one for one in tried if one.outcome is not Outcome.DONE and one.score is not None]
    quick_first = sorted(front, key=lambda one: one.latency_ms or 0.0)
    series: list[tuple[list[Tried], dict[str, Any]]] = [
        (ended, {"marker": "x", "linestyle": "", "color": "0.75", "label": "ended early"}),
        (done, {"marker": "o", "linestyle": "", "color": "0.6", "label": "came to its end"}),
        (
            quick_first,
            {"marker": "o", "drawstyle": "steps-post", "color": "tab:blue", "label": "front: no other is better"},
        ),
    ]
    for shown, look in series:
        if shown:
            axes.plot(*_points(shown), **look)
    axes.margins(0.08)
    for rank, one in enumerate(front, start=1):
        axes.annotate(str(rank), (one.latency_ms or 0.0, one.score or 0.0), (5, 5), textcoords="offset points")
    latencies = [one.latency_ms for one in [*done, *ended, *front] if one.latency_ms]
    if latencies and max(latencies) > _WIDE * min(latencies):
        axes.set_xscale("log")
    axes.set_xlabel("milliseconds an answer (ONNX Runtime, one core)")
    axes.set_ylabel(measure.replace("_", " "))
    axes.grid(alpha=0.3)
    axes.legend()
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    atomic.write(path, content.getvalue())


def _points(tried: Sequence[Tried]) -> tuple[list[float], list[float]]:
    return [one.latency_ms or math.nan for one in tried], [
        math.nan if one.score is None else one.score for one in tried
    ]
