"""What a model takes, and what requests bring: frames, or blocks of rows of other tensors."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model_export.errors import ModelError
from model_export.manifest import Manifest, TensorSpec
from server.engine.batcher import Request
from server.wire.messages import FrameRef, Infer, TensorMeta
from server.wire.slots import Segments
from server.wire.tensors import tensors_in

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]


class FrameRefused(ModelError):
    """A frame, or another tensor, that is not what the model takes."""

    code = "frame_refused"


class Inputs:
    """The inputs of a model, its state left out.

    Attributes:
        shared: rows of several requests run together; else each request is a run of its own, as it came.
    """

    def __init__(self, manifest: Manifest) -> None:
        states = {state.input for state in manifest.state}
        self.shared = manifest.shares_runs
        self._id = manifest.id
        self._specs = {spec.name: spec for spec in manifest.inputs if spec.name not in states}
        self._declared = all(None not in spec.shape[1:] for spec in self._specs.values())
        self._one_row = bool(manifest.state)
        self._frame: tuple[str, tuple[int, ...]] | None = None
        if manifest.input is not None:
            self._frame = manifest.input.name, manifest.ask_shape
        self._gathered: dict[tuple[int, int], dict[str, Array]] = {}

    def block(self, ask: Infer) -> tuple[int, Hashable]:
        """How many rows of a batch a request takes, and what it may share a run with."""
        if not ask.inputs or not self.shared:
            return 1, None
        first = ask.inputs[0].shape
        # Where nothing is left free, all requests are alike.
        kind = None if self._declared else tuple(sorted((meta.name, meta.shape[1:]) for meta in ask.inputs))
        return first[0] if first else 1, kind

    def of(self, request: Request, segments: Segments) -> Tensors:
        """A request's tensors as they lie in their slot, each with its batch axis.

        Raises:
            FrameRefused: they are not what the model takes.
            WireError: the slot holds something else by now.
        """
        ask = request.ask
        if not ask.inputs:
            return self._of_frame(ask.frame, segments)
        self._check(ask.inputs, request.rows)
        return tensors_in(segments.array(ask.frame).reshape(-1), ask.inputs)

    def gather(self, lane: int, size: int, requests: Sequence[Request], tensors: Sequence[Tensors]) -> Tensors:
        """The inputs of a run of `size` rows; a request that fills it is passed on without a copy."""
        if len(requests) == 1 and (not self.shared or requests[0].rows == size):
            return tensors[0]
        gathered = self._arrays(lane, size, tensors[0])
        for name, rows in gathered.items():
            at = 0
            for request, own in zip(requests, tensors, strict=True):
                rows[at : at + request.rows] = own[name]
                at += request.rows
            # Padding repeats a row of this batch: nothing else could make its run fail.
            rows[at:] = rows[0]
        return gathered

    def close(self) -> None:
        """Give its memory back."""
        self._gathered.clear()

    def _of_frame(self, ref: FrameRef, segments: Segments) -> Tensors:
        if self._frame is None:
            raise FrameRefused(f"{self._id} takes more than a frame.", hint="Ask it over /v2.")
        name, shape = self._frame
        if tuple(ref.shape) != shape or ref.dtype != "uint8":
            raise FrameRefused(f"{self._id} takes frames of {list(shape)} uint8, not {list(ref.shape)} {ref.dtype}.")
        return {name: segments.array(ref)[None]}

    def _check(self, metas: Sequence[TensorMeta], rows: int) -> None:
        if {meta.name for meta in metas} != set(self._specs) or len(metas) != len(self._specs):
            raise FrameRefused(f"{self._id} takes {', '.join(self._specs)}, not {', '.join(m.name for m in metas)}.")
        for meta in metas:
            spec = self._specs[meta.name]
            if meta.dtype != spec.dtype or not fits(spec, meta.shape, free_rows=self.shared):
                raise FrameRefused(
                    f"{self._id} takes {spec.name!r} as {list(spec.shape)} {spec.dtype}, "
                    f"not {list(meta.shape)} {meta.dtype}."
                )
            if self.shared and meta.shape[0] != rows:
                raise FrameRefused(f"The inputs have {rows} and {meta.shape[0]} rows.")
        if self._one_row and rows != 1:
            raise FrameRefused(f"{self._id} takes one frame of a sequence at a time, not {rows}.")

    def _arrays(self, lane: int, size: int, like: Tensors) -> dict[str, Array]:
        """The lane's own arrays for a batch, used again and again where the shapes are always the same."""
        arrays = self._gathered.get((lane, size))
        if arrays is None:
            arrays = {name: np.empty((size, *own.shape[1:]), own.dtype) for name, own in like.items()}
            if self._declared:
                self._gathered[lane, size] = arrays
        return arrays


def fits(spec: TensorSpec, shape: Sequence[int], *, free_rows: bool) -> bool:
    """Whether a tensor has the declared shape.

    Args:
        free_rows: the first axis is the batch's, whatever is declared of it.
    """
    if len(shape) != len(spec.shape) or math.prod(shape) == 0:
        return False
    declared = (None, *spec.shape[1:]) if free_rows else spec.shape
    return all(size in (None, given) for size, given in zip(declared, shape, strict=True))
