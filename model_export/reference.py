"""What a model sees and says, counted: at export over validation data, and later over a stream, by the same code.

How far the two are apart is how much has changed since the model was made. NumPy only.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_export.errors import BundleInvalid
from model_export.manifest import Manifest
from model_export.predictions import Classes, Detections, Prediction, read_outputs

REFERENCE = "reference.json"
FORMAT = 1

Frame = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]

_GREY_OF_BGR = np.array([0.114, 0.587, 0.299], np.float32)
"""ITU-R BT.601."""
BRIGHTNESS = tuple(range(0, 257, 16))
"""Edges of the bins, in grey levels."""
SHARPNESS = (0.0, *(2.0**power for power in range(15)), 1e6)
"""Edges, in squared grey levels: a blurred picture has tens, a sharp one hundreds."""
SCORE = tuple(number / 20 for number in range(21))
_NEVER = 1e-4
"""What a bin that is empty counts as, so that logarithms stay finite."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often a value fell between which edges: `counts` has one number less than `edges`. The last bin holds its
    upper edge too; what lies outside falls into the bin at that end.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def shares(self) -> F64:
        """float64 [bins], adding up to 1; all 0 where nothing was counted."""
        shares: F64 = np.asarray(self.counts, np.float64) / max(sum(self.counts), 1)
        return shares


@dataclass(frozen=True, slots=True)
class Reference:
    """`reference.json`.

    Attributes:
        frames: that were counted.
        brightness, sharpness: of fitted frames.
        scores: of the most likely class of each frame, or of every object.
        classes: how often each label was the most likely, or was found.
        embedding: its mean over all frames; empty where the model gives none.
    """

    frames: int
    brightness: Histogram
    sharpness: Histogram
    scores: Histogram
    classes: dict[str, int]
    embedding: tuple[float, ...] = ()

    def to_json(self) -> str:
        """As it stands in the file."""
        histograms = {
            name: {"edges": list(one.edges), "counts": list(one.counts)}
            for name, one in (("brightness", self.brightness), ("sharpness", self.sharpness), ("scores", self.scores))
        }
        content = {"format": FORMAT, "frames": self.frames, **histograms, "classes": self.classes}
        return json.dumps({**content, "embedding": list(self.embedding)}, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Reference:
        """Read `reference.json`.

        Raises:
            BundleInvalid: it is absent, or something else.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"its format is {content['format']}, not {FORMAT}")
            return cls(
                frames=int(content["frames"]),
                brightness=_histogram(content["brightness"]),
                sharpness=_histogram(content["sharpness"]),
                scores=_histogram(content["scores"]),
                classes={str(label): int(count) for label, count in content["classes"].items()},
                embedding=tuple(float(value) for value in content["embedding"]),
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise BundleInvalid(f"{path.name} cannot be read as reference statistics: {error}.") from error


@dataclass
class Tally:
    """Counts frames and what a model says of them, one by one; `reference` is the sum so far."""

    manifest: Manifest
    _frames: int = 0
    _brightness: list[float] = field(default_factory=list)
    _sharpness: list[float] = field(default_factory=list)
    _scores: list[float] = field(default_factory=list)
    _classes: Counter[str] = field(default_factory=Counter)
    _embedding: F64 | None = None

    def see(self, frame: Frame, outputs: Mapping[str, npt.NDArray[Any]]) -> None:
        """
        Args:
            frame: fitted, uint8 [H, W, 3] BGR; of a clip the last.
            outputs: what the model says, without the batch axis.
        """
        self._frames += 1
        grey = frame.astype(np.float32) @ _GREY_OF_BGR
        self._brightness.append(float(grey.mean()))
        self._sharpness.append(sharpness(grey))
        if "embedding" in outputs:
            given = np.asarray(outputs["embedding"], np.float64)
            self._embedding = given if self._embedding is None else self._embedding + given
        if self.manifest.task in ("detect", "classify"):
            self._say(read_outputs(self.manifest, outputs))
        elif "score" in outputs:
            self._scores.append(float(outputs["score"]))

    def reference(self) -> Reference:
        """What was counted so far."""
        mean = () if self._embedding is None else tuple(float(v) for v in self._embedding / self._frames)
        return Reference(
            frames=self._frames,
            brightness=_counted(self._brightness, BRIGHTNESS),
            sharpness=_counted(self._sharpness, SHARPNESS),
            scores=_counted(self._scores, SCORE),
            classes={label: self._classes[label] for label in self.manifest.labels or sorted(self._classes)},
            embedding=mean,
        )

    def _say(self, prediction: Prediction) -> None:
        match prediction:
            case Detections(scores=scores, class_ids=ids):
                self._scores += scores.tolist()
                self._classes.update(self.manifest.label(index) for index in ids.tolist())
            case Classes(probabilities=probabilities):
                self._scores.append(float(probabilities.max()))
                found = np.flatnonzero(probabilities >= self.manifest.thresholds.confidence)
                best = found if self.manifest.multi_label else [int(probabilities.argmax())]
                self._classes.update(self.manifest.label(int(index)) for index in best)


def sharpness(grey: npt.NDArray[np.float32]) -> float:
    """The variance of the Laplacian of a picture float32 [H, W] (Pech-Pacheco et al., 2000); 0 below 3 pixels."""
    if min(grey.shape) < 3:
        return 0.0
    middle = grey[1:-1, 1:-1]
    return float((grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle).var())


def population_stability(reference: F64, now: F64) -> float:
    """How far two shares of the same bins are apart, as the population stability index: Σ (q − p)·ln(q / p).

    Below 0.1 nothing has changed to speak of; above 0.25 much has (Siddiqi, 2006).
    """
    p, q = (np.maximum(side, _NEVER) for side in (reference, now))
    return float(((q - p) * np.log(q / p)).sum())


def _counted(values: list[float], edges: tuple[float, ...]) -> Histogram:
    inside = np.clip(np.asarray(values, np.float64), edges[0], edges[-1])
    counts, _ = np.histogram(inside, np.asarray(edges, np.float64))
    return Histogram(tuple(float(edge) for edge in edges), tuple(int(count) for count in counts))


def _histogram(content: Mapping[str, Any]) -> Histogram:
    edges = tuple(float(value) for value in content["edges"])
    counts = tuple(int(value) for value in content["counts"])
    if len(edges) != len(counts) + 1:
        raise ValueError(f"{len(counts)} bins have {len(edges)} edges")
    return Histogram(edges, counts)
