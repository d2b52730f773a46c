"""Proof that a model still answers as it did, and that a row does not depend on what shares its batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model_export import golden
from model_export.agreement import ROUNDING, Tolerance, disagreement
from model_export.bundle import Bundle
from model_export.errors import BundleInvalid, ImportRefused
from model_export.geometry import fit
from model_export.manifest import FrameInput, Manifest, Precision, Task, TensorSpec
from model_export.onnx_file import external_files, read_skeleton
from model_export.pictures import draw
from model_export.session import Session
from model_export.states import first_rows

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

SIZES = (1, 2, 4, 8)
"""Batches that invariance is measured at."""
STANDARD: dict[Task, dict[str, tuple[str, int]]] = {
    Task.DETECT: {"boxes": ("float32", 3), "scores": ("float32", 2), "class_ids": ("int64", 2)},
    Task.CLASSIFY: {"probabilities": ("float32", 2)},
    Task.SEGMENT: {"mask": ("uint8", 3)},
    Task.EMBED: {"embedding": ("float32", 2)},
    Task.ANOMALY: {"score": ("float32", 1)},
    Task.MOTION: {"foreground": ("uint8", 3)},
    Task.READ: {"characters": ("float32", 3)},
}
"""The outputs that each task must have, with their types and number of axes."""
PARITY = Tolerance(absolute=1e-4, relative=1e-4, share=0.0)
"""Rounding, and no more: the same operators on the same machine."""


def frames(spec: FrameInput, count: int, window: int | None = None) -> npt.NDArray[np.uint8]:
    """Different pictures, fitted: uint8 [count, height, width, 3]; with a `window` clips of so many, with the same axis
    behind the first.
    """
    fitted = np.stack([fit(picture, spec) for picture in draw(count * (window or 1))])
    return fitted if window is None else np.stack([fitted[number::count] for number in range(count)])


def contrasts(spec: FrameInput, window: int | None = None) -> npt.NDArray[np.uint8]:
    """Three inputs that have nothing in common, black, white and noise, of the shape that `frames` gives."""
    shape = (spec.height, spec.width, 3) if window is None else (window, spec.height, spec.width, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return np.stack([np.zeros_like(noise), np.full_like(noise, 255), noise])


def rows(arrays: Arrays, start: int, end: int) -> dict[str, Array]:
    """Rows of every array, the batch axis kept."""
    return {name: value[start:end] for name, value in arrays.items()}


def joined(parts: Sequence[Arrays]) -> dict[str, Array]:
    """One below the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def repeated(arrays: Arrays, count: int) -> dict[str, Array]:
    """`count` rows, taken in turn."""
    return {name: np.resize(value, (count, *value.shape[1:])) for name, value in arrays.items()}


def prove_parity(
    expected: Arrays,
    model: Session,
    inputs: Arrays,
    sizes: Sequence[int],
    *,
    against: str,
    tolerance: Tolerance = PARITY,
) -> None:
    """Ask the model in batches of each size and compare every row with what is expected of it, shapes included.

    Args:
        expected: standard outputs, a row per input.
        model: is asked.
        inputs: a row per picture.
        sizes: of the batches; each must be at most the number of rows.
        against: the untouched model, as messages name it.
        tolerance: what counts as the same.

    Raises:
        ImportRefused: it fails, or an output differs; says which, by how much, and in which batch.
    """
    count = len(next(iter(inputs.values())))
    for size in sizes:
        for start in range(0, count - size + 1, size):
            answer = model.run(rows(inputs, start, start + size))
            found = disagreement(rows(expected, start, start + size), answer, tolerance)
            if found is not None:
                raise ImportRefused(
                    f"In a batch of {size} {model.name} does not answer as {against} does: {found}.",
                    hint="The model cannot be brought in without changing its answers, so it is refused.",
                )


