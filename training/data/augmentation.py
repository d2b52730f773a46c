"""Augmentation: what may change in a sample without changing what it is. All frames of a clip are changed alike.

What is drawn depends on (seed, epoch, index) alone; kornia does the arithmetic.
"""

from __future__ import annotations

import kornia.filters
import kornia.geometry.transform
import numpy as np
import torch
from pydantic import Field

from training.configuration import Config
from training.data.draws import Draws

_YUV = np.array([[0.114, 0.587, 0.299], [0.436, -0.289, -0.147], [-0.1, -0.515, 0.615]])
"""Luma and chroma of BGR (ITU-R BT.601, analogue). Turning the chroma is what the hue does."""
_BLUR_SIZE = 7
"""Pixels of the blur's kernel: three standard deviations of the strongest blur on each side."""


class AugmentConfig(Config):
    """How much may change, at most; 0 leaves it alone. Only what a net trains with is changed."""

    rotate: float = Field(default=0.0, ge=0, le=180, description="degrees, either way")
    scale: float = Field(default=0.0, ge=0, lt=1, description="part by which it grows or shrinks")
    shift: float = Field(default=0.0, ge=0, le=0.5, description="part of the frame, in x and in y")
    crop: float = Field(default=0.0, ge=0, lt=1, description="part of each side cut away; the rest fills the frame")
    flip: float = Field(default=0.0, ge=0, le=1, description="how often left and right change places")
    brightness: float = Field(default=0.0, ge=0, le=1, description="added or taken away; 1 is white")
    contrast: float = Field(default=0.0, ge=0, lt=1, description="part by which it changes")
    saturation: float = Field(default=0.0, ge=0, le=1, description="part by which it changes; not for grey frames")
    hue: float = Field(default=0.0, ge=0, le=0.5, description="turns of the colour circle; not for grey frames")
    noise: float = Field(default=0.0, ge=0, le=128, description="standard deviation in grey levels, new in each frame")
    blur: float = Field(default=0.0, ge=0, le=1.0, description="standard deviation in pixels, of half of the samples")
    denoise: float = Field(default=0.0, ge=0, le=1, description="how often a 3 × 3 median is taken")
    time_jitter: int = Field(default=0, ge=0, le=64, description="frames by which each frame of a clip is displaced")
    mixup: float = Field(default=0.0, ge=0, le=10, description="alpha of the Beta distribution; 0.2 is usual")


def augmented(frames: torch.Tensor, config: AugmentConfig, draws: Draws) -> torch.Tensor:
    """Change frames as a configuration says, uint8 [B, T, H, W, C] → the same shape and type.

    Not here: time jitter, which `windows` does, and `mixup`.
    """
    batch, time, height, width, channels = frames.shape
    if not _changes(config, channels):
        return frames
    pictures = frames.permute(0, 1, 4, 2, 3).reshape(batch * time, channels, height, width).float().div(255)
    pictures = _moved(pictures, config, draws, time)
    pictures = _coloured(pictures, config, draws, time)
    pictures = _spoilt(pictures, config, draws, time)
    pictures = pictures.clamp(0, 1).mul(255).round().to(torch.uint8)
    return pictures.reshape(batch, time, channels, height, width).permute(0, 1, 3, 4, 2).contiguous()


def _changes(config: AugmentConfig, channels: int) -> bool:
    off = {"time_jitter", "mixup"} | ({"saturation", "hue"} if channels == 1 else set())
    return any(value for name, value in config if name not in off)


def _moved(pictures: torch.Tensor, config: AugmentConfig, draws: Draws, time: int) -> torch.Tensor:
    """Rotation, scale, crop, flip and shift in one interpolation; edges go on outwards."""
    if not any((config.rotate, config.scale, config.shift, config.crop, config.flip)):
        return pictures
    height, width = pictures.shape[-2:]
    angle = np.deg2rad(draws.uniform("rotate", -config.rotate, config.rotate))
    kept = 1.0 - draws.uniform("crop", 0.0, config.crop)
    zoom = (1.0 + draws.uniform("scale", -config.scale, config.scale)) / kept
    mirror = np.where(draws.chance("flip", config.flip), -1.0, 1.0)
    # A crop may lie anywhere: its middle is moved by up to half of what was cut away.
    loose = (1.0 - kept) / 2
    across = draws.uniform("shift x", -config.shift, config.shift) + draws.uniform("crop x", -1, 1) * loose * zoom
    down = draws.uniform("shift y", -config.shift, config.shift) + draws.uniform("crop y", -1, 1) * loose * zoom
    matrix = np.zeros((len(draws), 2, 3))
    matrix[:, 0, 0], matrix[:, 0, 1] = zoom * np.cos(angle) * mirror, -zoom * np.sin(angle)
    matrix[:, 1, 0], matrix[:, 1, 1] = zoom * np.sin(angle) * mirror, zoom * np.cos(angle)
    # Around the middle, which lies between pixels: coordinates are of pixel centres.
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix[:, :, 2] = middle + np.stack([across * width, down * height], axis=1) - matrix[:, :, :2] @ middle
    each = torch.from_numpy(matrix).to(pictures).repeat_interleave(time, dim=0)
    return kornia.geometry.transform.warp_affine(pictures, each, (height, width), padding_mode="border")


