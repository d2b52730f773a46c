"""Which model serves where none is named, and which version under a bare name: `_defaults.json` of a repository."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_export.bundle import HIDDEN
from model_export.errors import BundleInvalid
from model_export.manifest import ModelName

# No model can be called so: names begin with a letter or a digit.
FILE = "_defaults.json"


class Defaults(BaseModel):
    """What was set; all else follows the rules of the repository.

    Attributes:
        model: serves where a request names none.
        versions: name → the version that the bare name stands for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelName | None = None
    versions: dict[ModelName, Annotated[int, Field(ge=1)]] = {}

    @classmethod
    def read(cls, root: Path) -> Self:
        """What a repository's file says; nothing where there is none.

        Raises:
            BundleInvalid: there is one that cannot be read.
        """
        path = root / FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except (OSError, ValidationError) as error:
            raise BundleInvalid(
                f"{path} cannot be read.", hint="Remove it; then every model serves its highest version."
            ) from error

    def save(self, root: Path) -> None:
        """Write the file; readers see the old or the new one, never half of it."""
        root.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=HIDDEN, dir=root)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(self.model_dump_json(indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, root / FILE)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def with_version(self, name: str, version: int | None) -> Self:
        """The same with this version for a name, or with none set."""
        versions = {key: value for key, value in self.versions.items() if key != name}
        return self.model_copy(update={"versions": versions | ({name: version} if version else {})})

    def with_model(self, name: str | None) -> Self:
        """The same with this model, or with none set."""
        return self.model_copy(update={"model": name})
