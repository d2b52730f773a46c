"""What an ONNX file says of itself beside its graph: Ultralytics' exporter writes task, labels and size there."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any, Self

import onnx

TASKS = frozenset({"detect", "segment", "classify", "pose", "obb"})
"""Ultralytics' words; other exporters may mean anything by `task`."""

_MAX_CHARACTERS = 1 << 20
_MAX_SIDE = 8192


@dataclass(frozen=True, slots=True)
class Metadata:
    """Properties of a file, as far as they can be read; anybody may have written anything there.

    Attributes:
        task: one of `TASKS`; empty where it is not said.
        labels: of its classes, in their order; empty where they are not said.
        size: of the input, width and height in pixels.
    """

    task: str = ""
    labels: tuple[str, ...] = ()
    size: tuple[int, int] | None = None

    @classmethod
    def of(cls, model: onnx.ModelProto) -> Self:
        said = {entry.key: entry.value for entry in model.metadata_props}
        task = said.get("task", "")
        return cls(
            task if task in TASKS else "", _labels(_literal(said.get("names"))), _size(_literal(said.get("imgsz")))
        )


def _literal(text: str | None) -> Any:
    """A Python literal; None where it is none. Nothing in it is executed."""
    if text is None or len(text) > _MAX_CHARACTERS:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _labels(names: Any) -> tuple[str, ...]:
    """From `['car', 'bus']` or `{0: 'car', 1: 'bus'}`."""
    if isinstance(names, dict):
        names = [names.get(index) for index in range(len(names))]
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name.strip() for name in names):
        return ()
    return tuple(name.strip() for name in names)


def _size(sides: Any) -> tuple[int, int] | None:
    """From `[height, width]`."""
    match sides:
        case [int(height), int(width)] if 0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE:
            return width, height
    return None
