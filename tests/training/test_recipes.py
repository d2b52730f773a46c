"""The recipes that come along."""

from pathlib import Path

import pytest

from training.compose import compose
from training.recipe import read_recipe
from training.recipes import FOLDER, find

RECIPES = sorted(one.stem for one in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_makes_a_net(name: str) -> None:
    recipe = read_recipe(find(name))
    assert recipe.name == name
    assert compose(recipe.net, recipe.looks_at, 5).outputs == 5


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_how_to_call_it(name: str) -> None:
    assert f"vidserve train {name}" in find(name).read_text(encoding="utf-8")


def test_moving_shapes_need_no_files() -> None:
    listing = read_recipe(find("moving-shapes"), ["data.source.count=10"]).data.source.read()
    assert len(listing) == 10


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "path", "samples", "groups"),
    [("fights-gru", "fights/clips.csv", 207, 32), ("cells", "bccd", 4886, 364), ("mnist", "mnist", 70_000, 70_000)],
)
def test_the_data_of_recipes_are_as_they_say(
    shared_data: Path, name: str, path: str, samples: int, groups: int
) -> None:
    listing = read_recipe(find(name), [f"data.source.path={shared_data / path}"]).data.source.read()
    assert (len(listing), len(listing.groups)) == (samples, groups)
