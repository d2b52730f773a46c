"""The device while something is measured, as `nvidia-smi` sees it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import mean

from benchmarks.failure import NotMeasured
from model_export.bundle import Bundle
from server.engine.loading import session_of
from server.engine.session import OnnxSession, Options, open_session

_QUERY = "utilization.gpu,memory.used"
_EVERY_MS = 100


@dataclass
class Device:
    """What was seen meanwhile; complete when the `with` block is over.

    Attributes:
        busy: share of the time in which a kernel ran, 0…1, one a look.
        memory_mb: in use by all processes, one a look.
    """

    busy: list[float] = field(default_factory=list)
    memory_mb: list[int] = field(default_factory=list)

    @property
    def note(self) -> str:
        """In words."""
        return f"device busy {mean(self.busy):.0%}, {max(self.memory_mb):,} MB" if self.busy else "device not seen"


def on_device(bundle: Bundle, *, pooled: bool = True) -> OnnxSession:
    """A session on the device.

    Args:
        pooled: keep the model's state there.

    Raises:
        ProviderUnavailable: it does not work here.
    """

    def opened(provider: str) -> OnnxSession:
        return session_of(bundle, provider, Options()) if pooled else OnnxSession(bundle.model, provider, Options())

    return open_session(opened, "cuda", required=True)[0]


@contextmanager
def watched() -> Iterator[Device]:
    """Look at the device every 100 ms.

    Raises:
        NotMeasured: there is none.
    """
    seen = Device()
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits", "-lms", str(_EVERY_MS)]
    try:
        looking = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError as error:
        raise NotMeasured("there is no nvidia-smi here") from error
    try:
        yield seen
    finally:
        looking.terminate()
        output, _ = looking.communicate()
    for line in output.splitlines():
        busy, _, memory = line.partition(",")
        if memory.strip().isdigit():
            seen.busy.append(int(busy) / 100)
            seen.memory_mb.append(int(memory))
