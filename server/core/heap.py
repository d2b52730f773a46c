"""What a process keeps in memory, and how long it stops to look through it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """To be held while modules come in: Python would look through all that is there again and again for garbage, a
    sixth of the time that they take, and there is none.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def freeze() -> None:
    """What is here by now, mostly modules, stays, and no collection looks at it again.

    To be called once a process has started: no thread runs while Python collects garbage, and to look through all that
    was imported takes a tenth of a second, or a whole one where others want the processor too.
    """
    gc.collect()
    gc.freeze()


def release() -> None:
    """Hand freed memory back to the system: the C library keeps it otherwise."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # of other C libraries
            ctypes.CDLL(None).malloc_trim(0)
