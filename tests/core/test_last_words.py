import signal
import subprocess
import sys

from server.core.last_words import stack_of, thread_of

_DIES = """
import os, signal, sys, threading
from server.core.last_words import leave

def die():
    print(threading.get_ident(), flush=True)
    signal.pthread_kill(threading.get_ident(), signal.SIGSEGV)
    threading.Event().wait()

with open(sys.argv[1], "wb") as file:
    leave(file.fileno())
    for body in (threading.Event().wait, die):
        threading.Thread(target=body, daemon=True).start()
    threading.Event().wait()
"""


def test_a_process_that_crashes_says_which_of_its_threads_it_was(tmp_path):
    words = tmp_path / "words"
    ended = subprocess.run([sys.executable, "-c", _DIES, str(words)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == -signal.SIGSEGV, ended.stderr
    assert thread_of(words.read_bytes()) == int(ended.stdout)
    stack = stack_of(words.read_bytes()).splitlines()
    assert stack[0].startswith("Current thread 0x")
    assert stack[1].endswith("in die")
    assert len([line for line in stack if "thread" in line.lower() and not line.startswith(" ")]) == 1


def test_who_did_not_crash_says_nothing():
    assert thread_of(b"") is None
    assert stack_of(b"") == ""
    assert thread_of(b"Thread 0x00007f01 (most recent call first):") is None
