"""Figures that a command writes to a file beside what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model_export.errors import VidserveError


class NotSaved(VidserveError):
    """A file cannot be written."""

    code = "not_saved"


def check_report(report: Path | None) -> None:
    """See, before anything is measured, that there is a folder for it.

    Raises:
        NotSaved
    """
    if report is not None and not report.parent.is_dir():
        raise NotSaved(f"{report} cannot be written: there is no folder {report.parent}.", hint="Make it first.")


def write_report(report: Path, figures: dict[str, Any]) -> None:
    """As JSON.

    Raises:
        NotSaved
    """
    try:
        report.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise NotSaved(f"{report} cannot be written: {error.strerror}.") from error
