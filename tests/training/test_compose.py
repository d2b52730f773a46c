from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from net_builders import clips, net_of, pictures, some_frames
from torch import nn

from training import presets
from training.border import InputConfig
from training.compose import compose
from training.errors import NetInvalid, OptionInvalid, ParticleUnknown, ShapeMismatch
from training.particles.shape import Shape

END = [{"particle": "flatten"}, {"particle": "linear", "channels": "outputs"}]


def places(net: Any) -> list[str]:
    return [f"{leaf.place} {leaf.name}" for leaf in net.chain.leaves()]


def refused(*entries: Any, looks_at: InputConfig | None = None) -> str:
    with pytest.raises(NetInvalid) as told:
        net_of(*entries, looks_at=looks_at)
    return str(told.value)


def test_sizes_of_inputs_follow_from_what_comes_before() -> None:
    net = net_of({"particle": "conv", "channels": 4}, {"particle": "pool"}, *END)

    assert [leaf.out for leaf in net.chain.leaves()] == [
        Shape((4, 8, 8)),
        Shape((4, 4, 4)),
        Shape((64,)),
        Shape((3,)),
    ]
    assert net(some_frames(frames=1)).shape == (2, 3)


def test_a_particle_without_options_may_be_a_bare_name() -> None:
    assert places(net_of("pool", "flatten", END[1])) == ["1 pool", "2 flatten", "3 linear"]


def test_a_list_is_repeated_with_weights_of_their_own() -> None:
    net = net_of({"repeat": 2, "net": [{"particle": "conv", "channels": 4}, "activation"]}, *END)

    assert places(net)[:4] == ["1.1.1 conv", "1.1.2 activation", "1.2.1 conv", "1.2.2 activation"]
    first, second = (leaf for leaf in net.chain.leaves() if leaf.name == "conv")
    assert (first.out.channels, second.comes.channels) == (4, 4)
    assert {id(weight) for weight in first.parameters()}.isdisjoint(id(weight) for weight in second.parameters())


def test_branches_start_from_what_comes_and_are_fused() -> None:
    convolved = {"particle": "conv", "channels": 3}
    net = net_of({"branches": {"seen": [], "convolved": [convolved]}, "fuse": "add"}, *END)
    alone = net.chain.nodes["branches_1"].second.nodes["conv_1_convolved_1"].particle
    x = net.border(some_frames(frames=1)[:, 0])

    both, _ = net.chain.nodes["branches_1"](x, (), {})

    assert places(net)[:2] == ["1.convolved.1 conv", "1.fuse add"]
    assert torch.allclose(both, x + alone(x))


def test_a_branch_with_the_name_of_a_further_input_starts_from_that() -> None:
    looks_at = InputConfig(height=8, width=8, also={"audio": (1, 6, 10)})
    net = net_of(
        {
            "branches": {"sight": ["global_pool"], "audio": [{"particle": "conv", "channels": 5}, "global_pool"]},
            "fuse": {"particle": "gated", "channels": 4},
        },
        END[1],
        looks_at=looks_at,
    )
    silent, loud = torch.zeros(2, 1, 6, 10), torch.ones(2, 1, 6, 10)
    frames = some_frames(frames=1)

    assert net(frames, {"audio": silent}).shape == (2, 3)
    assert not torch.allclose(net(frames, {"audio": silent}), net(frames, {"audio": loud}))


def test_branches_of_a_clip_go_frame_by_frame_too() -> None:
    moved = [{"particle": "temporal_shift", "share": 0.5}, {"particle": "conv", "channels": 3}]
    net = net_of(
        {"branches": {"seen": [], "moved": moved}, "fuse": "concatenate"},
        {"particle": "conv", "channels": 4},
        "global_pool",
        {"branches": {"recent": [{"particle": "gru", "hidden": 4}], "own": []}, "fuse": "add"},
        {"particle": "time_pool", "kind": "mean"},
        END[1],
        looks_at=clips(),
    )
    clip = some_frames()
    assert torch.allclose(net.in_time(clip)[:, -1], net(clip), atol=1e-5)


class Doubled(nn.Module):
    """A module that knows nothing of particles."""

    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, x * self.factor], 1)


