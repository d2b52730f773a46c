"""Damaged files: the same for the same seed."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path


def mutations(folder: Path, *, usually: int, part: int = 0, parts: int = 1) -> Iterator[tuple[str, bytes]]:
    """A name that says how it was made, and the content, of damaged copies of the folder's files in turn.

    Args:
        usually: how many; `VIDSERVE_TEST_MUTATIONS` overrides it.
        part: of `parts` parts of them all.
    """
    count = int(os.environ.get("VIDSERVE_TEST_MUTATIONS", usually))
    paths = sorted(folder.iterdir())
    for seed in range(count * part // parts, count * (part + 1) // parts):
        path = paths[seed % len(paths)]
        how, content = damaged(path.read_bytes(), random.Random(seed))
        yield f"{seed}-{how}-{path.name}", content


def damaged(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """What was done to it, and what came of it."""
    how = chance.choice((_flip, _head, _cut, _twice, _zero, _insert))
    data = bytearray(content)
    how(data, chance)
    return how.__name__.strip("_"), bytes(data)


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 4, 16, 64, 256, 1024))):
        data[chance.randrange(len(data))] = chance.randrange(256)


def _head(data: bytearray, chance: random.Random) -> None:
    """Where the container says what it is; values at the edges of what fits."""
    head = min(len(data), chance.choice((256, 1024, 4096)))
    for _ in range(chance.choice((1, 2, 4, 8, 16))):
        data[chance.randrange(head)] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def _twice(data: bytearray, chance: random.Random) -> None:
    start, place = chance.randrange(len(data)), chance.randrange(len(data))
    data[place:place] = data[start : start + chance.randrange(1, 65536)]


def _zero(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 3))):
        start = chance.randrange(len(data))
        length = min(len(data) - start, chance.randrange(1, 8192))
        data[start : start + length] = bytes(length)


def _insert(data: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(data))
    data[place:place] = chance.randbytes(chance.randrange(1, 512))
