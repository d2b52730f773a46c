"""What no linter looks at."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path.relative_to(ROOT)
    for package in ("model_export", "server", "training", "benchmarks")
    for path in (ROOT / package).rglob("*.py")
)
NO_NOUNS = {"base", "common", "helper", "helpers", "misc", "util", "utils"}
LINES = 400


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_is_short_says_what_it_is_and_has_nothing_left_to_do(module: Path) -> None:
    text = (ROOT / module).read_text(encoding="utf-8")
    assert text.count("\n") <= LINES
    assert not text.strip() or ast.get_docstring(ast.parse(text))
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)
    assert module.stem not in NO_NOUNS


def test_decoders_of_structs_are_made_when_modules_are_loaded() -> None:
    """msgspec looks a struct through when it is decoded for the first time, and crashes where two threads do so at
    once: streams that began together ended their worker.
    """
    found = [
        f"{module}: {line.strip()}"
        for module in sorted((ROOT / "server").rglob("*.py"))
        for line in module.read_text().splitlines()
        if re.search(r"msgspec\.(json|msgpack)\.decode\(.*type=_?[A-Z]", line)
    ]
    assert found == []


def test_every_pin_is_of_one_version() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+( *;.*)?", pin) for pin in pins)


def test_everything_that_is_needed_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    pinned = {
        re.split("==", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    names = {re.split(r"[<>=\[; ]", text)[0].lower() for text in needed if "platform_machine !=" not in text}
    assert names <= pinned


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    path = ROOT / page
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []
