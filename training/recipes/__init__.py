"""Recipes that come with vidserve: `vidserve train mnist data.source.path=…` takes the one of that name."""

from __future__ import annotations

from pathlib import Path

from training.errors import ConfigInvalid

FOLDER = Path(__file__).parent


def find(named: str) -> Path:
    """The file of that path, else the recipe of that name.

    Raises:
        ConfigInvalid: there is neither.
    """
    file = Path(named)
    if file.is_file():
        return file
    shipped = FOLDER / f"{named}.yaml"
    if shipped.parent == FOLDER and shipped.is_file():
        return shipped
    for ending in (".yaml", ".yml"):
        for near in (file.with_suffix(ending), Path(f"{named}{ending}")) if file.name else ():
            if near.is_file():
                raise ConfigInvalid(f"There is no file {named}.", hint=f"Did you mean {near}?")
    names = sorted(one.stem for one in FOLDER.glob("*.yaml"))
    raise ConfigInvalid(f"There is no file {named}.", hint=f"Recipes that come along: {', '.join(names)}.")
