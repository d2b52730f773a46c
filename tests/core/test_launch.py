import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.core.launch import command

PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", "server.core.launch", str(os.getpid()), "sleeper"])
print(child.pid, flush=True)
time.sleep(60)
"""
SLEEPER = """
import sys, time

def main():
    print("asleep", *sys.argv, flush=True)
    time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_folder_named_server_where_we_were_started_is_not_taken_for_ours(tmp_path):
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "__init__.py").write_text("raise SystemExit('not this one')")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(
        command("server.worker.process"), cwd=tmp_path, env=env, input=b"no configuration\n", capture_output=True
    )
    assert b"DecodeError" in run.stderr
    assert b"not this one" not in run.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_stopped_child_dies_with_its_killed_parent(tmp_path):
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=env) as parent:
        child = int(parent.stdout.readline())
        assert parent.stdout.readline().split() == ["asleep", "sleeper"]
        os.kill(child, signal.SIGSTOP)
        parent.kill()
        until = time.monotonic() + 10
        while alive(child):
            assert time.monotonic() < until
            time.sleep(0.02)


def test_a_child_whose_parent_is_gone_already_does_not_begin(tmp_path):
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    ran = subprocess.run(
        [sys.executable, "-m", "server.core.launch", "1", "sleeper"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])},
    )
    assert ran.stdout == ""


def test_a_child_keeps_what_it_does_to_itself(tmp_path):
    (tmp_path / "told.py").write_text("import os\ndef main(): print(os.environ['ORT_DISABLE_TELEMETRY'])")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}
    env.pop("ORT_DISABLE_TELEMETRY", None)
    told = subprocess.check_output(command("told"), env=env, text=True)
    assert told == "1\n"


def test_a_child_loads_no_more_than_it_needs_to_log(tmp_path):
    (tmp_path / "child.py").write_text("import sys, server.core.log\ndef main(): print(*sys.modules)")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}
    run = subprocess.run(command("child"), env=env, capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "structlog" in loaded
    assert not {"rich.console", "server.core.settings", "pydantic"} & loaded


def test_a_child_collects_garbage_again_when_its_modules_are_there(tmp_path):
    (tmp_path / "child.py").write_text("import gc\nfirst = gc.isenabled()\ndef main(): print(first, gc.isenabled())")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}
    assert subprocess.check_output(command("child"), env=env, text=True) == "False True\n"
