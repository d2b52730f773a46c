"""What a net is made of: places that hold a particle, chains of them, and branches that are fused.

Legend: B batch, T time, … features.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from training.particles.particle import Fusion, Particle, State, StateSpec, TemporalParticle
from training.particles.shape import Shape
from training.place import Place

Extra = Mapping[str, Tensor]
"""The further inputs by name, [B, …]."""


class Node(nn.Module):
    """A place in a net.

    Attributes:
        place: where it stands in the list.
        name: of its particle.
        comes, out: the shapes before and after it.
        state: what it remembers from frame to frame; names are unique in the net.
        streams: whether it can go frame by frame.
    """

    place: Place
    name: str
    comes: Shape
    out: Shape
    state: tuple[StateSpec, ...] = ()
    streams: bool = True

    def __init__(self, place: Place, name: str, comes: Shape) -> None:
        super().__init__()
        self.place, self.name, self.comes = place, name, comes

    @abstractmethod
    def forward(self, x: Tensor, state: State, extra: Extra) -> tuple[Tensor, State]:
        """All frames: [B, T, …] or, where there is no time, [B, …]."""

    @abstractmethod
    def step(self, x: Tensor, state: State, extra: Extra) -> tuple[Tensor, State]:
        """One frame: [B, …]."""

    def leaves(self) -> Iterator[Leaf]:
        """The places that hold a particle, in order."""
        if isinstance(self, FrameNode | TimeNode):
            yield self


class FrameNode(Node):
    """A particle that every frame goes through by itself."""

    def __init__(self, place: Place, name: str, comes: Shape, particle: Particle) -> None:
        super().__init__(place, name, comes)
        self.particle = particle
        self.out = replace(particle.out, time=comes.time)

    def forward(self, x: Tensor, state: State, extra: Extra) -> tuple[Tensor, State]:
        if self.comes.time is None:
            return self.particle(x), ()
        y: Tensor = self.particle(x.flatten(0, 1))
        return y.reshape(-1, x.shape[1], *y.shape[1:]), ()

    def step(self, x: Tensor, state: State, extra: Extra) -> tuple[Tensor, State]:
        return self.particle(x), ()


class TimeNode(Node):
    """A particle that looks along time."""

    def __init__(self, place: Place, name: str, comes: Shape, particle: TemporalParticle) -> None:
        super().__init__(place, name, comes)
        self.particle = particle
        self.out = particle.out
        self.streams = particle.streams
        self.state = tuple(replace(one, name=f"{key(self)}_{one.name}") for one in particle.state)

    def forward(self, x: Tensor, state: State, extra: Extra) -> tuple[Tensor, State]:
        y: tuple[Tensor, State] = self.particle(x, state)
        return y

    def step(self, x: Tensor, state: State, extra: Extra) -> tuple[Tensor, State]:
        return self.particle.step(x, state)


class FuseNode(nn.Module):
    """The particle that makes one of what two branches give; `comes` holds both shapes."""

    def __init__(self, place: Place, name: str, comes: tuple[Shape, Shape], particle: Fusion) -> None:
        super().__init__()
        self.place, self.name, self.comes = place, name, comes
        self.particle = particle
        self.out = replace(particle.out, time=comes[0].time)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """All frames: two of [B, T, …] or, where there is no time, of [B, …]."""
        if self.out.time is None:
            return self.step(first, second)
        y = self.step(first.flatten(0, 1), second.flatten(0, 1))
        return y.reshape(-1, first.shape[1], *y.shape[1:])

    def step(self, first: Tensor, second: Tensor) -> Tensor:
        """One frame: two of [B, …]."""
        y: Tensor = self.particle(first, second)
        return y


Leaf = FrameNode | TimeNode | FuseNode


class Chain(Node):
    """Nodes one after the other."""

    def __init__(self, place: Place, comes: Shape, nodes: Sequence[Node]) -> None:
        super().__init__(place, "chain", comes)
        self.nodes = nn.ModuleDict({key(node): node for node in nodes})
        self.out = nodes[-1].out if nodes else comes
        self.state = tuple(spec for node in nodes for spec in node.state)
        self.streams = all(node.streams for node in nodes)

    def forward(self, x: Tensor, state: State, extra: Extra) -> tuple[Tensor, State]:
        after: State = ()
        for node, own in shares(self._nodes(), state):
            x, new = node(x, own, extra)
            after += new
        return x, after

    def step(self, x: Tensor, state: State, extra: Extra) -> tuple[Tensor, State]:
        after: State = ()
        for node, own in shares(self._nodes(), state):
            x, new = node.step(x, own, extra)
            after += new
        return x, after

    def leaves(self) -> Iterator[Leaf]:
        for node in self._nodes():
            yield from node.leaves()

    def _nodes(self) -> list[Node]:
        return [node for node in self.nodes.values() if isinstance(node, Node)]


class Branches(Node):
    """Two chains beside each other, and the particle that makes one of what they give.

    Args:
        sources: for each chain the further input that it starts from; None: what comes.
    """

    def __init__(
        self, place: Place, comes: Shape, chains: tuple[Chain, Chain], sources: Sequence[str | None], fuse: FuseNode
    ) -> None:
        super().__init__(place, "branches", comes)
        self.first, self.second = chains
        self.sources = tuple(sources)
        self.fuse = fuse
        self.out = fuse.out
        self.state = self.first.state + self.second.state
        self.streams = self.first.streams and self.second.streams

    def forward(self, x: Tensor, state: State, extra: Extra) -> tuple[Tensor, State]:
        given = self._given(x, extra)
        (first, own), (second, other) = shares([self.first, self.second], state)
        (a, after), (b, later) = first(given[0], own, extra), second(given[1], other, extra)
        y: Tensor = self.fuse(a, b)
        return y, after + later

    def step(self, x: Tensor, state: State, extra: Extra) -> tuple[Tensor, State]:
        given = self._given(x, extra)
        (first, own), (second, other) = shares([self.first, self.second], state)
        (a, after), (b, later) = first.step(given[0], own, extra), second.step(given[1], other, extra)
        return self.fuse.step(a, b), after + later

    def leaves(self) -> Iterator[Leaf]:
        yield from self.first.leaves()
        yield from self.second.leaves()
        yield self.fuse

    def _given(self, x: Tensor, extra: Extra) -> list[Tensor]:
        return [x if source is None else extra[source] for source in self.sources]


def key(node: Node) -> str:
    """A name that is unique in the net, for weights and states, such as `gru_4` or `conv_3_audio_1`."""
    return f"{node.name}_{node.place}".replace(".", "_")


def shares(nodes: Sequence[Node], state: State) -> Iterator[tuple[Node, State]]:
    """Every node with its own part of the state."""
    start = 0
    for node in nodes:
        end = start + len(node.state)
        yield node, state[start:end]
        start = end
