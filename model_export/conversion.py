"""From a third-party graph to one with `uint8` frames in front and standard outputs behind, with its proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import onnx

from model_export.batching import free_batch
from model_export.check import SIZES, Arrays, Proof, contrasts, frames, is_invariant, joined, repeated
from model_export.errors import ImportRefused
from model_export.families.family import Family, Reading, Told
from model_export.graph import OPSET, Graph
from model_export.manifest import Batch, FrameInput, Precision, Task, TensorSpec
from model_export.metadata import Metadata
from model_export.onnx_file import opset, precision, read
from model_export.options import Wishes
from model_export.session import Session
from model_export.untouched import Untouched, open_untouched

_FRAMES = 4
_PROVEN = (1, 3)
_GOLDEN_ROWS = 2
_WEAK = 0.1
_NAMED = 5

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """A model ready to be bundled.

    Attributes:
        model: the ONNX file's content.
        spec: how frames are fitted.
        window: frames of a clip; None: it takes pictures.
        reading: what the family made of it.
        labels: the user's, else the file's, else the family's; empty where nobody says any.
        samples: golden inputs and outputs.
    """

    model: bytes
    task: Task
    spec: FrameInput
    window: int | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    reading: Reading
    labels: tuple[str, ...]
    batch: Batch
    precision: Precision
    samples: tuple[Arrays, Arrays]


def convert(file: Path, family: Family, wishes: Wishes, say: Say, labels: Sequence[str] = ()) -> Converted:
    """Convert a model and prove that it answers as before.

    Args:
        file: the ONNX file.
        family: of the model.
        wishes: what is not as the family has it.
        say: is told what was done, a line each.
        labels: of its classes, in their order; none takes those of the file, or the family's.

    Raises:
        ImportRefused: it cannot be read, loaded, converted or understood, or its answers would change.
    """
    if wishes.multi_label and family.task is not Task.CLASSIFY:
        raise ImportRefused("Only a classifier has several labels at once.", hint="Leave --multi-label out.")
    model = read(file)
    metadata = Metadata.of(model)
    if metadata.task not in ("", family.task):
        raise ImportRefused(
            f"{file.name} says that it is for task {metadata.task!r}; this family is for {family.task.value!r}.",
            hint="Take another --family; --family raw serves its tensors as they are.",
        )
    kept = precision(model)
    untouched = open_untouched(file, family, wishes, metadata.size, optimised=kept is not Precision.FP16)
    spec = family.geometry.model_copy(
        update={
            "width": untouched.size[0],
            "height": untouched.size[1],
            "resize": wishes.resize or family.geometry.resize,
            "pad": family.geometry.pad if wishes.pad is None else wishes.pad,
        }
    )
    pictures = {spec.name: frames(spec, _FRAMES, untouched.window)}
    raw = [untouched.ask(pictures[spec.name][index : index + 1]) for index in range(_FRAMES)]
    if metadata.labels and not labels:
        more = " …" if len(metadata.labels) > _NAMED else ""
        say(f"The file names its classes: {', '.join(metadata.labels[:_NAMED])}{more}")
    reading, named = _read(family, raw, spec, Told(tuple(labels) or metadata.labels, wishes.multi_label), say)
    expected = joined([reading.head.decode(one) for one in raw])
    _say_strength(expected, say)
    if opset(model) < OPSET:
        say(f"Opset {opset(model)} becomes {OPSET}.")
    unlike = {spec.name: contrasts(spec, untouched.window)}
    proof = Proof(pictures, unlike, expected, against=file.name, kept=kept)
    try:
        content, outputs, session = _with_free_batch(model, reading, spec, untouched, proof, say)
        batch = Batch(invariant=is_invariant(session, pictures))
    except ImportRefused as refused:
        fixed = untouched.given or 1
        say(f"The batch stays {fixed}; it cannot be free: {refused.message}")
        content, outputs = _rebuild(Graph(model), reading, spec, untouched, fixed)
        session = proof.of(content, (fixed,))
        batch = Batch(fixed=fixed, invariant=is_invariant(session, pictures, (fixed,)))
    else:
        bits = "bit-identical" if batch.invariant else "not bit-identical"
        say(f"The batch is free; rows are {bits} in batches of {', '.join(map(str, SIZES))}.")
    shown = "pictures" if untouched.window is None else f"clips of {untouched.window} frames"
    say(f"Parity shown on {_FRAMES} {shown}, in batches of {batch.fixed or '1 and 3'}.")
    sample = repeated(pictures, batch.fixed or _GOLDEN_ROWS)
    shape = pictures[spec.name].shape[1:]
    frame = TensorSpec(name=spec.name, dtype="uint8", shape=(batch.fixed, *shape))
    return Converted(
        model=content,
        task=family.task,
        spec=spec,
        window=untouched.window,
        inputs=(frame,),
        outputs=outputs,
        reading=reading,
        labels=named,
        batch=batch,
        precision=kept,
        samples=(sample, session.run(sample)),
    )


def _read(
    family: Family, raw: Sequence[Arrays], spec: FrameInput, told: Told, say: Say
) -> tuple[Reading, tuple[str, ...]]:
    """What the family makes of the answers to a picture each, and what its classes are called."""
    shapes = {name: {one[name].shape for one in raw} for name in raw[0]}
    for name, found in shapes.items():
        if len(found) > 1:
            raise ImportRefused(
                f"The shape of output {name!r} depends on what is in the picture.",
                hint="Export it without suppression, or so that its output is padded.",
            )
    reading = family.read(joined(raw), spec, told)
    if reading.remark:
        say(reading.remark)
    labels = told.labels or reading.labels
    if labels and reading.classes is not None and len(labels) != reading.classes:
        raise ImportRefused(
            f"Classes of the model: {reading.classes}; labels that were given: {len(labels)}.",
            hint="Write one label a line, in the order of the model's classes.",
        )
    if not labels:
        called = "class is called class_0" if reading.classes == 1 else "classes are called class_0, class_1 and so on"
        say(f"No labels were given; its {called}.")
    return reading, labels


def _with_free_batch(
    model: onnx.ModelProto, reading: Reading, spec: FrameInput, untouched: Untouched, proof: Proof, say: Say
) -> tuple[bytes, tuple[TensorSpec, ...], Session]:
    """The converted model for any size of batch, its outputs, and a session that has passed the proof."""
    if untouched.given is None:
        with suppress(ImportRefused):
            content, outputs = _rebuild(Graph(model), reading, spec, untouched, None)
            return content, outputs, proof.of(content, _PROVEN)
    surgery = Graph(model)
    constants = free_batch(surgery, untouched.given or 1, untouched.row)
    if constants:
        say(f"Constants that held the size of the batch, rewritten: {constants}.")
    content, outputs = _rebuild(surgery, reading, spec, untouched, None)
    return content, outputs, proof.of(content, _PROVEN)


def _rebuild(
    surgery: Graph, reading: Reading, spec: FrameInput, untouched: Untouched, fixed: int | None
) -> tuple[bytes, tuple[TensorSpec, ...]]:
    """The converted model, and its outputs; `fixed` is its size of batch, None leaves it free."""
    surgery.put_frames_in_front(spec, untouched.how, fixed, untouched.window)
    outputs = reading.head.append(surgery)
    outputs = tuple(one.model_copy(update={"shape": (fixed, *one.shape[1:])}) for one in outputs)
    return surgery.seal(outputs), outputs


def _say_strength(expected: Arrays, say: Say) -> None:
    """Parity on pictures in which nothing is found proves less; the user should know."""
    if "scores" in expected:
        strongest = float(expected["scores"].max(initial=0.0))
        if strongest < _WEAK:
            say(f"The model finds little on the drawn pictures: the best score is {strongest:.2g}.")
