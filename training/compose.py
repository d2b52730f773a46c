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
from typing import Any

from training import presets
from training.border import Border, InputConfig
from training.errors import NetInvalid, ShapeMismatch
from training.net import Net
from training.nodes import Branches, Chain, FrameNode, FuseNode, Node, TimeNode
from training.particles.foreign import Foreign
from training.particles.particle import Fusion, Particle, TemporalParticle
from training.particles.registry import Kind, check_options, fusion, made, particle
from training.particles.shape import Shape
from training.particles.trial import failing, try_out
from training.place import Place

Entries = Sequence[Any]
OUTPUTS = "outputs"


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
    chain = composer.chain(*_opened(net), first)
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
    for place, given, fuses in _particles(*_opened(net)):
        name = str(given["particle"])
        with _at(place, name):
            check_options(fusion(name) if fuses else particle(name), _options(given, 1))


@dataclass(frozen=True)
class _Composer:
    also: Mapping[str, Shape]
    outputs: int

    def chain(self, place: Place, entries: Entries, comes: Shape) -> Chain:
        return Chain(place, comes, list(self._nodes(place, entries, comes)))

    def _nodes(self, within: Place, entries: Entries, comes: Shape) -> Iterator[Node]:
        for place, given in _entries(within, entries):
            for node in self._entry(place, given, comes):
                yield node
                comes = node.out

    def _entry(self, place: Place, given: Mapping[str, Any], comes: Shape) -> Iterator[Node]:
        if "particle" in given:
            yield self._particle(place, given, comes)
        elif "repeat" in given:
            _only(place, given, ("repeat", "net"))
            for time in range(1, _count(place, given["repeat"]) + 1):
                for node in self._nodes(place.repeated(time), given["net"], comes):
                    yield node
                    comes = node.out
        elif "branches" in given:
            _only(place, given, ("branches", "fuse"))
            yield self._branches(place, given["branches"], given["fuse"], comes)
        else:
            _only(place, given, ("preset",))
            with _at(place, "preset"):
                entries = presets.read(given["preset"])
            yield from self._nodes(place.opened(), entries, comes)

    def _particle(self, place: Place, given: Mapping[str, Any], comes: Shape) -> Node:
        name = str(given["particle"])
        with _at(place, name):
            kind = particle(name)
            options = _options(given, self.outputs)
            if issubclass(kind, TemporalParticle):
                return TimeNode(place, _short(name), comes, _made(name, kind, comes, options=options))
            if issubclass(kind, Particle):
                return FrameNode(place, _short(name), comes, _made(name, kind, comes.frame, options=options))
            if issubclass(kind, Fusion):
                raise NetInvalid("It fuses two `branches`, and stands alone here.")
            with failing("Its `__init__` fails"):
                module = made(kind, options=options)
            return FrameNode(place, _short(name), comes, Foreign(comes.frame, module))

    def _branches(self, place: Place, branches: Any, fuse: Any, comes: Shape) -> Branches:
        both = _two(place, branches)
        sources = [name if name in self.also else None for name, _ in both]
        first, second = (self.chain(place.branch(name), entries, self.also.get(name, comes)) for name, entries in both)
        given = _fuse(fuse)
        name = str(given["particle"])
        with _at(place.fuse(), name):
            kind = fusion(name)
            if not issubclass(kind, Fusion):
                raise NetInvalid("It is no Fusion, and cannot make one of two.")
            if first.out.time != second.out.time:
                raise ShapeMismatch(f"two branches with the same time, and {first.out} from one", second.out)
            options = _options(given, self.outputs)
            made_one = _made(name, kind, first.out.frame, second.out.frame, options=options)
        return Branches(
            place,
            comes,
            (first, second),
            sources,
            FuseNode(place.fuse(), _short(name), (first.out, second.out), made_one),
        )


_ENTRIES = ("particle", "repeat", "branches", "preset")


def _options(given: Mapping[str, Any], outputs: int) -> dict[str, Any]:
    said = {str(key): value for key, value in given.items() if key != "particle"}
    return {key: outputs if value == OUTPUTS else value for key, value in said.items()}


