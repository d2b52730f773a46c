"""How the rows of a request are divided, so that each part fits a batch and a slot."""

from __future__ import annotations

from collections.abc import Sequence


def divided(rows: int, sizes: Sequence[int], *, at_most: int) -> list[int]:
    """Rows of each part, in order, each part of a size that the engine runs where that is possible.

    Args:
        sizes: of batches, ascending.
        at_most: rows that fit a slot; at least 1.
    """
    parts = []
    while rows:
        room = min(rows, at_most, sizes[-1])
        part = max((size for size in sizes if size <= room), default=room)
        parts.append(part)
        rows -= part
    return parts
