"""Any graph, untouched: the file is copied, with weights beside it if there are any, and described."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_export.bundle import MODEL
from model_export.check import SIZES, is_invariant, rows
from model_export.errors import ImportRefused
from model_export.manifest import Batch, Precision, TensorSpec
from model_export.onnx_file import external_files, precision, read_skeleton
from model_export.session import Session

Array = npt.NDArray[Any]

_FREE_SIZES = (1, 32, 224)
"""Tried in turn for axes, other than the first, that the graph leaves free."""


@dataclass(frozen=True, slots=True, eq=False)
class Untouched:
    """A graph as it came.

    Attributes:
        files: of the bundle, by name.
        inputs, outputs: as the graph declares them.
        batch: free where every input's and output's first axis is, and two rows ran.
        samples: inputs and outputs of one run; None where no made-up input would run.
    """

    files: dict[str, Path]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batch: Batch
    precision: Precision
    samples: tuple[Mapping[str, Array], Mapping[str, Array]] | None


def take_untouched(file: Path) -> Untouched:
    """Look at a graph and try it.

    Raises:
        ImportRefused: not a graph that ONNX Runtime loads, or weights outside its folder.
    """
    model = read_skeleton(file)
    names = external_files(model, file)
    if MODEL in names:
        raise ImportRefused(f"{file.name} keeps its weights in a file called {MODEL}.", hint="Give it another name.")
    session = Session(file, name=file.name)
    samples = _try(session)
    files = {MODEL: file} | {name: file.parent / name for name in names}
    return Untouched(files, session.inputs, session.outputs, _batch(session, samples), precision(model), samples)


def _try(session: Session) -> tuple[Mapping[str, Array], Mapping[str, Array]] | None:
    for inputs in _made_up(session.inputs, 1):
        try:
            return inputs, session.run(inputs)
        except ImportRefused:
            continue
    return None


def _made_up(specs: Sequence[TensorSpec], batch: int) -> Iterator[dict[str, Array]]:
    """Inputs, seeded, with each guess at the free axes."""
    every = [spec for spec in specs if None in spec.shape[1:]]
    for size in _FREE_SIZES if every else _FREE_SIZES[:1]:
        random = np.random.default_rng(0)
        yield {spec.name: _values(random, spec, batch, size) for spec in specs}


def _values(random: np.random.Generator, spec: TensorSpec, batch: int, size: int) -> Array:
    shape = [extent or (size if axis else batch) for axis, extent in enumerate(spec.shape)]
    if spec.dtype == "uint8":
        return random.integers(0, 256, shape, np.uint8)
    if spec.dtype.startswith("float"):
        return random.random(shape).astype(spec.dtype)
    # Whole numbers are mostly positions or kinds; small ones are the safest guess.
    return random.integers(0, 2, shape).astype(spec.dtype)


def _batch(session: Session, samples: tuple[Mapping[str, Array], Mapping[str, Array]] | None) -> Batch:
    specs = [*session.inputs, *session.outputs]
    first = next((spec.shape[0] for spec in session.inputs if spec.shape and spec.shape[0]), 1) or 1
    if samples is None or not all(spec.shape and spec.shape[0] is None for spec in specs):
        return Batch(fixed=first)
    inputs = samples[0]
    pair = {name: np.concatenate([value, value[::-1, ...]]) for name, value in inputs.items()}
    try:
        answer = session.run(pair)
        if any(len(value) != 2 for value in answer.values()):
            return Batch(fixed=1)
        return Batch(invariant=is_invariant(session, rows(pair, 0, 2), SIZES))
    except ImportRefused:
        return Batch(fixed=1)
