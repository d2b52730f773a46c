from __future__ import annotations

import numpy as np
import pytest
import torch
from net_builders import GRU_LIST, clips, net_of, pictures, some_frames

from training.border import Border, InputConfig
from training.configuration import read
from training.errors import ConfigInvalid, NetInvalid

END = ["global_pool", {"particle": "linear", "channels": "outputs"}]


@pytest.mark.parametrize(
    "temporal",
    [
        [{"particle": "rnn", "hidden": 4}, "time_pool"],
        [{"particle": "lstm", "hidden": 4}, {"particle": "gru", "hidden": 4}, {"particle": "time_pool", "kind": "max"}],
        [{"particle": "temporal_conv", "channels": 4}, "attention_pooling"],
        [{"particle": "frame_difference", "keep": True}, {"particle": "time_pool", "kind": "mean"}],
    ],
    ids=lambda one: "-".join(str(entry["particle"] if isinstance(entry, dict) else entry) for entry in one),
)
def test_frame_by_frame_gives_what_the_clip_gives(temporal: list) -> None:
    net = net_of(
        {"particle": "conv", "channels": 4, "norm": "batch", "activation": "relu"},
        "global_pool",
        *temporal,
        END[1],
        looks_at=clips(7),
    )
    clip = some_frames(3, 7)

    state = net.initial_state(3)
    for frame in clip.unbind(1):
        answer, state = net.step(frame, state)

    assert torch.allclose(answer, net(clip), atol=1e-5)
    assert net.in_time(clip).shape == (3, 7, 3)


def test_a_net_says_what_it_remembers() -> None:
    net = net_of({"particle": "frame_difference"}, *GRU_LIST, looks_at=clips())

    assert [(spec.name, spec.shape, spec.initial) for spec in net.state] == [
        ("frame_difference_1_before", (1, 3, 8, 8), 0.0),
        ("frame_difference_1_seen", (1,), 0.0),
        ("gru_4_h", (6,), 0.0),
    ]
    assert {name: tuple(row.shape) for name, row in net.initial_state(2).items()} == {
        spec.name: (2, *spec.shape) for spec in net.state
    }


def test_rows_of_a_batch_do_not_know_of_each_other() -> None:
    net, clip = net_of(*GRU_LIST, looks_at=clips()), some_frames(3)
    assert torch.allclose(net(clip)[1:2], net(clip[1:2]), atol=1e-6)


def test_a_net_that_looks_at_later_frames_needs_a_window() -> None:
    net = net_of(
        "global_pool",
        {"particle": "temporal_conv", "channels": 4, "causal": False},
        "time_pool",
        END[1],
        looks_at=clips(),
    )
    assert not net.streams
    assert net(some_frames()).shape == (2, 3)
    with pytest.raises(NetInvalid, match="needs a window"):
        net.step(some_frames()[:, 0], net.initial_state(2))


def test_pictures_are_clips_of_one_frame_or_have_no_time() -> None:
    net, frames = net_of(*END), some_frames(frames=1)
    assert torch.equal(net(frames), net(frames[:, 0]))
    with pytest.raises(NetInvalid, match="pictures, and clips of 5 frames come"):
        net(some_frames())
    with pytest.raises(NetInvalid, match="clips of 5 frames, and single pictures come"):
        net_of(*GRU_LIST, looks_at=clips())(frames[:, 0])


def test_grey_levels_are_normalised_at_the_border_channel_by_channel() -> None:
    border = Border(InputConfig(height=8, width=8, mean=(10, 20, 30), std=(2, 4, 8)))
    frames = some_frames()

    x = border(frames)

    expected = (frames.numpy().astype(np.float32) - np.float32([10, 20, 30])) / np.float32([2, 4, 8])
    assert x.shape == (2, 5, 3, 8, 8)
    assert x.numpy() == pytest.approx(np.moveaxis(expected, -1, 2))
    assert torch.equal(border(frames.float()), x)
    assert not border.state_dict()


def test_grey_is_made_of_colour_and_colour_of_grey() -> None:
    colour, grey = some_frames(frames=1), some_frames(frames=1, channels=1)
    as_grey = Border(pictures(channels=1))(colour)
    weighed = colour.numpy()[:, :, None, ..., 0] * 0.114 + colour.numpy()[:, :, None, ..., 1] * 0.587
    weighed = weighed + colour.numpy()[:, :, None, ..., 2] * 0.299
    assert as_grey.numpy() == pytest.approx(weighed / 255, abs=1e-6)

    as_colour = Border(pictures(channels=3))(grey)
    assert as_colour.shape == (2, 1, 3, 8, 8)
    assert all(torch.equal(as_colour[:, :, channel], as_colour[:, :, 0]) for channel in range(3))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"mean": [1, 2]}, "`mean` needs one number, or 3"),
        ({"std": 0}, "`std` must not be 0"),
        ({"heigth": 9}, "did you mean 'height'"),
        ({"channels": 2}, "channels"),
    ],
)
def test_an_input_that_cannot_be_is_refused(given: dict, told: str) -> None:
    with pytest.raises(ConfigInvalid) as error:
        read(InputConfig, {"height": 8, "width": 8, **given})
    assert told in str(error.value)
