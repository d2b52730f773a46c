"""A head start: weights of another model, wherever name and shape match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from training.checkpoints import weights_of
from training.errors import WeightsInvalid


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What was taken over.

    Attributes:
        names: of weights that came from the other model.
        parts: of the net in which all did, such as `chain.nodes.conv_1`.
        fresh: parts in which some did not: they start anew.
    """

    names: tuple[str, ...]
    parts: tuple[str, ...]
    fresh: tuple[str, ...]


def take_over(net: nn.Module, file: Path) -> TakenOver:
    """Fill a net with the weights of a run, a checkpoint, a bundle or an ONNX file.

    Raises:
        WeightsInvalid: it cannot be read, or nothing in it matches.
    """
    given = read_weights(file)
    own = dict(net.state_dict())
    matching = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not any(name in matching for name, _ in net.named_parameters()):
        raise WeightsInvalid(
            f"Nothing in {file} matches the net: no weight has the same name and shape.",
            hint="Names are made of particles and their places, so a list that begins the same matches there.",
        )
    with torch.no_grad():
        for name, value in matching.items():
            own[name].copy_(value)
    parts: dict[str, bool] = {}
    for name, _ in net.named_parameters():
        part = _part(name)
        parts[part] = parts.get(part, True) and name in matching
    return TakenOver(
        tuple(matching),
        tuple(part for part, whole in parts.items() if whole),
        tuple(part for part, whole in parts.items() if not whole),
    )


def read_weights(file: Path) -> Mapping[str, Tensor]:
    """Weights by name: of a run's folder the best, of a bundle's folder those of its graph.

    Raises:
        WeightsInvalid: there are none, or they cannot be read.
    """
    if file.is_dir():
        found = [file / name for name in ("best.ckpt", "last.ckpt", "model.onnx") if (file / name).is_file()]
        if not found:
            raise WeightsInvalid(f"{file} holds neither a checkpoint nor a model.onnx.")
        file = found[0]
    if not file.is_file():
        raise WeightsInvalid(f"There is no file {file}.")
    return _of_graph(file) if file.suffix == ".onnx" else weights_of(file)


def _of_graph(file: Path) -> dict[str, Tensor]:
    """The constants of an ONNX graph, which exporters name as the weights that they were."""
    # onnx takes a second to import, and most runs start without a bundle.
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        graph = onnx.load(file).graph
    except (OSError, DecodeError, onnx.checker.ValidationError) as error:
        raise WeightsInvalid(f"{file} cannot be read as ONNX: {error}") from error
    named = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
    return {name.removeprefix("net."): value for name, value in named.items()}


def _part(name: str) -> str:
    """The particle that a weight belongs to: `chain.nodes.conv_1.particle.layers.0.weight` → `conv_1`."""
    return name.partition(".particle.")[0].rpartition(".")[2]
