"""`vidserve config check`."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from model_export.printing import report_console
from server.core.configuration import FILE_NAME, Configuration
from server.core.settings import Settings


def show(configuration: Configuration[Settings]) -> None:
    """Print every setting with its value and origin; secrets are hidden."""
    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for key, value, origin in configuration.shown():
        # What somebody chose stands out from what nobody did.
        style = "dim" if origin == "default" else ""
        table.add_row(*(Text(text, style=style, overflow="fold") for text in (key, value, origin)))
    console = report_console()
    console.print(table)
    console.print(f"\nThe settings are good. File: {configuration.file or f'none (no {FILE_NAME} here)'}", markup=False)
