"""What lies on disk for an import, in DATA/imports/<id>/:

import.json   what is known of it
upload/NAME   the file, under its own name, which the model will remember; gone when the import has ended
…             what the process that converts it leaves; gone when the import has ended

A handful of imports are kept, so they are files and not rows of the database. All methods block.
"""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from model_export.options import ImportOptions
from server.domain.model_import import ModelImport
from server.storage.disk import replace, sync_folder, writing
from server.storage.uploads import Upload

_FILE = "import.json"
_UPLOAD = "upload"
_NAME_CHARS = 60
"""At four bytes each they are still a file's name."""

_log = logging.getLogger(__name__)


class KeptImport(BaseModel):
    """An import, and what only the server needs to know of it.

    Attributes:
        number: rises with creation, and pages the list.
        options: of an ONNX file; None: it is a bundle.
        key, fingerprint: the client's Idempotency-Key, and what stands for all that was sent with it.
        attempts: how often it was begun.
        target: the version that an ONNX file is to become.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shown: ModelImport
    number: int = 0
    options: ImportOptions | None
    key: str | None
    fingerprint: str
    attempts: int = 0
    target: int | None = None


class ImportStore:
    """The folder of imports. One thread at a time.

    Args:
        data: the data folder.
    """

    def __init__(self, data: Path) -> None:
        self._root = data / "imports"

    def load(self) -> list[KeptImport]:
        """Every import, oldest first; folders that a crash left half made are removed."""
        found = []
        for folder in self._root.iterdir() if self._root.is_dir() else ():
            try:
                found.append(KeptImport.model_validate_json((folder / _FILE).read_bytes()))
            except (OSError, ValidationError) as error:
                _log.warning("%s is no import and is removed: %s", folder, error)
                shutil.rmtree(folder, ignore_errors=True)
        return sorted(found, key=lambda one: one.number)

    def create(self, one: KeptImport, upload: Upload) -> None:
        """Take an upload, which is renamed and not copied, and keep what is known of it.

        Raises:
            StorageFull: no space is left; nothing is kept.
        """
        folder = self.folder(one.shown.id)
        try:
            with writing(folder):
                (folder / _UPLOAD).mkdir(parents=True)
                upload.path.rename(self.upload(one))
                sync_folder(folder / _UPLOAD)
            self.save(one)
            sync_folder(self._root)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def save(self, one: KeptImport) -> None:
        """Keep a change.

        Raises:
            StorageFull: no space is left; what was known before is still there.
        """
        replace(self.folder(one.shown.id) / _FILE, one.model_dump_json(by_alias=True).encode())

    def folder(self, id: str) -> Path:
        """Of an import; the process that converts it works there."""
        return self._root / id

    def upload(self, one: KeptImport) -> Path:
        """The file, as it was sent."""
        name = re.sub(r"[^\w .-]+", "_", one.shown.source)[-_NAME_CHARS:].lstrip("._- ")
        return self.folder(one.shown.id) / _UPLOAD / (name or "model")

    def clean(self, one: KeptImport) -> None:
        """Remove what an earlier attempt left."""
        self._keep_only(one, {_FILE, _UPLOAD})

    def tidy(self, one: KeptImport) -> None:
        """Remove all but what is known: the import has ended."""
        self._keep_only(one, {_FILE})

    def delete(self, id: str) -> None:
        """Remove everything of an import."""
        shutil.rmtree(self.folder(id), ignore_errors=True)

    def _keep_only(self, one: KeptImport, names: set[str]) -> None:
        for path in self.folder(one.shown.id).iterdir():
            if path.name in names:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
