"""The task that goes with a data set's targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BeforeValidator
from torch import Tensor

from training.batch import TargetKind
from training.errors import ConfigInvalid
from training.tasks.classification import Classification
from training.tasks.multi_label import MultiLabel
from training.tasks.regression import Regression


def _in_order(given: object) -> object:
    if given is None or given == "balanced" or isinstance(given, list | tuple):
        return given
    raise ValueError("`balanced`, or a list with a number for each label, in the order of the labels")


ClassWeights = Annotated[Literal["balanced"] | tuple[float, ...] | None, BeforeValidator(_in_order)]
AnyTask = Classification | MultiLabel | Regression


def task_for(
    kind: TargetKind,
    labels: int,
    targets: npt.NDArray[np.generic],
    *,
    smoothing: float = 0.0,
    weights: ClassWeights = None,
) -> AnyTask:
    """The task of targets of that kind.

    Args:
        labels: L.
        targets: those to train with, int64 [N] or float32 [N, L].
        smoothing: of targets; not for numbers.
        weights: of the labels; `balanced`: rare ones count more, as much as makes all count alike.

    Raises:
        ConfigInvalid: smoothing or balancing of numbers, or weights of another count than labels.
    """
    if kind == "numbers" and (smoothing or weights == "balanced"):
        raise ConfigInvalid("fit.loss: numbers can be neither smoothed nor balanced.")
    if isinstance(weights, tuple) and len(weights) != labels:
        raise ConfigInvalid(
            f"fit.loss.weights: there are {labels} labels, and {len(weights)} weights.",
            hint="Give a list with a number for each label, in the order of the labels: sorted, or as `labels` says.",
        )
    given = _balanced(kind, labels, targets) if weights == "balanced" else None if weights is None else _tensor(weights)
    if kind == "class":
        return Classification(labels, smoothing=smoothing, weights=given)
    if kind == "multi_label":
        return MultiLabel(labels, smoothing=smoothing, weights=given)
    return Regression(weights=given)


def _balanced(kind: TargetKind, labels: int, targets: npt.NDArray[np.generic]) -> Tensor:
    """N / (L·N of the class) for classes; negatives / positives for labels. One that never comes counts 1."""
    if kind == "class":
        counts = np.bincount(targets.astype(np.int64), minlength=labels)
        return _tensor(np.where(counts, len(targets) / (labels * np.maximum(counts, 1)), 1.0))
    positive = targets.astype(np.float64).sum(0)
    return _tensor(np.where(positive, (len(targets) - positive) / np.maximum(positive, 1), 1.0))


def _tensor(values: Sequence[float] | npt.NDArray[np.float64]) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)
