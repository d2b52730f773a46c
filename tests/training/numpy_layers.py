"""The layers once more, in NumPy and straight from their formulas. Shapes as in `training.particles`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def convolution(x: Array, weight: Array, bias: Array | None = None, *, stride: int = 1, pad: int = 0) -> Array:
    """Multiply and add, window by window; groups follow from the weight's shape."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out, within, kernel, _ = weight.shape
    groups = x.shape[1] // within
    height, width = ((size - kernel) // stride + 1 for size in x.shape[2:])
    y = np.zeros((len(x), out, height, width))
    for channel in range(out):
        first = channel // (out // groups) * within
        for row in range(height):
            for column in range(width):
                top, left = row * stride, column * stride
                window = x[:, first : first + within, top : top + kernel, left : left + kernel]
                y[:, channel, row, column] = (window * weight[channel]).sum((1, 2, 3))
    return y if bias is None else y + bias[:, None, None]


def pooled(x: Array, size: int, stride: int, reduce: Callable[..., Any]) -> Array:
    """`reduce` of every window."""
    height, width = ((one - size) // stride + 1 for one in x.shape[2:])
    y = np.zeros((*x.shape[:2], height, width))
    for row in range(height):
        for column in range(width):
            y[..., row, column] = reduce(
                x[..., row * stride : row * stride + size, column * stride : column * stride + size], axis=(2, 3)
            )
    return y


def normalised(x: Array, axes: tuple[int, ...], eps: float = 1e-5) -> Array:
    """Mean 0 and variance 1 over some axes."""
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def batch_normalised(x: Array) -> Array:
    return normalised(x, (0, 2, 3) if x.ndim == 4 else (0,))


def linear(x: Array, weight: Array, bias: Array | float = 0.0) -> Array:
    return np.einsum("...i,oi->...o", x, weight) + bias


def relu(x: Array) -> Array:
    return np.where(x > 0, x, 0.0)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def gelu(x: Array) -> Array:
    """x·Φ(x), Φ the normal distribution function."""
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def softmax(x: Array, axis: int = -1) -> Array:
    shifted = np.exp(x - x.max(axis, keepdims=True))
    return shifted / shifted.sum(axis, keepdims=True)


def attention(queries: Array, others: Array, weights: dict[str, Array], heads: int) -> Array:
    """Head by head, sample by sample."""
    q, k, v = (
        linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])
        for name, x in (("query", queries), ("key", others), ("value", others))
    )
    size = q.shape[-1] // heads
    mixed = np.zeros_like(q)
    for sample in range(len(q)):
        for head in range(heads):
            of = slice(head * size, (head + 1) * size)
            similar = q[sample][:, of] @ k[sample][:, of].T / np.sqrt(size)
            mixed[sample][:, of] = softmax(similar) @ v[sample][:, of]
    return linear(mixed, weights["project.weight"], weights["project.bias"])
