"""Models of other trainers, by the kind of trainer. A family is one module with a `FAMILY`; see `family.Family`."""

from __future__ import annotations

from enum import StrEnum


class FamilyName(StrEnum):
    """The families there are; each but `raw` is the name of its module, a dash there being an underscore."""

    YOLOX = "yolox"
    ULTRALYTICS = "ultralytics"
    SSD_FACE = "ssd-face"
    CLASSIFIER = "classifier"
    VIDEO_CLASSIFIER = "video-classifier"
    RAW = "raw"


FAMILIES: dict[FamilyName, str] = {
    FamilyName.YOLOX: "YOLOX detectors of any size, as its own exporter writes them",
    FamilyName.ULTRALYTICS: "YOLO detectors that Ultralytics exports (v5 to v26), end to end or not, and YOLOv7",
    FamilyName.SSD_FACE: "faces: Ultra-Light-Fast-Generic and its like, with scores and boxes in 0…1",
    FamilyName.CLASSIFIER: "classifiers of a whole picture, with logits or probabilities",
    FamilyName.VIDEO_CLASSIFIER: "classifiers of clips of a few frames, with logits or probabilities",
    FamilyName.RAW: "any graph, untouched: task `tensor`, for clients that bring their own tensors",
}
"""What each is for, in a line."""
