"""Particles of one's own, tried before they are trained: what is wrong with one is told in words, with its line.

Legend: B batch, T time.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from model_export.errors import VidserveError
from training.errors import NetInvalid
from training.particles.particle import Fusion, Particle, State, TemporalParticle, initial_state
from training.particles.shape import Shape

_OURS = Path(__file__).parents[1]
_BATCH = 2
_APART = 1e-3
"""How far `step` may be from `forward`, of the largest number: what rounding comes to is far less."""


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Whatever the code of somebody else raises is told in one sentence.

    Raises:
        NetInvalid: it raised something that is no error of ours.
    """
    try:
        yield
    except VidserveError:
        raise
    except Exception as error:  # their code may raise anything
        line = traceback.extract_tb(error.__traceback__)[-1]
        said = (str(error).strip().splitlines() or ["without a word"])[0]
        raise NetInvalid(
            f"{what} fails: {type(error).__name__}: {said} ({line.filename}, line {line.lineno})."
        ) from error


def tried(particle: nn.Module, *comes: Shape) -> None:
    """See that a particle does what it says, with numbers like those that will come.

    Args:
        comes: the shape; of a fusion both.

    Raises:
        NetInvalid: it says no `out`, has no `forward` or `step`, fails, gives another shape, or its `step` gives
            something else than its `forward`.
    """
    if not isinstance(getattr(particle, "out", None), Shape):
        raise NetInvalid(
            "It does not say in `out` which shape it gives.",
            hint="Set it in __init__: self.out = shape, or shape.with_features(…).",
        )
    _written(particle, "forward", "forward(x, state)" if isinstance(particle, TemporalParticle) else "forward(x)")
    training = particle.training
    particle.eval()
    # The weights of the particles after it must not depend on what it draws here.
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if isinstance(particle, TemporalParticle):
            _in_time(particle, comes[0])
        elif isinstance(particle, Particle | Fusion):
            with failing("Its `forward`"):
                answer = particle(*(torch.rand(_BATCH, *one.features) for one in comes))
            _shaped("Its `forward`", answer, (_BATCH, *particle.out.features))
    particle.train(training)


def _in_time(particle: TemporalParticle, comes: Shape) -> None:
    if particle.streams:
        _written(
            particle,
            "step",
            "step(x, state)",
            "Or set streams = False: it is then served with a window, at the cost of a clip a frame.",
        )
    time, out = comes.clip(), particle.out
    x = torch.rand(_BATCH, time, *comes.features)
    with failing("Its `forward`"):
        answer, after = _pair("forward", particle(x, initial_state(particle.state, x)))
    _shaped("Its `forward`", answer, (_BATCH, *(() if out.time is None else (out.time,)), *out.features))
    _remembered(particle, "forward", after)
    if not particle.streams:
        return
    state, steps = initial_state(particle.state, x), []
    for frame in x.unbind(1):
        with failing("Its `step`"):
            one, state = _pair("step", particle.step(frame, state))
        _shaped("Its `step`", one, (_BATCH, *out.features))
        _remembered(particle, "step", state)
        steps.append(one)
    stepped = steps[-1] if out.time is None else torch.stack(steps, 1)
    apart = float((stepped - answer).abs().max())
    if apart > _APART * max(1.0, float(answer.abs().max())):
        raise NetInvalid(
            f"Its `step`, frame by frame, gives something else than its `forward`: up to {apart:.3g} apart.",
            hint="The net would be trained by the one and served by the other; both must give the same.",
        )


def _written(particle: nn.Module, name: str, signature: str, otherwise: str = "") -> None:
    own = getattr(type(particle), name, None)
    if own in (
        getattr(nn.Module, name, None),
        *(getattr(one, name, None) for one in (Particle, TemporalParticle, Fusion)),
    ):
        raise NetInvalid(f"It has no `{name}`.", hint=f"Write {signature}. {otherwise}".strip())


def _pair(name: str, given: object) -> tuple[Tensor, State]:
    if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], tuple)):
        raise NetInvalid(f"Its `{name}` does not give (answer, state), in which the state is a tuple.")
    return given[0], given[1]


def _remembered(particle: TemporalParticle, name: str, state: State) -> None:
    if len(state) != len(particle.state):
        raise NetInvalid(f"Its `{name}` gives {len(state)} tensors of state, and `state` names {len(particle.state)}.")
    for spec, value in zip(particle.state, state, strict=True):
        _shaped(f"Its `{name}`, of the state {spec.name!r},", value, (_BATCH, *spec.shape))


def _shaped(what: str, given: object, wanted: tuple[int, ...]) -> None:
    came = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
    if came != list(wanted):
        raise NetInvalid(f"{what} gives {came} for a batch of {_BATCH}, and {list(wanted)} was said.")
