"""Several tensors in one slot: one after the other, each beginning where a vector of the processor may."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from server.wire.messages import TensorMeta
from server.wire.slots import Array

_ALIGN = 64


def tensors_bytes(metas: Sequence[TensorMeta]) -> int:
    """Bytes of a slot that holds these."""
    at = 0
    for meta in metas:
        at = _aligned(at) + meta_bytes(meta)
    return at


def meta_bytes(meta: TensorMeta) -> int:
    """Bytes of one tensor."""
    return math.prod(meta.shape) * np.dtype(meta.dtype).itemsize


def tensors_in(slot: Array, metas: Sequence[TensorMeta]) -> dict[str, Array]:
    """The tensors of a slot by name, without a copy, to write or to read.

    Args:
        slot: uint8 [bytes].

    Raises:
        ValueError: it is too small for them.
    """
    tensors: dict[str, Array] = {}
    at = 0
    for meta in metas:
        at = _aligned(at)
        tensors[meta.name] = np.frombuffer(slot.data, meta.dtype, math.prod(meta.shape), at).reshape(meta.shape)
        at += tensors[meta.name].nbytes
    return tensors


def _aligned(at: int) -> int:
    return -(-at // _ALIGN) * _ALIGN
