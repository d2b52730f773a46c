"""The manifest: what a bundle says of itself, and all that the server knows about a model."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from model_export.errors import ManifestInvalid, TaskNotForVideo

NAME_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
MOST_VERSION = 10**9
VERSION_PATTERN = r"[1-9][0-9]{0,9}"
FORMAT: Literal[1] = 1

ModelName = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]
VariantName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,16}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Task(StrEnum):
    """What a model answers; each has its standard outputs (docs/bundle.md)."""

    DETECT = "detect"
    CLASSIFY = "classify"
    SEGMENT = "segment"
    EMBED = "embed"
    ANOMALY = "anomaly"
    MOTION = "motion"
    READ = "read"
    TENSOR = "tensor"


class Resize(StrEnum):
    """How a frame is brought to the model's input size."""

    LETTERBOX = "letterbox"
    """Keep the aspect ratio, fill the rest with `pad`."""
    STRETCH = "stretch"
    """Ignore the aspect ratio."""
    CROP = "crop"
    """Keep the aspect ratio, fill the input, cut off what sticks out on both sides alike."""


class Precision(StrEnum):
    """The numbers that most of a model's weights are kept in."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FrameInput(_Value):
    """The one input of every model but task `tensor`: uint8 frames [B, height, width, 3], BGR as OpenCV decodes; of
    kind `clip` [B, window, height, width, 3].

    Everything arithmetic (colour order, scaling, layout) is inside the graph; this is the geometry, which is not.
    """

    name: str = "frames"
    width: int = Field(ge=1, le=8192)
    height: int = Field(ge=1, le=8192)
    resize: Resize = Resize.LETTERBOX
    pad: int = Field(default=114, ge=0, le=255, description="grey level around a letterboxed frame")
    align: Literal["top_left", "center"] = Field(default="center", description="where a letterboxed frame lies")
    interpolation: Literal["linear", "area"] = "linear"


class TensorSpec(_Value):
    """A graph's input or output. `shape` holds None where a size is free; dtype is NumPy's name for it."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class State(_Value):
    """What a recurrent model carries from one frame of a stream to the next: one row per stream.

    `shape` is a row's, without the batch axis; every element starts as `initial`.
    """

    input: str
    output: str
    dtype: str
    shape: tuple[int, ...]
    initial: float = 0.0


class Batch(_Value):
    """How frames may share a run. `fixed` is None where the batch axis is free.

    `invariant` says whether a row is bit for bit the same whatever shares its batch (measured at import on the CPU).
    """

    fixed: int | None = Field(default=None, ge=1)
    invariant: bool = True


class Suppression(_Value):
    """Non-maximum suppression that is still due on the graph's boxes."""

    iou: float = Field(default=0.45, gt=0, le=1)
    class_agnostic: bool = False


class Variant(_Value):
    """The same model in other numbers: the graph `model.NAME.onnx` beside `model.onnx`, with the same inputs and
    outputs. It serves where the settings ask for it.

    What it is worth was found on validation data when it was made; `batch` as of the model itself.
    """

    precision: Precision
    metric: str = Field(description="the main measure of the task")
    value: float = Field(description="of this variant")
    lost: float = Field(description="points, hundredths of that measure, that the model itself is better by")
    tolerance: float = Field(
        ge=0, description="how far its numbers and scores may be from the golden ones, which are the model's"
    )
    share: float = Field(default=1e-3, ge=0, le=1, description="of a mask's pixels that may be others")
    pixels: float = Field(default=0, ge=0, description="how far the edges of its boxes may be from the golden ones")
    weakest: float = Field(default=0, ge=0, description="detections with a lower score are not compared")
    batch: Batch = Batch()


class Thresholds(_Value):
    """What counts as found, unless an analysis says otherwise."""

    confidence: float = Field(default=0.25, ge=0, le=1)


class Provenance(_Value):
    """Where the model came from: the file that was brought in, or how it was trained."""

    tool: str
    source: str | None = None
    source_sha256: Sha256 | None = None
    licence: str | None = None
    data_sha256: Sha256 | None = Field(default=None, description="of what it was trained on: contents, labels, split")
    config: str | None = Field(default=None, description="all settings of the training, as YAML")
    seed: int | None = None
    versions: dict[str, str] = Field(default={}, description="of the libraries that it was made with")


