"""A model of the repository as clients see it: what it is, and whether and how it runs."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from model_export.manifest import Task


class ModelState(StrEnum):
    UNLOADED = "unloaded"
    """In the repository; loaded when a job asks for it, or by hand."""
    LOADING = "loading"
    READY = "ready"
    """Verified, warm, serving."""
    FAILED = "failed"
    """It does not serve; `error` says why."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSize(_Value):
    """What a frame is brought to before the model sees it, in pixels."""

    width: int
    height: int


class ModelError(_Value):
    """Why a model does not serve."""

    code: str
    message: str


class ModelVariant(_Value):
    """The same model in other numbers, which `[models.NAME] variant` lets serve; judged when it was exported."""

    name: str = Field(examples=["int8"])
    metric: str = Field(description="the main measure of the task", examples=["accuracy"])
    value: float = Field(description="of the variant, on validation data")
    lost: float = Field(description="points, hundredths of the measure, that the model itself is better by")


class ModelStatus(_Value):
    """One version of a model."""

    name: str
    version: int
    default: bool = Field(description="this version serves when just the name is asked for")
    server_default: bool = Field(default=False, description="this version serves where no model is named")
    versions: tuple[int, ...] = Field(description="all versions of this name in the repository")
    task: Task
    family: str
    description: str = ""
    labels: tuple[str, ...] = ()
    input: InputSize | None = Field(default=None, description="absent for task `tensor`")
    state: ModelState
    error: ModelError | None = Field(default=None, description="why it is `failed`")
    provider: str | None = Field(default=None, description="what it runs on; absent while it is not loaded")
    asked_provider: str | None = Field(default=None, description="what the settings ask for")
    provider_reason: str | None = Field(default=None, description="why the two differ, where they do")
    precision: str | None = None
    sessions: int | None = Field(default=None, description="ONNX Runtime sessions that share the work")
    threads: int | None = Field(default=None, description="threads of each session")
    max_batch: int | None = None
    sha256: str | None = Field(default=None, description="of the file of the graph that serves")
    variant: str | None = Field(default=None, description="the variant that serves; absent: the model's own graph")
    variants: tuple[ModelVariant, ...] = Field(default=(), description="that could serve in its place")

    @property
    def id(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"
