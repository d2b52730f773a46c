"""What a net is made of, as a table: shapes, parameters, multiply-adds, a row a particle."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from rich.table import Table
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from training.net import Net
from training.nodes import FuseNode, Leaf, TimeNode
from training.particles.particle import initial_state
from training.particles.shape import Shape


@dataclass(frozen=True, slots=True)
class Row:
    """One particle.

    Attributes:
        key: the place as `key=value` writes it.
        multiply_adds: for one frame, of its convolutions and matrix products; adding and comparing are not counted.
    """

    place: str
    key: str
    particle: str
    out: Shape
    parameters: int
    multiply_adds: int


def rows(net: Net) -> list[Row]:
    """A row a particle, in the order of the list."""
    training = net.training
    net.eval()
    found = [
        Row(
            str(leaf.place),
            leaf.place.key,
            leaf.name,
            leaf.out,
            sum(weight.numel() for weight in leaf.parameters()),
            _multiply_adds(leaf),
        )
        for leaf in net.chain.leaves()
    ]
    net.train(training)
    return found


def table(net: Net) -> Table:
    """The rows with their sums, for a terminal."""
    found = rows(net)
    parameters = sum(row.parameters for row in found)
    multiply_adds = sum(row.multiply_adds for row in found)
    shown = Table(box=None, pad_edge=False, show_footer=True)
    shown.add_column("", footer="")
    shown.add_column("key", no_wrap=True)
    shown.add_column("particle", footer="together")
    shown.add_column("gives", no_wrap=True)
    shown.add_column("parameters", f"{parameters:,}", justify="right")
    shown.add_column("multiply-adds a frame", f"{multiply_adds:,}", justify="right")
    shown.add_column("share", justify="right")
    for row in found:
        share = f"{row.multiply_adds / multiply_adds:.1%}" if multiply_adds else ""
        shown.add_row(
            row.place, row.key, row.particle, str(row.out), f"{row.parameters:,}", f"{row.multiply_adds:,}", share
        )
    return shown


def kind(net: Net) -> str:
    """One sentence about how the net can be served."""
    if net.frames is None:
        return "It looks at single frames."
    if not net.streams:
        return f"It looks at windows of {net.frames} frames."
    numbers = sum(torch.Size(spec.shape).numel() for spec in net.state)
    return f"It goes frame by frame and remembers {numbers:,} numbers a stream."


def _multiply_adds(leaf: Leaf) -> int:
    # Of attention only the plain form is seen by the counter.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        if isinstance(leaf, FuseNode):
            leaf.step(*(torch.zeros(1, *shape.features) for shape in leaf.comes))
        elif isinstance(leaf, TimeNode) and not leaf.streams:
            x = torch.zeros(1, leaf.comes.clip(), *leaf.comes.features)
            leaf(x, initial_state(leaf.state, x), {})
            return int(counter.get_total_flops()) // 2 // leaf.comes.clip()
        else:
            x = torch.zeros(1, *leaf.comes.features)
            leaf.step(x, initial_state(leaf.state, x), {})
    return int(counter.get_total_flops()) // 2
