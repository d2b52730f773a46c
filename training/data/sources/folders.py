"""A folder for each class, of pictures or of clips: `fight/a.mp4`, `calm/b.mp4`; or below `train`, `val` and `test`."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from training.data.listing import Listing, Sample, Split, class_ids, existing
from training.errors import DataInvalid, DataNotFound

_SPLITS = {split.value: split for split in Split} | {"valid": Split.VALIDATION, "validation": Split.VALIDATION}


def read_folders(
    path: Path, suffixes: Collection[str], *, labels: Sequence[str] | None = None, group: str | None = None
) -> Listing:
    """List the files below each class's folder.

    Args:
        path: the folder of folders. Folders named `train`, `val` and `test` are given lists of the classes below them.
        suffixes: of files to take, in small letters with their dot.
        labels: the classes and their order; None: the folders' names, sorted.
        group: a regular expression; what its first bracket finds in a file's path below the class is the file's group.
            None: each file is a group of its own.

    Raises:
        DataNotFound: no such folder, or no such files in it.
        DataInvalid: a folder that is no label, files that no folder names, or a file with no group.
    """
    existing(path, folder=True)
    _see_pattern(group)
    folders = sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))
    if folders and {one.name for one in folders} <= set(_SPLITS):
        splits: dict[Split | None, Path] = {_SPLITS[one.name]: one for one in folders}
    else:
        splits = {None: path}
    found: list[tuple[Path, str, Split | None]] = []
    for split, root in splits.items():
        classes = sorted(one for one in root.iterdir() if one.is_dir() and not one.name.startswith("."))
        for one in classes:
            files = sorted(file for file in one.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
            found += [(file, one.name, split) for file in files]
        _no_files_beside(root, suffixes, classes)
    if not found:
        raise DataNotFound(
            f"No files with {', '.join(sorted(suffixes))} lie in folders below {path}.",
            hint="Make a folder for each class, and put its files there.",
        )
    ids, known = class_ids((name for _, name, _ in found), labels, where=path)
    samples = tuple(
        Sample(name := file.relative_to(path).as_posix(), file, class_id, _group(name, group), split)
        for (file, _, split), class_id in zip(found, ids, strict=True)
    )
    return Listing(samples, known, "class").checked(where=path)


def _no_files_beside(root: Path, suffixes: Collection[str], classes: Sequence[Path]) -> None:
    beside = sorted(one.name for one in root.iterdir() if one.is_file() and one.suffix.lower() in suffixes)
    if beside and classes:
        raise DataInvalid(
            f"{beside[0]} lies in {root} and in no class's folder, as {len(beside)} files do.",
            hint="Move them into the folder of their class, or away.",
        )
    if beside:
        raise DataInvalid(
            f"{root} holds files and no folders, so their classes are not known.",
            hint="Make a folder for each class, or give a list with `kind: list`.",
        )


def _see_pattern(pattern: str | None) -> None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise DataInvalid(
            f"data.source.group: {pattern!r} is no regular expression: {error}.",
            hint="For example 'cam(\\d+)': the bracket finds the group.",
        ) from error


def _group(name: str, pattern: str | None) -> str:
    if pattern is None:
        return name
    found = re.search(pattern, name)
    if found is None or not found.groups():
        raise DataInvalid(
            f"The pattern {pattern!r} finds no group in {name!r}.",
            hint="It must match every path below `data.source.path`, and have one pair of brackets.",
        )
    if found.group(1) is None:
        raise DataInvalid(f"The pattern {pattern!r} matches {name!r}, and its bracket nothing.")
    return found.group(1)
