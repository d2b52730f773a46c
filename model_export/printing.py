"""Where commands print what they found."""

from __future__ import annotations

from rich.console import Console

_ENDLESS = 10_000


def report_console(*, stderr: bool = False) -> Console:
    """A console that folds lines on a terminal alone: who reads a pipe or a file looks for whole ones."""
    console = Console(stderr=stderr, highlight=False)
    if not console.file.isatty():
        console.width = _ENDLESS
    return console
