"""Models whose answers are known beforehand, and data to ask them about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from model_export.session import Session
from training.batch import Batch, TargetKind
from training.data.frame_spec import FrameSpec
from training.evaluation.torch_predictor import TorchPredictor

U8 = npt.NDArray[np.uint8]


class Brightness(nn.Module):
    """Two classes, dark and bright, by the mean grey level of a clip; a bright one is above `edge`."""

    def __init__(self, edge: float = 128.0, slope: float = 0.05) -> None:
        super().__init__()
        self.edge, self.slope = edge, slope

    def forward(self, clip: Tensor) -> Tensor:
        bright = (clip.float().mean(dim=(1, 2, 3, 4)) - self.edge) * self.slope
        return torch.stack([-bright, bright], dim=1)

    def in_time(self, clip: Tensor) -> Tensor:
        return torch.stack([self(clip[:, : at + 1]) for at in range(clip.shape[1])], dim=1)


def brightness(frames: int = 1, *, kind: TargetKind = "class", streams: bool = False) -> TorchPredictor:
    return TorchPredictor(
        Brightness(),
        name="brightness",
        labels=("dark", "bright"),
        kind=kind,
        input=FrameSpec(width=8, height=8, channels=1, frames=frames),
        streams=streams,
    )


class GreyClips:
    """A part of a data set: clips of even grey levels with their targets."""

    def __init__(
        self,
        greys: Sequence[int],
        targets: npt.NDArray[np.generic],
        groups: Sequence[int] | None = None,
        frames: int = 1,
    ) -> None:
        self._greys = np.array(greys, np.uint8)
        self.targets = targets
        self._groups = np.arange(len(greys)) if groups is None else np.array(groups)
        self._frames = frames

    def __len__(self) -> int:
        return len(self._greys)

    def batch(self, places: Sequence[int], epoch: int) -> Batch:
        at = np.array(places)
        frames = np.broadcast_to(self._greys[at][:, None, None, None, None], (len(at), self._frames, 8, 8, 1))
        return Batch(
            torch.from_numpy(frames.copy()),
            torch.from_numpy(self.targets[at]),
            torch.from_numpy(at.astype(np.int64)),
            torch.from_numpy(self._groups[at].astype(np.int64)),
        )


def onnx_brightness(**options: Any) -> Session:
    """See `onnx_brightness_file`."""
    return Session(onnx_brightness_file(**options), name="brightness.onnx")


def onnx_brightness_file(
    *, clips: bool = False, batch: int | None = None, channels: int = 1, state: bool = False
) -> bytes:
    """`Brightness` as a graph. With a state it answers by the mean over all frames so far."""
    axes = 5 if clips else 4
    shape = [batch or "B", "T", 8, 8, channels] if clips else [batch or "B", 8, 8, channels]
    inputs = [helper.make_tensor_value_info("frames", TensorProto.UINT8, shape)]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["B", 2])]
    nodes = [
        helper.make_node("Cast", ["frames"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["now"], keepdims=0),
        helper.make_node("Unsqueeze", ["now", "one"], ["column"]),
    ]
    mean = "column"
    if state:
        inputs.append(helper.make_tensor_value_info("sum_in", TensorProto.FLOAT, ["B", 2]))
        outputs.append(helper.make_tensor_value_info("sum_out", TensorProto.FLOAT, ["B", 2]))
        nodes += [
            helper.make_node("Shape", ["column"], ["size"]),
            helper.make_node("ConstantOfShape", ["size"], ["ones"], value=helper.make_tensor("v", 1, [1], [1.0])),
            helper.make_node("Concat", ["column", "ones"], ["added"], axis=1),
            helper.make_node("Add", ["sum_in", "added"], ["sum_out"]),
            helper.make_node("Split", ["sum_out"], ["sum", "count"], axis=1, num_outputs=2),
            helper.make_node("Div", ["sum", "count"], ["mean"]),
        ]
        mean = "mean"
    nodes += [
        helper.make_node("Sub", [mean, "edge"], ["above"]),
        helper.make_node("Mul", ["above", "slopes"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants = {
        "one": np.array([1], np.int64),
        "axes": np.arange(1, axes, dtype=np.int64),
        "edge": np.array([[128.0]], np.float32),
        "slopes": np.array([[-0.05, 0.05]], np.float32),
    }
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "brightness", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def clips_of(greys: Sequence[Sequence[int]], channels: int = 1) -> U8:
    """uint8 [B, T, 8, 8, channels], a grey level a frame."""
    frames = np.array(greys, np.uint8)[:, :, None, None, None]
    return np.broadcast_to(frames, (*frames.shape[:2], 8, 8, channels)).copy()
