"""A particle of one's own, run once on zeros: does it give the shape that it says? Legend: B batch, T time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from training.errors import NetInvalid
from training.particles.particle import Particle, State, TemporalParticle, initial_state
from training.particles.shape import Shape

_BATCH = 2
_FAILURES = (RuntimeError, ValueError, TypeError, IndexError, AttributeError)


def try_out(particle: Particle | TemporalParticle, comes: Shape) -> None:
    """See that a particle gives what its `out` says, for whole clips and frame by frame; its weights stay as they are.

    Args:
        comes: with the time, where there is one.

    Raises:
        NetInvalid: it fails, or gives something else.
    """
    if not isinstance(getattr(particle, "out", None), Shape):
        raise NetInvalid(
            "It does not say which shape it gives.",
            hint="Set self.out in __init__, to the shape that comes or another.",
        )
    particle.eval()
    with torch.no_grad():
        if isinstance(particle, TemporalParticle):
            _in_time(particle, comes)
        else:
            frame = torch.zeros(_BATCH, *comes.features)
            _see_shape("forward", _called("forward", particle, frame), particle.out.features)
    particle.train()


def _in_time(particle: TemporalParticle, comes: Shape) -> None:
    clip = torch.zeros(_BATCH, comes.clip(), *comes.features)
    state = initial_state(particle.state, clip)
    over = () if particle.out.time is None else (particle.out.time,)
    answer, _ = _both("forward", _called("forward", particle, clip, state))
    _see_shape("forward", answer, over + particle.out.features)
    if not particle.streams:
        return
    answer, after = _both("step", _called("step", particle.step, clip[:, 0], state))
    _see_shape("step", answer, particle.out.features)
    if [one.shape for one in after] != [one.shape for one in state]:
        raise NetInvalid(
            f"Its `step` leaves a state of {_shapes(after)}, and its `state` says {_shapes(state)}.",
            hint="Return a tensor for each StateSpec, in their order.",
        )


def _called(name: str, what: nn.Module | Callable[..., Any], *arguments: Any) -> Any:
    try:
        return what(*arguments)
    except _FAILURES as error:
        line = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise NetInvalid(f"Its `{name}` fails on zeros of the shape that comes: {line}.") from error


def _both(name: str, given: Any) -> tuple[Any, State]:
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], tuple):
        return given
    hint = "Return (answer, state); one that looks at later frames sets streams = False and has no `step`."
    raise NetInvalid(f"Its `{name}` does not give an answer and a state.", hint=hint)


def _see_shape(name: str, answer: Any, features: tuple[int, ...]) -> None:
    """An answer must be [B, *features]."""
    came = list(answer.shape[1:]) if isinstance(answer, Tensor) else type(answer).__name__
    if came != list(features):
        raise NetInvalid(
            f"Its `{name}` gives [B, {_listed(came)}], and its `out` says [B, {_listed(list(features))}]."
            if isinstance(came, list)
            else f"Its `{name}` gives no tensor, but {came}.",
            hint="What comes after it is made for `out`; let both be the same.",
        )


def _listed(sizes: list[int]) -> str:
    return ", ".join(map(str, sizes))


def _shapes(state: State) -> str:
    return ", ".join(str(list(one.shape[1:])) for one in state) or "nothing"
