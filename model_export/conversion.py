"""From a third-party graph to one with `uint8` frames in front and standard outputs behind, with its proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from model_export.batching import free_batch
from model_export.check import SIZES, Arrays, frames, is_invariant, joined, prove_parity, repeated, rows
from model_export.errors import ImportRefused
from model_export.families.family import Family, Reading
from model_export.graph import OPSET, Graph
from model_export.manifest import Batch, FrameInput, Resize, Task, TensorSpec
from model_export.onnx_file import opset, read
from model_export.preprocessing import Channels, Colour, Layout, Preprocessing
from model_export.session import Session

_FRAMES = 4
_GOLDEN_ROWS = 2
_WEAK = 0.1

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user says about a model; None leaves it to the family and the graph.

    Attributes:
        size: of the input, width and height in pixels.
        mean, std: in the model's channel order, in grey levels 0…255.
        pad: grey level around a letterboxed frame.
    """

    size: tuple[int, int] | None = None
    mean: Channels | None = None
    std: Channels | None = None
    colour: Colour | None = None
    layout: Layout | None = None
    resize: Resize | None = None
    pad: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """A model ready to be bundled.

    Attributes:
        model: the ONNX file's content.
        spec: how frames are fitted.
        reading: what the family made of it.
        samples: golden inputs and outputs.
    """

    model: bytes
    task: Task
    spec: FrameInput
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    reading: Reading
    batch: Batch
    samples: tuple[Arrays, Arrays]


@dataclass(frozen=True, slots=True, eq=False)
class _Untouched:
    """The model as it came, and how to ask it for one picture at a time."""

    session: Session
    how: Preprocessing
    size: tuple[int, int]
    given: int | None
    """The size of batch that it was exported for; None where that is free."""

    def ask(self, frame: npt.NDArray[np.uint8]) -> Arrays:
        """Raw outputs for one fitted frame [1, height, width, 3], a row each."""
        pictures = np.repeat(self.how.apply(frame), self.given or 1, axis=0)
        return rows(self.session.run({self.session.inputs[0].name: pictures}), 0, 1)


def convert(file: Path, family: Family, wishes: Wishes, say: Say) -> Converted:
    """Convert a model and prove that it answers as before.

    Args:
        file: the ONNX file.
        family: of the model.
        wishes: what is not as the family has it.
        say: is told what was done, a line each.

    Raises:
        ImportRefused: it cannot be read, loaded, converted or understood, or its answers would change.
    """
    model = read(file)
    untouched = _open(file, family, wishes)
    spec = family.geometry.model_copy(
        update={
            "width": untouched.size[0],
            "height": untouched.size[1],
            "resize": wishes.resize or family.geometry.resize,
            "pad": family.geometry.pad if wishes.pad is None else wishes.pad,
        }
    )
    pictures = {spec.name: frames(spec, _FRAMES)}
    raw = [untouched.ask(pictures[spec.name][index : index + 1]) for index in range(_FRAMES)]
    reading = family.read(joined(raw), spec)
    expected = joined([reading.head.decode(one) for one in raw])
    _say_strength(expected, say)
    if opset(model) < OPSET:
        say(f"Opset {opset(model)} becomes {OPSET}.")
    try:
        content, outputs = _rebuild(model, reading, spec, untouched, None, say)
        session = Session(content, name="the converted model")
        prove_parity(expected, session, pictures, (1, 3), against=file.name)
        batch = Batch(invariant=is_invariant(session, pictures))
    except ImportRefused as refused:
        fixed = untouched.given or 1
        say(f"The batch stays {fixed}; it cannot be free: {refused.message}")
        content, outputs = _rebuild(model, reading, spec, untouched, fixed, say)
        session = Session(content, name="the converted model")
        count = max(fixed, _FRAMES)
        prove_parity(repeated(expected, count), session, repeated(pictures, count), (fixed,), against=file.name)
        batch = Batch(fixed=fixed)
    else:
        bits = "bit-identical" if batch.invariant else "not bit-identical"
        say(f"The batch is free; rows are {bits} in batches of {', '.join(map(str, SIZES))}.")
    say(f"Parity shown on {_FRAMES} pictures, in batches of {batch.fixed or '1 and 3'}.")
    sample = repeated(pictures, batch.fixed or _GOLDEN_ROWS)
    frame = TensorSpec(name=spec.name, dtype="uint8", shape=(batch.fixed, spec.height, spec.width, 3))
    return Converted(content, family.task, spec, (frame,), outputs, reading, batch, (sample, session.run(sample)))


