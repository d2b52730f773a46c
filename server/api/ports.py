"""What the routes ask of the runtime. Tests stand in for it with the fakes beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from model_export.options import ImportOptions
from server.core.metrics import Metrics
from server.domain.analysis import Analysis
from server.domain.health import Health
from server.domain.inference import Inference, Inferred, TensorModel
from server.domain.job import Job, JobState
from server.domain.model import ModelStatus
from server.domain.model_import import ModelImport
from server.domain.stream import NewStream, ProbeResult, ProbeSource, Stream, StreamChange, StreamState
from server.events.filter import Filter
from server.events.position import Position
from server.storage.events import Wanted
from server.storage.uploads import Upload
from server.wire.tally import Tally


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


class Streams(Protocol):
    """The streams of the server. Every method that takes an id raises StreamNotFound where there is none, those that
    change one StreamDeclared where it stands in the settings file.
    """

    async def create(self, new: NewStream, *, force: bool) -> Stream:
        """Although the models cannot do as much, if `force` says so."""

    async def get(self, stream_id: str) -> Stream: ...

    async def list(
        self, *, state: StreamState | None, name: str | None, limit: int, cursor: str | None
    ) -> tuple[Sequence[Stream], str | None]:
        """A page, by name, and the next page's cursor."""

    async def change(self, stream_id: str, change: StreamChange, *, force: bool) -> Stream: ...

    async def delete(self, stream_id: str) -> None: ...

    async def probe(self, probe: ProbeSource) -> ProbeResult:
        """Why a source gives no picture is an answer too."""


class Views(Protocol):
    """What streams show. Raises StreamNotFound where there is none."""

    async def results(
        self, stream_id: str, *, since: datetime | None, until: datetime | None, limit: int, cursor: str | None
    ) -> tuple[Sequence[bytes], str | None]:
        """A page of rows as JSON, newest first, and the next page's cursor."""

    async def snapshot(self, stream_id: str, *, boxes: bool) -> bytes:
        """Its next frame as JPEG; raises SnapshotUnavailable where there is none."""


class Models(Protocol):
    """The models of the repository. A reference is `name` or `name@version`; ModelNotFound where there is none."""

    async def list(self) -> Sequence[ModelStatus]: ...

    async def get(self, reference: str) -> ModelStatus:
        """Of a name alone, the version that serves."""

    async def set_default(self, reference: str) -> None: ...

    async def set_server_default(self, name: str) -> None: ...

    async def remove(self, reference: str) -> None: ...

    async def load(self, reference: str) -> None: ...

    async def unload(self, reference: str) -> None: ...

    async def predict(
        self, reference: str | None, image: bytes, *, confidence: float | None, labels: Sequence[str] | None
    ) -> bytes:
        """A result row as JSON."""


class Arrival(Protocol):
    """A request on its way in."""

    def grow(self, to: int, /) -> None:
        """It has so many bytes in all. Raises TooManyRequests where all that arrive have too many."""


class Arrivals(Protocol):
    """What may be under way at a time."""

    def one(self) -> AbstractContextManager[Arrival]:
        """While a request is under way. Raises TooManyRequests where as many are as may be."""


class Tensors(Protocol):
    """Models for clients that send tensors. Every method that takes a reference raises ModelNotFound."""

    @property
    def arrivals(self) -> Arrivals: ...

    @property
    def request_bytes(self) -> int:
        """That one request may have."""

    async def describe(self, reference: str) -> TensorModel: ...

    async def infer(self, reference: str, inference: Inference) -> Inferred: ...

    async def tallies(self) -> Sequence[Tally]:
        """Of the models that are up."""

    async def unload(self, reference: str) -> None: ...


class Imports(Protocol):
    """Models on their way in. Every method that takes an id raises ImportNotFound where there is none."""

    def check_room(self, key: str | None) -> None:
        """Raises QueueFull where a new import would be refused; not if there is one with this key already."""

    async def submit(
        self, upload: Upload, options: ImportOptions | None, *, key: str | None
    ) -> tuple[ModelImport, bool]:
        """The import, and whether it was made now and not by an earlier request with the same key. Without options the
        file is a bundle.
        """

    async def get(self, id: str) -> ModelImport: ...

    async def wait(self, id: str, seconds: float) -> ModelImport:
        """The import when it ends, or as it is after that many seconds."""

    async def list(self, *, limit: int, before: int | None) -> tuple[Sequence[ModelImport], int | None]:
        """A page, newest first, and the next page's `before`."""

    async def delete(self, id: str) -> None: ...


class Feed(Protocol):
    """News on their way to one subscriber."""

    def frames(self) -> AsyncIterator[bytes]:
        """Server-Sent Events, until it is over; empty bytes where it was only woken."""

    def wake(self) -> None: ...

    def close(self) -> None:
        """The subscriber has gone: `frames` ends."""


class Channel(Protocol):
    """A subscriber over a WebSocket. Of neither streams nor jobs named, all streams are meant."""

    async def follow(
        self, streams: Collection[str], jobs: Collection[str], filter: Filter, after: Position | None
    ) -> None:
        """Raises StreamNotFound or JobNotFound."""

    def unfollow(self, streams: Collection[str], jobs: Collection[str]) -> None: ...

    def refuse(self, problem: bytes) -> None:
        """Say what was wrong with a message, as JSON."""

    async def take(self) -> list[str] | None:
        """Messages to send, once there are some; None: it is over."""

    def close(self) -> None: ...


class Subscriptions(Protocol):
    """Who follows what. SubscribersFull where there are as many as may be; StreamNotFound, JobNotFound."""

    async def job(self, job_id: str, filter: Filter, after: Position | None) -> Feed | None:
        """None: the job has ended, and nothing comes after that position."""

    async def streams(
        self, streams: Collection[str], jobs: Collection[str], filter: Filter, after: Position | None
    ) -> Feed:
        """Of neither named, all streams."""

    def channel(self) -> Channel: ...


class Events(Protocol):
    """The history of events. Its methods block."""

    def get(self, event_id: str) -> bytes:
        """An event as JSON; raises EventNotFound."""

    def page(self, wanted: Wanted, *, limit: int, cursor: str | None) -> tuple[list[bytes], str | None]:
        """Events as JSON, newest first, and the next page's cursor."""


class Runtime(Protocol):
    """The running server."""

    @property
    def jobs(self) -> Jobs: ...

    @property
    def streams(self) -> Streams: ...

    @property
    def views(self) -> Views: ...

    @property
    def models(self) -> Models: ...

    @property
    def tensors(self) -> Tensors: ...

    @property
    def imports(self) -> Imports: ...

    @property
    def subscriptions(self) -> Subscriptions: ...

    @property
    def events(self) -> Events: ...

    @property
    def metrics(self) -> Metrics: ...

    def health(self) -> Health: ...
