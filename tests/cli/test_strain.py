from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_export.errors import VidserveError
from server.cli import app
from server.commands.client import KeyUnreadable, key_of

NOWHERE = "http://127.0.0.1:9"


def bench(*words: str) -> None:
    CliRunner().invoke(app, ["bench", *words], catch_exceptions=False)


def test_without_a_model_or_a_server_it_says_what_is_missing() -> None:
    done = CliRunner().invoke(app, ["bench"])
    assert done.exit_code == 2
    assert "Name a model, or a server" in done.output


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--server", NOWHERE], "server_unreachable"),
        (["--server", "ftp://there"], "server_unreachable"),
        (["--server", NOWHERE, "--rate", "fast"], "rates_invalid"),
        (["--server", NOWHERE, "--rate", "5,-1"], "rates_invalid"),
        (["--server", NOWHERE, "--picture", "/nowhere.jpg"], "picture_unreadable"),
        (["--server", NOWHERE, "--json", "/nowhere/at/all.json"], "not_saved"),
        (["--server", NOWHERE, "--key-file", "/nowhere.key"], "key_unreadable"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_measured(words: list[str], code: str) -> None:
    with pytest.raises(VidserveError) as caught:
        bench(*words)
    assert caught.value.code == code


def test_the_key_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("of the file\n")
    assert key_of(file, {"VIDSERVE_ADMIN_KEY": "of the environment"}) == "of the file"
    assert key_of(None, {"VIDSERVE_ADMIN_KEY": "of the environment"}) == "of the environment"
    assert key_of(None, {}) is None
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(KeyUnreadable):
        key_of(file, {})
