"""A runtime that is made of dictionaries, for tests of the HTTP face alone."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from model_export.errors import ModelNotFound, ModelReadOnly
from model_export.manifest import Task, TensorSpec
from model_export.options import ImportOptions
from server.core.errors import (
    ImportNotFound,
    JobNotFound,
    KeyConflict,
    ModelUnavailable,
    QueueFull,
    StreamDeclared,
)
from server.core.missing import no_stream
from server.domain.analysis import Analysis
from server.domain.health import Health, Part
from server.domain.inference import Inference, Inferred, Tensor, TensorModel
from server.domain.job import Job, JobState
from server.domain.model import InputSize, ModelState, ModelStatus
from server.domain.model_import import ImportState, ModelImport
from server.domain.stream import (
    ManagedBy,
    NewStream,
    ProbeFailure,
    ProbeResult,
    ProbeSource,
    Stream,
    StreamChange,
    StreamState,
)
from server.runtime.models.models import ModelInUse
from server.runtime.tensors.arrivals import Arrivals
from server.storage.fetch import check_url, shown
from server.storage.uploads import Upload
from server.wire.tally import SizeTally, Spent, Tally


def an_object(label: str = "car", class_id: int = 2, track_id: int | None = 1, x1: float = 10.0) -> dict:
    found = {"label": label, "class_id": class_id, "confidence": 0.5, "box": [x1, 20.5, x1 + 30.25, 40.5]}
    return found if track_id is None else {"track_id": track_id, **found}


def a_row(frame: int, *objects: dict, **more: object) -> dict:
    said = {"frame": frame, "pts_s": frame / 10, "captured_at": None, "width": 640, "height": 360}
    return {**said, "model": "yolox-nano@1", "objects": list(objects), **more}


def a_class_row(frame: int) -> dict:
    row = a_row(frame, classes=[{"label": "fight", "confidence": 0.8}])
    del row["objects"]
    return row


def ndjson(*rows: dict) -> bytes:
    return b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)


def a_model(name: str = "yolox-nano", version: int = 1, **more: object) -> ModelStatus:
    said = {
        "default": version == 1,
        "server_default": False,
        "versions": (1, 2),
        "task": Task.DETECT,
        "family": "yolox",
    }
    shape = {"labels": ("person", "car"), "input": InputSize(width=416, height=416), "state": ModelState.READY}
    return ModelStatus(name=name, version=version, **{**said, **shape, **more})


class FakeJobs:
    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.videos: dict[str, bytes] = {}
        self.urls: dict[str, str] = {}
        self.results: dict[str, list[bytes]] = {}
        self.waited: list[float] = []
        self.broken: Exception | None = None
        self.full = False
        self._keys: dict[str, tuple[str, object]] = {}
        self._numbers = itertools.count(1)

    def add(self, *rows: dict, **more: object) -> Job:
        """A job with these results, two rows a chunk."""
        job = self._new("street.mp4", Analysis()).model_copy(update=more)
        self.jobs[job.id] = job
        self.results[job.id] = [ndjson(*rows[at : at + 2]) for at in range(0, len(rows), 2)]
        return job

    async def check_room(self, key: str | None) -> None:
        if self.full and key not in self._keys:
            raise QueueFull("1 jobs wait already, and no more may.", hint="Send it again later.")

    async def submit(self, upload: Upload, analysis: Analysis, *, key: str | None) -> tuple[Job, bool]:
        if self.broken is not None:
            raise self.broken
        return self._keep(upload.name, upload.path.read_bytes(), analysis, key)

    async def submit_url(self, url: str, analysis: Analysis, *, key: str | None) -> tuple[Job, bool]:
        check_url(url, allow_private=False)
        job, created = self._keep(shown(url), url.encode(), analysis, key)
        self.urls[job.id] = url
        return job, created

    async def get(self, job_id: str) -> Job:
        if job_id not in self.jobs:
            raise JobNotFound(f"There is no job {job_id!r}.", hint="GET /v1/jobs lists those there are.")
        return self.jobs[job_id]

    async def wait(self, job_id: str, seconds: float) -> Job:
        self.waited.append(seconds)
        return (await self.get(job_id)).model_copy(update={"state": JobState.DONE})

    async def list(self, *, state: JobState | None, limit: int, cursor: str | None) -> tuple[Sequence[Job], str | None]:
        found = [job for job in reversed(self.jobs.values()) if state in (None, job.state)]
        start = int((cursor or "j0")[1:])
        more = f"j{start + limit}" if len(found) > start + limit else None
        return found[start : start + limit], more

    async def cancel(self, job_id: str) -> Job:
        job = await self.get(job_id)
        self.jobs[job_id] = job if job.state.ended else job.model_copy(update={"state": JobState.CANCELLED})
        return self.jobs[job_id]

    async def delete(self, job_id: str) -> None:
        await self.get(job_id)
        del self.jobs[job_id]

    async def rows(self, job_id: str) -> AsyncIterator[bytes]:
        await self.get(job_id)
        for chunk in list(self.results[job_id]):
            await asyncio.sleep(0)
            yield chunk

    def _keep(self, name: str, content: bytes, analysis: Analysis, key: str | None) -> tuple[Job, bool]:
        if key in self._keys:
            known, asked = self._keys[key]
            if asked != (content, analysis):
                raise KeyConflict(f"The Idempotency-Key {key!r} was used for job {known}.", hint="Send a new key.")
            return self.jobs[known], False
        if analysis.model == "nobody":
            raise ModelNotFound("There is no model 'nobody'.")
        job = self._new(name, analysis)
        self.jobs[job.id], self.videos[job.id], self.results[job.id] = job, content, []
        if key is not None:
            self._keys[key] = (job.id, (content, analysis))
        return job, True

    def _new(self, source: str, analysis: Analysis) -> Job:
        moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        number = f"job{next(self._numbers)}"
        return Job(
            id=number, state=JobState.QUEUED, created_at=moment, source=source, analysis=analysis, model="yolox-nano@1"
        )


class FakeStreams:
    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}
        self.made: list[tuple[NewStream, bool]] = []
        self.changed: list[tuple[StreamChange, bool]] = []
        self.probed: list[ProbeSource] = []
        self.broken: Exception | None = None
        self._numbers = itertools.count(1)

    def add(self, name: str = "front door", **more: object) -> Stream:
        """A stream that is there already."""
        moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        said = {"id": f"stream{next(self._numbers)}", "created_at": moment, "url": "rtsp://camera/1"}
        usual = {"state": StreamState.RUNNING, "analysis": Analysis(sample_fps=5)}
        stream = Stream(**{**said, **usual, "name": name, **more})
        self.streams[stream.id] = stream
        return stream

    async def create(self, new: NewStream, *, force: bool) -> Stream:
        if self.broken is not None:
            raise self.broken
        self.made.append((new, force))
        return self.add(new.name or "camera", state=StreamState.STARTING)

    async def get(self, stream_id: str) -> Stream:
        if stream_id not in self.streams:
            raise no_stream(stream_id)
        return self.streams[stream_id]

    async def list(
        self, *, state: StreamState | None, name: str | None, limit: int, cursor: str | None
    ) -> tuple[Sequence[Stream], str | None]:
        wanted = (one for one in self.streams.values() if state in (None, one.state) and name in (None, one.name))
        found = sorted(wanted, key=lambda one: one.name)
        rest = [one for one in found if cursor is None or one.name > cursor]
        return rest[:limit], rest[limit - 1].name if len(rest) > limit else None

    async def change(self, stream_id: str, change: StreamChange, *, force: bool) -> Stream:
        stream = await self._own(stream_id)
        self.changed.append((change, force))
        said = change.model_dump(include=change.model_fields_set & {"paused", "name"})
        self.streams[stream_id] = stream.model_copy(update=said)
        return self.streams[stream_id]

    async def delete(self, stream_id: str) -> None:
        await self._own(stream_id)
        del self.streams[stream_id]

    async def probe(self, probe: ProbeSource) -> ProbeResult:
        self.probed.append(probe)
        if "broken" in probe.url:
            return ProbeResult(error=ProbeFailure(code="source_unauthorized", message="It wants a password."))
        return ProbeResult(codec="h264", width=640, height=360, fps=10.0, picture="SlBFRw==")

    async def _own(self, stream_id: str) -> Stream:
        stream = await self.get(stream_id)
        if stream.managed_by is ManagedBy.CONFIG:
            raise StreamDeclared(f"Stream {stream_id} stands in the settings file.", hint="Change it there.")
        return stream


class FakeViews:
    """Rows and pictures of the streams that there are; `broken`: why there is no picture."""

    def __init__(self, streams: FakeStreams) -> None:
        self._streams = streams
        self.asked: list[dict[str, object]] = []
        self.broken: Exception | None = None

    async def results(self, stream_id: str, **what: object) -> tuple[Sequence[bytes], str | None]:
        await self._streams.get(stream_id)
        self.asked.append(what)
        return [json.dumps(a_row(frame)).encode() for frame in (2, 1)], "e-1"

    async def snapshot(self, stream_id: str, *, boxes: bool) -> bytes:
        await self._streams.get(stream_id)
        if self.broken is not None:
            raise self.broken
        return b"JPEG with boxes" if boxes else b"JPEG"


class FakeModels:
    def __init__(self) -> None:
        self.models = [a_model(version=2), a_model(), a_model("moving-objects", task=Task.MOTION, versions=(1,))]
        self.called: list[tuple[object, ...]] = []

    async def list(self) -> Sequence[ModelStatus]:
        return self.models

    async def get(self, reference: str) -> ModelStatus:
        for model in self.models:
            if reference == model.id or (reference == model.name and model.default):
                return model
        raise ModelNotFound(f"There is no model {reference!r}.")

    async def set_default(self, reference: str) -> None:
        chosen = await self.get(reference)
        self.models = [
            one.model_copy(update={"default": one.version == chosen.version}) if one.name == chosen.name else one
            for one in self.models
        ]

    async def set_server_default(self, name: str) -> None:
        chosen = await self.get(name)
        self.models = [one.model_copy(update={"server_default": one.id == chosen.id}) for one in self.models]

    async def remove(self, reference: str) -> None:
        gone = await self.get(reference)
        if gone.name == "moving-objects":
            raise ModelReadOnly(f"{gone.name} ships with the server and cannot be removed.")
        if reference == "yolox-nano@1":
            raise ModelInUse("Jobs need yolox-nano@1.", hint="Cancel them, or wait for their end.")
        self.models.remove(gone)

    async def load(self, reference: str) -> None:
        self.called.append(("load", (await self.get(reference)).id))

    async def unload(self, reference: str) -> None:
        self.called.append(("unload", (await self.get(reference)).id))

    async def predict(
        self, reference: str | None, image: bytes, *, confidence: float | None, labels: Sequence[str] | None
    ) -> bytes:
        await self.get(reference)
        if image == b"too early":
            raise ModelUnavailable("The worker is starting.", hint="Try again in a second.")
        self.called.append((reference, image, confidence, labels))
        return ndjson(a_row(0, an_object(track_id=None))).strip()


class FakeTensors:
    """A model `net` that takes x [rows, 2] of FP32 and answers y, twice of it.

    Attributes:
        asked: every inference, with the reference that it was asked under.
        broken: is raised instead of an answer.
    """

    def __init__(self) -> None:
        self.arrivals = Arrivals(requests=2, total_bytes=4096)
        self.request_bytes = 2048
        self.asked: list[tuple[str, Inference]] = []
        self.unloaded: list[str] = []
        self.broken: Exception | None = None

    async def describe(self, reference: str) -> TensorModel:
        if reference.partition("@")[0] != "net":
            raise ModelNotFound(f"There is no model {reference!r}.")
        tensors = [(TensorSpec(name=name, dtype="float32", shape=(None, 2)),) for name in ("x", "y")]
        return TensorModel("net", 1, *tensors, batches=True, recurrent=False, labels=("cat", "dog"))

    async def infer(self, reference: str, inference: Inference) -> Inferred:
        if self.broken is not None:
            raise self.broken
        self.asked.append((reference, inference))
        return Inferred("net", 1, [Tensor("y", inference.inputs[0].array * 2)])

    async def tallies(self) -> Sequence[Tally]:
        part = Spent(2, 0.5)
        size = SizeTally(3, part, part, part)
        return [
            Tally(f"net@{version}", 6, 2, 1.5, part, Spent(), part, part, part, part, (size,)) for version in (1, 2)
        ]

    async def unload(self, reference: str) -> None:
        self.unloaded.append(reference)


class FakeImports:
    def __init__(self) -> None:
        self.imports: dict[str, ModelImport] = {}
        self.files: dict[str, bytes] = {}
        self.options: dict[str, ImportOptions | None] = {}
        self.waited: list[float] = []
        self.full = False
        self.broken: Exception | None = None
        self._keys: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def add(self, **more: object) -> ModelImport:
        """An import that is there already."""
        moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        said = {"state": ImportState.IMPORTING, "created_at": moment, "source": "net.onnx"}
        made = ModelImport(**{**said, "id": f"import{next(self._numbers)}", **more})
        self.imports[made.id] = made
        return made

    def check_room(self, key: str | None) -> None:
        if self.full and key not in self._keys:
            raise QueueFull("8 models wait already, and no more may.", hint="Send it again later.")

    async def submit(
        self, upload: Upload, options: ImportOptions | None, *, key: str | None
    ) -> tuple[ModelImport, bool]:
        if self.broken is not None:
            raise self.broken
        if key is not None and key in self._keys:
            return self.imports[self._keys[key]], False
        made = self.add(source=upload.name, family=options.family if options else None)
        self.files[made.id], self.options[made.id] = upload.path.read_bytes(), options
        if key is not None:
            self._keys[key] = made.id
        return made, True

    async def get(self, id: str) -> ModelImport:
        if id not in self.imports:
            raise ImportNotFound(f"There is no import {id!r}.", hint="GET /v1/imports lists those there are.")
        return self.imports[id]

    async def wait(self, id: str, seconds: float) -> ModelImport:
        self.waited.append(seconds)
        return (await self.get(id)).model_copy(update={"state": ImportState.DONE, "model": "net@1"})

    async def list(self, *, limit: int, before: int | None) -> tuple[Sequence[ModelImport], int | None]:
        numbered = [(number, one) for number, one in enumerate(self.imports.values(), 1)][::-1]
        found = [(number, one) for number, one in numbered if before is None or number < before]
        return [one for _, one in found[:limit]], found[limit - 1][0] if len(found) > limit else None

    async def delete(self, id: str) -> None:
        await self.get(id)
        del self.imports[id]


class FakeMetrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        name = "vidserve_http_request_duration_seconds"
        self.http = Histogram(name, "Time.", ["route", "method", "status"], registry=self._registry)
        self.subscribers = Gauge("vidserve_subscribers", "Connected.", ["kind"], registry=self._registry)
        self.subscriber_gaps = Counter("vidserve_subscriber_gaps_total", "Gaps.", registry=self._registry)

    def scrape(self) -> bytes:
        return generate_latest(self._registry)


class FakeRuntime:
    def __init__(self) -> None:
        self.jobs = FakeJobs()
        self.streams = FakeStreams()
        self.views = FakeViews(self.streams)
        self.models = FakeModels()
        self.tensors = FakeTensors()
        self.imports = FakeImports()
        self.metrics = FakeMetrics()
        self.problems: tuple[str, ...] = ()

    def health(self) -> Health:
        parts = {"engine": Part(ok=not self.problems, detail="running")}
        return Health(ready=not self.problems, problems=self.problems, parts=parts)


def assert_problem(answer, status: int, code: str) -> dict:
    """The answer is that problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"]) == (code, status)
    return problem
