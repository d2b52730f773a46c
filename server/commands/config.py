"""`vidserve config check`."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from model_export.printing import report_console
from server.commands.declarations import doubts
from server.core.configuration import FILE_NAME, Configuration
from server.core.settings import Settings


def show(configuration: Configuration[Settings]) -> None:
    """Print every setting with its value and origin, and what is doubtful in them; secrets are hidden.

    Raises:
        SourceUrlInvalid, FieldsInvalid, StreamsFull: streams are declared with which the server would not start.
    """
    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for key, value, origin in configuration.shown():
        # What somebody chose stands out from what nobody did.
        style = "dim" if origin == "default" else ""
        table.add_row(*(Text(text, style=style, overflow="fold") for text in (key, value, origin)))
    console = report_console()
    console.print(table)
    said = doubts(configuration.settings)
    good = "The settings are good" if not said else "The server starts with these settings, but look at what follows"
    console.print(f"\n{good}. File: {configuration.file or f'none (no {FILE_NAME} here)'}", markup=False)
    for doubt in said:
        console.print(f"→ {doubt}", style="yellow", markup=False, soft_wrap=True)
