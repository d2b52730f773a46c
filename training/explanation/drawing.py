"""An explanation as a picture: a strip of frames, the same with heat over them, and scores in time."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from training.explanation.explanation import Explanation

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]

_SHOWN = 8
"""Frames of a strip, evenly taken."""
_CURVES = 5
"""Labels whose score in time is drawn, besides the one explained: the likeliest."""
_DPI = 110


def draw(found: Explanation, labels: Sequence[str], title: str, seconds: F64) -> bytes:
    """PNG.

    Args:
        seconds: float64 [T], of the file, when each frame is shown.
    """
    shown = np.unique(np.linspace(0, len(found.frames) - 1, _SHOWN).round().astype(int))
    moments = [f"{seconds[at]:.2f} s" for at in shown]
    height, width = found.frames.shape[1:3]
    column = max(1.5, 3.0 / len(shown))
    tall = column * height / width
    with_time = found.in_time is not None
    figure = Figure(
        figsize=(column * len(shown) + 0.9, 2 * tall + 0.9 + 2.4 * with_time), dpi=_DPI, layout="constrained"
    )
    strips, *curves = figure.subfigures(
        1 + with_time, 1, height_ratios=[2 * tall + 0.6] + [2.4] * with_time, squeeze=False
    )
    axes = strips[0].subplots(2, len(shown), squeeze=False)
    for place, at in enumerate(shown):
        frame = _rgb(found.frames[at])
        for row, picture in enumerate((frame, heated(frame, found.maps[at]))):
            axes[row, place].imshow(picture, interpolation="nearest")
            axes[row, place].set(xticks=[], yticks=[])
            axes[row, place].spines[:].set_visible(False)
        if with_time:
            axes[0, place].set_title(moments[place], fontsize=8)
    score = float(found.said[found.label])
    strips[0].suptitle(f"{title}: {labels[found.label]} {score:.3f}  ({found.method})", fontsize=10)
    if found.in_time is not None:
        _scores(curves[0][0], found, labels).set_xticks(shown, moments)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def heated(rgb: U8, heat: npt.NDArray[np.float32]) -> U8:
    """A frame uint8 [H, W, 3] (RGB) with a map 0…1 over it: what is hot is seen in colour, the rest darker."""
    colours = cv2.cvtColor(cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    share = (0.15 + 0.5 * heat)[..., None]
    blended: U8 = np.clip(rgb * 0.75 * (1 - share) + colours * share, 0, 255).astype(np.uint8)
    return blended


def _scores(figure: SubFigure, found: Explanation, labels: Sequence[str]) -> Axes:
    """The score of the label in question, and of the likeliest others, as of each frame."""
    assert found.in_time is not None
    axes = figure.subplots()
    others = [at for at in np.argsort(-found.in_time.max(axis=0)) if at != found.label][: _CURVES - 1]
    for at in (found.label, *others):
        main = at == found.label
        axes.plot(found.in_time[:, at], label=labels[at], linewidth=2.2 if main else 1.0, alpha=1.0 if main else 0.7)
    axes.set(
        xlabel="moment of the file",
        ylabel="score as of this frame",
        ylim=(-0.02, 1.02),
        xlim=(0, len(found.frames) - 1),
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return axes


def _rgb(frame: U8) -> U8:
    code = cv2.COLOR_GRAY2RGB if frame.shape[2] == 1 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(frame, code), np.uint8)
