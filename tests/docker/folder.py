"""What stands in the folder `docker`, read as what reads it would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from server.api.access import is_open
from server.api.application import build
from server.api.deps import Intake
from server.core.configuration import load
from server.core.settings import Settings
from server.storage.uploads import Uploads

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
UID = 10001


def documents(path: str) -> list[dict[str, Any]]:
    """The YAML documents of a file of the folder."""
    return list(yaml.safe_load_all((DOCKER / path).read_text()))


def document(path: str) -> dict[str, Any]:
    (only,) = documents(path)
    return only


def pinned(image: str) -> bool:
    """Whether an image's tag says a version, so that it is the same tomorrow."""
    return re.search(r":[^:/]*\d+\.\d+[^:/]*$", image) is not None


def settings_of(variables: dict[str, str], folder: Path, *, secrets: set[str], config: Path | None = None) -> Settings:
    """The settings of a server with these variables.

    Args:
        folder: where files of secrets are made, since they lie elsewhere in a container.
        secrets: paths in the container that hold one.
        config: the settings file that VIDSERVE_CONFIG stands for.
    """
    environ = dict(variables)
    for name, value in variables.items():
        if name.endswith("_FILE"):
            assert value in secrets, f"{name} is {value}, and no secret lies there"
            (folder / "key").write_text("the-key-of-the-house")
            environ[name] = str(folder / "key")
    environ.pop("VIDSERVE_CONFIG", None)
    return load(Settings, flags={}, environ=environ, config=config, here=folder).settings


def open_paths(folder: Path) -> set[str]:
    """Paths that the application answers without a key."""
    app = build(Intake(Uploads(folder), 1, 1), lambda _: None)
    found = set()
    for route in app.routes:
        for one in getattr(getattr(route, "original_router", None), "routes", [route]):
            if is_open(one.path):
                found.add(one.path)
    return found
