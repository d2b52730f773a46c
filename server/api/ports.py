"""What the routes ask of the runtime. Tests stand in for it with the fakes beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from server.core.metrics import Metrics
from server.domain.analysis import Analysis
from server.domain.health import Health
from server.domain.job import Job, JobState
from server.domain.model import ModelStatus
from server.storage.uploads import Upload


class Jobs(Protocol):
    """The jobs of the server. Every method that takes an id raises JobNotFound where there is none."""

    async def check_room(self, key: str | None) -> None:
        """Raises QueueFull where a new job would be refused; not if there is one with this key already."""

    async def submit(self, upload: Upload, analysis: Analysis, *, key: str | None) -> tuple[Job, bool]:
        """The job, and whether it was created now and not by an earlier request with the same key."""

    async def submit_url(self, url: str, analysis: Analysis, *, key: str | None) -> tuple[Job, bool]:
        """The same for a video that the job fetches itself."""

    async def get(self, job_id: str) -> Job: ...

    async def wait(self, job_id: str, seconds: float) -> Job:
        """The job when it ends, or as it is after that many seconds."""

    async def list(self, *, state: JobState | None, limit: int, cursor: str | None) -> tuple[Sequence[Job], str | None]:
        """A page, newest first, and the next page's cursor."""

    async def cancel(self, job_id: str) -> Job:
        """What is done stays; nothing changes in a job that has ended."""

    async def delete(self, job_id: str) -> None: ...

    def rows(self, job_id: str) -> AsyncIterator[bytes]:
        """The rows finished so far as NDJSON, in chunks of whole lines."""


class Models(Protocol):
    """The models of the repository. A reference is `name` or `name@version`; ModelNotFound where there is none."""

    async def list(self) -> Sequence[ModelStatus]: ...

    async def get(self, reference: str) -> ModelStatus:
        """Of a name alone, the version that serves."""

    async def set_default(self, reference: str) -> None: ...

    async def load(self, reference: str) -> None: ...

    async def unload(self, reference: str) -> None: ...

    async def predict(
        self, reference: str | None, image: bytes, *, confidence: float | None, labels: Sequence[str] | None
    ) -> bytes:
        """A result row as JSON."""


class Runtime(Protocol):
    """The running server."""

    @property
    def jobs(self) -> Jobs: ...

    @property
    def models(self) -> Models: ...

    @property
    def metrics(self) -> Metrics: ...

    def health(self) -> Health: ...
