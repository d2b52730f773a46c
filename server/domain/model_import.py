"""An import: a file that is on its way to being a model of this server."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from model_export.families import FamilyName


class ImportState(StrEnum):
    IMPORTING = "importing"
    """Waiting for its turn, or in hand once `started_at` is there."""
    DONE = "done"
    """The model is in the repository; `model` names it."""
    FAILED = "failed"
    """Nothing came of it; `error` says why."""

    @property
    def ended(self) -> bool:
        return self is not ImportState.IMPORTING


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImportFailure(_Value):
    """Why an import failed."""

    code: str
    message: str
    hint: str | None = Field(default=None, description="what to do")


class ModelImport(_Value):
    """An import as clients see it."""

    id: str
    state: ImportState
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    source: str = Field(description="the name of the uploaded file")
    family: FamilyName | None = Field(default=None, description="of an ONNX file; absent for a bundle")
    model: str | None = Field(default=None, description="`name@version`, once it is `done`")
    lines: tuple[str, ...] = Field(default=(), description="what the import has to say, such as what was proved")
    error: ImportFailure | None = None
