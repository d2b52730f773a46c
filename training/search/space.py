"""A search file: a recipe in which things are left to be chosen, and how to search among the recipes that it makes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from training.compose import check_particles
from training.configuration import read
from training.errors import ConfigInvalid, NetInvalid
from training.recipe import SEARCH, Recipe, read_file
from training.search.choices import AnyChoice, Choice, Draw, Given, choices, filled, is_choice
from training.search.config import SearchConfig

_FIXED = {
    "data.source": "scores of other data cannot be compared",
    "data.split": "scores of other samples cannot be compared",
    "fit.devices": "a trial trains on one device",
    "name": "the trials have numbers",
}
"""What cannot be chosen, and why."""


@dataclass(frozen=True)
class Search:
    """What is searched, and how.

    Attributes:
        name: of the study.
        tree: the recipe with its choices, as the file says it.
        config: how.
        choices: all of them, in the order of the file.
    """

    name: str
    tree: Mapping[str, Any]
    config: SearchConfig
    choices: tuple[AnyChoice, ...]

    def written(self, draw: Draw) -> dict[str, Any]:
        """A recipe with everything chosen, as it would be written: trained as long as the file says."""
        recipe: dict[str, Any] = filled(copy.deepcopy(dict(self.tree)), draw)
        return recipe

    def tried(self, draw: Draw) -> Recipe:
        """The same as a trial trains it.

        Raises:
            ConfigInvalid: what was chosen does not go together.
        """
        given = self.written(draw)
        if self.config.epochs is not None:
            given["fit"] = {**(given.get("fit") or {}), "epochs": self.config.epochs}
        return read(Recipe, given, where="the recipe")

    def first(self) -> Recipe:
        """With the first of all alternatives, and the lowest of all ranges."""
        return self.tried(Given({}))

    def described(self) -> dict[str, Any]:
        """All that makes it this search and no other; more trials of it are still the same search."""
        config = self.config.model_dump(mode="json")
        del config["trials"]
        return {**self.tree, SEARCH: config}

    def to_yaml(self) -> str:
        """As a file that is read back the same."""
        return to_yaml({**self.tree, SEARCH: self.config.model_dump(mode="json")})


def to_yaml(tree: Mapping[str, Any]) -> str:
    """As a file that is read back the same. What is there twice is written twice, and not as an anchor."""
    dumper = type("Plain", (yaml.SafeDumper,), {"ignore_aliases": lambda self, data: True})
    return str(
        yaml.dump(dict(tree), Dumper=dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    )


def read_search(file: Path, changes: Sequence[str] = ()) -> Search:
    """Read a search.

    Args:
        changes: `key=value`, as of a recipe.

    Raises:
        ConfigInvalid: there is no such file, it is no YAML, it leaves nothing to choose, or something in it, or in one
            of the alternatives, is unknown, missing or out of range.
        NetInvalid: a particle in it is not known, or has not such options.
    """
    tree = {"name": file.stem, **read_file(file, changes)}
    config = read(SearchConfig, tree.pop(SEARCH, None) or {}, where=f"{file}: {SEARCH}")
    found = tuple(choices(tree))
    if not found:
        raise ConfigInvalid(
            f"{file} leaves nothing to choose.",
            hint="Put {choose: [16, 32]} or {range: [0.001, 0.1], log: true} in the place of a value.",
        )
    _see_fixed(tree)
    fit = tree.get("fit")
    if config.epochs is not None and isinstance(fit, Mapping) and is_choice(fit.get("epochs")):
        raise ConfigInvalid("fit.epochs is chosen, so search.epochs would be in vain.", hint="Leave one of them out.")
    search = Search(str(tree["name"]), tree, config, found)
    _see_alternatives(search, file)
    return search


def _see_fixed(tree: Mapping[str, Any]) -> None:
    for key, why in _FIXED.items():
        value: Any = tree
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
            if is_choice(value):
                break
        if choices(value):
            raise ConfigInvalid(f"{key} cannot be chosen: {why}.")


def _see_alternatives(search: Search, file: Path) -> None:
    """See that every alternative of every choice can be: tried one by one, with the first of all others."""
    for choice in search.choices:
        values = choice.alternatives if isinstance(choice, Choice) else (choice.low, choice.high)
        for value in values:
            with_it = f"{file}, with {choice.name} {value}"
            recipe = read(Recipe, search.written(Given({**choice.within, choice.name: value})), where=with_it)
            if recipe.fit.devices > 1:
                raise ConfigInvalid(f"{file}: fit.devices: a trial trains on one device.", hint="Set it to 1.")
            if recipe.fit.keep == "last":
                raise ConfigInvalid(
                    f"{file}: fit.keep: trials are compared by their best epochs, and last would keep others.",
                    hint="Leave it out, and put it into the recipe that comes of the search.",
                )
            try:
                check_particles(recipe.net)
            except NetInvalid as error:
                error.message = f"{with_it}: {error.message}"
                raise
