"""A file as a model sees it, and the names of its answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model_export.errors import VidserveError
from training.data.decoding import decode_timed
from training.data.listing import Sample
from training.data.windows import middle_windows
from training.errors import DataInvalid, DataNotFound
from training.evaluation.predictor import Predictor

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """What a model sees of a file.

    Attributes:
        frames: uint8 [T, H, W, C]: the middle of what is longer. Before what is shorter its first frame stands.
        seconds: float64 [T], when each is shown, in seconds of the file.
        whole: float64 [K], the same of all frames that could have been chosen.
    """

    frames: U8
    seconds: F64
    whole: F64

    @property
    def part(self) -> str:
        """Which seconds these are, and of which; of a picture nothing."""
        if len(self.whole) == 1:
            return ""
        first, last = self.seconds[0], self.seconds[-1]
        said = f"{first:.2f} s" if len(self.seconds) == 1 else f"{first:.2f} to {last:.2f} s"
        return (
            said if set(self.whole) <= set(self.seconds) else f"{said} of {self.whole[0]:.2f} to {self.whole[-1]:.2f}"
        )


def seen(file: Path, predictor: Predictor, *, start_s: float | None = None, end_s: float | None = None) -> Seen:
    """The frames that the model sees of a picture or video.

    Raises:
        DataNotFound: there is no such file.
        DataInvalid: it is neither a picture nor a video.
        VidserveError: it cannot be read.
    """
    if file.is_dir():
        raise DataNotFound(f"{file} is a folder.", hint=f"Name files in it: {file}/*.mp4")
    if not file.is_file():
        raise DataNotFound(f"There is no file {file}.")
    sample = Sample(str(file), file, 0, file.name, start_s=start_s, end_s=end_s)
    try:
        clip, seconds = decode_timed(sample, predictor.input)
    except VidserveError as error:
        error.message = f"{file}: {error.message}"
        raise
    positions = middle_windows(np.array([len(clip)]), predictor.input.frames)[0]
    return Seen(clip[positions], seconds[positions], seconds)


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
