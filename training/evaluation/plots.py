"""The pictures of a report, as PNG. Figures are made without pyplot, which keeps global state."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.evaluation.answers import NumberAnswers
from training.evaluation.measures import BINS, Calibration, Ranking

F64 = npt.NDArray[np.float64]

_DPI = 110
_MANY = 12
"""Labels with a curve of their own; of more, the worst are drawn."""
_BLUE, _GREY, _RED = "#2563a8", "#8a8f98", "#b3261e"


def roc_curves(rankings: Sequence[Ranking], labels: Sequence[str]) -> bytes:
    """True against false positive rates, a curve for each label that has both."""
    figure, axes = _figure(5.2, 4.6)
    drawn = []
    for label, ranking in zip(labels, rankings, strict=True):
        ones = np.ones(len(ranking.score))
        area = ranking.auc(ones)
        if not np.isnan(area):
            drawn.append((area, label, *ranking.roc(ones)))
    drawn.sort(key=lambda one: one[0])
    for area, label, false, true in drawn[:_MANY]:
        axes.plot(false, true, label=f"{label}  {area:.3f}", linewidth=1.5)
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle="--")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    if drawn:
        axes.legend(fontsize=8, loc="lower right", title="AUC", title_fontsize=8)
    return _png(figure)


def confusion_matrix(matrix: F64, labels: Sequence[str]) -> bytes:
    """Counts, coloured by the share of each true class."""
    size = min(3.2 + 0.42 * len(labels), 11.0)
    figure, axes = _figure(size + 0.6, size)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(places, labels, fontsize=8)
    if len(labels) <= 20:
        for row in places:
            for column in places:
                colour = "white" if shares[row, column] > 0.55 else "#1f2328"
                axes.text(column, row, f"{matrix[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set(xlabel="what was said", ylabel="what it is")
    return _png(figure)


def reliability(calibration: Calibration) -> bytes:
    """How often each confidence was right, and how often each was used."""
    figure = Figure(figsize=(4.8, 4.8), dpi=_DPI, layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    middle = (np.arange(BINS) + 0.5) / BINS
    there = calibration.share > 0
    above.bar(middle[there], calibration.accuracy[there], width=0.9 / BINS, color=_BLUE, label="right")
    above.plot(calibration.confidence[there], calibration.accuracy[there], color=_RED, marker="o", markersize=3, lw=1)
    above.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle="--")
    above.set(ylabel="how often it was right", xlim=(0, 1), ylim=(0, 1.02))
    above.set_title(f"expected calibration error {calibration.error:.3f}", fontsize=9)
    below.bar(middle, calibration.share, width=0.9 / BINS, color=_GREY)
    below.set(xlabel="confidence", ylabel="share")
    for axes in (above, below):
        _plain(axes)
    return _png(figure)


def said_and_true(answers: NumberAnswers, labels: Sequence[str]) -> bytes:
    """Numbers as they were said against what they are, a field for each."""
    shown = min(len(labels), 6)
    figure = Figure(figsize=(3.4 * shown, 3.4), dpi=_DPI, layout="constrained")
    for at in range(shown):
        axes = figure.add_subplot(1, shown, at + 1)
        true, said = answers.target[:, at], answers.said[:, at]
        ends = [min(true.min(), said.min()), max(true.max(), said.max())]
        axes.plot(ends, ends, color=_GREY, linewidth=0.8, linestyle="--")
        axes.scatter(true, said, s=9, color=_BLUE, alpha=0.5, linewidths=0)
        axes.set(xlabel="what it is", ylabel="what was said")
        axes.set_title(labels[at], fontsize=9)
        _plain(axes)
    return _png(figure)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    _plain(axes)
    return figure, axes


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
