"""Which labels a classifier's probabilities speak for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model_export.manifest import Manifest

F32 = npt.NDArray[np.float32]
Index = npt.NDArray[np.intp]

_TOP = 5


class Ranked(NamedTuple):
    """Classes, the likeliest first.

    Attributes:
        shown: of a model whose labels exclude each other the few likeliest of those asked for, else those found.
        found: what the frame shows: where labels exclude each other the likeliest of all, if it was asked for.
    """

    shown: Index
    found: Index


class Ranking:
    """
    Args:
        labels: asked for; None: all.
        confidence: what counts as found where labels do not exclude each other; None: the model's own threshold.
    """

    def __init__(self, manifest: Manifest, labels: frozenset[str] | None, confidence: float | None) -> None:
        self._manifest = manifest
        self._labels = labels
        self._threshold = manifest.thresholds.confidence if confidence is None else confidence
        self._wanted = np.empty(0, np.intp)
        self._count = 0

    def of(self, probabilities: F32) -> Ranked:
        """Of one frame, f32 [C]."""
        if len(probabilities) != self._count:
            self._know(len(probabilities))
        ranked = self._wanted[np.argsort(-probabilities[self._wanted], kind="stable")]
        if self._manifest.multi_label:
            ranked = ranked[probabilities[ranked] >= self._threshold]
            return Ranked(ranked, ranked)
        shown = ranked[:_TOP]
        return Ranked(shown, shown[shown == probabilities.argmax()])

    def _know(self, count: int) -> None:
        """Which of so many classes are asked for: looked up once, since there may be thousands of them."""
        label = self._manifest.label
        wanted = [index for index in range(count) if self._labels is None or label(index) in self._labels]
        self._wanted, self._count = np.array(wanted, np.intp), count
