from __future__ import annotations

import logging
from pathlib import Path

import pytest
from pydantic import SecretStr

from server.core.configuration import SettingsInvalid
from server.core.keys import key_file, known_key, wanted_key
from server.core.settings import Settings

KEY = "a-key-that-is-long-enough"


def settings(data: Path, host: str = "0.0.0.0", key: str | None = None) -> Settings:
    return Settings(host=host, data=data, admin_key=SecretStr(key) if key else None)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_loopback_nobody_needs_a_key_until_one_is_set(tmp_path: Path, host: str) -> None:
    assert wanted_key(settings(tmp_path, host)) is None
    assert list(tmp_path.iterdir()) == []
    assert wanted_key(settings(tmp_path, host, KEY)) == KEY


def test_a_server_for_others_takes_the_key_that_is_set_and_makes_none(tmp_path: Path) -> None:
    assert wanted_key(settings(tmp_path, key=KEY)) == KEY
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_made_is_for_its_owners_eyes_and_stays(tmp_path: Path) -> None:
    data = tmp_path / "data"
    key = wanted_key(settings(data))
    assert key is not None
    assert len(key) >= 40
    assert key_file(data).read_text().strip() == key
    assert key_file(data).stat().st_mode & 0o777 == 0o600
    assert wanted_key(settings(data)) == key
    assert [path.name for path in data.iterdir()] == ["admin.key"]


def test_every_data_folder_has_a_key_of_its_own(tmp_path: Path) -> None:
    assert wanted_key(settings(tmp_path / "a")) != wanted_key(settings(tmp_path / "b"))


def test_the_log_names_the_file_and_never_the_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = wanted_key(settings(tmp_path))
    assert str(key_file(tmp_path)) in caplog.text
    assert key not in caplog.text


def test_a_key_that_others_can_read_is_closed_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = wanted_key(settings(tmp_path))
    key_file(tmp_path).chmod(0o644)
    assert wanted_key(settings(tmp_path)) == key
    assert key_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert "others could read" in caplog.text


@pytest.mark.parametrize("content", ["", "short", "with blanks in it, which no header carries", "ü" * 30])
def test_a_file_without_a_key_is_refused_with_what_to_do(tmp_path: Path, content: str) -> None:
    key_file(tmp_path).write_text(content)
    with pytest.raises(SettingsInvalid, match="holds no key") as caught:
        wanted_key(settings(tmp_path))
    assert "Delete it" in (caught.value.hint or "")


def test_a_folder_in_which_no_key_can_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsInvalid, match="cannot be read or made"):
        wanted_key(settings(tmp_path / "file"))


def test_a_command_finds_the_key_that_the_server_made(tmp_path: Path) -> None:
    assert known_key(settings(tmp_path)) is None
    key = wanted_key(settings(tmp_path))
    assert known_key(settings(tmp_path, host="127.0.0.1")) == key
    assert known_key(settings(tmp_path, key=KEY)) == KEY