class Manifest(_Value):
    """Everything the server needs to serve a bundle; `manifest.json`."""

    format: Literal[1] = FORMAT
    name: ModelName
    version: int = Field(ge=1, le=MOST_VERSION)
    task: Task
    kind: Literal["frame", "clip"] = "frame"
    window: int | None = Field(default=None, ge=2, le=1024, description="frames of a clip, where `kind` is `clip`")
    fps: float | None = Field(
        default=None, gt=0, le=1000, description="frames a second of media time that it was made for; null: any"
    )
    family: str
    description: str = ""
    input: FrameInput | None = Field(default=None, description="absent for task `tensor`")
    inputs: tuple[TensorSpec, ...] = Field(description="every input of the graph, state included")
    outputs: tuple[TensorSpec, ...] = Field(description="every output of the graph, state included")
    labels: tuple[str, ...] = ()
    multi_label: bool = False
    suppression: Suppression | None = None
    thresholds: Thresholds = Thresholds()
    state: tuple[State, ...] = ()
    batch: Batch = Batch()
    precision: Precision = Precision.FP32
    metrics: dict[str, float] = {}
    provenance: Provenance
    variants: dict[VariantName, Variant] = Field(default={}, description="graphs beside the model's own, by name")
    files: dict[str, Sha256] = Field(default={}, description="sha256 of every other file of the bundle")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.task is Task.TENSOR) != (self.input is None):
            raise ValueError("`input` belongs to every task but `tensor`, and only to those")
        if (self.kind == "clip") != (self.window is not None):
            raise ValueError("`window` belongs to kind `clip`, and only to that")
        if self.kind == "clip" and (self.state or self.input is None):
            raise ValueError("a model of kind `clip` takes clips of `input`, and has no state")
        names = {spec.name for spec in self.inputs}
        if self.input is not None and self.input.name not in names:
            raise ValueError(f"`input` names {self.input.name!r}, the graph's inputs are {sorted(names)}")
        for state in self.state:
            if state.input not in names:
                raise ValueError(f"state input {state.input!r} is not an input of the graph")
            if state.output not in {spec.name for spec in self.outputs}:
                raise ValueError(f"state output {state.output!r} is not an output of the graph")
        return self

    @property
    def id(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def shares_runs(self) -> bool:
        """Whether rows of several requests may run together.

        Of task `tensor` the first axis need not be a batch at all; it is one where import saw rows that do not depend
        on each other.
        """
        return self.task is not Task.TENSOR or (self.batch.fixed is None and self.batch.invariant)

    @property
    def ask_shape(self) -> tuple[int, ...]:
        """What one request brings, uint8 without the batch axis: a frame [H, W, 3], or a clip [T, H, W, 3].

        Raises:
            ManifestInvalid: the model takes tensors of its own.
        """
        if self.input is None:
            raise ManifestInvalid(f"{self.id} has task tensor: it takes tensors, not frames.")
        frame = (self.input.height, self.input.width, 3)
        return frame if self.window is None else (self.window, *frame)

    def label(self, class_id: int) -> str:
        """The label of a class, or `class_N` where the manifest has none for it."""
        return self.labels[class_id] if 0 <= class_id < len(self.labels) else f"class_{class_id}"

    def to_json(self) -> str:
        """As it stands in `manifest.json`."""
        return self.model_dump_json(indent=2, exclude_none=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str = "manifest.json") -> Manifest:
        """Parse a manifest.

        Raises:
            ManifestInvalid: it is not JSON, or a field is missing, unknown or out of range.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the document"
            raise ManifestInvalid(f"{where}: {place}: {first['msg']}.") from error

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read `manifest.json`.

        Raises:
            ManifestInvalid: it is absent, or not a manifest.
        """
        try:
            text = path.read_bytes()
        except OSError as error:
            raise ManifestInvalid(f"{path} cannot be read: {error.strerror}.") from error
        return cls.from_json(text, where=str(path))


def check_for_video(manifest: Manifest) -> None:
    """See that a model can look at pictures and videos.

    Raises:
        TaskNotForVideo: it takes tensors.
    """
    if manifest.task is Task.TENSOR:
        raise TaskNotForVideo(
            f"{manifest.id} has task tensor: it takes tensors, not video.",
            hint="Import it with a family, so that the server knows what its outputs mean.",
        )


_REFERENCE = re.compile(rf"(?P<name>{NAME_PATTERN})(?:@(?P<version>{VERSION_PATTERN}))?")


def parse_reference(text: str) -> tuple[str, int | None]:
    """Split `name` or `name@version`.

    Raises:
        ManifestInvalid: it is neither.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise ManifestInvalid(
            f"{text!r} is not a model's name.", hint="Write NAME or NAME@VERSION, for example yolox-nano@1."
        )
    version = match["version"]
    return match["name"], int(version) if version else None
