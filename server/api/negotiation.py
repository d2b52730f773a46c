"""Which of the formats a client's Accept header prefers (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from server.api.conversion import Format
from server.core.errors import NotAcceptable


def accepted(accept: str) -> Format:
    """The format that the header likes best; among equals the first of `Format`.

    Raises:
        NotAcceptable: it wants none of them.
    """
    ranges = [_range(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]
    weights = {form: _weight(form, ranges) for form in Format}
    best = max(weights, key=lambda form: weights[form])
    if weights[best] <= 0:
        known = ", ".join(f"{form} ({form.media_type})" for form in Format)
        raise NotAcceptable(f"Results cannot be had as {accept}.", hint=f"There is {known}; `?format=` chooses too.")
    return best


def _range(part: str) -> tuple[str, float]:
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                weight = float(value)
            except ValueError:
                weight = 0.0
    return kind, weight


def _weight(form: Format, ranges: list[tuple[str, float]]) -> float:
    main = form.media_type.partition("/")[0]
    # The most specific range that fits decides, wherever it stands.
    for wanted in (form.media_type, f"{main}/*", "*/*"):
        found = [weight for kind, weight in ranges if kind == wanted]
        if found:
            return max(found)
    return 0.0
