"""Augmentation: the same for all frames of a clip, and the same when an epoch is repeated."""

import numpy as np
import pytest
import torch

from training.data.augmentation import AugmentConfig, augmented
from training.data.draws import Draws

EVERYTHING = AugmentConfig(
    rotate=30, scale=0.2, shift=0.1, crop=0.2, flip=0.5, brightness=0.2, contrast=0.3, saturation=0.5, hue=0.1,
    blur=1.0, denoise=0.3,
)  # fmt: skip


def still_clips(count: int = 6, time: int = 4, channels: int = 3) -> torch.Tensor:
    """Clips whose frames are all the same, uint8 [count, time, 24, 20, channels]."""
    random = np.random.default_rng(0)
    coarse = torch.from_numpy(random.integers(0, 256, (count, 1, 6, 5, channels), np.uint8))
    return coarse.repeat_interleave(4, 2).repeat_interleave(4, 3).repeat(1, time, 1, 1, 1)


def draws(epoch: int = 0, index: list[int] | None = None) -> Draws:
    return Draws(7, epoch, np.array(index or range(6)))


@pytest.mark.parametrize("channels", [1, 3])
def test_all_frames_of_a_clip_are_changed_alike(channels: int) -> None:
    clips = still_clips(channels=channels)
    changed = augmented(clips, EVERYTHING, draws())
    assert changed.shape == clips.shape
    assert changed.dtype == torch.uint8
    assert (changed == changed[:, :1]).all()
    assert all(not torch.equal(before, after) for before, after in zip(clips, changed, strict=True))


def test_noise_alone_is_new_in_each_frame() -> None:
    changed = augmented(still_clips(), AugmentConfig(noise=20), draws()).float()
    assert (changed[:, 0] - changed[:, 1]).abs().mean() > 1


def test_a_repeated_epoch_changes_each_sample_as_before_whatever_shares_its_batch() -> None:
    clips, everything = still_clips(), EVERYTHING.model_copy(update={"noise": 10.0})
    whole = augmented(clips, everything, draws())
    some = augmented(clips[[4, 1]], everything, draws(index=[4, 1]))
    assert (whole[[4, 1]].int() - some.int()).abs().max() <= 1
    assert not torch.equal(whole, augmented(clips, everything, draws(epoch=1)))


def test_nothing_asked_for_changes_nothing() -> None:
    clips = still_clips()
    assert augmented(clips, AugmentConfig(time_jitter=3, mixup=0.4), draws()) is clips


def test_a_flip_puts_left_and_right_in_each_others_place() -> None:
    clips = still_clips()
    assert torch.equal(augmented(clips, AugmentConfig(flip=1.0), draws()), clips.flip(3))


def test_a_rotation_is_what_opencv_does() -> None:
    import cv2

    clips, config = still_clips(1, 1), AugmentConfig(rotate=180)
    angle = float(draws(index=[3]).uniform("rotate", -180, 180)[0])
    changed = augmented(clips, config, draws(index=[3]))[0, 0].numpy()
    # OpenCV counts angles against the clock with y upwards, ours are in pixels with y downwards.
    matrix = cv2.getRotationMatrix2D((9.5, 11.5), -angle, 1.0)
    expected = cv2.warpAffine(clips[0, 0].numpy(), matrix, (20, 24), borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(changed.astype(int) - expected).mean() < 2


def test_grey_stays_grey_whatever_hue_and_saturation_do() -> None:
    grey = still_clips(channels=1).repeat(1, 1, 1, 1, 3)
    changed = augmented(grey, AugmentConfig(hue=0.5, saturation=1.0), draws()).int()
    assert (changed - grey.int()).abs().max() <= 2


def test_brightness_and_contrast_stay_within_their_bounds() -> None:
    clips = still_clips().clamp(100, 150)
    bright = augmented(clips, AugmentConfig(brightness=0.1), draws()).float() - clips.float()
    assert bright.abs().max() <= 26
    assert bright.std(dim=(1, 2, 3, 4)).max() < 1
    spread = augmented(clips, AugmentConfig(contrast=0.5), draws()).float().std(dim=(1, 2, 3, 4))
    before = clips.float().std(dim=(1, 2, 3, 4))
    assert ((spread / before > 0.45) & (spread / before < 1.55)).all()
    assert (spread / before - 1).abs().max() > 0.1


@pytest.mark.parametrize("config", [AugmentConfig(blur=1.0), AugmentConfig(denoise=1.0)])
def test_blur_and_median_take_noise_away(config: AugmentConfig) -> None:
    noisy = augmented(still_clips() // 2 + 60, AugmentConfig(noise=40), draws())
    smooth = augmented(noisy, config, draws())
    roughness = [(one.float().diff(dim=3)).abs().mean(dim=(1, 2, 3, 4)) for one in (noisy, smooth)]
    assert (roughness[1] <= roughness[0]).all()
    assert (roughness[1] < 0.9 * roughness[0]).any()


def test_hue_and_saturation_do_not_change_grey_frames() -> None:
    clips = still_clips(channels=1)
    assert augmented(clips, AugmentConfig(hue=0.5, saturation=1.0), draws()) is clips
