"""What a process leaves when a signal like SIGSEGV ends it: which of its threads that was.

Python's `faulthandler` writes the stack of every thread then, without an allocation or a lock; the one that got the
signal is the current one. A thread that Python does not know, such as a decoder's own, is none of them.
"""

from __future__ import annotations

import faulthandler
import re

_CURRENT = re.compile(rb"^Current thread 0x([0-9a-f]+)", re.MULTILINE)
_STACK = re.compile(rb"^Current thread .*\n(?:  .*\n?)*", re.MULTILINE)


def leave(descriptor: int) -> None:
    """From now on write them to this file when it comes to that."""
    faulthandler.enable(descriptor, all_threads=True)


def thread_of(words: bytes) -> int | None:
    """The thread, as `threading.get_ident` calls it; None if they do not say."""
    found = _CURRENT.search(words)
    return None if found is None else int(found[1], 16)


def stack_of(words: bytes) -> str:
    """Where the thread was, innermost call first; empty if they do not say."""
    found = _STACK.search(words)
    return "" if found is None else found[0].decode(errors="replace").rstrip()