def _opened(net: str | Entries) -> tuple[Place, Entries]:
    return (Place().opened(), presets.read(net)) if isinstance(net, str) else (Place(), net)


def _made(name: str, kind: type[Kind], *comes: Shape, options: Mapping[str, Any]) -> Kind:
    """A particle; one of the user's own is tried."""
    if ":" not in name:
        return made(kind, *comes, options=options)
    with failing("Its `__init__` fails"):
        one = made(kind, *comes, options=options)
    try_out(one, *comes)
    return one


def _particles(within: Place, entries: Any) -> Iterator[tuple[Place, Mapping[str, Any], bool]]:
    """Place, what is said, and whether it fuses two, of every particle in a list."""
    for place, given in _entries(within, entries):
        if "particle" in given:
            yield place, given, False
        elif "repeat" in given:
            _only(place, given, ("repeat", "net"))
            _count(place, given["repeat"])
            yield from _particles(place.repeated(1), given["net"])
        elif "branches" in given:
            _only(place, given, ("branches", "fuse"))
            for name, branch in _two(place, given["branches"]):
                yield from _particles(place.branch(name), branch)
            yield place.fuse(), _fuse(given["fuse"]), True
        else:
            _only(place, given, ("preset",))
            with _at(place, "preset"):
                presets.read(given["preset"])


def _entries(within: Place, entries: Any) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Each entry of a list with its place."""
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        raise NetInvalid(f"{within.told}: a list of particles is needed, not {entries!r}.")
    for number, entry in enumerate(entries, start=1):
        place = within.entry(number)
        given = {"particle": entry} if isinstance(entry, str) else entry
        if not isinstance(given, Mapping):
            raise NetInvalid(f"{place.told}: a particle is needed, such as {{particle: flatten}}, not {entry!r}.")
        if not any(key in given for key in _ENTRIES):
            keys = [str(key) for key in given]
            near = [word for key in keys for word in difflib.get_close_matches(key, _ENTRIES, n=1)]
            hint = f"Did you mean {near[0]!r}?" if near else f"An entry has one of {', '.join(_ENTRIES)}."
            raise NetInvalid(f"{place.told}: no particle is named by {', '.join(keys) or 'nothing'}.", hint=hint)
        yield place, given


def _two(place: Place, branches: Any) -> list[tuple[str, Any]]:
    if not isinstance(branches, Mapping) or len(branches) != 2:
        more = isinstance(branches, Mapping) and len(branches) > 2
        raise NetInvalid(
            f"{place.told}: `branches` are two lists with a name each"
            f"{f', and here are {len(branches)}: ' + ', '.join(map(str, branches)) if more else ''}.",
            hint="Of more, fuse two first: a branch may begin with `branches` of its own." if more else None,
        )
    return list(branches.items())


def _fuse(given: Any) -> Mapping[str, Any]:
    named = {"particle": given} if isinstance(given, str) else given
    return named if isinstance(named, Mapping) and "particle" in named else {"particle": ""}


@contextmanager
def _at(place: Place, name: str) -> Iterator[None]:
    """What goes wrong inside is told with the place in the list."""
    try:
        yield
    except NetInvalid as error:
        error.message = f"Particle {place} ({place.key}, {name}): {error.message}"
        raise


def _only(place: Place, given: Mapping[str, Any], keys: Sequence[str]) -> None:
    if missing := [key for key in keys if key not in given]:
        raise NetInvalid(f"{place.told}: {keys[0]!r} needs {missing[0]!r} beside it.")
    if unknown := [str(key) for key in given if key not in keys]:
        raise NetInvalid(f"{place.told}: {unknown[0]!r} does not go with {keys[0]!r}; known are {', '.join(keys)}.")


def _count(place: Place, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
        raise NetInvalid(f"{place.told}: `repeat` is a number from 1 to 1000, not {value!r}.")
    return value


def _short(name: str) -> str:
    """A name for tables and weights: of an import path the class."""
    return name.rpartition(":")[2]
