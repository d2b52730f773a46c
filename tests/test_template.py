"""What is forked from a template is as if it had been started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.template import Forked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="templates are Linux's")


def start(seconds: float, status: int = 0, *, env: dict[str, str] | None = None) -> Forked:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = Forked("tests.sight", str(seconds), str(status), env=env, **pipes)
    assert process.stdin is not None
    process.stdin.write(b"hello\n")
    process.stdin.flush()
    return process


def sight(process: Forked) -> dict[str, object]:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def alive(pid: int) -> bool:
    """Whether it runs; one that nobody has buried yet does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_it_sees_what_a_new_process_would_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Another one beside it, of which it shall have nothing.
    with start(60) as beside, start(0, env={"GREETING": "hello"}) as process:
        sight(beside)
        seen = sight(process)
        assert process.stderr is not None
        assert process.stderr.read() == b"read 'hello\\n'\n"
        beside.kill()
    assert (seen["folder"], seen["environ"]) == (str(tmp_path), {"GREETING": "hello"})
    assert (seen["threads"], seen["descriptors"]) == (1, [0, 1, 2])
    assert seen["collects"]
    assert seen["interrupts"]


def test_its_end_is_told() -> None:
    with start(0, 7) as process:
        assert process.wait(60) == 7
    assert (process.poll(), process.returncode) == (7, 7)
    with start(60) as process:
        sight(process)
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
        process.kill()  # that is allowed
    assert not alive(process.pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_who_started_it(number: signal.Signals) -> None:
    code = "import sys, time; from tests.test_template import sight, start\n"
    code += "one = start(60); print(one.pid, sight(one)['parent'], flush=True); time.sleep(60)"
    root = str(Path(__file__).parents[1])
    with subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        pids = [int(word) for word in tests.stdout.readline().split()]
        assert all(map(alive, pids))
        os.kill(tests.pid, number)
    until = time.monotonic() + 60
    while any(map(alive, pids)):
        assert time.monotonic() < until
        time.sleep(0.01)
