from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from fit_builders import a_recipe

from training import recipes
from training.compose import compose
from training.errors import ConfigInvalid
from training.optimisation import Adam, Constant, Cosine, Sgd
from training.recipe import Recipe, differences, read_recipe

TEXT = """
data:
  source: {kind: idx, path: digits}
  input: {width: 8, height: 8, channels: 1}
net:
  - {particle: flatten}
  - {particle: linear, channels: outputs}
fit:
  epochs: 4
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "digits.yaml"
    path.write_text(TEXT)
    return path


def told(file: Path, *changes: str) -> str:
    with pytest.raises(ConfigInvalid) as error:
        read_recipe(file, changes)
    return str(error.value)


def test_a_recipe_says_little_and_the_rest_has_defaults(file: Path) -> None:
    recipe = read_recipe(file)
    assert (recipe.name, recipe.fit.epochs, recipe.fit.batch, recipe.fit.optimiser.kind) == ("digits", 4, 64, "adam")
    assert (recipe.looks_at.channels, recipe.looks_at.frames, recipe.looks_at.std) == (1, None, (255.0,))


def test_keys_are_changed_on_the_command_line_deep_inside_too(file: Path) -> None:
    recipe = read_recipe(
        file,
        (
            "name=other",
            "fit.optimiser={kind: sgd, rate: 1e-1}",
            "fit.schedule.kind=cosine",
            "net.1.activation=tanh",
            "data.input.frames=5",
            "fit.loss.weights=[1, 2]",
            "fit.precision=32",
        ),
    )
    assert recipe.name == "other"
    assert recipe.fit.precision == "32"
    assert recipe.fit.optimiser == Sgd(kind="sgd", rate=0.1)
    assert recipe.fit.schedule == Cosine(kind="cosine")
    assert recipe.net[1] == {"particle": "linear", "channels": "outputs", "activation": "tanh"}
    assert recipe.looks_at.frames == 5
    assert recipe.fit.loss.weights == (1.0, 2.0)


def test_what_is_printed_is_read_back_the_same(file: Path, tmp_path: Path) -> None:
    recipe = read_recipe(file, ("fit.schedule={kind: step, every: 2}",))
    again = tmp_path / "again.yaml"
    again.write_text(recipe.to_yaml())
    assert read_recipe(again) == recipe


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("fit.epohs=3",), "fit.epohs is not known; did you mean 'epochs'?"),
        (("optimiser.rate=3",), "optimiser is not known"),
        (("fit.optimiser.kind=sgd", "fit.optimiser.momemtum=0.5"), "did you mean 'momentum'"),
        (("fit.epochs=0",), "fit.epochs: Input should be greater than or equal to 1"),
        (("fit.epochs",), "'fit.epochs' is not key=value. For example: fit.epochs=3"),
        (("net.7.channels=3",), "'7' is no place in a list of 2"),
        (("fit.epochs.first=3",), "epochs has no parts that could be set"),
        (("name=My Run",), "name: 'My Run' is no name: take lower-case letters, digits, dots"),
        (("fit.optimiser.kind=adm",), "fit.optimiser.kind: there is no 'adm'; did you mean 'adam'?"),
        (("fit.optimiser.kind=sgd", "fit.optimiser.rate=0"), "fit.optimiser.rate: Input should be greater than 0"),
        (("data.source.kind=clip",), "data.source.kind: there is no 'clip'; did you mean 'clips'?"),
        (("data.source={path: x}",), "data.source.kind is missing; known are images, clips, "),
        (("data.source.kind=clips", "data.source.grup=x"), "data.source.grup is not known; did you mean 'group'?"),
        (("fit.loss.weights.left=2",), "fit.loss.weights: `balanced`, or a list with a number for each label"),
        (("fit.loss.weights={left:2",), "what stands after = is no YAML"),
        (("net=3",), "net"),
    ],
)
def test_what_is_wrong_is_told_with_the_nearest_key(file: Path, changes: tuple[str, ...], message: str) -> None:
    assert message in told(file, *changes)


def test_a_part_without_a_kind_has_the_usual_one_and_a_kind_alone_its_defaults(file: Path) -> None:
    recipe = read_recipe(file, ("fit.optimiser.rate=0.01", "fit.schedule.warmup=2"))
    assert recipe.fit.optimiser == Adam(rate=0.01)
    assert recipe.fit.schedule == Constant(warmup=2)
    assert read_recipe(file, ("fit.optimiser=sgd",)).fit.optimiser == Sgd(kind="sgd")


def test_a_particle_that_is_a_bare_name_may_be_given_options(file: Path) -> None:
    fused = "net.0={branches: {a: [], b: [norm]}, fuse: gated}"
    changed = read_recipe(file, (fused, "net.0.branches.b.0.kind=layer", "net.0.fuse.channels=8", "transfer.weights=a"))
    assert changed.net[0]["branches"]["b"] == [{"particle": "norm", "kind": "layer"}]
    assert changed.net[0]["fuse"] == {"particle": "gated", "channels": 8}
    assert "`net` is the preset 'mnist', whose parts have no keys" in told(file, "net=mnist", "net.0.channels=3")


def test_a_recipe_with_another_ending_is_named(file: Path) -> None:
    for named in (file.with_suffix(".yml"), file.with_suffix("")):
        with pytest.raises(ConfigInvalid) as error:
            recipes.find(str(named))
        assert error.value.hint == f"Did you mean {file}?"


def test_a_pattern_in_double_quotes_is_told_which_quotes_to_take(file: Path) -> None:
    file.write_text('data: {source: {group: "cam(\\d+)"}}')
    assert "Patterns with \\ stand in single quotes" in told(file)


def test_files_that_are_no_recipes_are_told(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("net: [")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "bare.yaml").write_text("net: mnist\n")
    assert "cannot be read" in told(tmp_path / "absent.yaml")
    assert "is no YAML" in told(tmp_path / "broken.yaml")
    assert "must have keys such as" in told(tmp_path / "list.yaml")
    assert "data is missing." in told(tmp_path / "bare.yaml")


def test_differences_are_told_key_by_key() -> None:
    assert differences(a_recipe(), a_recipe()) == []
    changed = differences(a_recipe(), a_recipe(net=["flatten"], fit={"batch": 32}))
    assert "fit.batch: 16 → 32" in changed
    assert "net.0: absent → flatten" in changed


COME_ALONG = sorted(recipes.FOLDER.glob("*.yaml"))
WHOLE = [file for file in COME_ALONG if "search" not in yaml.safe_load(file.read_text())]


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.stem)
def test_a_recipe_that_comes_along_is_whole_and_its_net_can_be_made(file: Path) -> None:
    recipe = read_recipe(file)
    assert isinstance(recipe, Recipe)
    assert recipe.name == file.stem
    assert compose(recipe.net, recipe.looks_at, 10).outputs == 10


@pytest.mark.parametrize("file", COME_ALONG, ids=lambda file: file.stem)
def test_every_choice_of_a_recipe_has_a_line_that_says_why(file: Path) -> None:
    text = file.read_text()
    assert text.startswith("# ")
    given = yaml.safe_load(text)
    for key in [*given["data"], *given.get("fit", {})]:
        lines = [line for line in text.splitlines() if line.strip().startswith(f"{key}:")]
        assert lines
        if key != "source":
            assert all("#" in line for line in lines), lines


def test_a_recipe_is_found_by_path_or_by_name(file: Path) -> None:
    assert recipes.find(str(file)) == file
    assert recipes.find("mnist").name == "mnist.yaml"
    with pytest.raises(ConfigInvalid, match="mnist"):
        recipes.find("no-such-recipe")
