"""What goes back to those who asked: a row of a batch's outputs, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model_export.errors import VidserveError
from server.engine.batcher import Request
from server.wire.messages import INLINE_OUTPUT_BYTES, InferDone, TensorMeta
from server.wire.slots import Segments

Array = npt.NDArray[Any]


class OutputTooLarge(VidserveError):
    """A request's outputs fit neither a message nor the slot that came with it; they take `needed` bytes."""

    code = "output_too_large"

    def __init__(self, message: str, needed: int) -> None:
        super().__init__(message)
        self.needed = needed


@dataclass(slots=True)
class Answered:
    """A request and what came of it."""

    request: Request
    done: InferDone
    payload: Sequence[bytes | memoryview] = ()


class Timing(NamedTuple):
    """Of a batch: when it left the queue (CLOCK_MONOTONIC), seconds that the run took, rows that shared it."""

    began: float
    infer_s: float
    rows: int


def answer(
    request: Request, outputs: Mapping[str, Array], row: int | None, timing: Timing, segments: Segments
) -> Answered:
    """A request's rows of the outputs, one array after the other: as payload, or in its slot where that is too much.

    Args:
        row: its first one; None where the run was the request's alone, and all of the outputs are.

    Raises:
        OutputTooLarge: it is too much, and there is no slot or too small a one.
        StaleFrame: the slot holds something else by now.
    """
    if request.ask.inputs:
        names = request.ask.outputs or tuple(outputs)
        part = slice(row, None if row is None else row + request.rows)
        arrays = [np.asarray(outputs[name] if row is None else outputs[name][part], order="C") for name in names]
    else:
        names = tuple(outputs)
        arrays = [np.ascontiguousarray(value[row]) for value in outputs.values()]
    if request.ask.least is not None:
        # Scores descend, so what counts comes first, if NaN is not among it; the rest is most of it.
        found = (outputs["scores"][row] >= request.ask.least).nonzero()[0]
        arrays = [array[: found[-1] + 1 if len(found) else 0] for array in arrays]
    metas = tuple([TensorMeta(name, name_of(one.dtype), one.shape) for name, one in zip(names, arrays, strict=True)])
    total = sum([array.nbytes for array in arrays])
    in_slot = total > INLINE_OUTPUT_BYTES
    ask = request.ask
    done = InferDone(
        ask.stream,
        ask.seq,
        metas,
        in_slot,
        queue_s=max(0.0, timing.began - request.arrived),
        infer_s=timing.infer_s,
        batch=timing.rows,
    )
    if not in_slot:
        return Answered(request, done, [b"".join([array.data for array in arrays])])
    if ask.reply is None:
        raise OutputTooLarge(f"The outputs take {total} bytes, and the request brought no slot for them.", total)
    slot = segments.array(ask.reply).view(np.uint8).reshape(-1)
    if len(slot) < total:
        raise OutputTooLarge(f"The outputs take {total} bytes, and the request's slot holds {len(slot)}.", total)
    at = 0
    for array in arrays:
        slot[at : at + array.nbytes] = array.reshape(-1).view(np.uint8)
        at += array.nbytes
    return Answered(request, done)


@cache
def name_of(dtype: np.dtype[Any]) -> str:
    """NumPy's name of a type, which it takes microseconds to put together."""
    return dtype.name


def refusal(request: Request, code: str, message: str, now: float, *, needed: int = 0) -> Answered:
    """No outputs, and why.

    Args:
        needed: bytes that its slot lacked room for.
    """
    ask = request.ask
    waited = max(0.0, now - request.arrived)
    return Answered(request, InferDone(ask.stream, ask.seq, error=code, message=message, queue_s=waited, needed=needed))
