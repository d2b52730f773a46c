"""A net from a list of particles, as a recipe writes it.

    net:
      - {particle: conv, channels: 32, kernel: 3, activation: relu}
      - {particle: pool}
      - repeat: 2
        net: [{particle: residual, channels: 64}]
      - branches: {sight: [{particle: global_pool}], audio: [{particle: flatten}, {particle: linear, channels: 64}]}
        fuse: {particle: gated, channels: 64}
      - {preset: clip-trunk}
      - {particle: linear, channels: outputs}

What comes to a particle is known from what stands before it, so sizes of inputs are never written. `outputs` stands for
as many as there are labels. A branch with the name of a further input (`also`) starts from that, any other from what
comes; an empty branch passes it on.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from training import presets
from training.border import Border, InputConfig
from training.errors import NetInvalid, ShapeMismatch
from training.net import Net
from training.nodes import Branches, Chain, FrameNode, FuseNode, Node, TimeNode
from training.particles.foreign import Foreign
from training.particles.particle import Fusion, Particle, TemporalParticle
from training.particles.registry import check_options, fusion, made, particle
from training.particles.shape import Shape
from training.particles.trial import try_out

Entries = Sequence[Any]
OUTPUTS = "outputs"
Made = TypeVar("Made", Particle, TemporalParticle)


def compose(net: str | Entries, looks_at: InputConfig, outputs: int) -> Net:
    """The net that a list describes, with fresh weights.

    Args:
        net: the list, or the name of a preset.
        looks_at: the recipe's `input`.
        outputs: how many numbers it must give, one a label.

    Raises:
        NetInvalid: the list makes no net: an unknown particle or option, or a shape that does not fit. The message
            names the place in the list.
    """
    first = Shape((looks_at.channels, looks_at.height, looks_at.width), looks_at.frames)
    composer = _Composer({name: Shape(shape) for name, shape in looks_at.also.items()}, outputs)
    chain = composer.chain("", presets.read(net) if isinstance(net, str) else net, first)
    if chain.out != Shape((outputs,)):
        pooled = "" if chain.out.time is None else "{particle: time_pool} and then "
        raise ShapeMismatch(
            f"a vector [C {outputs}] at the end, one number a label",
            chain.out,
            hint=f"Let the list end with {pooled}{{particle: linear, channels: {OUTPUTS}}}.",
        )
    return Net(Border(looks_at), chain, frames=looks_at.frames, outputs=outputs)


def check_particles(net: str | Entries) -> None:
    """See that every particle of a list exists and takes its options, whether or not their shapes fit.

    Raises:
        ParticleUnknown, OptionInvalid: one does not; the message names its place in the list.
    """
    entries = presets.read(net) if isinstance(net, str) else net
    for place, given, fuses in _particles("", entries):
        name = str(given["particle"])
        with _at(place, name):
            check_options(fusion(name) if fuses else particle(name), _options(given, 1))


@dataclass(frozen=True)
class _Composer:
    also: Mapping[str, Shape]
    outputs: int

    def chain(self, place: str, entries: Entries, comes: Shape) -> Chain:
        return Chain(place, comes, list(self._nodes(f"{place}." if place else "", entries, comes)))

    def _nodes(self, prefix: str, entries: Entries, comes: Shape) -> Iterator[Node]:
        for place, given in _entries(prefix, entries):
            for node in self._entry(place, given, comes):
                yield node
                comes = node.out

    def _entry(self, place: str, given: Mapping[str, Any], comes: Shape) -> Iterator[Node]:
        if "particle" in given:
            yield self._particle(place, given, comes)
        elif "repeat" in given:
            _only(place, given, ("repeat", "net"))
            for time in range(1, _count(place, given["repeat"]) + 1):
                for node in self._nodes(f"{place}.{time}.", given["net"], comes):
                    yield node
                    comes = node.out
        elif "branches" in given:
            _only(place, given, ("branches", "fuse"))
            yield self._branches(place, given["branches"], given["fuse"], comes)
        else:
            _only(place, given, ("preset",))
            with _at(place, "preset"):
                entries = presets.read(given["preset"])
            yield from self._nodes(f"{place}.", entries, comes)

    def _particle(self, place: str, given: Mapping[str, Any], comes: Shape) -> Node:
        name = str(given["particle"])
        with _at(place, name):
            kind = particle(name)
            options = _options(given, self.outputs)
            if issubclass(kind, TemporalParticle):
                return TimeNode(place, _short(name), comes, _tried(name, made(kind, comes, options=options), comes))
            if issubclass(kind, Particle):
                own = made(kind, comes.frame, options=options)
                return FrameNode(place, _short(name), comes, _tried(name, own, comes))
            if issubclass(kind, Fusion):
                raise NetInvalid("It fuses two `branches`, and stands alone here.")
            return FrameNode(place, _short(name), comes, Foreign(comes.frame, made(kind, options=options)))

    def _branches(self, place: str, branches: Any, fuse: Any, comes: Shape) -> Branches:
        both = _two(place, branches)
        sources = [name if name in self.also else None for name, _ in both]
        first, second = (self.chain(f"{place}.{name}", entries, self.also.get(name, comes)) for name, entries in both)
        given = _fuse(fuse)
        name = str(given["particle"])
        with _at(f"{place}.fuse", name):
            kind = fusion(name)
            if not issubclass(kind, Fusion):
                raise NetInvalid("It is no Fusion, and cannot make one of two.")
            if first.out.time != second.out.time:
                raise ShapeMismatch(f"two branches with the same time, and {first.out} from one", second.out)
            made_one = made(kind, first.out.frame, second.out.frame, options=_options(given, self.outputs))
        return Branches(
            place,
            comes,
            (first, second),
            sources,
            FuseNode(f"{place}.fuse", _short(name), (first.out, second.out), made_one),
        )


_ENTRIES = ("particle", "repeat", "branches", "preset")


def _options(given: Mapping[str, Any], outputs: int) -> dict[str, Any]:
    said = {str(key): value for key, value in given.items() if key != "particle"}
    return {key: outputs if value == OUTPUTS else value for key, value in said.items()}


def _tried(name: str, made_one: Made, comes: Shape) -> Made:
    """Itself, once one that is not ours has shown that it gives what it says."""
    if ":" in name:
        try_out(made_one, comes)
    return made_one


def _particles(prefix: str, entries: Any) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Place, what is said, and whether it fuses two, of every particle in a list."""
    for place, given in _entries(prefix, entries):
        if "particle" in given:
            yield place, given, False
        elif "repeat" in given:
            _only(place, given, ("repeat", "net"))
            _count(place, given["repeat"])
            yield from _particles(f"{place}.1.", given["net"])
        elif "branches" in given:
            _only(place, given, ("branches", "fuse"))
            for name, branch in _two(place, given["branches"]):
                yield from _particles(f"{place}.{name}.", branch)
            yield f"{place}.fuse", _fuse(given["fuse"]), True
        else:
            _only(place, given, ("preset",))
            with _at(place, "preset"):
                presets.read(given["preset"])


