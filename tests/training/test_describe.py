import re

import pytest
from net_builders import clips, net_of
from rich.console import Console

from training.describe import kind, rows, table

CONV = {"particle": "conv", "channels": 4, "kernel": 3}
END = [{"particle": "linear", "channels": "outputs"}]


def test_multiply_adds_are_what_the_formulas_say_for_one_frame() -> None:
    net = net_of(CONV, "global_pool", {"particle": "gru", "hidden": 5}, "time_pool", *END, looks_at=clips(7))

    found = {row.particle: row for row in rows(net)}

    assert found["conv"].multiply_adds == 8 * 8 * 4 * (3 * 3 * 3)
    assert found["conv"].parameters == 4 * 27 + 4
    assert found["gru"].multiply_adds == 3 * 5 * (4 + 5)
    assert found["linear"].multiply_adds == 5 * 3
    assert found["global_pool"].multiply_adds == found["global_pool"].parameters == 0


def test_attention_counts_its_products_of_tokens() -> None:
    net = net_of({"particle": "patch_embedding", "channels": 6, "patch": 4}, "transformer_encoder", "first_token", *END)
    tokens, channels = 5, 6
    projections = 4 * tokens * channels**2 + 2 * tokens * 4 * channels**2
    assert rows(net)[1].multiply_adds == projections + 2 * tokens**2 * channels


def test_a_net_that_needs_a_window_counts_its_share_of_a_frame() -> None:
    net = net_of(
        "global_pool",
        {"particle": "temporal_conv", "channels": 4, "causal": False},
        "time_pool",
        *END,
        looks_at=clips(6),
    )
    assert rows(net)[1].multiply_adds == 3 * 3 * 4


def test_the_table_shows_every_particle_and_what_all_come_to() -> None:
    net = net_of({"branches": {"a": [], "b": [{"particle": "conv", "channels": 3}]}, "fuse": "add"}, "flatten", *END)
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table(net))
    lines = capture.get().splitlines()

    assert re.split(r"  +", lines[1].strip())[:4] == ["1.b.1", "net.0.branches.b.0", "conv", "a map [C 3, H 8, W 8]"]
    assert "1.fuse" in lines[2]
    together = sum(weight.numel() for weight in net.parameters())
    assert re.search(rf"together +{together:,} +5,760", lines[-1])
    shares = [float(share) for share in re.findall(r"([\d.]+)%", "\n".join(lines))]
    assert sum(shares) == pytest.approx(100, abs=0.3)


def test_describing_leaves_a_net_as_it_was() -> None:
    net = net_of("flatten", *END).train()
    rows(net)
    assert net.training


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (["time_pool", "flatten"], "goes frame by frame and remembers 0 numbers"),
        (["frame_difference", "time_pool", "flatten"], "remembers 193 numbers a stream"),
        ([{"particle": "temporal_shift", "causal": False}, "time_pool", "flatten"], "windows of 5 frames"),
    ],
)
def test_how_a_net_can_be_served_is_said(entries: list, told: str) -> None:
    assert told in kind(net_of(*entries, *END, looks_at=clips()))
    assert "single frames" in kind(net_of("flatten", *END))
