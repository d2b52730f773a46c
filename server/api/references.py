"""Pointers to the schemas of the OpenAPI document."""

from __future__ import annotations

REFERENCE = "#/components/schemas/{name}"


def reference(name: str) -> dict[str, str]:
    """A pointer to a schema of the document."""
    return {"$ref": REFERENCE.format(name=name)}
