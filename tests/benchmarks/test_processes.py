import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.processes import anonymous_mb, cpu_seconds, descendants, names, pss_mb

ROOT = Path(__file__).parents[2]


def test_a_process_is_found_below_its_parent_with_its_time_and_memory():
    script = "sum(range(3_000_000)); print('!', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        child.stdout.readline()
        assert child.pid in descendants(os.getpid())
        assert child.pid in names(os.getpid()).values()
        assert names(os.getpid())["API"] == os.getpid()
        assert 0.005 < cpu_seconds(child.pid) < 30
        assert 1 < anonymous_mb(child.pid) < pss_mb(child.pid) < 200
        child.communicate("\n")
    assert child.pid not in descendants(os.getpid())


def test_the_servers_processes_are_known_by_what_they_run():
    what = {"server.engine.process": "engine", "server.worker.process": "worker-0"}
    children = {
        name: subprocess.Popen([sys.executable, "-c", "input()", module], stdin=subprocess.PIPE)
        for module, name in what.items()
    }
    try:
        found = names(os.getpid())
        assert {name: found.get(name) for name in children} == {name: child.pid for name, child in children.items()}
    finally:
        for child in children.values():
            child.communicate(b"\n")


def test_processor_time_is_that_of_the_process():
    before, start = cpu_seconds(os.getpid()), time.process_time()
    sum(range(1_000_000))
    spent = time.process_time() - start
    assert spent <= cpu_seconds(os.getpid()) - before <= spent + 1


def test_what_measures_memory_shares_no_library_with_the_server():
    script = (
        "import sys, benchmarks.__main__, benchmarks.memory; print({'cv2', 'onnxruntime', 'av'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"
