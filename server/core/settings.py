"""Every setting of the server: its type, its bounds, its default and what it is for.

Values only; `server.core.configuration` reads them from flags, variables and a file. They are read once, where a
process is composed, and passed on as plain values.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator

from model_export.manifest import ModelName, VariantName
from server.core.machine import cores, memory_bytes
from server.domain.analysis import ModelReference
from server.domain.stream import DECLARED_NAME, NewStream

Provider = Literal["auto", "cpu", "cuda"]
Folder = Annotated[Path, AfterValidator(Path.expanduser)]
DeclaredName = Annotated[str, StringConstraints(pattern=rf"^{DECLARED_NAME}$")]

KEY_PATTERN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")
"""What `Authorization: Bearer` can carry (RFC 6750), and so long that guessing is hopeless."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LogSettings(_Section):
    """`[log]`: what is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="the least that is logged")
    format: Literal["text", "json"] = Field(
        default="text", description="`text` for people (coloured on a terminal), `json` for machines, a line an entry"
    )


class EngineSettings(_Section):
    """`[engine]`: the process that runs the models."""

    sessions: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="sessions that share the work of a model on a CPU; if absent as many as were measured to be "
        "fastest, and before that one a core",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="threads of each session on a CPU; if absent as many as were measured to be fastest, and before "
        "that 1",
    )
    max_batch: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="the most frames that are run together; if absent as many as gain, up to 8 on a CPU, 32 on a GPU",
    )
    tune: bool = Field(
        default=True,
        description="measure on an idle server how each model runs fastest on this machine, once; `vidserve bench` "
        "measures at once",
    )
    max_delay_ms: float | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="how long a frame may wait for others to fill a batch, in milliseconds; if absent 2 on a GPU and 0 "
        "on a CPU, where waiting gains nothing",
    )
    provider: Provider = Field(
        default="auto", description="what models run on: `auto` takes CUDA where it works, else the CPU"
    )
    require_provider: bool = Field(
        default=False, description="not ready, instead of on the CPU, if the provider asked for does not work"
    )
    models: tuple[ModelReference, ...] = Field(
        default=(), max_length=100, description="models loaded at start, `name` or `name@version`; the default if empty"
    )
    default_model: ModelReference | None = Field(
        default=None, description="the model of an analysis that names none; if absent, the repository's default"
    )


class WorkersSettings(_Section):
    """`[workers]`: the processes that decode video and follow objects."""

    count: int = Field(
        default_factory=lambda: max(2, min(8, cores() // 2)),
        ge=1,
        le=64,
        description="worker processes; a video that crashes its decoder takes one of them",
    )
    jobs_each: int = Field(default=4, ge=1, le=64, description="jobs that one worker runs at a time")
    shm_mb: int = Field(
        default=28,
        ge=8,
        le=16384,
        description="shared memory of each worker for frames, in MiB, reserved at start; a container gives 64 in all",
    )
    memory_mb: int | None = Field(
        default=None,
        ge=256,
        le=2**20,
        description="memory that each worker may have for itself, in MiB; one that takes more is ended and its jobs go "
        "on elsewhere; if absent an equal share of the machine's for each, and one for the rest, but at least 512",
    )
    call_s: float = Field(
        default=20.0,
        ge=1,
        le=3600,
        description="how long a decoder may take for a frame, in seconds (half as long again for opening a file), "
        "before its worker is ended",
    )


class JobsSettings(_Section):
    """`[jobs]`: uploaded videos, and videos fetched from a URL."""

    running: int = Field(
        default_factory=lambda: max(2, min(16, cores())), ge=1, le=1024, description="jobs that run at a time"
    )
    queued: int = Field(
        default=1000, ge=1, le=1_000_000, description="jobs that may wait for their turn; one more is refused with 429"
    )
    allow_private_urls: bool = Field(
        default=False,
        description="whether a job's URL may lead to this machine and to private addresses; to link-local addresses "
        "and those of a cloud's metadata it never may",
    )
    fetch_timeout_s: float = Field(
        default=3600.0, gt=0, le=86400, description="how long fetching a job's URL may take, in seconds"
    )
    checkpoint_s: float = Field(
        default=5.0, ge=0.1, le=3600, description="seconds between checkpoints; a crash costs at most that much work"
    )
    max_run_s: float | None = Field(
        default=None, gt=0, le=31536000, description="how long a job may run, in seconds; if absent as long as it takes"
    )
    keep_days: float | None = Field(
        default=None,
        gt=0,
        le=36500,
        description="how long a job is kept after its end, with its video and results, in days; if absent until "
        "somebody deletes it",
    )


class SourcesSettings(_Section):
    """`[sources]`: which sources streams may open, and how long that may take."""

    allow_private: bool = Field(
        default=True,
        description="whether streams may lead to private addresses, where cameras are; to link-local addresses and "
        "those of a cloud's metadata they never may",
    )
    allow_loopback: bool | None = Field(
        default=None,
        description="whether streams may lead to this machine; if absent while the server itself listens on loopback "
        "only",
    )
    allow_devices: bool = Field(default=True, description="whether streams may open video devices of this machine")
    folders: tuple[Folder, ...] = Field(
        default=(), max_length=100, description="folders whose files streams may play (`file:` URLs); none if empty"
    )
    open_s: float = Field(
        default=10.0, ge=0.5, le=120, description="how long opening a source may take, in seconds, before it is retried"
    )
    read_s: float = Field(
        default=10.0,
        ge=0.5,
        le=120,
        description="how long a source may give no frame, in seconds, before it is opened anew",
    )


class ImportsSettings(_Section):
    """`[imports]`: models that are brought in over HTTP, one at a time, each in a process of its own."""

    memory_mb: int = Field(
        default_factory=lambda: max(2048, memory_bytes() // 2**21),
        ge=512,
        le=2**20,
        description="memory that the process may use, in MiB",
    )
    timeout_s: float = Field(default=900.0, ge=1, le=86400, description="how long one may take, in seconds")
    waiting: int = Field(default=8, ge=1, le=1000, description="how many may wait for their turn")


class EventsSettings(_Section):
    """`[events]`: who listens, and what is remembered of what happened."""

    subscribers: int = Field(
        default=1000, ge=1, le=100_000, description="subscribers at a time; one more is refused with 503"
    )
    replay_mb: int = Field(
        default=64,
        ge=1,
        le=65536,
        description="memory for what subscribers missed when they come back, of all jobs and streams together, in MiB",
    )
    keep_days: float = Field(default=30.0, gt=0, le=36500, description="how long events are kept, in days")
    keep: int = Field(default=1_000_000, ge=1, le=10**9, description="how many events are kept; the oldest go first")


class TensorsSettings(_Section):
    """`[v2]`: the Open Inference Protocol, for clients that send tensors."""

    shm_mb: int = Field(
        default=64,
        ge=8,
        le=16384,
        description="shared memory for tensors, in MiB, reserved when the first come; a row of inputs or outputs may "
        "take a quarter of it",
    )
    requests: int = Field(
        default=64, ge=1, le=4096, description="requests under way at a time; one more is refused with 429"
    )
    request_bytes: int = Field(
        default=64 * 2**20,
        ge=1024,
        le=2**32,
        description="the largest request taken, unpacked, in bytes; all that are under way may have four times as many",
    )
    sequences: int = Field(
        default=256, ge=1, le=65536, description="sequences of recurrent models that are kept at a time"
    )
    sequence_idle_s: float = Field(
        default=60.0, ge=0.1, le=86400, description="how long a sequence is kept without a request, in seconds"
    )


class LimitsSettings(_Section):
    """`[limits]`: what one request may cost."""

    upload_bytes: int = Field(
        default=4 * 2**30, ge=1024, le=2**44, description="the largest video taken, uploaded or fetched, in bytes"
    )
    pixels: int = Field(
        default=8192 * 4320, ge=256, le=2**28, description="the most pixels a frame of a video, or a picture, may have"
    )
    video_s: float | None = Field(
        default=None, gt=0, le=10**9, description="how long a video may last, in seconds; if absent as long as it likes"
    )
    free_bytes: int = Field(
        default=256 * 2**20,
        ge=0,
        le=2**44,
        description="bytes that an upload leaves free on the disk of the data folder, for what jobs still write",
    )
    pictures: int = Field(
        default=256,
        ge=1,
        le=65536,
        description="pictures that may be in hand at a time; one more is refused with 429",
    )
    model_bytes: int = Field(
        default=2 * 2**30, ge=1024, le=2**44, description="the largest model taken over HTTP, in bytes"
    )
    streams: int = Field(default=256, ge=0, le=256, description="how many streams there may be")


class ModelSettings(_Section):
    """`[models.NAME]`: how one model serves, in all its versions."""

    variant: VariantName | None = Field(
        default=None, description="the variant that serves, for example `int8`; if absent the model's own graph"
    )


class Settings(_Section):
    """All settings, with defaults that suit the machine."""

    host: str = Field(default="127.0.0.1", min_length=1, description="the address to listen at")
    port: int = Field(default=8000, ge=0, le=65535, description="the port to listen at; 0 takes a free one")
    data: Folder = Field(
        default=Path("vidserve-data"),
        description="the folder of database, uploads, results and `models/`; relative to where the server is started",
    )
    admin_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        max_length=512,
        description="the key that callers must show; if absent nobody must on loopback, and elsewhere one is made in "
        "`admin.key` in the data folder; `admin_key_file` names a file that holds it",
    )
    log: LogSettings = LogSettings()
    engine: EngineSettings = Field(default_factory=EngineSettings)
    workers: WorkersSettings = Field(default_factory=WorkersSettings)
    jobs: JobsSettings = Field(default_factory=JobsSettings)
    sources: SourcesSettings = SourcesSettings()
    imports: ImportsSettings = Field(default_factory=ImportsSettings)
    events: EventsSettings = EventsSettings()
    v2: TensorsSettings = TensorsSettings()
    limits: LimitsSettings = LimitsSettings()
    models: dict[ModelName, ModelSettings] = Field(
        default={}, description="`[models.NAME]`: what is special about a model"
    )
    streams: dict[DeclaredName, NewStream] = Field(
        default={}, description="`[streams.NAME]`: streams that are there for as long as they stand in the file"
    )

    @field_validator("admin_key")
    @classmethod
    def _can_be_sent(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not KEY_PATTERN.fullmatch(key.get_secret_value()):
            raise ValueError("a header cannot carry it")
        return key
