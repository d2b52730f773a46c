"""What a model with state is given before the first frame of a stream. NumPy only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from model_export.manifest import State


def first_rows(state: Iterable[State], streams: int) -> dict[str, npt.NDArray[Any]]:
    """By the names of the state inputs, [streams, *shape] each: what every stream begins with."""
    return {one.input: np.full((streams, *one.shape), one.initial, one.dtype) for one in state}
