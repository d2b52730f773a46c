"""A particle of one's own, run once on zeros: does it give the shape that it says? Legend: B batch, T time."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model_export.errors import VidserveError
from training.errors import NetInvalid
from training.particles.particle import Fusion, Particle, State, TemporalParticle, initial_state
from training.particles.shape import Shape

_BATCH = 2
_OURS = Path(__file__).parents[1]


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Whatever the code of somebody else raises is told in one sentence, with its line.

    Raises:
        NetInvalid: it raised something that is no error of ours.
    """
    try:
        yield
    except VidserveError:
        raise
    except Exception as error:  # their code may raise anything
        lines = [one for one in traceback.extract_tb(error.__traceback__) if not _libraries(Path(one.filename))]
        where = f" ({lines[-1].filename}, line {lines[-1].lineno})" if lines else ""
        said = (str(error).strip().splitlines() or ["without a word"])[0].rstrip(".")
        raise NetInvalid(f"{what}: {type(error).__name__}: {said}{where}.") from error


def _libraries(file: Path) -> bool:
    """Whether a file is ours or a library's, and so tells nothing to who reads the message."""
    return file.is_relative_to(_OURS) or "site-packages" in file.parts


def try_out(particle: nn.Module, *comes: Shape) -> None:
    """See that a particle gives what its `out` says, for whole clips and frame by frame; its weights stay as they are.

    Args:
        comes: of a `TemporalParticle` with the time; of a fusion both.

    Raises:
        NetInvalid: it fails, or gives something else.
    """
    if not isinstance(getattr(particle, "out", None), Shape):
        raise NetInvalid(
            "It does not say which shape it gives.",
            hint="Set self.out in __init__, to the shape that comes or another.",
        )
    particle.eval()
    # The first weights of what comes after it must not depend on what it draws here.
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        if isinstance(particle, TemporalParticle):
            _in_time(particle, comes[0])
        elif isinstance(particle, Particle | Fusion):
            frames = [torch.zeros(_BATCH, *one.features) for one in comes]
            _see_shape("forward", _called(particle, "forward", *frames), particle.out.features)
    particle.train()


def _in_time(particle: TemporalParticle, comes: Shape) -> None:
    clip = torch.zeros(_BATCH, comes.clip(), *comes.features)
    state = initial_state(particle.state, clip)
    over = () if particle.out.time is None else (particle.out.time,)
    answer, _ = _both("forward", _called(particle, "forward", clip, state))
    _see_shape("forward", answer, over + particle.out.features)
    if not particle.streams:
        return
    answer, after = _both("step", _called(particle, "step", clip[:, 0], state))
    _see_shape("step", answer, particle.out.features)
    if [one.shape for one in after] != [one.shape for one in state]:
        raise NetInvalid(
            f"Its `step` leaves a state of {_shapes(after)}, and its `state` says {_shapes(state)}.",
            hint="Return a tensor for each StateSpec, in their order.",
        )


def _called(particle: nn.Module, name: str, *arguments: Tensor | State) -> Any:
    if getattr(type(particle), name) in [getattr(one, name, None) for one in (Particle, TemporalParticle, Fusion)]:
        otherwise = "; or set streams = False: it is then served with a window" if name == "step" else ""
        raise NetInvalid(f"It has no `{name}`.", hint=f"Write one{otherwise}.")
    with failing(f"Its `{name}` fails on zeros of the shape that comes"):
        return getattr(particle, name)(*arguments)


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
