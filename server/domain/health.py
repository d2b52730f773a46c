"""Whether the server can do its work, and what is in the way."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Value):
    """One part of the server: a process, a model, the storage."""

    ok: bool
    detail: str = Field(default="", description="what it is doing, or what is wrong with it")


class Health(_Value):
    """Ready when the models asked for are loaded and warm. A camera never makes a server unready."""

    ready: bool
    problems: tuple[str, ...] = Field(default=(), description="a sentence for each thing that is in the way")
    parts: dict[str, Part] = Field(default={}, description="by name, for example `engine`, `worker-0`, `storage`")
