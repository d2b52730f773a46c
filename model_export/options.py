"""What may be said about a model that is brought in: one definition, for the command line and for HTTP.

An option is a field here: `vidserve models import` has it as `--NAME`, `POST /v1/models` as a field of its form.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from model_export.errors import ImportRefused
from model_export.families import FAMILIES, FamilyName
from model_export.manifest import MOST_VERSION, NAME_PATTERN, Resize
from model_export.preprocessing import Channels, Colour, Layout

_WXH = r"^\s*([1-9][0-9]{0,3})[xX×]([1-9][0-9]{0,3})\s*$"
_NUMBERS = r"^\s*[0-9.eE+-]+(\s*,\s*[0-9.eE+-]+\s*,\s*[0-9.eE+-]+)?\s*$"


def labels_of(text: str) -> tuple[str, ...]:
    """Labels, one a line, in the order of the model's classes; empty lines at the end are no labels.

    Raises:
        ValueError: an empty line between labels; says which.
    """
    labels = tuple(line.strip() for line in text.removeprefix("\ufeff").rstrip().splitlines())
    if not all(labels):
        raise ValueError(f"line {labels.index('') + 1} is empty: write one label a line, in the order of the classes")
    return labels


def read_labels(file: Path) -> tuple[str, ...]:
    """Labels from a text file, as `labels_of`.

    Raises:
        ImportRefused: it cannot be read, or holds an empty line between labels.
    """
    try:
        return labels_of(file.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ImportRefused(f"The labels in {file} cannot be read: {error}.") from error
    except ValueError as error:
        raise ImportRefused(f"The labels in {file} are not clear: {error}.") from error


def name_of(file_name: str) -> str:
    """What a model is called whose user does not say: its file's name, as far as that can be a model's."""
    stem = re.sub(r"\.(onnx|zip)$", "", file_name.lower())
    return re.sub(r"[^a-z0-9._-]+", "-", stem).strip("-._")[:64]


def _name(value: str) -> str:
    if not re.fullmatch(NAME_PATTERN, value):
        raise PydanticCustomError(
            "name",
            "{text} is not a name: at most 64 lower-case letters, digits, dots, underscores and dashes, a letter or "
            "digit first",
            {"text": repr(value)},
        )
    return value


def _size(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(_WXH, value)
    if match is None:
        raise PydanticCustomError("size", "{text} is not WxH, for example 640x384", {"text": repr(value)})
    return int(match[1]), int(match[2])


def _channels(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = value.split(",") if re.fullmatch(_NUMBERS, value) else []
    try:
        numbers = [float(part) for part in parts * (3 if len(parts) == 1 else 1)]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise PydanticCustomError(
            "channels", "{text} is not one number or three, for example 123.7,116.3,103.5", {"text": repr(value)}
        )
    return tuple(numbers)


def _labels(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return labels_of(value)
    except ValueError as error:
        raise PydanticCustomError("labels", "{why}", {"why": str(error)}) from error


def _whole(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch("-?[0-9]+", value.strip()):
        raise PydanticCustomError("whole", "{text} is not a whole number", {"text": repr(value)})
    return value


def _truth(value: Any) -> Any:
    words = {"true": True, "false": False}
    if isinstance(value, str) and value not in words:
        raise PydanticCustomError("truth", "{text} is neither true nor false", {"text": repr(value)})
    return words[value] if isinstance(value, str) else value


def _std(value: Channels) -> Channels:
    if min(value) <= 0:
        raise PydanticCustomError("std", "it divides, so it must be above 0")
    if max(value) < 1:
        raise PydanticCustomError("std", "it is in grey levels 0…255: multiply what is meant for 0…1 by 255")
    return value


# How they are written, on a command line and in a form.
_Name = Annotated[
    str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME_PATTERN}$", "maxLength": 64})
]
_Size = Annotated[
    tuple[int, int],
    BeforeValidator(_size),
    WithJsonSchema({"type": "string", "pattern": _WXH}),
]
_Channels = Annotated[
    Channels,
    BeforeValidator(_channels),
    WithJsonSchema({"type": "string", "pattern": _NUMBERS}),
]
_Label = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_Truth = Annotated[bool, BeforeValidator(_truth)]
_Grey = Annotated[int, Field(ge=0, le=255), BeforeValidator(_whole)]
_Window = Annotated[int, Field(ge=2, le=1024), BeforeValidator(_whole)]
_Version = Annotated[int, Field(ge=1, le=MOST_VERSION), BeforeValidator(_whole)]
_Labels = Annotated[tuple[_Label, ...], BeforeValidator(_labels), WithJsonSchema({"type": "string"})]


class Wishes(BaseModel):
    """What the user says about a model; None leaves it to the family and the graph.

    Attributes:
        size: of the input, width and height in pixels.
        mean, std: in the model's channel order, in grey levels 0…255.
        pad: grey level around a letterboxed frame.
        confidence: what counts as found.
        iou: boxes that overlap a better one by more are suppressed.
        window: frames of a clip.
        fps: frames a second of media time that a model of clips was trained on.
        multi_label: the classes of a classifier do not exclude each other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    size: _Size | None = Field(
        default=None,
        alias="input",
        title="WxH",
        description="pixels of the input, where the graph leaves it free",
        examples=["640x384"],
    )
    mean: _Channels | None = Field(
        default=None,
        title="N[,N,N]",
        description="subtracted, in grey levels 0…255 (torchvision's 0.485 is 123.675)",
        examples=["123.675,116.28,103.53"],
    )
    std: Annotated[_Channels, AfterValidator(_std)] | None = Field(
        default=None,
        title="N[,N,N]",
        description="divided by, in grey levels (255 brings them to 0…1; 0.229 is 58.395)",
        examples=["58.395,57.12,57.375"],
    )
    colour: Colour | None = Field(default=None, alias="color", description="the order of the model's channels")
    layout: Layout | None = Field(default=None, description="the order of the model's axes")
    resize: Resize | None = Field(default=None, description="how frames are brought to the input's size")
    pad: _Grey | None = Field(default=None, description="grey level around a letterboxed frame")
    confidence: float | None = Field(default=None, ge=0, le=1, description="what counts as found, unless a job says")
    iou: float | None = Field(
        default=None, ge=0.01, le=1, description="boxes that overlap a better one by more are suppressed"
    )
    window: _Window | None = Field(
        default=None, description="frames of a clip that a video classifier looks at, where the graph leaves it free"
    )
    fps: float | None = Field(
        default=None, gt=0, le=1000, description="frames a second of media time that a video classifier was trained on"
    )
    multi_label: _Truth = Field(default=False, description="the classes of a classifier do not exclude each other")


class ImportOptions(Wishes):
    """All that may be said about an ONNX file."""

    family: FamilyName = Field(
        description="whose model it is: " + "; ".join(f"{name}: {line}" for name, line in FAMILIES.items())
    )
    name: _Name | None = Field(default=None, description="what to call it; the file's name if left out")
    labels: _Labels = Field(
        default=(), description="labels of its classes, one a line, in their order", examples=["person\nbicycle\ncar"]
    )
    version: _Version | None = Field(default=None, description="the next free one if left out")

    @property
    def wishes(self) -> Wishes:
        """What is said of the model itself."""
        return Wishes.model_validate({name: getattr(self, name) for name in Wishes.model_fields})
