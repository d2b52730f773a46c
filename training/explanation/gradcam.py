"""Grad-CAM: where in a picture, or in the frames of a clip, a net finds what speaks for a class.

The maps of the last layer that still knows places are weighted by how much the class's score would grow with each.
Source: Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based localization", 2017.

Legend: B batch, T time, H height, W width, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from training.errors import ModelUnsuitable

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


def grad_cam(module: nn.Module, frames: U8, label: int) -> F32:
    """The map of each frame.

    Args:
        module: takes frames [B, T, H, W, C] and gives logits [B, L].
        frames: of one clip, uint8 [T, H, W, C].
        label: whose score is explained.

    Returns:
        float32 [T, H, W], from 0 to 1, where 1 is the strongest place in the whole clip.

    Raises:
        ModelUnsuitable: no layer keeps places, as in a net of tokens.
    """
    with _maps_of(module) as seen, torch.enable_grad():
        # Without a gradient of the pixels a frozen net would keep none of its layers.
        pixels = torch.from_numpy(frames[None]).float().requires_grad_()
        score = module(pixels)[0, label]
    usable = [one for one in seen if one.requires_grad]
    if not usable:
        raise ModelUnsuitable(
            "No layer of the net keeps places, so Grad-CAM has nothing to look at.", hint="Use --method occlusion."
        )
    found = usable[-1]
    (gradient,) = torch.autograd.grad(score, found, allow_unused=True)
    if gradient is None:
        raise ModelUnsuitable("The score does not depend on the last layer that keeps places.")
    maps, slope = _by_frame(found.detach(), len(frames)), _by_frame(gradient, len(frames))
    weighted = (maps * slope.mean(dim=(2, 3), keepdim=True)).sum(dim=1).clamp_min(0).numpy()
    height, width = frames.shape[1:3]
    large = np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in weighted])
    strongest = float(large.max())
    return (large / strongest if strongest > 0 else large).astype(np.float32)


@contextmanager
def _maps_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """What layers give that still has places: [N, C, h, w] or with time beside the channels, in the order of asking."""
    seen: list[Tensor] = []

    def look(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor) and output.dim() in (4, 5) and min(output.shape[-2:]) > 1:
            seen.append(output)

    handles = [one.register_forward_hook(look) for one in module.modules() if not list(one.children())]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _by_frame(maps: Tensor, time: int) -> Tensor:
    """[T, C, h, w] of one clip."""
    if maps.dim() == 4 and len(maps) == time:
        return maps
    if maps.dim() == 5 and maps.shape[1] == time:
        return maps[0]
    if maps.dim() == 5 and maps.shape[2] == time:
        return maps[0].transpose(0, 1)
    if maps.dim() == 4 and len(maps) == 1:
        # Frames were joined before, so they share one map.
        return maps.expand(time, -1, -1, -1)
    raise ModelUnsuitable(
        f"The last layer that keeps places gives {list(maps.shape)}, which are not maps of {time} frames.",
        hint="Use --method occlusion.",
    )