def _coloured(pictures: torch.Tensor, config: AugmentConfig, draws: Draws, time: int) -> torch.Tensor:
    """Brightness, contrast, saturation and hue as one matrix a sample: `matrix @ (pixel - mean) + mean + added`."""
    if not any((config.brightness, config.contrast, config.saturation, config.hue)):
        return pictures
    channels = pictures.shape[1]
    matrix = np.broadcast_to(np.eye(channels), (len(draws), channels, channels))
    if channels == 3:
        saturation = 1.0 + draws.uniform("saturation", -config.saturation, config.saturation)
        turn = 2 * np.pi * draws.uniform("hue", -config.hue, config.hue)
        chroma = np.zeros((len(draws), 3, 3))
        chroma[:, 0, 0] = 1.0
        chroma[:, 1, 1] = chroma[:, 2, 2] = saturation * np.cos(turn)
        chroma[:, 1, 2], chroma[:, 2, 1] = -saturation * np.sin(turn), saturation * np.sin(turn)
        matrix = np.linalg.inv(_YUV) @ chroma @ _YUV
    matrix = matrix * (1.0 + draws.uniform("contrast", -config.contrast, config.contrast))[:, None, None]
    added = draws.uniform("brightness", -config.brightness, config.brightness)
    flat = pictures.reshape(len(draws), time, channels, -1)
    # Contrast is around the grey of the clip, which gets no darker by it; all frames have the same.
    mean = flat.mean(dim=(1, 2, 3)).view(-1, 1, 1, 1)
    turned = torch.from_numpy(matrix).to(flat)[:, None] @ (flat - mean)
    return (turned + mean + torch.from_numpy(added).to(flat).view(-1, 1, 1, 1)).reshape(pictures.shape)


def _spoilt(pictures: torch.Tensor, config: AugmentConfig, draws: Draws, time: int) -> torch.Tensor:
    """Blur, noise and the median filter, each of the samples that were drawn for it."""
    if config.blur:
        sigma = draws.uniform("blur", -config.blur, config.blur)
        rows = _rows(sigma > 0.05, time)
        if len(rows):
            each = torch.from_numpy(sigma[sigma > 0.05]).to(pictures).repeat_interleave(time)
            blurred = kornia.filters.gaussian_blur2d(pictures[rows], _BLUR_SIZE, torch.stack([each, each], dim=1))
            pictures = pictures.index_copy(0, rows, blurred)
    if config.noise:
        strength = torch.from_numpy(draws.uniform("noise", 0.0, config.noise) / 255).to(pictures)
        pictures = pictures + _noise(pictures, draws, time) * strength.repeat_interleave(time).view(-1, 1, 1, 1)
    if config.denoise:
        rows = _rows(draws.chance("denoise", config.denoise), time)
        if len(rows):
            pictures = pictures.index_copy(0, rows, kornia.filters.median_blur(pictures[rows], 3))
    return pictures


def _rows(chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], time: int) -> torch.Tensor:
    """The frames of the chosen samples, int64."""
    first = torch.from_numpy(np.flatnonzero(chosen)) * time
    return (first[:, None] + torch.arange(time)).reshape(-1)


def _noise(pictures: torch.Tensor, draws: Draws, time: int) -> torch.Tensor:
    """Normal noise of the pictures' shape; each sample's from a generator of its own."""
    noise = torch.empty_like(pictures, device="cpu")
    generator = torch.Generator()
    for at, seed in enumerate(draws.bits("noise of pixels")):
        generator.manual_seed(int(seed >> np.uint64(1)))
        noise[at * time : (at + 1) * time].normal_(generator=generator)
    return noise.to(pictures.device)
