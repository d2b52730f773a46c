from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli import app

HEAVY = ("cv2", "onnx", "onnxruntime", "fastapi", "numpy", "sqlalchemy", "zmq", "torch")


def vidserve(*words: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a user calls it, in a folder of its own."""
    return subprocess.run(
        [sys.executable, "-m", "server.cli", *words],
        cwd=cwd,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200", **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_every_command_also_those_that_joined() -> None:
    said = CliRunner().invoke(app, ["--help"]).output
    for command in ("serve", "analyze", "bench", "models", "config", "doctor"):
        assert command in said
    assert "Bring models in" in said
    assert "demo" not in said


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom server.cli import app\n"
        "CliRunner().invoke(app, ['--help'])\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["serve", "analyze", "bench", "doctor", "config", "models"])
def test_every_command_explains_itself(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert "Usage" in done.output


def test_a_command_that_joined_runs(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["models", "list", "--data", str(tmp_path)])
    assert done.exit_code == 0
    assert "moving-objects@1" in done.output


def test_the_version_is_shown() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.startswith("vidserve ")


def test_config_check_shows_every_setting_with_its_origin(tmp_path: Path) -> None:
    (tmp_path / "vidserve.toml").write_text("[engine]\nmax_batch = 2\n")
    done = vidserve("config", "check", "--port", "9000", cwd=tmp_path, env={"VIDSERVE_HOST": "::1"})
    assert done.returncode == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["port", "9000", "--port"] in rows
    assert ["host", '"::1"', "VIDSERVE_HOST"] in rows
    assert ["engine.max_batch", "2", "vidserve.toml", "line", "2"] in rows
    assert any(row[0] == "workers.shm_mb" and row[-1] == "default" for row in rows if row)


@pytest.mark.parametrize("command", [["config", "check"], ["doctor", "--port", "0"]])
def test_what_goes_to_a_pipe_has_whole_lines_however_narrow_the_terminal_is(tmp_path: Path, command: list[str]) -> None:
    data = (
        tmp_path / ("a folder with a name that is much longer than any line of a terminal has characters " * 2).strip()
    )
    done = vidserve(*command, "--data", str(data), cwd=tmp_path, env={"COLUMNS": "40"})
    assert any(str(data) in line for line in done.stdout.splitlines())


def test_wrong_settings_end_every_command_with_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "vidserve.toml").write_text("[engine]\nmax_bach = 2\n")
    for words in (["serve"], ["config", "check"], ["doctor"], ["analyze", "x.mp4"]):
        done = vidserve(*words, cwd=tmp_path)
        assert done.returncode == 1
        assert "vidserve.toml line 2" in done.stderr
        assert "did you mean engine.max_batch?" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_key_that_is_too_short_is_refused_and_not_shown(tmp_path: Path) -> None:
    done = vidserve("serve", "--host", "0.0.0.0", cwd=tmp_path, env={"VIDSERVE_ADMIN_KEY": "hunter2"})
    assert done.returncode == 1
    assert "VIDSERVE_ADMIN_KEY: admin_key must be a secret of at least 16 letters" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = vidserve("serve", "--key-file", "nowhere", cwd=tmp_path)
    assert done.returncode == 1
    assert "--admin-key-file: the file nowhere cannot be read" in done.stderr


def test_config_check_hides_the_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the-key-of-the-house\n")
    (tmp_path / "vidserve.toml").write_text('admin_key_file = "${KEY}"\n')
    done = vidserve("config", "check", cwd=tmp_path, env={"KEY": str(tmp_path / "key")})
    assert done.returncode == 0
    assert "the-key-of-the-house" not in done.stdout
    assert ["admin_key", "**********", "vidserve.toml", "line", "1"] in [
        line.split() for line in done.stdout.splitlines()
    ]


def test_the_help_of_analyze_says_how_many_frames_of_a_camera_are_looked_at() -> None:
    said = " ".join(CliRunner().invoke(app, ["analyze", "--help"], env={"COLUMNS": "400"}).output.split())
    assert "every one of a video and 5 of a camera" in said


def test_config_check_warns_of_streams_that_will_not_run(tmp_path: Path) -> None:
    (tmp_path / "vidserve.toml").write_text(
        'host = "0.0.0.0"\n[streams.near]\nurl = "rtsp://127.0.0.1/1"\n[streams.far]\nurl = "rtsp://192.168.1.20/1"\n'
        '[streams.odd]\nname = "far"\nurl = "rtsp://192.168.1.21/1"\n[streams.odd.analysis]\nmodel = "no-such"\n'
        '[streams.film]\nurl = "file:///nowhere/a.mp4"\n'
    )
    done = vidserve("config", "check", cwd=tmp_path)
    assert done.returncode == 0
    doubts = {line.split(":")[0]: line for line in done.stdout.splitlines() if line.startswith("→")}
    assert "allow_loopback = true" in doubts["→ streams.near"]
    assert "There is no model 'no-such'" in doubts["→ streams.odd"]
    assert "[sources] folders" in doubts["→ streams.film"]
    assert "another stream is called 'far'" in done.stdout
    assert "The settings are good" not in done.stdout
    done = vidserve("config", "check", "--host", "127.0.0.1", cwd=tmp_path)
    assert "streams.near: " not in done.stdout


def test_config_check_fails_where_the_server_would_not_start(tmp_path: Path) -> None:
    (tmp_path / "vidserve.toml").write_text('[streams.near]\nurl = "rtsp://viewer:ge#heim@camera/1"\n')
    done = vidserve("config", "check", cwd=tmp_path)
    assert done.returncode == 1
    assert "streams.near.url" in done.stderr
    assert "heim" not in done.stdout + done.stderr


def test_a_data_folder_that_cannot_be_made_ends_the_server_with_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = vidserve("serve", "--port", "0", "--data", "file/data", cwd=tmp_path)
    assert done.returncode == 1
    assert "The data folder" in done.stderr
    assert "Traceback" not in done.stderr