def prove_apart(model: Session, inputs: Arrays, sizes: Sequence[int], tolerance: Tolerance) -> None:
    """See that rows depend on their place in a batch and on the others there by no more than rounding. Pictures that
    are alike do not show it: a branch that is chosen by the whole batch is the same for all of them.

    Args:
        model: takes the smallest and the largest of the sizes.
        inputs: rows that have nothing in common.
        sizes: of batches; in the smallest, a row has the batch to itself.
        tolerance: what counts as the same.

    Raises:
        ImportRefused: it fails, or a row differs; says by how much.
    """
    least, most = min(sizes), max(sizes)
    if most == 1:
        return
    alone = [model.run(repeated(rows(inputs, at, at + 1), least)) for at in range(len(next(iter(inputs.values()))))]
    expected = repeated(joined([rows(answer, 0, 1) for answer in alone]), most)
    found = disagreement(expected, model.run(repeated(inputs, most)), tolerance)
    if found is not None:
        raise ImportRefused(
            f"What {model.name} answers to a picture depends on its place in a batch of {most}, or on the others "
            f"there: {found}.",
            hint="Export it for a batch of 1.",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """What a converted model must answer.

    Attributes:
        pictures: inputs, a row each.
        contrasts: more of them, that have nothing in common.
        expected: standard outputs of the untouched model, run node by node where it is of half precision.
        against: the untouched model, as messages name it.
        kept: the precision of its weights.
    """

    pictures: Arrays
    contrasts: Arrays
    expected: Arrays
    against: str
    kept: Precision

    def of(self, content: bytes, sizes: Sequence[int]) -> Session:
        """The model as it will be served, once it has given these answers in batches of each size, and rows have
        proved not to depend on each other.

        Raises:
            ImportRefused: it does not load, or its answers would change.
        """
        count = max(*sizes, len(next(iter(self.pictures.values()))))
        pictures, expected = repeated(self.pictures, count), repeated(self.expected, count)
        name = "the converted model"
        served = Session(content, name=name)
        if self.kept is not Precision.FP16:
            prove_parity(expected, served, pictures, sizes, against=self.against)
            prove_apart(served, self.contrasts, sizes, PARITY)
            return served
        # Optimising takes out roundings to half precision, here others than in the untouched model. So the proof is
        # that both are the same as they are written, and that what is served differs from that by rounding alone.
        written = Session(content, name=name, optimised=False)
        prove_parity(expected, written, pictures, sizes, against=self.against, tolerance=Tolerance())
        rounding = ROUNDING[self.kept]
        prove_parity(expected, served, pictures, sizes, against=self.against, tolerance=rounding)
        prove_apart(served, self.contrasts, sizes, rounding)
        return served


def is_invariant(model: Session, inputs: Arrays, sizes: Sequence[int] = SIZES) -> bool:
    """Whether each row is bit for bit the same whatever shares its batch.

    Args:
        model: takes each of the sizes.
        inputs: different rows; taken in turn for the larger batches, so that no row keeps its place.
        sizes: of batches; in the smallest, a row has the batch to itself.

    Raises:
        ImportRefused: a run fails.
    """
    count = len(next(iter(inputs.values())))
    alone = [model.run(repeated(rows(inputs, index, index + 1), min(sizes))) for index in range(count)]
    for size in sizes:
        answer = model.run(repeated(inputs, size))
        for index in range(size):
            for name, value in rows(answer, index, index + 1).items():
                if value.tobytes() != alone[index % count][name][:1].tobytes():
                    return False
    return True


def check_bundle(bundle: Bundle) -> tuple[str, ...]:
    """Try a bundle as the server would, on the CPU, its variants too; returns what was found good, a line each.

    Raises:
        BundleInvalid: its files are not what the manifest lists, or its graph is not what the manifest says.
        ImportRefused: it does not load or run here.
        GoldenMismatch: it does not give its golden answers.
    """
    manifest = bundle.manifest
    bundle.verify()
    found = [f"{len(manifest.files)} files are those of the manifest", *_check_graph(bundle)]
    for name in manifest.variants:
        found += [f"{name}: {line}" for line in _check_graph(bundle.as_variant(name))]
    return tuple(found)


def _check_graph(bundle: Bundle) -> list[str]:
    """What was found good of the graph that is meant."""
    manifest = bundle.manifest
    # ONNX Runtime has not always looked at where weights lie.
    for name in external_files(read_skeleton(bundle.model), bundle.model):
        if name not in manifest.files:
            raise BundleInvalid(f"The graph takes weights from {name}, which is not in the manifest.")
    called = manifest.id if bundle.variant is None else f"{manifest.id} {bundle.variant}"
    session = Session(bundle.model, name=called)
    _compare("input", manifest.inputs, session.inputs)
    _compare("output", manifest.outputs, session.outputs)
    _compare_standard(manifest)
    found = ["inputs and outputs are those of the manifest"]
    samples = golden.of(bundle)
    if samples is None:
        found.append("no golden samples to compare with")
    else:
        golden.check(samples, session.run, state=manifest.state)
        found.append("golden samples agree")
    if manifest.input is not None and manifest.batch.fixed is None:
        invariant = is_invariant(session, _first_inputs(manifest, manifest.input))
        if manifest.batch.invariant and not invariant:
            raise BundleInvalid(
                f"{called}: a frame's answer depends on what shares its batch here, and the manifest denies it.",
                hint="Import the model again on this machine.",
            )
        sizes = ", ".join(map(str, SIZES))
        found.append(f"rows {'are' if invariant else 'are not'} bit-identical in batches of {sizes}")
    return found


def _first_inputs(manifest: Manifest, spec: FrameInput) -> dict[str, Array]:
    """Three first frames, each of a stream of its own."""
    pictures = frames(spec, 3, manifest.window)
    return {spec.name: pictures} | first_rows(manifest.state, 3)


def _compare(kind: str, said: Sequence[TensorSpec], there: Sequence[TensorSpec]) -> None:
    expected = {spec.name: spec for spec in said}
    actual = {spec.name: spec for spec in there}
    for name in sorted(expected.keys() | actual.keys()):
        if not _agree(expected.get(name), actual.get(name)):
            raise BundleInvalid(
                f"The manifest and the graph differ at {kind} {name!r}: {_said(expected.get(name))} and "
                f"{_said(actual.get(name))}.",
                hint="Import the model again.",
            )


def _compare_standard(manifest: Manifest) -> None:
    """What the server reads of a model's answer must be there."""
    outputs = {spec.name: (spec.dtype, len(spec.shape)) for spec in manifest.outputs}
    for name, expected in STANDARD.get(manifest.task, {}).items():
        if outputs.get(name) != expected:
            raise BundleInvalid(
                f"A model of task {manifest.task} answers {name!r} as {expected[0]} with {expected[1]} axes, and this "
                "one does not.",
                hint="docs/bundle.md says what each task answers.",
            )


def _agree(said: TensorSpec | None, there: TensorSpec | None) -> bool:
    """Whether they are the same, as far as both say something."""
    if said is None or there is None or (said.dtype, len(said.shape)) != (there.dtype, len(there.shape)):
        return False
    return all(one is None or other is None or one == other for one, other in zip(said.shape, there.shape, strict=True))


def _said(tensor: TensorSpec | None) -> str:
    if tensor is None:
        return "nothing"
    return f"{tensor.dtype} [{', '.join('any' if extent is None else str(extent) for extent in tensor.shape)}]"
