"""What the manifest of a net says that its graph does not: to be written by whoever exports it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from model_export.errors import ExportRefused
from model_export.manifest import NAME_PATTERN, FrameInput, Provenance, State, Suppression, Task, Thresholds

_NAMED = (Task.CLASSIFY, Task.DETECT, Task.SEGMENT)
"""Tasks that answer in numbers of classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is said of a net.

    A net takes frames as the server gives them, uint8 [B, H, W, 3] in BGR; with a `window` clips, uint8
    [B, T, H, W, 3]. With a `state` it is called as `net(frames, *state)` and gives `(answer, *next_state)`. An answer
    is one tensor, or a mapping with the names of the task's outputs (docs/bundle.md).

    Attributes:
        name: of the model.
        task: what it answers.
        input: how frames are fitted.
        labels: of its classes, in their order.
        logits: a classifier gives logits; the graph makes probabilities of them, by a softmax or, of several labels at
            once, a sigmoid.
        multi_label: the classes of a classifier do not exclude each other.
        window: frames of a clip, of a net that looks at several at once; None: it takes one frame at a time.
        fps: frames a second of media time that it was trained on; None: any.
        state: what it carries from one frame of a stream to the next, in the order of its arguments.
        family: what the manifest calls its kind.
        provenance: where it comes from; versions of torch and onnx are added.

    Raises:
        ExportRefused: something of it contradicts itself.
    """

    name: str
    task: Task
    input: FrameInput
    labels: tuple[str, ...] = ()
    logits: bool = False
    multi_label: bool = False
    window: int | None = None
    fps: float | None = None
    state: tuple[State, ...] = ()
    suppression: Suppression | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    family: str = "torch"
    description: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=lambda: Provenance(tool="model_export.torch_export"))

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME_PATTERN, self.name):
            raise ExportRefused(
                f"{self.name!r} is no name for a model.",
                hint="Take lower-case letters, digits, dots, underscores and dashes, at most 64.",
            )
        tasks = [task for task in Task if task is not Task.TENSOR]
        if self.task not in tasks:
            raise ExportRefused(f"There is no task {self.task!r} to export for.", hint=f"There is {', '.join(tasks)}.")
        if self.task in _NAMED and not self.labels:
            raise ExportRefused(f"A model for task {self.task} needs labels.", hint="Name its classes, in their order.")
        if (self.logits or self.multi_label) and self.task != Task.CLASSIFY:
            raise ExportRefused(f"Logits and several labels belong to task classify, not to {self.task}.")
        if self.window is not None and self.state:
            raise ExportRefused("A net has a window or a state, not both.", hint="Leave one of them out.")

    @property
    def sample_axes(self) -> str:
        """Of the samples, as messages and documentation name them."""
        return "[N, H, W, 3]" if self.window is None and not self.state else "[N, T, H, W, 3]"
