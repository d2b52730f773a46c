"""Where a subscriber wants to go on: after an id, from the start, or from now on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from server.core.errors import FieldProblem, FieldsInvalid

PATTERN = r"now|start|0|[0-9a-z]{1,16}-[0-9]{1,18}"

_NOW, _START = "now", ("start", "0")


@dataclass(frozen=True)
class Position:
    """After an id: that of an item, `<epoch>-<number>`. Number 0 is before the first."""

    epoch: str
    number: int


START = Position("", 0)
"""Before all that is still there."""


def parse(text: str | None, field: str) -> Position | None:
    """Read what a client says; None: from now on.

    Raises:
        FieldsInvalid: it is not an id.
    """
    if text is None or text == _NOW:
        return None
    if text in _START:
        return START
    if re.fullmatch(PATTERN, text) is None:
        raise FieldsInvalid(
            FieldProblem(field, f"{text[:40]!r} is not an id of a subscription."),
            hint="Send the `id` that came last, `0` for everything that is still there, or nothing.",
        )
    epoch, _, number = text.partition("-")
    return Position(epoch, int(number))
