"""Mixup: each sample is laid over another one of its batch, and so are their targets.

Source: Zhang et al., "mixup: Beyond empirical risk minimization", 2018.
"""

from __future__ import annotations

import numpy as np
import torch

from training.data.draws import Draws


def mixed(
    frames: torch.Tensor, target: torch.Tensor, draws: Draws, alpha: float, classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix each sample with the one before it in the batch.

    Args:
        frames: uint8 [B, T, H, W, C].
        target: int64 [B] of classes, or float32 [B, N].
        alpha: of the Beta distribution that a sample's own share is drawn from.
        classes: how many there are.

    Returns:
        frames as they came in, and target float32 [B, classes] or [B, N].
    """
    # A Beta variate for each sample from a generator of its own: there is no closed form to put a uniform number in.
    own = [np.random.default_rng(int(seed)).beta(alpha, alpha) for seed in draws.bits("mixup")]
    # At least half is the sample's own, so that none changes places with its partner.
    share = torch.tensor([max(one, 1 - one) for one in own], dtype=torch.float32)
    wide = share.view(-1, 1, 1, 1, 1).to(frames.device)
    mixed_frames = (frames * wide + frames.roll(1, dims=0) * (1 - wide)).round().to(torch.uint8)
    if target.ndim == 1:
        target = torch.nn.functional.one_hot(target, classes).float()
    tall = share.view(-1, 1).to(target)
    return mixed_frames, target * tall + target.roll(1, dims=0) * (1 - tall)
