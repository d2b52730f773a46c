import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from server.core.errors import DatabaseNewer, StorageBusy, StorageError, StorageFull
from server.storage import migrations
from server.storage.database import Database, upgrade
from server.storage.tables import Base


def schema(path):
    """Every table and index as SQLite keeps it, white space aside."""
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    connection.close()
    return {name: "".join((sql or "").split()) for name, sql in found}


def migrated_from_nothing(path):
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        upgrade(connection, path=path)
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()
    return path


def test_the_migrations_lead_to_the_tables(tmp_path):
    migrated_from_nothing(tmp_path / "steps.db")


def test_a_database_made_at_once_equals_one_made_step_by_step(tmp_path):
    Database.open(tmp_path / "once.db").close()
    assert schema(tmp_path / "once.db") == schema(migrated_from_nothing(tmp_path / "steps.db"))


def test_the_newest_step_is_the_one_that_is_written_down():
    config = Config()
    config.set_main_option("script_location", migrations.__path__[0])
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def test_a_database_that_is_behind_is_brought_up_to_date(tmp_path):
    path = tmp_path / "old.db"
    Database.open(path).close()
    # As before the first step.
    with sqlite3.connect(path) as connection:
        for table in Base.metadata.tables:
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DELETE FROM alembic_version")
    connection.close()
    migrated = Database.open(path)
    with migrated.read() as session:
        assert session.execute(text("SELECT count(*) FROM jobs")).scalar() == 0
        assert session.execute(text("SELECT version_num FROM alembic_version")).scalar() == migrations.HEAD
    migrated.close()


def test_a_database_opens_again_with_what_it_held(tmp_path):
    for _ in range(2):
        database = Database.open(tmp_path / "a.db")
        with database.write() as session:
            session.execute(text("CREATE TABLE IF NOT EXISTS kept (x)"))
        database.close()
    assert "kept" in schema(tmp_path / "a.db")


def test_many_may_open_a_database_at_once(tmp_path):
    Database.open(tmp_path / "a.db").close()
    with ThreadPoolExecutor(4) as threads:
        for database in threads.map(Database.open, [tmp_path / "a.db"] * 8):
            database.close()


def test_a_database_of_a_newer_version_is_left_alone(tmp_path):
    path = tmp_path / "a.db"
    Database.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(DatabaseNewer, match="newer version"):
        Database.open(path)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "a.db").write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(StorageError, match=r"a\.db cannot be used"):
        Database.open(tmp_path / "a.db")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be made"):
        Database.open(tmp_path / "file" / "a.db")


def test_a_write_that_fails_changes_nothing(tmp_path):
    database = Database.open(tmp_path / "a.db")
    with database.write() as session:
        session.execute(text("CREATE TABLE kept (x)"))

    def fail_half_way():
        with database.write() as session:
            session.execute(text("INSERT INTO kept VALUES (1)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with database.read() as session:
        assert session.execute(text("SELECT count(*) FROM kept")).scalar() == 0
    database.close()


def test_a_full_disk_is_an_error_with_a_code_and_nothing_is_changed(tmp_path):
    database = Database.open(tmp_path / "a.db")
    with database.write() as session:
        session.execute(text("CREATE TABLE kept (x)"))

    def fill():
        with database.write() as session:
            session.execute(text("PRAGMA max_page_count = 1"))
            session.execute(text("INSERT INTO kept VALUES (zeroblob(1000000))"))

    with pytest.raises(StorageFull) as full:
        fill()
    assert full.value.code == "storage_full"
    with database.read() as session:
        assert session.execute(text("SELECT count(*) FROM kept")).scalar() == 0
    database.close()


def test_a_database_that_somebody_else_holds_is_busy(tmp_path):
    database = Database.open(tmp_path / "a.db")
    holder = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with database.read() as session:
        # The patience of a connection, shortened: the pool gives the same one again.
        session.execute(text("PRAGMA busy_timeout = 1"))
    with pytest.raises(StorageBusy), database.write():
        raise AssertionError("the lock is taken before anything else happens")
    holder.close()
    database.close()
