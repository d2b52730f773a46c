"""What lies in a folder of bundles: `<name>/<version>/`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from model_export.bundle import Bundle
from model_export.errors import ModelError
from model_export.manifest import NAME_PATTERN, Task


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of one model.

    Attributes:
        bundle: None where it cannot be served; `problem` says why, in a sentence.
        shipped: it came with the server and is read-only.
        serves: it is the version that the bare name stands for.
    """

    name: str
    version: int
    folder: Path
    bundle: Bundle | None
    problem: str
    shipped: bool
    serves: bool = False


def look(name: str, version: int, folder: Path, *, shipped: bool) -> Entry:
    """What lies in a version's folder."""
    problem, bundle = "", None
    try:
        bundle = Bundle.open(folder)
        if (bundle.manifest.name, bundle.manifest.version) != (name, version):
            problem = f"Its manifest says {bundle.manifest.id}, its folder {name}@{version}."
            bundle = None
    except ModelError as error:
        problem = error.message
    return Entry(name, version, folder, bundle, problem, shipped)


def of_one_task(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The versions of a name, those of another task than the name's with that for a problem, and behind the others.

    Who asks for a name relies on what it answers, so a version of another task must not serve under it. A name has the
    task of what came with the server, else of its lowest version.
    """
    first = min(
        (entry for entry in entries if entry.bundle is not None),
        key=lambda entry: (not entry.shipped, entry.version),
        default=None,
    )
    fitting, others = [], []
    for entry in entries:
        if first is None or entry.bundle is None or _task(entry) is _task(first):
            fitting.append(entry)
            continue
        why = f"It is of task {_task(entry)}, and {first.name}@{first.version} of task {_task(first)}"
        others.append(replace(entry, bundle=None, problem=f"{why}: it needs a name of its own."))
    return (*fitting, *others)


def _task(entry: Entry) -> Task:
    assert entry.bundle is not None
    return entry.bundle.manifest.task


def is_name(text: str) -> bool:
    """Whether a model can be called so."""
    return re.fullmatch(NAME_PATTERN, text) is not None


def name_folders(root: Path) -> list[Path]:
    """Of names, sorted."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and is_name(path.name))


def version_folders(folder: Path) -> Iterator[tuple[int, Path]]:
    """The versions in a name's folder, in any order."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name.isdecimal() and path.name[0] != "0" and path.is_dir():
            yield int(path.name), path
