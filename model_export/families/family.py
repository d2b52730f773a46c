"""What a family is: how the models of one kind of trainer are prepared for and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from model_export.graph import Graph
from model_export.manifest import FrameInput, Suppression, Task, TensorSpec
from model_export.preprocessing import Preprocessing

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a family makes of one model.

    Attributes:
        head: turns raw outputs into standard ones.
        classes: how many the model knows.
        suppression: that is due on its boxes.
    """

    head: Head
    classes: int
    suppression: Suppression | None = None


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
    def geometry(self) -> FrameInput:
        """How frames are fitted where the user does not say; its size stands in where the model leaves it free."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to a fitted frame where the user does not say."""
        ...

    def read(self, raw: Mapping[str, Array], spec: FrameInput) -> Reading:
        """Understand a model by what it answers to a few pictures.

        Args:
            raw: outputs of the untouched model for one picture each, one below the other.
            spec: the input it was asked at.

        Raises:
            ImportRefused: it is not of this family; says what was expected and what came.
        """
        ...


def shapes_of(raw: Mapping[str, Array]) -> str:
    """Outputs as a message names them."""
    return ", ".join(f"{name} {list(value.shape[1:])}" for name, value in raw.items())


def is_share(values: Array) -> bool:
    """Whether all of it lies in 0…1, as scores do."""
    return bool(np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1)
