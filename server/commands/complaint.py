"""How an error is told on the command line."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from model_export.errors import VidserveError


def complain(error: VidserveError) -> None:
    """Write an error to standard error: what happened, then what to do."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text("Error: ", style="bold red").append(error.message, style="not bold default"))
    if error.hint:
        console.print(Text(error.hint))
