"""Streams in the database. Every method is one short transaction and blocks: call them in a thread."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr
from sqlalchemy import delete, select

from server.core.missing import no_stream
from server.domain.stream import KeptStream
from server.storage.database import Database
from server.storage.tables import StreamRow


class StreamStore:
    """The table of streams that came over the API."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> list[KeptStream]:
        """Every stream, oldest first."""
        with self._database.read() as session:
            return [_stream(row) for row in session.scalars(select(StreamRow).order_by(StreamRow.number))]

    def create(self, stream: KeptStream) -> None:
        """Keep a new stream."""
        with self._database.write() as session:
            session.add(StreamRow(**_columns(stream)))

    def update(self, stream: KeptStream) -> None:
        """Keep what has changed in a stream.

        Raises:
            StreamNotFound: there is none with its id.
        """
        with self._database.write() as session:
            row = session.scalar(select(StreamRow).where(StreamRow.id == stream.id))
            if row is None:
                raise no_stream(stream.id)
            for name, value in _columns(stream).items():
                setattr(row, name, value)

    def delete(self, stream_id: str) -> None:
        """Forget a stream; nothing happens if there is none."""
        with self._database.write() as session:
            session.execute(delete(StreamRow).where(StreamRow.id == stream_id))


def _columns(stream: KeptStream) -> dict[str, Any]:
    return {
        "id": stream.id,
        "created_at": stream.created_at,
        "name": stream.name,
        "url": stream.url,
        "username": stream.username,
        "password": None if stream.password is None else stream.password.get_secret_value(),
        "transport": stream.transport.value,
        "loop": stream.loop,
        "paused": stream.paused,
        "analysis": stream.analysis.model_dump(mode="json"),
    }


def _stream(row: StreamRow) -> KeptStream:
    names = (name for name in KeptStream.model_fields if name not in ("managed_by", "password"))
    password = None if row.password is None else SecretStr(row.password)
    return KeptStream.model_validate({name: getattr(row, name) for name in names} | {"password": password})
