"""The tables. A change here needs a step in `migrations/versions`; a test compares where both lead."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Float, Index, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import JSON, TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no time zone, so one without is refused instead of guessed."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={"pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_name)s"},
    )
    # Floats by name: what SQLAlchemy takes for them changed between its versions.
    type_annotation_map = {  # noqa: RUF012
        datetime: UtcDateTime,
        float: Float,
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON,
    }


class JobRow(Base):
    """A job, and what only the server needs to know of it.

    `number` rises with creation and pages the list; it is never used again, so a cursor stays right after a delete.
    `fetch_url` is the URL as it was given, credentials and all, and goes when the job ends.
    """

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state_number", "state", "number"), {"sqlite_autoincrement": True})

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    source: Mapped[str]
    fetch_url: Mapped[str | None]
    analysis: Mapped[dict[str, Any]]
    model: Mapped[str | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    duration_s: Mapped[float | None]
    progress: Mapped[float | None]
    fps: Mapped[float | None]
    frames: Mapped[dict[str, Any]]
    summary: Mapped[dict[str, Any]]
    warnings: Mapped[list[str]]
    error: Mapped[dict[str, Any] | None]
    idempotency_key: Mapped[str | None] = mapped_column(unique=True)
    fingerprint: Mapped[str | None]


class EventRow(Base):
    """An event of a job or stream; `data` is its JSON, the other columns are what is looked for.

    `number` rises with recording and pages the list. No key refers to the owner: events come in batches, perhaps after
    it was deleted.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_stream_number", "stream", "number"),
        Index("ix_events_job_number", "job", "number"),
        Index("ix_events_type_number", "type", "number"),
        Index("ix_events_at", "at"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    type: Mapped[str]
    stream: Mapped[str | None]
    job: Mapped[str | None]
    track_id: Mapped[int | None]
    label: Mapped[str | None]
    at: Mapped[datetime]
    data: Mapped[str]


class StreamRow(Base):
    """A stream that came over the API. `number` is the order of creation.

    `password`, and the query of `url`, are secrets in plain text: a camera wants the password itself. The file has mode
    0600, no statement is logged with its values, and nothing but `StreamStore` reads the row.
    """

    __tablename__ = "streams"

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    name: Mapped[str]
    url: Mapped[str]
    username: Mapped[str | None]
    password: Mapped[str | None]
    transport: Mapped[str]
    loop: Mapped[bool]
    paused: Mapped[bool]
    analysis: Mapped[dict[str, Any]]
