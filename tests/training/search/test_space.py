from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from search_builders import HEAD, a_search, tree

from training.errors import ConfigInvalid, NetInvalid, OptionInvalid, ParticleUnknown
from training.recipe import Recipe, read_recipe
from training.search.choices import Choice, Given, Range
from training.search.config import SearchConfig
from training.search.space import Search, read_search


class Dice:
    """Chooses at random, and says what."""

    def __init__(self, seed: int) -> None:
        self.random, self.chosen = random.Random(seed), {}

    def alternative_of(self, choice: Choice) -> str:
        return self.chosen.setdefault(choice.name, self.random.choice(list(choice.alternatives)))

    def number_in(self, choice: Range) -> float:
        draw = self.random.randint if choice.whole else self.random.uniform
        return self.chosen.setdefault(choice.name, draw(choice.low, choice.high))


def drawn(search: Search, seed: int) -> tuple[Recipe, dict[str, Any]]:
    dice = Dice(seed)
    return search.tried(dice), dice.chosen


def test_a_trial_trains_fewer_epochs_than_the_recipe_that_is_written(tmp_path: Path) -> None:
    search = a_search(tmp_path)
    assert search.tried(Given({})).fit.epochs == 1
    assert search.written(Given({}))["fit"]["epochs"] == 9


def test_whatever_is_drawn_is_a_recipe_of_it_and_can_be_drawn_again(tmp_path: Path) -> None:
    search = a_search(tmp_path)
    names = {one.name for one in search.choices}
    kinds = set()
    for seed in range(20):
        recipe, chosen = drawn(search, seed)
        assert search.tried(Given(chosen)) == recipe
        assert set(chosen) <= names
        kinds.add(len(recipe.net))
        assert 0.001 <= recipe.fit.optimiser.rate <= 0.1
    assert kinds == {2, 3}


def test_a_search_is_read_back_as_it_was(tmp_path: Path) -> None:
    search = a_search(tmp_path, "fit.batch=8", "name=other")
    (tmp_path / "again.yaml").write_text(search.to_yaml())
    again = read_search(tmp_path / "again.yaml")
    assert again == search
    assert again.name == "other"


def test_more_trials_are_the_same_search(tmp_path: Path) -> None:
    one, more, other = (a_search(tmp_path, change) for change in ("seed=0", "search.trials=99", "search.epochs=3"))
    assert {**one.described(), "seed": 0} == {**more.described(), "seed": 0}
    assert other.described()["search"] != one.described()["search"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"search": {"trails": 3}}, "search: trails is not known; did you mean 'trials'?"),
        ({"search": {"pruner": {"keep": 2}}}, "pruner.keep"),
        ({"fit": {"epochz": {"choose": [1, 2]}}}, "epochz is not known; did you mean 'epochs'?"),
        ({"seed": {"choose": [0, -1]}}, "with seed -1: seed: .*greater than or equal to 0"),
        (
            {"fit": {"optimiser": {"choose": [{"kind": "adam"}, {"kind": "sgd", "momentun": 0.5}]}}},
            "with fit.optimiser sgd: .*momentun is not known; did you mean 'momentum'?",
        ),
        ({"fit": {"optimiser": {"kind": "adam", "rate": {"range": [0.1, 500.0]}}}}, "with .*rate 500.0: .*rate"),
        ({"fit": {"optimiser": {"kind": "adam"}}, "net": HEAD}, "leaves nothing to choose"),
        ({"data": {"choose": [tree()["data"]]}}, "data.source cannot be chosen: scores of other data"),
        ({"name": {"choose": ["a", "b"]}}, "name cannot be chosen"),
        ({"fit": {"epochs": {"range": [1, 4]}}}, "fit.epochs is chosen, so search.epochs would be in vain"),
        ({"fit": {"devices": 2, "batch": {"choose": [8, 16]}}}, "fit.devices: a trial trains on one device"),
        ({"fit": {"keep": "last", "batch": {"choose": [8, 16]}}}, "fit.keep: trials are compared by their best"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_tried(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigInvalid, match=told):
        a_search(tmp_path, **changes)


@pytest.mark.parametrize(
    ("alternative", "kind", "told"),
    [
        (
            [{"particle": "convv"}],
            ParticleUnknown,
            "with net.0 second: Particle 1 .net.0, convv.: There is no particle",
        ),
        (
            [{"particle": "conv", "chanels": 3}],
            OptionInvalid,
            "with net.0 second: Particle 1 .net.0, conv.: .*'chanels'",
        ),
        ([{"particle": "conv"}], OptionInvalid, "lacks the option 'channels'"),
        ([{"particle": "pool", "kind": "min"}], OptionInvalid, "Option 'kind'"),
        ([{"repeat": 2, "net": ["normm"]}], ParticleUnknown, "Particle 1.1.1"),
        ([{"repet": 2, "net": ["norm"]}], NetInvalid, "no particle is named by repet"),
        ([{"branches": {"a": [], "b": ["norm"]}, "fuse": "ad"}], ParticleUnknown, "Particle 1.fuse"),
        ([{"preset": "resnett"}], ParticleUnknown, "no preset 'resnett'"),
    ],
)
def test_a_particle_that_is_not_there_is_told_in_whatever_alternative(
    tmp_path: Path, alternative: list[Any], kind: type[NetInvalid], told: str
) -> None:
    net = [{"choose": {"first": [], "second": alternative}}, *HEAD]
    with pytest.raises(kind, match=told):
        a_search(tmp_path, net=net)


def test_shapes_are_not_looked_at_before_a_trial(tmp_path: Path) -> None:
    a_search(tmp_path, net=["flatten", {"particle": "conv", "channels": {"choose": [4, 8]}}, *HEAD])


def test_train_says_that_a_search_is_none_of_its_recipes(tmp_path: Path) -> None:
    a_search(tmp_path)
    with pytest.raises(ConfigInvalid, match="is a search, and not one recipe") as told:
        read_recipe(tmp_path / "greys.yaml")
    assert "vidserve tune" in str(told.value)


PAGE = (Path(__file__).parents[3] / "docs" / "search.md").read_text(encoding="utf-8")


def test_the_recipes_of_the_page_are_searches(tmp_path: Path) -> None:
    whole, tied = [block.split("```")[0] for block in PAGE.split("```yaml\n")[1:]]
    (tmp_path / "page.yaml").write_text(whole)
    search = read_search(tmp_path / "page.yaml")
    assert len(search.choices) > 3

    given = {**search.tree, "net": [*yaml.safe_load(tied), {"particle": "global_pool"}, HEAD[-1]]}
    (tmp_path / "tied.yaml").write_text(yaml.safe_dump(given))
    search = read_search(tmp_path / "tied.yaml")
    recipe = search.tried(Given({"width": "32"}))
    assert [entry["channels"] for entry in recipe.net[:2]] == [32, 32]


@pytest.mark.parametrize("key", SearchConfig.model_fields)
def test_every_key_of_a_search_is_on_the_page(key: str) -> None:
    assert f"\n| `{key}` |" in PAGE
