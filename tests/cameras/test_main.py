import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STREET = ROOT / "server" / "samples" / "street.mp4"


def cameras(*words: object) -> str:
    """What the command complains of."""
    command = [sys.executable, "-m", "tests.cameras", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_video_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "there is no file nope.mp4" in cameras("nope.mp4", "--port", 0)


@pytest.mark.usefixtures("_gstreamer")
def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    assert f"{tmp_path / 'a.mp4'} is no video" in cameras(tmp_path / "a.mp4", "--port", 0)


def test_a_port_that_is_taken_is_said_before_anything_is_prepared() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        said = cameras(STREET, "--port", other.getsockname()[1])
    assert "is taken" in said
    assert "preparing" not in said


def test_a_login_without_a_password_is_refused() -> None:
    assert "NAME:PASSWORD" in cameras(STREET, "--port", 0, "--login", "me")


@pytest.mark.usefixtures("_gstreamer")
def test_it_says_that_it_prepares_before_it_says_where_the_camera_is() -> None:
    command = [sys.executable, "-m", "tests.cameras", str(STREET), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert process.stdout is not None
            assert process.stderr.readline().startswith("preparing ")
            assert process.stdout.readline().startswith("rtsp://127.0.0.1:")
        finally:
            process.kill()
