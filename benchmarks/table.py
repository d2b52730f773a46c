"""The table that is printed: what was wanted, what was got, and whether that is enough."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line.

    Attributes:
        ok: None where nothing is wanted, or where it could not be measured.
        note: the figures behind it, or why there are none.
    """

    what: str
    want: str
    got: str
    ok: bool | None
    note: str = ""


def at_least(what: str, got: float, bound: float, note: str = "", *, unit: str = "", digits: int = 2) -> Row:
    return Row(what, f"≥ {bound:g}{unit}", f"{got:.{digits}f}{unit}", got >= bound, note)


def at_most(what: str, got: float, bound: float, note: str = "", *, unit: str = "", digits: int = 2) -> Row:
    return Row(what, f"≤ {bound:g}{unit}", f"{got:.{digits}f}{unit}", got <= bound, note)


def told(what: str, got: str, note: str = "") -> Row:
    """A figure that nothing depends on."""
    return Row(what, "", got, None, note)


def spread(values: Sequence[float], unit: str, *, digits: int = 1) -> str:
    """Median, and between what it lies, as text."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}…{high:.{digits}f}) {unit}"


def formatted(rows: Sequence[Row]) -> str:
    """Rows as aligned text; a row whose want was not met says so in capitals."""
    marks = {True: "ok", False: "MISSED", None: ""}
    cells = [("what", "want", "got", "", "")]
    cells += [(row.what, row.want, row.got, marks[row.ok], row.note) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    lines = [
        "  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=False)), line[4]]) for line in cells
    ]
    lines.insert(1, "─" * max(len(line.rstrip()) for line in lines[:1]))
    return "\n".join(line.rstrip() for line in lines)
