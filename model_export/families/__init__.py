"""Models of other trainers, by the kind of trainer. A family is one module with a `FAMILY`; see `family.Family`."""

from __future__ import annotations

FAMILIES: dict[str, str] = {
    "yolox": "YOLOX detectors of any size, as its own exporter writes them",
    "raw": "any graph, untouched: task `tensor`, for clients that bring their own tensors",
}
"""What there is, with a line each; the name is the module's."""
