"""The database: one SQLite file in WAL mode, brought up to date when it is opened."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from server.core.errors import DatabaseNewer, StorageBusy, StorageError, StorageFull
from server.storage.migrations import HEAD
from server.storage.tables import Base

_BUSY_MS = 10_000
_VERSION_TABLE = (
    "CREATE TABLE alembic_version "
    "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


class Database:
    """Sessions on one database file. Safe to use from many threads; each `read` and `write` is one transaction."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._path = path

    @classmethod
    def open(cls, path: Path) -> Database:
        """Open the database, making it or bringing its schema up to date where needed.

        Raises:
            DatabaseNewer: a newer version of the server wrote it.
            StorageError: it cannot be opened, or is not a database.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _close_to_others(path)
        except OSError as error:
            raise StorageError(
                f"{path.parent} cannot be made: {error.strerror}.",
                hint="Name a folder that can be written with --data.",
            ) from error
        database = cls(_engine(path), path)
        try:
            database._bring_up_to_date()
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that sees one moment of the database and waits for nobody."""
        with _explained(self._path), Session(self._engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that no other writer overlaps; committed at the end, or undone by an exception.

        Raises:
            StorageFull: the disk is full; nothing was changed.
            StorageBusy: another process wrote for too long.
        """
        with _explained(self._path), Session(self._engine) as session:
            # Reading first and locking later could fail half way: the lock is taken before anything is read.
            session.connection(execution_options={"immediate": True})
            yield session
            session.commit()

    def close(self) -> None:
        """Give the connections back; the write-ahead log is folded into the file."""
        self._engine.dispose()

    def _bring_up_to_date(self) -> None:
        with _explained(self._path), self._engine.connect() as connection:
            if _revision(connection) == HEAD:
                return
            connection.rollback()
            # Rebuilding a table would otherwise delete what refers to it; has no effect inside a transaction.
            _driver(connection).execute("PRAGMA foreign_keys=OFF")
            connection.execution_options(immediate=True)
            # Asked again under the lock: another process may have been quicker.
            revision = _revision(connection)
            if revision is None:
                Base.metadata.create_all(connection)
                connection.exec_driver_sql(_VERSION_TABLE)
                connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (HEAD,))
            elif revision != HEAD:
                upgrade(connection, path=self._path)
            connection.commit()
            connection.invalidate()


def upgrade(connection: Connection, *, path: Path) -> None:
    """Run the steps of `migrations` that the database lacks, over a connection in a transaction.

    Raises:
        DatabaseNewer: its version is none of the steps.
    """
    # Only a database that is behind pays for the import.
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseNewer(
            f"{path} was written by a newer version of vidserve.",
            hint="Install that version again, or name another folder with --data.",
        ) from error


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": _BUSY_MS / 1000, "check_same_thread": False},
        # Errors quote the statement, and would the values: passwords of cameras are among them.
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _: object) -> None:
        # The driver's own idea of when a transaction begins is switched off; `_begin` says it.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _close_to_others(path: Path) -> None:
    """Let only its owner read the file: it holds secrets. SQLite gives the files beside it the same mode."""
    with path.open("ab"):
        pass
    for one in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        with contextlib.suppress(FileNotFoundError):
            one.chmod(0o600)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _revision(connection: Connection) -> str | None:
    """The step that the database has come to, `""` before the first; None where it is new."""
    known = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").scalar()
    if known is None:
        return None
    version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return str(version or "")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise StorageFull(
                f"No space is left for {path}.",
                hint="Delete jobs that are no longer needed, or free space on the disk.",
            ) from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StorageBusy(
                f"Another process holds {path}.", hint="Look for a second server or a tool that has the database open."
            ) from error
        if code in (
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_CORRUPT,
            sqlite3.SQLITE_IOERR,
            sqlite3.SQLITE_NOTADB,
            sqlite3.SQLITE_PERM,
            sqlite3.SQLITE_READONLY,
        ):
            raise StorageError(
                f"{path} cannot be used: {error.orig}.",
                hint="Check the folder's permissions and the disk, or restore the file from a backup.",
            ) from error
        raise
