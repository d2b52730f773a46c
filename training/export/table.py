"""What became of each variant of a model, as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table

from model_export.compress import Tried

_CLEARLY = 1.05
"""Less is within what a machine varies by."""


def table(rows: Sequence[Tried]) -> Table:
    """A line a graph, the model's own first."""
    own = rows[0]
    metric = "" if own.score is None else own.score.metric
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("variant", "KB", metric, "points lost", "ms", "speed"):
        shown.add_column(heading, justify="left" if heading == "variant" else "right", no_wrap=True)
    shown.add_column("")
    for row in rows:
        speed = "" if row is own or math.isnan(row.latency_ms) else f"{own.latency_ms / row.latency_ms:.2f}×"
        shown.add_row(
            row.name or row.precision,
            f"{row.size / 1e3:.0f}" if row.size else "",
            "" if row.score is None else f"{row.score.value:.4f}",
            "" if row is own or row.score is None else f"{row.lost:+.2f}",
            "" if math.isnan(row.latency_ms) else f"{row.latency_ms:.2f}",
            speed,
            "the model" if row is own else row.why or _kept(row, own),
        )
    return shown


def _kept(row: Tried, own: Tried) -> str:
    """Other machines may be quicker with it, or short of space."""
    smaller, faster = row.size * _CLEARLY < own.size, row.latency_ms * _CLEARLY < own.latency_ms
    if not smaller and not faster:
        return "kept, though neither smaller nor faster here"
    return "kept, though slower here" if row.latency_ms > own.latency_ms * _CLEARLY else "kept"
