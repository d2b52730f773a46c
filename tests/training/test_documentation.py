"""docs/training.md says what there is, and what the pages have to be typed does what they say."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch
import yaml
from net_builders import clips, net_of, some_frames

from training import presets
from training.compose import compose
from training.data.decoding import decode
from training.particles.registry import FUSIONS, PARTICLES
from training.recipe import FitConfig, Recipe

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "training.md").read_text(encoding="utf-8")
FIRST_STEPS = (DOCS / "train-your-own.md").read_text(encoding="utf-8")


def block(page: str, language: str) -> str:
    """The first piece of code of that language."""
    found = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1]


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
    given = yaml.safe_load(block(PAGE, "yaml"))
    recipe = Recipe.model_validate(given)
    net = compose(recipe.net, recipe.looks_at, 3)
    assert net.streams
    assert recipe.looks_at.model_copy(update={"std": (255.0,)}) == clips(16, size=64)


def test_who_has_no_clips_gets_some_that_the_first_recipe_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(block(FIRST_STEPS, "python").replace("61)", "3)"), {})
    recipe = Recipe.model_validate({"name": "gestures", **yaml.safe_load(block(FIRST_STEPS, "yaml"))})

    listing = recipe.data.source.read()

    assert (len(listing), listing.labels) == (6, ("nothing", "point", "wave"))
    assert decode(listing.samples[0], recipe.data.input).shape == (24, 96, 96, 3)
    assert "gestures/wave/1.mp4" in FIRST_STEPS
    assert Path("gestures/wave/1.mp4").is_file()


def test_the_particles_of_ones_own_that_the_page_shows_make_a_net(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shown_on_the_page.py").write_text(block(PAGE, "python"))
    monkeypatch.chdir(tmp_path)
    net = net_of(
        {"particle": "shown_on_the_page:Sharpen", "strength": 0.5},
        {"particle": "shown_on_the_page:Leaky"},
        "global_pool",
        {"particle": "shown_on_the_page:Leaky", "keep": 0.9},
        "time_pool",
        {"particle": "linear", "channels": "outputs"},
        looks_at=clips(),
    )
    clip = some_frames()

    assert net.streams
    assert [spec.shape for spec in net.state[:2]] == [(3, 8, 8), (3,)]
    assert torch.allclose(net.in_time(clip)[:, -1], net(clip), atol=1e-5)
