"""The course of a run as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training import atomic
from training.progress import Row

_LOSSES = ("loss", "val_loss")
_NOT_DRAWN = ("epoch", "seconds", "rate", *_LOSSES)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Losses on the left, the task's metrics on the right, over epochs; PNG."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    metrics = [key for key in (rows[0] if rows else {}) if key not in _NOT_DRAWN]
    for axes, keys in ((left, _LOSSES), (right, metrics)):
        for key in keys:
            axes.plot(epochs, [row[key] for row in rows], marker="." if len(rows) < 30 else "", label=key)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if keys:
            axes.legend()
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    atomic.write(path, content.getvalue())
