"""One model brought in, in a process of its own: whatever a stranger's file does to it, nobody else notices.

    python -m model_export.import_process      (an `ImportOrder` on standard input, reports on standard output)

Whoever starts it keeps its standard input open: its end means that he is gone, and this ends too.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, Field

from model_export.archive import extract
from model_export.bundle import HIDDEN, Bundle
from model_export.errors import ImportRefused, VidserveError
from model_export.options import ImportOptions, name_of
from model_export.repository import Repository

BUNDLE = Path("bundle")
"""Where the bundle is when all went well."""

_NICE = 10
_CPU_GRACE_S = 5
_PR_SET_PDEATHSIG = 1
_ZIP = b"PK\x03\x04"
_STAGING = re.compile(rf"{re.escape(HIDDEN)}\w+(/[^/:]+)?")
_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")

_log = logging.getLogger(__name__)


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImportOrder(_Value):
    """What to do.

    Attributes:
        folder: to work in; the other paths are relative to it.
        file: an ONNX file, a zip of one with its weights beside it, or a bundle as zip.
        options: of the ONNX file; None: it is a bundle.
        version: of the bundle that is made of an ONNX file.
        memory_bytes, seconds: the process ends when it takes more.
    """

    folder: Path
    file: Path
    options: ImportOptions | None
    version: int
    memory_bytes: int
    seconds: int


class Failure(_Value):
    """Why nothing came of it."""

    code: str
    message: str
    hint: str | None = None


class Report(_Value):
    """A line of what happens; the last one says `done` or `failed`.

    Attributes:
        errno: of a failure that was the disk's.
    """

    line: str = ""
    done: bool = False
    failed: Failure | None = None
    errno: int | None = Field(default=None)


def bring_in(order: ImportOrder, say: Callable[[str], None]) -> None:
    """Make the bundle, and prove that it is one.

    Raises:
        ModelError: the file is no model that can be brought in, or no whole bundle.
    """
    from model_export.check import check_bundle
    from model_export.importer import import_model

    if order.options is None:
        for line in check_bundle(Bundle.unpack(order.file, BUNDLE)):
            say(f"{line[:1].upper()}{line[1:]}.")
        return
    options = order.options
    bundle = import_model(
        _onnx_of(order.file),
        family=options.family,
        name=options.name or name_of(order.file.name),
        repository=Repository(Path("made")),
        labels=options.labels,
        wishes=options.wishes,
        version=order.version,
        say=say,
    )
    bundle.folder.rename(BUNDLE)


def _onnx_of(file: Path) -> Path:
    """The file itself, or the one in it."""
    with file.open("rb") as content:
        if content.read(len(_ZIP)) != _ZIP:
            return file
    folder = Path("unpacked")
    folder.mkdir()
    extract(file, folder)
    found = sorted(folder.rglob("*.onnx"))
    if len(found) != 1:
        raise ImportRefused(
            f"{file.name} holds {len(found) or 'no'} ONNX files.", hint="Zip one, with its weights beside it."
        )
    return found[0]


def _limit(order: ImportOrder) -> None:
    """See that neither a greedy graph nor an endless one takes the machine, and that nothing outlives the parent."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_DATA, order.memory_bytes)
    _lower(resource.RLIMIT_CPU, order.seconds, order.seconds + _CPU_GRACE_S)
    os.nice(_NICE)
    if sys.platform == "linux":
        # Where the machine's memory ends, this process goes first.
        Path("/proc/self/oom_score_adj").write_text("1000")
        # The thread below waits its turn while a library holds Python's lock; the kernel does not.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # systemd sends it to every process of a service: an import that the server's end cuts off is no crash, and goes on.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _lower(what: int, soft: int, hard: int | None = None) -> None:
    allowed = resource.getrlimit(what)[1]
    limit = soft if hard is None else hard
    if allowed != resource.RLIM_INFINITY:
        soft, limit = min(soft, allowed), min(limit, allowed)
    resource.setrlimit(what, (soft, limit))


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(70)


def _reports() -> BinaryIO:
    """Standard output for reports alone: what libraries print goes to standard error."""
    own = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return own


def _as_field(text: str) -> str:
    """A text that speaks of `--options`, for somebody who fills in a form."""
    return _OPTION.sub(lambda found: f"`{found[1].replace('-', '_')}`", text)


def _failure(error: Exception) -> Report:
    if isinstance(error, VidserveError):
        message = _STAGING.sub(lambda found: "the bundle" if found.start() else "The bundle", error.message)
        hint = error.hint and _as_field(error.hint)
        return Report(failed=Failure(code=error.code, message=_as_field(message), hint=hint))
    if isinstance(error, MemoryError):
        return Report(failed=Failure(code="import_memory", message="It takes more memory than an import may."))
    if isinstance(error, OSError) and error.errno is not None:
        return Report(failed=Failure(code="storage_error", message=str(error)), errno=error.errno)
    _log.error("bringing the model in failed", exc_info=error)
    reason = f"{type(error).__name__}: {error}"
    return Report(
        failed=Failure(
            code="import_refused",
            message=f"The model is not as a model should be: {reason[:500]}.",
            hint="Export it again. If it runs elsewhere, please report this with the server's log.",
        )
    )


def main() -> None:
    logging.basicConfig(format="import: %(message)s")
    reports = _reports()

    def report(what: Report) -> None:
        reports.write(what.model_dump_json(exclude_defaults=True).encode() + b"\n")

    order = ImportOrder.model_validate_json(sys.stdin.buffer.readline())
    os.chdir(order.folder)
    _limit(order)
    try:
        bring_in(order, lambda line: report(Report(line=line)))
        report(Report(done=True))
    except Exception as error:  # the edge of a process
        report(_failure(error))
    os._exit(0)


if __name__ == "__main__":
    main()