def _entries(prefix: str, entries: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each entry of a list with its place."""
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        raise NetInvalid(f"{prefix.rstrip('.') or 'net'}: a list of particles is needed, not {entries!r}.")
    for number, entry in enumerate(entries, start=1):
        place = f"{prefix}{number}"
        given = {"particle": entry} if isinstance(entry, str) else entry
        if not isinstance(given, Mapping):
            raise NetInvalid(f"{place}: a particle is needed, such as {{particle: flatten}}, not {entry!r}.")
        if not any(key in given for key in _ENTRIES):
            keys = [str(key) for key in given]
            near = [word for key in keys for word in difflib.get_close_matches(key, _ENTRIES, n=1)]
            hint = f"Did you mean {near[0]!r}?" if near else f"An entry has one of {', '.join(_ENTRIES)}."
            raise NetInvalid(f"{place}: no particle is named by {', '.join(keys) or 'nothing'}.", hint=hint)
        yield place, given


def _two(place: str, branches: Any) -> list[tuple[str, Any]]:
    if not isinstance(branches, Mapping) or len(branches) != 2:
        raise NetInvalid(f"{place}: `branches` are two lists with a name each.")
    return list(branches.items())


def _fuse(given: Any) -> Mapping[str, Any]:
    named = {"particle": given} if isinstance(given, str) else given
    return named if isinstance(named, Mapping) and "particle" in named else {"particle": ""}


@contextmanager
def _at(place: str, name: str) -> Iterator[None]:
    """What goes wrong inside is told with the place in the list."""
    try:
        yield
    except NetInvalid as error:
        error.message = f"Particle {place} ({name}): {error.message}"
        raise


def _only(place: str, given: Mapping[str, Any], keys: Sequence[str]) -> None:
    if missing := [key for key in keys if key not in given]:
        raise NetInvalid(f"{place}: {keys[0]!r} needs {missing[0]!r} beside it.")
    if unknown := [str(key) for key in given if key not in keys]:
        raise NetInvalid(f"{place}: {unknown[0]!r} does not go with {keys[0]!r}; known are {', '.join(keys)}.")


def _count(place: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
        raise NetInvalid(f"{place}: `repeat` is a number from 1 to 1000, not {value!r}.")
    return value


def _short(name: str) -> str:
    """A name for tables and weights: of an import path the class."""
    return name.rpartition(":")[2]
