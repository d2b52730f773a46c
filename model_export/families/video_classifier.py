"""Classifiers of short clips: torchvision's, PyTorchVideo's, MMAction2's and what is trained like them.

One input with an axis of time, [N, C, T, H, W] or another order, and one output as of classifiers of pictures.
"""

from __future__ import annotations

from collections.abc import Mapping

from model_export.families.classifier import Classifier
from model_export.families.family import Array, Reading, Told
from model_export.manifest import FrameInput, Resize, Task
from model_export.preprocessing import Colour, Layout, Preprocessing


class VideoClassifier:
    """The family; what stands here is of torchvision's models, trained on Kinetics."""

    task = Task.CLASSIFY
    window = 16
    geometry = FrameInput(width=112, height=112, resize=Resize.CROP, interpolation="area")
    preprocessing = Preprocessing(
        colour=Colour.RGB,
        layout=Layout.NCTHW,
        mean=(110.2008, 100.63983, 95.99475),
        std=(58.14765, 56.46975, 55.332195),
    )

    def read(self, raw: Mapping[str, Array], spec: FrameInput, told: Told) -> Reading:
        return Classifier().read(raw, spec, told)


FAMILY = VideoClassifier()
