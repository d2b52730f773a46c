"""What a family is: how the models of one kind of trainer are prepared for and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from model_export.graph import Graph
from model_export.manifest import FrameInput, Suppression, Task, TensorSpec, Thresholds
from model_export.preprocessing import Preprocessing

Array = npt.NDArray[Any]

_ROUNDED = 0.01
"""How far from 1 the sum of a thousand probabilities of half precision may be."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the user or the file says of a model, beyond its answers.

    Attributes:
        labels: of its classes, in their order; empty where nobody says.
        multi_label: its classes do not exclude each other.
    """

    labels: tuple[str, ...] = ()
    multi_label: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What a family makes of one model.

    Attributes:
        head: turns raw outputs into standard ones.
        classes: how many the model knows; None where its outputs do not tell.
        labels: of the classes, where nobody says others.
        suppression: that is due on its boxes.
        confidence: what counts as found where the user does not say.
        remark: what was found out that the user should know, in a sentence.
    """

    head: Head
    classes: int | None
    labels: tuple[str, ...] = ()
    suppression: Suppression | None = None
    confidence: float = Thresholds().confidence
    remark: str = ""


class Head(Protocol):
    """The way from raw outputs to the standard ones of the task, written twice: `decode` is the proof of `append`."""

    def append(self, graph: Graph) -> tuple[TensorSpec, ...]:
        """Append nodes that end in the standard outputs; returns these, with None for the batch."""
        ...

    def decode(self, raw: Mapping[str, Array]) -> dict[str, Array]:
        """The untouched model's outputs, by the names they had there, as standard outputs, in plain NumPy."""
        ...


class Family(Protocol):
    """A module of this package has one as `FAMILY`."""

    @property
    def task(self) -> Task:
        """What its models answer."""
        ...

    @property
    def window(self) -> int | None:
        """Frames of a clip where the model leaves that free; None: its models take one picture."""
        ...

    @property
    def geometry(self) -> FrameInput:
        """How frames are fitted where the user does not say; its size stands in where the model leaves it free."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to a fitted frame where the user does not say."""
        ...

    def read(self, raw: Mapping[str, Array], spec: FrameInput, told: Told) -> Reading:
        """Understand a model by what it answers to a few pictures.

        Args:
            raw: outputs of the untouched model for one picture each, one below the other.
            spec: the input it was asked at.
            told: what is said of it.

        Raises:
            ImportRefused: it is not of this family; says what was expected and what came.
        """
        ...


def shapes_of(raw: Mapping[str, Array]) -> str:
    """Outputs as a message names them."""
    return ", ".join(f"{name} {list(value.shape[1:])}" for name, value in raw.items())


def is_share(values: Array) -> bool:
    """Whether all of it lies in 0…1, as scores do."""
    return bool(values.size and np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1)


def is_distribution(values: Array) -> bool:
    """Whether the numbers of the last axis are the probabilities of what exclude each other."""
    return is_share(values) and bool(np.allclose(values.astype(np.float64).sum(axis=-1), 1, atol=_ROUNDED))