def test_a_particle_of_ones_own_is_named_by_its_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_blocks.py").write_text(
        "from training.particles.particle import Particle\n"
        "class Halved(Particle):\n"
        "    def __init__(self, shape, *, by: float = 2.0):\n"
        "        super().__init__()\n"
        "        self.out, self.by = shape, by\n"
        "    def forward(self, x):\n"
        "        return x / self.by\n"
    )
    monkeypatch.chdir(tmp_path)
    net = net_of({"particle": "my_blocks:Halved", "by": 4}, *END, looks_at=pictures())
    half = next(net.chain.leaves())

    assert (half.name, half.particle.by) == ("Halved", 4.0)
    assert "'bye'" in refused({"particle": "my_blocks:Halved", "bye": 4}, *END)
    assert "did you mean 'by'" in refused({"particle": "my_blocks:Halved", "bye": 4}, *END).lower()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Silent", "It does not say which shape it gives."),
        ("Liar", "Its `forward` gives [B, 3, 8, 8], and its `out` says [B, 6, 8, 8]."),
        ("Failing", "Its `forward` fails on zeros of the shape that comes: RuntimeError: shape '[1, 2, 3]' is invalid"),
        ("Stepless", "It has no `step`. Write one; or set streams = False"),
        ("Short", "Its `step` gives [B, 1, 8, 8], and its `out` says [B, 3, 8, 8]."),
    ],
)
def test_a_particle_of_ones_own_that_gives_something_else_than_it_says_is_refused(name: str, told: str) -> None:
    entries = ["global_pool", "time_pool", END[1]]
    assert f"Particle 1 (net.0, own_particles:{name}): {told}" in refused(
        f"own_particles:{name}", *entries, looks_at=clips()
    )


def test_to_be_tried_out_changes_nothing_in_a_particle_of_ones_own() -> None:
    torch.manual_seed(0)
    net = compose(["own_particles:Counting", "own_particles:Trace", "global_pool", "time_pool", END[1]], clips(), 3)
    first = next(net.chain.leaves()).particle
    assert first.training
    assert first.norm.num_batches_tracked == 0


def test_any_module_of_torch_will_do_and_its_shape_is_found_out() -> None:
    net = net_of({"particle": "torch.nn:ZeroPad2d", "padding": 1}, *END)
    assert next(net.chain.leaves()).out == Shape((3, 10, 10))
    told = refused("flatten", {"particle": "torch.nn:Conv2d", "in_channels": 3, "out_channels": 4, "kernel_size": 3})
    assert "Particle 2 (net.1, torch.nn:Conv2d)" in told
    assert "a vector [C 192] comes" in told


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("no_such_package:Block", "there is no module 'no_such_package'"),
        ("torch.nn:NoSuchThing", "has no 'NoSuchThing'"),
        ("math:pi", "is not a torch.nn.Module"),
    ],
)
def test_an_import_path_that_leads_nowhere_is_told(path: str, told: str) -> None:
    with pytest.raises(ParticleUnknown, match=re.escape(told)):
        net_of({"particle": path})


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (["conf"], "Particle 1 (net.0, conf): There is no particle 'conf'. Did you mean 'conv'?"),
        ([{"particle": "conv", "channels": 4, "kernal": 3}], "Particle 1 (net.0, conv): It has no option 'kernal'."),
        ([{"particle": "conv", "channels": 4, "kernal": 3}], "Did you mean 'kernel'?"),
        ([{"particle": "conv"}], "Particle 1 (net.0, conv): It lacks the option 'channels'."),
        ([{"particle": "conv", "channels": 0}], "Option 'channels': Input should be greater than or equal to 1"),
        ([{"particle": "pool", "kind": "min"}], "Option 'kind': Input should be 'max' or 'mean' (it is 'min')"),
        ([{"partical": "conv"}], "1 (net.0): no particle is named by partical. Did you mean 'particle'?"),
        ([{"repeat": 2, "nets": []}], "1 (net.0): 'repeat' needs 'net' beside it."),
        ([{"repeat": 0, "net": []}], "1 (net.0): `repeat` is a number from 1 to 1000, not 0."),
        ([{"branches": {"a": []}, "fuse": "add"}], "1 (net.0): `branches` are two lists with a name each."),
        (
            [{"branches": {"a": [], "b": []}, "fuse": "sum"}],
            "Particle 1.fuse (net.0.fuse, sum): There is no fusion 'sum'.",
        ),
        ([{"branches": {"a": [], "b": []}, "fuse": "conv"}], "It takes one input and cannot `fuse` two."),
        (["gated"], "It fuses two `branches`."),
        ([{"preset": "resnett"}], "Did you mean 'resnet'?"),
        ([3], "1 (net.0): a particle is needed, such as {particle: flatten}, not 3."),
    ],
)
def test_what_is_wrong_in_a_list_is_told_with_its_place(entries: list, told: str) -> None:
    assert told in refused(*entries)


