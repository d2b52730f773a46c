"""A model in ONNX Runtime: of pictures, of clips, or of frames with a state."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import yaml

from model_export.bundle import Bundle
from model_export.manifest import Manifest, State, Task, TensorSpec
from model_export.session import Session
from model_export.states import first_rows
from training.batch import TargetKind
from training.data.frame_spec import FrameSpec
from training.errors import ModelUnsuitable

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

OUTPUT = "probabilities"


class OnnxPredictor:
    """Asks a graph that takes uint8 frames and answers `probabilities`; see `Predictor`.

    A graph that looks at one frame and has no state is asked for each frame of a clip; the mean is its answer.

    Args:
        session: the model.
        input: how frames are fitted; for a graph with a state it also says how many make a clip.
        labels: of the answers.
        state: what a graph carries from frame to frame.

    Raises:
        ModelUnsuitable: the graph takes or gives something else.
    """

    def __init__(
        self,
        session: Session,
        *,
        input: FrameSpec,
        labels: tuple[str, ...],
        kind: TargetKind = "class",
        state: Sequence[State] = (),
    ) -> None:
        self._session = session
        self._state = tuple(state)
        carried = {one.input for one in state}
        frames = [spec for spec in session.inputs if spec.name not in carried]
        if len(frames) != 1 or frames[0].dtype != "uint8" or len(frames[0].shape) not in (4, 5):
            raise ModelUnsuitable(
                f"{session.name} takes {_listed(session.inputs)}, and not one input of uint8 frames [B, H, W, C] or"
                " clips [B, T, H, W, C].",
                hint="Bring it in first, which makes it so: vidserve models import.",
            )
        if OUTPUT not in {spec.name for spec in session.outputs}:
            raise ModelUnsuitable(
                f"{session.name} gives {_listed(session.outputs)}, and not {OUTPUT!r}.",
                hint="Only models of the task `classify` can be evaluated.",
            )
        self._frames = frames[0]
        self._clips = len(frames[0].shape) == 5
        self.name = session.name
        self.runtime = f"ONNX Runtime {onnxruntime.__version__}"
        self.labels = labels
        self.kind: TargetKind = kind
        self.input = input
        self.streams = bool(self._state)

    def predict(self, frames: U8) -> F32:
        if self._state:
            return self._steps(frames)[:, -1]
        if self._clips:
            return self._rows({self._frames.name: self._coloured(frames)})
        batch, time = frames.shape[:2]
        each = self._rows({self._frames.name: self._coloured(frames).reshape(-1, *self._coloured(frames).shape[2:])})
        return np.asarray(each.reshape(batch, time, -1).mean(axis=1), np.float32)

    def in_time(self, frames: U8) -> F32:
        return self._steps(frames)

    def _steps(self, frames: U8) -> F32:
        """float32 [B, T, L], the state carried from frame to frame."""
        frames = self._coloured(frames)
        rows = first_rows(self._state, len(frames))
        answers = []
        for at in range(frames.shape[1]):
            outputs = self._session.run({self._frames.name: np.ascontiguousarray(frames[:, at])} | rows)
            rows = {one.input: outputs[one.output] for one in self._state}
            answers.append(outputs[OUTPUT])
        return np.stack(answers, axis=1).astype(np.float32)

    def _rows(self, inputs: dict[str, U8]) -> F32:
        """float32 [B, L]. A graph with a fixed batch is asked row by row, or in its own size, filled up."""
        fixed = self._frames.shape[0]
        ((name, frames),) = inputs.items()
        if fixed is None:
            return np.asarray(self._session.run({name: np.ascontiguousarray(frames)})[OUTPUT], np.float32)
        answers = []
        for start in range(0, len(frames), fixed):
            part = frames[start : start + fixed]
            filled = np.concatenate([part, np.repeat(part[-1:], fixed - len(part), axis=0)])
            answers.append(self._session.run({name: filled})[OUTPUT][: len(part)])
        return np.concatenate(answers).astype(np.float32)

    def _coloured(self, frames: U8) -> U8:
        """With as many channels as the graph takes; one that was trained with grey makes grey of BGR by itself."""
        wanted = self._frames.shape[-1]
        return np.repeat(frames, 3, axis=-1) if wanted == 3 and frames.shape[-1] == 1 else frames


def from_bundle(
    folder: Path, *, variant: str | None = None, frames: int | None = None, fps: float | None = None
) -> OnnxPredictor:
    """The model of a bundle.

    Args:
        variant: the name of the graph that is asked; None: the model's own.
        frames: of a clip, for a model that has a state, and `fps` of them a second; None: as the model was trained.

    Raises:
        ModelError: it is no bundle, or ONNX Runtime cannot load it.
        ModelUnsuitable: its task is another than `classify`, or it has a state and nothing says how many frames.
    """
    bundle = Bundle.open(folder).as_variant(variant)
    manifest = bundle.manifest
    if manifest.task is not Task.CLASSIFY or manifest.input is None:
        raise ModelUnsuitable(
            f"{manifest.id} is a model for `{manifest.task}`.",
            hint="Only models of the task `classify` can be evaluated.",
        )
    session = Session(bundle.model, name=manifest.id if variant is None else f"{manifest.id} {variant}")
    if frames is None:
        frames, fps = _trained_on(manifest), manifest.fps
    return OnnxPredictor(
        session,
        input=FrameSpec(
            **manifest.input.model_dump(exclude={"name"}), frames=_clip_length(manifest) or frames or 1, fps=fps
        ),
        labels=manifest.labels,
        kind="multi_label" if manifest.multi_label else "class",
        state=manifest.state,
    )


def from_file(
    file: Path, *, input: FrameSpec | None = None, labels: tuple[str, ...] = (), kind: TargetKind = "class"
) -> OnnxPredictor:
    """An ONNX file without a manifest.

    Args:
        input: how frames are fitted; None: letterboxed to the size that the graph takes.
        labels: of its answers; none: those of the data, in their order.

    Raises:
        ImportRefused: ONNX Runtime cannot load it.
        ModelUnsuitable: it takes or gives something else than frames and probabilities, or takes frames of any size.
    """
    session = Session(file, name=file.name)
    return OnnxPredictor(session, input=input or _input_of(session), labels=labels, kind=kind)


def _input_of(session: Session) -> FrameSpec:
    shape = session.inputs[0].shape
    sizes = shape[-3:]
    if len(shape) not in (4, 5) or None in sizes or (len(shape) == 5 and shape[1] is None):
        raise ModelUnsuitable(
            f"{session.name} takes {_listed(session.inputs)}, so it does not say how large frames must be.",
            hint="Give --data a recipe, whose `data.input` says it.",
        )
    height, width, channels = sizes
    return FrameSpec.model_validate(
        {"height": height, "width": width, "channels": channels, "frames": shape[1] if len(shape) == 5 else 1}
    )


def _clip_length(manifest: Manifest) -> int | None:
    """T of a graph that takes clips."""
    assert manifest.input is not None
    shapes = [spec.shape for spec in manifest.inputs if spec.name == manifest.input.name]
    return shapes[0][1] if shapes and len(shapes[0]) == 5 else None


def _trained_on(manifest: Manifest) -> int | None:
    """How many frames made a clip when a model with a state was trained, as its recipe says; None where it has none.

    Raises:
        ModelUnsuitable: nothing says it.
    """
    if not manifest.state:
        return None
    with suppress(yaml.YAMLError, KeyError, TypeError):
        frames = yaml.safe_load(manifest.provenance.config or "")["data"]["input"]["frames"]
        if isinstance(frames, int) and frames > 0:
            return frames
    raise ModelUnsuitable(
        f"{manifest.id} remembers from frame to frame, and nothing in it says how many frames make a clip.",
        hint="Say how many frames: --data RUN, or a recipe.",
    )


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in specs)
