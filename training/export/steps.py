"""Whether a net answers frame by frame, as it will be served, as it answers to the whole clips that it learnt from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from model_export.agreement import Tolerance, disagreement
from model_export.errors import ExportRefused
from training.net import Net
from training.nodes import TimeNode
from training.particles.particle import State

_NEAR = 1e-4
"""Of the largest number that is compared, or of 1 if that is larger."""


def see_steps(net: Net, clips: Tensor) -> None:
    """See that the frames of clips, one by one, come to what the clips do: in every particle that looks along time, and
    in the end.

    Args:
        clips: [B, T, H, W, C].

    Raises:
        ExportRefused: they do not; names the first particle that differs.
    """
    seen: list[tuple[TimeNode, Tensor, State, Tensor]] = []

    def keep(node: nn.Module, given: tuple[Any, ...], gave: tuple[Tensor, State]) -> None:
        assert isinstance(node, TimeNode)
        seen.append((node, given[0], given[1], gave[0]))

    hooks = [leaf.register_forward_hook(keep) for leaf in net.chain.leaves() if isinstance(leaf, TimeNode)]
    try:
        with torch.no_grad():
            whole = net(clips)
            for node, frames, state, answer in seen:
                _compare(
                    f"Particle {node.place} ({node.place.key}, {node.name})", answer, _stepped(node, frames, state)
                )
            _compare("The net", whole, net.in_time(clips)[:, -1])
    finally:
        for hook in hooks:
            hook.remove()


def _stepped(node: TimeNode, frames: Tensor, state: State) -> Tensor:
    """[B, T, …] as of every frame; of what pools time as of the last, [B, …]."""
    answers = []
    for frame in frames.unbind(1):
        answer, state = node.step(frame, state, {})
        answers.append(answer)
    return answers[-1] if node.out.time is None else torch.stack(answers, 1)


def _compare(who: str, whole: Tensor, stepped: Tensor) -> None:
    largest = whole.abs().nan_to_num(0, 0).max().item() if whole.numel() else 0.0
    found = disagreement(
        {"answer": whole.numpy()},
        {"answer": stepped.numpy()},
        Tolerance(absolute=_NEAR * max(1.0, largest), relative=0),
    )
    if found is not None:
        raise ExportRefused(
            f"{who} answers otherwise frame by frame (`step`) than to whole clips (`forward`), from which it learnt: "
            f"{found}. Nothing was written.",
            hint="Let `step`, over the frames of a clip, give what `forward` gives; or show it whole clips: --window.",
        )