def test_a_shape_that_does_not_fit_names_place_what_came_and_what_is_needed() -> None:
    with pytest.raises(ShapeMismatch) as told:
        net_of("flatten", {"particle": "conv", "channels": 4})
    assert str(told.value) == "Particle 2 (net.1, conv): It needs a map [C, H, W], and a vector [C 192] comes."

    inside = {"branches": {"a": [], "b": ["flatten", {"repeat": 2, "net": ["pool"]}]}, "fuse": "add"}
    assert "Particle 1.b.2.1.1 (net.0.branches.b.1.net.0, pool): It needs a map" in refused(inside)
    assert "Particle 1.fuse (net.0.fuse, add): It needs two of one shape" in refused(
        {"branches": {"a": [], "b": ["flatten"]}, "fuse": "add"}
    )


def test_a_place_inside_of_a_preset_has_the_key_of_the_preset() -> None:
    assert "Particle 2.1 (net.1, conv): It needs a map" in refused("flatten", {"preset": "clip-trunk"})
    with pytest.raises(ShapeMismatch, match=r"Particle 2 \(net, gru\)"):
        compose("clip-gru", pictures(size=32), 3)


def test_a_difference_over_more_frames_than_there_are_is_refused() -> None:
    told = refused({"particle": "frame_difference", "over": 5}, looks_at=clips(5))
    assert "It needs a clip of more than 5 frames for `over`: 5; all would be 0, and a map [T 5, " in told
    assert net_of(
        {"particle": "frame_difference", "over": 4}, "flatten", "time_pool", END[1], looks_at=clips(5)
    ).streams


def test_the_end_must_be_a_number_a_label() -> None:
    assert "a vector [C 3] at the end, one number a label, and a map [C 3, H 8, W 8] comes" in refused()
    assert "{particle: time_pool} and then" in refused("global_pool", END[1], looks_at=clips())


def test_options_are_checked_as_they_are_declared() -> None:
    with pytest.raises(OptionInvalid, match=r"Its options are|Did you mean"):
        net_of({"particle": "dropout", "rate": 0.5})
    with pytest.raises(OptionInvalid, match="It has none"):
        net_of({"particle": "flatten", "start": 1})


@pytest.mark.parametrize(
    ("name", "looks_at", "parameters"),
    [
        ("mnist", InputConfig(height=28, width=28, channels=1), 693_962),
        ("resnet", pictures(size=32), 11_173_962),
        ("densenet", pictures(size=32), 176_146),
        ("vit-tiny", pictures(size=32), 5_489_482),
        ("clip-rnn", clips(size=32), None),
        ("clip-lstm", clips(size=32), None),
        ("clip-gru", clips(size=32), None),
        ("clip-tsm", clips(size=32), None),
    ],
)
def test_presets_make_nets(name: str, looks_at: InputConfig, parameters: int | None) -> None:
    net = compose(name, looks_at, 10).eval()
    frames = some_frames(frames=looks_at.frames or 1, size=looks_at.height, channels=looks_at.channels)

    answer = net(frames)

    assert answer.shape == (2, 10)
    if parameters is not None:
        assert sum(weight.numel() for weight in net.parameters()) == parameters
    if looks_at.frames is not None:
        assert net.streams
        assert torch.allclose(net.in_time(frames)[:, -1], answer, atol=1e-5)


def test_every_preset_says_where_it_comes_from() -> None:
    for name in presets.names():
        head = (Path(presets.__file__).parent / f"{name}.yaml").read_text().splitlines()[0]
        assert head.startswith("# ")
