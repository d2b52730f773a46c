"""Models of other trainers, by the kind of trainer. A family is one module with a `FAMILY`; see `family.Family`."""

from __future__ import annotations

from enum import StrEnum


class FamilyName(StrEnum):
    """The families there are; each is the name of its module."""

    YOLOX = "yolox"
    RAW = "raw"


FAMILIES: dict[FamilyName, str] = {
    FamilyName.YOLOX: "YOLOX detectors of any size, as its own exporter writes them",
    FamilyName.RAW: "any graph, untouched: task `tensor`, for clients that bring their own tensors",
}
"""What each is for, in a line."""
