"""Particles by name, or by the import path of one's own; their options checked against what they declare."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model
from torch import nn

from training.errors import OptionInvalid, ParticleUnknown
from training.particles.activation import Activation
from training.particles.attention import PatchEmbedding, TransformerEncoder
from training.particles.convolution import Convolution, DepthwiseSeparable, SqueezeExcite
from training.particles.dense import DenseBlock, Transition
from training.particles.fusion import Add, Concatenate, CrossAttention, Gated
from training.particles.linear import Dropout, Linear
from training.particles.normalisation import Normalisation
from training.particles.particle import Fusion, Particle, TemporalParticle
from training.particles.pooling import FirstToken, Flatten, GlobalPool, Pool
from training.particles.recurrent import Gru, Lstm, Rnn
from training.particles.residual import Bottleneck, Residual
from training.particles.shape import Shape
from training.particles.temporal import FrameDifference, TemporalConvolution, TemporalShift
from training.particles.time_pooling import AttentionPooling, TimePool

PARTICLES: Mapping[str, type[Particle] | type[TemporalParticle]] = {
    "activation": Activation,
    "attention_pooling": AttentionPooling,
    "bottleneck": Bottleneck,
    "conv": Convolution,
    "dense_block": DenseBlock,
    "depthwise_separable": DepthwiseSeparable,
    "dropout": Dropout,
    "first_token": FirstToken,
    "flatten": Flatten,
    "frame_difference": FrameDifference,
    "global_pool": GlobalPool,
    "gru": Gru,
    "linear": Linear,
    "lstm": Lstm,
    "norm": Normalisation,
    "patch_embedding": PatchEmbedding,
    "pool": Pool,
    "residual": Residual,
    "rnn": Rnn,
    "squeeze_excite": SqueezeExcite,
    "temporal_conv": TemporalConvolution,
    "temporal_shift": TemporalShift,
    "time_pool": TimePool,
    "transformer_encoder": TransformerEncoder,
    "transition": Transition,
}

FUSIONS: Mapping[str, type[Fusion]] = {
    "add": Add,
    "concatenate": Concatenate,
    "cross_attention": CrossAttention,
    "gated": Gated,
}

Kind = TypeVar("Kind", bound=nn.Module)


def particle(name: str) -> type[nn.Module]:
    """The particle of that name, or the module at that import path (`my_pkg.blocks:Block`).

    Raises:
        ParticleUnknown: there is none; names the nearest.
    """
    return _own(name) if ":" in name else _listed(name, PARTICLES, "particle")


def fusion(name: str) -> type[nn.Module]:
    """The fusion of that name, or the module at that import path.

    Raises:
        ParticleUnknown: there is none; names the nearest.
    """
    return _own(name) if ":" in name else _listed(name, FUSIONS, "fusion")


def made(kind: type[Kind], *shapes: Shape, options: Mapping[str, Any]) -> Kind:
    """A particle with what comes to it and its options.

    Raises:
        OptionInvalid: an option that it does not have or lacks, or a value that it cannot take.
        ShapeMismatch: what comes does not fit.
    """
    return kind(*shapes, **_checked(kind, len(shapes), options))


def check_options(kind: type[nn.Module], options: Mapping[str, Any]) -> None:
    """See that a particle has these options and takes their values, whatever will come to it.

    Raises:
        OptionInvalid: it has not, lacks one, or takes other values.
    """
    shapes = 2 if issubclass(kind, Fusion) else 1 if issubclass(kind, Particle | TemporalParticle) else 0
    _checked(kind, shapes, options)


def _listed(name: str, known: Mapping[str, type[Kind]], what: str) -> type[Kind]:
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    other = PARTICLES if known is FUSIONS else FUSIONS
    if name in other:
        hint = "It fuses two `branches`." if other is FUSIONS else "It takes one input and cannot `fuse` two."
    else:
        hint = f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(sorted(known))}."
    if "." in name:
        module, _, last = name.rpartition(".")
        hint = f"One of your own is written with a colon before its class: {module}:{last}"
    raise ParticleUnknown(f"There is no {what} {name!r}.", hint=hint)


def _own(path: str) -> type[nn.Module]:
    """A class of the user's; modules beside where the command was started are found too."""
    module, _, name = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        whole = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ParticleUnknown(
            f"{path!r} cannot be imported: there is no module {error.name!r}.",
            hint="Start the command in the folder that holds the package, or install it.",
        ) from error
    except Exception as error:  # their code may raise anything
        raise ParticleUnknown(f"{path!r} cannot be imported: {type(error).__name__}: {error}.") from error
    found = getattr(whole, name, None)
    if found is None:
        near = difflib.get_close_matches(name, vars(whole), n=1)
        hint = f"Did you mean {near[0]!r}?" if near else None
        raise ParticleUnknown(f"{path!r} cannot be imported: {module} has no {name!r}.", hint=hint)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ParticleUnknown(f"{path!r} is not a torch.nn.Module.", hint="A particle is a class derived from one.")
    return found


def _checked(kind: type[nn.Module], shapes: int, options: Mapping[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(kind.__init__, include_extras=True)
    declared = list(inspect.signature(kind).parameters.values())[shapes:]
    fields: dict[str, Any] = {
        one.name: (hints.get(one.name, Any), ... if one.default is one.empty else one.default)
        for one in declared
        if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    }
    for name in options:
        if name not in fields:
            near = difflib.get_close_matches(str(name), fields, n=1)
            known = f"Its options are {', '.join(fields)}." if fields else "It has none."
            raise OptionInvalid(f"It has no option {name!r}.", hint=f"Did you mean {near[0]!r}?" if near else known)
    model = create_model("Options", __config__=ConfigDict(arbitrary_types_allowed=True), **fields)
    try:
        values = model(**options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = str(first["loc"][0])
        if first["type"] == "missing":
            raise OptionInvalid(f"It lacks the option {option!r}.") from error
        raise OptionInvalid(f"Option {option!r}: {first['msg']} (it is {first['input']!r}).") from error
    return {name: getattr(values, name) for name in options}
