import sqlite3
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError

from server.core.errors import StreamNotFound
from server.domain.analysis import Analysis
from server.domain.stream import KeptStream, Transport
from server.storage.database import Database
from server.storage.streams import StreamStore


@pytest.fixture
def database(tmp_path):
    database = Database.open(tmp_path / "vidserve.db")
    yield database
    database.close()


@pytest.fixture
def store(database):
    return StreamStore(database)


def a_stream(id="s1", **more):
    said = {
        "created_at": datetime(2026, 1, 2, tzinfo=UTC),
        "name": id,
        "url": "rtsp://camera/1",
        "username": "me",
        "password": SecretStr("hunter2"),
        "transport": Transport.UDP,
        "analysis": Analysis(labels=("car",), sample_fps=None),
    }
    return KeptStream(**{"id": id, **said, **more})


def test_streams_come_back_as_they_were_in_the_order_of_their_making(store):
    made = [a_stream("s2"), a_stream("s1", username=None, password=None, loop=True, paused=True)]
    for stream in made:
        store.create(stream)
    assert store.load() == made


def test_a_change_is_kept(store):
    store.create(a_stream())
    changed = a_stream(name="back door", paused=True, password=SecretStr("new"))
    store.update(changed)
    assert store.load() == [changed]


def test_a_stream_that_is_gone_cannot_be_changed(store):
    with pytest.raises(StreamNotFound):
        store.update(a_stream())


def test_a_stream_that_was_deleted_is_gone(store):
    store.create(a_stream())
    for _ in range(2):
        store.delete("s1")
    assert store.load() == []


def test_only_the_owner_of_the_server_can_read_what_is_kept(tmp_path, store):
    store.create(a_stream())
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"vidserve.db": 0o600, "vidserve.db-wal": 0o600, "vidserve.db-shm": 0o600}


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path):
    path = tmp_path / "vidserve.db"
    sqlite3.connect(path).close()
    path.touch(0o644)
    path.chmod(0o644)
    Database.open(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_error_of_the_database_tells_no_secrets(database, store):
    with database.write() as session:
        session.connection().exec_driver_sql("DROP TABLE streams")
    with pytest.raises(DBAPIError) as caught:
        store.create(a_stream())
    assert "hunter2" not in str(caught.value)


def test_neither_a_stream_nor_a_row_shows_its_password_when_it_is_printed():
    assert "hunter2" not in repr(a_stream())
