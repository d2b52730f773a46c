"""docs/training.md says what there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml
from net_builders import clips

from training import presets
from training.compose import compose
from training.particles.registry import FUSIONS, PARTICLES
from training.recipe import FitConfig, Recipe

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")


def row(name: str) -> str:
    found = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(found) == 1, f"{name} has {len(found)} rows"
    return found[0]


def written(default: object) -> str:
    """As YAML has it."""
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


@pytest.mark.parametrize("name", [*PARTICLES, *FUSIONS])
def test_every_particle_has_a_row_with_its_options_and_defaults(name: str) -> None:
    kind = {**PARTICLES, **FUSIONS}[name]
    options = [one for one in inspect.signature(kind).parameters.values() if one.kind is one.KEYWORD_ONLY]
    said = row(name).split("|")[2]

    assert re.findall(r"`(\w+)`", said.replace("(as `size`)", "")) == [one.name for one in options]
    for one in options:
        if one.default not in (one.empty, None):
            assert f"`{one.name}` {written(one.default)}" in said


def test_every_preset_and_key_is_named() -> None:
    for name in presets.names():
        assert f"`{name}`" in PAGE
    for key in FitConfig.model_fields:
        assert re.search(rf"^\| (`\w+`, )?`{key}`", PAGE, re.MULTILINE), key


def test_the_recipe_of_the_page_is_one() -> None:
    given = yaml.safe_load(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])
    recipe = Recipe.model_validate(given)
    net = compose(recipe.net, recipe.looks_at, 3)
    assert net.streams
    assert recipe.looks_at.model_copy(update={"std": (255.0,)}) == clips(16, size=64)
