"""What to do with a video: the analysis of a job or a stream."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from model_export.manifest import NAME_PATTERN, VERSION_PATTERN, Manifest

ModelReference = Annotated[str, StringConstraints(pattern=rf"^{NAME_PATTERN}(@{VERSION_PATTERN})?$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=128)]

GATE_MODEL = "moving-objects"
"""What looks for motion before a model that has a gate."""

DEFAULT_MAX_AGE_MS = 500.0


class Analysis(BaseModel):
    """Unknown keys are refused, so that a misspelt one is an error and not a surprise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelReference | None = Field(
        default=None,
        description="`name` or `name@version`; the server's default model if absent",
        examples=["moving-objects"],
    )
    sample_fps: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="frames analysed per second of media time; every frame if absent. A model that was made for a rate "
        "is shown that; of one that looks at clips this then says how many of them are analysed",
    )
    confidence: float | None = Field(
        default=None, ge=0, le=1, description="what counts as found; the model's own threshold if absent"
    )
    labels: tuple[Label, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="only these labels; all if absent",
        examples=[["moving"]],
    )
    track: bool | None = Field(
        default=None, description="give objects an id that lasts; default true for detection and motion"
    )
    max_age_ms: float | None = Field(
        default=None,
        gt=0,
        le=3_600_000,
        description=f"live sources only: a frame older than so many milliseconds is not analysed; "
        f"{DEFAULT_MAX_AGE_MS:g} if absent",
    )
    gate: Literal["motion"] | None = Field(
        default=None,
        description="`motion`: ask the model only when and where something moves before a fixed camera; every frame if "
        "absent",
    )


def frames_fps(manifest: Manifest, analysis: Analysis) -> float | None:
    """Frames wanted for each second of media time; None: every one. A model that was made for a rate is shown that."""
    return manifest.fps or analysis.sample_fps


def asked_fps(manifest: Manifest, analysis: Analysis) -> float | None:
    """How often a second the model is asked; None: with every frame. Of clips `sample_fps` says how many are analysed,
    while all frames that are wanted move the window on.
    """
    shown, wanted = frames_fps(manifest, analysis), analysis.sample_fps
    if manifest.window is None or manifest.fps is None or wanted is None:
        return shown
    return min(manifest.fps, wanted)
