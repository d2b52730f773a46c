"""One try at an import: what the process that makes the bundle says, until its last word or its death."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from model_export.errors import VidserveError
from model_export.import_process import BUNDLE, Failure, ImportOrder, Report
from model_export.options import ImportOptions
from server.core.settings import ImportsSettings
from server.runtime.processes import errand
from server.storage.disk import refusal

_MODULE = "model_export.import_process"
_LINES = 100
_LINE_CHARS = 1000


class ImportCrashed(VidserveError):
    """The process that brought the model in died of it."""

    code = "import_crashed"


class ImportTimeout(VidserveError):
    """It took longer than the settings allow."""

    code = "import_timeout"


@dataclass(frozen=True)
class ImportLimits:
    """What an import may take."""

    memory_bytes: int
    timeout_s: float

    @classmethod
    def of(cls, settings: ImportsSettings) -> Self:
        """From the settings."""
        return cls(settings.memory_mb * 2**20, settings.timeout_s)


class ImportAttempt:
    """
    Args:
        folder: of the import; the process works in it.
        file: the upload.
        options: of an ONNX file; None: it is a bundle.
        version: that an ONNX file is to become.

    Attributes:
        lines: what the process has said.
        made: the bundle's folder, once `run` has returned.
    """

    def __init__(
        self, folder: Path, file: Path, options: ImportOptions | None, version: int, limits: ImportLimits
    ) -> None:
        self.lines: list[str] = []
        self.made = folder / BUNDLE
        self._folder = folder
        self._limits = limits
        self._last = Report()
        self._order = ImportOrder(
            folder=folder,
            file=file.relative_to(folder),
            options=options,
            version=version,
            memory_bytes=limits.memory_bytes,
            seconds=int(limits.timeout_s) + 1,
        )

    async def run(self) -> None:
        """Have the bundle made and proved.

        Raises:
            ImportTimeout, ImportCrashed: the process came to no end of its own.
            VidserveError: it says why not.
        """
        order = self._order.model_dump_json(by_alias=True).encode()
        try:
            code = await errand.run(_MODULE, order, timeout_s=self._limits.timeout_s, hear=self._hear)
        except errand.TookTooLong as error:
            raise self._too_long() from error
        except OSError as error:  # no descriptors, no memory, no processes left
            raise ImportCrashed(f"The process that brings models in cannot be started: {error.strerror}.") from error
        if self._last.errno is not None:
            raise refusal(self._folder, self._last.errno)
        if self._last.failed is not None:
            raise _relayed(self._last.failed)
        if code == -signal.SIGXCPU:
            raise self._too_long()
        if code != 0 or not self._last.done:
            raise ImportCrashed(
                f"The process that brings models in died of this one ({_how(code)}).",
                hint="Try `vidserve models import` on a machine of your own; export it again if that fails, too.",
            )

    def _hear(self, line: bytes) -> None:
        with contextlib.suppress(ValidationError):  # what was cut off says less than the exit code
            self._last = Report.model_validate_json(line)
            if self._last.line and len(self.lines) < _LINES:
                self.lines.append(self._last.line[:_LINE_CHARS])

    def _too_long(self) -> ImportTimeout:
        return ImportTimeout(
            f"It took more than {self._limits.timeout_s:g} s.",
            hint="Raise `[imports] timeout_s` in the settings if the model is that large.",
        )


def _how(code: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit code {code}"


def _relayed(failed: Failure) -> VidserveError:
    """An error that the process reported, with its code."""
    kind: type[VidserveError] = type("Relayed", (VidserveError,), {"code": failed.code})
    return kind(failed.message, hint=failed.hint)
