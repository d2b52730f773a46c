"""Tensors for a model and from it, as clients with their own preprocessing send and want them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from model_export.manifest import TensorSpec

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TensorModel:
    """What a model takes and answers, without the state that the server keeps for it.

    Attributes:
        inputs, outputs: with their first axis, which is None where it is the batch's.
        batches: rows of the first axis do not depend on each other, so those of several requests may run together.
        recurrent: what it answers depends on the frames before, so a request says which sequence it belongs to.
        labels: of its classes, where it has some.
    """

    name: str
    version: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batches: bool
    recurrent: bool
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor by name, in C order, with its batch axis."""

    name: str
    array: Array


@dataclass(frozen=True)
class Step:
    """A place in a sequence of frames. `id` is a number or a text of the client's."""

    id: int | str
    start: bool = False
    end: bool = False


@dataclass(frozen=True, eq=False)
class Inference:
    """What is asked of a model.

    Attributes:
        inputs: every input of the model, checked against it.
        outputs: the names of those that are wanted; empty: all.
        urgent: before the frames of jobs.
        deadline: CLOCK_MONOTONIC seconds after which nobody wants the answer; None: never.
    """

    inputs: Sequence[Tensor]
    outputs: tuple[str, ...] = ()
    step: Step | None = None
    urgent: bool = False
    deadline: float | None = None


@dataclass(frozen=True, eq=False)
class Inferred:
    """What a model answered. `version` is the one that did."""

    name: str
    version: int
    outputs: Sequence[Tensor]
