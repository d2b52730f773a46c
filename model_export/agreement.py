"""How far two answers of a model are apart: what golden samples and parity are judged by. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model_export.manifest import Precision

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

DETECTIONS = frozenset({"boxes", "scores", "class_ids"})


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What counts as the same.

    Attributes:
        absolute, relative: numbers may differ by `absolute + relative * |expected|`.
        share: of an integer output's elements (a mask's pixels) may differ at all.
        pixels: boxes may differ by so much in any case.
        weakest: detections with a lower score need no partner.
    """

    absolute: float = 1e-3
    relative: float = 1e-3
    share: float = 1e-3
    pixels: float = 0.0
    weakest: float = 0.0

    def allows(self, expected: Array, actual: Array) -> npt.NDArray[np.bool_]:
        """Element by element; NaN agrees with NaN. Arrays that broadcast to the same shape."""
        with np.errstate(invalid="ignore"):
            near = np.abs(actual - expected) <= self.absolute + self.relative * np.abs(expected)
        same: npt.NDArray[np.bool_] = (
            (near & np.isfinite(expected)) | (actual == expected) | (np.isnan(expected) & np.isnan(actual))
        )
        return same


ROUNDING = {
    # A score below what rounding may add is no detection; which of them are among the best K is chance.
    Precision.FP32: Tolerance(weakest=1e-3),
    # Half precision keeps 11 bits, and each build of ONNX Runtime rounds at other places on the way.
    Precision.FP16: Tolerance(absolute=1e-2, relative=1e-2, share=1e-2, pixels=1.0, weakest=0.05),
    Precision.INT8: Tolerance(),
}
"""What counts as the same answer of a model on another machine or provider, by the precision of its weights."""


def disagreement(expected: Arrays, actual: Arrays, tolerance: Tolerance) -> str | None:
    """The first output that differs, and by how much, as a clause; None if all agree.

    Standard detections (`boxes` [B, K, 4], `scores` [B, K], `class_ids` [B, K]) are compared as sets per row: two
    candidates whose scores are equal but for rounding may stand in either order. Everything else is compared element
    by element. The other way round, outputs that nobody expects are not looked at.
    """
    for name, value in expected.items():
        if name not in actual:
            return f"output {name!r} is missing"
        if value.shape != actual[name].shape:
            return f"output {name!r} has shape {list(actual[name].shape)} instead of {list(value.shape)}"
        if value.dtype != actual[name].dtype:
            return f"output {name!r} is {actual[name].dtype} instead of {value.dtype}"
    for name, value in expected.items():
        if expected.keys() >= DETECTIONS and name in DETECTIONS:
            continue
        found = _elements(value, actual[name], tolerance)
        if found is not None:
            return f"output {name!r} differs {found}"
    if expected.keys() >= DETECTIONS:
        for row in range(len(expected["scores"])):
            ours, theirs = ({name: side[name][row] for name in DETECTIONS} for side in (expected, actual))
            found = _detections(ours, theirs, tolerance)
            if found is not None:
                return f"{found} in row {row}"
    return None


def _elements(expected: Array, actual: Array, tolerance: Tolerance) -> str | None:
    if not np.issubdtype(expected.dtype, np.inexact):
        share = float(np.mean(expected != actual)) if expected.size else 0.0
        return f"in {share:.2%} of its elements" if share > tolerance.share else None
    wide = expected.astype(np.float64), actual.astype(np.float64)
    wrong = ~tolerance.allows(*wide)
    if not wrong.any():
        return None
    with np.errstate(invalid="ignore"):
        apart = np.where(wrong, np.abs(wide[1] - wide[0]), 0.0)
    # NaN and infinity are further apart than any number.
    place = np.unravel_index(int(np.argmax(np.nan_to_num(apart, nan=np.inf))), apart.shape)
    where = [int(i) for i in place]
    return f"by {apart[place]:.3g} at {where}: {actual[place]:.6g} instead of {expected[place]:.6g}"


def _detections(expected: Arrays, actual: Arrays, tolerance: Tolerance) -> str | None:
    """Every candidate of each side must have a partner on the other, one to one."""
    same = _partners(expected, actual, slice(None), tolerance)
    for one, other, missing in ((expected, actual, "lacks"), (actual, expected, "adds")):
        scores = one["scores"].astype(np.float64)
        # What is nearly as weak as the last may have lost its place to another; padding is nobody's.
        last = float(scores[-1]) if len(scores) else 0.0
        floor = max(tolerance.weakest, last * (1 + 2 * tolerance.relative) + 1e-9 if last > 0 else 0.0)
        free = ~same
        for i in np.flatnonzero(free & (scores > floor)).tolist():
            candidates = np.flatnonzero(free & _partners(one, other, i, tolerance))
            if not len(candidates):
                return f"the output {missing} {_describe(one, i)}; nearest is {_nearest(one, i, other)}"
            apart = np.abs(other["boxes"][candidates] - one["boxes"][i]).max(axis=1)
            free[candidates[np.argmin(apart)]] = False
    return None


def _partners(one: Arrays, other: Arrays, rows: Any, tolerance: Tolerance) -> npt.NDArray[np.bool_]:
    """Which rows of `other` could be those `rows` of `one`: a row for all of them, or each for its own."""
    ours, theirs = (side["boxes"].astype(np.float64) for side in (one, other))
    near = tolerance.allows(ours[rows], theirs) | (np.abs(theirs - ours[rows]) <= tolerance.pixels)
    same: npt.NDArray[np.bool_] = (
        (one["class_ids"][rows] == other["class_ids"])
        & tolerance.allows(one["scores"][rows].astype(np.float64), other["scores"].astype(np.float64))
        & near.all(axis=1)
    )
    return same


def _describe(side: Arrays, i: int) -> str:
    box = ", ".join(f"{v:.3f}" for v in side["boxes"][i])
    return f"class {int(side['class_ids'][i])} with score {side['scores'][i]:.5f} at [{box}]"


def _nearest(one: Arrays, i: int, other: Arrays) -> str:
    apart = np.abs(other["boxes"] - one["boxes"][i]).max(axis=1)
    apart = np.where(other["scores"] > 0, apart, np.inf)
    j = int(np.argmin(apart))
    if not np.isfinite(apart[j]):
        return "none"
    return (
        f"{_describe(other, j)}, {apart[j]:.3g} px and {abs(other['scores'][j] - one['scores'][i]):.3g} in score apart"
    )
