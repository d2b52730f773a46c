"""Nets with a name: lists of particles, each a YAML file beside this one, whose head says where it comes from."""

from __future__ import annotations

import difflib
from importlib.resources import files
from typing import Any

import yaml

from training.errors import ParticleUnknown


def names() -> list[str]:
    """The presets that there are."""
    return sorted(
        file.name.removesuffix(".yaml") for file in files(__package__).iterdir() if file.name.endswith(".yaml")
    )


def read(name: str) -> list[Any]:
    """The list of particles of that name.

    Raises:
        ParticleUnknown: there is none; names the nearest.
    """
    if name not in names():
        near = difflib.get_close_matches(str(name), names(), n=1)
        raise ParticleUnknown(
            f"There is no preset {name!r}.",
            hint=f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(names())}.",
        )
    entries: list[Any] = yaml.safe_load((files(__package__) / f"{name}.yaml").read_text(encoding="utf-8"))
    return entries