def _open(file: Path, family: Family, wishes: Wishes) -> _Untouched:
    session = Session(file, name=file.name)
    if len(session.inputs) != 1:
        raise ImportRefused(
            f"{file.name} has {len(session.inputs)} inputs; this family takes one, the picture.",
            hint="Import it with --family raw to serve its tensors as they are.",
        )
    spec = session.inputs[0]
    if len(spec.shape) != 4 or spec.dtype not in ("float32", "float16", "float64", "uint8"):
        raise ImportRefused(
            f"The input {spec.name!r} is {spec.dtype} {_shape(spec)}; this family takes a picture with 4 axes.",
            hint="Import it with --family raw to serve its tensors as they are.",
        )
    layout = wishes.layout or (Layout.NHWC if spec.shape[3] == 3 and spec.shape[1] != 3 else Layout.NCHW)
    channels, high, wide = (1, 2, 3) if layout is Layout.NCHW else (3, 1, 2)
    if spec.shape[channels] not in (3, None):
        raise ImportRefused(
            f"The input {spec.name!r} has shape {_shape(spec)}, which is not {layout} with 3 channels.",
            hint="Say the layout with --layout, or import it with --family raw.",
        )
    width, height = wishes.size or (
        spec.shape[wide] or family.geometry.width,
        spec.shape[high] or family.geometry.height,
    )
    if (spec.shape[wide] or width, spec.shape[high] or height) != (width, height):
        raise ImportRefused(
            f"The graph takes pictures of {spec.shape[wide]}x{spec.shape[high]}, not {width}x{height}.",
            hint="Leave --input out, or export the model for that size.",
        )
    usual = family.preprocessing
    how = Preprocessing(
        colour=wishes.colour or usual.colour,
        layout=layout,
        mean=wishes.mean or usual.mean,
        std=wishes.std or usual.std,
        dtype=spec.dtype,
    )
    return _Untouched(session, how, (width, height), spec.shape[0])


def _rebuild(
    model: onnx.ModelProto, reading: Reading, spec: FrameInput, untouched: _Untouched, fixed: int | None, say: Say
) -> tuple[bytes, tuple[TensorSpec, ...]]:
    """The converted model, and its outputs; `fixed` is its size of batch, None frees it."""
    surgery = Graph(model)
    if fixed is None:
        constants = free_batch(surgery, untouched.given or 1, untouched.size, untouched.how.layout)
        if constants:
            say(f"Constants that held the size of the batch, rewritten: {constants}.")
    surgery.put_frames_in_front(spec, untouched.how, fixed)
    outputs = reading.head.append(surgery)
    outputs = tuple(one.model_copy(update={"shape": (fixed, *one.shape[1:])}) for one in outputs)
    return surgery.seal(outputs), outputs


def _say_strength(expected: Arrays, say: Say) -> None:
    """Parity on pictures in which nothing is found proves less; the user should know."""
    if "scores" in expected:
        strongest = float(expected["scores"].max(initial=0.0))
        if strongest < _WEAK:
            say(f"The model finds little on the drawn pictures: the best score is {strongest:.2g}.")


def _shape(spec: TensorSpec) -> str:
    return f"[{', '.join('any' if extent is None else str(extent) for extent in spec.shape)}]"
