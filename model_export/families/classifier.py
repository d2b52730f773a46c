"""Classifiers of a whole picture: torchvision's, timm's and what is trained like them.

One output, [B, classes] or [B, classes, 1, 1]. Whether its numbers are probabilities already, they say themselves;
logits get a softmax or, where classes do not exclude each other, a sigmoid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from model_export.errors import ImportRefused
from model_export.families.family import Array, Reading, Told, is_distribution, is_share, shapes_of
from model_export.graph import Graph
from model_export.manifest import FrameInput, Resize, Task, TensorSpec
from model_export.preprocessing import Colour, Preprocessing

_LIKELY = 0.5
"""From here on a label that excludes no other is found."""


class Activation(StrEnum):
    """What makes probabilities of a model's numbers."""

    NONE = "Identity"
    SOFTMAX = "Softmax"
    SIGMOID = "Sigmoid"


@dataclass(frozen=True, slots=True)
class ClassifierHead:
    """Makes probabilities of one model's output.

    Attributes:
        output: its name; classes: how many.
        flat: it is [B, classes] already.
    """

    output: str
    classes: int
    activation: Activation
    flat: bool

    def append(self, graph: Graph) -> tuple[TensorSpec, ...]:
        values = graph.result(self.output)
        if not self.flat:
            values = graph.add("Flatten", [values], axis=1)
        axis = {"axis": 1} if self.activation is Activation.SOFTMAX else {}
        graph.add(self.activation.value, [values], output="probabilities", **axis)
        return (TensorSpec(name="probabilities", dtype="float32", shape=(None, self.classes)),)

    def decode(self, raw: Mapping[str, Array]) -> dict[str, Array]:
        values = raw[self.output].astype(np.float64)
        values = values.reshape(len(values), self.classes)
        match self.activation:
            case Activation.SOFTMAX:
                powers = np.exp(values - values.max(axis=1, keepdims=True))
                values = powers / powers.sum(axis=1, keepdims=True)
            case Activation.SIGMOID:
                # As a hyperbolic tangent it overflows nowhere.
                values = (1 + np.tanh(values / 2)) / 2
        return {"probabilities": values.astype(np.float32)}


class Classifier:
    """The family."""

    task = Task.CLASSIFY
    window = None
    geometry = FrameInput(width=224, height=224, resize=Resize.CROP, interpolation="area")
    preprocessing = Preprocessing(colour=Colour.RGB, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))

    def read(self, raw: Mapping[str, Array], spec: FrameInput, told: Told) -> Reading:
        name, values = next(iter(raw.items()))
        if len(raw) != 1 or values.ndim < 2 or any(extent != 1 for extent in values.shape[2:]):
            raise ImportRefused(
                f"A classifier answers one output [classes]; this model answers {shapes_of(raw)}.",
                hint="Take another --family, or export it with that output alone.",
            )
        classes = values.shape[1]
        if not np.isfinite(values).all():
            raise ImportRefused(
                "The model answers NaN or infinity to a drawn picture.", hint="Look at --mean and --std."
            )
        activation, remark = _activation(values.reshape(len(values), classes), told.multi_label)
        head = ClassifierHead(name, classes, activation, flat=values.ndim == 2)
        if told.multi_label:
            return Reading(head, classes, confidence=_LIKELY, remark=remark)
        return Reading(head, classes, remark=remark)


def _activation(values: Array, multi_label: bool) -> tuple[Activation, str]:
    """What makes probabilities of numbers [B, classes], and how that was found out."""
    exclusive = values.shape[1] > 1 and is_distribution(values)
    if multi_label and exclusive:
        raise ImportRefused(
            "The model's outputs lie in 0…1 and add up to 1, so its classes exclude each other.",
            hint="Leave --multi-label out, or export it without its softmax.",
        )
    if exclusive:
        return Activation.NONE, "Its outputs are probabilities already: they add up to 1."
    if multi_label and is_share(values):
        return Activation.NONE, "Its outputs are probabilities already: they lie in 0…1."
    if multi_label:
        return Activation.SIGMOID, "Its outputs are logits; each gets a sigmoid."
    if values.shape[1] == 1 or is_share(values):
        raise ImportRefused(
            f"The model's {values.shape[1]} outputs do not exclude each other: they do not add up to 1.",
            hint="Say --multi-label, or export it with logits.",
        )
    return Activation.SOFTMAX, "Its outputs are logits; they get a softmax."


FAMILY = Classifier()
