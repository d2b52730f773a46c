"""A file as a model sees it, and the names of its answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.data.decoding import decode
from training.data.listing import Sample
from training.data.windows import middle_windows
from training.errors import DataInvalid, DataNotFound
from training.evaluation.predictor import Predictor

U8 = npt.NDArray[np.uint8]


def seen(file: Path, predictor: Predictor, *, start_s: float | None = None, end_s: float | None = None) -> U8:
    """The frames that the model sees of a picture or video, uint8 [T, H, W, C]: the middle of what is longer.

    Raises:
        DataNotFound: there is no such file.
        VidserveError: it cannot be read.
    """
    if not file.is_file():
        raise DataNotFound(f"There is no file {file}.")
    sample = Sample(file.name, file, 0, file.name, start_s=start_s, end_s=end_s)
    clip = decode(sample, predictor.input)
    middle: U8 = clip[middle_windows(np.array([len(clip)]), predictor.input.frames)[0]]
    return middle


def label_of(name: str, predictor: Predictor) -> int:
    """The place of a label, by its name or its number.

    Raises:
        DataInvalid: the model has no such label.
    """
    if name in predictor.labels:
        return predictor.labels.index(name)
    if name.isdecimal() and (not predictor.labels or int(name) < len(predictor.labels)):
        return int(name)
    raise DataInvalid(f"{predictor.name} has no label {name!r}.", hint=f"It has {', '.join(predictor.labels)}.")


def names_of(predictor: Predictor, count: int) -> tuple[str, ...]:
    """The names of its answers, or their numbers."""
    return predictor.labels or tuple(str(at) for at in range(count))
