"""How far a variant's answers are from the model's own, and so what a load may allow for. NumPy only.

Each kind of answer has a measure of its own: numbers and scores, the share of a mask's pixels, boxes in pixels.
Detections are compared as sets: two of nearly equal score may stand in either order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model_export.agreement import DETECTIONS, Array, Arrays, Tolerance, disagreement
from model_export.boxes import intersection_and_union

MARGIN = 1.5
ROUNDING = Tolerance(absolute=0.01, relative=0.0, share=1e-3, pixels=1.0, weakest=0.05)
"""Other machines round elsewhere, so a variant may be further from the golden answers there than here: by a half, and
by this. Detections that are weaker than this are chance in any case."""
_ALIKE = 0.5
"""Intersection over union, less the difference in score, of two detections that are the same one."""


def leeway(expected: Arrays, actual: Arrays) -> Tolerance:
    """What has to be allowed for so that a variant which answers `actual` passes for a model that answers `expected`.

    Args:
        expected, actual: outputs by name, of the same shapes and types.
    """
    numbers = share = pixels = unmatched = 0.0
    found = DETECTIONS if expected.keys() >= DETECTIONS else frozenset[str]()
    for name in expected.keys() - found:
        if np.issubdtype(expected[name].dtype, np.inexact):
            with np.errstate(invalid="ignore"):
                apart = np.abs(actual[name].astype(np.float64) - expected[name])
            numbers = max(numbers, float(apart.max(initial=0, where=np.isfinite(apart))))
        elif expected[name].size:
            share = max(share, float(np.mean(actual[name] != expected[name])))
    for row in range(len(expected["scores"]) if found else 0):
        ours, theirs = ({name: side[name][row] for name in DETECTIONS} for side in (expected, actual))
        pairs, alone = _matched(ours, theirs)
        for i, j in pairs:
            numbers = max(numbers, abs(float(ours["scores"][i]) - float(theirs["scores"][j])))
            pixels = max(pixels, float(np.abs(ours["boxes"][i] - theirs["boxes"][j]).max()))
        unmatched = max(unmatched, alone)
    return Tolerance(
        absolute=round(MARGIN * numbers + ROUNDING.absolute, 4),
        relative=0.0,
        share=round(min(MARGIN * share + ROUNDING.share, 1.0), 4),
        pixels=round(MARGIN * pixels + ROUNDING.pixels, 2) if found else 0.0,
        weakest=round(unmatched + ROUNDING.weakest, 4) if found else 0.0,
    )


def too_far(expected: Arrays, actual: Arrays, allowed: Tolerance) -> str | None:
    """Why nobody could tell by these answers that it is the same model, as a clause; None if one can."""
    strongest = float(expected["scores"].max(initial=0)) if expected.keys() >= DETECTIONS else 0.0
    if ROUNDING.weakest < strongest <= allowed.weakest:
        return "what the model finds in the golden samples it does not find, or finds elsewhere"
    return disagreement(expected, actual, allowed)


def _matched(ours: Arrays, theirs: Arrays) -> tuple[list[tuple[int, int]], float]:
    """Detections of one frame that are the same, the most alike first, and the best score that is left alone."""
    strong = [_strong(side["scores"]) for side in (ours, theirs)]
    likeness = _overlaps(ours["boxes"], theirs["boxes"])
    # Of many candidates for one object all overlap, and their scores tell which is which.
    likeness -= np.abs(ours["scores"].astype(np.float64)[:, None] - theirs["scores"])
    same = (ours["class_ids"][:, None] == theirs["class_ids"]) & (strong[0][:, None] | strong[1])
    first, second = np.nonzero(same & (likeness >= _ALIKE))
    pairs: list[tuple[int, int]] = []
    for at in np.argsort(-likeness[first, second], kind="stable").tolist():
        i, j = int(first[at]), int(second[at])
        if same[i, j]:
            same[i], same[:, j] = False, False
            strong[0][i], strong[1][j] = False, False
            pairs.append((i, j))
    alone = (side["scores"][left].max(initial=0) for side, left in zip((ours, theirs), strong, strict=True))
    return pairs, float(max(alone))


def _strong(scores: Array) -> npt.NDArray[np.bool_]:
    """Which must have a partner: not what is as weak as the last, which may have lost its place to another."""
    strong: npt.NDArray[np.bool_] = scores > max(ROUNDING.weakest, float(scores[-1]))
    return strong


def _overlaps(ours: Array, theirs: Array) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes [N, 4] and [M, 4], x1 y1 x2 y2, as [N, M]."""
    shared, union = intersection_and_union(ours.astype(np.float64).T, theirs.astype(np.float64).T)
    overlaps: npt.NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlaps
