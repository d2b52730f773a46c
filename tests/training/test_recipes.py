"""The recipes that come along."""

from pathlib import Path

import pytest

from training.compose import compose
from training.recipe import read_recipe
from training.recipes import FOLDER, find
from training.search.space import read_search

NAMES = sorted(one.stem for one in FOLDER.glob("*.yaml"))
SEARCHES = [name for name in NAMES if name.startswith("search-")]
RECIPES = [name for name in NAMES if name not in SEARCHES]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_makes_a_net(name: str) -> None:
    recipe = read_recipe(find(name))
    assert recipe.name == name
    assert compose(recipe.net, recipe.looks_at, 5).outputs == 5


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_makes_nets(name: str) -> None:
    search = read_search(find(name))
    assert search.name == name
    assert compose(search.first().net, search.first().looks_at, 5).outputs == 5


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_says_how_to_call_it(name: str) -> None:
    command = "tune" if name in SEARCHES else "train"
    assert f"vidserve {command} {name}" in find(name).read_text(encoding="utf-8")


def test_moving_shapes_need_no_files() -> None:
    listing = read_recipe(find("moving-shapes"), ["data.source.count=10"]).data.source.read()
    assert len(listing) == 10


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "path", "samples", "groups"),
    [
        ("fights", "fights/clips.csv", 207, 32),
        ("fights-gru", "fights/clips.csv", 207, 32),
        ("cells", "bccd", 4886, 364),
        ("mnist", "mnist", 70_000, 70_000),
    ],
)
def test_the_data_of_recipes_are_as_they_say(
    shared_data: Path, name: str, path: str, samples: int, groups: int
) -> None:
    listing = read_recipe(find(name), [f"data.source.path={shared_data / path}"]).data.source.read()
    assert (len(listing), len(listing.groups)) == (samples, groups)
