"""Learning from a teacher: what it says of a sample tells more than the sample's label does.

Source: Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015. Legend: B batch, L labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from model_export.bundle import MANIFEST, MODEL
from model_export.errors import ModelError
from training.batch import TargetKind
from training.data.frame_spec import FrameSpec
from training.errors import TeacherUnsuitable
from training.evaluation.asking import KINDS
from training.evaluation.opening import AnyPredictor, open_model
from training.evaluation.torch_predictor import TorchPredictor
from training.recipe import TeacherConfig
from training.run_folder import RECIPE, RunFolder

_TINY = torch.finfo(torch.float32).tiny
_NEAR_1 = 1 - torch.finfo(torch.float32).eps


def soft_loss(kind: TargetKind, logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """How far a net is from its teacher, the mean over a batch: [B, L] and [B, L] → [].

    Of classes it is T²·KL(softmax(teacher / T) ‖ softmax(logits / T)): the higher the temperature T, the more counts
    what the teacher thinks of the classes that it is not. T² keeps gradients as large as those of labels. Of several
    labels at once it is the same with sigmoids, the mean over the labels; of numbers the mean squared difference,
    whatever the temperature.
    """
    if kind == "numbers":
        return functional.mse_loss(logits, teacher)
    if kind == "class":
        wanted, got = (functional.log_softmax(one / temperature, dim=1) for one in (teacher, logits))
        apart = functional.kl_div(got, wanted, reduction="batchmean", log_target=True)
    else:
        wanted = (teacher / temperature).sigmoid()
        # Cross entropy less what is left of it when both are the same.
        crossed, least = (
            functional.binary_cross_entropy_with_logits(one / temperature, wanted) for one in (logits, teacher)
        )
        apart = crossed - least
    return apart * temperature**2


class Teacher:
    """A model that is asked about every batch; it is not trained, and not part of the net.

    Args:
        predictor: answers the data's kind of targets.
    """

    def __init__(self, predictor: AnyPredictor) -> None:
        self.predictor = predictor

    def scores(self, frames: Tensor) -> Tensor:
        """What it says of frames uint8 [B, T, H, W, C]: logits, or numbers, float32 [B, L]; for classes up to a number
        that is added to all of them, which a softmax does not see.
        """
        if isinstance(self.predictor, TorchPredictor):
            module = self.predictor.module.to(frames.device)
            with torch.no_grad(), torch.autocast(frames.device.type, enabled=False):
                logits: Tensor = module(frames)
            return logits.float()
        said = torch.from_numpy(self.predictor.predict(frames.cpu().numpy())).to(frames.device)
        if self.predictor.kind == "class":
            return said.clamp(min=_TINY).log()
        return said.clamp(_TINY, _NEAR_1).logit() if self.predictor.kind == "multi_label" else said


@dataclass(frozen=True)
class Distillation:
    """A teacher beside the labels: (1 − weight)·loss of the labels + weight·`soft_loss`."""

    teacher: Teacher
    kind: TargetKind
    temperature: float
    weight: float

    def loss(self, own: Tensor, logits: Tensor, frames: Tensor) -> Tensor:
        """
        Args:
            own: the loss of the labels, [].
            logits: of the net that learns, [B, L].
            frames: what it and its teacher look at.
        """
        soft = soft_loss(self.kind, logits.float(), self.teacher.scores(frames), self.temperature)
        return (1 - self.weight) * own + self.weight * soft


def distillation(config: TeacherConfig, input: FrameSpec, labels: Sequence[str], kind: TargetKind) -> Distillation:
    """Open the teacher and see that it can look at these data.

    Args:
        input: how frames are fitted for the net that learns, and so for its teacher.
        labels, kind: of the data.

    Raises:
        TeacherUnsuitable: it answers something else, or looks at something else.
        ModelUnsuitable, ModelError, RunError: there is no model, or it cannot be opened.
    """
    predictor = open_model(config.model, input=input, labels=tuple(labels), kind=kind)
    _see_answers(predictor, config.model, labels, kind)
    _see_input(predictor, config.model, input)
    try:
        frames = np.zeros((1, input.frames, input.height, input.width, input.channels), np.uint8)
        count = predictor.predict(frames).shape[1]
    except ModelError as error:
        raise TeacherUnsuitable(
            f"The teacher {config.model} cannot look at the data's frames: {error.message}", hint=_SAME_INPUT
        ) from error
    if count != len(labels):
        raise TeacherUnsuitable(
            f"The teacher {config.model} answers {count} numbers, and the data have {len(labels)} labels.",
            hint=_SAME_LABELS,
        )
    return Distillation(Teacher(predictor), kind, config.temperature, config.weight)


def fingerprint(model: Path) -> str:
    """SHA-256 of the weights that a teacher is opened with."""
    file = RunFolder(model).best if (model / RECIPE).is_file() else model
    file = model / MODEL if (model / MANIFEST).is_file() else file
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


_SAME_LABELS = "A teacher must know the same labels in the same order."
_SAME_INPUT = "A teacher looks at the frames that the net looks at: set data.input as it was trained with."


def _see_answers(predictor: AnyPredictor, model: Path, labels: Sequence[str], kind: TargetKind) -> None:
    if predictor.kind != kind:
        raise TeacherUnsuitable(
            f"The teacher {model} answers {KINDS[predictor.kind]}, and the data have {KINDS[kind]}.",
            hint=_SAME_LABELS,
        )
    if predictor.labels and predictor.labels != tuple(labels):
        raise TeacherUnsuitable(
            f"The teacher {model} knows {', '.join(predictor.labels)}, and the data have {', '.join(labels)}.",
            hint=_SAME_LABELS,
        )


def _see_input(predictor: AnyPredictor, model: Path, input: FrameSpec) -> None:
    """Nets make grey of colours and colours of grey by themselves."""
    wants, wrong = predictor.input, []
    if (wants.width, wants.height) != (input.width, input.height):
        wrong.append(f"frames of {wants.width} × {wants.height}, and the data have {input.width} × {input.height}")
    if wants.frames != input.frames:
        wrong.append(f"{_clips(wants.frames)}, and the data have {_clips(input.frames)}")
    if wants.resize != input.resize:
        wrong.append(f"frames that `{wants.resize}` fitted, and the data's are by `{input.resize}`")
    if wrong:
        raise TeacherUnsuitable(f"The teacher {model} looks at {'; at '.join(wrong)}.", hint=_SAME_INPUT)


def _clips(frames: int) -> str:
    return "pictures" if frames == 1 else f"clips of {frames} frames"
