"""Processor time of functions, by part, counted where they run: nested parts are not counted twice."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any


class Stopwatch:
    """Counts the processor time that each thread spends in the functions that it has been put around."""

    def __init__(self) -> None:
        self._spent: defaultdict[tuple[int, str], float] = defaultdict(float)
        self._open = threading.local()

    def around(self, owner: Any, name: str, part: str) -> None:
        """Count a function of a class or module for `part`, from now on and for good."""
        setattr(owner, name, self._timed(getattr(owner, name), part))

    def seconds(self) -> dict[str, float]:
        """By part, of all threads so far."""
        sums: defaultdict[str, float] = defaultdict(float)
        for (_, part), seconds in list(self._spent.items()):
            sums[part] += seconds
        return dict(sums)

    def _timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            within: list[float] = self._open.__dict__.setdefault("within", [])
            within.append(0.0)
            start = time.thread_time()
            try:
                return function(*args, **options)
            finally:
                whole = time.thread_time() - start
                # A thread has keys of its own, so no two threads add to one number.
                self._spent[threading.get_ident(), part] += whole - within.pop()
                if within:
                    within[-1] += whole

        return timed
